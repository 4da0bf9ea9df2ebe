"""Schedules, as the systemd of the host works them out."""

from __future__ import annotations

import datetime
import json
from itertools import product

import pytest
from hosts import Host

from joblet_systemd.jobs.cron import DAYS, MONTHS, translate

START = datetime.datetime(2026, 2, 26, 22, 30, tzinfo=datetime.UTC)
END = datetime.datetime(2028, 2, 1, tzinfo=datetime.UTC)
COUNT = 20

ASK = """
import asyncio, json, sys
from joblet_systemd.errors import InvalidValue
from joblet_systemd.systemd import calendar

async def answer(expressions, zone, after):
    try:
        normalized = await calendar.normalize(expressions, zone, after)
        moments = await calendar.upcoming(expressions, zone, after, 20)  # COUNT
        assert (await calendar.next_elapse(expressions, zone, after)) == moments[0]
        return [normalized, moments]
    except InvalidValue as error:
        return str(error)

async def main():
    return [await answer(*question) for question in json.load(sys.stdin)]

print(json.dumps(asyncio.run(main())))
"""

CRON = [
    "* * * * *",
    "*/15 9-17 * * 1-5",
    "5,10,40-42 */6 * * *",
    "*/7 * * * *",
    "0 0 1 JAN *",
    "0 0 * * 7",
    "59 23 28-31 * *",
    "0 0 * * fri-sun",
    "30 4 1,15 * 5",
    "0 12 13 6-8 FRI",
    "0 0 */2 * 1",
    "0 0 1-7 * */7",
    "1-59/2 0-23/5 * feb-mar *",
    "@weekly",
    "0 0 29 2 *",
]


def answers(host: Host, questions: list[tuple[list[str], str, int]]) -> list[object]:
    done = host.exec("python3", "-c", ASK, stdin=json.dumps(questions).encode())
    result: list[object] = json.loads(done.stdout)
    return result


def usec(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def matches(word: str, number: int, low: int, high: int, names: tuple[str, ...] = ()) -> bool:
    """Whether a field of cron's has that number, by the letter of crontab(5)."""
    for item in word.upper().split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        bounds = [str(names.index(bound) + low) if bound in names else bound for bound in (first, last or first)]
        start, stop = (low, high) if span == "*" else (int(bounds[0]), int(bounds[1]))
        if stop < start:  # FRI-SUN
            stop += 7
        if number in range(start, stop + 1, int(step or 1)):
            return True
    return False


def day_matches(moment: datetime.datetime, day: str, month: str, weekday: str) -> bool:
    """The same for the three fields of the day: if both day fields are restricted, either will do."""
    of_week = moment.isoweekday() % 7
    in_month = matches(day, moment.day, 1, 31)
    in_week = any(matches(weekday, number, 0, 6, DAYS) for number in ([0, 7] if of_week == 0 else [of_week]))
    either = not day.startswith("*") and not weekday.startswith("*")
    return matches(month, moment.month, 1, 12, MONTHS) and ((in_month or in_week) if either else (in_month and in_week))


def cron_runs(text: str) -> list[int]:
    """When cron would run it, found by trying every minute."""
    minute, hour, day, month, weekday = text.split()
    minutes = [number for number in range(60) if matches(minute, number, 0, 59)]
    hours = [number for number in range(24) if matches(hour, number, 0, 23)]
    found: list[int] = []
    midnight = START.replace(hour=0, minute=0)
    while len(found) < COUNT and midnight < END:
        if day_matches(midnight, day, month, weekday):
            moments = [midnight.replace(hour=at, minute=past) for at, past in product(hours, minutes)]
            found += [usec(moment) for moment in moments if moment > START]
        midnight += datetime.timedelta(days=1)
    return found[:COUNT]


def test_cron_runs_when_cron_would(host: Host) -> None:
    questions = [(list(translate(text)), "UTC", usec(START)) for text in CRON]
    for text, answer in zip(CRON, answers(host, questions), strict=True):
        assert isinstance(answer, list), answer
        expected = cron_runs("0 0 * * 0" if text == "@weekly" else text)
        assert [moment for moment in answer[1] if moment < usec(END)] == expected, text
        assert expected or text == "0 0 29 2 *", text


# Clocks in Berlin go forward on the 29th of March 2026, in New York on the 8th.
SUMMER = datetime.datetime(2026, 3, 28, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("expression", "zone", "normalized", "first"),
    [
        ("Sun 09:00", "Europe/Berlin", "Sun *-*-* 09:00:00", "2026-03-29T07:00:00Z"),
        ("Sun 09:00", "America/New_York", "Sun *-*-* 09:00:00", "2026-03-29T13:00:00Z"),
        ("daily", "Africa/Abidjan", "*-*-* 00:00:00", "2026-03-29T00:00:00Z"),
        ("daily", "Europe/London", "*-*-* 00:00:00", "2026-03-29T00:00:00Z"),
        ("18:00 Asia/Tokyo", "Europe/Berlin", "*-*-* 18:00:00 Asia/Tokyo", "2026-03-29T09:00:00Z"),
        ("18:00 Asia/Tokyo", "UTC", "*-*-* 18:00:00 Asia/Tokyo", "2026-03-29T09:00:00Z"),
        ("12:00 UTC", "Asia/Tokyo", "*-*-* 12:00:00 UTC", "2026-03-29T12:00:00Z"),
        ("Thu 2026-12-24 18:00", "Europe/Berlin", "Thu 2026-12-24 18:00:00", "2026-12-24T17:00:00Z"),
        ("*:*:0/10", "UTC", "*-*-* *:*:00/10", "2026-03-28T12:00:10Z"),
    ],
)
def test_zones(host: Host, expression: str, zone: str, normalized: str, first: str) -> None:
    (answer,) = answers(host, [([expression], zone, usec(SUMMER))])
    assert isinstance(answer, list), answer
    assert answer[0] == [normalized]
    assert answer[1][0] == usec(datetime.datetime.fromisoformat(first))


def test_the_hosts_own_zone(host: Host) -> None:
    (answer,) = answers(host, [(["09:00"], "", usec(SUMMER))])
    assert isinstance(answer, list), answer
    expected = host.exec("date", "--date=@" + str(answer[1][0] // 1_000_000), "+%H:%M:%S").stdout.strip()
    assert expected == "09:00:00"


@pytest.mark.parametrize(
    ("expression", "zone", "told"),
    [
        ("garbage", "UTC", "schedule: 'garbage' is not accepted"),
        ("--help", "UTC", "schedule: '--help' is not accepted"),
        ("*-02-30", "UTC", "still to come"),
        ("2020-01-01", "UTC", "still to come"),
        ("*:*:0/0.5", "UTC", "whole seconds"),
        ("daily", "Nowhere/Land", "time_zone: 'Nowhere/Land' is not accepted"),
        ("daily", "../../../etc/hostname", "time_zone"),
    ],
)
def test_refused(host: Host, expression: str, zone: str, told: str) -> None:
    (answer,) = answers(host, [([expression], zone, usec(SUMMER))])
    assert isinstance(answer, str)
    assert told in answer

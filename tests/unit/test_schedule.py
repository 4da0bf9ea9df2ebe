"""What the text of a schedule means."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblet_systemd.errors import InvalidValue
from joblet_systemd.jobs.schedule import Once, Repeating, duration_usec, parse

NOW = 1_772_949_600_000_000  # 2026-03-08T06:00:00Z
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
SEC = 1_000_000


def usec(text: str) -> int:
    return round(datetime.datetime.fromisoformat(text).timestamp() * SEC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1hour", 3600),
        ("2h30m", 9000),
        ("45s", 45),
        ("2days", 172800),
        ("90min", 5400),
        ("1week 2d", 777600),
        ("1.5h", 5400),
        ("2 hours 30 minutes", 9000),
        ("+10m", 600),
        ("1 month", 2629800),
        ("1H", 3600),
        ("1500ms", 1.5),
        (" 5min ", 300),
        ("0.1s 250us", 0.10025),
    ],
)
def test_duration_counts_from_now(text: str, seconds: float) -> None:
    assert parse(text, NOW) == Once(NOW + round(seconds * SEC))


def test_a_duration_is_exact() -> None:
    assert duration_usec("987654321.987654321987654321s 1us") == 987_654_321_987_655


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00+00:00"),
        ("2026-12-24t18:00:00z", "2026-12-24T18:00:00+00:00"),
        ("2026-12-24 18:00:00+01:00", "2026-12-24T17:00:00+00:00"),
        ("2026-12-24 18:00 -0530", "2026-12-24T23:30:00+00:00"),
        ("2026-12-24T18:00:00.250Z", "2026-12-24T18:00:00.250+00:00"),
        ("2026-12-24T18:00:00.123456789Z", "2026-12-24T18:00:00.123456+00:00"),
        ("2026-12-24 18:00", "2026-12-24T17:00:00+00:00"),
        ("2026-07-24T18:00:00", "2026-07-24T16:00:00+00:00"),
        ("2026-12-24", "2026-12-23T23:00:00+00:00"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00+00:00"),  # there twice: the first
    ],
)
def test_date_time_is_a_moment(text: str, moment: str) -> None:
    assert parse(text, NOW, BERLIN) == Once(usec(moment))


def test_moment_that_has_just_passed_is_now() -> None:
    assert parse("2026-03-08T05:59:57Z", NOW) == Once(NOW - 3 * SEC)


@pytest.mark.parametrize(
    "text", ["Mon..Fri 09:00", "daily", "*-*-01 04:00:00", "18:00", "2026-12-24 18:00 Europe/Berlin"]
)
def test_calendar_expression_is_left_to_systemd(text: str) -> None:
    assert parse(text, NOW) == Repeating((text,))


def test_cron_becomes_calendar_expressions() -> None:
    assert parse("30\t4 1,15  * 5", NOW) == Repeating(("*-*-01,15 04:30:00", "Fri *-*-* 04:30:00"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a duration (2h30m)"),
        ("   ", "cron's five fields"),
        ("5", "Give the number a unit: 5s, 5min, 5h."),
        ("-5", "Give the number a unit"),
        ("0s", "without a schedule the job starts at once"),
        ("0.0000001s", "more than 0"),
        ("3M", "M could be minutes or months"),
        ("3 fortnights", "the units s, min, h"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z is past, it is 2026-03-08T06:00:00Z now"),
        ("0001-01-01", "date and time that exist"),
        ("2026-02-31 10:00", "date and time that exist"),
        ("2026-12-24 25:00", "date and time that exist"),
        ("2026-12-24T18:00:00+99:00", "date and time that exist"),
        ("2206-12-24 18:00", "within ten years"),
        ("999999999999999999 years", "within ten years"),
        ("2026-03-29 02:30", "clocks are put forward then, in Europe/Berlin"),
        ("da\nily", "256 characters at most"),
        ("x" * 257, "256 characters at most"),
        ("täglich", "a duration"),
        ("@reboot", "@hourly"),
        ("* * * * * *", "These are 6."),
    ],
)
def test_what_is_no_schedule_is_explained(text: str, told: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        parse(text, NOW, BERLIN)
    assert caught.value.field == "schedule"
    assert told in str(caught.value)


LIKE_SCHEDULES = st.from_regex(r"[-+0-9:.TZ*/,@ hmdswMONJAN]{0,30}", fullmatch=True)
DATES = st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}([+-][0-9]{2}:?[0-9]{2})?", fullmatch=True)
DURATIONS = st.from_regex(r"([0-9]{1,25}(\.[0-9]{1,5})? ?(s|h|min|years|M|q)){1,4}", fullmatch=True)


@given(st.text() | LIKE_SCHEDULES | DATES | DURATIONS, st.sampled_from([None, BERLIN]))
def test_no_text_does_more_than_be_refused(text: str, zone: datetime.tzinfo | None) -> None:
    try:
        wanted = parse(text, NOW, zone)
    except InvalidValue as error:
        if error.field != "schedule":
            raise
        return
    if isinstance(wanted, Once):
        assert wanted.at_usec > NOW - 6 * SEC
    else:
        assert all(expression.isascii() and expression.isprintable() for expression in wanted.expressions)

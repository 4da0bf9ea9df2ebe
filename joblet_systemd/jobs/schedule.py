"""When a job is to run: what the user wrote, told apart. Pure.

Durations and calendar expressions are systemd's (systemd.time(7)), date-times RFC 3339's, cron's five
fields crontab(5)'s. Whether a calendar expression makes sense, systemd alone knows: see systemd.calendar.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from ..errors import InvalidValue
from ..systemd.calendar import ACCEPTED, MAX_EXPRESSION
from . import cron

LATE_USEC = 5_000_000  # a moment on its way here may pass on the way
MAX_AHEAD = datetime.timedelta(days=3653)


_UNITS_USEC = {
    unit: usec
    for units, usec in (
        (("us", "µs", "μs", "usec"), 1),
        (("ms", "msec"), 1_000),
        (("s", "sec", "second", "seconds"), 1_000_000),
        (("m", "min", "minute", "minutes"), 60_000_000),
        (("h", "hr", "hour", "hours"), 3_600_000_000),
        (("d", "day", "days"), 86_400_000_000),
        (("w", "week", "weeks"), 604_800_000_000),
        (("month", "months"), 2_629_800_000_000),
        (("y", "year", "years"), 31_557_600_000_000),
    )
    for unit in units
}
_PART = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?\s*([A-Za-zµμ]+)\s*")
_DURATION = re.compile(rf"\+?\s*(?:{_PART.pattern})+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_MOMENT = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.(?P<fraction>[0-9]{1,9}))?"
    r" ?(?P<offset>[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)


@dataclass(frozen=True, slots=True)
class Once:
    """At one moment, in microseconds since the epoch."""

    at_usec: int


@dataclass(frozen=True, slots=True)
class Repeating:
    """Whenever one of these calendar expressions elapses. systemd has not seen them yet."""

    expressions: tuple[str, ...]


def parse(text: str, now_usec: int, zone: datetime.tzinfo | None = None) -> Once | Repeating:
    """What a schedule says. ``zone``: that of date-times which name none; None for the host's.

    Raises InvalidValue naming ``schedule``.
    """
    wanted = text.replace("\t", " ").strip()
    if not wanted or len(wanted) > MAX_EXPRESSION or not wanted.isprintable():
        raise InvalidValue("schedule", text, f"{ACCEPTED}, {MAX_EXPRESSION} characters at most")
    if _NUMBER.fullmatch(wanted):
        raise InvalidValue(
            "schedule", text, ACCEPTED, hint=f"Give the number a unit: {wanted}s, {wanted}min, {wanted}h."
        )
    if _DURATION.fullmatch(wanted):
        return Once(_checked(text, now_usec + duration_usec(wanted), now_usec))
    match = _MOMENT.fullmatch(wanted)
    if match:
        return Once(_checked(text, _moment_usec(text, match, zone), now_usec))
    if cron.is_cron(wanted):
        return Repeating(cron.translate(wanted))
    if not wanted.isascii():
        raise InvalidValue("schedule", text, ACCEPTED)
    return Repeating((wanted,))


def duration(text: str) -> int | None:
    """The microseconds of an accepted schedule that is a duration, else None."""
    wanted = text.replace("\t", " ").strip()
    return duration_usec(wanted) if _DURATION.fullmatch(wanted) else None


def duration_usec(text: str) -> int:
    """``2h 30min`` in microseconds."""
    total = 0
    for whole, fraction, unit in _PART.findall(text):
        usec = _UNITS_USEC.get(unit) or (_UNITS_USEC.get(unit.lower()) if unit != "M" else None)
        if usec is None:
            hint = "M could be minutes or months: write min or months." if unit == "M" else ""
            raise InvalidValue(
                "schedule", text, "the units s, min, h, d, w, months and years in a duration, such as 2h30m", hint=hint
            )
        total += int(whole + fraction.ljust(18, "0")) * usec  # in 10^-18 microseconds
    return total // 10**18


def _moment_usec(text: str, match: re.Match[str], zone: datetime.tzinfo | None) -> int:
    offset = (match["offset"] or "").upper()
    fraction = (match["fraction"] or "")[:6].ljust(6, "0")
    try:
        moment = datetime.datetime.fromisoformat(f"{match['date']}T{match['time'] or '00:00'}{offset}")
        if not offset:
            moment = _in_zone(text, moment, zone)
        return round(moment.timestamp()) * 1_000_000 + int(fraction)
    except (ValueError, OverflowError):  # the 31st of February, 25 o'clock, the years 0 and 1
        raise InvalidValue("schedule", text, "a date and time that exist, such as 2026-12-24T18:00:00Z") from None


def _in_zone(text: str, moment: datetime.datetime, zone: datetime.tzinfo | None) -> datetime.datetime:
    """A time on the wall as a moment: of two the first; there is none in the hour that clocks skip in spring."""
    # astimezone() alone takes the zone of the host as it was and will be at that date.
    here = moment.replace(tzinfo=zone) if zone else moment.astimezone()
    back = here.astimezone(datetime.UTC).astimezone(zone)
    if back.replace(tzinfo=None) != moment:
        raise InvalidValue(
            "schedule", text, f"a time that exists; clocks are put forward then, in {zone or 'local time'}"
        )
    return here


def _checked(text: str, at_usec: int, now_usec: int) -> int:
    """That moment, if it is one to come."""
    now = datetime.datetime.fromtimestamp(now_usec // 1_000_000, datetime.UTC)
    shown = now.isoformat().replace("+00:00", "Z")
    if at_usec == now_usec:
        raise InvalidValue("schedule", text, "a duration of more than 0; without a schedule the job starts at once")
    if at_usec < now_usec - LATE_USEC:
        past = datetime.datetime.fromtimestamp(at_usec // 1_000_000, datetime.UTC).isoformat().replace("+00:00", "Z")
        raise InvalidValue("schedule", text, f"a time in the future; {past} is past, it is {shown} now")
    if at_usec > now_usec + MAX_AHEAD // datetime.timedelta(microseconds=1):
        raise InvalidValue("schedule", text, f"a time within ten years; it is {shown} now")
    return at_usec

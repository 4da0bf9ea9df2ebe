"""When a job is to run, as far as this machine's clock and time zone are needed to tell; the node does the rest."""

from __future__ import annotations

import datetime
import os
import re
from dataclasses import dataclass
from pathlib import Path

import click

from .values import refused

ACCEPTED = (
    "a duration (2h30m), a date-time (2026-12-24 18:00), a calendar expression of systemd (Mon..Fri 09:00)"
    " or cron's five fields (*/15 9-17 * * 1-5)"
)

LOCALTIME = Path("/etc/localtime")
TIMEZONE = Path("/etc/timezone")

_DURATION = re.compile(r"\+?\s*([0-9.]+\s*[A-Za-zµμ]+\s*)+")
_NUMBER = re.compile(r"[+-]?[0-9.]+")
DATE_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(?P<zone> ?([Zz]|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True)
class Schedule:
    """What is sent to the node. ``time_zone`` is that of a repeating schedule, empty for the node's own."""

    text: str
    time_zone: str = ""
    repeats: bool = False


def schedule(text: str) -> Schedule:
    """A date-time without an offset is one of this machine's zone; all else goes to the node as it stands."""
    wanted = text.strip()
    if not wanted or wanted.startswith("-") or not wanted.replace("\t", " ").isprintable():
        raise refused(text, ACCEPTED)
    if _NUMBER.fullmatch(wanted):
        raise refused(text, f"{ACCEPTED}; a number needs a unit, such as {wanted}min")
    if _DURATION.fullmatch(wanted):
        return Schedule(wanted)
    match = DATE_TIME.fullmatch(wanted)
    if match is None:
        return Schedule(wanted, zone_name(), repeats=True)
    return Schedule(wanted if match["zone"] else with_offset(wanted))


def with_offset(text: str) -> str:
    """A date-time of this machine's zone with its offset. Raises click.BadParameter if there is no such time."""
    try:
        moment = datetime.datetime.fromisoformat(text)
        here = moment.astimezone()
        back = here.astimezone(datetime.UTC).astimezone()
    except (ValueError, OverflowError):
        raise refused(text, "a date and time that exist, such as 2026-12-24 18:00") from None
    if back.replace(tzinfo=None) != moment:
        raise refused(text, "a time that exists here: clocks are put forward then")
    return here.isoformat()


def zone_name() -> str:
    """The IANA name of this machine's time zone, or nothing where it has none."""
    given = os.environ.get("TZ")
    if given is not None:  # tzset(3): empty is UTC, a colon may precede the name of a file
        return _named(given.removeprefix(":")) if given else "UTC"
    try:
        if LOCALTIME.is_symlink():
            return _named(str(LOCALTIME.readlink()))
        return _named(TIMEZONE.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return ""


def _named(place: str) -> str:
    """The name in a path below zoneinfo, or the text itself if it is a name."""
    name = place.rpartition("zoneinfo/")[2]
    return name if _ZONE.fullmatch(name) else ""


def refuse_waiting(wanted: Schedule) -> None:
    """Raises click.UsageError for one that has no end to wait for."""
    if wanted.repeats:
        raise click.UsageError(
            f"--schedule {wanted.text!r} repeats, so there is no end for --wait to wait for; leave --wait out and"
            " follow a run with 'rnx job log' when it has begun"
        )

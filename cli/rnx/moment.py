"""Times in the past, as people write them."""

from __future__ import annotations

import datetime
import re

import click

from .schedule import DATE_TIME, with_offset
from .values import duration_ms, refused

ACCEPTED = (
    "how long ago (10min, '2h ago'), a date-time (2026-12-24 18:00) of this machine's zone, or one with an offset"
    " (2026-12-24T18:00:00Z)"
)
_BARE_NUMBER = re.compile(r"[0-9.]+")
_AGO = re.compile(r"\s+ago", re.IGNORECASE)


def moment(text: str) -> str:
    """A time in RFC 3339. Raises click.BadParameter saying what is accepted."""
    wanted = text.strip()
    match = DATE_TIME.fullmatch(wanted)
    if match is not None:
        return _checked(wanted, text) if match["zone"] else with_offset(wanted)
    if _BARE_NUMBER.fullmatch(wanted):
        raise refused(text, f"{ACCEPTED}; a number needs a unit, such as {wanted}min")
    try:
        ago = datetime.timedelta(milliseconds=duration_ms(_AGO.sub("", wanted)))
    except click.BadParameter:
        raise refused(text, ACCEPTED) from None
    return (datetime.datetime.now(datetime.UTC) - ago).isoformat(timespec="microseconds")


def _checked(wanted: str, text: str) -> str:
    try:
        return datetime.datetime.fromisoformat(wanted.upper().replace(" ", "T", 1).replace(" ", "")).isoformat()
    except ValueError:
        raise refused(text, "a date and time that exist, such as 2026-12-24T18:00:00Z") from None

"""Moments of the past, as options have them."""

from __future__ import annotations

import datetime

import click

from . import values

ACCEPTED = "a time (2026-12-24 18:00, or with Z or an offset such as +01:00), or how long ago it was (90s, 2h30m)"


def moment(text: str) -> datetime.datetime:
    """``2026-12-24 18:00`` in this machine's time zone, one with an offset as it is, ``10min`` as that long ago."""
    wanted = text.strip()
    try:
        found = datetime.datetime.fromisoformat(wanted)
    except ValueError:
        try:
            ago = datetime.timedelta(milliseconds=values.duration_ms(wanted))
        except click.BadParameter:
            raise values.refused(text, ACCEPTED) from None
        return datetime.datetime.now(datetime.UTC) - ago
    try:
        return found.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise values.refused(text, ACCEPTED) from None

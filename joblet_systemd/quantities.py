"""Sizes and durations as people write them in the configuration."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,3})?)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_SHIFTS = {"": 20, "K": 10, "M": 20, "G": 30, "T": 40}

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_UNIT = r"(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w)"
_PART = re.compile(rf"(\d{{1,12}})\s*{_UNIT}\s*", re.ASCII | re.IGNORECASE)


class Size(int):
    """A number of bytes. Written ``512MB`` or ``2GB``, or as a number of MB; 1 MB is 2^20 bytes."""

    accepted = "a number of MB, or one with a unit: 512MB, 2GB"

    @classmethod
    def parse(cls, value: object) -> Size:
        """Raises ValueError."""
        match = _SIZE.fullmatch(_text(value).strip())
        if match is None:
            raise ValueError(value)
        return cls(float(match[1]) * (1 << _SHIFTS[match[2].upper()]))


class Duration(float):
    """A number of seconds. Written ``90s``, ``2h30m`` or ``1 day``, or as a number of seconds."""

    accepted = "a number of seconds, or a duration such as 12h, 2h30m or 1 day"

    @classmethod
    def parse(cls, value: object) -> Duration:
        """Raises ValueError."""
        text = _text(value).strip()
        if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", text, re.ASCII):
            return cls(text)
        position, total = 0, 0
        while position < len(text):
            match = _PART.match(text, position)
            if match is None:
                break
            total += int(match[1]) * _SECONDS[match[2][0].lower()]
            position = match.end()
        if not text or position < len(text):
            raise ValueError(value)
        return cls(total)


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(value)
    return str(value)

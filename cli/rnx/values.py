"""What the options of ``job run`` accept, and what it means.

Each function turns an option's text into a value, or raises click.BadParameter saying what is accepted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import click

from joblet_wire.variables import NAME, RESERVED_ACCEPTED, is_reserved

from .command import is_text

INT32_MAX = 2**31 - 1  # the wire's numbers
MAX_CPUS = 8192  # what Linux can be built for (CONFIG_NR_CPUS)
CORES_BELOW = 10  # a bare number below is cores, from here on percent

MAX_PRIORITY = 100
MAX_RETRIES = 100
MAX_DURATION_MS = 3660 * 86_400_000  # ten years

Value = TypeVar("Value")

_MS = {
    unit: ms
    for units, ms in (
        (("ms", "msec"), 1),
        (("", "s", "sec", "second", "seconds"), 1_000),
        (("m", "min", "minute", "minutes"), 60_000),
        (("h", "hr", "hour", "hours"), 3_600_000),
        (("d", "day", "days"), 86_400_000),
        (("w", "week", "weeks"), 604_800_000),
    )
    for unit in units
}
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]*)\s*", re.ASCII)
_DURATION = re.compile(rf"{_PART.pattern}|(?:[0-9]{{1,18}}(?:\.[0-9]{{1,18}})?\s*[A-Za-z]+\s*)+", re.ASCII)
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]*)", re.ASCII)
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_UNIT = re.compile(r"([KMGT]?)(?:I?B)?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


def cpu_percent(text: str) -> int:
    """``4``, ``4c`` and ``400%`` as 400: percent of one core."""
    accepted = "1 to 9 (cores), 10 or more (percent of one core), or with a unit: 1.5c, 50%"
    number, unit = _split(text, accepted)
    if unit not in ("", "c", "C", "%"):
        raise refused(text, accepted)
    cores = unit in ("c", "C") or (not unit and number < CORES_BELOW)
    return _whole(number * 100 if cores else number, text, accepted)


def memory_mb(text: str) -> int:
    """``512``, ``512MB`` and ``0.5GB`` as 512: MB of 2^20 bytes."""
    accepted = "a number of MB, or one with a unit: 512MB, 2GB (1 MB is 2^20 bytes)"
    number, unit = _split(text, accepted)
    return _whole(number * _factor(unit or "M", text, accepted) / 2**20, text, accepted)


def bytes_per_second(text: str) -> int:
    """``10MB`` as 10485760."""
    accepted = "bytes per second, or a number with a unit: 500KB, 10MB (1 MB is 2^20 bytes), less than 2 GB"
    number, unit = _split(text, accepted)
    return _whole(number * _factor(unit, text, accepted), text, accepted)


def duration_ms(text: str) -> int:
    """``90``, ``90s`` and ``1min 30s`` as 90000: milliseconds."""
    accepted = "seconds, or a duration with the units ms, s, min, h, d and w: 90, 45s, 2h30m"
    if not _DURATION.fullmatch(text.strip()):
        raise refused(text, accepted)
    total = Decimal(0)
    for number, unit in _PART.findall(text):
        factor = _MS.get(unit.lower())
        if factor is None or unit == "M":
            raise refused(text, accepted)
        total += Decimal(number) * factor
    if not 1 <= total <= MAX_DURATION_MS:
        raise refused(text, f"{accepted}, at least 1ms and at most ten years")
    return int(total)


def priority(text: str) -> int:
    """A whole number from -100 to 100."""
    return _between(text, -MAX_PRIORITY, MAX_PRIORITY)


def retries(text: str) -> int:
    """A whole number from 0 to 100."""
    return _between(text, 0, MAX_RETRIES)


def lines(text: str) -> int:
    """A number of lines, 0 or more."""
    if not re.fullmatch(r"[0-9]{1,18}", text.strip(), re.ASCII):
        raise refused(text, "a number of lines, 0 or more")
    return int(text)


def removable(convert: Callable[[str], Value], none: Value) -> Callable[[str], Value]:
    """``convert``, with the word ``none`` as the value that takes a limit away."""

    def converted(text: str) -> Value:
        if text.strip().lower() == "none":
            return none
        return convert(text)

    return converted


def cpu_list(text: str) -> str:
    """A list of CPUs such as ``0-3,5``, as it stands (cpuset(7), "List format")."""
    accepted = f"CPU numbers below {MAX_CPUS} and ranges of them, such as 0-3 or 0,2,4"
    for part in text.split(","):
        first, dash, last = part.partition("-")
        bounds = [first, last] if dash else [first]
        if not all(bound.isdecimal() and bound.isascii() and len(bound) <= 4 for bound in bounds):
            raise refused(text, accepted)
        if int(first) > int(bounds[-1]) or int(bounds[-1]) >= MAX_CPUS:
            raise refused(text, accepted)
    return text


def variable(text: str) -> tuple[str, str]:
    """``KEY=VALUE``, or ``KEY`` with the value it has in this process's environment."""
    return _variable(text, text)


def secret_variable(text: str) -> tuple[str, str]:
    """The same, and no message has the value."""
    key, equals, _ = text.partition("=")
    return _variable(text, f"{key}=***" if equals else key)


def _variable(text: str, shown: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not NAME.fullmatch(key):
        raise refused(shown, "KEY=VALUE or KEY, the key of letters, digits and _, not beginning with a digit")
    if is_reserved(key):
        raise refused(key, RESERVED_ACCEPTED)
    if not equals:
        if key not in os.environ:
            raise refused(shown, f"KEY=VALUE, or the name of a variable that is set here, which {key} is not")
        value = os.environ[key]
    if not is_text(value):
        raise refused(shown, "a value in UTF-8")
    return key, value


def job_name(text: str) -> str:
    """A name for a job, fit to be a host name later."""
    if not _NAME.fullmatch(text):
        raise refused(text, "up to 63 letters, digits, '.', '_' and '-', beginning with a letter or digit")
    return text


def refused(text: str, accepted: str) -> click.BadParameter:
    """The error for a text that is not accepted."""
    return click.BadParameter(f"{text!r} is not accepted; expected {accepted}.")


def _split(text: str, accepted: str) -> tuple[Decimal, str]:
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise refused(text, accepted)
    return Decimal(match[1]), match[2]


def _factor(unit: str, text: str, accepted: str) -> int:
    match = _UNIT.fullmatch(unit.upper())
    if not match:
        raise refused(text, accepted)
    return 1 << _SHIFTS[match[1]]


def _between(text: str, low: int, high: int) -> int:
    accepted = f"a whole number from {low} to {high}"
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text.strip(), re.ASCII):
        raise refused(text, accepted)
    number = int(text)
    if not low <= number <= high:
        raise refused(text, accepted)
    return number


def _whole(number: Decimal, text: str, accepted: str) -> int:
    if number != int(number):
        raise refused(text, f"{accepted}, without a remainder")
    if not 1 <= number <= INT32_MAX:
        raise refused(text, f"{accepted}, at least 1 and at most {INT32_MAX}; leave the option out for no limit")
    return int(number)

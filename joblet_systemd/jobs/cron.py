"""cron's five fields (crontab(5)) as calendar expressions of systemd (systemd.time(7)). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..errors import InvalidValue

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
FIVE = "cron's five fields: minute, hour, day of month, month, day of week, such as */15 9-17 * * 1-5"

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_WORD = re.compile(r"[0-9A-Za-z*,/?#-]+")
_ITEM = re.compile(r"(?:(?P<all>\*)|(?P<first>[0-9A-Za-z]+)(?:-(?P<last>[0-9A-Za-z]+))?)(?:/(?P<step>[0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class Field:
    """One of the five: its name, the numbers it takes, and the words for them from ``low`` on."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY = Field("day of month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
WEEKDAY = Field("day of week", 0, 7, DAYS)  # Sunday is 0 and 7


def is_cron(text: str) -> bool:
    """Whether this is meant for cron: an @alias, or five words and more without a clock time among them."""
    words = text.split()
    return text.startswith("@") or (len(words) >= 5 and all(_WORD.fullmatch(word) for word in words))


def translate(text: str) -> tuple[str, ...]:
    """One expression of systemd or two: cron joins day of month and day of week by *or*, systemd by *and*.

    Raises InvalidValue naming ``schedule``.
    """
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise InvalidValue("schedule", text, f"one of {', '.join(ALIASES)}")
        return translate(ALIASES[text.lower()])
    words = text.split()
    if len(words) != 5:
        raise InvalidValue("schedule", text, FIVE, hint=f"These are {len(words)}.")
    fields = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
    minutes, hours, days, months, weekdays = (
        _numbers(text, word, field) for word, field in zip(words, fields, strict=True)
    )
    clock = f"{_listed(hours, HOUR)}:{_listed(minutes, MINUTE)}:00"
    month, day = _listed(months, MONTH), _listed(days, DAY)
    weekday = _weekdays(weekdays)
    # crontab(5): a day field that begins with * does not count as restricted, whatever step it has.
    if words[2].startswith("*") or words[4].startswith("*"):
        return (f"{weekday}*-{month}-{day} {clock}",)
    either = (f"*-{month}-{day} {clock}", f"{weekday}*-{month}-* {clock}")
    return tuple(dict.fromkeys(either))


def _numbers(text: str, word: str, field: Field) -> list[int]:
    """The numbers a field stands for, in order."""
    numbers: set[int] = set()
    for item in word.split(","):
        match = _ITEM.fullmatch(item)
        if not match:
            raise _refused(text, item, field)
        if match["all"]:
            first, last = field.low, min(field.high, 6) if field is WEEKDAY else field.high
        else:
            first = _number(text, match["first"], field)
            last = _number(text, match["last"], field) if match["last"] else first
            if field is WEEKDAY and first > last == 0:
                last = 7  # FRI-SUN
            if match["step"] and not match["last"]:
                raise _refused(text, item, field, f"A step needs a range: {first}-{field.high}/{match['step']}.")
        step = int(match["step"] or 1)
        if first > last or step < 1:
            raise _refused(text, item, field)
        numbers.update(range(first, last + 1, step))
    return sorted({number % 7 for number in numbers} if field is WEEKDAY else numbers)


def _number(text: str, word: str, field: Field) -> int:
    upper = word.upper()
    if upper in field.words:
        return field.words.index(upper) + field.low
    if not (word.isdecimal() and len(word) <= 4 and field.low <= int(word) <= field.high):
        raise _refused(text, word, field)
    return int(word)


def _refused(text: str, item: str, field: Field, hint: str = "") -> InvalidValue:
    words = f" or {field.words[0]} to {field.words[-1]}" if field.words else ""
    accepted = f"{field.low} to {field.high}{words}, lists, upward ranges, and steps such as */2"
    return InvalidValue("schedule", text, f"{accepted} as the {field.name}, not {item[:20]!r}", hint=hint)


def _listed(numbers: Sequence[int], field: Field) -> str:
    """``*``, ``00..45/15`` or ``01,09..17``."""
    if len(numbers) == field.high - field.low + 1:
        return "*"
    steps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) > 2 and len(steps) == 1 and steps != {1}:
        return f"{numbers[0]:02d}..{numbers[-1]:02d}/{steps.pop()}"
    return ",".join(f"{first:02d}" if first == last else f"{first:02d}..{last:02d}" for first, last in _runs(numbers))


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """The first and last of each row of numbers that follow one another."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _weekdays(numbers: Sequence[int]) -> str:
    """``Mon..Fri`` and a blank, or nothing for all days. systemd's week begins on Monday."""
    if len(numbers) == 7:
        return ""
    names = [DAYS[(number + 1) % 7].capitalize() for number in range(7)]
    runs = _runs(sorted((number - 1) % 7 for number in numbers))
    return ",".join(names[a] if a == b else f"{names[a]}..{names[b]}" for a, b in runs) + " "

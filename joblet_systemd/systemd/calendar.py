"""systemd's calendar expressions, understood and worked out by systemd itself (systemd.time(7)).

``systemd-analyze calendar`` is part of systemd, so the answers are those of a timer unit on this host.
PID 1 has no call for it.
"""

from __future__ import annotations

import asyncio
import datetime
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidValue, SystemdError

if TYPE_CHECKING:
    import zoneinfo

ANALYZE = "systemd-analyze"
ANALYZE_SEC = 10.0
MAX_EXPRESSION = 256
MAX_RUNS = 100
ACCEPTED = (
    "a duration (2h30m), a date-time (2026-12-24 18:00, 2026-12-24T18:00:00Z),"
    " a calendar expression of systemd (Mon..Fri 09:00) or cron's five fields (*/15 9-17 * * 1-5)"
)

# glibc, and with it systemd-analyze, takes any text in TZ: what it does not know is UTC to it.
ZONES = Path("/usr/share/zoneinfo")
ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}")
NO_ZONES = frozenset({"posix", "right"})  # the same zones again, the latter with leap seconds

# "Next elapse: Mon 2026-03-09 00:00:00 EDT", then "(in UTC): Mon 2026-03-09 04:00:00 UTC" unless local time is
# UTC itself or a zone that never differed from it.
_MOMENT = re.compile(
    r"\s*(Next elapse|Iter\. #\d+|Iteration #\d+|\(in UTC\)): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\b"
)
_NORMALIZED = re.compile(r"Normalized form: (.+)")

# So few at a time, whatever clients ask for. What is due does not wait for them.
CLIENTS = ThreadPoolExecutor(2, thread_name_prefix="calendar")
DUE = ThreadPoolExecutor(1, thread_name_prefix="due")


def zone(name: str) -> zoneinfo.ZoneInfo:
    """The time zone of that name. Raises InvalidValue naming ``time_zone``."""
    import zoneinfo  # noqa: PLC0415 (0.3 MB, and few jobs name a zone)

    try:
        # OSError: the name of a directory.
        if (
            ZONE_NAME.fullmatch(name)
            and name.partition("/")[0] not in NO_ZONES
            and len(name) <= 64
            and (ZONES / name).is_file()
        ):
            return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise InvalidValue(
        "time_zone",
        name,
        "the name of a time zone of this host, such as Europe/Berlin or UTC",
        hint="'timedatectl list-timezones' on the host lists them.",
    )


async def normalize(expressions: Sequence[str], time_zone: str, after_usec: int) -> tuple[str, ...]:
    """The expressions as systemd writes them, found good: together they elapse at least once after that moment.

    Raises InvalidValue naming ``schedule`` or ``time_zone``, SystemdError if systemd-analyze fails.
    """
    answers = [await _ask(expression, time_zone, after_usec, 1) for expression in expressions]
    if not any(moments for _, moments in answers):
        raise InvalidValue("schedule", " and ".join(expressions), "a calendar expression that is still to come")
    return tuple(normalized for normalized, _ in answers)


async def next_elapse(
    expressions: Sequence[str], time_zone: str, after_usec: int, pool: ThreadPoolExecutor = CLIENTS
) -> int | None:
    """When the first of the expressions elapses after that moment; None when they never do again.

    Times are microseconds since the epoch. An expression that ends in a time zone is in that one, the
    others are in ``time_zone``, or the host's if that is empty. Raises as normalize does.
    """
    return next(iter(await upcoming(expressions, time_zone, after_usec, 1, pool)), None)


async def upcoming(
    expressions: Sequence[str], time_zone: str, after_usec: int, count: int, pool: ThreadPoolExecutor = CLIENTS
) -> tuple[int, ...]:
    """Like next_elapse, the next ``count`` moments, up to 100, each once; fewer when there are fewer."""
    moments: set[int] = set()
    for expression in expressions:
        moments.update((await _ask(expression, time_zone, after_usec, count, pool))[1])
    return tuple(sorted(moments)[:count])


async def _ask(
    expression: str, time_zone: str, after_usec: int, count: int, pool: ThreadPoolExecutor = CLIENTS
) -> tuple[str, list[int]]:
    if not 0 < len(expression) <= MAX_EXPRESSION or not expression.isascii() or not expression.isprintable():
        raise InvalidValue("schedule", expression, f"up to {MAX_EXPRESSION} printable ASCII characters")
    if time_zone:
        zone(time_zone)
    loop = asyncio.get_running_loop()
    status, out = await loop.run_in_executor(pool, _analyze, expression, time_zone, after_usec, min(count, MAX_RUNS))
    match = _NORMALIZED.search(out)
    if status != 0:
        raise InvalidValue("schedule", expression, ACCEPTED)
    if match is None:
        raise SystemdError(f"{ANALYZE} gave an answer that is not understood: {out[:200]!r}")
    if re.search(r"\d\.\d", match[1]):
        raise InvalidValue("schedule", expression, "a calendar expression in whole seconds")
    return match[1].strip(), _moments(out)


def _analyze(expression: str, time_zone: str, after_usec: int, count: int) -> tuple[int, str]:
    """Exit status and output of systemd-analyze. It finds moments later than the base time, never that itself."""
    command = [ANALYZE, f"--base-time=@{after_usec // 1_000_000}", f"--iterations={count}", "calendar", "--"]
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    if time_zone:
        environment["TZ"] = time_zone
    try:
        done = subprocess.run(
            [*command, expression],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ANALYZE_SEC,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise SystemdError(
            f"schedule: {ANALYZE} did not work out {expression!r} within {ANALYZE_SEC:g} s.",
            hint="Write a simpler expression, or try again when the host is less busy.",
        ) from None
    except OSError as error:
        raise SystemdError(f"{ANALYZE} cannot be run: {error.strerror}.", hint="It is a part of systemd.") from None
    return done.returncode, done.stdout.decode(errors="replace")


def _moments(out: str) -> list[int]:
    """The moments in an answer, in microseconds since the epoch: each in UTC where it is told in two zones."""
    moments: list[int] = []
    for line in out.splitlines():
        match = _MOMENT.match(line)
        if match:
            moment = datetime.datetime.fromisoformat(match[2]).replace(tzinfo=datetime.UTC)
            usec = int(moment.timestamp()) * 1_000_000
            if match[1] == "(in UTC)":
                moments[-1] = usec
            else:
                moments.append(usec)
    return moments

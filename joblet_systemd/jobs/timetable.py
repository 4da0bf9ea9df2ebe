"""When a job with a schedule is to start: what the user wrote put to the clock and the calendar."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

from ..model import USEC_PER_SEC, Job, JobSpec
from ..shared import Shared
from ..systemd import calendar
from . import schedule

# cron(8): a clock set by more than three hours is a correction, and the new time is followed at once; by less,
# nothing runs twice.
CORRECTION_USEC = 3 * 3600 * 1_000_000
PREVIEW = 3
MAX_PREVIEWS = 10_000
MAX_RETRY_DELAY_USEC = 3600 * USEC_PER_SEC


async def first(spec: JobSpec, now_usec: int) -> tuple[JobSpec, int]:
    """The spec with its ``calendar``, and when the job starts that is submitted now, in microseconds since the epoch.

    Raises InvalidValue.
    """
    zone = calendar.zone(spec.time_zone) if spec.time_zone else None
    found = schedule.parse(spec.schedule, now_usec, zone)
    if isinstance(found, schedule.Once):
        return spec, found.at_usec
    expressions = await calendar.normalize(found.expressions, spec.time_zone, now_usec)
    due = await calendar.next_elapse(expressions, spec.time_zone, now_usec)
    assert due is not None, "normalize has found one"
    return dataclasses.replace(spec, calendar=expressions), due


async def following(spec: JobSpec, after_usec: int) -> int | None:
    """The first time of a repeating schedule, one that is due, after the given one; None when there is none left."""
    return await calendar.next_elapse(spec.calendar, spec.time_zone, after_usec, calendar.DUE)


class Previews:
    """The next times of repeating schedules, each worked out once: everybody may ask for them at any rate."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], tuple[int, ...]] = {}
        self._turns: defaultdict[str, Shared[tuple[int, ...]]] = defaultdict(lambda: Shared(1))

    async def of(self, spec: JobSpec, due_usec: int, who: str) -> tuple[int, ...]:
        """The next times, the first of which is known. ``who`` asks."""
        key = (spec.calendar, spec.time_zone, due_usec)
        if key not in self._known:
            later = await self._turns[who].get(
                key, lambda: calendar.upcoming(spec.calendar, spec.time_zone, due_usec, PREVIEW - 1)
            )
            if len(self._known) >= MAX_PREVIEWS:
                self._known.clear()
            self._known[key] = (due_usec, *later)
        return self._known[key]


def clock_went_back(last_run_usec: int, now_usec: int) -> bool:
    """Whether the clock was corrected so far back that times which were used count anew."""
    return last_run_usec - now_usec > CORRECTION_USEC


def retry_delay(job: Job, default_sec: float) -> int:
    """How long after a failed attempt the next one comes, in microseconds."""
    first = job.spec.retry_delay_usec or round(default_sec * USEC_PER_SEC)
    return int(min(first << min(job.attempt - 1, 32), MAX_RETRY_DELAY_USEC))


def waits_for_a_while(job: Job) -> bool:
    """Whether the job is to start in so long, and not at a moment."""
    return schedule.duration(job.spec.schedule) is not None


def latest(job: Job, now_usec: int, default_retry_sec: float) -> int | None:
    """The latest time at which a job that waits for so long, not for a moment, is due, whatever the clock was before.

    None for one that waits for a moment.
    """
    if job.attempt:
        return now_usec + retry_delay(job, default_retry_sec)
    duration = schedule.duration(job.spec.schedule)
    return None if duration is None else now_usec + duration

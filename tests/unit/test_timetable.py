"""When jobs that wait for so long, not for a moment, are due after the clock was set."""

from __future__ import annotations

import pytest

from joblet_systemd.jobs.timetable import latest, retry_delay
from joblet_systemd.model import Job, JobSpec, State

NOW = 1_772_949_600_000_000
SEC = 1_000_000


def job(schedule: str = "", attempt: int = 0, retry_delay_usec: int = 0) -> Job:
    spec = JobSpec("prog", schedule=schedule, retries=9, retry_delay_usec=retry_delay_usec)
    return Job("id", spec, "alice", "joblet-alice", State.SCHEDULED, 0, attempt=attempt)


@pytest.mark.parametrize(
    ("waits", "seconds"),
    [
        (job("45s"), 45),
        (job(" 2h 30min "), 9000),
        (job(attempt=1), 10),
        (job(attempt=3), 40),
        (job(attempt=2, retry_delay_usec=3 * SEC), 6),
        # A later attempt of a scheduled job waits as any attempt does.
        (job("2h", attempt=1), 10),
    ],
)
def test_who_waits_for_so_long_waits_no_longer(waits: Job, seconds: int) -> None:
    assert latest(waits, NOW, default_retry_sec=10) == NOW + seconds * SEC


@pytest.mark.parametrize("schedule", ["2026-12-24T18:00:00Z", "2026-12-24"])
def test_who_waits_for_a_moment_waits_for_it(schedule: str) -> None:
    assert latest(job(schedule), NOW, default_retry_sec=10) is None


def test_an_attempt_comes_within_an_hour() -> None:
    assert retry_delay(job(attempt=100), 10) == 3600 * SEC

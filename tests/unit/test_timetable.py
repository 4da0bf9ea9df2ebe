"""When jobs that wait for so long, not for a moment, are due after the clock was set; and who waits for systemd."""

from __future__ import annotations

import asyncio
import threading

import pytest

from joblet_systemd.jobs.timetable import Previews, first, following, latest, retry_delay
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.systemd import calendar

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


ANSWER = """\
Normalized form: *-*-* 00:00:00
    Next elapse: Mon 2026-03-09 00:00:00 UTC
"""


def test_what_is_due_does_not_wait_for_what_clients_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def analyze(expression: str, *_: object) -> tuple[int, str]:
        if expression == "asked":
            go.wait(60)
        return 0, ANSWER

    monkeypatch.setattr(calendar, "_analyze", analyze)

    async def play() -> None:
        asking = [asyncio.create_task(first(JobSpec("true", schedule="asked"), NOW)) for _ in range(20)]
        await asyncio.sleep(0)
        try:
            due = await asyncio.wait_for(following(JobSpec("true", calendar=("due",)), NOW), 10)
        finally:
            go.set()
            await asyncio.gather(*asking)
        assert due == 1_773_014_400_000_000

    asyncio.run(play())


def test_identities_take_turns_at_the_next_runs_of_their_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def upcoming(expressions: tuple[str, ...], *_: object) -> tuple[int, ...]:
        asked.append(expressions[0])
        await asyncio.sleep(0)
        return ()

    monkeypatch.setattr(calendar, "upcoming", upcoming)

    async def play() -> None:
        previews = Previews()
        flood = [previews.of(JobSpec("true", calendar=(f"m{n}",)), 1, "mallory") for n in range(100)]
        await asyncio.gather(*flood, previews.of(JobSpec("true", calendar=("a",)), 1, "alice"))
        assert asked.index("a") < 3

    asyncio.run(play())

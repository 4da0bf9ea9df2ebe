"""What callers ask of jobs, with a real store and none of the machinery behind: what is refused, and when."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joblet_systemd.config import JobsConfig
from joblet_systemd.errors import Exhausted
from joblet_systemd.jobs.book import Book
from joblet_systemd.model import Actor, Job, JobSpec, State
from joblet_systemd.store import Store
from joblet_systemd.systemd import calendar

from .journalless import imported

requests = imported("jobs.requests")
ALICE, BOB = Actor("alice", others=False), Actor("bob", others=False)


class House:
    """What surrounds Jobs."""

    def __init__(self, store: Store, **config: Any) -> None:
        self.book = Book(store)
        self.waiting: list[str] = []
        self.removed: list[str] = []
        self.sealing: Callable[[], Awaitable[None]] = self._at_once
        self.jobs = requests.Jobs(
            JobsConfig(**config),
            SimpleNamespace(controllers=frozenset(), cpus=frozenset({0})),
            None,
            SimpleNamespace(seal=self._seal, remove=self.removed.append),
            self.book,
            SimpleNamespace(check=lambda limits: []),
            SimpleNamespace(waiting=SimpleNamespace(put=lambda job: self.waiting.append(job.id))),
            "boot",
        )

    @staticmethod
    async def _at_once() -> None:
        pass

    async def _seal(self, job_id: str, secrets: Mapping[str, str]) -> None:
        await self.sealing()

    async def submit(self, spec: JobSpec, caller: Actor = ALICE) -> Job:
        job, _ = await self.jobs.submit(spec, caller, "root", None, {})
        return job


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "joblet.db")


def test_so_many_jobs_may_wait_however_they_come(store: Store) -> None:
    async def play() -> None:
        house, go = House(store, max_pending=3), asyncio.Event()

        async def sealing() -> None:
            await go.wait()

        house.sealing = sealing
        # All are let in while none is there yet, and wait for the encryption of their secrets.
        submits = [asyncio.create_task(house.submit(JobSpec("true"))) for _ in range(10)]
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*submits, return_exceptions=True)
        refused = [result for result in results if isinstance(result, Exhausted)]
        assert len(refused) == 7
        assert "3 jobs of 'alice' wait already" in str(refused[0])
        assert len(house.removed) == 7  # the secrets that were sealed
        assert len(house.waiting) == store.count() == 3
        await house.submit(JobSpec("true"), BOB)

    asyncio.run(play())


def test_what_the_jobs_of_one_identity_carry_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "STORED_BYTES", 2 << 20)
    large = JobSpec("sh", args=("\x01" * 100_000,))  # 600 000 bytes in the store

    async def play() -> None:
        house = House(store)
        jobs = [await house.submit(large) for _ in range(4)]
        with pytest.raises(Exhausted, match=r"'alice' .* have 2 MB of arguments.*can have 2 MB.*cancel") as caught:
            await house.submit(JobSpec("true"))
        assert "better uploaded" in caught.value.hint
        with pytest.raises(Exhausted):
            await house.jobs.check(JobSpec("true"), ALICE)
        await house.submit(large, BOB)
        house.book.end(dataclasses.replace(house.book[jobs[0].id], state=State.CANCELED))
        await house.submit(JobSpec("true"))

    asyncio.run(play())


def test_identities_take_turns_at_having_their_schedules_checked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def analyze(expression: str, *_: object) -> tuple[int, str]:
        asked.append(expression)
        return 0, "Normalized form: x\n    Next elapse: Mon 2026-03-09 00:00:00 UTC\n"

    monkeypatch.setattr(calendar, "_analyze", analyze)

    async def play() -> None:
        jobs = House(store).jobs
        flood = [jobs.check(JobSpec("true", schedule="mallory"), Actor("mallory", others=False)) for _ in range(100)]
        await asyncio.gather(*flood, jobs.check(JobSpec("true", schedule="alice"), ALICE))
        # Each takes two questions, and two may be under way.
        assert asked.index("alice") < 6

    asyncio.run(play())


def test_a_schedule_counts_until_it_has_been_checked_whoever_goes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some take seconds, and threads do not end because nobody waits for them any more."""
    asked, go = 0, threading.Event()

    def analyze(_expression: str, *_: object) -> tuple[int, str]:
        nonlocal asked
        asked += 1
        assert go.wait(10)
        return 0, "Normalized form: x\n    Next elapse: Mon 2026-03-09 00:00:00 UTC\n"

    monkeypatch.setattr(calendar, "_analyze", analyze)

    async def play() -> None:
        house = House(store)
        spec = JobSpec("true", schedule="hard")
        for ask in (house.jobs.check(spec, ALICE), house.submit(spec), house.submit(spec)):
            asking = asyncio.create_task(ask)
            await asyncio.sleep(0.02)
            asking.cancel()
        await asyncio.sleep(0.02)
        assert asked == 1
        go.set()

    asyncio.run(play())

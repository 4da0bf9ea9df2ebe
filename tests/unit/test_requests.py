"""What callers ask of jobs, with a real store and a PID 1 of paper."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from joblet_systemd import unit
from joblet_systemd.config import JobsConfig
from joblet_systemd.errors import Exhausted, WrongState
from joblet_systemd.files.work import WorkDirs
from joblet_systemd.jobs.book import Book
from joblet_systemd.jobs.requests import Jobs
from joblet_systemd.model import Actor, Job, JobSpec, Limits, State
from joblet_systemd.store import Store

MIB = 1 << 20
ALICE = Actor("alice", others=False)
JOB = Job(
    "00000001-0000-0000-0000-000000000000",
    JobSpec("true", limits=Limits(memory_bytes=100 * MIB)),
    "alice",
    "joblet-alice",
    State.RUNNING,
    submitted_usec=1,
)
HOST = unit.Host(257, frozenset(), frozenset({"cpu", "memory"}), frozenset({0}), {}, ())


class Manager:
    """PID 1, which takes its time; ``limits`` is what it has been told."""

    def __init__(self) -> None:
        self.limits: dict[str, Any] = {}

    async def change(self, _unit: str, properties: list[tuple[str, str, Any]]) -> bool:
        await asyncio.sleep(0.01)
        self.limits |= {name: value for name, _, value in properties}
        return True


class House:
    """The jobs of a host, one of which runs."""

    def __init__(self, path: Path) -> None:
        self.book, self.manager = Book(Store(path / "joblet.db")), Manager()
        self.book.store.add(JOB)
        self.book.adopt(JOB)
        work = WorkDirs(path, JobsConfig())
        missing: Any = None
        manager: Any = self.manager
        self.jobs = Jobs(JobsConfig(), HOST, manager, missing, self.book, work, missing, "boot")

    async def update(self, *, priority: int | None = None, **changes: Any) -> None:
        await self.jobs.update(JOB.id, ALICE, changes, priority)

    def stored(self) -> Limits:
        return self.book.store.find(JOB.id).spec.limits


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., None]:
    def play(script: Callable[[House], Awaitable[None]]) -> None:
        async def run() -> None:
            await script(House(tmp_path))

        asyncio.run(run())

    return play


def test_two_updates_at_once_are_both_stored(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        await asyncio.gather(
            house.update(memory_bytes=200 * MIB), house.update(cpu_percent=50), house.update(memory_bytes=100 * MIB)
        )
        assert house.stored() == Limits(memory_bytes=100 * MIB, cpu_percent=50)
        assert house.manager.limits == {"MemoryMax": 100 * MIB, "CPUQuotaPerSecUSec": 500_000}

    scene(script)


def test_an_update_that_cannot_be_stored_is_taken_back(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise Exhausted("The disk is full.")

    async def script(house: House) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(house.book.store, "update", full)
            with pytest.raises(Exhausted):
                await house.update(memory_bytes=200 * MIB)
        assert house.manager.limits == {"MemoryMax": 100 * MIB}
        assert house.stored().memory_bytes == 100 * MIB
        await house.update(memory_bytes=300 * MIB)
        assert house.manager.limits == {"MemoryMax": house.stored().memory_bytes} == {"MemoryMax": 300 * MIB}

    scene(script)


def test_what_only_counts_before_the_start_is_refused_of_a_job_that_runs(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        # Repeated by a client whose first call broke, just before the job started.
        await house.update(priority=JOB.spec.priority, runtime_usec=None)
        with pytest.raises(WrongState, match=r"priority: job .* runs already"):
            await house.update(priority=7, memory_bytes=200 * MIB)
        with pytest.raises(WrongState, match=r"max_runtime: job .* runs already.*'rnx job stop' ends it"):
            await house.update(runtime_usec=1_000_000, memory_bytes=200 * MIB)
        assert house.stored() == JOB.spec.limits
        assert house.manager.limits == {}

    scene(script)

"""JobService over a store without a host: what its answers and streams make the daemon hold."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from joblet_systemd.api.answers import AT_ONCE
from joblet_systemd.api.server import Caller
from joblet_systemd.identity import Identity, Role
from joblet_systemd.jobs.book import Book
from joblet_systemd.logs import Batch
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.selection import Selection
from joblet_systemd.store import Store
from joblet_wire import joblet_pb2 as wire

LARGE = Job("job-1", JobSpec("true", ("x" * 100_000,) * 10), "alice", "a", State.COMPLETED, 1, seq_base=7)


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """joblet_systemd.api.jobs: with it comes what reads the journal, whose library need not be there for this."""
    raw = ModuleType("systemd._reader")
    raw.__dict__["_Reader"] = object
    before = set(sys.modules)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "systemd", ModuleType("systemd"))
        patched.setitem(sys.modules, "systemd._reader", raw)
        yield importlib.import_module("joblet_systemd.api.jobs")
        for name in set(sys.modules) - before:
            if name.startswith("joblet_systemd."):
                del sys.modules[name]


class Fakes:
    """A job that has ended, and its log; ``given`` is the job that its reader was given."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "joblet.db")
        self.store.add(LARGE)
        self.book = Book(self.store)
        self.given: Job | None = None

    def positions(self) -> dict[str, int]:
        return {}

    async def next_runs(self, job: Job, who: str) -> tuple[int, ...]:
        return ()

    def until(self, job: Job) -> None:
        return None

    async def stored(self, job: Job, selection: Selection, who: str) -> AsyncGenerator[Batch, None]:
        self.given = job
        for _ in ():
            yield []


def caller(name: str = "alice") -> Caller:
    return Caller(Identity(name, Role.READER))


def test_large_jobs_are_shown_to_few_at_a_time(module: ModuleType, tmp_path: Path) -> None:
    async def play() -> None:
        fakes: Any = Fakes(tmp_path)
        service = module.JobService(fakes, fakes, fakes, fakes, "node")
        request = wire.GetJobStatusRequest(uuid="job-1")
        callers = [caller() for _ in range(AT_ONCE + 3)]
        asked = [asyncio.create_task(service.status(request, one)) for one in callers]
        await asyncio.sleep(0.1)
        assert sum(task.done() for task in asked) == AT_ONCE
        assert len((await service.status(request, caller("bob"))).args) == 10
        for one in callers[:3]:  # what they were sent has been taken
            await one.held.aclose()
        await asyncio.gather(*asked)

    asyncio.run(asyncio.wait_for(play(), 20))


def test_who_reads_a_log_does_not_keep_the_arguments_of_its_job(module: ModuleType, tmp_path: Path) -> None:
    async def play() -> None:
        fakes: Any = Fakes(tmp_path)
        service = module.JobService(fakes, fakes, fakes, fakes, "node")
        request = wire.GetJobLogsRequest(uuid="job-1", no_follow=True)
        async with contextlib.aclosing(service.logs(request, caller())) as chunks:
            assert [chunk async for chunk in chunks] == []
        assert (fakes.given.unit, fakes.given.seq_base, fakes.given.spec.args) == (LARGE.unit, 7, ())

    asyncio.run(asyncio.wait_for(play(), 20))

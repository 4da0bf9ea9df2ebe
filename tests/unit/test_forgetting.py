"""Jobs that are forgotten: because somebody deletes them, or there are too many or too old ones. With a real store."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joblet_systemd.config import JobsConfig
from joblet_systemd.jobs.book import Book
from joblet_systemd.model import Actor, Job, JobSpec, State
from joblet_systemd.store import Store

from .journalless import imported

ENDED = Job("0", JobSpec("true"), "alice", "joblet-alice", State.COMPLETED, submitted_usec=1, ended_usec=1)
ALICE = Actor("alice", others=False)


class House:
    """Jobs that have ended, each with a directory."""

    def __init__(self, store: Store, number: int) -> None:
        self.book = Book(store)
        self.directories = {f"{number:08}" for number in range(number)}
        for name in sorted(self.directories):
            store.add(dataclasses.replace(ENDED, id=name))
        self.go = threading.Event()
        config = JobsConfig(keep_jobs=1000, keep_days=3650)
        runner: Any = SimpleNamespace(remove=self._remove)
        manager: Any = SimpleNamespace(watch=lambda *_: None)
        work: Any = SimpleNamespace(ids=lambda: list(self.directories))
        kept = sampler = SimpleNamespace(changed=lambda job: None, deleted=lambda job_ids: None)
        parts = (manager, runner, self.book, work)
        self.lifecycle = imported("jobs.lifecycle").Lifecycle(config, *parts, kept, sampler, "boot")
        host = SimpleNamespace()
        self.jobs = imported("jobs.requests").Jobs(config, host, *parts, self.lifecycle, "boot")

    def _remove(self, job_id: str) -> None:
        assert self.go.wait(60)
        if job_id == "00000001":
            raise OSError(13, "Permission denied")
        self.directories.discard(job_id)


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., None]:
    def play(script: Callable[[House], Awaitable[None]], number: int) -> None:
        async def run() -> None:
            house = House(Store(tmp_path / "joblet.db"), number)
            await script(house)
            await house.lifecycle.close()

        asyncio.run(run())

    return play


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("one", [True, False])
def test_who_goes_away_while_jobs_are_deleted_leaves_nothing_behind(scene: Callable[..., None], one: bool) -> None:
    async def script(house: House) -> None:
        work: Any = house.jobs.delete("00000000", ALICE) if one else house.jobs.delete_all(ALICE)
        call = asyncio.create_task(work)
        await until(lambda: house.book.store.count() < 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        house.go.set()
        # One that cannot be removed does not keep the others.
        left = {f"{number:08}" for number in range(1, 5)} if one else {"00000001"}
        await until(lambda: house.directories == left)

    scene(script, 5)


def test_who_waits_knows_that_the_files_are_gone(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        house.go.set()
        assert await house.jobs.delete_all(ALICE) == (5, 0)
        assert house.directories == {"00000001"}

    scene(script, 5)


@pytest.mark.parametrize("by", ["delete_all", "retention"])
def test_others_have_their_turn_while_a_great_many_are_forgotten(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    for module in ("lifecycle", "retention"):
        monkeypatch.setattr(imported(f"jobs.{module}"), "AT_ONCE", 10)

    async def script(house: House) -> None:
        house.go.set()
        if by == "retention":
            house.lifecycle._retention._keep = 5
            house.lifecycle._retention.look()
        else:
            await_all = asyncio.create_task(house.jobs.delete_all(ALICE))
        seen = {house.book.store.count()}

        def gone() -> bool:
            seen.add(house.book.store.count())
            return min(seen) == (5 if by == "retention" else 0)

        async with asyncio.timeout(60):
            while not gone():
                await asyncio.sleep(0)
        assert {25, 15} <= seen
        if by == "delete_all":
            assert await await_all == (35, 0)
        left = {job.id for job in house.book.store.each()} | {"00000001"}  # the latter cannot be removed
        await until(lambda: house.directories == left)

    scene(script, 35)


def test_a_store_that_fails_for_a_while(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    retention = imported("jobs.retention")
    monkeypatch.setattr(retention, "GAP_USEC", 50_000)

    async def script(house: House) -> None:
        house.go.set()
        retained = house.lifecycle._retention
        retained._keep = 0
        db = house.book.store._db
        db.execute("PRAGMA query_only = ON")  # SQLite refuses every write
        retained.look()
        await until(lambda: len(caplog.records) >= 2)  # it looks again by itself
        assert house.book.store.count() == 5
        db.execute("PRAGMA query_only = OFF")
        await until(lambda: house.book.store.count() == 0)

    with caplog.at_level(logging.ERROR):
        scene(script, 5)
    assert "finished jobs cannot be forgotten" in caplog.text
    assert "Traceback" not in caplog.text


def test_what_is_due_together_is_forgotten_together(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one transaction: thousands, as after a change of the configuration, would hold everybody up for seconds."""
    deleted: list[int] = []

    async def script(house: House) -> None:
        delete = house.book.store.delete

        def counted(job_ids: Iterable[str]) -> None:
            deleted.append(len(list(job_ids)))
            delete(job_ids)

        monkeypatch.setattr(house.book.store, "delete", counted)
        house.go.set()
        retained = house.lifecycle._retention
        retained._keep = 0
        retained.look()
        retained.look()
        assert deleted == [20]
        await until(lambda: house.directories == {"00000001"})

    scene(script, 20)

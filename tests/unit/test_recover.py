"""What a daemon takes over at its start, with a real store and a PID 1 of paper."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joblet_systemd.config import JobsConfig
from joblet_systemd.jobs.book import Book
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.store import Store

from .journalless import imported

RUNNING = Job(
    "00000001-0000-0000-0000-000000000000",
    JobSpec("sh", ("x" * 100_000,)),
    "alice",
    "joblet-alice",
    State.RUNNING,
    submitted_usec=1,
)


class Manager:
    """PID 1 with one unit, which has ended."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.reconnected: Callable[[], None] = lambda: None

    def watch(self, _on_end: object, on_reconnect: Callable[[], None], _on_refusal: object) -> None:
        self.reconnected = on_reconnect

    async def states(self) -> dict[str, str]:
        return {RUNNING.unit: "inactive"}

    async def state(self, unit: str) -> str | None:
        return (await self.states()).get(unit)

    async def release(self, unit: str, *, failed: bool = True) -> None:
        self.released.append(unit)


def test_a_store_that_takes_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, go, looked = Store(tmp_path / "joblet.db"), threading.Event(), asyncio.Event()
    store.add(RUNNING)
    unfinished = store.unfinished

    def slowly() -> Iterator[Job]:
        assert go.wait(10), "the event loop, and with it the watchdog, waits for the store"
        yield from unfinished()

    monkeypatch.setattr(store, "unfinished", slowly)

    async def play() -> None:
        async def end(job: Job) -> None:
            looked.set()
            await asyncio.sleep(60)

        async def nothing(*_: object) -> None:
            pass

        manager: Any = Manager()
        runner: Any = SimpleNamespace(end=end, forget_others=lambda *_: None)
        kept: Any = SimpleNamespace(recover=nothing)
        sampler: Any = SimpleNamespace(changed=lambda job: None)
        book, work = Book(store), SimpleNamespace()
        module = imported("jobs.lifecycle")
        lifecycle = module.Lifecycle(JobsConfig(), manager, runner, book, work, kept, sampler, "boot")
        recovering = asyncio.create_task(lifecycle.recover())
        await asyncio.sleep(0)
        # The connection to PID 1 is lost and made anew: no job is known yet, and no unit is left over.
        manager.reconnected()
        await asyncio.sleep(0.05)
        assert manager.released == []
        go.set()
        await recovering
        await asyncio.wait_for(looked.wait(), 10)
        assert manager.released == []
        assert (book[RUNNING.id].spec.args, book[RUNNING.id].omitted) == ((), ("args",))
        await lifecycle.close()

    asyncio.run(play())

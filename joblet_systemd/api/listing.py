"""The list of all jobs, made outside of the event loop, once for all who ask for it at the same time.

It may have a hundred thousand jobs. Every reader can ask for it, as often as he likes, and read the answer as
slowly as he likes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from joblet_wire import joblet_pb2 as wire

from ..model import Job
from ..shared import Shared
from . import messages
from .server import Caller

# Of one identity, until the last byte has been sent.
AT_ONCE = 8
# Arguments and environment that are longer are left out: the status of the job has them.
MAX_DETAILS_BYTES = 2 << 10


class Listing:
    """``jobs`` gives all jobs, the oldest first, and is called in a thread; ``positions`` those of the queue."""

    def __init__(
        self, jobs: Callable[[], Iterable[Job]], positions: Callable[[], Mapping[str, int]], node_id: str
    ) -> None:
        self._jobs = jobs
        self._positions = positions
        self._node_id = node_id
        self._shared: Shared[bytes] = Shared(1)
        self._one_part = asyncio.Semaphore(1)
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))

    async def answer(self, caller: Caller) -> bytes:
        """The message Jobs, serialized."""
        await caller.held.enter_async_context(self._slots[caller.name])
        return await self._shared.get(None, self._make)

    async def part(self, jobs: Callable[[], Iterable[Job]], caller: Caller) -> bytes:
        """The same of some jobs only: quickly made, and not behind lists of all."""
        await caller.held.enter_async_context(self._slots[caller.name])
        async with self._one_part:
            return await asyncio.to_thread(self._serialized, dict(self._positions()), jobs)

    async def _make(self) -> bytes:
        return await asyncio.to_thread(self._serialized, dict(self._positions()))

    def _serialized(self, positions: Mapping[str, int], jobs: Callable[[], Iterable[Job]] | None = None) -> bytes:
        # Messages one after the other are one message with all of their repeated fields.
        return b"".join(
            wire.Jobs(jobs=[_entry(job, self._node_id, positions.get(job.id, 0))]).SerializeToString()
            for job in (jobs or self._jobs)()
        )


def _entry(job: Job, node_id: str, position: int) -> wire.Job:
    entry = messages.entry(job, node_id, position)
    if sum(map(len, job.spec.args)) > MAX_DETAILS_BYTES:
        del entry.args[:]
    if sum(len(name) + len(value) for name, value in job.spec.environment.items()) > MAX_DETAILS_BYTES:
        entry.environment.clear()
    return entry

"""The list of all jobs, made outside of the event loop, once for all who ask for it at the same time.

It may have a hundred thousand jobs. Every reader can ask for it, as often as he likes, and read the answer as
slowly as he likes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping

from joblet_wire import joblet_pb2 as wire

from ..model import Job
from ..shared import Shared
from . import messages
from .answers import Answers
from .brief import MAX_BYTES, brief
from .server import Caller
from .threads import Threads

# A hundred thousand jobs take about 40 MB. From here on nothing of them is told that can be left out.
FULL_BYTES = 64 << 20


class Listing:
    """``jobs`` gives all jobs, the oldest first, and is called in a thread; ``positions`` those of the queue."""

    def __init__(
        self,
        jobs: Callable[[], Iterable[Job]],
        positions: Callable[[], Mapping[str, int]],
        node_id: str,
        answers: Answers,
    ) -> None:
        self._jobs = jobs
        self._positions = positions
        self._node_id = node_id
        self._shared: Shared[bytes] = Shared(1)
        self._all_thread, self._part_thread = Threads(1, "list"), Threads(1, "newest")
        self._answers = answers
        self._size = 0  # of the latest one: the next will be much the same

    async def answer(self, caller: Caller) -> bytes:
        """The message Jobs, serialized."""
        await self._answers.turn(caller, self._size)
        return await self._shared.get(None, self._make)

    async def part(self, jobs: Callable[[], Iterable[Job]], caller: Caller) -> bytes:
        """The same of some jobs only: quickly made, and not behind lists of all."""
        await self._answers.turn(caller)
        return await self._part_thread.run(self._serialized, dict(self._positions()), jobs)

    async def _make(self) -> bytes:
        made = await self._all_thread.run(self._serialized, dict(self._positions()))
        self._size = len(made)
        return made

    def _serialized(self, positions: Mapping[str, int], jobs: Callable[[], Iterable[Job]] | None = None) -> bytes:
        # Messages one after the other are one message with all of their repeated fields. They are kept in one place
        # from the beginning: joined at the end, they would be there twice for a moment.
        whole = io.BytesIO()
        for job in (jobs or self._jobs)():
            shown, _ = brief(job, MAX_BYTES if whole.tell() < FULL_BYTES else 0)
            entry = messages.entry(shown, self._node_id, positions.get(job.id, 0))
            whole.write(wire.Jobs(jobs=[entry]).SerializeToString())
        return whole.getvalue()

"""The admission queue in front of PID 1, which starts units one by one whatever is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class StartQueue:
    """Calls ``start(job_id)`` first come, first served, for at most ``limit`` jobs at a time.

    ``start`` deals with its own errors.
    """

    def __init__(self, limit: int, start: Callable[[str], Awaitable[None]]) -> None:
        self._limit = limit
        self._start = start
        self._waiting: dict[str, None] = {}  # an ordered set
        self._starting: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, job_id: str) -> None:
        """Queue a job."""
        self._waiting[job_id] = None
        self._pump()

    def discard(self, job_id: str) -> bool:
        """Take a job out; False when its start has begun already or it never was here."""
        if job_id not in self._waiting:
            return False
        del self._waiting[job_id]
        return True

    def close(self) -> None:
        """Begin no more starts."""
        self._limit = 0

    def _pump(self) -> None:
        while self._waiting and len(self._starting) < self._limit:
            job_id = next(iter(self._waiting))
            del self._waiting[job_id]
            task = asyncio.ensure_future(self._start(job_id))
            self._starting.add(task)
            task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        self._pump()

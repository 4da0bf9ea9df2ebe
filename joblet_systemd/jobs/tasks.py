"""Work in the background whose failures are logged, not lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from ..errors import BusLost, JobletError

log = logging.getLogger(__name__)


class Tasks:
    """Keeps references to running tasks, as asyncio does not, and ends them together."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it; nobody has to wait for it. Who does shields it from being cancelled with the waiting."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, BusLost):
            log.warning("%s Looking again when the connection is back.", error)
        elif isinstance(error, JobletError):
            log.error("%s", error)
        elif error is not None:
            log.error("a background task failed", exc_info=error)

    def close(self) -> None:
        """Cancel what runs."""
        for task in self._running:
            task.cancel()

"""Work that is done once for all who ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """Does at most ``at_once`` pieces of work at a time. Those who wait for the same piece get the same value."""

    def __init__(self, at_once: int) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._not_begun: dict[Hashable, asyncio.Task[Value]] = {}

    async def get(self, key: Hashable, work: Callable[[], Awaitable[Value]]) -> Value:
        """What ``work`` returns or raises.

        It begins after this call, so that nobody gets an answer that is older than the question.
        """
        task = self._not_begun.get(key)
        if task is None:
            task = self._not_begun[key] = asyncio.create_task(self._do(key, work))
        return await asyncio.shield(task)  # others may wait for it, too

    async def _do(self, key: Hashable, work: Callable[[], Awaitable[Value]]) -> Value:
        try:
            await self._slots.acquire()
        finally:
            del self._not_begun[key]
        try:
            return await work()
        finally:
            self._slots.release()

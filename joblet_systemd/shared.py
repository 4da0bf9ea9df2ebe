"""Work that is done once for all who ask for it at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

Value = TypeVar("Value")


class _Piece(Generic[Value]):
    """A piece of work, and how many wait for its value."""

    def __init__(self, work: Callable[[], Awaitable[Value]]) -> None:
        self._work = work
        self.value: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self.wanted = 0

    async def do(self) -> Value:
        return await self._work()

    def settle(self, done: asyncio.Task[Value]) -> None:
        """Give those who wait what came out."""
        if done.cancelled():
            self.value.cancel()
        elif error := done.exception():
            self.value.set_exception(error)
            if not self.wanted:
                self.value.exception()  # seen: or asyncio would complain of an error that nobody has looked at
        else:
            self.value.set_result(done.result())


class Shared(Generic[Value]):
    """Does at most ``at_once`` pieces of work at a time. Those who wait for the same piece get the same value."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._not_begun: dict[Hashable, _Piece[Value]] = {}  # in the order in which they were asked for
        self._at_work: set[asyncio.Task[Value]] = set()

    async def get(self, key: Hashable, work: Callable[[], Awaitable[Value]]) -> Value:
        """What ``work`` returns or raises.

        It begins after this call, so that nobody gets an answer that is older than the question, and never when
        all who have asked for it are gone by then.
        """
        piece = self._not_begun.get(key)
        if piece is None:
            piece = self._not_begun[key] = _Piece(work)
            asyncio.get_running_loop().call_soon(self._begin)
        piece.wanted += 1
        try:
            return await asyncio.shield(piece.value)  # others may wait for it, too
        finally:
            piece.wanted -= 1
            if not piece.wanted and self._not_begun.get(key) is piece:
                del self._not_begun[key]

    def _begin(self) -> None:
        while self._not_begun and len(self._at_work) < self._at_once:
            piece = self._not_begun.pop(next(iter(self._not_begun)))
            task = asyncio.create_task(piece.do())
            self._at_work.add(task)
            task.add_done_callback(partial(self._end, piece))

    def _end(self, piece: _Piece[Value], task: asyncio.Task[Value]) -> None:
        self._at_work.discard(task)
        piece.settle(task)
        self._begin()

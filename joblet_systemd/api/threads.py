"""Blocking work that undoes itself: done in threads, to its end even when the call it is for is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Threads:
    """``count`` threads."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._closed = False

    async def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """What the function returns or raises. When cancelled, the function has ended before this does.

        Once closed, nothing is begun any more: who asks is cancelled, and the next daemon removes what is left.
        """
        if self._closed:
            raise asyncio.CancelledError
        work = asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # seen; the cancellation matters more
            raise

    def close(self) -> None:
        """Take no more work."""
        self._closed = True
        self._pool.shutdown(wait=False)

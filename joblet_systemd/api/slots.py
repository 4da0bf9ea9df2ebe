"""How many transfers, readings and commands there may be at once: in all, and of one identity.

So none takes what all share.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

from ..errors import Exhausted


class Slots:
    """``total`` slots, of which one identity gets ``each`` at most. ``what`` they are for, as in "uploads"."""

    def __init__(self, what: str, total: int, each: int, patience: float) -> None:
        self._what = what
        self._total = total
        self._each = each
        self._patience = patience
        self._taken: Counter[str] = Counter()
        self._freed = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Wait for a slot and have it. Raises Exhausted when there is none for ``patience`` seconds."""
        try:
            async with asyncio.timeout(self._patience), self._freed:
                await self._freed.wait_for(lambda: self._taken[name] < self._each and self._taken.total() < self._total)
                self._taken[name] += 1
        except TimeoutError:
            raise Exhausted(
                f"There are {self._taken.total()} {self._what} at the moment, {self._taken[name]} of {name!r}; "
                f"{self._total} are possible, {self._each} of one identity.",
                hint="Try again later.",
            ) from None
        try:
            yield
        finally:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]
            async with self._freed:
                self._freed.notify_all()

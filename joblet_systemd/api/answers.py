"""Turns at answers that may be large: of those that are made and not sent yet, one identity has only so many bytes.

A client may read its answers as slowly as it likes. Who asks for one waits for its turn before the answer is made,
for then nothing is held yet but the question.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from .server import Caller

AT_ONCE, ALL_BYTES = 8, 64 << 20


class Answers:
    """Of one identity ``AT_ONCE`` answers at a time, of ``ALL_BYTES`` together, or one that is larger."""

    def __init__(self) -> None:
        # As many as there are identities with certificates, at most.
        self._shares: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        self._queues: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def turn(self, caller: Caller, size: int = 0) -> None:
        """Wait for a turn at an answer of about that size; it ends when the answer has been sent."""
        shares = min(max(1, -(-size * AT_ONCE // ALL_BYTES)), AT_ONCE)
        # One after the other: two with a part of what they need would wait for each other.
        async with self._queues[caller.name]:
            for _ in range(shares):
                await caller.held.enter_async_context(self._shares[caller.name])

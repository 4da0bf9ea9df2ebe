"""Runs a server as long as somebody is connected: gRPC's threads wake up several times a second, clients or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Protocol

# After the last connection: whoever runs one command after the other finds the server there.
LINGER_SEC = 30.0


class Startable(Protocol):
    """What can be started and stopped, one after the other, any number of times."""

    async def start(self) -> None:
        """Raises what keeps it from starting."""

    async def stop(self) -> None:
        """End what goes on."""


class OnDemand:
    """Has ``server`` run while there are connections, and LINGER_SEC longer."""

    def __init__(self, server: Startable) -> None:
        self._server = server
        self._runs = False
        self._connections = 0
        self._changing = asyncio.Lock()
        self._alarm: asyncio.TimerHandle | None = None
        self._leaving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Run it once, so that what keeps it from starting is known before anybody connects."""
        await self._run()
        self._linger()

    async def stop(self) -> None:
        """Stop it, whoever is connected."""
        self._stay()
        async with self._changing:
            await self._halt()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """One more connection, as long as the block lasts, which begins when the server runs."""
        self._connections += 1
        self._stay()
        try:
            await self._run()
            yield
        finally:
            self._connections -= 1
            if not self._connections:
                self._linger()

    async def _run(self) -> None:
        async with self._changing:
            if not self._runs:
                await self._server.start()
                self._runs = True

    async def _halt(self) -> None:
        if self._runs:
            self._runs = False
            await self._server.stop()

    def _stay(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _linger(self) -> None:
        self._alarm = asyncio.get_running_loop().call_later(LINGER_SEC, self._ring)

    def _ring(self) -> None:
        # A task of its own, which nobody cancels: a server that is half stopped would be of no use. Who connects
        # meanwhile waits for the lock.
        self._leaving = asyncio.create_task(self._leave())

    async def _leave(self) -> None:
        async with self._changing:
            if not self._connections:  # since the alarm rang somebody may have come
                await self._halt()

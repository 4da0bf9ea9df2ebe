"""Waits for the first HTTP client: aiohttp and what comes with it take 15 MB, which is much where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gateway import Gateway

log = logging.getLogger(__name__)


class Doorkeeper:
    """Has a gateway answer on ``sockets``, from the first connection on; ``make`` makes it of the module ``parts``."""

    def __init__(self, sockets: Sequence[socket.socket], make: Callable[[Any], Gateway]) -> None:
        self._sockets = sockets
        self._make = make
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to wait."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End all connections, if there was ever any."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            await self._knock()
            # In a thread: it takes a quarter of a second, in which others want their answers.
            parts = await asyncio.to_thread(importlib.import_module, f"{__package__}.parts")
            gateway = self._make(parts)
            await gateway.start()
            try:
                await asyncio.Event().wait()
            finally:
                await gateway.stop()
        except Exception:
            log.exception("nothing answers over HTTP any more; 'systemctl restart joblet.service' tries again")

    async def _knock(self) -> None:
        """Wait until somebody connects; the connection stays where it is."""
        loop = asyncio.get_running_loop()
        knocked = asyncio.Event()
        for listening in self._sockets:
            loop.add_reader(listening, knocked.set)
        try:
            await knocked.wait()
        finally:
            for listening in self._sockets:
                loop.remove_reader(listening)

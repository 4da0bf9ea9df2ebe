"""Waits for the first HTTP client: aiohttp and what comes with it take 10 MB, which is much where there is none."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import JobletError

if TYPE_CHECKING:
    from .gateway import Gateway

log = logging.getLogger(__name__)

# After a failure; whoever has connected meanwhile waits.
RETRY_SEC = 5.0


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
        while True:
            try:
                await self._serve()
            except JobletError as error:  # such as certificates that are being replaced
                log.error("nothing answers over HTTP: %s; trying again", error)
            except Exception:
                log.exception("nothing answers over HTTP; trying again")
            await asyncio.sleep(RETRY_SEC)

    async def _serve(self) -> None:
        """From the first connection on, to the end of this task."""
        await self._knock()
        # In a thread: it takes a quarter of a second, in which others want their answers.
        parts = await asyncio.to_thread(importlib.import_module, f"{__package__}.parts")
        gateway = self._make(parts)
        try:
            await gateway.start()
            await asyncio.Event().wait()
        finally:
            await gateway.stop()

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

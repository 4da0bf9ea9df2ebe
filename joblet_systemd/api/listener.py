"""The sockets clients connect to, and the way from there to the gRPC server.

grpcio cannot serve a socket that is open already (https://github.com/grpc/grpc/issues/19133), and
joblet.socket stays open while the daemon restarts, so that no client is refused. So connections are
accepted here and their bytes, TLS and all, passed on to a UNIX socket on which grpcio listens.

Whoever can reach the port can connect, certificate or not. How many connections there are is bounded here
(``crowd``); that a connection which says nothing is closed after some seconds is gRPC's part.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from ..errors import InvalidValue, JobletError
from .crowd import Crowd
from .ondemand import OnDemand

log = logging.getLogger(__name__)

BUFFER_BYTES = 64 << 10
# gRPC notices earlier that a client takes nothing any more, but what it said last may still be on its way here.
STUCK_SEC = 120.0


class Listener:
    """Accepts on ``sockets`` and relays to the UNIX socket ``target``, where ``server`` listens."""

    def __init__(self, sockets: Sequence[socket.socket], target: Path, server: OnDemand) -> None:
        self._sockets = sockets
        self._target = target
        self._server = server
        self._servers: list[asyncio.Server] = []
        self._relays: set[asyncio.Task[None]] = set()
        self._crowd = Crowd()
        self._stopped = False

    async def start(self) -> None:
        """Begin to accept."""
        for listening in self._sockets:
            server = await asyncio.start_server(self._relay, sock=listening, limit=BUFFER_BYTES, backlog=1024)
            self._servers.append(server)

    def stop(self) -> None:
        """Accept no more. Sockets of joblet.socket stay open in PID 1, and new clients wait there."""
        self._stopped = True
        for server in self._servers:
            server.close()
        for relay in self._relays:
            relay.cancel()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        inner: asyncio.StreamWriter | None = None
        try:
            with self._crowd.join(writer.get_extra_info("peername")) as may_stay:
                if self._stopped or not may_stay:  # accepted in the last moment, it would start the server again
                    return
                async with self._server.connection():
                    inner_reader, inner = await asyncio.open_unix_connection(str(self._target), limit=BUFFER_BYTES)
                    async with asyncio.TaskGroup() as directions:
                        up = directions.create_task(_copy(reader, inner))
                        await _copy(inner_reader, writer)
                        # gRPC is done with it; the client may never be.
                        up.cancel()
        except* OSError as errors:
            log.debug("a connection broke: %s", errors.exceptions)
        except* JobletError as errors:
            log.error("a connection was closed at once: %s", errors.exceptions[0])
        finally:
            self._relays.discard(task)
            if inner is not None:
                inner.close()
            _close(writer)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(BUFFER_BYTES):
        writer.write(data)
        async with asyncio.timeout(STUCK_SEC):  # TimeoutError is an OSError
            await writer.drain()
    with contextlib.suppress(OSError):  # the other side may be gone already, which is what EOF would tell it
        writer.write_eof()


def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, now if what was said last is not taken."""
    if writer.transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(STUCK_SEC, writer.transport.abort)
    writer.close()


def bind(address: str) -> socket.socket:
    """A listening socket on ``HOST:PORT`` or ``[IPv6]:PORT``, for a daemon without joblet.socket."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidValue("--listen", address, "HOST:PORT, for example 127.0.0.1:50051")
    try:
        return socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise JobletError(
            f"{address} cannot be listened on: {error.strerror or error}.",
            hint="Is another jobletd running, or joblet.socket active ('systemctl stop joblet.socket')?",
        ) from error

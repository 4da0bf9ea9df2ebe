"""The HTTP server: from the sockets of joblet-http.socket to the handlers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from http import HTTPStatus
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..api.admission import Admission, known_leaf
from ..api.bounds import counted
from ..api.crowd import Crowd, source_of
from ..errors import Denied, Exhausted
from .edge import Edge, add_headers, middleware
from .guard import HEAD_SEC, IDLE_SEC, Guard
from .routes import Route
from .tls import Contexts, peer_pem

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 8190
STOP_SEC = 0.5
# A handshake takes some milliseconds and 70 KB, one with a client that does not go on HEAD_SEC.
MAX_HANDSHAKES, MAX_HANDSHAKES_OF_ONE_SOURCE = 256, 64
# A quarter of the connections that there may be; each may hold some 170 KB.
MAX_OF_ONE_IDENTITY = 1000
# What is no HTTP; who went; and what aiohttp 3.8 asserts when he goes between two of his requests. Errors of handlers
# do not get that far.
CLIENTS_FAULTS = (HttpProcessingError, ConnectionError, AssertionError)


def application(admission: Admission, routes: Iterable[Route]) -> web.Application:
    """The handlers of all routes, each behind the edge."""
    edge = Edge(admission)
    app = web.Application(middlewares=[middleware])
    app.on_response_prepare.append(add_headers)
    for route in routes:
        app.router.add_route(route.method, route.path, edge.wrap(route))
    return app


def _faults() -> logging.Logger:
    """For what aiohttp logs: with a traceback whatever is no HTTP, which a client could fill the journal with."""
    found = logging.getLogger(f"{__name__}.aiohttp")
    found.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], CLIENTS_FAULTS)))
    return found


class Gateway:
    """Accepts on ``sockets``; every connection is a TLS handshake, then HTTP/1.1."""

    def __init__(self, sockets: Sequence[socket.socket], contexts: Contexts, app: web.Application) -> None:
        self._sockets = sockets
        self._contexts = contexts
        self._runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=_faults(),
            keepalive_timeout=IDLE_SEC,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            auto_decompress=False,  # a small body could become a large one
        )
        self._crowd = Crowd()
        self._handshakes = Handshakes()
        self._identities: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to accept."""
        await self._runner.setup()
        for listening in self._sockets:
            listening.setblocking(False)
            self._spawn(self._accept(listening))

    async def stop(self) -> None:
        """End all connections. The sockets stay open in PID 1, and new clients wait there."""
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SEC):
                await self._runner.cleanup()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("no connection could be accepted: %s", error)
                await asyncio.sleep(1)
                continue
            self._spawn(self._serve(connection, peer))

    async def _serve(self, connection: socket.socket, peer: object) -> None:
        with contextlib.closing(connection), self._crowd.join(peer) as may_stay:
            if not may_stay:
                return
            connection.setblocking(False)
            assert self._runner.server is not None
            gone = asyncio.Event()
            guard = Guard(self._runner.server(), gone.set)
            try:
                async with self._handshakes.turn(source_of(peer)):
                    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                        lambda: guard, connection, ssl=self._contexts.newest(), ssl_handshake_timeout=HEAD_SEC
                    )
            except OSError as error:  # no certificate, another CA's, another protocol, or nothing
                log.debug("no TLS with %s: %s", peer, error)
                return
            try:
                with counted(self._identities, _identity(transport), MAX_OF_ONE_IDENTITY, "connections"):
                    await gone.wait()
            except Exhausted as error:
                log.debug("%s: %s", peer, error)
                guard.refuse(HTTPStatus.TOO_MANY_REQUESTS)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gone.wait(), STOP_SEC)
            except ConnectionError as error:
                log.debug("%s: %s", peer, error)
            finally:
                transport.abort()


class Handshakes:
    """Turns at TLS handshakes: strangers, who need no certificate to begin one, cannot have many at a time."""

    def __init__(self) -> None:
        self._all = asyncio.Semaphore(MAX_HANDSHAKES)
        self._sources: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def turn(self, source: str) -> AsyncIterator[None]:
        """Wait for a turn and have it. Raises TimeoutError when there is none for HEAD_SEC."""
        of_this_source = self._sources.setdefault(source, asyncio.Semaphore(MAX_HANDSHAKES_OF_ONE_SOURCE))
        async with contextlib.AsyncExitStack() as turns:
            async with asyncio.timeout(HEAD_SEC):
                await turns.enter_async_context(of_this_source)
                await turns.enter_async_context(self._all)
            yield


def _identity(transport: asyncio.Transport) -> str:
    """Whose connection it is; those whose certificate gives no role, and who are told so, are one."""
    try:
        return known_leaf(peer_pem(transport)).identity.name
    except Denied:
        return ""

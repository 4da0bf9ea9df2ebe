"""What stands between a connection and aiohttp: how much it may say, and how long it may take for that.

aiohttp 3.8 waits for a request's head as long as it takes, and reads as many requests ahead as a client cares to
send. So heads are collected here, up to a size and a moment; then aiohttp gets one request at a time, with as many
bytes behind it as the head announces. What is to become another protocol is refused: behind such a request aiohttp
keeps whatever comes, without a bound in 3.8 to 3.11.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web

HEAD_BYTES = 16 << 10
# From the handshake to the end of the first head; and from one answer to the end of the next head.
HEAD_SEC, IDLE_SEC = 10.0, 60.0
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*\r\n", re.IGNORECASE)
# In any line that a parser may see; as a line's beginning, CONNECT is a method.
OTHER_PROTOCOL = re.compile(rb"(?:^|[\r\n])(?:connect[ \t]|upgrade[ \t]*:)", re.IGNORECASE)


class Guard(asyncio.Protocol):
    """The protocol of one connection; ``inner`` is aiohttp's. A handler frames its work by ``begin`` and ``end``.

    ``on_lost`` is called when the connection is over. ``stream`` is set by who begins one: no status can be sent then.
    """

    def __init__(self, inner: asyncio.Protocol, on_lost: Callable[[], object]) -> None:
        self._inner = inner
        self._on_lost = on_lost
        self.stream: web.StreamResponse | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._body_left = 0
        self._busy = False
        self._deadline: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS is done."""
        self._transport = cast(asyncio.Transport, transport)
        self._expect(HEAD_SEC)
        # aiohttp makes the task that all handlers of this connection run in; it sees this, then and later.
        token = CURRENT.set(self)
        self._inner.connection_made(transport)
        CURRENT.reset(token)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went, or was closed; whoever works for it need not go on."""
        self._expect(None)
        self._unread.clear()
        self._inner.connection_lost(exc)
        if self._task is not None:
            self._task.cancel()
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        self._unread += data
        self._feed()

    def eof_received(self) -> bool | None:
        """The client says no more. As TLS in asyncio cannot be half closed, that is the end."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._inner.resume_writing()

    def begin(self) -> None:
        """A handler has taken up the request; its task ends with the connection."""
        self._expect(None)
        self._task = asyncio.current_task()
        self.stream = None

    def end(self) -> None:
        """The request is answered, and the next one may come."""
        self._task = None
        self._busy = False
        if self._transport is not None and not self._transport.is_closing():
            self._expect(IDLE_SEC)
            self._feed()

    def abort(self) -> None:
        """Close the connection now, whatever has not been sent."""
        if self._transport is not None:
            self._transport.abort()

    def refuse(self, status: HTTPStatus) -> None:
        """Answer whatever is asked with that, and close the connection."""
        self._unread.clear()
        self._busy = True
        if self._transport is not None:
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            self._transport.write(head.encode())
            self._transport.close()

    def _expect(self, seconds: float | None) -> None:
        """Give the client so many seconds until ``begin``."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self._loop.call_later(seconds, self.abort)

    def _feed(self) -> None:
        while self._unread:
            if self._body_left:
                piece = bytes(self._unread[: self._body_left])
                del self._unread[: len(piece)]
                self._body_left -= len(piece)
            elif self._busy:
                # The next request, ahead of the answer to this one.
                if len(self._unread) > HEAD_BYTES:
                    self.abort()
                return
            else:
                end = self._unread.find(b"\r\n\r\n")
                if end > HEAD_BYTES or (end < 0 and len(self._unread) > HEAD_BYTES):
                    self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                    return
                if end < 0:
                    return
                piece = bytes(self._unread[: end + 4])
                if OTHER_PROTOCOL.search(piece):
                    self.refuse(HTTPStatus.BAD_REQUEST)
                    return
                del self._unread[: len(piece)]
                length = CONTENT_LENGTH.search(piece)
                self._body_left = int(length[1]) if length else 0
                self._busy = True
            self._inner.data_received(piece)


# The guard of the connection that the code in question works for.
CURRENT: ContextVar[Guard] = ContextVar("guard")

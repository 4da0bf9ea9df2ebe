"""Server-sent events: the stream, its heartbeats, and where a client that comes back was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

from aiohttp import web

from ..errors import InvalidValue
from .guard import CURRENT

TYPE = "text/event-stream"
# The id of the last event of a job that has ended: who has it needs nothing more.
OVER = "over"
HEARTBEAT_SEC = 15.0
HEARTBEAT = b": still here\n\n"
# How long browsers wait before they come back.
RETRY = b"retry: 1000\n\n"

Item = TypeVar("Item")


def event(data: bytes, *, name: str = "", number: str = "") -> bytes:
    """One event. ``data`` is a single line, as JSON is; ``number`` becomes the client's Last-Event-ID."""
    lines = [f"id: {number}\n".encode()] if number else []
    if name:
        lines.append(f"event: {name}\n".encode())
    return b"".join([*lines, b"data: ", data, b"\n\n"])


def place(number: str) -> bytes:
    """What makes a client come back with that number, and is no event."""
    return f"id: {number}\n\n".encode()


def last_event(request: web.Request) -> str:
    """The id of the last event that the client has, empty if it has none. Raises InvalidValue."""
    value = request.headers.get("Last-Event-ID")
    if value == "":
        raise InvalidValue("Last-Event-ID", "", "the id of an event")
    return value or ""


def wanted(request: web.Request) -> bool:
    """Whether the client asks for a stream of events."""
    return TYPE in request.headers.get("Accept", "")


async def begin(request: web.Request, content_type: str = TYPE) -> web.StreamResponse:
    """Send the head of a stream."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    CURRENT.get().stream = response
    await response.prepare(request)
    if content_type == TYPE:
        await response.write(RETRY)
    return response


async def send(response: web.StreamResponse, data: bytes) -> None:
    """Send a part of a stream, as soon as the client has taken enough of what came before."""
    await response.write(data)
    # With room in the buffers that has not waited: others want their turn, and a connection that breaks is to be seen.
    await asyncio.sleep(0)


async def beating(source: AsyncGenerator[Item, None]) -> AsyncGenerator[Item | None, None]:
    """The items of the source, and None whenever there is none for HEARTBEAT_SEC. With it the source is closed."""
    coming: asyncio.Task[Item] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait([coming], timeout=HEARTBEAT_SEC)
            if not done:
                yield None
                continue
            finished, coming = coming, None
            try:
                item = finished.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])
            if not coming.cancelled():
                coming.exception()  # seen: it came to its end in the moment in which nobody wanted it any more
        await source.aclose()

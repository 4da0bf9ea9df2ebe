"""``GET /v1/jobs/{job}/logs``: what a job writes, as events or as it is."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

from joblet_wire import joblet_pb2 as wire

from ..api import messages
from ..api.brief import brief
from ..api.server import Caller
from ..errors import InvalidValue
from ..logs import Batch, Dropped, Logs, Output
from ..model import Job
from ..selection import Cut, Selection
from . import query, sse, view
from .routes import Route

if TYPE_CHECKING:
    from ..jobs.requests import Jobs


PARAMETERS = ("follow", "cursor", "tail", "since", "until", "stream")
WRITE_BYTES = 64 << 10
MAX_TAIL = 10**9


class LogRoutes:
    """Output of jobs."""

    def __init__(self, jobs: Jobs, logs: Logs) -> None:
        self._jobs = jobs
        self._logs = logs

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("GET", "/v1/jobs/{job}/logs", "JobService/GetJobLogs", self._get)]

    async def _get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, PARAMETERS)
        follow, selection = query.flag(request, "follow", True), _selection(request)
        # Brief, for it is kept as long as somebody follows.
        job, _ = brief(self._jobs.book.get(request.match_info["job"], caller.actor))
        caller.job = job.id
        if sse.last_event(request) == sse.OVER:
            return web.Response(status=204)  # by which EventSource knows that it need not come again
        if "text/plain" in request.headers.get("Accept", ""):
            return await self._raw(request, self._source(job, selection, follow, caller.name))
        return await self._events(request, job, selection, follow, caller.name)

    def _source(self, job: Job, selection: Selection, follow: bool, who: str) -> AsyncGenerator[Batch, None]:
        if follow:
            return self._logs.follow(job.unit, selection, lambda: self._jobs.book.ended(job.id), who)
        return self._logs.stored(job, selection, who)

    async def _raw(self, request: web.Request, source: AsyncGenerator[Batch, None]) -> web.StreamResponse:
        response = await sse.begin(request, "text/plain; charset=utf-8")
        async with contextlib.aclosing(source):
            async for batch in source:
                for piece in _portions(found.data for found in batch if isinstance(found, Output)):
                    await sse.send(response, piece)
        return response

    async def _events(
        self, request: web.Request, job: Job, selection: Selection, follow: bool, who: str
    ) -> web.StreamResponse:
        response = await sse.begin(request)
        if selection.tail is not None:
            selection = await self._logs.resolved(job.unit, selection, who)
            # Who breaks off before anything has come can go on here.
            await response.write(sse.place(messages.cursor_of(selection.after, selection.cuts)))
        async with contextlib.aclosing(sse.beating(self._source(job, selection, follow, who))) as batches:
            async for batch in batches:
                if batch is None:
                    await sse.send(response, sse.HEARTBEAT)
                    continue
                for piece in _portions(_event(found, selection.cuts) for found in batch):
                    await sse.send(response, piece)
        now = self._jobs.book.known(job.id)
        over = now is None or (now.state.final and selection.until_usec is None)
        await response.write(sse.event(view.text(view.end(now)), name="end", number=sse.OVER if over else ""))
        return response


def _selection(request: web.Request) -> Selection:
    """The part of the log that is asked for; behind the last event that the client has, if it has one."""
    stream = query.text(request, "stream", accepted="stdout or stderr")
    if stream and stream not in messages.STREAMS:
        raise InvalidValue("stream", stream, "stdout or stderr")
    tail: int | None = query.number(request, "tail", -1, 0, MAX_TAIL)
    asked = wire.GetJobLogsRequest(
        cursor=query.text(request, "cursor", accepted="the id of an event, or 'end'"),
        tail=None if tail == -1 else tail,
        since=query.text(request, "since", accepted="a time"),
        until=query.text(request, "until", accepted="a time"),
        stream=messages.STREAMS.get(stream, 0),
    )
    selection = messages.selection_of(asked)
    last = sse.last_event(request)
    if last in ("", sse.OVER):
        return selection
    # The beginning was chosen with the first request, and the lines counted then.
    return messages.selection_of(wire.GetJobLogsRequest(cursor=last, until=asked.until, stream=asked.stream))


def _event(found: Output | Dropped, cuts: Sequence[Cut]) -> bytes:
    number = messages.cursor_of(found.seq, cuts)
    value: dict[str, Any] = {"time": messages.rfc3339(found.realtime_usec)}
    if isinstance(found, Dropped):
        value |= {"reason": found.reason, "entries": found.entries, "bytes": found.bytes, "lines": found.lines}
        return sse.event(view.text(value), name="dropped", number=number)
    value["stream"] = found.stream
    try:
        value["text"] = found.data.decode()
    except UnicodeDecodeError:
        value["base64"] = base64.b64encode(found.data).decode()
    return sse.event(view.text(value), number=number)


def _portions(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces joined, so that each write is worth it and none is large."""
    joined = bytearray()
    for piece in pieces:
        joined += piece
        if len(joined) >= WRITE_BYTES:
            yield bytes(joined)
            joined.clear()
    if joined:
        yield bytes(joined)

"""``GET /v1/jobs/{job}/logs``: what a job writes, as events or as it is."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from aiohttp import web

from ..api import messages
from ..api.server import Caller
from ..errors import InvalidValue, NotFound
from ..jobs.requests import Jobs
from ..logs import Logs
from ..model import Job
from ..systemd.entries import Output
from . import sse, view
from .routes import Route

WRITE_BYTES = 64 << 10
# The id of the last event of a job that has ended: who has it needs nothing more.
OVER = "over"


class LogRoutes:
    """Output of jobs."""

    def __init__(self, jobs: Jobs, logs: Logs) -> None:
        self._jobs = jobs
        self._logs = logs

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("GET", "/v1/jobs/{job}/logs", "JobService/GetJobLogs", self._get)]

    async def _get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        job = self._jobs.book.get(request.match_info["job"], caller.actor)
        caller.job = job.id
        after = request.headers.get("Last-Event-ID") or request.query.get("cursor", "")
        if after == OVER:
            return web.Response(status=204)  # which tells EventSource not to come again
        follow = _flag(request, "follow", True)
        start = await self._logs.newest(job.unit) if after == "end" else messages.cursor_of(after)
        source = self._follow(job, start) if follow else self._stored(job, start)
        if "text/plain" in request.headers.get("Accept", ""):
            return await self._raw(request, source)
        return await self._events(request, job, source)

    async def _raw(self, request: web.Request, source: AsyncGenerator[list[Output], None]) -> web.StreamResponse:
        response = await sse.begin(request, "text/plain; charset=utf-8")
        async with contextlib.aclosing(source):
            async for batch in source:
                for piece in _portions([entry.data for entry in batch]):
                    await response.write(piece)
        return response

    async def _events(
        self, request: web.Request, job: Job, source: AsyncGenerator[list[Output], None]
    ) -> web.StreamResponse:
        response = await sse.begin(request)
        async for batch in sse.beating(source):
            if batch is None:
                await response.write(sse.HEARTBEAT)
                continue
            for piece in _portions(_event(entry) for entry in batch):
                await response.write(piece)
        await response.write(self._end(job))
        return response

    def _end(self, job: Job) -> bytes:
        try:
            now = self._jobs.book.live(job.id) or self._jobs.book.store.find(job.id)
        except NotFound:
            end: dict[str, Any] = {"status": "DELETED", "exitCode": None, "reason": "the job was deleted"}
            return sse.event(view.text(end), name="end", number=OVER)
        exit_code = now.exit_code if now.state.final else None
        end = {"status": str(now.state), "exitCode": exit_code, "reason": now.reason}
        return sse.event(view.text(end), name="end", number=OVER if now.state.final else "")

    def _follow(self, job: Job, after: int) -> AsyncGenerator[list[Output], None]:
        async def ended() -> None:
            with contextlib.suppress(NotFound):  # ended, and deleted since
                await self._jobs.book.ended(job.id)

        return self._logs.follow(job.unit, after, ended)

    async def _stored(self, job: Job, after: int) -> AsyncGenerator[list[Output], None]:
        while entries := await self._logs.read(job.unit, after):
            after = entries[-1].seq
            yield [entry for entry in entries if isinstance(entry, Output)]


def _event(entry: Output) -> bytes:
    value: dict[str, Any] = {"stream": entry.stream, "time": messages.rfc3339(entry.realtime_usec)}
    try:
        value["text"] = entry.data.decode()
    except UnicodeDecodeError:
        value["base64"] = base64.b64encode(entry.data).decode()
    return sse.event(view.text(value), number=str(entry.seq))


def _portions(pieces: Any) -> Any:
    """Joined, so that each write is worth it, and none is large."""
    joined = bytearray()
    for piece in pieces:
        joined += piece
        if len(joined) >= WRITE_BYTES:
            yield bytes(joined)
            joined.clear()
    if joined:
        yield bytes(joined)


def _flag(request: web.Request, name: str, default: bool) -> bool:
    value = request.query.get(name)
    if value is None:
        return default
    if value not in ("true", "false"):
        raise InvalidValue(name, value, "true or false")
    return value == "true"

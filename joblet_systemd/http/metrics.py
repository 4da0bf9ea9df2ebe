"""``/v1/jobs/{job}/metrics``, ``/v1/host`` and ``/metrics``: what jobs and the host use."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from ..api import messages
from ..api.answers import Answers
from ..api.metrics import MAX_INTERVAL_SEC, MetricsService, parts_of, totals
from ..api.server import Caller
from ..errors import InvalidValue
from ..logs import Logs
from ..metrics.counts import Counts
from ..metrics.facts import Facts
from ..metrics.host import PARTS
from ..metrics.sample import MAX_KEPT, Sample, as_json, camel
from ..model import Job
from ..shared import Shared
from . import query, sse, view
from .routes import Route

if TYPE_CHECKING:
    from ..jobs.requests import Jobs

DEFAULT_INTERVAL_SEC = 2


class MetricsRoutes:
    """Readings, as the calls of the wire give them."""

    def __init__(self, jobs: Jobs, logs: Logs, metrics: MetricsService, counts: Counts) -> None:
        self._jobs = jobs
        self._logs = logs
        self._metrics = metrics
        self._counts = counts
        self._answers = Answers()
        self._scrapes: Shared[tuple[str, bytes]] = Shared(1)

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("GET", "/v1/jobs/{job}/metrics", "JobService/GetJobMetrics", self._job),
            Route("GET", "/v1/host", "MonitoringService/GetSystemStatus", self._host),
            Route("GET", "/metrics", "MonitoringService/StreamSystemMetrics", self._scrape),
        ]

    # --- one job

    async def _job(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        if sse.wanted(request):
            query.known(request, ())
            job = self._jobs.book.get(request.match_info["job"], caller.actor)
            if sse.last_event(request) == sse.OVER:
                return web.Response(status=204)  # by which EventSource knows that it need not come again
            return await self._live(request, caller, job)
        query.known(request, ("since", "until", "limit"))
        since = messages.moment_of("since", query.text(request, "since", accepted="a time"))
        until = messages.moment_of("until", query.text(request, "until", accepted="a time"))
        limit = query.number(request, "limit", 0, 1, MAX_KEPT)
        await self._answers.turn(caller)
        job = self._jobs.book.get(request.match_info["job"], caller.actor)
        samples = await self._metrics.sampler.history(job.id, since, until, limit or None)
        text = await asyncio.to_thread(_history, samples, job)
        return web.Response(body=text, content_type="application/json")

    async def _live(self, request: web.Request, caller: Caller, job: Job) -> web.StreamResponse:
        async with self._metrics.slots.hold(caller.name):
            response = await sse.begin(request)
            if self._jobs.book.live(job.id) is not None:
                async with (
                    self._metrics.sampler.watch(job.id) as samples,
                    contextlib.aclosing(sse.beating(_each(samples))) as readings,
                ):
                    async for sample in readings:
                        known = sse.HEARTBEAT if sample is None else sse.event(view.text(as_json(sample)))
                        await response.write(known)
        ended = self._jobs.book.known(job.id)
        end = {**view.end(ended), **({"totals": _totals(ended)} if ended is not None else {})}
        await response.write(sse.event(view.text(end), name="end", number=sse.OVER))
        return response

    # --- the host

    async def _host(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, ("parts", "interval"))
        parts = _parts(query.text(request, "parts"))
        interval = query.number(request, "interval", DEFAULT_INTERVAL_SEC, 1, MAX_INTERVAL_SEC)
        async with self._metrics.slots.hold(caller.name):
            if not sse.wanted(request):
                return view.answer(await self._reading(parts))
            response = await sse.begin(request)
            while True:
                await response.write(sse.event(view.text(await self._reading(parts, interval))))
                for pause in _pauses(interval):
                    await asyncio.sleep(pause)
                    if pause == sse.HEARTBEAT_SEC:
                        await response.write(sse.HEARTBEAT)

    async def _reading(self, parts: tuple[str, ...], interval: int = 0) -> dict[str, Any]:
        now = messages.rfc3339(time.time_ns() // 1000)
        return {"time": now, **_camel(await self._metrics.host.read(parts, interval))}

    # --- Prometheus

    async def _scrape(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, ())
        await self._answers.turn(caller)
        kind, text = await self._scrapes.get(None, self._exposition)
        return web.Response(body=text, headers={"Content-Type": kind})

    async def _exposition(self) -> tuple[str, bytes]:
        facts = Facts(
            jobs=tuple(self._jobs.book.unfinished()),
            samples=self._metrics.sampler.latest(),
            counts=self._counts,
            stored=self._jobs.book.store.count(),
            queued=len(self._jobs.positions()),
            log_followers=self._logs.followers,
            log_dropped=self._logs.dropped,
        )
        return await asyncio.to_thread(_exposition, facts)


def _exposition(facts: Facts) -> tuple[str, bytes]:
    from ..metrics import prometheus  # noqa: PLC0415 (it takes more than a megabyte, and few are scraped)

    return prometheus.exposition(facts)


def _parts(text: str) -> tuple[str, ...]:
    names = text.split(",") if text else []
    if len(set(names)) < len(names):
        raise InvalidValue("parts", text, "each part once")
    try:
        return parts_of(names)
    except InvalidValue as error:
        raise InvalidValue("parts", text, f"one or several of {','.join(PARTS)}") from error


async def _each(samples: Any) -> AsyncGenerator[Sample, None]:
    async for sample in samples:
        yield sample


def _history(samples: Iterable[Sample], job: Job) -> bytes:
    return view.text({"samples": list(map(as_json, samples)), "totals": _totals(job)})


def _totals(job: Job) -> dict[str, Any] | None:
    return as_json(totals(job)) if job.state.final else None


def _pauses(seconds: int) -> list[float]:
    whole, rest = divmod(seconds, int(sse.HEARTBEAT_SEC))
    return [*[sse.HEARTBEAT_SEC] * whole, *([float(rest)] if rest else [])]


def _camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {camel(key): _camel(item) for key, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, (list, tuple)) else value

"""``GET /v1/events``: every change of a job, as it happens.

What has happened lately is kept once, ready to be sent, for all who listen: a listener is nothing but a place
in it. Who falls behind what is kept, or comes back too late, is told to list the jobs again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from itertools import islice

from aiohttp import web

from ..api.server import Caller
from ..jobs.book import Book
from ..model import Job
from . import query, sse, view
from .routes import Route

MAX_EVENTS, MAX_BYTES = 10_000, 8 << 20
# What is sent at once, and held for every listener that does not take it; more if one event is larger.
BATCH_EVENTS, BATCH_BYTES = 50, 64 << 10


class Feed:
    """The latest events, numbered from 1."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id
        # Numbers of another daemon's are of no use here.
        self._epoch = secrets.token_hex(4)
        self._events: deque[bytes] = deque()
        self._bytes = 0
        self.newest = 0
        self._news = asyncio.Event()

    def changed(self, job: Job) -> None:
        """As a watcher of the book."""
        self._add("job", view.text(view.entry(job, self._node_id)))

    def deleted(self, job_ids: Sequence[str]) -> None:
        """As a watcher of the book."""
        if len(job_ids) > MAX_EVENTS:  # everybody has to list again anyway
            self._events.clear()
            self._bytes = 0
            self.newest += len(job_ids) - MAX_EVENTS
        for job_id in job_ids[-MAX_EVENTS:]:
            self._add("deleted", view.text({"uuid": job_id}))

    def _add(self, name: str, data: bytes) -> None:
        self.newest += 1
        made = sse.event(data, name=name, number=self.place(self.newest))
        self._events.append(made)
        self._bytes += len(made)
        while self._bytes > MAX_BYTES or len(self._events) > MAX_EVENTS:
            self._bytes -= len(self._events.popleft())
        self._news.set()
        self._news = asyncio.Event()

    def place(self, number: int) -> str:
        """What a client gives back to go on behind that event."""
        return f"{self._epoch}-{number}"

    def number(self, place: str) -> int | None:
        """The number of the event that a client has; None when nobody can tell here what came after it."""
        epoch, _, number = place.partition("-")
        if epoch != self._epoch or not (number.isascii() and number.isdecimal() and len(number) < 19):
            return None
        return int(number) if self._begin <= int(number) <= self.newest else None

    @property
    def _begin(self) -> int:
        """The number before the oldest one that is kept."""
        return self.newest - len(self._events)

    def behind(self, number: int) -> list[bytes] | None:
        """Some of the events behind that one, none at the end; None when they are not all kept."""
        if number < self._begin:
            return None
        batch, size = [], 0
        for made in islice(self._events, number - self._begin, number - self._begin + BATCH_EVENTS):
            batch.append(made)
            size += len(made)
            if size >= BATCH_BYTES:
                break
        return batch

    async def wait(self, number: int, seconds: float) -> bool:
        """Wait until there are events behind that one; whether there are."""
        if self.newest > number:
            return True
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
        return True


class EventRoutes:
    """The stream of events about the jobs of the book."""

    def __init__(self, book: Book, node_id: str) -> None:
        self._feed = Feed(node_id)
        book.watch(self._feed)

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("GET", "/v1/events", "JobService/ListJobs", self._get)]

    async def _get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, ())
        feed = self._feed
        asked = sse.last_event(request)
        at = feed.number(asked) if asked else feed.newest
        response = await sse.begin(request)
        if at is not None:
            await response.write(sse.place(feed.place(at)))
        while True:
            events = feed.behind(at) if at is not None else None
            if at is None or events is None:
                at = feed.newest
                await response.write(sse.event(b"{}", name="reset", number=feed.place(at)))
            elif events:
                at += len(events)
                await sse.send(response, b"".join(events))
            elif not await feed.wait(at, sse.HEARTBEAT_SEC):
                await response.write(sse.HEARTBEAT)

"""The feed of events: in order, none twice, none left out without being told so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from joblet_systemd.http import events, sse
from joblet_systemd.http.events import EventRoutes, Feed
from joblet_systemd.jobs.book import Book
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.store import Store

from .gateways import Node, scenario


def job(number: int, state: State = State.PENDING) -> Job:
    return Job(f"{number:08d}", JobSpec("true"), "alice", "joblet-alice", state, number)


def parsed(event: bytes) -> tuple[str, str, Any]:
    """Name, id and data of an event."""
    fields = dict(line.split(": ", 1) for line in event.decode().strip().split("\n"))
    return fields["event"], fields["id"], json.loads(fields["data"])


def run(play: Any) -> None:
    """The feed wants a loop."""

    async def inner() -> None:
        play()

    asyncio.run(inner())


def test_events_come_in_order_and_from_a_place_on() -> None:
    def play() -> None:
        feed = Feed("node")
        for number in range(3):
            feed.changed(job(number))
        feed.deleted(["a", "b"])
        all_of_them = feed.behind(0)
        assert all_of_them is not None
        found = [parsed(event) for event in all_of_them]
        assert [name for name, _, _ in found] == ["job"] * 3 + ["deleted"] * 2
        assert [data["uuid"] for _, _, data in found] == ["00000000", "00000001", "00000002", "a", "b"]
        for index, (_, place, _) in enumerate(found):
            number = feed.number(place)
            assert number == index + 1
            assert feed.behind(number) == all_of_them[index + 1 :]

    run(play)


def test_no_more_is_taken_at_once_than_a_listener_may_hold() -> None:
    def play() -> None:
        feed = Feed("node")
        for number in range(60):
            spec = JobSpec("x" * 2000, ("x" * 2000,), environment={"A": "x" * 2000})
            feed.changed(Job(f"{number:08d}", spec, "alice", "a", State.PENDING, number))
        at, sizes = 0, []
        while batch := feed.behind(at):
            at += len(batch)
            sizes.append(len(batch))
        assert at == 60
        assert sizes == [10] * 6

    run(play)


def test_places_that_mean_nothing_here() -> None:
    def play() -> None:
        feed, other = Feed("node"), Feed("node")
        feed.changed(job(1))
        other.changed(job(1))
        assert feed.number(feed.place(1)) == 1
        for place in (
            other.place(1),
            feed.place(2),
            feed.place(-1),
            "",
            "x",
            "1",
            f"{feed.place(1)}x",
            feed.place(10**30),
        ):
            assert feed.number(place) is None, place

    run(play)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_EVENTS", 10)

    def play() -> None:
        feed = Feed("node")
        for number in range(25):
            feed.changed(job(number))
        assert (feed.behind(14), feed.number(feed.place(14))) == (None, None)
        kept = feed.behind(15)
        assert kept is not None
        assert [parsed(event)[2]["uuid"] for event in kept] == [f"{number:08d}" for number in range(15, 25)]
        feed.deleted([str(number) for number in range(1000)])
        assert (feed.newest, feed.behind(1014)) == (1025, None)
        assert len(feed.behind(1015) or []) == 10
        monkeypatch.setattr(events, "MAX_BYTES", 3000)
        feed.changed(job(1))
        assert len(feed.behind(feed.newest - 1) or []) == 1

    run(play)


def test_the_stream(tmp_path: Path) -> None:
    node, store = Node(tmp_path), Store(tmp_path / "joblet.db")

    async def play() -> None:
        book = Book(store)
        async with node.gateway(EventRoutes(book, "node").routes()):

            async def follow(last: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
                reader, writer = await node.connect()
                extra = f"Last-Event-ID: {last}\r\n" if last else ""
                writer.write(f"GET /v1/events HTTP/1.1\r\nHost: joblet\r\n{extra}\r\n".encode())
                await reader.readuntil(b"retry: 1000\n\n")
                return reader, writer

            async def event(reader: asyncio.StreamReader) -> tuple[str, str, Any]:
                while True:
                    text = await asyncio.wait_for(reader.readuntil(b"\n\n"), 10)
                    if b"event: " in text:
                        return parsed(text[text.index(b"id: ") :])

            reader, writer = await follow()
            await reader.readuntil(b"-0\n\n")  # where it is
            store.add(job(1))
            book.adopt(job(1))
            running = book.change(job(1), state=State.RUNNING)
            states = [await event(reader) for _ in range(2)]
            assert [data["status"] for _, _, data in states] == ["PENDING", "RUNNING"]
            writer.close()
            book.end(job(1, State.COMPLETED))
            book.delete([running.id])
            reader, writer = await follow(states[-1][1])
            assert (await event(reader))[2]["status"] == "COMPLETED"
            name, _, data = await event(reader)
            assert (name, data) == ("deleted", {"uuid": running.id})
            writer.close()
            reader, writer = await follow("of-another-daemon")
            name, place, _ = await event(reader)
            assert name == "reset"
            store.add(job(2))
            book.adopt(job(2))
            assert (await event(reader))[2]["uuid"] == "00000002"
            writer.close()
            assert place.endswith("-4")

    scenario(play())


def test_a_client_that_goes_in_the_moment_in_which_the_stream_ends() -> None:
    """As it happened: the end of the source, met by the cancellation, became an error."""

    async def play() -> None:
        ready = asyncio.Event()

        async def source() -> AsyncGenerator[int, None]:
            await ready.wait()
            for _ in ():
                yield 1

        async def follow() -> None:
            async for _ in sse.beating(source()):
                pass

        for ticks in range(5):
            ready.clear()
            following = asyncio.create_task(follow())
            await asyncio.sleep(0.01)
            ready.set()
            for _ in range(ticks):
                await asyncio.sleep(0)
            following.cancel()
            await asyncio.wait([following])
            assert following.cancelled() or following.exception() is None

    scenario(play())

"""A server that runs while there are connections."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from joblet_systemd.api import ondemand
from joblet_systemd.api.listener import Listener
from joblet_systemd.api.ondemand import OnDemand
from joblet_systemd.errors import JobletError


class Server:
    """Notes what happens to it; takes a moment for each."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.refusal: JobletError | None = None

    async def start(self) -> None:
        self.log.append("starting")
        await asyncio.sleep(0.01)
        if self.refusal:
            raise self.refusal
        self.log.append("runs")

    async def stop(self) -> None:
        self.log.append("stopping")
        await asyncio.sleep(0.01)
        self.log.append("stopped")


START, STOP = ["starting", "runs"], ["stopping", "stopped"]


def play(
    monkeypatch: pytest.MonkeyPatch, test: Callable[[Server, OnDemand], Awaitable[None]], linger_sec: float = 0.02
) -> None:
    monkeypatch.setattr(ondemand, "LINGER_SEC", linger_sec)

    async def run() -> None:
        server = Server()
        await asyncio.wait_for(test(server, OnDemand(server)), 10)

    asyncio.run(run())


async def ended(server: Server, times: int = 1) -> None:
    while server.log.count("stopped") < times:
        await asyncio.sleep(0.005)


def test_it_is_started_once_for_a_crowd_and_ends_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        async def connect(seconds: float) -> None:
            async with demand.connection():
                assert server.log == START
                await asyncio.sleep(seconds)

        await asyncio.gather(*(connect(number * 0.002) for number in range(50)))
        await ended(server)
        assert server.log == START + STOP

    play(monkeypatch, test)


def test_who_comes_back_in_time_finds_it_there(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        for _ in range(20):
            async with demand.connection():
                pass
            await asyncio.sleep(0.002)
        await ended(server)
        assert server.log == START + STOP

    play(monkeypatch, test, linger_sec=1)


def test_who_comes_while_it_stops_waits_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        async with demand.connection():
            pass
        while "stopping" not in server.log:
            await asyncio.sleep(0.001)
        async with demand.connection():
            assert server.log == START + STOP + START
        await ended(server, 2)

    play(monkeypatch, test)


def test_who_comes_as_the_time_is_over_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        await demand.start()
        demand._ring()
        async with demand.connection():
            await asyncio.sleep(0.05)
            assert server.log == START

    play(monkeypatch, test)


def test_one_that_nobody_asked_for_is_tried_and_put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        await demand.start()
        await ended(server)
        await demand.stop()
        assert server.log == START + STOP

    play(monkeypatch, test)


def test_the_end_of_the_daemon_does_not_wait_for_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        async with demand.connection():
            await demand.stop()
            assert server.log == START + STOP

    play(monkeypatch, test)


def test_a_server_that_cannot_start_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        front = socket.create_server(("127.0.0.1", 0))
        relay = Listener([front], tmp_path / "inner", demand)
        await relay.start()
        server.refusal = JobletError("no room for a socket.", hint="Make some.")
        for attempt in (1, 2):
            reader, writer = await asyncio.open_connection(*front.getsockname())
            assert await reader.read() == b""
            writer.close()
            assert server.log == ["starting"] * attempt
        relay.stop()

    with caplog.at_level(logging.ERROR):
        play(monkeypatch, test)
    assert "no room for a socket. Make some." in caplog.text.replace("\n", " ")


# At one of these moments asyncio leaves a transport of its own behind.
@pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ticks", range(12))
def test_nobody_who_comes_at_the_end_of_the_daemon_starts_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ticks: int
) -> None:
    async def test(server: Server, demand: OnDemand) -> None:
        front = socket.create_server(("127.0.0.1", 0))
        relay = Listener([front], tmp_path / "inner", demand)
        await relay.start()
        await demand.start()
        client = socket.create_connection(front.getsockname())
        for _ in range(ticks):
            await asyncio.sleep(0)
        relay.stop()
        await demand.stop()
        await asyncio.sleep(0.05)
        assert server.log == START + STOP
        client.close()

    play(monkeypatch, test)

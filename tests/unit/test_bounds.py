"""What one identity may ask for at once; work that is shared; connections of one source."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import pytest

from joblet_systemd.api import bounds, crowd
from joblet_systemd.api.bounds import END, Bounds
from joblet_systemd.api.listener import Listener
from joblet_systemd.api.ondemand import OnDemand
from joblet_systemd.errors import Exhausted, InvalidValue, TooSlow
from joblet_systemd.jobs import timetable
from joblet_systemd.model import JobSpec
from joblet_systemd.shared import Shared
from joblet_systemd.systemd import calendar
from joblet_wire import joblet_pb2 as wire


class Call:
    """The requests of a call; None stands for one that does not come."""

    def __init__(self, *requests: bytes | None) -> None:
        self.requests = iter(requests)
        self.reading = 0

    async def read(self) -> Any:
        self.reading += 1
        request = next(self.requests, END)
        if request is None:
            await asyncio.Event().wait()
        return request


def scenario(play: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(play, 20))


async def ask(limits: Bounds, call: Call, name: str = "JobService/GetJobStatus", who: str = "alice") -> Any:
    async with limits.request(name, who, wire.GetJobStatusRequest.FromString, call) as request:
        return request


REQUEST = wire.GetJobStatusRequest(uuid="x").SerializeToString()


def test_a_request_is_read_and_understood() -> None:
    async def play() -> None:
        assert (await ask(Bounds(), Call(REQUEST))).uuid == "x"
        assert (await ask(Bounds(), Call(b""))).uuid == ""

    scenario(play())


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"\xff", "a protobuf message"),
        (b"\x0a\x02\xff\xfe", "UTF-8"),
        (bytes(bounds.SMALL_BYTES + 1), "at most 64 KiB"),
        (END, "one message"),
    ],
)
def test_what_is_no_request(request_: Any, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        scenario(ask(Bounds(), Call(request_)))


def test_large_requests_where_files_may_be_in_them() -> None:
    async def play() -> None:
        large = wire.RunJobRequest(command="x" * (bounds.SMALL_BYTES + 1)).SerializeToString()
        async with Bounds().request("JobService/RunJob", "alice", wire.RunJobRequest.FromString, Call(large)) as got:
            assert len(got.command) > bounds.SMALL_BYTES  # type: ignore[attr-defined]

    scenario(play())


def test_one_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SMALL_SEC", 0.05)
    with pytest.raises(TooSlow):
        scenario(ask(Bounds(), Call(None)))


def test_few_are_read_at_a_time_of_one_identity_and_others_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_UNREAD", 5)

    async def play() -> None:
        limits = Bounds()
        calls = [Call(None) for _ in range(5)]
        tasks = [asyncio.create_task(ask(limits, call)) for call in calls]
        await asyncio.sleep(0.05)
        assert sum(call.reading for call in calls) == bounds.MAX_READS
        with pytest.raises(Exhausted, match="'alice' has 5 calls that wait to be read"):
            await ask(limits, Call(REQUEST))
        assert (await ask(limits, Call(REQUEST), who="bob")).uuid == "x"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert (await ask(limits, Call(REQUEST))).uuid == "x"

    scenario(play())


def test_what_is_being_understood_counts_until_it_is() -> None:
    """Whoever sends it and goes: it may have 128 MiB, and take seconds."""

    async def play() -> None:
        limits, go, begun = Bounds(), threading.Event(), 0

        def parse(_: bytes) -> Any:
            nonlocal begun
            begun += 1
            assert go.wait(10)

        async def send() -> None:
            call = Call(bytes(bounds.SMALL_BYTES + 1))
            async with limits.request("JobService/RunJob", "alice", parse, call):
                pass

        sent = [asyncio.create_task(send()) for _ in range(5)]
        for task in sent:
            await asyncio.sleep(0.02)
            task.cancel()
        await asyncio.sleep(0.05)
        assert begun == bounds.MAX_READS
        go.set()
        await asyncio.wait(sent)

    scenario(play())


def test_calls_of_one_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_CALLS", 2)
    limits = Bounds()
    with limits.call("alice"), limits.call("alice"):
        with pytest.raises(Exhausted), limits.call("alice"):
            pass
        with limits.call("bob"):
            pass
    with limits.call("alice"):
        pass


def test_streams_are_read_to_their_end_or_to_what_is_no_message() -> None:
    async def read(*requests: bytes | None) -> list[Any]:
        return [message async for message in Bounds().requests(wire.ExecJobRequest.FromString, Call(*requests))]

    part = wire.ExecJobRequest(stdin=b"x").SerializeToString()
    assert [message.stdin for message in asyncio.run(read(part, part))] == [b"x", b"x"]
    assert asyncio.run(read()) == []
    for bad in (b"\xff", bytes(bounds.STREAMED_BYTES + 1)):
        with pytest.raises(InvalidValue):
            asyncio.run(read(part, bad))


def test_work_is_shared_by_those_who_asked_before_it_began() -> None:
    async def play() -> None:
        shared: Shared[int] = Shared(1)
        begun, gate = 0, asyncio.Event()

        async def work() -> int:
            nonlocal begun
            begun += 1
            mine = begun
            await gate.wait()
            return mine

        first = asyncio.create_task(shared.get("key", work))
        await asyncio.sleep(0.01)
        later = [asyncio.create_task(shared.get("key", work)) for _ in range(10)]
        await asyncio.sleep(0.01)
        later.pop().cancel()  # which is nothing to the others
        gate.set()
        assert await first == 1
        assert await asyncio.gather(*later) == [2] * 9
        assert begun == 2

    scenario(play())


def test_failed_work_fails_for_all_and_can_be_tried_again() -> None:
    async def play() -> None:
        shared: Shared[int] = Shared(1)

        async def fail() -> int:
            raise Exhausted("full")

        async def work() -> int:
            return 1

        for result in await asyncio.gather(*(shared.get("key", fail) for _ in range(3)), return_exceptions=True):
            assert isinstance(result, Exhausted)
        assert await shared.get("key", work) == 1

    scenario(play())


def test_work_that_nobody_waits_for_any_more_is_not_begun() -> None:
    async def play() -> None:
        shared: Shared[int] = Shared(2)
        gate, begun = asyncio.Event(), list[int]()

        async def work(number: int) -> int:
            begun.append(number)
            await gate.wait()
            return number

        asking = [asyncio.create_task(shared.get(number, functools.partial(work, number))) for number in range(5000)]
        await asyncio.sleep(0)
        kept = asyncio.create_task(shared.get(4000, functools.partial(work, 4000)))
        await asyncio.sleep(0)
        for task in asking:
            task.cancel()
        await asyncio.wait(asking)
        assert len(shared._not_begun) == 1
        # Who asks for the same again is not given what was dropped.
        again = asyncio.create_task(shared.get(4999, functools.partial(work, 4999)))
        gate.set()
        assert (await kept, await again) == (4000, 4999)
        assert begun == [0, 1, 4000, 4999]

    scenario(play())


def test_the_next_runs_of_a_schedule_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def upcoming(expressions: Any, zone: str, after: int, count: int) -> tuple[int, ...]:
        asked.append(after)
        await asyncio.sleep(0.01)
        return tuple(after + number + 1 for number in range(count))

    monkeypatch.setattr(calendar, "upcoming", upcoming)

    async def play() -> None:
        previews = timetable.Previews()
        spec = JobSpec("true", calendar=("*-*-* 09:00:00",))
        assert set(await asyncio.gather(*(previews.of(spec, 5, "alice") for _ in range(100)))) == {(5, 6, 7)}
        assert await previews.of(spec, 5, "alice") == (5, 6, 7)
        assert await previews.of(spec, 9, "alice") == (9, 10, 11)
        assert asked == [5, 9]

    scenario(play())


@contextlib.asynccontextmanager
async def listening(tmp_path: Path) -> AsyncIterator[int]:
    """A listener in front of a server that answers each byte and hangs up after an 'x'; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while (byte := await reader.read(1)) not in (b"", b"x"):
                writer.write(byte)

    class Inner:
        async def start(self) -> None:
            self.server = await asyncio.start_unix_server(serve, tmp_path / "inner")

        async def stop(self) -> None:
            self.server.close()

    inner = OnDemand(Inner())
    front = socket.create_server(("127.0.0.1", 0))
    relay = Listener([front], tmp_path / "inner", inner)
    await relay.start()
    try:
        yield front.getsockname()[1]
    finally:
        relay.stop()
        await inner.stop()
        await asyncio.sleep(0.05)  # the transports close in the loop


async def talk(writer: asyncio.StreamWriter) -> None:
    for _ in range(100):
        writer.write(b"y")
        await writer.drain()
        await asyncio.sleep(0.01)


def test_a_connection_that_the_server_is_done_with_is_closed_whatever_the_client(tmp_path: Path) -> None:
    async def play() -> None:
        async with listening(tmp_path) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"a")
            assert await reader.readexactly(1) == b"a"
            writer.write(b"x")
            assert await reader.read() == b""
            # Its place is free, though this end is open still.
            await asyncio.sleep(0.05)
            with pytest.raises(ConnectionError):
                await talk(writer)
            writer.close()

    scenario(play())


def test_connections_of_one_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crowd, "MAX_FROM_ONE_SOURCE", 3)

    async def answers(port: int) -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a")
        try:
            return await reader.read(1), writer
        except ConnectionError:
            return b"", writer

    async def play() -> None:
        async with listening(tmp_path) as port:
            connections = [await answers(port) for _ in range(5)]
            assert [answer for answer, _ in connections] == [b"a"] * 3 + [b""] * 2
            for _, writer in connections:
                writer.close()
            # Their places are free when the other end has seen that.
            answer = b""
            while not answer:
                answer, writer = await answers(port)
                writer.close()
            assert answer == b"a"
            await asyncio.sleep(0.05)

    scenario(play())
    assert caplog.text.count("more were closed at once") == 1  # and not once for each
    assert "3 of them from 127.0.0.1" in caplog.text


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_sources(peer: str, source: str) -> None:
    assert crowd.source_of((peer, 5000)) == source

"""Followers get everything once: from the stored entries, from the tail, across gaps and full buffers."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator

import pytest

from joblet_systemd import logs
from joblet_systemd.logs import Logs
from joblet_systemd.systemd.entries import Entry, Exit, Output

UNIT = "joblet-job-x.service"


class Paper:
    """A journal of paper; every reader that is opened on it sees all of it."""

    def __init__(self) -> None:
        self.stored: list[Entry] = []
        self.hidden_from_tail: set[int] = set()
        self.open = 0
        self.lock = threading.Lock()

    def write(self, data: bytes, unit: str = UNIT) -> None:
        with self.lock:
            self.stored.append(Output(unit, self._next(unit), 0, "stdout", data))

    def end(self) -> None:
        with self.lock:
            self.stored.append(Exit(UNIT, self._next(UNIT), 0, 0, 0, "", False, 0, 0))

    def _next(self, unit: str) -> int:
        return 1 + sum(entry.unit == unit for entry in self.stored)


class Reader:
    """What Logs uses of a Journal."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        paper.open += 1

    def entries(self, unit: str, after: int = 0) -> Iterator[Entry]:
        with self.paper.lock:
            found = [entry for entry in self.paper.stored if entry.unit == unit and entry.seq > after]
        yield from found

    def seek_end(self) -> None:
        with self.paper.lock:
            self.place = len(self.paper.stored)

    def news(self) -> Iterator[Entry]:
        while self.place < len(self.paper.stored):
            with self.paper.lock:
                entry = self.paper.stored[self.place]
            self.place += 1
            if entry.seq not in self.paper.hidden_from_tail:
                yield entry

    def close(self) -> None:
        self.paper.open -= 1


class Job:
    """A paper journal, Logs on it, and an end that comes when told to."""

    def __init__(self) -> None:
        self.paper = Paper()
        self.logs = Logs(lambda: Reader(self.paper))  # type: ignore[arg-type,return-value]
        self.over = asyncio.Event()

    async def follow(self, after: int = 0) -> bytes:
        got = b""
        async for batch in self.logs.follow(UNIT, after, self.over.wait):
            got += b"".join(entry.data for entry in batch)
        return got

    def finish(self) -> None:
        self.paper.end()
        self.over.set()


def scenario(play: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(play, 20))


def test_history_then_live_then_the_end() -> None:
    async def play() -> None:
        job = Job()
        job.paper.write(b"1")
        follower = asyncio.create_task(job.follow())
        await asyncio.sleep(0.1)
        job.paper.write(b"2")
        job.paper.write(b"other", unit="joblet-job-y.service")
        await asyncio.sleep(0.1)
        job.paper.write(b"3")
        job.finish()
        assert await follower == b"123"
        assert await job.follow() == b"123"
        assert await job.follow(after=2) == b"3"
        job.logs.close()

    scenario(play())


def test_what_the_tail_misses_comes_from_the_journal() -> None:
    async def play() -> None:
        job = Job()
        job.paper.hidden_from_tail = {2, 3}
        follower = asyncio.create_task(job.follow())
        await asyncio.sleep(0.1)
        for data in (b"1", b"2", b"3", b"4"):
            job.paper.write(data)
        await asyncio.sleep(0.1)
        job.finish()
        assert await follower == b"1234"
        job.logs.close()

    scenario(play())


def test_an_end_without_exit_record() -> None:
    async def play() -> None:
        job = Job()
        follower = asyncio.create_task(job.follow())
        await asyncio.sleep(0.1)
        job.paper.hidden_from_tail = {1}  # the tail has not come to it when the job is over
        job.paper.write(b"last")
        job.over.set()
        assert await follower == b"last"
        job.logs.close()

    scenario(play())


def test_a_slow_follower_loses_nothing_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BUFFER_BYTES", 5_000)

    async def play() -> None:
        job = Job()
        got: list[bytes] = []
        may_go_on = asyncio.Event()

        async def slow() -> None:
            async for batch in job.logs.follow(UNIT, 0, job.over.wait):
                got.extend(entry.data for entry in batch)
                await may_go_on.wait()

        job.paper.write(b"first")
        follower, quick = asyncio.create_task(slow()), asyncio.create_task(job.follow())
        await asyncio.sleep(0.1)
        expected = [b"first"]
        for number in range(100):
            expected.append(b"%d" % number)
            job.paper.write(expected[-1])
        job.finish()
        assert await quick == b"".join(expected)
        may_go_on.set()
        await follower
        assert got == expected
        job.logs.close()

    scenario(play())


def test_many_slow_followers_share_what_they_may_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ALL_BUFFERS_BYTES", 20_000)

    async def play() -> None:
        job = Job()
        may_go_on = asyncio.Event()
        most = 0

        async def slow() -> bytes:
            nonlocal most
            got = b""
            async for batch in job.logs.follow(UNIT, 0, job.over.wait):
                most = max(most, len(batch))
                got += b"".join(entry.data for entry in batch)
                await may_go_on.wait()
            return got

        job.paper.write(b"first")
        followers = [asyncio.create_task(slow()) for _ in range(20)]
        await asyncio.sleep(0.1)
        for number in range(100):
            job.paper.write(b"%d" % number)
        await asyncio.sleep(0.1)
        assert sum(follower.size for follower in job.logs._followers[UNIT]) <= 20_000
        job.finish()
        may_go_on.set()
        expected = b"first" + b"".join(b"%d" % number for number in range(100))
        assert await asyncio.gather(*followers) == [expected] * 20
        assert most <= 3  # 1000 bytes each, of which an entry weighs half
        job.logs.close()

    scenario(play())


def test_followers_at_the_same_place_are_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        job = Job()
        reads = 0
        read = job.logs._read

        def counted(unit: str, after: int, limit: int) -> tuple[list[Entry], bool]:
            nonlocal reads
            reads += 1
            return read(unit, after, limit)

        monkeypatch.setattr(job.logs, "_read", counted)
        job.paper.write(b"1")
        followers = [asyncio.create_task(job.follow()) for _ in range(500)]
        await asyncio.sleep(0.2)
        job.finish()
        assert await asyncio.gather(*followers) == [b"1"] * 500
        assert reads < 50
        job.logs.close()

    scenario(play())


def test_a_gap_in_the_journal_is_reported_and_passed(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        job = Job()
        for data in (b"1", b"2", b"3"):
            job.paper.write(data)
        job.finish()
        del job.paper.stored[1]
        assert await job.follow() == b"13"
        job.logs.close()

    scenario(play())
    assert "has lost entries 2 to 2" in caplog.text


def test_the_tail_runs_only_while_somebody_follows() -> None:
    async def play() -> None:
        job = Job()
        follower = asyncio.create_task(job.follow())
        await asyncio.sleep(0.1)
        assert job.paper.open == 2  # the tail and a reader of history
        job.finish()
        await follower
        await asyncio.sleep(0.2)
        assert job.paper.open == 1  # the reader is kept for the next one
        job.logs.close()

    scenario(play())

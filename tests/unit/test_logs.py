"""Followers get everything once: from the stored entries, from the tail, across gaps and full buffers."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from joblet_systemd import logs, model
from joblet_systemd.errors import Unavailable
from joblet_systemd.logs import Batch, Dropped, Logs, Selection
from joblet_systemd.model import JobSpec, State
from joblet_systemd.systemd.entries import Entry, Exit, Output

UNIT = "joblet-job-x.service"


class Paper:
    """A journal of paper; every reader that is opened on it sees all of it."""

    def __init__(self) -> None:
        self.stored: list[Entry] = []
        self.hidden_from_tail: set[int] = set()
        self.open = 0
        self.looked_back = 0
        self.lock = threading.Lock()

    def write(self, data: bytes, unit: str = UNIT, stream: str = "stdout") -> None:
        with self.lock:
            seq = self._next(unit)
            self.stored.append(Output(unit, seq, 1000 * seq, stream, data))

    def drop(self, size: int, lines: int) -> None:
        with self.lock:
            self.stored.append(Dropped(UNIT, self._next(UNIT), 0, "limit", bytes=size, lines=lines))

    def end(self) -> None:
        with self.lock:
            self.stored.append(Exit(UNIT, self._next(UNIT), 0, 0, 0, "", False, 0, 0))

    def _next(self, unit: str) -> int:
        return 1 + max((entry.seq for entry in self.stored if entry.unit == unit), default=0)


class Reader:
    """What Logs uses of a Journal."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        paper.open += 1

    def entries(self, unit: str, after: int = 0) -> Iterator[Entry]:
        with self.paper.lock:
            found = [entry for entry in self.paper.stored if entry.unit == unit and entry.seq > after]
        yield from found

    def backwards(
        self, unit: str, before: int | None = None, until_usec: int | None = None, stream: str | None = None
    ) -> Iterator[Entry]:
        for entry in reversed(list(self.entries(unit))):
            if stream is not None and not (isinstance(entry, Output) and entry.stream == stream):
                continue
            if (before is None or entry.seq < before) and (until_usec is None or entry.realtime_usec <= until_usec):
                self.paper.looked_back += 1
                yield entry

    def number_before(self, unit: str, usec: int) -> int:
        return next((entry.seq for entry in self.backwards(unit, until_usec=usec - 1)), 0)

    def newest(self, unit: str) -> int:
        return next((entry.seq for entry in self.backwards(unit)), 0)

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
        self.last = 0  # the number of the last entry, if that is not there any more

    def as_it_is(self) -> model.Job:
        last = max((entry.seq for entry in self.paper.stored if entry.unit == UNIT), default=0)
        state = State.COMPLETED if self.over.is_set() else State.RUNNING
        return model.Job(
            id="x",
            spec=JobSpec("true"),
            owner="a",
            account="joblet-a",
            state=state,
            submitted_usec=0,
            seq_base=max(last, self.last) if state.final else 0,
        )

    async def ended(self) -> model.Job:
        await self.over.wait()
        return self.as_it_is()

    async def batches(self, selection: Selection | None = None, follow: bool = True) -> Batch:
        wanted = selection or Selection()
        source = self.logs.follow(UNIT, wanted, self.ended) if follow else self.logs.stored(self.as_it_is(), wanted)
        return [found async for batch in source for found in batch]

    async def follow(self, after: int = 0, **wanted: Any) -> bytes:
        found = await self.batches(Selection(after=after, **wanted))
        return b"".join(entry.data for entry in found if isinstance(entry, Output))

    async def stored(self, **wanted: Any) -> bytes:
        found = await self.batches(Selection(**wanted), follow=False)
        return b"".join(entry.data for entry in found if isinstance(entry, Output))

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
            async for batch in job.logs.follow(UNIT, Selection(), job.ended):
                got.extend(entry.data for entry in batch if isinstance(entry, Output))
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
            async for batch in job.logs.follow(UNIT, Selection(), job.ended):
                most = max(most, len(batch))
                got += b"".join(entry.data for entry in batch if isinstance(entry, Output))
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


GAPS: dict[str, tuple[list[int], list[tuple[int, int]]]] = {
    "one in the middle": ([2], [(2, 1)]),
    "two": ([2, 4, 5], [(2, 1), (5, 2)]),
    "the beginning, with the start record": ([1, 2, 3], [(3, 2)]),
    "the start record alone": ([1], []),
    "the end": ([5, 6, 7], [(7, 3)]),
    "everything": ([1, 2, 3, 4, 5, 6, 7], [(7, 6)]),
}


@pytest.mark.parametrize("follow", [True, False], ids=["live", "stored"])
@pytest.mark.parametrize(("lost", "told"), GAPS.values(), ids=GAPS)
def test_what_the_journal_has_lost_is_told_in_its_place(
    lost: list[int], told: list[tuple[int, int]], follow: bool
) -> None:
    async def play() -> None:
        job = Job()
        for number in range(1, 7):
            job.paper.write(b"%d" % number)
        job.finish()
        job.last = 7
        job.paper.stored = [entry for entry in job.paper.stored if entry.seq not in lost]
        found = await job.batches(follow=follow)
        assert [(entry.seq, entry.entries) for entry in found if isinstance(entry, Dropped)] == told
        assert [entry.seq for entry in found] == sorted(entry.seq for entry in found)
        assert {entry.reason for entry in found if isinstance(entry, Dropped)} <= {"journal"}
        # Whoever resumes gets the rest, and is told nothing twice.
        for place, entry in enumerate(found):
            assert await job.batches(Selection(after=entry.seq), follow) == found[place + 1 :]
        job.logs.close()

    scenario(play())


def test_what_the_job_was_not_allowed_to_write_is_told_whatever_stream_is_wanted() -> None:
    async def play() -> None:
        job = Job()
        follower = asyncio.create_task(job.batches(Selection(streams=frozenset({"stderr"}))))
        await asyncio.sleep(0.1)
        job.paper.write(b"out")
        job.paper.write(b"err", stream="stderr")
        job.paper.drop(100, 3)
        job.finish()
        found = await follower
        assert [entry.seq for entry in found] == [2, 3]
        assert found[1] == Dropped(UNIT, 3, 0, "limit", bytes=100, lines=3)
        job.logs.close()

    scenario(play())


def test_since_and_until_go_by_the_time_of_the_entries() -> None:
    async def play() -> None:
        job = Job()
        for number in range(1, 7):
            job.paper.write(b"%d" % number)  # at 1000, 2000, ...
        assert await job.stored(since_usec=3000) == b"3456"
        assert await job.stored(since_usec=2999, until_usec=4000) == b"34"
        assert await job.stored(until_usec=999) == b""
        assert await job.stored(since_usec=7000) == b""
        assert await job.stored(after=4, since_usec=2000) == b"56"
        assert await job.follow(until_usec=3000) == b"123"  # the job goes on, and that time is over
        job.logs.close()

    scenario(play())


def test_a_follower_with_a_time_to_end_at_ends_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SETTLED_SEC", 0.1)

    async def play() -> None:
        job = Job()
        job.paper.write(b"1")
        follower = asyncio.create_task(job.follow(until_usec=int((time.time() + 0.5) * 1e6)))
        await asyncio.sleep(0.1)
        job.paper.write(b"2")
        assert await follower == b"12"
        job.logs.close()

    scenario(play())


def test_the_stored_part_of_a_job_that_goes_on_writing_has_an_end() -> None:
    async def play() -> None:
        job = Job()
        job.paper.write(b"1")
        async for _ in job.logs.stored(job.as_it_is(), Selection()):
            job.paper.write(b"more")
        job.logs.close()

    scenario(play())


def test_the_last_lines_are_found_from_the_end() -> None:
    async def play() -> None:
        job = Job()
        for number in range(2000):
            job.paper.write(b"%d a\n%d b\n" % (number, number))
        assert await job.stored(tail=3) == b"1998 b\n1999 a\n1999 b\n"
        assert job.paper.looked_back < 600
        assert await job.stored(tail=0) == b""
        assert await job.stored(tail=3, until_usec=2_000_500) == b"1998 b\n1999 a\n1999 b\n"
        assert await job.stored(tail=3, until_usec=2000) == b"0 b\n1 a\n1 b\n"
        assert await job.stored(tail=3, since_usec=2_000_000) == b"1999 a\n1999 b\n"
        assert await job.stored(tail=3, after=1999) == b"1999 a\n1999 b\n"
        assert (await job.stored(tail=10_000)).count(b"\n") == 4000
        follower = asyncio.create_task(job.follow(tail=1))
        await asyncio.sleep(0.2)
        job.paper.write(b"and on")
        job.finish()
        assert await follower == b"1999 b\nand on"
        job.logs.close()

    scenario(play())


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


def test_a_journal_that_cannot_be_followed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RETRY_SEC", 0.2)

    async def play() -> None:
        job = Job()
        job.paper.write(b"1")
        await job.stored()  # a reader of history is there from now on

        refusals = [OSError(24, "Too many open files")] * 2

        def opened() -> Reader:
            if refusals:
                raise refusals.pop()
            return Reader(job.paper)

        job.logs._open_journal = opened  # type: ignore[assignment]
        source = job.logs.follow(UNIT, Selection(), job.ended)
        # What is stored comes at once, what is written meanwhile as soon as the journal can be opened again.
        assert [entry.data for entry in await anext(source) if isinstance(entry, Output)] == [b"1"]
        job.paper.write(b"2")
        assert [entry.data for entry in await anext(source) if isinstance(entry, Output)] == [b"2"]
        # The same when it breaks in the middle, by what nobody has thought of, too.
        for number, error in ((b"3", OSError(12, "Cannot allocate memory")), (b"4", ValueError("whatever"))):
            refusals.append(OSError(24, "Too many open files"))
            with monkeypatch.context() as patched:
                patched.setattr(Reader, "news", _broken_once(job.paper, number, error, Reader.news))
                assert [entry.data for entry in await anext(source) if isinstance(entry, Output)] == [number]
        job.finish()
        assert [batch async for batch in source] == []
        job.logs.close()

    scenario(play())


def _broken_once(
    paper: Paper, data: bytes, error: Exception, news: Callable[[Reader], Iterator[Entry]]
) -> Callable[[Reader], Iterator[Entry]]:
    broken = threading.Event()

    def read(reader: Reader) -> Iterator[Entry]:
        if not broken.is_set():
            broken.set()
            paper.write(data)
            raise error
        return news(reader)

    return read


def test_what_the_tail_takes_at_once_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "BUFFER_BYTES", 5_000)

    async def play() -> None:
        job, sizes = Job(), list[int]()
        dispatch = job.logs._dispatch

        def counted(entries: list[Entry]) -> None:
            sizes.append(len(entries))
            dispatch(entries)

        monkeypatch.setattr(job.logs, "_dispatch", counted)
        follower = asyncio.create_task(job.follow())
        await asyncio.sleep(0.1)
        with job.paper.lock:
            job.paper.stored = [Output(UNIT, seq, 0, "stdout", b"x" * 2000) for seq in range(1, 31)]
        await asyncio.sleep(0.2)
        job.finish()
        assert await follower == b"x" * 60_000
        assert max(sizes) <= 2
        job.logs.close()

    scenario(play())


def test_one_identity_leaves_the_others_their_turn() -> None:
    async def play() -> None:
        job, gate = Job(), threading.Event()

        class Slow(Reader):
            def newest(self, unit: str) -> int:
                if unit == "slow":
                    gate.wait(10)
                return super().newest(unit)

        job.logs = Logs(lambda: Slow(job.paper))  # type: ignore[arg-type,return-value]
        greedy = [asyncio.create_task(job.logs.newest("slow", "greedy")) for _ in range(50)]
        try:
            await asyncio.sleep(0.1)
            assert await asyncio.wait_for(job.logs.newest(UNIT, "modest"), 5) == 0
        finally:
            gate.set()
            await asyncio.gather(*greedy)
        job.logs.close()

    scenario(play())


def test_a_journal_that_cannot_be_read_is_the_hosts_fault_for_a_while() -> None:
    async def play() -> None:
        job = Job()
        job.paper.write(b"line\n")
        assert await job.logs.newest(UNIT) == 1  # a reader is there, and idle
        readers = list(job.logs._readers)

        def fail(*_: object) -> Iterator[Entry]:
            raise OSError(5, "Input/output error")

        readers[0].entries = fail  # type: ignore[method-assign]
        with pytest.raises(Unavailable, match="cannot be read: Input/output error"):
            await job.batches(follow=False)
        assert job.paper.open == 0, "that one is not used again"
        job.logs._open_journal = fail  # type: ignore[assignment]
        with pytest.raises(Unavailable, match="Try again later"):
            await job.logs.newest(UNIT)
        job.logs._open_journal = lambda: Reader(job.paper)  # type: ignore[assignment,return-value]
        assert [found.data for found in await job.batches(follow=False) if isinstance(found, Output)] == [b"line\n"]
        job.logs.close()

    asyncio.run(play())


def test_another_thread_takes_the_last_idle_reader() -> None:
    class Contended(list[Any]):
        """Not empty when one looks, and empty when one takes."""

        def __bool__(self) -> bool:
            return True

    async def play() -> None:
        paper = Paper()
        paper.write(b"one")
        several = Logs(lambda: Reader(paper))  # type: ignore[arg-type,return-value]
        several._readers = Contended()
        assert await several.newest(UNIT) == 1
        several.close()

    asyncio.run(play())

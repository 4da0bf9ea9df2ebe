"""Output for followers: history from the journal, then live from one shared tail, nothing lost or doubled.

A follower's place is the number of the last entry it got. The tail reads the namespace for all followers together
and exists only while somebody follows. A follower that is slower than its job does not hold the others up and loses
nothing: when its buffer is full it goes back to the journal. All followers together hold a bounded amount of memory:
the more there are, the less each reads ahead. What the journal itself has lost is reported in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .errors import NotFound, Unavailable
from .model import USEC_PER_SEC, Job
from .selection import Cut, Selection, TailSearch, Window, latest
from .shared import Shared
from .systemd.entries import Dropped, Entry, Output

if TYPE_CHECKING:
    from .systemd.journal import Journal

log = logging.getLogger(__name__)

__all__ = ["Batch", "Dropped", "Logs", "Output", "Selection"]

# journald batches its inotify events by 250 ms (sd_journal_get_fd(3)); looking is cheaper than waiting.
POLL_SEC = 0.02
CHUNK_ENTRIES = 512
BUFFER_BYTES = 1 << 20  # what one follower reads ahead at most
# In a crowd it is less from the beginning: who does not read keeps what it took when there were fewer.
FEW, CROWD_BYTES = 16, 256 << 10
ALL_BUFFERS_BYTES = 64 << 20
ENTRY_OVERHEAD = 500  # what an entry weighs in memory beside its data
HISTORY_READERS, READERS_OF_ONE = 4, 2
RETRY_SEC = 1.0
SETTLED_SEC = 1.0  # after which journald stores nothing any more with a time that has passed

T = TypeVar("T")
Batch = list[Output | Dropped]


def _weight(entry: Entry) -> int:
    return ENTRY_OVERHEAD + (len(entry.data) if isinstance(entry, Output) else 0)


def _some(entries: Iterator[Entry], limit: int) -> tuple[list[Entry], bool]:
    """The next entries, up to the one with which they weigh as much as the limit; and whether there may be more."""
    found: list[Entry] = []
    size = 0
    for entry in islice(entries, CHUNK_ENTRIES):
        found.append(entry)
        size += _weight(entry)
        if size >= limit:
            return found, True
    return found, len(found) == CHUNK_ENTRIES


@dataclass(eq=False, slots=True)
class _Follower:
    """A buffer between the tail and one follower; ``lagging`` when it overflowed and was emptied."""

    unit: str
    news: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[Entry]] = field(default_factory=list)
    size: int = 0
    lagging: bool = False

    def put(self, entries: list[Entry], weight: int, limit: int) -> None:
        """Take entries from the tail, unless they are more than fits."""
        if self.size + weight > limit:
            self.overflow()
        elif not self.lagging:
            self.batches.append(entries)
            self.size += weight
        self.news.set()

    def overflow(self) -> None:
        """Throw away what is there: the journal has it."""
        self.batches.clear()
        self.size = 0
        self.lagging = True
        self.news.set()

    def overflowed(self) -> bool:
        """Whether entries were thrown away since the last call."""
        was, self.lagging = self.lagging, False
        return was

    def take(self) -> list[Entry]:
        """What has come since the last call."""
        taken = list(chain.from_iterable(self.batches))
        self.batches.clear()
        self.size = 0
        self.news.clear()
        return taken


class Logs:
    """Reads a journal namespace, through as many readers from ``open_journal`` as it needs."""

    def __init__(self, open_journal: Callable[[], Journal]) -> None:
        self._open_journal = open_journal
        self._readers: list[Journal] = []  # idle ones; each is used by one thread at a time
        self._pool = ThreadPoolExecutor(HISTORY_READERS, thread_name_prefix="history")
        # Of each identity a few reads at a time: whatever one asks for, the others get their turn.
        self._turns: defaultdict[str, Shared[Any]] = defaultdict(lambda: Shared(READERS_OF_ONE))
        self._followers: dict[str, set[_Follower]] = {}
        self._number_of_followers = 0
        self.dropped: Counter[str] = Counter()  # reports of lost output, by their reason
        self._tail: _Tail | None = None

    @property
    def followers(self) -> int:
        """How many follow a log."""
        return self._number_of_followers

    def _counted(self, batch: Batch) -> Batch:
        self.dropped.update(found.reason for found in batch if isinstance(found, Dropped))
        return batch

    async def _page(self, unit: str, after: int, who: str) -> tuple[list[Entry], bool]:
        """The next entries, and whether there may be more."""
        loop = asyncio.get_running_loop()
        # Those who follow one job come to the same places at the same time.
        page: tuple[list[Entry], bool] = await self._turns[who].get(
            (unit, after), lambda: loop.run_in_executor(self._pool, self._read, unit, after, self._share())
        )
        return page

    def _read(self, unit: str, after: int, limit: int) -> tuple[list[Entry], bool]:
        with self._reader() as reader:
            return _some(reader.entries(unit, after), limit)

    async def newest(self, unit: str, who: str = "") -> int:
        """The number of a unit's newest entry, 0 when there is none."""
        return await self._look(lambda reader: reader.newest(unit), who)

    async def resolved(self, unit: str, selection: Selection, who: str = "") -> Selection:
        """The same selection by numbers of entries, as far as it looks back: without ``tail`` and ``since_usec``.

        Reads the journal from its end backwards, and no further than there are lines wanted. ``who`` asks.
        """
        after, tail, since = selection.after, selection.tail, selection.since_usec
        if since is not None:
            after = max(after, await self._look(lambda reader: reader.number_before(unit, since), who))
        cuts = selection.cuts
        if tail == 0:
            after = max(after, await self.newest(unit, who))
        elif tail is not None:
            found = await self._last_lines(unit, tail, dataclasses.replace(selection, after=after), who)
            after = max(after, min((cut.seq for cut in found), default=0) - 1)
            cuts = latest((*found, *cuts))
        return dataclasses.replace(selection, after=after, tail=None, since_usec=None, cuts=cuts)

    async def _last_lines(self, unit: str, tail: int, selection: Selection, who: str) -> tuple[Cut, ...]:
        search = TailSearch(tail, selection.streams)
        before: int | None = None
        while search.wanted:
            # Page by page: a line without an end may be long, and others want to read meanwhile.
            before = await self._look(partial(_look_back, search, unit, before, selection), who)
            if before is None:
                break
        return search.found()

    async def _look(self, look: Callable[[Journal], T], who: str) -> T:
        def run() -> T:
            with self._reader() as reader:
                return look(reader)

        loop = asyncio.get_running_loop()
        found: T = await self._turns[who].get(look, lambda: loop.run_in_executor(self._pool, run))
        return found

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Journal]:
        reader = None
        try:
            try:
                reader = self._readers.pop()
            except IndexError:  # not looked at before: another thread may take the last one in between
                reader = self._open_journal()
            yield reader
        except OSError as error:  # no descriptor or inotify instance is free, no memory, or the disk fails
            if reader is not None:
                reader.close()
                reader = None
            raise Unavailable(
                f"The journal of jobs cannot be read: {error.strerror or error}.",
                hint="Try again later. If that does not help: the host's administrator finds more in its journal.",
            ) from error
        finally:
            if reader is not None:
                self._readers.append(reader)

    async def stored(self, job: Job, selection: Selection, who: str = "") -> AsyncGenerator[Batch, None]:
        """What there is now of a job's log, in batches, for ``who``."""
        window = Window(job.unit, await self.resolved(job.unit, selection, who))
        end = await self.newest(job.unit, who)  # a job that goes on writing would never let it end
        while window.after < end and not window.over:
            entries, _ = await self._page(job.unit, window.after, who)
            if not entries:
                break
            if found := window.passed(entries):
                yield self._counted(found)
        if job.state.final and (lost := _lost_at_the_end(window, _End.of(job))):
            yield self._counted(lost)

    async def follow(
        self, unit: str, selection: Selection, ended: Callable[[], Awaitable[Job]], who: str = ""
    ) -> AsyncGenerator[Batch, None]:
        """A part of the unit's log, in batches: what there is, then what comes, to the last byte.

        ``ended`` returns the job when it has ended and all its entries are in the journal; ``who`` follows.
        """
        follower = _Follower(unit)
        over = asyncio.create_task(_end(ended))
        over.add_done_callback(lambda _: follower.news.set())
        alarm = _Alarm(selection.until_usec, follower.news.set)
        try:
            await self._subscribe(follower)
            window, behind = Window(unit, await self.resolved(unit, selection, who)), True
            end: _End | None = None
            while not window.over:
                end = over.result() if over.done() else None
                finished = over.done() or alarm.rung()
                stored = behind or finished
                entries = follower.take()
                if stored:
                    entries, behind = await self._page(unit, window.after, who)
                elif not window.continues_with(entries):
                    behind = True  # the tail missed some: the journal has them, if anything has
                    continue
                if found := window.passed(entries):
                    yield self._counted(found)
                if finished and not behind:
                    break
                if follower.overflowed():
                    behind = True
                elif not behind and not window.over:
                    await follower.news.wait()
            # Not of a job that has ended since: its last entries are not lost, they were not looked for.
            if end is not None and (lost := _lost_at_the_end(window, end)):
                yield self._counted(lost)
        finally:
            alarm.cancel()
            over.cancel()
            self._unsubscribe(follower)

    async def _subscribe(self, follower: _Follower) -> None:
        self._followers.setdefault(follower.unit, set()).add(follower)
        self._number_of_followers += 1
        if self._tail is None:
            self._tail = _Tail(self._open_journal, self._dispatch, self._missed)
        await self._tail.ready.wait()

    def _unsubscribe(self, follower: _Follower) -> None:
        followers = self._followers[follower.unit]
        followers.discard(follower)
        self._number_of_followers -= 1
        if not followers:
            del self._followers[follower.unit]
        if not self._followers and self._tail is not None:
            self._tail.stop()
            self._tail = None

    def _share(self) -> int:
        number = max(1, self._number_of_followers)
        return min(BUFFER_BYTES if number <= FEW else CROWD_BYTES, ALL_BUFFERS_BYTES // number)

    def _dispatch(self, entries: list[Entry]) -> None:
        by_unit: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.unit in self._followers:
                by_unit[entry.unit].append(entry)
        limit = self._share()
        for unit, batch in by_unit.items():
            weight = sum(map(_weight, batch))
            for follower in self._followers[unit]:
                follower.put(batch, weight, limit)

    def _missed(self) -> None:
        """The tail was interrupted: all go back to the journal."""
        for follower in chain.from_iterable(self._followers.values()):
            follower.overflow()

    def close(self) -> None:
        """Stop the tail and the readers."""
        if self._tail is not None:
            self._tail.stop()
        self._pool.shutdown(wait=False)


def _look_back(search: TailSearch, unit: str, before: int | None, selection: Selection, reader: Journal) -> int | None:
    """Show a page of entries to a search, the newest first; the number of the last, None if there are no more."""
    [stream] = search.wanted if len(search.wanted) == 1 else [None]
    entries = islice(reader.backwards(unit, before, selection.until_usec, stream), CHUNK_ENTRIES)
    last = shown = 0
    for entry in entries:
        if entry.seq <= selection.after:
            return None
        search.look(entry)
        if not search.wanted:
            return None
        last, shown = entry.seq, shown + 1
    return last if shown == CHUNK_ENTRIES else None


class _End(NamedTuple):
    """All that a follower keeps of a job that has ended, which may have megabytes of arguments."""

    seq: int
    usec: int

    @classmethod
    def of(cls, job: Job) -> _End:
        return cls(job.seq_base, job.ended_usec or 0)


async def _end(ended: Callable[[], Awaitable[Job]]) -> _End | None:
    try:
        return _End.of(await ended())
    except NotFound:  # deleted in the moment in which it had ended
        return None


def _lost_at_the_end(window: Window, end: _End) -> Batch:
    """What a job that has ended wrote behind the last entry that there is."""
    return [] if window.over else [*window.lost(end.seq, end.usec)]


class _Alarm:
    """Calls ``ring`` when no entry with a time up to ``usec`` can come any more."""

    def __init__(self, usec: int | None, ring: Callable[[], object]) -> None:
        self._sec = None if usec is None else usec / USEC_PER_SEC + SETTLED_SEC
        self._timer = None
        if self._sec is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, self._sec - time.time()), ring)

    def rung(self) -> bool:
        return self._sec is not None and time.time() >= self._sec

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _Tail:
    """A thread that reads what is new in the namespace and hands it to ``dispatch`` in the event loop.

    Where the journal cannot be read, for want of descriptors or inotify instances or whatever else, it is tried again
    until it can, and then ``missed`` is called. Meanwhile it is ``ready``, too: what is stored can be had.
    """

    def __init__(
        self,
        open_journal: Callable[[], Journal],
        dispatch: Callable[[list[Entry]], None],
        missed: Callable[[], None],
    ) -> None:
        self.ready = asyncio.Event()
        self._open_journal = open_journal
        self._dispatch = dispatch
        self._missed = missed
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="tail", daemon=True).start()

    def stop(self) -> None:
        """End the thread, some milliseconds later."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except OSError as error:
                log.warning("the journal of jobs cannot be followed: %s; trying again", error)
                self._rest()
            except Exception:  # without this thread all followers would wait for ever
                log.exception("the journal of jobs cannot be followed; trying again")
                self._rest()

    def _rest(self) -> None:
        self._call(self.ready.set)
        self._stopping.wait(RETRY_SEC)

    def _read(self) -> None:
        with contextlib.closing(self._open_journal()) as journal:
            journal.seek_end()
            self._call(self._missed if self.ready.is_set() else self.ready.set)
            while not self._stopping.is_set():
                entries, there_is_more = _some(journal.news(), BUFFER_BYTES)
                if entries:
                    self._call(self._dispatch, entries)
                if not there_is_more:
                    self._stopping.wait(POLL_SEC)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        """Run it in the event loop and wait, so that a busy loop slows the reading, not fills the memory."""
        done = threading.Event()

        def run() -> None:
            function(*arguments)
            done.set()

        self._loop.call_soon_threadsafe(run)
        while not done.wait(1.0):
            if self._stopping.is_set():
                return

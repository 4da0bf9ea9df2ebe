"""Output for followers: history from the journal, then live from one shared tail, nothing lost or doubled.

joblet-init numbers a job's entries, so a follower's place is simply the number of the last entry it
got. The tail reads the namespace for all followers together and exists only while somebody follows.
A follower that is slower than its job does not hold the others up and loses nothing: when its buffer
is full it goes back to the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from .systemd.entries import Entry, Output

if TYPE_CHECKING:
    from .systemd.journal import Journal

log = logging.getLogger(__name__)

# journald batches its inotify events by 250 ms (sd_journal_get_fd(3)); looking is cheaper than waiting.
POLL_SEC = 0.02
CHUNK_ENTRIES = 512
BUFFER_BYTES = 4 << 20
ENTRY_OVERHEAD = 500  # what an entry weighs in memory beside its data
HISTORY_READERS = 4


@dataclass(eq=False, slots=True)
class _Follower:
    """A buffer between the tail and one follower; ``lagging`` when it overflowed and was emptied."""

    unit: str
    news: asyncio.Event = field(default_factory=asyncio.Event)
    entries: deque[Entry] = field(default_factory=deque)
    size: int = 0
    lagging: bool = False

    def put(self, entry: Entry) -> None:
        """Take an entry from the tail."""
        weight = ENTRY_OVERHEAD + (len(entry.data) if isinstance(entry, Output) else 0)
        if self.size + weight > BUFFER_BYTES:
            self.entries.clear()
            self.size = 0
            self.lagging = True
        elif not self.lagging:
            self.entries.append(entry)
            self.size += weight
        self.news.set()

    def overflowed(self) -> bool:
        """Whether entries were thrown away since the last call."""
        was, self.lagging = self.lagging, False
        return was

    def take(self) -> list[Entry]:
        """What has come since the last call."""
        taken = list(self.entries)
        self.entries.clear()
        self.size = 0
        self.news.clear()
        return taken


class Logs:
    """Reads a journal namespace, through as many readers from ``open_journal`` as it needs."""

    def __init__(self, open_journal: Callable[[], Journal]) -> None:
        self._open_journal = open_journal
        self._readers: list[Journal] = []  # idle ones; each is used by one thread at a time
        self._pool = ThreadPoolExecutor(HISTORY_READERS, thread_name_prefix="history")
        self._followers: dict[str, set[_Follower]] = {}
        self._tail: _Tail | None = None

    async def read(self, unit: str, after: int) -> list[Entry]:
        """The next entries of a unit behind number ``after``, a bounded number; empty at the end."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, unit, after)

    def _read(self, unit: str, after: int) -> list[Entry]:
        with self._reader() as reader:
            return list(islice(reader.entries(unit, after), CHUNK_ENTRIES))

    async def newest(self, unit: str) -> int:
        """The number of a unit's newest entry, 0 when there is none."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._newest, unit)

    def _newest(self, unit: str) -> int:
        with self._reader() as reader:
            return reader.newest(unit)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Journal]:
        reader = self._readers.pop() if self._readers else self._open_journal()
        try:
            yield reader
        finally:
            self._readers.append(reader)

    async def follow(
        self, unit: str, after: int, ended: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[list[Output], None]:
        """The unit's output behind entry ``after``, in batches: what there is, then what comes, to the last byte.

        ``ended`` returns when the job has ended and all its entries are in the journal.
        """
        follower = _Follower(unit)
        over = asyncio.ensure_future(ended())
        over.add_done_callback(lambda _: follower.news.set())
        try:
            await self._subscribe(follower)
            behind = True
            while True:
                finished = over.done()
                stored = behind or finished
                entries = follower.take()
                if stored:
                    entries = await self.read(unit, after)
                    behind = len(entries) == CHUNK_ENTRIES
                fresh = [entry for entry in entries if entry.seq > after]
                expected = range(after + 1, after + 1 + len(fresh))
                if not stored and [entry.seq for entry in fresh] != list(expected):
                    behind = True  # the tail missed some: the journal has them, if anything has
                    continue
                if fresh:
                    _report_gaps(unit, after, fresh)
                    after = fresh[-1].seq
                    if output := [entry for entry in fresh if isinstance(entry, Output)]:
                        yield output
                if finished and not behind:
                    return
                if follower.overflowed():
                    behind = True
                elif not behind:
                    await follower.news.wait()
        finally:
            over.cancel()
            self._unsubscribe(follower)

    async def _subscribe(self, follower: _Follower) -> None:
        self._followers.setdefault(follower.unit, set()).add(follower)
        if self._tail is None:
            self._tail = _Tail(self._open_journal, self._dispatch)
        await self._tail.ready.wait()

    def _unsubscribe(self, follower: _Follower) -> None:
        followers = self._followers[follower.unit]
        followers.discard(follower)
        if not followers:
            del self._followers[follower.unit]
        if not self._followers and self._tail is not None:
            self._tail.stop()
            self._tail = None

    def _dispatch(self, entries: list[Entry]) -> None:
        for entry in entries:
            for follower in self._followers.get(entry.unit, ()):
                follower.put(entry)

    def close(self) -> None:
        """Stop the tail and the readers."""
        if self._tail is not None:
            self._tail.stop()
        self._pool.shutdown(wait=False)


def _report_gaps(unit: str, after: int, entries: list[Entry]) -> None:
    for entry in entries:
        if entry.seq != after + 1:
            log.warning("%s: the journal has lost entries %d to %d", unit, after + 1, entry.seq - 1)
        after = entry.seq


class _Tail:
    """A thread that reads what is new in the namespace and hands it to ``dispatch`` in the event loop."""

    def __init__(self, open_journal: Callable[[], Journal], dispatch: Callable[[list[Entry]], None]) -> None:
        self.ready = asyncio.Event()
        self._open_journal = open_journal
        self._dispatch = dispatch
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        threading.Thread(target=self._run, name="tail", daemon=True).start()

    def stop(self) -> None:
        """End the thread, some milliseconds later."""
        self._stopping.set()

    def _run(self) -> None:
        journal = self._open_journal()
        journal.seek_end()
        self._call(self.ready.set)
        while not self._stopping.is_set():
            entries = list(islice(journal.news(), CHUNK_ENTRIES))
            if entries:
                self._call(self._dispatch, entries)
            if len(entries) < CHUNK_ENTRIES:
                self._stopping.wait(POLL_SEC)
        journal.close()

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

"""The disk that all jobs share: some of it stays free, for the store, the journal and the jobs that are not to blame.

Images are sparse, and together may promise more than there is, as nearly all jobs take a fraction of what they may.
When they do take more, whoever has most gives: of the identity whose jobs, at work, waiting and kept, and uploads on
their way take most, the largest /work goes, until there is room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from ..errors import JobletError
from ..files.work import MIB, WorkDirs
from ..model import Job
from .book import Book
from .kept import KeptFiles

log = logging.getLogger(__name__)

# A look costs microseconds, and there is one no sooner than a disk of this speed can have filled what is free.
FASTEST_BYTES_PER_SEC = 2 << 30
SHORTEST_SEC, LONGEST_SEC = 0.1, 10.0
# What is in the way of making room may be gone then.
RETRY_SEC = 5.0


class Space:
    """Keeps ``jobs.keep_free`` of the disk free while somebody may fill it. Nothing wakes up while nobody does.

    ``busy`` tells whether anybody may; ``end(job, reason)`` gives up the /work of one that waits or runs and ends it,
    and is False for any other. Methods are called from the event loop's thread.
    """

    def __init__(
        self,
        book: Book,
        work: WorkDirs,
        kept: KeptFiles,
        busy: Callable[[], bool],
        end: Callable[[Job, str], Awaitable[bool]],
    ) -> None:
        self._book = book
        self._work = work
        self._kept = kept
        self._busy = busy
        self._end = end
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._warned = False

    def watch(self) -> None:
        """A job or an upload is about to begin."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while self._busy():
            await asyncio.sleep(await self.look())

    async def look(self) -> float:
        """Make room if need be; for how many seconds that will do at least."""
        async with self._looking:
            try:
                while (spare := self._work.spare_bytes()) < 0:
                    if not await self._make_room():
                        return RETRY_SEC
            except (JobletError, OSError) as error:
                log.error("no room can be made on the disk of jobs: %s", error)
                return RETRY_SEC
        self._warned = False
        return min(max(spare / FASTEST_BYTES_PER_SEC, SHORTEST_SEC), LONGEST_SEC)

    async def _make_room(self) -> bool:
        """Give up one /work. False when there is none, or where that is no help, as jobs do not fill this disk."""
        reserve = self._work.reserve_bytes()
        sizes = await asyncio.to_thread(self._work.sizes)
        if sum(sizes.values()) <= reserve:
            if not self._warned:
                log.warning("the disk is nearly full, but not of the files of jobs; no job starts")
            self._warned = True
            return False
        kept, uploads = self._book.store.kept(), self._work.uploads
        accounts = {}
        for name in sizes:
            live = self._book.live(name)
            account = live.account if live is not None else kept.get(name) or uploads.get(name)
            if account is not None:  # else it is being made, or a leftover
                accounts[name] = account
        taken: Counter[str] = Counter()
        for name, account in accounts.items():
            taken[account] += sizes[name]
        for name in sorted(accounts, key=lambda name: (taken[accounts[name]], sizes[name]), reverse=True):
            if sizes[name] and await self._give_up(name, sizes[name] // MIB):
                return True
        return False

    async def _give_up(self, name: str, size: int) -> bool:
        reason = (
            f"the host's disk had less than {self._work.reserve_bytes() // MIB} MB left, "
            f"and its /work was the largest, with {size} MB, of the client that took most"
        )
        try:
            live = self._book.live(name)  # as it is now: another one has been tried before, perhaps
            if name in self._work.uploads:
                await asyncio.to_thread(self._work.cut_off, name)
            elif live is None:
                await self._kept.remove(name)
            elif not await self._end(live, reason):
                return False
        except JobletError as error:
            log.error("job %s cannot give up its /work: %s", name, error)  # the next one can, perhaps
            return False
        log.error("job %s had to give up its /work: %s", name, reason)
        return True

    def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()

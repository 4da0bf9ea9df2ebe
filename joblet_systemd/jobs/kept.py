"""The files of jobs after their end: kept for a while, then removed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from ..errors import JobletError
from ..files.work import WorkDirs
from ..model import USEC_PER_SEC, Job
from ..store import Store
from . import disk
from .alarm import Alarm, now_usec
from .outcome import DISK_FULL

log = logging.getLogger(__name__)

RETRY_USEC = 60 * USEC_PER_SEC
OLDEST = "oldest"


class KeptFiles:
    """Removes what is left of ended jobs ``keep_sec`` after their end. Nothing wakes up while nothing is kept.

    Methods are called from the event loop's thread.
    """

    def __init__(self, store: Store, work: WorkDirs, keep_sec: float) -> None:
        self._store = store
        self._work = work
        self._keep_usec = round(keep_sec * USEC_PER_SEC)
        self._alarm = Alarm(lambda _: self.watch(), self.watch)
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._stuck: set[str] = set()  # jobs whose files could not be removed, as was said

    def until(self, job: Job) -> int | None:
        """When the files of an ended job are going to be removed, in microseconds since the epoch."""
        if not (job.state.final and job.files_kept and job.ended_usec is not None):
            return None
        return job.ended_usec + self._keep_usec

    async def job_ended(self, job: Job) -> None:
        """Unmount the /work of a job whose end is stored, and keep it or not. Raises JobletError."""
        keep = self._keep_usec > 0 and job.started_usec is not None and not job.reason.startswith(DISK_FULL)
        try:
            if not await disk.write_out(self._work.finish, job.id, keep=keep):
                self._store.files_gone(job.id)
        finally:
            self.watch()

    async def recover(self, in_use: Collection[str | None]) -> None:
        """Bring directories and store in line after a start; ``in_use`` are the ids of jobs that have not ended."""
        there, kept = set(self._work.ids()), set(self._store.kept())
        for job_id in sorted(there - kept - set(in_use)):
            log.info("removing the left-over directory of job %s", job_id)
            try:
                await disk.clean_up(self._work.remove, job_id)
            except JobletError as error:
                log.error("job %s: %s", job_id, error)
        try:
            for job_id in await disk.clean_up(self._work.mounted, there & kept):
                await self.job_ended(self._store.find(job_id))
            for job_id in kept - there:
                self._store.files_gone(job_id)
        except JobletError as error:
            # On a full disk the daemon is to come up all the same; its next start brings them in line.
            log.error("the files of ended jobs: %s", error)
        self.watch()

    async def remove(self, job_id: str) -> None:
        """Remove the files of an ended job now. Raises JobletError."""
        await disk.clean_up(self._work.remove, job_id)
        self._store.files_gone(job_id)

    def watch(self) -> None:
        """Remove what is due, and see to it that the rest goes in time."""
        if not self._closed and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._expire())

    async def _expire(self) -> None:
        again: list[int] = []
        stuck: set[str] = set()
        behind = (0, "")
        try:
            while (first := self._store.next_kept(*behind)) is not None:
                job_id, ended_usec = first
                due = ended_usec + self._keep_usec
                if due > now_usec():
                    again.append(due)
                    break
                try:
                    await self.remove(job_id)
                except JobletError as error:
                    # The others are not to stay as well.
                    behind = (ended_usec, job_id)
                    stuck.add(job_id)
                    if job_id not in self._stuck:
                        log.error("the files of job %s cannot be removed: %s", job_id, error)
        except JobletError as error:
            log.error("the files of ended jobs cannot be removed: %s", error)
            again.append(now_usec() + RETRY_USEC)
        self._stuck = stuck
        if stuck:
            again.append(now_usec() + RETRY_USEC)
        if again:
            self._alarm.set(OLDEST, min(again))

    def close(self) -> None:
        """Stop; what is due is removed after the next start, and so is what ends from now on."""
        self._closed = True
        self._alarm.close()
        if self._task is not None:
            self._task.cancel()

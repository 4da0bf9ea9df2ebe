"""The life of a job from its turn on: started, ended, stored, cleaned up; and found again after a restart.

The store says what should be, PID 1 what is. Every step is stored before the next one begins, so a
daemon that is killed at any point finds out at its next start where each job stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from typing import TYPE_CHECKING

from ..config import JobsConfig
from ..errors import BusLost, Exhausted, JobletError, NotSent, SystemdError
from ..files.work import WorkDirs
from ..metrics.sampler import Sampler
from ..model import USEC_PER_SEC, Job, State, Usage, job_id_of_unit
from ..systemd.manager import ENDED, STARTING, Manager
from . import disk, timetable
from .alarm import now_usec
from .book import Book
from .kept import KeptFiles
from .outcome import DISK_FULL, EXIT_NOT_STARTED, STOPPED_EARLY, Outcome, outcome, usage, withdrawn
from .retention import AT_ONCE, Retention
from .space import Space
from .tasks import Tasks
from .waiting import STATES as WAITING
from .waiting import Waiting
from .weight import abridged

if TYPE_CHECKING:
    from .runner import Runner

log = logging.getLogger(__name__)

RETRY_SEC = 5.0
STARTING_SEC = 0.5

MAX_LOST_STARTS = 3


class Lifecycle:
    """Carries all jobs of this host through their lives. Methods are called from the event loop's thread."""

    def __init__(
        self,
        config: JobsConfig,
        manager: Manager,
        runner: Runner,
        book: Book,
        work: WorkDirs,
        kept: KeptFiles,
        sampler: Sampler,
        boot_id: str,
    ) -> None:
        manager.watch(self._on_unit_end, self._on_reconnect, self._on_refusal)
        self._manager = manager
        self._runner = runner
        self._config = config
        self.book = book
        self._work = work
        self._kept = kept
        self._sampler = sampler
        book.watch(sampler)
        self._boot_id = boot_id
        self._tasks = Tasks()
        self.waiting = Waiting(config, book, runner, self._tasks, self._start, self.finish_with)
        self._retention = Retention(
            book.store, config.keep_jobs, round(config.keep_days * 86_400 * USEC_PER_SEC), self._forget
        )
        self._space = Space(book, work, kept, self._fills_the_disk, self._out_of_space)
        self._starting: set[str] = set()
        self._finishing: set[str] = set()
        self._lost_starts: Counter[str] = Counter()
        self._taken_over = False

    # --- start

    async def _start(self, job_id: str) -> None:
        self._starting.add(job_id)
        try:
            await self._space.look()
            await self._begin(job_id)
        finally:
            self._starting.discard(job_id)
        self.watch_disk()

    def watch_disk(self) -> None:
        """Keep some of the disk free as long as jobs are at work or uploads on their way, from now on."""
        self._space.watch()

    def _fills_the_disk(self) -> bool:
        return self.waiting.queue.at_work > 0 or bool(self._work.uploads)

    async def _begin(self, job_id: str) -> None:
        job = self.book.live(job_id)
        if job is None or job.state is not State.PENDING:
            self.waiting.queue.vacate(job_id)
            return
        if job.stop_requested:
            # In the moment between its turn and its start, or by way of a daemon that was killed.
            self.finish_with(job_id, withdrawn(job, State.STOPPED))
            return
        try:
            job = self.book.change(
                job,
                state=State.INITIALIZING,
                boot_id=self._boot_id,
                started_usec=now_usec(),
                attempt=job.attempt + 1,
                due_usec=None,
                reason=job.reason if job.attempt else "",
            )
        except JobletError as error:
            self.waiting.put_off(job_id, error)
            return
        try:
            result = await self._runner.start(self.book.whole(job))
        except BusLost as error:
            # Whether PID 1 has made the unit is seen when the connection is back.
            log.warning("job %s: %s", job_id, error)
            if not isinstance(error, NotSent):
                self._lost_starts[job_id] += 1
        except Exhausted as error:
            # The disk is full or no loop device is free, which may pass.
            self._put_off(job_id, error)
        except JobletError as error:
            log.error("job %s could not be started: %s", job_id, error)
            self.finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, f"start-failed: {error}"))
        except Exception:
            log.exception("job %s could not be started", job_id)
            reason = "start-failed: the daemon failed; 'journalctl -u joblet' on the host tells more. This is a bug."
            self.finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        else:
            try:
                await self._started(job_id, result)
            except JobletError as error:
                self._look_later(job_id, error)

    def _put_off(self, job_id: str, error: JobletError) -> None:
        job = self.book[job_id]
        if job.stop_requested:
            self.waiting.queue.vacate(job_id)
            self.finish_with(job_id, withdrawn(job, State.STOPPED))
            return
        try:
            changed = {"state": State.PENDING, "started_usec": None, "attempt": job.attempt - 1}
            # Of a job that has had attempts, how the last one ended is what to tell.
            self.book.change(job, **changed, reason=job.reason if job.attempt > 1 else f"waits: {error}")
        except JobletError as full:
            self._look_later(job_id, full)
        else:
            self.waiting.put_off(job_id, error)

    async def _started(self, job_id: str, result: str) -> None:
        job = self.book.live(job_id)
        if job is None or job.state not in (State.INITIALIZING, State.RUNNING, State.STOPPING):
            return  # so short that its end was recorded already
        if result == "dependency":
            reason = f"start-failed: a unit that it requires did not start; see 'journalctl -u {job.unit}' on the host"
            self.finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        elif result != "done":
            # After a stop in the middle of the start ("canceled") it may still be on its way down.
            if not await self._manager.has_ended(job.unit):
                self._tasks.spawn(self._settle(job_id, STARTING_SEC))
            elif result == "canceled" and not job.stop_requested and not await self._runner.has_begun(job):
                self.finish_with(job_id, STOPPED_EARLY)
            else:
                self._has_ended(job)
        elif job.stop_requested or job.reason.startswith(DISK_FULL):
            # Asked for before the unit was there, or by way of a daemon that was killed, or of a lost connection.
            self.book.change(job, state=State.STOPPING)
            await self._manager.stop(job.unit)
        else:
            self.book.change(job, state=State.RUNNING)

    # --- end

    def _on_unit_end(self, name: str, failed: bool) -> None:
        job = self.book.live(job_id_of_unit(name) or "")
        if job is None:
            if failed:
                self._tasks.spawn(self._release_of_ended(name))
            return
        if job.state in WAITING:
            return  # for its next attempt: its last unit becomes inactive once more when it is released
        if job.state is State.INITIALIZING and job.id not in self._starting:
            # A former connection asked for its start: a new unit is announced as inactive, too.
            self._tasks.spawn(self._settle(job.id))
        else:
            self._has_ended(job)

    async def _release_of_ended(self, name: str) -> None:
        """A unit that was restarted when its job had ended can fail in many ways, and would stay loaded.

        One of which there is no record is for an administrator to look at.
        """
        try:
            self.book.store.find(job_id_of_unit(name) or "")
        except JobletError:
            return
        await self._release(name)

    def _on_refusal(self, name: str) -> None:
        job = self.book.live(job_id_of_unit(name) or "")
        # An administrator who stops a frozen unit is told so by systemctl.
        if job is not None and (job.stop_requested or job.reason.startswith(DISK_FULL)):
            self._tasks.spawn(self._stop_frozen(job))

    async def _stop_frozen(self, job: Job) -> None:
        """Thaw a job to stop it; if its slice is frozen, wait until that is thawed."""
        try:
            try:
                await self._manager.thaw(job.unit)
            except SystemdError as error:
                log.warning("job %s is to be stopped and is frozen: %s", job.id, error)
                await asyncio.sleep(RETRY_SEC)
            if self.book.live(job.id) is not None:
                await self._manager.stop(job.unit)
        except BusLost as error:
            log.warning("job %s: %s", job.id, error)  # the next connection begins with a look at all jobs

    def _has_ended(self, job: Job) -> None:
        if job.id not in self._finishing:
            self._finishing.add(job.id)
            self._tasks.spawn(self._finish(job.id))

    async def _out_of_space(self, job: Job, reason: str) -> bool:
        """End a job and give up its /work; it has no further attempt, for its uploads are gone as well.

        False for one that is just being started. Raises JobletError when its /work cannot be given up.
        """
        reason = DISK_FULL + reason
        if self.waiting.withdraw(job):
            self.finish_with(job.id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        elif job.state in (State.RUNNING, State.STOPPING):
            # Before it is hit, or that could be taken for its own end. If there is no room for it yet, there will be.
            with contextlib.suppress(JobletError):
                self.book.change(job, reason=reason)
        else:
            return False
        await asyncio.to_thread(self._work.cut_off, job.id)
        now = self.book.live(job.id)
        if now is not None and now.state in (State.RUNNING, State.STOPPING):
            try:
                if now.reason != reason:
                    self.book.change(now, reason=reason)
                await self._manager.stop(job.unit)
            except JobletError as error:
                # It takes no room any more. The next connection to PID 1 begins with another look at it.
                log.error("job %s has given up its /work and cannot be stopped yet: %s", job.id, error)
        return True

    def finish_with(self, job_id: str, end: Outcome) -> None:
        """Finish a job that waits, or one whose start has failed; the latter may have attempts left."""
        self._finishing.add(job_id)
        self._tasks.spawn(self._finish(job_id, end))

    async def _finish(self, job_id: str, end: Outcome | None = None) -> None:
        """Store how the job ended, ``end`` or what PID 1 and the journal tell; repeats until it succeeds."""
        unit, left, failed = "", False, True
        try:
            while job_id in self.book:
                try:
                    unit = self.book[job_id].unit
                    if end is None:
                        left, failed = await self._record_end(job_id)
                    else:
                        self._judged(job := self.book[job_id], end, job.usage, now_usec())
                        # PID 1 has loaded the unit, and keeps it for us, before it finds that it cannot start it.
                        left = job.state is State.INITIALIZING
                    break
                except JobletError as error:
                    log.error("the end of job %s cannot be recorded yet: %s", job_id, error)
                    await asyncio.sleep(RETRY_SEC)
        finally:
            self._finishing.discard(job_id)
        if left:
            await self._release(unit, failed=failed)
        if job_id in self.book:
            await self._clear_for_next(job_id)

    async def _release(self, unit: str, *, failed: bool = True) -> None:
        try:
            await self._manager.release(unit, failed=failed)
        except JobletError as error:
            # It is done when the connection is back, or by the next attempt.
            log.warning("%s: %s", unit, error)

    async def _record_end(self, job_id: str) -> tuple[bool, bool]:
        """Returns whether PID 1 has the unit still, and whether that may have failed."""
        result, record = await self._runner.end(self.book[job_id])
        # That of a job which somebody else stopped may have been restarted and have failed since.
        restarted = record is not None and record.stopped
        unit = result is not None, restarted or (result is not None and result.result != "success")
        last = record.seq if record else await self._runner.last_number(self.book[job_id])
        never_ran = await self._runner.never_ran(self.book[job_id], result, record)
        job = self.book[job_id]  # as it is now: a stop may have been asked for meanwhile
        gave_up_work = job.reason.startswith(DISK_FULL)
        if never_ran and not gave_up_work and not self._lost_too_often(job_id):
            self.book.change(job, state=State.PENDING, started_usec=None, attempt=job.attempt - 1)
            self._lost_starts[job_id] += 1
            log.warning("job %s is queued again: PID 1 lost sight of its start, and nothing of it ran", job_id)
            return unit
        end = outcome(job, result, record, self._boot_id, never_ran=never_ran)
        used = dataclasses.replace(usage(result, record), tasks_peak=self._sampler.tasks_peak(job_id))
        ended_usec = record.realtime_usec if record else now_usec()
        self._judged(dataclasses.replace(job, seq_base=max(last, job.seq_base)), end, used, ended_usec)
        return unit

    def _judged(self, job: Job, end: Outcome, used: Usage, ended_usec: int) -> None:
        """Store what became of an attempt: the job waits for the next one, or has ended."""
        if self._tries_again(job, end):
            self.book.change(
                job,
                state=State.SCHEDULED,
                due_usec=now_usec() + timetable.retry_delay(job, self._config.retry_delay),
                exit_code=end.exit_code,
                reason=f"attempt {job.attempt} of {job.spec.retries + 1}: {end.reason}",
                usage=used,
            )
            del self._lost_starts[job.id]
        else:
            self._end(job, end, used, ended_usec)

    def _lost_too_often(self, job_id: str) -> bool:
        """Whether a job must not keep the others from starting again and again."""
        return self._lost_starts[job_id] >= MAX_LOST_STARTS

    async def _clear_for_next(self, job_id: str) -> None:
        """Take out of use what the last attempt used, and let the job wait for the next one."""
        try:
            await disk.write_out(self._work.unmount, job_id)
        except JobletError as error:
            log.error("job %s: %s", job_id, error)  # mounted is how the next attempt wants it
        self.waiting.queue.vacate(job_id)
        job = self.book.live(job_id)
        if job is not None and job.stop_requested:
            self.finish_with(job_id, withdrawn(job, State.STOPPED))
        elif job is not None:
            self.waiting.put(job)

    def _tries_again(self, job: Job, end: Outcome) -> bool:
        failed = end.state in (State.FAILED, State.TIMEOUT) and not end.reason.startswith(DISK_FULL)
        return failed and not job.stop_requested and job.attempt <= job.spec.retries

    def _end(self, job: Job, end: Outcome, used: Usage, ended_usec: int) -> None:
        job = dataclasses.replace(
            job,
            state=end.state,
            exit_code=end.exit_code,
            reason=end.reason,
            ended_usec=ended_usec,
            due_usec=None,
            usage=used,
        )
        self.book.end(job)
        del self._lost_starts[job.id]
        self.waiting.queue.vacate(job.id)
        self._runner.forget(job.id)
        self._tasks.spawn(self._kept.job_ended(job))
        self._retention.on_end()

    async def delete(self, job_ids: Sequence[str], with_files: Set[str]) -> None:
        """Forget jobs that have ended, and remove what there is of some.

        What is forgotten is removed even if the caller goes away. Others have their turns in between.
        """
        for first in range(0, len(job_ids), AT_ONCE):
            some = job_ids[first : first + AT_ONCE]
            self.book.delete(some)
            await asyncio.shield(self._tasks.spawn(self._clean_up([job_id for job_id in some if job_id in with_files])))

    async def _clean_up(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            try:
                await disk.clean_up(self._runner.remove, job_id)
            except (JobletError, OSError) as error:
                log.error("job %s: %s", job_id, error)

    def _forget(self, job_ids: Sequence[str]) -> None:
        self.book.delete(job_ids)
        self._tasks.spawn(self._clean_up(set(self._work.ids()).intersection(job_ids)))

    # --- restart

    async def recover(self) -> None:
        """Take over what a former daemon left: adopt, record, queue again, clean up."""
        # In a thread: of jobs with long arguments that may take a while, in which the watchdog is to be fed.
        for job in await asyncio.to_thread(lambda: list(map(abridged, self.book.store.unfinished()))):
            self.book.adopt(job)
            if job.state not in (State.PENDING, State.SCHEDULED):
                self.waiting.queue.occupy(job.id, job.owner)
        self._taken_over = True
        jobs = list(self.book.unfinished())
        states = await self._reconcile_all()
        for job in jobs:
            if job.state is State.SCHEDULED and job.stop_requested:
                self.finish_with(job.id, withdrawn(job, State.STOPPED))  # in the moment between two attempts
            elif job.state is State.SCHEDULED:
                self.waiting.put(job)
        self.waiting.follow_clock()
        # A unit that runs without a record of it (a lost store) keeps its directory, too.
        wanted = {job.id for job in jobs} | {
            job_id_of_unit(name) for name, state in states.items() if state not in ENDED
        }
        at_work = {job.account for job in jobs if job.state not in WAITING}
        self._runner.forget_others(wanted, at_work if wanted == {job.id for job in jobs} else None)
        await self._kept.recover(wanted)
        self._retention.look()
        self.watch_disk()

    def _on_reconnect(self) -> None:
        if not self._taken_over:
            return  # no unit is anybody's yet; ``recover`` is going to look at all of them

        async def look() -> None:
            await self._reconcile_all()

        self._tasks.spawn(look())

    async def _reconcile_all(self) -> dict[str, str]:
        """Bring every unfinished job's state in line with its unit's, and release units nobody waits for.

        Returns the states of all units of jobs.
        """
        states = await self._manager.states()
        for name in states.keys() - {job.unit for job in self.book.unfinished() if job.state not in WAITING}:
            if states[name] in ENDED:
                await self._manager.release(name)
            else:
                log.warning("%s runs, but no unfinished job of the store is its; 'systemctl stop' ends it", name)
        for job in list(self.book.unfinished()):
            try:
                await self._reconcile(job.id)
            except BusLost:
                raise
            except JobletError as error:
                self._look_later(job.id, error)
        return states

    def _look_later(self, job_id: str, error: JobletError) -> None:
        if isinstance(error, BusLost):
            log.warning("job %s: %s", job_id, error)  # the next connection begins with a look at all jobs
        else:
            log.error("job %s: where it is cannot be found out or stored yet: %s", job_id, error)
            self._tasks.spawn(self._settle(job_id, RETRY_SEC))

    async def _settle(self, job_id: str, pause: float = 0.0) -> None:
        await asyncio.sleep(pause)
        try:
            await self._reconcile(job_id)
        except JobletError as error:
            self._look_later(job_id, error)

    async def _reconcile(self, job_id: str) -> None:
        """Bring one job's state in line with its unit's, unless somebody is at it."""
        job = self.book.live(job_id)
        if job is None or job.state is State.SCHEDULED or job_id in self._finishing or job_id in self._starting:
            return
        if job.state is State.PENDING:
            if not self.waiting.waits(job):
                self.waiting.put(job)
            return
        state = await self._manager.state(job.unit)
        if state is not None and state not in ENDED:
            await self._manager.hold(job.unit)
            if state == STARTING:
                # PID 1 announces the end of a start to the connection that asked for it.
                self._tasks.spawn(self._settle(job_id, STARTING_SEC))
            else:
                await self._started(job_id, "done")
            return
        begun = state is not None or job.state is not State.INITIALIZING or await self._runner.has_begun(job)
        if self.book.live(job_id) is not job or job_id in self._finishing or job_id in self._starting:
            await self._settle(job_id)  # it has changed meanwhile
        elif begun:
            self._has_ended(job)
        elif job.stop_requested:
            self.finish_with(job_id, withdrawn(job, State.STOPPED))
        elif self._lost_too_often(job_id):
            reason = f"start-failed: the connection to PID 1 broke at {MAX_LOST_STARTS} attempts to start it"
            self.finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        else:
            log.info("job %s had not started; it is queued again", job_id)
            job = self.book.change(job, state=State.PENDING, attempt=job.attempt - 1)
            self.waiting.queue.vacate(job_id)
            self.waiting.put(job)

    async def close(self) -> None:
        """Stop working. Jobs go on; what is half done is found at the next start."""
        self.waiting.close()
        self._space.close()
        self._retention.close()
        self._tasks.close()

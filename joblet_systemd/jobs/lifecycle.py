"""The life of a job: submitted, scheduled, queued, started, ended, stored, cleaned up; and found again after a restart.

The store says what should be, PID 1 what is. Every step is stored before the next one begins, so a
daemon that is killed at any point finds out at its next start where each job stands.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .. import unit
from ..config import JobsConfig
from ..errors import BusLost, Exhausted, InvalidValue, JobletError, WrongState
from ..files.root import lookup
from ..files.staging import Staging
from ..files.work import WorkDirs
from ..model import Actor, Job, JobSpec, Limits, State, Usage, job_id_of_unit
from ..systemd.manager import ENDED, STARTING, Manager
from . import admission, timetable
from .alarm import now_usec
from .book import Book
from .kept import KeptFiles
from .outcome import EXIT_NOT_STARTED, Outcome, outcome, usage
from .retention import Retention
from .runner import Runner
from .tasks import Tasks
from .waiting import STATES as WAITING
from .waiting import Waiting

log = logging.getLogger(__name__)

RETRY_SEC = 5.0
STARTING_SEC = 0.5
USEC = 1_000_000

MAX_LOST_STARTS = 3
NEVER_STARTED = Outcome(State.STOPPED, 0, "stopped before it started")
CANCELED = Outcome(State.CANCELED, 0, "canceled")


class Jobs:
    """All jobs of this host. Methods are called from the event loop's thread."""

    def __init__(
        self,
        config: JobsConfig,
        host: unit.Host,
        manager: Manager,
        runner: Runner,
        book: Book,
        work: WorkDirs,
        kept: KeptFiles,
        boot_id: str,
    ) -> None:
        manager.watch(self._on_unit_end, self._on_reconnect)
        self._manager = manager
        self._runner = runner
        self._config = config
        self._host = host
        self.book = book
        self._work = work
        self._kept = kept
        self._boot_id = boot_id
        self._tasks = Tasks()
        self._waiting = Waiting(config, book, runner, self._tasks, self._start, self._finish_with)
        self._retention = Retention(book.store, config.keep_jobs, round(config.keep_days * 86_400 * USEC), self._forget)
        self._previews = timetable.Previews()
        self._starting: set[str] = set()
        self._finishing: set[str] = set()
        self._lost_starts: Counter[str] = Counter()

    # --- what callers ask for

    async def submit(
        self,
        spec: JobSpec,
        caller: Actor,
        account: str,
        staged: Staging | None,
        secrets: Mapping[str, str],
    ) -> tuple[Job, list[str]]:
        """Check, store and queue or schedule a job; returns it with notes for the user.

        ``staged`` are its uploads, ``secrets`` its secret variables. Raises InvalidValue, Unsupported or
        Exhausted; then nothing was made.
        """
        notes = self._admit(spec, caller)
        lookup(account)
        now, due = now_usec(), None
        if spec.schedule:
            spec, due = await timetable.first(spec, now)
        job_id = staged.job_id if staged else str(uuid.uuid4())
        await self._runner.seal(job_id, secrets)
        # From here on nothing is waited for: a client that goes away leaves a whole job behind or none.
        job = Job(
            id=job_id,
            spec=spec,
            owner=caller.name,
            account=account,
            state=State.PENDING if due is None else State.SCHEDULED,
            submitted_usec=now,
            uploads=staged.names if staged else (),
            boot_id=self._boot_id,
            due_usec=due,
        )
        try:
            if staged:
                staged.take_in()
            self.book.store.add(job)
        except JobletError:
            self._runner.remove(job.id)
            raise
        self.book.adopt(job)
        self._waiting.put(job)
        return job, notes

    async def check(self, spec: JobSpec, caller: Actor) -> None:
        """Raise what ``submit`` would, as far as it can be told before the uploads are there."""
        self._admit(spec, caller)
        if spec.schedule:
            await timetable.first(spec, now_usec())

    def _admit(self, spec: JobSpec, caller: Actor) -> list[str]:
        notes = [*self._check(spec.limits), *self._work.check(spec.limits)]
        waiting = sum(job.state in WAITING and job.owner == caller.name for job in self.book.unfinished())
        if waiting >= self._config.max_pending:
            raise Exhausted(
                f"{waiting} jobs of {caller.name!r} wait already.",
                hint="Try again later, or let the host's administrator raise jobs.max_pending.",
            )
        return notes

    def _check(self, limits: Limits) -> list[str]:
        return admission.check(limits, self._host, self._config.unenforced_limits)

    def positions(self) -> Mapping[str, int]:
        """The place in the queue of each job that waits in it, the next to start having 1."""
        return self._waiting.queue.positions()

    async def next_runs(self, job: Job) -> tuple[int, ...]:
        """When a repeating job runs next, in microseconds since the epoch; empty for any other."""
        if job.state is not State.SCHEDULED or not job.spec.calendar or job.due_usec is None:
            return ()
        return await self._previews.of(job.spec, job.due_usec)

    async def stop(self, reference: str, caller: Actor) -> Job:
        """Stop a job and wait for its end.

        Raises WrongState when it has ended already.
        """
        job = self.book.get_own(reference, caller)
        if job.state.final:
            raise WrongState(f"Job {job.id} has ended already ({job.state}).")
        if self._waiting.withdraw(job):
            self._finish_with(job.id, NEVER_STARTED)
            return await self.book.ended(job.id)
        # The intent is stored first: afterwards an end by SIGTERM could be anybody's doing.
        stopping = State.STOPPING if job.state is State.RUNNING else job.state
        self.book.change(job, state=stopping, stop_requested=True)
        await self._manager.stop(job.unit)
        return await self.book.ended(job.id)

    async def cancel(self, reference: str, caller: Actor) -> Job:
        """Take a job that has not started off the queue or the schedule.

        Raises WrongState when it has started or ended.
        """
        job = self.book.get_own(reference, caller)
        if not self._waiting.withdraw(job):
            hint = "" if job.state.final else f"'rnx job stop {job.id}' stops it."
            raise WrongState(f"Job {job.id} cannot be canceled: it is {job.state}.", hint=hint)
        self._finish_with(job.id, CANCELED)
        return await self.book.ended(job.id)

    async def delete(self, reference: str, caller: Actor) -> Job:
        """Forget a job that has ended, and its files. Raises WrongState when it has not."""
        job = self.book.get_own(reference, caller)
        if not job.state.final:
            raise WrongState(f"Job {job.id} has not ended: it is {job.state}.", hint="Stop or cancel it first.")
        self.book.store.delete([job.id])
        await self._clean_up(job.id)
        return job

    async def delete_all(self, caller: Actor) -> tuple[int, int]:
        """Forget all jobs that have ended and that the caller may delete; how many, and how many are left."""
        jobs = self.book.store.all()
        own = [job for job in jobs if job.state.final and (caller.others or job.owner == caller.name)]
        self.book.store.delete([job.id for job in own])
        for job in own:
            await self._clean_up(job.id)
        return len(own), len(jobs) - len(own)

    async def update(
        self, reference: str, caller: Actor, changes: dict[str, Any], priority: int | None
    ) -> tuple[Job, list[str]]:
        """Change fields of a job's Limits, or its priority; returns the job with notes for the user.

        Raises InvalidValue, Unsupported or WrongState; then nothing was changed.
        """
        job = self.book.get_own(reference, caller)
        limits = dataclasses.replace(job.spec.limits, **changes)
        changed = {name: value for name, value in changes.items() if value != getattr(job.spec.limits, name)}
        notes = self._check(Limits(**changed))
        if job.state.final:
            raise WrongState(f"Job {job.id} has ended already ({job.state}).")
        spec = dataclasses.replace(job.spec, limits=limits)
        if job.state in WAITING:
            if priority is not None:
                spec = dataclasses.replace(spec, priority=priority)
            job = self.book.change(job, spec=spec)
            if priority is not None and self._waiting.queue.waits(job.id):
                self._waiting.put(job)
            return job, notes
        if job.state is not State.RUNNING:
            raise WrongState(f"Job {job.id} is {job.state}; try again when it runs.")
        if priority is not None:
            raise InvalidValue("priority", priority, "nothing for a job that runs: it orders those that wait")
        if "runtime_usec" in changed:
            raise InvalidValue(
                "max_runtime",
                f"{(changed['runtime_usec'] or 0) / USEC:g} s",
                "no change for a job that runs: systemd takes it at the start",
            )
        work = str(self._work.path(job.id))
        properties = unit.changed_limits(job.spec.limits, limits, work)
        await self._manager.change(job.unit, [(p.name, p.signature, p.value) for p in properties])
        # It may have ended meanwhile; then its record stays as it is.
        current = self.book.live(job.id)
        return self.book.change(current, spec=spec) if current is not None else self.book.store.find(job.id), notes

    # --- start

    async def _start(self, job_id: str) -> None:
        self._starting.add(job_id)
        try:
            await self._begin(job_id)
        finally:
            self._starting.discard(job_id)

    async def _begin(self, job_id: str) -> None:
        job = self.book.live(job_id)
        if job is None or job.state is not State.PENDING:
            self._waiting.queue.vacate(job_id)
            return
        if job.stop_requested:
            # In the moment between its turn and its start, or by way of a daemon that was killed.
            self._finish_with(job_id, NEVER_STARTED)
            return
        try:
            job = self.book.change(
                job,
                state=State.INITIALIZING,
                boot_id=self._boot_id,
                started_usec=now_usec(),
                attempt=job.attempt + 1,
                due_usec=None,
            )
        except JobletError as error:
            self._waiting.queue.vacate(job_id)
            self._waiting.later(job_id, error)
            return
        try:
            result = await self._runner.start(job)
        except BusLost as error:
            # Whether PID 1 has made the unit is seen when the connection is back.
            log.warning("job %s: %s", job_id, error)
            self._lost_starts[job_id] += 1
        except Exhausted as error:
            # The disk is full or no loop device is free, which may pass.
            self._put_off(job_id, error)
        except JobletError as error:
            log.error("job %s could not be started: %s", job_id, error)
            self._finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, f"start-failed: {error}"))
        except Exception:
            log.exception("job %s could not be started", job_id)
            reason = "start-failed: the daemon failed; 'journalctl -u joblet' on the host tells more. This is a bug."
            self._finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        else:
            try:
                await self._started(job_id, result)
            except JobletError as error:
                self._look_later(job_id, error)

    def _put_off(self, job_id: str, error: JobletError) -> None:
        job = self.book[job_id]
        if job.stop_requested:
            self._waiting.queue.vacate(job_id)
            self._finish_with(job_id, NEVER_STARTED)
            return
        try:
            self.book.change(job, state=State.PENDING, started_usec=None, attempt=job.attempt - 1)
        except JobletError as full:
            self._look_later(job_id, full)
        else:
            self._waiting.queue.vacate(job_id)
            self._waiting.later(job_id, error)

    async def _started(self, job_id: str, result: str) -> None:
        job = self.book.live(job_id)
        if job is None or job.state not in (State.INITIALIZING, State.RUNNING, State.STOPPING):
            return  # so short that its end was recorded already
        if result == "dependency":
            reason = f"start-failed: a unit that it requires did not start; see 'journalctl -u {job.unit}' on the host"
            self._finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        elif result != "done":
            # After a stop in the middle of the start ("canceled") it may still be on its way down.
            if await self._manager.has_ended(job.unit):
                self._has_ended(job)
            else:
                self._tasks.spawn(self._settle(job_id, STARTING_SEC))
        elif job.stop_requested:
            # Asked for before the unit was there, or by way of a daemon that was killed.
            self.book.change(job, state=State.STOPPING)
            await self._manager.stop(job.unit)
        else:
            self.book.change(job, state=State.RUNNING)

    # --- end

    def _on_unit_end(self, name: str) -> None:
        job = self.book.live(job_id_of_unit(name) or "")
        # Not of one that waits for its next attempt: its last unit becomes inactive once more when it is released.
        if job is None or job.state in WAITING:
            return
        if job.state is State.INITIALIZING and job.id not in self._starting:
            # A former connection asked for its start: a new unit is announced as inactive, too.
            self._tasks.spawn(self._settle(job.id))
        else:
            self._has_ended(job)

    def _has_ended(self, job: Job) -> None:
        if job.id not in self._finishing:
            self._finishing.add(job.id)
            self._tasks.spawn(self._finish(job.id))

    def _finish_with(self, job_id: str, end: Outcome) -> None:
        """Finish a job of which PID 1 has no unit."""
        self._finishing.add(job_id)
        self._tasks.spawn(self._finish(job_id, end))

    async def _finish(self, job_id: str, end: Outcome | None = None) -> None:
        """Store how the job ended, ``end`` or what PID 1 and the journal tell; repeats until it succeeds."""
        loaded = ""
        try:
            while job_id in self.book:
                try:
                    if end is None:
                        loaded = await self._record_end(job_id)
                    else:
                        self._end(self.book[job_id], end, Usage(), now_usec())
                    break
                except JobletError as error:
                    log.error("the end of job %s cannot be recorded yet: %s", job_id, error)
                    await asyncio.sleep(RETRY_SEC)
        finally:
            self._finishing.discard(job_id)
        if loaded:
            try:
                await self._manager.release(loaded)
            except JobletError as error:
                # It is done when the connection is back, or by the next attempt.
                log.warning("%s: %s", loaded, error)
        if job_id in self.book:
            await self._clear_for_next(job_id)

    async def _record_end(self, job_id: str) -> str:
        """Returns the unit if PID 1 has it still."""
        result, record = await self._runner.end(self.book[job_id])
        last = record.seq if record else await self._runner.last_number(self.book[job_id])
        job = self.book[job_id]  # as it is now: a stop may have been asked for meanwhile
        end = outcome(job, result, record, self._boot_id)
        used, ended_usec = usage(result, record), record.realtime_usec if record else now_usec()
        if self._tries_again(job, end):
            job = self.book.change(
                job,
                state=State.SCHEDULED,
                due_usec=now_usec() + timetable.retry_delay(job, self._config.retry_delay),
                seq_base=max(last, job.seq_base),
                reason=f"attempt {job.attempt} of {job.spec.retries + 1}: {end.reason}",
                usage=used,
            )
        else:
            self._end(job, end, used, ended_usec)
        return job.unit if result is not None else ""

    async def _clear_for_next(self, job_id: str) -> None:
        """Take out of use what the last attempt used, and let the job wait for the next one."""
        try:
            await asyncio.to_thread(self._work.unmount, job_id)
        except JobletError as error:
            log.error("job %s: %s", job_id, error)  # mounted is how the next attempt wants it
        self._waiting.queue.vacate(job_id)
        job = self.book.live(job_id)
        if job is not None and job.stop_requested:
            self._finish_with(job_id, NEVER_STARTED)
        elif job is not None:
            self._waiting.put(job)

    def _tries_again(self, job: Job, end: Outcome) -> bool:
        failed = end.state in (State.FAILED, State.TIMEOUT)
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
        self._waiting.queue.vacate(job.id)
        self._runner.forget(job.id)
        self._tasks.spawn(self._kept.job_ended(job))
        try:
            self._retention.on_end()
        except JobletError as error:
            log.error("finished jobs cannot be forgotten yet: %s", error)

    async def _clean_up(self, job_id: str) -> None:
        try:
            await asyncio.to_thread(self._runner.remove, job_id)
        except JobletError as error:
            log.error("job %s: %s", job_id, error)

    def _forget(self, job_id: str) -> None:
        self.book.store.delete([job_id])
        self._tasks.spawn(self._clean_up(job_id))

    # --- restart

    async def recover(self) -> None:
        """Take over what a former daemon left: adopt, record, queue again, clean up."""
        jobs = self.book.store.unfinished()
        for job in jobs:
            self.book.adopt(job)
            if job.state not in (State.PENDING, State.SCHEDULED):
                self._waiting.queue.occupy(job.id, job.owner)
        states = await self._reconcile_all()
        for job in jobs:
            if job.state is State.SCHEDULED and job.stop_requested:
                self._finish_with(job.id, NEVER_STARTED)  # in the moment between two attempts
            elif job.state is State.SCHEDULED:
                self._waiting.put(job)
        self._waiting.follow_clock()
        # A unit that runs without a record of it (a lost store) keeps its directory, too.
        wanted = {job.id for job in jobs} | {
            job_id_of_unit(name) for name, state in states.items() if state not in ENDED
        }
        self._runner.forget_others(wanted)
        await self._kept.recover(wanted)
        self._retention.look()

    def _on_reconnect(self) -> None:
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
            if not self._waiting.waits(job):
                self._waiting.put(job)
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
            self._finish_with(job_id, NEVER_STARTED)
        elif self._lost_starts[job_id] >= MAX_LOST_STARTS:
            # It must not keep the others from starting again and again.
            reason = f"start-failed: the connection to PID 1 broke at {MAX_LOST_STARTS} attempts to start it"
            self._finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        else:
            log.info("job %s had not started; it is queued again", job_id)
            job = self.book.change(job, state=State.PENDING, attempt=job.attempt - 1)
            self._waiting.queue.vacate(job_id)
            self._waiting.put(job)

    async def close(self) -> None:
        """Stop working. Jobs go on; what is half done is found at the next start."""
        self._waiting.close()
        self._retention.close()
        self._tasks.close()

"""The life of a job: submitted, queued, started, ended, stored, cleaned up; and found again after a restart.

The store says what should be, PID 1 what is. Every step is stored before the next one begins, so a
daemon that is killed at any point finds out at its next start where each job stands.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
import uuid
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from .. import unit
from ..config import JobsConfig, Unenforced
from ..errors import BusLost, Denied, Exhausted, JobletError, Unsupported, WrongState
from ..files import uploads
from ..files.uploads import Upload
from ..files.work import WorkDirs
from ..model import Job, JobSpec, State, Usage, job_id_of_unit, parse_cpuset
from ..store import Store
from ..systemd.manager import ENDED, Manager
from .outcome import EXIT_NOT_STARTED, Outcome, outcome, usage
from .queue import StartQueue
from .runner import Runner

log = logging.getLogger(__name__)

RETRY_SEC = 5.0

MAX_LOST_STARTS = 3
NEVER_STARTED = Outcome(State.STOPPED, 0, "stopped before it started")


class Jobs:
    """All jobs of this host. Methods are called from the event loop's thread."""

    def __init__(
        self,
        config: JobsConfig,
        host: unit.Host,
        manager: Manager,
        runner: Runner,
        store: Store,
        work: WorkDirs,
        boot_id: str,
    ) -> None:
        manager.watch(self._on_unit_end, self._on_reconnect)
        self._manager = manager
        self._runner = runner
        self._config = config
        self._host = host
        self._store = store
        self._work = work
        self._boot_id = boot_id
        self._queue = StartQueue(config.starts_in_flight, self._start)
        self._live: dict[str, Job] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self._finishing: set[str] = set()
        self._lost_starts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what callers ask for

    async def submit(
        self, spec: JobSpec, owner: str, account: str, files: Sequence[Upload], secrets: Mapping[str, str]
    ) -> tuple[Job, list[str]]:
        """Check, store and queue a job; returns it with notes for the user. ``secrets`` are secret variables.

        Raises InvalidValue, Unsupported or Exhausted; then nothing was made.
        """
        # A client that goes away in the middle leaves a whole job behind or none, not half of one.
        return await asyncio.shield(self._submit(spec, owner, account, files, secrets))

    async def _submit(
        self, spec: JobSpec, owner: str, account: str, files: Sequence[Upload], secrets: Mapping[str, str]
    ) -> tuple[Job, list[str]]:
        notes = self._check(spec)
        uploads.check(files)
        if len(self._queue) >= self._config.max_pending:
            raise Exhausted(
                f"{len(self._queue)} jobs wait already.", hint="Try again later, or raise jobs.max_pending."
            )
        job = Job(
            id=str(uuid.uuid4()),
            spec=spec,
            owner=owner,
            account=account,
            state=State.PENDING,
            submitted_usec=now_usec(),
            uploads=uploads.names(files),
            boot_id=self._boot_id,
        )
        if files:
            await asyncio.to_thread(self._work.create, job.id, account, files)
        else:
            self._work.create(job.id, account, files)
        try:
            await self._runner.seal(job, secrets)
            self._store.add(job)
        except JobletError:
            self._work.remove(job.id)
            self._runner.forget(job.id)
            raise
        self._adopt(job)
        self._queue.put(job.id)
        return job, notes

    def _check(self, spec: JobSpec) -> list[str]:
        cores = spec.limits.cpu_cores
        if cores is not None:
            missing = sorted(parse_cpuset(cores) - self._host.cpus)
            if missing:
                raise Unsupported(
                    f"cpu_cores: this host has no CPU {missing[0]}.",
                    hint=f"Its CPUs are {min(self._host.cpus)} to {max(self._host.cpus)}.",
                )
        unenforced = unit.unenforced(spec.limits, self._host)
        if unenforced and self._config.unenforced_limits is Unenforced.REFUSE:
            raise Unsupported(
                " ".join(unenforced),
                hint="Leave the limit out, or let the host's administrator set 'unenforced_limits: warn'.",
            )
        return unenforced

    def get(self, id_or_prefix: str) -> Job:
        """A job by id or unique prefix. Raises NotFound or Ambiguous."""
        return self._live.get(id_or_prefix) or self._store.find(id_or_prefix)

    def all(self) -> list[Job]:
        """All jobs, the oldest first."""
        return self._store.all()

    async def ended(self, job_id: str) -> Job:
        """Wait until the job is in a final state."""
        event = self._ended.get(job_id)
        if event is not None:
            await event.wait()
        return self._store.find(job_id)

    async def stop(self, id_or_prefix: str, *, owner: str | None) -> Job:
        """Stop a job and wait for its end. ``owner``: whose jobs the caller may stop; None for any.

        Raises WrongState when it has ended already.
        """
        job = self.get(id_or_prefix)
        if owner is not None and job.owner != owner:
            raise Denied(
                f"Job {job.id} belongs to {job.owner!r}.", hint="Its owner, a maintainer or an admin can stop it."
            )
        if job.state.final:
            raise WrongState(f"Job {job.id} has ended already ({job.state}).")
        if self._queue.discard(job.id):
            self._finish_with(job.id, NEVER_STARTED)
            return await self.ended(job.id)
        # The intent is stored first: afterwards an end by SIGTERM could be anybody's doing.
        stopping = State.STOPPING if job.state is State.RUNNING else job.state
        self._set(job, state=stopping, stop_requested=True)
        await self._manager.stop(job.unit)
        return await self.ended(job.id)

    # --- start

    async def _start(self, job_id: str) -> None:
        job = self._live.get(job_id)
        if job is None or job.state is not State.PENDING:
            return
        try:
            job = self._set(job, state=State.INITIALIZING, boot_id=self._boot_id, started_usec=now_usec())
        except JobletError as error:
            log.error("job %s cannot be started yet: %s", job_id, error)
            self._spawn(self._queue_later(job_id))
            return
        try:
            result = await self._runner.start(job)
        except BusLost as error:
            # Whether PID 1 has made the unit is seen when the connection is back. A job that breaks it again
            # and again must not keep the others from starting.
            log.warning("job %s: %s", job_id, error)
            self._lost_starts[job_id] += 1
            if self._lost_starts[job_id] >= MAX_LOST_STARTS:
                reason = f"start-failed: the connection to PID 1 broke at {MAX_LOST_STARTS} attempts to start it"
                self._finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, reason))
        except JobletError as error:
            log.error("job %s could not be started: %s", job_id, error)
            self._finish_with(job_id, Outcome(State.FAILED, EXIT_NOT_STARTED, f"start-failed: {error}"))
        else:
            await self._started(job_id, result)

    async def _started(self, job_id: str, result: str) -> None:
        job = self._live.get(job_id)
        if job is None:
            return  # so short that its end was recorded already
        if result != "done":
            # After a stop in the middle of the start ("canceled") it may still be on its way down.
            if await self._manager.has_ended(job.unit):
                self._on_unit_end(job.unit)
        elif job.stop_requested:
            # Asked for before the unit was there, or by way of a daemon that was killed.
            self._set(job, state=State.STOPPING)
            await self._manager.stop(job.unit)
        else:
            self._set(job, state=State.RUNNING)

    async def _queue_later(self, job_id: str) -> None:
        await asyncio.sleep(RETRY_SEC)
        self._queue.put(job_id)

    # --- end

    def _on_unit_end(self, name: str) -> None:
        job = self._live.get(job_id_of_unit(name) or "")
        if job is not None and job.id not in self._finishing:
            self._finishing.add(job.id)
            self._spawn(self._finish(job.id))

    def _finish_with(self, job_id: str, end: Outcome) -> None:
        """Finish a job of which PID 1 has no unit."""
        self._finishing.add(job_id)
        self._spawn(self._finish(job_id, end))

    async def _finish(self, job_id: str, end: Outcome | None = None) -> None:
        """Store how the job ended, ``end`` or what PID 1 and the journal tell; repeats until it succeeds."""
        try:
            while job_id in self._live:
                try:
                    if end is None:
                        await self._record_end(job_id)
                    else:
                        self._end(job_id, end, Usage(), now_usec())
                except JobletError as error:
                    log.error("the end of job %s cannot be recorded yet: %s", job_id, error)
                    await asyncio.sleep(RETRY_SEC)
        finally:
            self._finishing.discard(job_id)

    async def _record_end(self, job_id: str) -> None:
        name = self._live[job_id].unit
        result, record = await self._runner.end(name)
        job = self._live[job_id]  # as it is now: a stop may have been asked for meanwhile
        end = outcome(job, result, record, self._boot_id)
        self._end(job_id, end, usage(result, record), record.realtime_usec if record else now_usec())
        if result is not None:
            await self._manager.release(name)

    def _end(self, job_id: str, end: Outcome, used: Usage, ended_usec: int) -> None:
        job = dataclasses.replace(
            self._live[job_id],
            state=end.state,
            exit_code=end.exit_code,
            reason=end.reason,
            ended_usec=ended_usec,
            usage=used,
        )
        self._store.update(job)
        del self._live[job_id]
        del self._lost_starts[job_id]
        self._ended.pop(job_id).set()
        self._spawn(self._clean_up(job_id))

    async def _clean_up(self, job_id: str) -> None:
        self._runner.forget(job_id)
        try:
            await asyncio.to_thread(self._work.remove, job_id)
        except JobletError as error:
            log.error("job %s: %s", job_id, error)

    # --- restart

    async def recover(self) -> None:
        """Take over what a former daemon left: adopt, record, queue again, clean up."""
        jobs = self._store.unfinished()
        for job in jobs:
            self._adopt(job)
        states = await self._reconcile_all()
        # A unit that runs without a record of it (a lost store) keeps its directory, too.
        wanted = {job.id for job in jobs} | {
            job_id_of_unit(name) for name, state in states.items() if state not in ENDED
        }
        self._runner.forget_others(wanted)
        for job_id in set(self._work.ids()) - wanted:
            log.info("removing the left-over directory of job %s", job_id)
            await self._clean_up(job_id)

    def _on_reconnect(self) -> None:
        async def look() -> None:
            await self._reconcile_all()

        self._spawn(look())

    async def _reconcile_all(self) -> dict[str, str]:
        """Bring every unfinished job's state in line with its unit's, and release units nobody waits for.

        Returns the ActiveState of all units of jobs.
        """
        states = await self._manager.active_states()
        for name in states.keys() - {job.unit for job in self._live.values()}:
            if states[name] in ENDED:
                await self._manager.release(name)
            else:
                log.warning("%s runs, but no unfinished job of the store is its; 'systemctl stop' ends it", name)
        for job in list(self._live.values()):
            if job.id not in self._finishing:
                await self._reconcile(job, states.get(job.unit))
        # A unit may have ended between the list and the moment it was held.
        states = await self._manager.active_states()
        for job in list(self._live.values()):
            if job.state in (State.RUNNING, State.STOPPING) and states.get(job.unit, "inactive") in ENDED:
                self._on_unit_end(job.unit)
        return states

    async def _reconcile(self, job: Job, active_state: str | None) -> None:
        if job.state is State.PENDING:
            self._queue.put(job.id)
        elif active_state is not None and active_state not in ENDED:
            await self._manager.hold(job.unit)
            if job.id in self._live:
                await self._started(job.id, "done")
        elif active_state is not None or job.state is not State.INITIALIZING or await self._runner.has_begun(job.unit):
            self._on_unit_end(job.unit)
        elif job.stop_requested:
            self._finish_with(job.id, NEVER_STARTED)
        else:
            log.info("job %s had not started; it is queued again", job.id)
            self._set(job, state=State.PENDING)
            self._queue.put(job.id)

    # --- bookkeeping

    def _adopt(self, job: Job) -> None:
        self._live[job.id] = job
        self._ended[job.id] = asyncio.Event()

    def _set(self, job: Job, **changes: Any) -> Job:
        changed = dataclasses.replace(job, **changes)
        self._store.update(changed)
        self._live[job.id] = changed
        return changed

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, BusLost):
            log.warning("%s Looking again when the connection is back.", error)
        elif error is not None:
            log.error("a background task failed", exc_info=error)

    async def close(self) -> None:
        """Stop working. Jobs go on; what is half done is found at the next start."""
        self._queue.close()
        for task in self._tasks:
            task.cancel()


def now_usec() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000

"""What callers ask of jobs: submit, stop, cancel, delete and change them. Checked here, before anything is made."""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from .. import unit
from ..config import JobsConfig, Unenforced
from ..errors import Exhausted, JobletError, Unsupported, WrongState
from ..files.root import lookup
from ..files.staging import Staging
from ..files.work import WorkDirs
from ..model import Actor, Job, JobSpec, Limits, State, parse_cpuset
from ..shared import Shared
from ..systemd.manager import Manager
from . import timetable
from .alarm import now_usec
from .book import Book
from .lifecycle import Lifecycle
from .outcome import withdrawn
from .waiting import STATES as WAITING
from .weight import MIB, STORED_BYTES

if TYPE_CHECKING:
    from .runner import Runner


class Jobs:
    """All jobs of this host, as callers see them. Methods are called from the event loop's thread."""

    def __init__(
        self,
        config: JobsConfig,
        host: unit.Host,
        manager: Manager,
        runner: Runner,
        book: Book,
        work: WorkDirs,
        lifecycle: Lifecycle,
        boot_id: str,
    ) -> None:
        self._config = config
        self._host = host
        self._manager = manager
        self._runner = runner
        self.book = book
        self._work = work
        self._lifecycle = lifecycle
        self._boot_id = boot_id
        self._previews = timetable.Previews()
        self._updates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Of each identity one schedule at a time: whatever one asks for, the others get their turn.
        self._turns: defaultdict[str, Shared[tuple[JobSpec, int]]] = defaultdict(lambda: Shared(1))

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
            spec, due = await self._first(spec, now, caller)
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
            self._check_room(caller)  # again: others came meanwhile
            if staged:
                staged.take_in()
            self.book.store.add(job)
        except JobletError:
            self._runner.remove(job.id)
            raise
        self.book.adopt(job)
        self._lifecycle.waiting.put(job)
        return job, notes

    async def check(self, spec: JobSpec, caller: Actor) -> None:
        """Raise what ``submit`` would, as far as it can be told before the uploads are there."""
        self._admit(spec, caller)
        if spec.schedule:
            await self._first(spec, now_usec(), caller)

    async def _first(self, spec: JobSpec, now: int, caller: Actor) -> tuple[JobSpec, int]:
        # Each by itself, but to its end, and no other of the same identity before, even if the caller goes away.
        return await self._turns[caller.name].get(object(), lambda: timetable.first(spec, now))

    def _admit(self, spec: JobSpec, caller: Actor) -> list[str]:
        notes = [*self._check(spec.limits), *self._work.check(spec.limits)]
        self._check_room(caller)
        return notes

    def _check_room(self, caller: Actor) -> None:
        """Raises Exhausted when this identity can have no more jobs for now."""
        unfinished = self.book.unfinished()
        if len(unfinished) >= self._config.max_pending:
            waiting = sum(job.state in WAITING and job.owner == caller.name for job in unfinished)
            if waiting >= self._config.max_pending:
                raise Exhausted(
                    f"{waiting} jobs of {caller.name!r} wait already.",
                    hint="Try again later, or let the host's administrator raise jobs.max_pending.",
                )
        self.book.scales.check(caller.name)
        stored = self.book.store.unfinished_bytes(caller.name)
        if stored >= STORED_BYTES:
            raise Exhausted(
                f"Jobs of {caller.name!r} that have not ended have {stored // MIB} MB of arguments, variables and names"
                f" of uploads; they can have {STORED_BYTES // MIB} MB.",
                hint="Try again later, or cancel jobs that wait. Large arguments are better uploaded as a file.",
            )

    def _check(self, limits: Limits) -> list[str]:
        """What this host cannot enforce and lets pass, as notes for the user. Raises Unsupported for the rest."""
        if limits.cpu_cores is not None:
            missing = sorted(parse_cpuset(limits.cpu_cores) - self._host.cpus)
            if missing:
                raise Unsupported(
                    f"cpu_cores: this host has no CPU {missing[0]}.",
                    hint=f"Its CPUs are {min(self._host.cpus)} to {max(self._host.cpus)}.",
                )
        unenforced = unit.unenforced(limits, self._host)
        if unenforced and self._config.unenforced_limits is Unenforced.REFUSE:
            raise Unsupported(
                " ".join(unenforced),
                hint="Leave the limit out, or let the host's administrator set 'unenforced_limits: warn'.",
            )
        return unenforced

    def positions(self) -> Mapping[str, int]:
        """The place in the queue of each job that waits in it, the next to start having 1."""
        return self._lifecycle.waiting.queue.positions()

    async def next_runs(self, job: Job, who: str) -> tuple[int, ...]:
        """When a repeating job runs next, in microseconds since the epoch; empty for any other. ``who`` asks."""
        if job.state is not State.SCHEDULED or not job.spec.calendar or job.due_usec is None:
            return ()
        return await self._previews.of(job.spec, job.due_usec, who)

    async def stop(self, reference: str, caller: Actor) -> Job:
        """Stop a job and wait for its end.

        Raises WrongState when it has ended already.
        """
        job = self.book.get_own(reference, caller)
        if job.state.final:
            raise WrongState(f"Job {job.id} has ended already ({job.state}).")
        if self._lifecycle.waiting.withdraw(job):
            self._lifecycle.finish_with(job.id, withdrawn(job, State.STOPPED))
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
        if not self._lifecycle.waiting.withdraw(job):
            hint = "" if job.state.final else f"'rnx job stop {job.id}' stops it."
            raise WrongState(f"Job {job.id} cannot be canceled: it is {job.state}.", hint=hint)
        self._lifecycle.finish_with(job.id, withdrawn(job, State.CANCELED))
        return await self.book.ended(job.id)

    async def delete(self, reference: str, caller: Actor) -> Job:
        """Forget a job that has ended, and its files. Raises WrongState when it has not."""
        job = self.book.get_own(reference, caller)
        if not job.state.final:
            raise WrongState(f"Job {job.id} has not ended: it is {job.state}.", hint="Stop or cancel it first.")
        await self._lifecycle.delete([job.id], [job.id])
        return job

    async def delete_all(self, caller: Actor) -> tuple[int, int]:
        """Forget all jobs that have ended and that the caller may delete; how many, and how many are left."""
        own = self.book.store.finished(None if caller.others else caller.name)
        await self._lifecycle.delete(own, sorted(set(own) & set(self._work.ids())))
        return len(own), self.book.store.count()

    async def update(
        self, reference: str, caller: Actor, changes: dict[str, Any], priority: int | None
    ) -> tuple[Job, list[str]]:
        """Change fields of a job's Limits, or its priority; returns the job with notes for the user.

        Raises InvalidValue, Unsupported, WrongState, or Exhausted when that cannot be stored; then nothing was changed.
        """
        # One after the other: what is in the store is what PID 1 was told, and the next change begins from there.
        job_id = self.book.get_own(reference, caller).id
        async with self._updates.setdefault(job_id, asyncio.Lock()):
            return await self._update(self.book.get_own(job_id, caller), changes, priority)

    async def _update(self, job: Job, changes: dict[str, Any], priority: int | None) -> tuple[Job, list[str]]:
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
            if priority is not None and self._lifecycle.waiting.queue.waits(job.id):
                self._lifecycle.waiting.put(job)
            return job, notes
        if job.state is not State.RUNNING:
            raise WrongState(f"Job {job.id} is {job.state}; try again when it runs.")
        if priority not in (None, spec.priority):
            raise WrongState(f"priority: job {job.id} runs already, and priorities order the jobs that wait.")
        if "runtime_usec" in changed:
            raise WrongState(f"max_runtime: job {job.id} runs already, and systemd takes its time limit at the start.")
        work = str(self._work.path(job.id))
        properties = unit.changed_limits(job.spec.limits, limits, work)
        if not await self._manager.change(job.unit, [(p.name, p.signature, p.value) for p in properties]):
            raise WrongState(f"Job {job.id} is about to end: its unit is gone.")
        # It may have ended meanwhile; then its record stays as it is.
        current = self.book.live(job.id)
        if current is None:
            return self.book.store.find(job.id), notes
        try:
            return self.book.change(current, spec=spec), notes
        except JobletError:
            before = unit.changed_limits(limits, job.spec.limits, work)
            await self._manager.change(job.unit, [(p.name, p.signature, p.value) for p in before])
            raise

"""The jobs that have not ended, in memory as in the store; and the way from what a user types to a job."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence, ValuesView
from typing import Any, Protocol

from ..errors import Denied, NotFound
from ..model import Actor, Job
from ..store import Store
from .weight import Scales, abridged


class Watcher(Protocol):
    """Is told of what has changed, after it is stored."""

    def changed(self, job: Job) -> None:
        """The job is new, or something of it is."""

    def deleted(self, job_ids: Sequence[str]) -> None:
        """The jobs are forgotten."""


class Book:
    """Changes are stored first; where that fails (JobletError) nothing has changed.

    In memory jobs are abridged: ``whole`` has all of one.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._watchers: list[Watcher] = []
        self._live: dict[str, Job] = {}
        self._ended: dict[str, asyncio.Event] = {}
        self.scales = Scales()

    def __contains__(self, job_id: str) -> bool:
        """Whether that job has not ended."""
        return job_id in self._live

    def __getitem__(self, job_id: str) -> Job:
        """The job as it is now, abridged, if it has not ended."""
        return self._live[job_id]

    def live(self, job_id: str) -> Job | None:
        """The job as it is now, abridged; None when it has ended."""
        return self._live.get(job_id)

    def known(self, job_id: str) -> Job | None:
        """The job as it is now, whether it has ended or not; None when it was deleted."""
        try:
            return self._live.get(job_id) or self.store.find(job_id)
        except NotFound:
            return None

    def unfinished(self) -> ValuesView[Job]:
        """All jobs that have not ended, abridged."""
        return self._live.values()

    def whole(self, job: Job) -> Job:
        """The job with all that is long of it. Raises JobletError when the store cannot be read."""
        return self.store.find(job.id) if job.omitted else job

    def watch(self, watcher: Watcher) -> None:
        """Tell this one, too, from now on."""
        self._watchers.append(watcher)

    def _tell(self, job: Job) -> None:
        for watcher in self._watchers:
            watcher.changed(job)

    def adopt(self, job: Job) -> None:
        """Take in a job that is in the store."""
        self._live[job.id] = job = abridged(job)
        self._ended[job.id] = asyncio.Event()
        self.scales.put(job)
        self._tell(job)

    def change(self, job: Job, **changes: Any) -> Job:
        """Store and return the job with other values, abridged; of its ``spec`` only limits and priority change."""
        changed = dataclasses.replace(job, **changes)
        self.store.update(changed, self._live.get(job.id))
        self._live[job.id] = changed = abridged(changed)
        self._tell(changed)
        return changed

    def repeat(self, parent: Job, changed: Job, run: Job | None) -> None:
        """Store what a run of a schedule leaves of its parent, and the run, together."""
        self.store.add_run(run, changed)
        self._live[parent.id] = changed
        self._tell(changed)
        if run is not None:
            self.adopt(run)

    def end(self, job: Job) -> None:
        """Store a job that has ended, and wake up who waits for that."""
        self.store.update(job, self._live[job.id])
        self.scales.take(self._live.pop(job.id))
        self._ended.pop(job.id).set()
        self._tell(job)

    def delete(self, job_ids: Sequence[str]) -> None:
        """Forget jobs that have ended, all or none."""
        self.store.delete(job_ids)
        for watcher in self._watchers:
            watcher.deleted(job_ids)

    async def ended(self, job_id: str) -> Job:
        """Wait until the job is in a final state."""
        event = self._ended.get(job_id)
        if event is not None:
            await event.wait()
        return self.store.find(job_id)

    def get(self, reference: str, caller: Actor) -> Job:
        """A job, whole, by id, unique prefix or name, as the store's ``find``. Raises NotFound or Ambiguous."""
        live = self._live.get(reference)
        return self.store.find(reference, caller.name) if live is None else self.whole(live)

    def get_own(self, reference: str, caller: Actor) -> Job:
        """A job that the caller may act on. Raises Denied besides what ``get`` raises."""
        return self.own(self.get(reference, caller), caller)

    @staticmethod
    def own(job: Job, caller: Actor) -> Job:
        """The job, if the caller may act on it; raises Denied else."""
        if job.owner != caller.name and not caller.others:
            raise Denied(
                f"Job {job.id} belongs to {job.owner!r}.", hint="Its owner, a maintainer or an admin can do that."
            )
        return job

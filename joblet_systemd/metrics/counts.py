"""How many jobs have started and ended since the daemon's own start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..model import Job, State


class Counts:
    """A watcher of the book that counts starts, and ends by their outcome."""

    def __init__(self, unfinished: Iterable[Job]) -> None:
        self.starts = 0
        self.ends: Counter[State] = Counter()
        # What a former daemon has started is not counted again.
        self._attempts = {job.id: job.attempt for job in unfinished}

    def changed(self, job: Job) -> None:
        """As a watcher of the book."""
        if job.state.final:
            self.ends[job.state] += 1
            self._attempts.pop(job.id, None)
        elif job.state is State.INITIALIZING and self._attempts.get(job.id) != job.attempt:
            self.starts += 1
            self._attempts[job.id] = job.attempt

    def deleted(self, job_ids: Sequence[str]) -> None:
        """As a watcher of the book."""

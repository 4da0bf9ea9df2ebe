"""What jobs that have not ended take of the daemon's memory, all together and of one identity, and how much they may.

The daemon would not survive without: who sends jobs that take more than it may have (MemoryMax= of joblet.service)
would have it killed, and again at every start, when it takes up what the store has. So what is long of a job is in
the store alone until the job starts, and the number of jobs is bounded by what is left of them.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Iterable

from ..errors import Exhausted
from ..model import Job, details, without

MIB = 1 << 20
DETAILS_BYTES = 6 << 10  # of one job: the longest path that can be executed, and some words
JOB_BYTES = 3 << 10  # a job with nothing long, with its place in queue or clock
ALL_BYTES = 256 * MIB  # 80 000 usual jobs
ALWAYS_BYTES = 1 * MIB  # of each identity, however much the others have
# On the disk: arguments, variables and names of uploads of one identity's jobs that have not ended.
STORED_BYTES = 256 * MIB


def abridged(job: Job) -> Job:
    """The job as it is kept in memory; ``omitted`` names what is in the store only, or only there as a whole."""
    sizes = _sizes(job)
    left = sum(sizes.values())
    omitted = []
    # The longest first, and what tells most last.
    for name in sorted(sizes, key=lambda name: (name == "command", -sizes[name])):
        if left <= DETAILS_BYTES:
            break
        left -= sizes[name]
        omitted.append(name)
    if not omitted:
        return job
    return dataclasses.replace(without(job, omitted), omitted=tuple(sorted({*job.omitted, *omitted})))


def weight(job: Job) -> int:
    """How many bytes a job takes, abridged."""
    return JOB_BYTES + sum(_sizes(job).values())


def _sizes(job: Job) -> dict[str, int]:
    return {name: _size(words) for name, words in details(job).items()}


def _size(words: Iterable[str]) -> int:
    """Not their lengths: one character takes up to four bytes, and a word 50 beside them."""
    return sum(map(sys.getsizeof, words))


class Scales:
    """Weighs the jobs that have not ended."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}
        self._of: Counter[str] = Counter()
        self._all = 0

    def put(self, job: Job) -> None:
        """There is one more."""
        self._weights[job.id] = weighs = weight(job)
        self._of[job.owner] += weighs
        self._all += weighs

    def take(self, job: Job) -> None:
        """One has ended."""
        weighs = self._weights.pop(job.id)
        self._of[job.owner] -= weighs
        self._all -= weighs
        if not self._of[job.owner]:
            del self._of[job.owner]

    def check(self, owner: str) -> None:
        """Raises Exhausted when this identity can have no more jobs for now."""
        if self._all >= ALL_BYTES and self._of[owner] >= ALWAYS_BYTES:
            raise Exhausted(
                f"{len(self._weights)} jobs that have not ended take {self._all // MIB} MB of the daemon's memory, "
                f"{self._of[owner] // MIB} MB of it those of {owner!r}; it has {ALL_BYTES // MIB} MB for them.",
                hint="Try again later, or cancel jobs that wait.",
            )

"""How many commands and inputs of clients may be open at once."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from ..errors import Exhausted

# Each takes a few descriptors of the daemon's and a process or a connection of the job's joblet-init.
MAX_PER_JOB = 16
MAX_PER_IDENTITY = 64
MAX_IN_ALL = 256


class Slots:
    """Bounds what is in use at once: per job, per identity and in all."""

    def __init__(self) -> None:
        self._jobs: Counter[str] = Counter()
        self._identities: Counter[str] = Counter()

    @contextlib.contextmanager
    def take(self, job: str, identity: str) -> Iterator[None]:
        """Hold one of them. Raises Exhausted when there is none."""
        for counter, key, most, whose in (
            (self._jobs, job, MAX_PER_JOB, "of this job"),
            (self._identities, identity, MAX_PER_IDENTITY, f"of {identity!r}"),
        ):
            if counter[key] >= most:
                raise Exhausted(
                    f"{most} commands and inputs {whose} are open already.", hint="Try again when one has ended."
                )
        if self._identities.total() >= MAX_IN_ALL:
            raise Exhausted(f"{MAX_IN_ALL} commands and inputs are open on this host already.", hint="Try again later.")
        self._jobs[job] += 1
        self._identities[identity] += 1
        try:
            yield
        finally:
            for counter, key in ((self._jobs, job), (self._identities, identity)):
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]

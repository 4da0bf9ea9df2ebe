"""How long finished jobs are remembered: up to a number of them, and up to an age."""

from __future__ import annotations

from collections.abc import Callable

from ..store import Store
from .alarm import Alarm, now_usec

# Looking is cheap, and not looking after each of a thousand ends is cheaper still.
ENDS_BETWEEN_LOOKS = 100
# What the records of one identity's finished jobs may take where they are long.
KEEP_BYTES = 256 << 20
GAP_USEC = 10_000_000
ALARM = "oldest"


class Retention:
    """Calls ``forget(job_id)`` for finished jobs beyond the newest ``keep`` and for those older than ``keep_usec``.

    ``forget`` deals with its own errors; a job it could not remove comes again.
    """

    def __init__(self, store: Store, keep: int, keep_usec: int, forget: Callable[[str], None]) -> None:
        self._store = store
        self._keep = keep
        self._keep_usec = keep_usec
        self._forget = forget
        self._ends = 0
        self._alarm = Alarm(lambda _: self.look(), lambda: None)

    def look(self) -> None:
        """Forget what is due, and find out when to look again. Raises Exhausted when the store cannot be used."""
        self._ends = 0
        now = now_usec()
        for job_id in self._store.surplus(self._keep, now - self._keep_usec, KEEP_BYTES):
            self._forget(job_id)
        oldest = self._store.oldest_end()
        if oldest is not None:
            # An oldest job that is due still is one that could not be removed.
            self._alarm.set(ALARM, max(oldest + self._keep_usec + 1, now + GAP_USEC))

    def on_end(self) -> None:
        """A job has ended."""
        self._ends += 1
        if self._ends >= ENDS_BETWEEN_LOOKS:
            self.look()

    def close(self) -> None:
        """Look no more."""
        self._alarm.close()

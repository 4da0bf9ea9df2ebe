"""How long finished jobs are remembered: up to a number of them, and up to an age."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..errors import JobletError
from ..store import Store
from .alarm import Alarm, now_usec

log = logging.getLogger(__name__)

# Looking is cheap, and not looking after each of a thousand ends is cheaper still.
ENDS_BETWEEN_LOOKS = 100
# So many are forgotten before others have their turn, some 20 ms: after a month without the daemon there may be many.
AT_ONCE = 500
PAUSE_USEC = 50_000
# What the records of one identity's finished jobs may take where they are long.
KEEP_BYTES = 256 << 20
GAP_USEC = 10_000_000
ALARM = "oldest"


class Retention:
    """Calls ``forget(job_ids)`` for finished jobs beyond the newest ``keep`` and for those older than ``keep_usec``.

    ``forget`` may raise JobletError; jobs it could not remove come again.
    """

    def __init__(self, store: Store, keep: int, keep_usec: int, forget: Callable[[list[str]], None]) -> None:
        self._store = store
        self._keep = keep
        self._keep_usec = keep_usec
        self._forget = forget
        self._ends = 0
        self._alarm = Alarm(lambda _: self.look(), lambda: None)

    def look(self) -> None:
        """Forget what is due, and find out when to look again. On a full disk, for one, that is soon."""
        self._ends = 0
        now = now_usec()
        again: int | None = now + GAP_USEC
        try:
            due = self._store.surplus(self._keep, now - self._keep_usec, KEEP_BYTES, AT_ONCE)
            if due:
                self._forget(due)
            if len(due) == AT_ONCE:
                again = now_usec() + PAUSE_USEC
            else:
                oldest = self._store.oldest_end()
                again = None if oldest is None else max(oldest + self._keep_usec + 1, now + GAP_USEC)
        except JobletError as error:
            log.error("finished jobs cannot be forgotten yet: %s", error)
        finally:
            if again is not None:
                self._alarm.set(ALARM, again)

    def on_end(self) -> None:
        """A job has ended."""
        self._ends += 1
        if self._ends >= ENDS_BETWEEN_LOOKS:
            self.look()

    def close(self) -> None:
        """Look no more."""
        self._alarm.close()

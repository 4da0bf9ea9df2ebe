"""The queue in front of PID 1, which starts units one by one whatever is asked of it.

Identities take turns: the next job is one of the identity with the fewest jobs at work, so nobody's thousand
jobs keep another's one from starting. Priority orders the jobs of one identity, not the identities.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

FEW = 100


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A job's place among those of its identity: the higher priority first, then first come, first served."""

    rank: int
    number: int
    job_id: str = field(compare=False)
    owner: str = field(compare=False)


class StartQueue:
    """Calls ``start(job_id)`` for at most ``in_flight`` jobs at a time, while fewer than ``running`` are at work.

    A job is at work from its start, or ``occupy``, until ``vacate``. ``start`` deals with its own errors.
    """

    def __init__(self, in_flight: int, running: int, start: Callable[[str], Awaitable[None]]) -> None:
        self._in_flight = in_flight
        self._running = running
        self._start = start
        self._numbers = count()
        self._waiting: dict[str, _Place] = {}
        self._queues: dict[str, list[_Place]] = {}  # by owner, heaps; some places in it were given up
        self._places = 0  # in all of these
        self._served: dict[str, int] = {}  # when it was an owner's turn last, of those who have jobs here
        self._at_work: dict[str, str] = {}  # job: owner
        self._load: Counter[str] = Counter()  # by owner, how many are at work
        self._starting: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._order: dict[str, int] | None = None  # what positions() gave, until something changes

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def at_work(self) -> int:
        """How many jobs have started and not ended."""
        return len(self._at_work)

    def waits(self, job_id: str) -> bool:
        """Whether the job is in the queue."""
        return job_id in self._waiting

    def __contains__(self, job_id: str) -> bool:
        """Whether the job is in the queue or at work."""
        return job_id in self._waiting or job_id in self._at_work

    def put(self, job_id: str, owner: str, priority: int = 0) -> None:
        """Queue a job, or give one that waits another priority."""
        known = self._waiting.get(job_id)
        place = _Place(-priority, known.number if known else next(self._numbers), job_id, owner)
        self._waiting[job_id] = place
        heapq.heappush(self._queues.setdefault(owner, []), place)
        self._places += 1
        self._tidy()
        self._order = None
        self._pump()

    def discard(self, job_id: str) -> bool:
        """Take a job out; False when its start has begun already or it never was here."""
        self._order = None
        known = self._waiting.pop(job_id, None) is not None
        self._tidy()
        return known

    def _tidy(self) -> None:
        """See to it that places that were given up do not become the most, wherever they are."""
        if self._places > 2 * len(self._waiting) + FEW:
            queues: dict[str, list[_Place]] = {}
            for place in self._waiting.values():
                queues.setdefault(place.owner, []).append(place)
            for queue in queues.values():
                heapq.heapify(queue)
            self._served = {owner: turn for owner, turn in self._served.items() if owner in queues}
            self._queues, self._places = queues, len(self._waiting)

    def occupy(self, job_id: str, owner: str) -> None:
        """Count a job that is at work without having been started from here."""
        if job_id not in self._at_work:
            self._at_work[job_id] = owner
            self._load[owner] += 1
            self._order = None

    def vacate(self, job_id: str) -> None:
        """A job is no longer at work. Fine for one that never was."""
        owner = self._at_work.pop(job_id, None)
        if owner is not None:
            self._load[owner] -= 1
            self._order = None
            if not self._load[owner]:
                del self._load[owner]
            self._pump()

    def positions(self) -> Mapping[str, int]:
        """Every waiting job's place in the order in which they would start from here on, the next one 1."""
        if self._order is None:
            self._order = self._positions()
        return self._order

    def _positions(self) -> dict[str, int]:
        queues: dict[str, list[str]] = {}
        for place in sorted(self._waiting.values(), reverse=True):
            queues.setdefault(place.owner, []).append(place.job_id)
        turns = [(self._load[owner], self._served.get(owner, -1), owner) for owner in queues]
        heapq.heapify(turns)
        order: dict[str, int] = {}
        while turns:
            load, _, owner = turns[0]
            order[queues[owner].pop()] = len(order) + 1
            if queues[owner]:
                heapq.heapreplace(turns, (load + 1, next(self._numbers), owner))
            else:
                heapq.heappop(turns)
        return order

    def rest(self, seconds: float) -> None:
        """Begin no starts for so long, as there is something that they would all lack."""
        if self._rest is None:
            self._rest = asyncio.get_running_loop().call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._rest = None
        self._pump()

    def close(self) -> None:
        """Begin no more starts."""
        self._in_flight = 0

    def _pump(self) -> None:
        while self._rest is None and len(self._starting) < self._in_flight and len(self._at_work) < self._running:
            place = self._next()
            if place is None:
                return
            del self._waiting[place.job_id]
            self._order = None
            self.occupy(place.job_id, place.owner)
            task = asyncio.ensure_future(self._start(place.job_id))
            self._starting.add(task)
            task.add_done_callback(self._started)

    def _next(self) -> _Place | None:
        for owner, queue in list(self._queues.items()):
            while queue and self._waiting.get(queue[0].job_id) is not queue[0]:
                heapq.heappop(queue)
                self._places -= 1
            if not queue:
                del self._queues[owner]
                self._served.pop(owner, None)
        if not self._queues:
            return None
        owner = min(self._queues, key=lambda owner: (self._load[owner], self._served.get(owner, -1), owner))
        self._served[owner] = next(self._numbers)
        self._places -= 1
        return heapq.heappop(self._queues[owner])

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting.discard(task)
        self._pump()

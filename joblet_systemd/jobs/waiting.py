"""Jobs that wait: for their time, then for their turn. A repeating job waits for its time again and again."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..config import JobsConfig, Missed
from ..errors import JobletError
from ..model import USEC_PER_SEC, Job, State
from . import disk, timetable
from .alarm import Alarm, now_usec
from .book import Book
from .outcome import Outcome
from .queue import StartQueue
from .tasks import Tasks

if TYPE_CHECKING:
    from .runner import Runner

log = logging.getLogger(__name__)

# What is in the way of a start, a full disk for one, may be gone then.
LATER_USEC = 5_000_000
# A start this late has missed its time: the daemon was not there, the clock was set, the host slept, the disk was full.
MISSED_USEC = 10_000_000
MISSED = "missed: the daemon was not there at its time"
PASSED = "missed: the clock went past its time before it could be started"

STATES = (State.PENDING, State.SCHEDULED)


class Waiting:
    """Calls ``start(job_id)`` for each job whose time and turn have come.

    ``finish(job_id, outcome)`` is called for a job that is not to start any more.
    """

    def __init__(
        self,
        config: JobsConfig,
        book: Book,
        runner: Runner,
        tasks: Tasks,
        start: Callable[[str], Awaitable[None]],
        finish: Callable[[str, Outcome], None],
    ) -> None:
        self._missed_schedules = config.missed_schedules
        self._retry_delay = config.retry_delay
        self._book = book
        self._runner = runner
        self._tasks = tasks
        self._finish = finish
        self._since_usec = now_usec()
        self._making: set[str] = set()  # repeating jobs of which a run is being made
        # Of each identity one at a time: whatever is due of one, the others get their turn.
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(1))
        self.queue = StartQueue(config.starts_in_flight, config.max_running, start)
        self._alarm = Alarm(self._on_due, self.follow_clock)

    def put(self, job: Job) -> None:
        """Put a PENDING job into the queue, a SCHEDULED one to the clock."""
        if job.state is State.SCHEDULED and job.due_usec is not None:
            self._alarm.set(job.id, job.due_usec)
        else:
            self.queue.put(job.id, job.owner, job.spec.priority)

    def waits(self, job: Job) -> bool:
        """Whether its time or turn will come, or has just come."""
        return job.id in self.queue or job.id in self._alarm

    def withdraw(self, job: Job) -> bool:
        """Whether the job was waiting, which it no longer is."""
        queued = self.queue.discard(job.id)
        timed = self._alarm.clear(job.id)
        being_made = job.id in self._making
        self._making.discard(job.id)  # _run_again sees that and takes it back
        return queued or timed or being_made

    def later(self, job_id: str, error: JobletError) -> None:
        """Come back to a job whose start failed for a reason that may pass."""
        log.error("job %s cannot be started yet: %s", job_id, error)
        self._alarm.set(job_id, now_usec() + LATER_USEC)

    def put_off(self, job_id: str, error: JobletError) -> None:
        """Come back to a job whose turn had come, and to all others, which would lack the same."""
        self.queue.rest(LATER_USEC / USEC_PER_SEC)
        self.queue.vacate(job_id)
        self.later(job_id, error)

    def close(self) -> None:
        """Start nothing any more."""
        self.queue.close()
        self._alarm.close()

    def _on_due(self, job_id: str) -> None:
        job = self._book.live(job_id)
        if job is None or job.state not in STATES:
            return
        if job.state is State.SCHEDULED and job.spec.calendar:
            self._making.add(job.id)
            self._tasks.spawn(self._run_again(job))
        elif job.state is State.SCHEDULED:
            self._run(job)
        else:
            self.put(job)

    def _run(self, job: Job) -> None:
        missed = self._missed(job)
        if job.attempt == 0 and missed:
            self._finish(job.id, Outcome(State.CANCELED, 0, missed))
            return
        try:
            self.put(self._book.change(job, state=State.PENDING))
        except JobletError as error:
            self.later(job.id, error)

    async def _run_again(self, parent: Job) -> None:
        """Start one run of a repeating job, and set its next time. Both are stored together, so each comes once."""
        run = None
        if parent.id not in self._making:
            return  # withdrawn before this has begun
        try:
            now, due = now_usec(), parent.due_usec or 0
            following = await self._following(parent, max(now, due))
            why_not = self._why_not(parent)
            if why_not:
                log.warning("job %s: run %s", parent.id, why_not)
            else:
                run = await self._make_run(parent, now)
            if self._book.live(parent.id) is not parent or parent.id not in self._making:
                await self._take_back(run)
                if parent.id in self._making:  # updated, not canceled
                    self._alarm.set(parent.id, now)
                return
            reason = f"last run {why_not}" if why_not else ""
            changed = dataclasses.replace(parent, due_usec=following, started_usec=due, reason=reason)
            self._book.repeat(parent, changed, run)
        except JobletError as error:
            await self._take_back(run)
            if parent.id in self._making:
                self.later(parent.id, error)
            return
        finally:
            self._making.discard(parent.id)
        if run is not None:
            self.put(run)
        if following is None:
            self._finish(parent.id, Outcome(State.COMPLETED, 0, "its schedule has no more times"))
        else:
            self._alarm.set(parent.id, following)

    async def _following(self, job: Job, after_usec: int) -> int | None:
        async with self._turns[job.owner]:
            return await timetable.following(job.spec, after_usec)

    def _why_not(self, parent: Job) -> str:
        missed = self._missed(parent)
        if missed:
            return missed
        if any(job.parent == parent.id for job in self._book.unfinished()):
            # As with systemd's timers (systemd.timer(5)): what is active is not started again.
            return "skipped: the run before it had not ended"
        return ""

    async def _make_run(self, parent: Job, now: int) -> Job:
        """A job like its parent for one run of the schedule, with a copy of uploads and secrets, not stored yet."""
        parent = self._book.whole(parent)
        run = Job(
            id=str(uuid.uuid4()),
            spec=dataclasses.replace(parent.spec, schedule="", time_zone="", calendar=()),
            owner=parent.owner,
            account=parent.account,
            state=State.PENDING,
            submitted_usec=now,
            uploads=parent.uploads,
            boot_id=parent.boot_id,
            parent=parent.id,
        )
        await disk.clean_up(self._runner.copy, parent.id, run.id)
        return run

    async def _take_back(self, run: Job | None) -> None:
        """Undo a run that is not stored. What cannot be removed goes with the next start of the daemon."""
        if run is not None:
            try:
                await disk.clean_up(self._runner.remove, run.id)
            except (JobletError, OSError) as error:
                log.error("job %s: %s", run.id, error)

    def follow_clock(self) -> None:
        """The clock may have been set: whoever waits for so long, not for a moment, does so by the new one."""
        for job in list(self._book.unfinished()):
            if job.state is State.SCHEDULED:
                self._tasks.spawn(self._follow_clock(job))
            elif job.state is State.PENDING and self._alarm.clear(job.id):
                self.put(job)  # see ``later``

    async def _follow_clock(self, job: Job) -> None:
        now, started = now_usec(), job.started_usec
        if not job.spec.calendar:
            due = timetable.latest(job, now, self._retry_delay)
        elif timetable.clock_went_back(job.started_usec or job.submitted_usec, now):
            due, started = await self._following(job, now), now
        else:
            return
        if due is not None and due < (job.due_usec or 0) and self._book.live(job.id) is job:
            log.warning("job %s: the clock was set back; its time is set anew", job.id)
            self.put(self._book.change(job, due_usec=due, started_usec=started))

    def _missed(self, job: Job) -> str:
        """Why the job's time counts as missed and is to be skipped; empty if it is not."""
        late = job.due_usec is not None and now_usec() - job.due_usec > MISSED_USEC
        if not late or self._missed_schedules is not Missed.SKIP:
            return ""
        if (job.due_usec or 0) < self._since_usec:
            return MISSED
        # One that waits for so long has no time of day to miss.
        return "" if timetable.waits_for_a_while(job) else PASSED

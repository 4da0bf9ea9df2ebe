"""Samples of the jobs that run: every second while somebody watches, every five seconds otherwise.

Nothing is read, and nothing wakes up, while no job runs. All jobs that are due are read together, at full
seconds, in one thread; what the kernel counts is in the files of their control groups. What goes over their
networks PID 1 has to be asked for, which may take its time: a sample has what was known when it was taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import JobletError
from ..model import USEC_PER_SEC, Job, State
from . import cgroup
from .archive import Archive
from .sample import Sample

log = logging.getLogger(__name__)

WATCHED_SEC, UNWATCHED_SEC = 1.0, 5.0
# So many seconds at its beginning a job is read like a watched one: most jobs are short.
YOUNG_SEC = 5.0
FLUSH_SEC = 30.0
MAX_PENDING = 20_000
# PID 1 has jobs to start, and the bus drops who waits for more than 128 answers.
ASKED_AT_ONCE = 16
RUNS = frozenset({State.RUNNING, State.STOPPING})

Traffic = tuple[int | None, int | None]


@dataclass(eq=False, slots=True)
class _Track:
    """A job that runs; ``began`` and ``read_at`` are seconds of the monotonic clock."""

    job_id: str
    unit: str
    began: float
    read_at: float
    last: Sample | None = None
    baseline: Sample | None = None
    traffic: Traffic = (None, None)
    asked_at: float = -UNWATCHED_SEC
    asking: asyncio.Task[None] | None = None


class Watch:
    """The samples of one job as they are taken, to its end; one who is slow misses some."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._latest: Sample | None = None
        self._ended = False

    def put(self, sample: Sample) -> None:
        """A new sample is there."""
        self._latest = sample
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Sample]:
        return self

    async def __anext__(self) -> Sample:
        """The newest sample that was not returned yet."""
        await self._news.wait()
        sample, self._latest = self._latest, None
        if sample is None:
            raise StopAsyncIteration
        if not self._ended:
            self._news.clear()
        return sample


class Sampler:
    """``groups`` is where the control groups of jobs are, by unit; ``traffic`` asks for a unit's IP bytes in and out.

    Methods are called in the event loop.
    """

    def __init__(
        self,
        groups: Path,
        archive: Archive,
        traffic: Callable[[str], Awaitable[Traffic]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._groups = groups
        self.archive = archive
        self._traffic = traffic
        self._now = now
        self._tracks: dict[str, _Track] = {}
        self._watches: dict[str, set[Watch]] = {}
        self._attentive = 0
        self._ticked = self._flushed = now()
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)
        self._busy = asyncio.Event()
        self._news = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readings")

    # --- which jobs run

    def changed(self, job: Job) -> None:
        """As a watcher of the book."""
        if job.state in RUNS:
            if job.id not in self._tracks:
                self._begin(job)
        elif self._tracks.pop(job.id, None) is not None and not self._tracks:
            self._busy.clear()
        if job.state.final:
            for watch in self._watches.pop(job.id, ()):
                watch.end()

    def deleted(self, job_ids: Sequence[str]) -> None:
        """As a watcher of the book."""
        self.archive.forget(job_ids)

    def _begin(self, job: Job) -> None:
        now = self._now()
        track = _Track(job.id, job.unit, began=now, read_at=0.0)
        started = job.started_usec or 0
        age = time.time_ns() // 1000 - started
        if 0 <= age < YOUNG_SEC * USEC_PER_SEC:
            track.baseline = Sample(started, cpu_usec=0)
        else:  # a former daemon has started it
            track.began -= YOUNG_SEC
        if not self._tracks:
            self._ticked = now
        self._tracks[job.id] = track
        self._busy.set()
        self._news.set()

    def tasks_peak(self, job_id: str) -> int | None:
        """The most tasks that a job which runs was seen with."""
        track = self._tracks.get(job_id)
        return track.last.tasks_peak if track is not None and track.last is not None else None

    # --- who watches

    @contextlib.asynccontextmanager
    async def watch(self, job_id: str) -> AsyncIterator[Watch]:
        """The samples of a job that has not ended, from the newest that there is."""
        watch = Watch()
        self._watches.setdefault(job_id, set()).add(watch)
        track = self._tracks.get(job_id)
        if track is not None and track.last is not None:
            watch.put(track.last)
        self._news.set()
        try:
            yield watch
        finally:
            watches = self._watches.get(job_id, set())
            watches.discard(watch)
            if not watches:
                self._watches.pop(job_id, None)

    @contextlib.contextmanager
    def attention(self) -> Iterator[None]:
        """All jobs count as watched meanwhile; ``latest`` tells what is seen."""
        self._attentive += 1
        self._news.set()
        try:
            yield
        finally:
            self._attentive -= 1

    def latest(self) -> Mapping[str, Sample]:
        """The newest sample of each job that runs and has one."""
        return {track.job_id: track.last for track in self._tracks.values() if track.last is not None}

    async def history(
        self, job_id: str, start_usec: int | None = None, end_usec: int | None = None, limit: int | None = None
    ) -> list[Sample]:
        """What is kept of a job's samples between two times, of these the newest ``limit``; the oldest first."""
        samples = [
            sample
            for sample in await self.archive.of(job_id)
            if (start_usec is None or sample.time_usec >= start_usec)
            and (end_usec is None or sample.time_usec <= end_usec)
        ]
        return samples[-limit:] if limit else samples

    # --- the clock

    async def run(self) -> None:
        """Take samples as long as this runs."""
        while True:
            if not self._tracks:
                await self.archive.flush()  # nothing would come behind it
            await self._busy.wait()
            self._news.clear()
            pause = self.pause()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._news.wait()  # there may be more to do now than there was
                continue
            try:
                await self.tick()
            except Exception:
                log.exception("samples of jobs could not be taken")

    def pause(self) -> float:
        """Seconds until something is due: a full second after the last, or one that can be divided by five."""
        now = self._now()
        hurry = self._attentive or any(self._is_close(track, now) for track in self._tracks.values())
        period = WATCHED_SEC if hurry else UNWATCHED_SEC
        return (self._ticked // period + 1) * period - now

    def _is_close(self, track: _Track, now: float) -> bool:
        return bool(self._attentive) or track.job_id in self._watches or now - track.began < YOUNG_SEC

    async def tick(self) -> None:
        """Read what is due, and pass it on."""
        self._ticked = now = self._now()
        half = WATCHED_SEC / 2
        due = [
            track
            for track in self._tracks.values()
            if now - track.read_at >= (WATCHED_SEC if self._is_close(track, now) else UNWATCHED_SEC) - half
        ]
        groups = [self._groups / track.unit for track in due]
        readings = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, groups)
        for track, (moment, sample) in zip(due, readings, strict=True):
            if self._tracks.get(track.job_id) is track and sample is not None:
                self._take(track, moment, sample)
        if self._now() - self._flushed >= FLUSH_SEC or self.archive.pending >= MAX_PENDING:
            self._flushed = self._now()
            await self.archive.flush()

    def _read(self, groups: list[Path]) -> list[tuple[float, Sample | None]]:
        return [(self._now(), cgroup.read(group)) for group in groups]

    def _take(self, track: _Track, moment: float, sample: Sample) -> None:
        before = track.last or track.baseline
        if before is not None:
            # By the monotonic clock where it can be: that of the wall may have been set.
            elapsed = moment - track.read_at if track.last else (sample.time_usec - before.time_usec) / USEC_PER_SEC
            sample = sample.since(before, round(elapsed * USEC_PER_SEC))
        peaks = (sample.tasks_peak, sample.tasks, track.last.tasks_peak if track.last else None)
        received, sent = track.traffic
        track.last = sample = dataclasses.replace(
            sample,
            tasks_peak=max((peak for peak in peaks if peak is not None), default=None),
            net_received_bytes=received,
            net_sent_bytes=sent,
        )
        track.read_at = moment
        self.archive.add(track.job_id, sample)
        watches = self._watches.get(track.job_id, ())
        for watch in watches:
            watch.put(sample)
        if track.asking is None and (watches or moment - track.asked_at >= UNWATCHED_SEC - WATCHED_SEC / 2):
            track.asked_at = moment
            track.asking = asyncio.create_task(self._ask(track))

    async def _ask(self, track: _Track) -> None:
        """For the next sample: nobody waits for it."""
        try:
            async with self._asking:
                track.traffic = await self._traffic(track.unit)
        except JobletError as error:
            log.debug("%s: %s", track.unit, error)  # it has ended, or the connection to PID 1 is being made again
        finally:
            track.asking = None

    async def close(self) -> None:
        """Read no more, and write what is not written yet."""
        for track in self._tracks.values():
            if track.asking is not None:
                track.asking.cancel()
        self._thread.shutdown(wait=False)
        await self.archive.close()

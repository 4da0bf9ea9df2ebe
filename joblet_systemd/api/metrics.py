"""What jobs and the host use, for clients: readings as they are taken, and those that are kept."""

from __future__ import annotations

import asyncio
import heapq
import platform
import shlex
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from joblet_wire import joblet_pb2 as wire

from .. import __version__
from ..errors import InvalidValue
from ..metrics.host import PARTS, HostReadings
from ..metrics.sample import VALUES, Sample
from ..metrics.sampler import RUNS, Sampler
from ..model import Job, shortened
from . import messages
from .server import Caller
from .slots import Slots

if TYPE_CHECKING:
    from ..jobs.requests import Jobs

NSEC_PER_USEC = 1000
MAX_INTERVAL_SEC = 60
# Each wakes the daemon up every second.
MAX_PER_IDENTITY, MAX_IN_ALL = 32, 128
PATIENCE_SEC = 1.0
MAX_TOP = 500
TOP_FRESH_SEC = 0.9
MAX_COMMAND, MAX_WORDS = 200, 20
# What clients of former versions may call them.
ALIASES = {"disks": "disk", "networks": "network", "net": "network", "processes": "process", "mem": "memory"}


class MetricsService:
    """The methods of JobService and MonitoringService that tell what is used; its parts serve HTTP, too."""

    def __init__(self, jobs: Jobs, sampler: Sampler, host: HostReadings) -> None:
        self._jobs = jobs
        self.sampler = sampler
        self.host = host
        self._made: tuple[float, wire.TopJobsResponse] | None = None
        self.slots = Slots("streams of readings", MAX_IN_ALL, MAX_PER_IDENTITY, PATIENCE_SEC)

    def methods(self) -> Mapping[str, Callable[[Any, Caller], Any]]:
        """The implementations by their name in the contract."""
        return {
            "JobService/StreamJobMetrics": self.stream_job,
            "JobService/GetJobMetrics": self.get_job,
            "JobService/TopJobs": self.top,
            "MonitoringService/GetSystemStatus": self.status,
            "MonitoringService/StreamSystemMetrics": self.stream_system,
        }

    async def stream_job(
        self, request: wire.StreamJobMetricsRequest, caller: Caller
    ) -> AsyncIterator[wire.JobMetricsEvent]:
        """StreamJobMetrics: each reading of a job, from its start if that is to come, and its totals at the end."""
        job = self._jobs.book.get(request.job_uuid, caller.actor)
        if not job.state.final:
            async with self.slots.hold(caller.name), self.sampler.watch(job.id) as samples:
                # It may have ended while there was no slot; then nothing would end the watch.
                if self._jobs.book.live(job.id) is not None:
                    async for sample in samples:
                        yield event(job, sample)
            job = self._jobs.book.get(job.id, caller.actor)
        if job.ended_usec is not None:
            yield event(job, totals(job), final=True)

    async def get_job(self, request: wire.GetJobMetricsRequest, caller: Caller) -> AsyncIterator[wire.JobMetricsEvent]:
        """GetJobMetrics: the readings that are kept of a job, the oldest first, and its totals if it has ended."""
        for field in ("start_time", "end_time", "limit"):
            if getattr(request, field) < 0:
                raise InvalidValue(field, getattr(request, field), "0 for no bound, or more")
        job = self._jobs.book.get(request.job_uuid, caller.actor)
        start, end = request.start_time // NSEC_PER_USEC, request.end_time // NSEC_PER_USEC
        async with self.slots.hold(caller.name):  # to the last one, for they are all there until it is sent
            for sample in await self.sampler.history(job.id, start or None, end or None, request.limit or None):
                yield event(job, sample)
        if job.ended_usec is not None and start <= job.ended_usec <= (end or job.ended_usec):
            yield event(job, totals(job), final=True)

    async def top(self, request: wire.TopJobsRequest, caller: Caller) -> AsyncIterator[wire.TopJobsResponse]:
        """TopJobs."""
        interval = interval_of(request.interval_seconds, 1)
        async with self.slots.hold(caller.name):
            if request.once:
                yield self._make_top()
                return
            with self.sampler.attention():
                while True:
                    yield self._top()
                    await asyncio.sleep(interval)

    def _top(self) -> wire.TopJobsResponse:
        """What is told to all who look again and again, made once for them."""
        now = time.monotonic()
        if self._made is None or now - self._made[0] > TOP_FRESH_SEC:
            self._made = now, self._make_top()
        return self._made[1]

    def _make_top(self) -> wire.TopJobsResponse:
        latest = self.sampler.latest()
        running = [job for job in self._jobs.book.unfinished() if job.state in RUNS]

        def share(job: Job) -> float:
            sample = latest.get(job.id)
            return (sample.cpu_percent or 0.0) if sample is not None else 0.0

        shown = heapq.nlargest(MAX_TOP, running, key=share)
        return wire.TopJobsResponse(
            timestamp=_now(),
            jobs=[_running(job, latest.get(job.id)) for job in shown],
            omitted=len(running) - len(shown),
        )

    async def status(self, request: wire.EmptyRequest, caller: Caller) -> wire.SystemStatusResponse:
        """GetSystemStatus: takes half a second when nobody has asked before."""
        async with self.slots.hold(caller.name):
            readings = await self.host.read()
        return wire.SystemStatusResponse(
            timestamp=_now(), available=True, server_version=server_version(), **fields_of(readings)
        )

    async def stream_system(
        self, request: wire.StreamMetricsRequest, caller: Caller
    ) -> AsyncIterator[wire.SystemMetricsResponse]:
        """StreamSystemMetrics."""
        interval = interval_of(request.interval_seconds, 5)
        parts = parts_of(request.metric_types)
        async with self.slots.hold(caller.name):
            while True:
                readings = await self.host.read(parts, interval)
                yield wire.SystemMetricsResponse(timestamp=_now(), **fields_of(readings))
                await asyncio.sleep(interval)


def event(job: Job, sample: Sample, *, final: bool = False) -> wire.JobMetricsEvent:
    """A reading as the wire has it. What is not accounted for is 0 in the fields that all clients know."""
    return wire.JobMetricsEvent(
        timestamp=sample.time_usec * NSEC_PER_USEC,
        job_uuid=job.id,
        cpu_percent=sample.cpu_percent or 0.0,
        memory_bytes=sample.memory_bytes or 0,
        memory_limit=job.spec.limits.memory_bytes or 0,
        disk_read_bytes=sample.io_read_bytes or 0,
        disk_write_bytes=sample.io_write_bytes or 0,
        net_recv_bytes=sample.net_received_bytes or 0,
        net_sent_bytes=sample.net_sent_bytes or 0,
        sample=_exact(sample),
        final=final,
    )


def totals(job: Job) -> Sample:
    """What a job that has ended used in all, as a reading at its end: the memory is the peak."""
    ended, used = job.ended_usec or 0, job.usage
    elapsed = ended - (job.started_usec or ended)
    sample = Sample(
        time_usec=ended,
        cpu_usec=used.cpu_usec,
        memory_bytes=used.memory_peak_bytes,
        memory_peak_bytes=used.memory_peak_bytes,
        io_read_bytes=used.io_read_bytes,
        io_write_bytes=used.io_write_bytes,
        tasks_peak=used.tasks_peak,
        net_received_bytes=used.net_received_bytes,
        net_sent_bytes=used.net_sent_bytes,
    )
    return sample.since(Sample(ended, cpu_usec=0), elapsed)


def interval_of(seconds: int, default: int) -> int:
    """The seconds between two readings. Raises InvalidValue."""
    if not 0 <= seconds <= MAX_INTERVAL_SEC:
        raise InvalidValue("interval_seconds", seconds, f"1 to {MAX_INTERVAL_SEC} seconds, or 0 for {default}")
    return seconds or default


def parts_of(names: Iterable[str]) -> tuple[str, ...]:
    """The parts of the host that are asked for; all without a name. Raises InvalidValue."""
    wanted = set()
    for name in names:
        word = ALIASES.get(name.strip().lower(), name.strip().lower())
        if word not in PARTS:
            raise InvalidValue("metric_types", name, f"any of {', '.join(PARTS)}")
        wanted.add(word)
    return tuple(part for part in PARTS if part in wanted or not wanted)


def server_version() -> wire.ServerVersionInfo:
    """What this daemon is."""
    return wire.ServerVersionInfo(
        version=__version__,
        component="joblet-systemd",
        go_version=f"Python {platform.python_version()}",
        platform=f"linux/{platform.machine()}",
    )


def fields_of(readings: Mapping[str, Any]) -> dict[str, Any]:
    """Readings as values for the fields of an answer: protobuf makes messages of dictionaries by itself."""
    return {field: dict(value) if isinstance(value, Mapping) else value for field, value in readings.items()}


def _exact(sample: Sample) -> wire.JobSample:
    return wire.JobSample(**{name: getattr(sample, name) for name in VALUES})


def _running(job: Job, sample: Sample | None) -> wire.RunningJob:
    # Each may be long, and this is made every second.
    command = shortened(shlex.join(word[:MAX_COMMAND] for word in job.spec.argv[:MAX_WORDS]), MAX_COMMAND)
    return wire.RunningJob(
        uuid=job.id,
        name=job.spec.name,
        owner=job.owner,
        status=job.state,
        start_time=messages.rfc3339(job.started_usec),
        command=command,
        max_cpu=job.spec.limits.cpu_percent or 0,
        max_memory=(job.spec.limits.memory_bytes or 0) // messages.MIB,
        sample=_exact(sample) if sample is not None else None,
    )


def _now() -> str:
    return messages.rfc3339(time.time_ns() // NSEC_PER_USEC)

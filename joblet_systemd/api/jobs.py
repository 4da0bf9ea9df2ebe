"""JobService: from the wire's messages to jobs and back."""

from __future__ import annotations

import contextlib
import datetime
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

from joblet_wire import joblet_pb2 as wire

from .. import environment
from ..errors import InvalidValue
from ..files import uploads
from ..jobs.lifecycle import Jobs
from ..logs import Logs
from ..model import Job, JobSpec, Limits
from ..pki import Role
from ..systemd.entries import Output
from .server import Caller

STREAMS = {"stdout": 1, "stderr": 2}
CHUNK_BYTES = 64 << 10
CURSOR_END = "end"
MAX_ARGUMENT_BYTES = 128 << 10  # MAX_ARG_STRLEN (execve(2))
MAX_ARGUMENTS_BYTES = 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
MIB = 1 << 20


class JobService:
    """The methods of JobService that this version has; ``node_id`` names this host in answers."""

    def __init__(self, jobs: Jobs, logs: Logs, node_id: str) -> None:
        self._jobs = jobs
        self._logs = logs
        self._node_id = node_id

    def methods(self) -> Mapping[str, Callable[[Any, Caller], Any]]:
        """The implementations by their name in the contract."""
        return {
            "JobService/RunJob": self.run,
            "JobService/GetJobStatus": self.status,
            "JobService/ListJobs": self.list_jobs,
            "JobService/StopJob": self.stop,
            "JobService/GetJobLogs": self.logs,
        }

    async def run(self, request: wire.RunJobRequest, caller: Caller) -> wire.RunJobResponse:
        """RunJob: check everything, then store and queue."""
        spec = spec_of(request)
        files = [uploads.parse(file.path, file.content, file.mode, file.is_directory) for file in request.uploads]
        secrets = dict(request.secret_environment)
        job, notes = await self._jobs.submit(spec, caller.name, caller.account, files, secrets)
        return wire.RunJobResponse(
            job_uuid=job.id,
            status=job.state,
            command=spec.command,
            args=spec.args,
            maxCpu=spec.limits.cpu_percent or 0,
            cpuCores=spec.limits.cpu_cores or "",
            maxMemory=(spec.limits.memory_bytes or 0) // MIB,
            maxIobps=spec.limits.io_bytes_per_sec or 0,
            notices=notes,
        )

    async def status(self, request: wire.GetJobStatusRequest, caller: Caller) -> wire.GetJobStatusResponse:
        """GetJobStatus."""
        job = self._jobs.get(request.uuid)
        limits = job.spec.limits
        return wire.GetJobStatusResponse(
            uuid=job.id,
            name=job.spec.name,
            command=job.spec.command,
            args=job.spec.args,
            max_cpu=limits.cpu_percent or 0,
            cpu_cores=limits.cpu_cores or "",
            max_memory=(limits.memory_bytes or 0) // MIB,
            max_io_bps=limits.io_bytes_per_sec or 0,
            status=job.state,
            start_time=rfc3339(job.started_usec),
            end_time=rfc3339(job.ended_usec),
            exit_code=job.exit_code or 0,
            environment=job.spec.environment,
            secret_environment=dict.fromkeys(job.spec.secrets, environment.MASK),
            interactive=job.spec.interactive,
            network="none",
            work_dir="/work",
            uploads=job.uploads,
            node_id=self._node_id,
            reason=job.reason,
            owner=job.owner,
            unit=job.unit,
            cpu_usec=job.usage.cpu_usec,
            memory_peak_bytes=job.usage.memory_peak_bytes,
            io_read_bytes=job.usage.io_read_bytes,
            io_write_bytes=job.usage.io_write_bytes,
        )

    async def list_jobs(self, request: wire.EmptyRequest, caller: Caller) -> wire.Jobs:
        """ListJobs, the oldest first."""
        return wire.Jobs(jobs=[self._entry(job) for job in self._jobs.all()])

    def _entry(self, job: Job) -> wire.Job:
        limits = job.spec.limits
        return wire.Job(
            uuid=job.id,
            name=job.spec.name,
            command=job.spec.command,
            args=job.spec.args,
            max_cpu=limits.cpu_percent or 0,
            cpu_cores=limits.cpu_cores or "",
            max_memory=(limits.memory_bytes or 0) // MIB,
            max_io_bps=limits.io_bytes_per_sec or 0,
            status=job.state,
            start_time=rfc3339(job.started_usec),
            end_time=rfc3339(job.ended_usec),
            exit_code=job.exit_code or 0,
            environment=job.spec.environment,
            secret_environment=dict.fromkeys(job.spec.secrets, environment.MASK),
            node_id=self._node_id,
            reason=job.reason,
            owner=job.owner,
        )

    async def stop(self, request: wire.StopJobRequest, caller: Caller) -> wire.StopJobResponse:
        """StopJob: answers when the job has ended."""
        owner = caller.name if caller.role < Role.MAINTAINER else None
        job = await self._jobs.stop(request.uuid, owner=owner)
        return wire.StopJobResponse(
            uuid=job.id, status=job.state, end_time=rfc3339(job.ended_usec), exit_code=job.exit_code or 0
        )

    async def logs(self, request: wire.GetJobLogsRequest, caller: Caller) -> AsyncIterator[wire.DataChunk]:
        """GetJobLogs: the output from the start or behind ``cursor``, in chunks of one stream each.

        Ends when the job's last byte is delivered; with ``no_follow`` when what there is now is. The cursor
        ``end`` is behind what there is now; an empty chunk comes first then and tells where that is.
        """
        job = self._jobs.get(request.uuid)
        if request.cursor == CURSOR_END:
            after = await self._logs.newest(job.unit)
            yield wire.DataChunk(stream=STREAMS["stdout"], cursor=str(after))
        else:
            after = cursor_of(request.cursor)
        if request.no_follow:
            source = self._stored(job.unit, after)
        else:
            source = self._logs.follow(job.unit, after, lambda: self._jobs.ended(job.id))
        async with contextlib.aclosing(source):
            async for chunk in _chunks(source):
                yield chunk

    async def _stored(self, unit: str, after: int) -> AsyncGenerator[list[Output], None]:
        while entries := await self._logs.read(unit, after):
            after = entries[-1].seq
            yield [entry for entry in entries if isinstance(entry, Output)]


async def _chunks(source: AsyncIterator[list[Output]]) -> AsyncIterator[wire.DataChunk]:
    """Join neighbouring entries of one stream: a message costs more than its bytes."""
    async for batch in source:
        data, stream, cursor = bytearray(), "", 0
        for entry in batch:
            if data and (entry.stream != stream or len(data) + len(entry.data) > CHUNK_BYTES):
                yield wire.DataChunk(payload=bytes(data), stream=STREAMS[stream], cursor=str(cursor))
                data.clear()
            data += entry.data
            stream, cursor = entry.stream, entry.seq
        if data:
            yield wire.DataChunk(payload=bytes(data), stream=STREAMS[stream], cursor=str(cursor))


def spec_of(request: wire.RunJobRequest) -> JobSpec:
    """The job that a request asks for. Raises InvalidValue naming the field."""
    _check_command(request)
    if request.name and not NAME.fullmatch(request.name):
        raise InvalidValue("name", request.name, "letters, digits and _.-, 63 at most, a letter or digit first")
    environment.check(request.environment, request.secret_environment)
    _refuse_what_is_not_there(request)
    return JobSpec(
        command=request.command,
        args=tuple(request.args),
        name=request.name,
        environment=dict(request.environment),
        secrets=tuple(sorted(request.secret_environment)),
        interactive=request.interactive,
        limits=Limits(
            cpu_percent=request.max_cpu or None,
            cpu_cores=request.cpu_cores or None,
            memory_bytes=request.max_memory * MIB or None,
            io_bytes_per_sec=request.max_io_bps or None,
        ),
    )


def _check_command(request: wire.RunJobRequest) -> None:
    if not request.command:
        raise InvalidValue("command", request.command, "the program to run")
    words = [request.command, *request.args]
    sizes = [environment.exec_size([word]) for word in words]
    if any("\0" in word for word in words):
        raise InvalidValue("command", request.command, "words without NUL bytes")
    if max(sizes) >= MAX_ARGUMENT_BYTES or sum(sizes) > MAX_ARGUMENTS_BYTES:
        raise InvalidValue(
            "args",
            f"{sum(sizes)} bytes",
            "arguments under 128 KiB each and 1 MiB in all",
            hint="Upload a file instead.",
        )


def _refuse_what_is_not_there(request: wire.RunJobRequest) -> None:
    """Fields of the contract that this version does not honour: better an error than a job without them."""
    missing = {
        "schedule": request.schedule,
        "volumes": ", ".join(request.volumes),
        "runtime": request.runtime,
        "workflowUuid": request.workflowUuid,
        "requirements": ", ".join(requirement.jobUuid for requirement in request.requirements),
    }
    for field, value in missing.items():
        if value:
            raise InvalidValue(field, value, "nothing: this version of joblet does not have it yet")
    if request.gpu_count or request.gpu_memory_mb:
        raise InvalidValue("gpu_count", request.gpu_count, "0: this version of joblet has no GPU support")
    if request.network not in ("", "none"):
        raise InvalidValue("network", request.network, "none: this version of joblet gives jobs a loopback only")
    if request.work_dir not in ("", "/work"):
        raise InvalidValue("work_dir", request.work_dir, "/work")


def cursor_of(text: str) -> int:
    """The number of the last entry a follower has. Raises InvalidValue."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidValue("cursor", text, f"the cursor of a chunk received before, or {CURSOR_END!r}")
    return int(text)


def rfc3339(usec: int | None) -> str:
    """``2025-01-31T12:00:00.123456Z``, or nothing."""
    if usec is None:
        return ""
    moment = datetime.datetime.fromtimestamp(usec / 1_000_000, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

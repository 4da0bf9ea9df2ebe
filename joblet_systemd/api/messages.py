"""From the wire's messages to values and back. Pure; what is wrong with a request is found here, field by field."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable
from typing import Any

from joblet_wire import joblet_pb2 as wire

from .. import environment
from ..errors import InvalidValue
from ..model import Job, JobSpec, Limits, State
from ..selection import Cut, Selection, latest
from ..systemd.entries import Dropped, Output

MAX_ARGUMENT_BYTES = 128 << 10  # MAX_ARG_STRLEN (execve(2))
MAX_ARGUMENTS_BYTES = 1 << 20
MAX_ARGUMENTS = 10_000  # each takes PID 1 and the daemon's D-Bus library some time, while others wait
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
MIB = 1 << 20
INT32_MAX = 2**31 - 1
MAX_PRIORITY = 100
MAX_RETRIES = 100
MAX_NEWEST = 1000
MAX_RUNTIME_MS = 3653 * 86_400_000
MAX_RETRY_DELAY_MS = 86_400_000
STREAMS = {"stdout": 1, "stderr": 2}
STREAM_NAMES = {number: name for name, number in STREAMS.items()}
STREAMS_ASKED = {0: frozenset(STREAMS), 1: frozenset({"stdout"}), 2: frozenset({"stderr"})}
CURSOR_END = "end"
CUT = re.compile(r",([12]):([0-9]{1,18}):(-?[0-9]{1,9})")
CURSOR = re.compile(rf"([0-9]{{1,18}})((?:{CUT.pattern.replace('(', '(?:')}){{0,4}})(?:-([0-9]{{1,9}}))?")
EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)


def spec_of(request: wire.RunJobRequest) -> JobSpec:
    """The job that a request asks for. Raises InvalidValue naming the field."""
    _check_command(request)
    if request.name and not NAME.fullmatch(request.name):
        raise InvalidValue("name", request.name, "letters, digits and _.-, 63 at most, a letter or digit first")
    environment.check(request.environment, request.secret_environment)
    _refuse_what_is_not_there(request)
    for field in ("max_cpu", "max_memory", "max_io_bps", "max_disk"):
        check_range(field, getattr(request, field), 0, INT32_MAX)
    check_range("priority", request.priority, -MAX_PRIORITY, MAX_PRIORITY)
    check_range("retries", request.retries, 0, MAX_RETRIES)
    if request.interactive and (request.retries or request.schedule.strip()):
        raise InvalidValue("interactive", True, "no schedule and no retries beside it: clients feed one attempt, now")
    check_range("retry_delay", request.retry_delay_ms, 0, MAX_RETRY_DELAY_MS, " milliseconds")
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
            disk_bytes=request.max_disk * MIB or None,
            runtime_usec=runtime_usec(request.max_runtime_ms),
        ),
        priority=request.priority,
        retries=request.retries,
        retry_delay_usec=request.retry_delay_ms * 1000,
        schedule=request.schedule.strip(),
        time_zone=request.time_zone,
    )


def _check_command(request: wire.RunJobRequest) -> None:
    if not request.command:
        raise InvalidValue("command", request.command, "the program to run")
    words = [request.command, *request.args]
    if len(words) > MAX_ARGUMENTS:
        raise InvalidValue(
            "args", f"{len(words)} words", f"at most {MAX_ARGUMENTS}", hint="Upload a file that lists them instead."
        )
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


def changes_of(request: wire.UpdateJobRequest) -> tuple[dict[str, Any], int | None]:
    """The fields of Limits that an update changes, and the new priority, if any. Raises InvalidValue."""
    for field in ("max_cpu", "max_memory", "max_io_bps"):
        check_range(field, getattr(request, field), 0, INT32_MAX)
    # 0 and nothing take a limit away.
    fields: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "max_cpu": ("cpu_percent", lambda value: value or None),
        "cpu_cores": ("cpu_cores", lambda value: value or None),
        "max_memory": ("memory_bytes", lambda value: value * MIB or None),
        "max_io_bps": ("io_bytes_per_sec", lambda value: value or None),
        "max_runtime_ms": ("runtime_usec", runtime_usec),
    }
    changes = {
        limit: convert(getattr(request, field)) for field, (limit, convert) in fields.items() if request.HasField(field)
    }
    priority = request.priority if request.HasField("priority") else None
    if priority is not None:
        check_range("priority", priority, -MAX_PRIORITY, MAX_PRIORITY)
    if not changes and priority is None:
        raise InvalidValue("update", "nothing", "a limit or a priority to change")
    return changes, priority


def runtime_usec(milliseconds: int) -> int | None:
    """A time limit as Limits has it. Raises InvalidValue."""
    check_range("max_runtime", milliseconds, 0, MAX_RUNTIME_MS, " milliseconds")
    return milliseconds * 1000 or None


def check_range(field: str, value: int, low: int, high: int, unit: str = "") -> None:
    """Raises InvalidValue for a value outside of the range."""
    if not low <= value <= high:
        raise InvalidValue(field, value, f"{low} to {high}{unit}")


def common(job: Job, node_id: str, position: int) -> dict[str, Any]:
    """The fields that Job and GetJobStatusResponse have in common."""
    spec, limits = job.spec, job.spec.limits
    return {
        "uuid": job.id,
        "name": spec.name,
        "command": spec.command,
        "args": spec.args,
        "max_cpu": limits.cpu_percent or 0,
        "cpu_cores": limits.cpu_cores or "",
        "max_memory": (limits.memory_bytes or 0) // MIB,
        "max_io_bps": limits.io_bytes_per_sec or 0,
        "status": job.state,
        "start_time": rfc3339(job.started_usec),
        "end_time": rfc3339(job.ended_usec),
        "scheduled_time": rfc3339(job.due_usec),
        "exit_code": job.exit_code or 0,
        "environment": spec.environment,
        "secret_environment": dict.fromkeys(spec.secrets, environment.MASK),
        "node_id": node_id,
        "reason": job.reason,
        "owner": job.owner,
        "priority": spec.priority,
        "queue_position": position,
        "parent": job.parent,
    }


def entry(job: Job, node_id: str, position: int) -> wire.Job:
    """A job as ListJobs has it. ``position`` is its place in the queue, 0 if it has none."""
    return wire.Job(**common(job, node_id, position))


def status(job: Job, node_id: str, position: int, next_runs: Iterable[int]) -> wire.GetJobStatusResponse:
    """A job as GetJobStatus has it."""
    spec, limits = job.spec, job.spec.limits
    return wire.GetJobStatusResponse(
        **common(job, node_id, position),
        network="none",
        work_dir="/work",
        uploads=job.uploads,
        unit=job.unit,
        cpu_usec=job.usage.cpu_usec,
        memory_peak_bytes=job.usage.memory_peak_bytes,
        io_read_bytes=job.usage.io_read_bytes,
        io_write_bytes=job.usage.io_write_bytes,
        tasks_peak=job.usage.tasks_peak,
        net_received_bytes=job.usage.net_received_bytes,
        net_sent_bytes=job.usage.net_sent_bytes,
        max_runtime_ms=(limits.runtime_usec or 0) // 1000,
        retries=spec.retries,
        attempt=job.attempt,
        max_disk=(limits.disk_bytes or 0) // MIB,
        interactive=spec.interactive,
        schedule=spec.schedule,
        next_runs=[rfc3339(moment) for moment in next_runs],
    )


def submitted(job: Job, notices: Iterable[str]) -> wire.RunJobResponse:
    """The answer to RunJob, legacy fields included."""
    limits = job.spec.limits
    return wire.RunJobResponse(
        job_uuid=job.id,
        status=job.state,
        command=job.spec.command,
        args=job.spec.args,
        maxCpu=limits.cpu_percent or 0,
        cpuCores=limits.cpu_cores or "",
        maxMemory=(limits.memory_bytes or 0) // MIB,
        maxIobps=limits.io_bytes_per_sec or 0,
        scheduledTime=rfc3339(job.due_usec),
        notices=notices,
    )


def selection_of(request: wire.GetJobLogsRequest) -> Selection:
    """The part of a log that is asked for. Raises InvalidValue."""
    if request.stream not in STREAMS_ASKED:
        raise InvalidValue("stream", request.stream, "0 for both, 1 for stdout or 2 for stderr")
    tail = request.tail if request.HasField("tail") else None
    if tail is not None and tail < 0:
        raise InvalidValue("tail", tail, "a number of lines, 0 or more")
    after, cuts = 0, tuple[Cut, ...]()
    if request.cursor == CURSOR_END:
        if tail:
            raise InvalidValue("tail", tail, "0, or no cursor 'end' beside it: that is behind all lines")
        tail = 0
    elif request.cursor:
        after, cuts = place_of(request.cursor)
    return Selection(
        after=after,
        cuts=cuts,
        tail=tail,
        since_usec=moment_of("since", request.since),
        until_usec=moment_of("until", request.until),
        streams=STREAMS_ASKED[request.stream],
    )


def newest_of(request: wire.EmptyRequest) -> tuple[int, frozenset[State]]:
    """How many of the newest jobs are asked for, 0 for all, and in which states, none for any. Raises InvalidValue."""
    if not 0 <= request.limit <= MAX_NEWEST:
        raise InvalidValue("limit", request.limit, f"0 for all jobs, or 1 to {MAX_NEWEST} of the newest")
    for state in request.states:
        if state not in set(State):
            raise InvalidValue("states", state, f"one of {', '.join(State)}")
        if not request.limit:
            raise InvalidValue("states", state, "none without a limit")
    return request.limit, frozenset(map(State, request.states))


def cursor_of(seq: int, cuts: Iterable[Cut] = ()) -> str:
    """The place behind entry ``seq``, and what of the entries behind it is left out."""
    return f"{seq}" + "".join(f",{STREAMS[cut.stream]}:{cut.seq}:{cut.offset}" for cut in cuts if cut.seq > seq)


def place_of(cursor: str) -> tuple[int, tuple[Cut, ...]]:
    """The number of the last entry that a reader has all of, and what it has of the next. Raises InvalidValue.

    ``17`` is behind entry 17, ``17-5`` behind all of it but the last 5 bytes.
    """
    match = CURSOR.fullmatch(cursor)
    if not match:
        raise InvalidValue("cursor", cursor, "the cursor of a chunk received before, or 'end'")
    seq, left = int(match[1]), int(match[3] or 0)
    cuts = [Cut(STREAM_NAMES[int(part[1])], int(part[2]), int(part[3])) for part in CUT.finditer(match[2])]
    if seq and left:
        cuts = [*(Cut(stream, seq, -left) for stream in STREAMS), *cuts]
        seq -= 1
    return seq, latest(cuts)


def moment_of(field: str, text: str) -> int | None:
    """A time in RFC 3339 as microseconds since the epoch, None for no text. Raises InvalidValue."""
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None or len(text) > 40:
            raise ValueError(text)
        return max(1, (moment - EPOCH) // datetime.timedelta(microseconds=1))
    except (ValueError, OverflowError):
        raise InvalidValue(field, text, "a time such as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+01:00") from None


def chunk(found: Output | Dropped, cuts: Iterable[Cut] = ()) -> wire.DataChunk:
    """An entry as GetJobLogs has it, in a selection with these ``cuts``."""
    answer = wire.DataChunk(cursor=cursor_of(found.seq, cuts), time_usec=found.realtime_usec)
    if isinstance(found, Dropped):
        answer.dropped.reason = found.reason
        answer.dropped.entries, answer.dropped.bytes, answer.dropped.lines = found.entries, found.bytes, found.lines
    else:
        answer.payload, answer.stream = found.data, STREAMS[found.stream]
    return answer


def rfc3339(usec: int | None) -> str:
    """``2025-01-31T12:00:00.123456Z``, or nothing."""
    if usec is None:
        return ""
    moment = datetime.datetime.fromtimestamp(usec / 1_000_000, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

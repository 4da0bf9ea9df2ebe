"""A job in words and in JSON: lines and keys that scripts read, so they stay."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import output

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import GetJobStatusResponse, Job, RunJobRequest


def limit_lines(limits: RunJobRequest | GetJobStatusResponse) -> Iterator[str]:
    """The limits that are set, as they were understood."""
    if limits.max_cpu:
        yield f"Max CPU: {limits.max_cpu}%"
    if limits.cpu_cores:
        yield f"CPU Cores: {limits.cpu_cores}"
    if limits.max_memory:
        yield f"Max Memory: {limits.max_memory} MB"
    if limits.max_io_bps:
        yield f"Max IO: {limits.max_io_bps} bytes/s"
    if limits.max_runtime_ms:
        yield f"Max Runtime: {output.duration(limits.max_runtime_ms / 1000)}"
    if limits.max_disk:
        yield f"Max Disk: {limits.max_disk} MB"


def schedule_lines(job: RunJobRequest | GetJobStatusResponse, scheduled_time: str) -> Iterator[str]:
    """When a job is to run, as the user wrote it and as the node understood it."""
    if job.schedule:
        yield f"Schedule: {job.schedule}"
    if scheduled_time:
        yield f"Scheduled: {output.local_time(scheduled_time)}"


def attempt_lines(job: RunJobRequest | GetJobStatusResponse) -> Iterator[str]:
    """Its place among others, and how often it is tried."""
    if job.priority:
        yield f"Priority: {job.priority}"
    if job.retries:
        yield f"Retries: {job.retries}"


def status_lines(job: GetJobStatusResponse, ended: bool) -> Iterator[str]:
    """All that is known of a job; ``ended`` is whether its status is final."""
    yield f"Job ID: {job.uuid}"
    yield from _given(("Name", job.name))
    yield f"Command: {shlex.join([job.command, *job.args])}"
    yield f"Status: {job.status}"
    yield from _given(("Reason", job.reason))
    if ended:
        yield f"Exit Code: {job.exit_code}"
    yield from _given(
        ("Queue Position", job.queue_position),
        ("Node ID", job.node_id),
        ("Owner", job.owner),
        ("Parent", job.parent),
    )
    yield from attempt_lines(job)
    if job.retries and job.attempt:
        yield f"Attempt: {job.attempt} of {job.retries + 1}"
    yield from _time_lines(job)
    yield from _usage_lines(job)
    yield from limit_lines(job)
    yield from _given(
        ("Runtime", job.runtime),
        ("Network", job.network),
        ("Work Dir", job.work_dir),
        ("Volumes", ", ".join(job.volumes)),
        ("Uploads", ", ".join(job.uploads)),
        ("Files Kept Until", output.local_time(job.files_kept_until)),
    )
    if job.environment or job.secret_environment:
        yield "Environment:"
        yield from (f"  {key}={value}" for key, value in sorted(job.environment.items()))
        yield from (f"  {key}=*** (secret)" for key in sorted(job.secret_environment))
    if job.unit:
        yield f"Unit: {job.unit}"
        if ended:  # PID 1 has forgotten the unit; before its start, it knows none either
            yield f"  on the node: journalctl --namespace=joblet -u {job.unit}"
        elif job.status not in ("PENDING", "SCHEDULED"):
            yield f"  on the node: systemctl status {job.unit}"


def _given(*pairs: tuple[str, str | int]) -> Iterator[str]:
    return (f"{label}: {value}" for label, value in pairs if value)


def _time_lines(job: GetJobStatusResponse) -> Iterator[str]:
    yield from schedule_lines(job, job.scheduled_time)
    yield from _given(
        ("Next Runs", ", ".join(output.local_time(run) for run in job.next_runs)),
        ("Started", output.local_time(job.start_time)),
        ("Ended", output.local_time(job.end_time)),
    )
    start, end = output.parsed_time(job.start_time), output.parsed_time(job.end_time)
    if start and end:
        yield f"Duration: {output.duration((end - start).total_seconds())}"
    elif start:
        so_far = datetime.datetime.now(datetime.UTC) - start
        yield f"Duration: {output.duration(max(0, round(so_far.total_seconds())))} so far"


def _usage_lines(job: GetJobStatusResponse) -> Iterator[str]:
    if job.HasField("cpu_usec"):
        yield f"CPU Time: {output.duration(job.cpu_usec / 1e6)}"
    if job.HasField("memory_peak_bytes"):
        yield f"Peak Memory: {output.size(job.memory_peak_bytes)}"
    if job.HasField("io_read_bytes") and job.HasField("io_write_bytes"):
        yield f"IO: {output.size(job.io_read_bytes)} read, {output.size(job.io_write_bytes)} written"
    if job.HasField("net_received_bytes") and job.HasField("net_sent_bytes"):
        yield f"Traffic: {output.size(job.net_received_bytes)} received, {output.size(job.net_sent_bytes)} sent"
    if job.HasField("tasks_peak"):
        yield f"Peak Tasks: {job.tasks_peak}"


def start_of(row: Job) -> str:
    """When a job started; of one that waits for its time, when it will."""
    return row.scheduled_time if row.status == "SCHEDULED" else row.start_time


def list_json(row: Job) -> dict[str, Any]:
    """One element of ``job list --json``."""
    return {
        "id": row.uuid,
        "node_id": row.node_id,
        "name": row.name,
        "status": row.status,
        "reason": row.reason,
        "owner": row.owner,
        "command": row.command,
        "args": list(row.args),
        "priority": row.priority,
        "queue_position": row.queue_position or None,
        "parent": row.parent,
        "scheduled_time": row.scheduled_time or None,
        "start_time": row.start_time or None,
        "end_time": row.end_time or None,
        "exit_code": row.exit_code if row.end_time else None,
    }


def status_json(answer: GetJobStatusResponse, ended: bool) -> dict[str, Any]:
    """``job status --json``. What the node keeps no account of is null, as is what has not happened yet."""
    counts = {
        key: getattr(answer, field) if answer.HasField(field) else None
        for key, field in (
            ("cpuUsec", "cpu_usec"),
            ("memoryPeakBytes", "memory_peak_bytes"),
            ("ioReadBytes", "io_read_bytes"),
            ("ioWriteBytes", "io_write_bytes"),
            ("netReceivedBytes", "net_received_bytes"),
            ("netSentBytes", "net_sent_bytes"),
            ("tasksPeak", "tasks_peak"),
        )
    }
    return {
        "uuid": answer.uuid,
        "name": answer.name,
        "nodeId": answer.node_id,
        "owner": answer.owner,
        "command": answer.command,
        "args": list(answer.args),
        "status": answer.status,
        "reason": answer.reason,
        "exitCode": answer.exit_code if ended else None,
        "queuePosition": answer.queue_position or None,
        "priority": answer.priority,
        "retries": answer.retries,
        "attempt": answer.attempt,
        "parent": answer.parent,
        "schedule": answer.schedule,
        "nextRuns": list(answer.next_runs),
        "scheduledTime": answer.scheduled_time or None,
        "startTime": answer.start_time or None,
        "endTime": answer.end_time or None,
        "maxCpu": answer.max_cpu,
        "cpuCores": answer.cpu_cores,
        "maxMemory": answer.max_memory,
        "maxIoBps": answer.max_io_bps,
        "maxRuntimeMs": answer.max_runtime_ms,
        "maxDisk": answer.max_disk,
        **counts,
        "environment": dict(answer.environment),
        "secretEnvironment": dict.fromkeys(answer.secret_environment, "***"),
        "network": answer.network,
        "volumes": list(answer.volumes),
        "runtime": answer.runtime,
        "workDir": answer.work_dir,
        "uploads": list(answer.uploads),
        "filesKeptUntil": answer.files_kept_until or None,
        "unit": answer.unit,
    }

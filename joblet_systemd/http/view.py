"""Jobs as JSON, with the keys that 'rnx --json job status' has."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from .. import environment
from ..api.brief import brief
from ..api.messages import MIB, rfc3339
from ..model import Job

# What is called otherwise here.
KEYS = {"secrets": "secretEnvironment"}


def job(job: Job, node_id: str, position: int = 0) -> dict[str, Any]:
    """What is known of a job by itself. What has not happened, or is not accounted for here, is null."""
    spec, limits, usage = job.spec, job.spec.limits, job.usage
    return {
        "uuid": job.id,
        "name": spec.name,
        "nodeId": node_id,
        "owner": job.owner,
        "command": spec.command,
        "args": list(spec.args),
        "status": str(job.state),
        "reason": job.reason,
        "exitCode": job.exit_code if job.state.final else None,
        "queuePosition": position or None,
        "priority": spec.priority,
        "retries": spec.retries,
        "retryDelayMs": spec.retry_delay_usec // 1000,
        "attempt": job.attempt,
        "parent": job.parent,
        "schedule": spec.schedule,
        "submitTime": rfc3339(job.submitted_usec),
        "scheduledTime": rfc3339(job.due_usec) or None,
        "startTime": rfc3339(job.started_usec) or None,
        "endTime": rfc3339(job.ended_usec) or None,
        "maxCpu": limits.cpu_percent or 0,
        "cpuCores": limits.cpu_cores or "",
        "maxMemory": (limits.memory_bytes or 0) // MIB,
        "maxIoBps": limits.io_bytes_per_sec or 0,
        "maxRuntimeMs": (limits.runtime_usec or 0) // 1000,
        "maxDisk": (limits.disk_bytes or 0) // MIB,
        "cpuUsec": usage.cpu_usec,
        "memoryPeakBytes": usage.memory_peak_bytes,
        "ioReadBytes": usage.io_read_bytes,
        "ioWriteBytes": usage.io_write_bytes,
        "netReceivedBytes": usage.net_received_bytes,
        "netSentBytes": usage.net_sent_bytes,
        "tasksPeak": usage.tasks_peak,
        "environment": dict(spec.environment),
        "secretEnvironment": dict.fromkeys(spec.secrets, environment.MASK),
        "network": "none",
        "volumes": [],
        "runtime": "",
        "workDir": "/work",
        "interactive": spec.interactive,
        "uploads": list(job.uploads),
        "unit": job.unit,
    }


def entry(one: Job, node_id: str, position: int = 0) -> dict[str, Any]:
    """A job as one of many: what is long is empty then, or shortened, and ``omitted`` names it."""
    shown, cut = brief(one)
    return {**job(shown, node_id, position), "omitted": [KEYS.get(name, name) for name in (*one.omitted, *cut)]}


def end(job: Job | None) -> dict[str, Any]:
    """How a job has ended, or what it does if it has not: the last event of a stream. None was deleted."""
    if job is None:
        return {"status": "DELETED", "exitCode": None, "reason": "the job was deleted"}
    return {
        "status": str(job.state),
        "exitCode": job.exit_code if job.state.final else None,
        "reason": job.reason,
    }


def text(value: Any) -> bytes:
    """JSON as it is sent. Words of jobs that are no UTF-8 have their bytes replaced."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=text(value), status=status, headers=headers, content_type="application/json")

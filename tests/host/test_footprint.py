"""What the daemon takes of a host: little memory, no wake-ups without a cause, with a crowd of followers as well."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from attack import channel, memory
from hosts import Host, until
from webclient import Web

from joblet_wire import joblet_pb2, joblet_pb2_grpc

MB = 1_000_000
IDLE_BYTES = 80 * MB
CROWD_BYTES = 200 * MB
# The budget is 30 kB, which 'make bench' measures; what the kernel counts comes in pages, and of Python in arenas.
JOB_BYTES = 40_000
LONG_JOBS, LONG_BYTES = 3, 900_000
RUNNING, FOLLOWERS, CONNECTIONS = 200, 500, 10
WATCHDOG_SEC = 15.0  # twice per WatchdogSec=30

# After the last connection gRPC runs on for LINGER_SEC of joblet_systemd/api/ondemand.py.
LINGER_SEC = 30

# For each thread its name and how often it gave up the CPU by itself, and the CPU time of all of them in ticks.
LOOK = """
import json, pathlib, subprocess, time
show = ["systemctl", "show", "--property=MainPID", "--value", "joblet.service"]
process = pathlib.Path("/proc", subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip())
threads = {}
for task in (process / "task").iterdir():
    lines = (task / "status").read_text().splitlines()
    number = next(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    threads[task.name] = [(task / "comm").read_text().strip(), number]
fields = (process / "stat").read_text().rpartition(")")[2].split()
print(json.dumps({"threads": threads, "ticks": int(fields[11]) + int(fields[12]), "at": time.monotonic()}))
"""


def look(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.exec("python3", "-c", LOOK).stdout)
    return found


def watched(host: Host, seconds: float) -> tuple[dict[str, int], float, float]:
    """Wake-ups by the name of the thread, the CPU seconds and the seconds in which they were."""
    before = look(host)
    time.sleep(seconds)
    after = look(host)
    wake_ups: dict[str, int] = {}
    for thread, (name, number) in after["threads"].items():
        woken = number - before["threads"].get(thread, (name, 0))[1]
        wake_ups[name] = wake_ups.get(name, 0) + woken
    return wake_ups, (after["ticks"] - before["ticks"]) / 100, after["at"] - before["at"]


def test_an_idle_daemon_sleeps(host: Host, tmp_path: Path) -> None:
    with long_jobs(host) as jobs:
        host.exec("systemctl", "restart", "joblet.service")
        # As one that has been of use: what is loaded for those who ask is there.
        until(lambda: host.rnx("job", "list").returncode == 0)
        time.sleep(LINGER_SEC + 5)
        assert memory(host) < IDLE_BYTES
        web = Web(host, tmp_path)
        for path in ("/v1/jobs", "/v1/host", "/metrics", "/v1/openapi.json", "/"):
            assert web.get(path).status == 200
        assert all(len(web.get(f"/v1/jobs/{job}").body) > LONG_BYTES for job in jobs)
        # PID 1 tells the daemon of every unit of the host that changes. What wakes up by itself does so in each
        # stretch.
        assert any(sleeps(host) for _ in range(3))
        assert memory(host) < IDLE_BYTES


@contextlib.contextmanager
def long_jobs(host: Host) -> Iterator[list[str]]:
    """Ended ones, which take megabytes to read and to show."""
    words = ["x" * 99] * (LONG_BYTES // 100)
    with channel(host, "default") as through:
        service = joblet_pb2_grpc.JobServiceStub(through)
        request = joblet_pb2.RunJobRequest(command="true", args=words)
        jobs = [service.RunJob(request, timeout=60).job_uuid for _ in range(LONG_JOBS)]
        for job in jobs:
            until(lambda: _state(service, job) == "COMPLETED")  # noqa: B023 (it is called here and now)
    try:
        yield jobs
    finally:
        host.rnx("job", "delete", *jobs)


def sleeps(host: Host) -> bool:
    """Whether nothing but the watchdog woke the daemon up for some time."""
    wake_ups, _, seconds = watched(host, 40)
    print(f"{seconds:.0f} s: {wake_ups}")  # seen when the test fails
    # One more at the most: to feed the watchdog may have to wait for something itself.
    return sum(wake_ups.values()) <= seconds / WATCHDOG_SEC + 2


@contextlib.contextmanager
def sleeping_jobs(host: Host, number: int) -> Iterator[list[str]]:
    with channel(host, "default") as through:
        service = joblet_pb2_grpc.JobServiceStub(through)
        request = joblet_pb2.RunJobRequest(command="sleep", args=["10000"])
        jobs = [call.result().job_uuid for call in [service.RunJob.future(request, timeout=60) for _ in range(number)]]
        try:
            waiting = list(jobs)

            def all_run() -> bool:
                while waiting and _state(service, waiting[-1]) == "RUNNING":
                    waiting.pop()
                return not waiting

            until(all_run, 120)
            yield jobs
        finally:
            for method, kind in (
                (service.StopJob, joblet_pb2.StopJobRequest),
                (service.DeleteJob, joblet_pb2.DeleteJobRequest),
            ):
                for call in [method.future(kind(uuid=job), timeout=120) for job in jobs]:
                    call.result()


def _state(service: Any, job: str) -> str:
    return str(service.GetJobStatus(joblet_pb2.GetJobStatusRequest(uuid=job), timeout=20).status)


@pytest.mark.only_on("forky", because="the memory is the daemon's own, and most of it here")
def test_many_jobs_and_a_crowd_of_followers(host: Host) -> None:
    with sleeping_jobs(host, 20):
        pass  # what is made once, threads and their memory, is not any job's
    before = memory(host)
    with sleeping_jobs(host, RUNNING) as jobs:
        assert (memory(host) - before) / RUNNING < JOB_BYTES
        with contextlib.ExitStack() as connections:
            services = [
                joblet_pb2_grpc.JobServiceStub(connections.enter_context(channel(host, "reader")))
                for _ in range(CONNECTIONS)
            ]
            streams = [
                services[number % CONNECTIONS].GetJobLogs(
                    joblet_pb2.GetJobLogsRequest(uuid=jobs[number % RUNNING], cursor="end")
                )
                for number in range(FOLLOWERS)
            ]
            for stream in streams:
                next(stream)  # an empty chunk: it follows
            _, used, seconds = watched(host, 5)
            assert memory(host) < CROWD_BYTES
            assert used < seconds, "that was a core and more"
            for stream in streams:
                stream.cancel()
    with pytest.raises(grpc.RpcError):
        next(streams[0])

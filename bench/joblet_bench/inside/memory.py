"""What the daemon takes when it has nothing to do, for each job that runs, and with a crowd that follows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from joblet_wire import joblet_pb2

from ..figures import Budget, Finding, Spread
from . import daemon
from .scale import Scale, tell

ROW = "the daemon's memory and CPU"
MB = 1_000_000
IDLE, PER_JOB, CROWD = Budget("≤ 80 MB", 80), Budget("≤ 30 kB", 30), Budget("< 200 MB", 200)
CORE = Budget("< 100 % of one core", 100)
WAKE_UPS = Budget("the watchdog's", 0.2)
STREAMS_PER_CONNECTION = 50

# After the last connection gRPC runs on for LINGER_SEC of joblet_systemd/api/ondemand.py.
LINGER_SEC = 30


def wake_ups(process: int) -> int:
    """How often threads of a process gave up the CPU by themselves."""
    number = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            lines = (task / "status").read_text(encoding="utf-8").splitlines()
            number += int(next(line.split()[1] for line in lines if line.startswith("voluntary")))
    return number


def measure(scale: Scale) -> Iterator[Finding]:
    """Idle, then with jobs that sleep, then with followers of all of them."""
    daemon.systemctl("restart", "joblet.service")
    process = daemon.pid()
    tell(f"idle for {LINGER_SEC + 5 + scale.look_sec:.0f} s")
    time.sleep(LINGER_SEC + 5)
    yield _megabytes("idle", process, IDLE)
    before = wake_ups(process)
    time.sleep(scale.look_sec)
    found = (wake_ups(process) - before) / scale.look_sec
    yield Finding(ROW, "idle, wake-ups", "/s", _single(found), budget=WAKE_UPS.text, met=WAKE_UPS.met(found))
    with daemon.connected() as service:
        # A first round, so that what is made once is not taken for what each job needs.
        first = daemon.run_all(service, 10, ["sleep", "1000"])
        _running(service, first)
        daemon.stop_all(service, first)
        small = daemon.resident_bytes(process)
        tell(f"{scale.running} jobs")
        jobs = daemon.run_all(service, scale.running, ["sleep", "1000"])
        try:
            _running(service, jobs)
            each = (daemon.resident_bytes(process) - small) / 1000 / scale.running
            yield Finding(ROW, "each running job", "kB", _single(each), budget=PER_JOB.text, met=PER_JOB.met(each))
            yield from _crowd(scale, process, jobs)
        finally:
            daemon.stop_all(service, jobs)
    yield _after_http()


def _after_http() -> Finding:
    """aiohttp is loaded for the first connection and stays."""
    what = "idle, once gRPC and HTTP were used"
    daemon.systemctl("restart", "joblet.service")
    with daemon.connected() as service:
        daemon.states(service)
    try:
        with contextlib.closing(daemon.gateway()) as connection:
            daemon.first_page(connection)
    except OSError as error:
        return Finding(ROW, what, budget=IDLE.text, why_not=f"no HTTP gateway: {error.strerror or error}")
    tell(f"idle for {LINGER_SEC + 5} s")
    time.sleep(LINGER_SEC + 5)
    return _megabytes(what, daemon.pid(), IDLE)


def _crowd(scale: Scale, process: int, jobs: list[str]) -> Iterator[Finding]:
    what = f"{scale.followers} followers of {scale.running} jobs"
    tell(what)
    with contextlib.ExitStack() as connections:
        services = [
            connections.enter_context(daemon.connected()) for _ in range(-(-scale.followers // STREAMS_PER_CONNECTION))
        ]
        streams = [
            services[number % len(services)].GetJobLogs(
                joblet_pb2.GetJobLogsRequest(uuid=jobs[number % len(jobs)], cursor="end")
            )
            for number in range(scale.followers)
        ]
        for stream in streams:
            next(stream)  # an empty chunk: it follows
        time.sleep(2)
        before, begun = daemon.cpu_seconds(process), time.monotonic()
        time.sleep(scale.look_sec)
        used = 100 * (daemon.cpu_seconds(process) - before) / (time.monotonic() - begun)
        yield _megabytes(what, process, CROWD)
        yield Finding(ROW, what, "% CPU", _single(used), budget=CORE.text, met=CORE.met(used))
        for stream in streams:
            stream.cancel()


def _running(service: object, jobs: list[str]) -> None:
    def all_run() -> bool:
        states = daemon.states(service)
        return all(states[job] == "RUNNING" for job in jobs)

    daemon.until(all_run, 1.0)


def _megabytes(what: str, process: int, budget: Budget) -> Finding:
    size = daemon.resident_bytes(process) / MB
    return Finding(ROW, what, "MB", _single(size), budget=budget.text, met=budget.met(size))


def _single(value: float) -> Spread:
    return Spread(value, value, value, 1)

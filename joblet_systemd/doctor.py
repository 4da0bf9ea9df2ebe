"""``jobletd doctor``: what this host enforces for its jobs, and how, found out by looking and by a trial job."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import pwd
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import config as configuration
from . import host as this_host
from . import unit
from .config import JobsConfig
from .errors import JobletError
from .files import image
from .identity import ACCOUNT_PREFIX
from .jobs.outcome import outcome
from .jobs.places import Places
from .jobs.runner import Runner
from .leftovers import TRIAL_PREFIX
from .model import UNIT_PATTERN, Job, JobSpec, State
from .systemd.manager import Manager

TRIAL_SEC = 30.0
STOP_SEC = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One guarantee: whether it holds here, and how it is kept or why not."""

    guarantee: str
    holds: bool
    how: str


def main(*, as_json: bool) -> int:
    """Print the findings; 0 when every guarantee holds, else 1."""
    findings = asyncio.run(_examine())
    if as_json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.guarantee) for finding in findings)
        for finding in findings:
            print(f"{'ok' if finding.holds else 'NO':<3} {finding.guarantee:<{width}}  {finding.how}")
    return 0 if all(finding.holds for finding in findings) else 1


async def _examine() -> list[Finding]:
    manager = Manager(UNIT_PATTERN)
    await manager.connect()
    try:
        host = await this_host.examine(manager)
        # After a boot there is none before the daemon has started, which may be what somebody wants to know about.
        configuration.RUNTIME_DIR.mkdir(mode=0o711, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TRIAL_PREFIX, dir=configuration.RUNTIME_DIR) as directory:
            places = Places.prepare(configuration.RUNTIME_DIR, Path(directory), JobsConfig())
            trial = await _trial(manager, host, places)
        findings = [*_isolation(host), *_limits(host), _work_size(), *await _daemon(manager), trial]
    finally:
        await manager.close()
    return findings


def _isolation(host: unit.Host) -> Iterator[Finding]:
    yield Finding("systemd", True, f"version {host.systemd_version}")
    by_systemd = host.tier is unit.Tier.SYSTEMD
    yield Finding(
        "own processes only",
        True,
        "PrivatePIDs=" if by_systemd else "joblet-init makes the namespace and then forbids further ones",
    )
    private = "ProtectControlGroupsEx" in host.properties
    yield Finding(
        "own control group only", True, "ProtectControlGroups=strict" if private else "/sys/fs/cgroup is covered"
    )
    yield Finding("own account, IPC, network, host name", True, "User=, PrivateIPC=, PrivateNetwork=, ProtectHostname=")


def _limits(host: unit.Host) -> Iterator[Finding]:
    limits = {
        "max_cpu": ("cpu", "CPUQuota="),
        "cpu_cores": ("cpuset", "AllowedCPUs="),
        "max_memory": ("memory", "MemoryMax=, no swap"),
        "max_io_bps": ("io", "IOReadBandwidthMax=, IOWriteBandwidthMax="),
        "number of tasks": ("pids", f"TasksMax={unit.MAX_TASKS}"),
    }
    for name, (controller, how) in limits.items():
        holds = controller in host.controllers
        missing = f"no cgroup v2 {controller} controller here; is it bound to cgroup v1, or this a container?"
        yield Finding(name, holds, how if holds else missing)


def _work_size() -> Finding:
    state = configuration.STATE_DIR
    why_not = image.why_not(state if state.is_dir() else configuration.RUNTIME_DIR)
    return Finding("max_disk", not why_not, why_not or "an ext4 image of that size for each job")


async def _daemon(manager: Manager) -> list[Finding]:
    state = await manager.state("joblet.service")
    grpc, http = await manager.listening("joblet.socket"), await manager.listening("joblet-http.socket")
    active = state == "active"
    why_not = f"joblet.service is {state or 'not there'}; 'journalctl -u joblet.service' says why"
    return [
        # Its sockets are open without it, and clients wait there in vain when it does not start.
        Finding("the daemon runs", active, "joblet.service is active" if active else why_not),
        Finding("listens for gRPC", bool(grpc), ", ".join(grpc) or "nowhere: joblet.socket is not active"),
        # An administrator may do without it.
        Finding("listens for HTTP", True, ", ".join(http) or "nowhere: joblet-http.socket is not active"),
    ]


async def _trial(manager: Manager, host: unit.Host, places: Places) -> Finding:
    """Run ``true`` as a job with all properties, under the first job account there is."""
    what = "a trial job runs isolated"
    accounts = sorted(entry.pw_name for entry in pwd.getpwall() if entry.pw_name.startswith(ACCOUNT_PREFIX))
    if not accounts:
        return Finding(what, False, "there is no account for jobs; run 'jobletd setup'")
    trial = Job(str(uuid.uuid4()), JobSpec("true"), "doctor", accounts[0], State.PENDING, 0, boot_id="trial")
    ended = asyncio.Event()
    runner = Runner(manager, host, places, stop_grace=1.0, max_log=configuration.MAX_LOG)
    manager.watch(lambda name, _: ended.set() if name == trial.unit else None, lambda: None)
    try:
        how = await asyncio.wait_for(_run(manager, runner, trial, ended), TRIAL_SEC)
    except TimeoutError:
        return Finding(what, False, f"it did not end within {TRIAL_SEC:.0f} s; see 'systemctl status {trial.unit}'")
    except JobletError as error:
        return Finding(what, False, str(error))
    finally:
        await _take_down(manager, trial)
        runner.close()
        runner.remove(trial.id)
    return Finding(what, not how, how or "joblet-init found every promised namespace")


async def _take_down(manager: Manager, trial: Job) -> None:
    """Whatever became of the trial job: there is no unit of it any more that uses its files."""
    with contextlib.suppress(JobletError):  # PID 1 does not answer: that is said already
        if not await manager.has_ended(trial.unit):
            await manager.stop(trial.unit)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SEC):
                    while not await manager.has_ended(trial.unit):
                        await asyncio.sleep(0.1)
        await manager.release(trial.unit)


async def _run(manager: Manager, runner: Runner, trial: Job, ended: asyncio.Event) -> str:
    """Run the trial job; what went wrong, or nothing."""
    if await runner.start(trial) == "done":
        await ended.wait()
    result, record = await runner.end(trial)
    return outcome(trial, result, record, trial.boot_id).reason

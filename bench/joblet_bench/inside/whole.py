"""What it takes to run one command to its end, beside systemd-run and other ways to a sandbox."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from joblet_systemd import host as this_host
from joblet_systemd.unit import Property
from joblet_wire import joblet_pb2

from ..figures import Budget, Finding, Spread
from . import daemon
from .bare import ACCOUNT, Units
from .scale import Scale, tell

ROW = "one command, start to end"
COMMAND = "true"
OURS = "rnx job run --wait"
OPEN = "the same over a connection that is open"
SYSTEMD_RUN = "systemd-run --wait, same properties"
BUDGETS = {SYSTEMD_RUN: Budget("≤ 1.5", 1.5), "podman run": Budget("< 1", 1.0)}
PATIENCE_SEC = 60

# systemd-run gives these itself, or they carry descriptors of the daemon's.
NOT_AS_TEXT = (
    *("ExecStart", "ExecStartEx", "AddRef", "Description"),
    *("StandardInputFileDescriptor", "StandardOutputFileDescriptor"),
)
NAMESPACES = {0x20000: "mnt", 0x10000000: "user", 0x20000000: "pid"}  # linux/sched.h


def as_option(one: Property) -> str:
    """A unit property as ``systemd-run --property=`` takes it (systemd.exec(5) and others have the names)."""
    name = f"{one.name.removesuffix('USec')}Sec" if one.signature == "t" and one.name.endswith("USec") else one.name
    return f"--property={name}={BY_NAME.get(one.name, BY_TYPE.get(one.signature, str))(one.value)}"


def _namespaces(value: int) -> str:
    return " ".join(word for bit, word in NAMESPACES.items() if value & bit) or "yes"


def _binds(value: list[list[Any]]) -> str:
    return " ".join(f"{'-' if optional else ''}{source}:{target}" for source, target, optional, _ in value)


BY_NAME: dict[str, Callable[[Any], str]] = {
    "RestrictNamespaces": _namespaces,
    "CapabilityBoundingSet": lambda _: "",
    "AmbientCapabilities": lambda _: "",
    "SystemCallErrorNumber": lambda number: errno.errorcode[number],
    "IPAddressDeny": lambda _: "any",
    "IPAddressAllow": lambda _: "localhost",
    "TimeoutStartUSec": lambda usec: f"{usec}us",
    "TimeoutStopUSec": lambda usec: f"{usec}us",
}
BY_TYPE: dict[str, Callable[[Any], str]] = {
    "b": lambda value: "yes" if value else "no",
    "u": lambda mask: f"{mask:04o}",
    "a(ssbt)": _binds,
    "a(ss)": lambda pairs: " ".join(":".join(pair) for pair in pairs),
    "(bas)": lambda filtered: ("" if filtered[0] else "~") + " ".join(filtered[1]),
    "as": " ".join,
    "aay": lambda parts: " ".join(part.decode() for part in parts),
}


def systemd_run(units: Units, work: Path) -> list[str]:
    """The command line with all the properties of a job that can be written on one; no joblet-init."""
    properties = units.properties("00000000-0000-4000-8000-000000000000", [COMMAND], str(work), 0, 0)
    options = [as_option(one) for one in properties if one.name not in NOT_AS_TEXT]
    return ["systemd-run", "--quiet", "--wait", "--collect", *options, "--", f"/usr/bin/{COMMAND}"]


def bundle(program: str, directory: Path) -> None:
    """An OCI bundle as the program itself proposes it, with the host's /usr, and without a terminal."""
    root = directory / "rootfs"
    skeleton(root)
    subprocess.run([program, "spec"], cwd=directory, check=True, capture_output=True)
    file = directory / "config.json"
    spec: dict[str, Any] = json.loads(file.read_text())
    spec["process"].update(terminal=False, args=[f"/usr/bin/{COMMAND}"])
    spec["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
    file.write_text(json.dumps(spec))


def skeleton(root: Path) -> None:
    """A root directory in which the host's /usr works."""
    for name in ("usr", "proc", "dev", "sys", "tmp", "etc", "run"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")


@contextlib.contextmanager
def contestants(units: Units) -> Iterator[dict[str, list[str]]]:
    """The command lines by what they are called."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="joblet-bench-") as scratch:
        base = Path(scratch)
        base.chmod(0o711)
        work = base / "work"
        work.mkdir(mode=0o700)
        owner = pwd.getpwnam(ACCOUNT)
        os.chown(work, owner.pw_uid, owner.pw_gid)
        skeleton(base / "root")
        for program in ("crun", "runc"):
            if shutil.which(program):
                bundle(program, base / program)
        yield {
            OURS: ["rnx", "job", "run", "--wait", COMMAND],
            SYSTEMD_RUN: systemd_run(units, work),
            "podman run": [
                *("podman", "run", "--rm", "--network=none", *_cgroups(), "--volume=/usr:/usr:ro"),
                *("--rootfs", str(base / "root")),
                f"/usr/bin/{COMMAND}",
            ],
            "crun run": ["crun", "run", "--bundle", str(base / "crun"), "joblet-bench"],
            "runc run": ["runc", "run", "--bundle", str(base / "runc"), "joblet-bench"],
            "bwrap": [
                *("bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib64"),
                *("/lib64", "--symlink", "usr/lib", "/lib", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
                f"/usr/bin/{COMMAND}",
            ],
        }


def _cgroups() -> list[str]:
    """podman asks for a limit of processes, and for a cgroup, that hosts without controllers have not."""
    return [] if "pids" in this_host.controllers() else ["--cgroups=disabled"]


def run(argv: list[str]) -> str:
    """Run one; empty if it went well, else why not."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_SEC, check=False
        )
    except FileNotFoundError:
        return "it is not installed"
    except subprocess.TimeoutExpired:
        return f"it did not end within {PATIENCE_SEC} s"
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    how = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
    return f"{said[-1] if said else 'nothing said'} ({how})"


def through(service: Any) -> None:
    """A job from the request to its exit code, as a program does that is connected already."""
    job = service.RunJob(joblet_pb2.RunJobRequest(command=COMMAND), timeout=PATIENCE_SEC).job_uuid
    list(service.GetJobLogs(joblet_pb2.GetJobLogsRequest(uuid=job), timeout=PATIENCE_SEC))
    while service.GetJobStatus(joblet_pb2.GetJobStatusRequest(uuid=job)).status != "COMPLETED":
        time.sleep(0.002)


def in_turn(commands: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The milliseconds of each in every round: A B C A B C …"""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            begun = time.monotonic()
            command()
            times[name].append((time.monotonic() - begun) * 1000)
    return times


def measure(units: Units, scale: Scale) -> Iterator[Finding]:
    """All of them in turn; one that does not run here is reported with what it says."""
    with contestants(units) as commands:
        tell("each of them once, to see whether it runs here")
        why_not = {name: run(argv) for name, argv in commands.items()}
        working = {name: argv for name, argv in commands.items() if not why_not[name]}
        if OURS not in working:
            raise RuntimeError(f"{OURS}: {why_not[OURS]}")
        tell(f"{scale.rounds} rounds of {', '.join(working)}")
        with daemon.connected() as service:
            turns: dict[str, Callable[[], object]] = {OPEN: functools.partial(through, service)}
            turns |= {name: functools.partial(run, argv) for name, argv in working.items()}
            through(service)
            times = in_turn(turns, scale.rounds)
    yield Finding(ROW, OURS, "ms", Spread.of(times[OURS]))
    if SYSTEMD_RUN in times:
        ratio = Spread.of_ratios(times[OPEN], times[SYSTEMD_RUN])
        yield Finding(ROW, OPEN, "ms", Spread.of(times[OPEN]), "systemd-run", ratio)
    for name in commands:
        if name == OURS:
            continue
        budget = BUDGETS.get(name)
        text = f"rnx by this: {budget.text}" if budget else ""
        if name not in working:
            yield Finding(ROW, name, budget=text, why_not=why_not[name])
            continue
        ratio = Spread.of_ratios(times[OURS], times[name])
        met = budget.met(ratio.median) if budget else None
        yield Finding(ROW, name, "ms", Spread.of(times[name]), "rnx by this", ratio, text, met)

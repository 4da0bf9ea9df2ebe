"""What the lab knows of a host, whether it lives, and how it is taken down without a trace."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import net
from .base import HOSTS, LabError, locked, remove_tree, run
from .machine import cgroup2_mount, runs_systemd

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
KILL_SECONDS = 15.0

LOOP_GET_STATUS64 = 0x4C05  # linux/loop.h
LOOP_CLR_FD = 0x4C01
LOOP_INFO64 = struct.Struct("QQ216x")  # lo_device, lo_inode, and what is of no interest here


@dataclass
class Host:
    """A host's record, kept in its directory from before the first thing is made until after the last is gone."""

    name: str
    kind: str  # "container" or "vm"
    suite: str
    image: str = ""
    debs: list[str] = field(default_factory=list)
    pid: int = 0
    pid_started: int = 0
    machine_boot: str = ""
    root_device: int = 0  # what stat(2) says of the container's root, which only its own mount namespace sees
    root_inode: int = 0
    address: str = ""
    gateway: str = ""
    acceleration: str = ""
    systemd: str = ""
    controllers: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    up: bool = False
    boot_seconds: float = 0.0

    @property
    def directory(self) -> Path:
        """Everything of this host on disk."""
        return HOSTS / self.name

    @property
    def ident(self) -> str:
        """Eight digits that name this host's link, table and cgroup among those of all labs of the machine."""
        return ident_of(self.name)

    @property
    def console(self) -> Path:
        """What the host printed while booting, and since."""
        return self.directory / "console.log"

    @property
    def state(self) -> str:
        """One word: running, starting (or left at that by a lab that was killed), dead."""
        if self.alive():
            return "running" if self.up else "starting"
        return "dead" if self.pid else "starting"

    def alive(self) -> bool:
        """Whether the process behind the host is still that process."""
        return bool(self.pid) and self.machine_boot == machine_boot() and process_start(self.pid) == self.pid_started

    def started(self, pid: int) -> None:
        """Note the process behind the host."""
        self.pid, self.pid_started, self.machine_boot = pid, process_start(pid), machine_boot()
        self.save()

    def save(self) -> None:
        """Write the record, whole or not at all."""
        self.directory.mkdir(parents=True, exist_ok=True)
        new = self.directory / ".state.new"
        new.write_text(json.dumps(asdict(self), indent=1) + "\n")
        new.rename(self.directory / "state.json")


def ident_of(name: str) -> str:
    """Return the id of the host of that name in this lab."""
    return hashlib.sha256(os.fsencode(HOSTS / name)).hexdigest()[:8]


def machine_boot() -> str:
    """Return the id of this machine's current boot: process ids of an earlier one mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def process_start(pid: int) -> int:
    """Return when a process started, in ticks since boot, and 0 when there is none or only its zombie (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def check_name(name: str) -> str:
    """Return the name if it can be a host name."""
    if not NAME.fullmatch(name):
        raise LabError(f"{name!r} is no host name: use lower-case letters, digits and dashes, at most 31")
    return name


def load(name: str) -> Host | None:
    """Return the record of a host, if there is one."""
    path = HOSTS / check_name(name) / "state.json"
    try:
        return Host(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # written by another version of the lab
        return Host(name=name, kind="unknown", suite="unknown")


def load_all() -> list[Host]:
    """Return every host of this lab, half-made ones too."""
    if not HOSTS.is_dir():
        return []
    names = sorted(path.name for path in HOSTS.iterdir() if NAME.fullmatch(path.name))
    return [load(name) or Host(name=name, kind="unknown", suite="unknown") for name in names]


def running(name: str) -> Host:
    """Return a host that is up, or say what to do."""
    host = load(name)
    if host is None:
        raise LabError(f"there is no host {name}; boot it with: lab up {name}")
    if host.state != "running":
        raise LabError(f"host {name} is {host.state}; boot it again with: lab up {name}")
    return host


# --- cgroups -----------------------------------------------------------------------------------------------------


def cgroup_name(name: str) -> str:
    """Name of the cgroup that holds a host's processes, and no others."""
    return f"joblet-lab-{name}-{ident_of(name)}"


def cgroup_of(name: str) -> Path:
    """Where a host's processes are in the machine's cgroup v2 hierarchy."""
    if runs_systemd():
        return cgroup2_mount() / "system.slice" / f"{cgroup_name(name)}.scope"
    return cgroup2_mount() / cgroup_name(name)


def in_cgroup(name: str, argv: list[str]) -> list[str]:
    """Wrap a command so that it runs in the host's cgroup, made on the way; the process id stays the same.

    On a machine with systemd that is a delegated scope, the only place where others may make cgroups
    (systemd.io/CGROUP_DELEGATION); elsewhere nobody else looks after the hierarchy.
    """
    if runs_systemd():
        scope = ["systemd-run", "--scope", "--quiet", "--collect", f"--unit={cgroup_name(name)}"]
        return [*scope, "--property=Delegate=yes", "--", *argv]
    directory = cgroup_of(name)
    directory.mkdir(exist_ok=True)
    top = directory.parent
    for controller in (top / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):  # not delegated to us: `lab up` reports what is missing
            (top / "cgroup.subtree_control").write_text(f"+{controller}")
    return ["sh", "-c", 'echo 0 >"$1"; shift; exec "$@"', "in-cgroup", str(directory / "cgroup.procs"), *argv]


def _kill_cgroup(directory: Path) -> None:
    """Kill every process below a cgroup and remove it, with the empty copies nspawn makes in v1 hierarchies."""
    deadline = time.monotonic() + KILL_SECONDS
    while directory.is_dir():
        with contextlib.suppress(OSError):
            (directory / "cgroup.kill").write_text("1")
        if _remove_cgroup(directory):
            break
        if time.monotonic() > deadline:
            raise LabError(f"processes in {directory} do not die; look at them with: systemd-cgls {directory}")
        time.sleep(0.02)
    for copy in Path("/sys/fs/cgroup").glob(f"*/{directory.name}"):
        _remove_cgroup(copy)


def _remove_cgroup(directory: Path) -> bool:
    for path, _, _ in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(path)
    return not directory.is_dir()


# --- loop devices ------------------------------------------------------------------------------------------------


def _loops() -> dict[str, tuple[int, int]]:
    """Return every loop device in use, with the device and inode of the file behind it."""
    found = {}
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        node = f"/dev/{backing.parts[3]}"
        with contextlib.suppress(OSError):
            fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
            try:
                status = fcntl.ioctl(fd, LOOP_GET_STATUS64, bytes(LOOP_INFO64.size))
            finally:
                os.close(fd)
            found[node] = LOOP_INFO64.unpack(status)
    return found


def _huge_dev(device: int) -> int:
    """Encode a device number as the kernel's huge_encode_dev() does, which is what LOOP_GET_STATUS64 returns."""
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def _detach_loops(loops: dict[str, tuple[int, int]], host: Host | None, directory: Path) -> None:
    """Free loop devices whose file belongs to the host: the kernel frees only those it was told to free by itself."""
    if not loops:
        return
    mine: set[tuple[int, int]] = set()
    for path, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                entry = os.lstat(os.path.join(path, name))
                mine.add((_huge_dev(entry.st_dev), entry.st_ino))
    # The overlay's number may have been given away since, but not to a file system that nobody has mounted.
    overlay = host.root_device if host is not None and host.machine_boot == machine_boot() else 0
    if overlay and not _mounted_somewhere(overlay):
        mine |= {identity for identity in loops.values() if identity[0] == _huge_dev(overlay)}
    for node, identity in loops.items():
        if identity in mine:
            with contextlib.suppress(OSError):
                fd = os.open(node, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(fd, LOOP_CLR_FD, 0)
                finally:
                    os.close(fd)


def mounted_from(directory: Path) -> bool:
    """Whether a file system mounted anywhere, in whatever namespace, is made of something below a directory."""
    return any(f"{directory.resolve()}/" in line for line in _all_mounts())


def _mounted_somewhere(device: int) -> bool:
    wanted = f"{os.major(device)}:{os.minor(device)}"
    return any(line.split(None, 3)[2] == wanted for line in _all_mounts())


def _all_mounts() -> Iterator[str]:
    """Yield the lines of every process's mount table (proc_pid_mountinfo(5))."""
    for mounts in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            yield from mounts.read_text().splitlines()


# --- the end -----------------------------------------------------------------------------------------------------


def teardown(name: str) -> None:
    """Remove a host and all it left on the machine. Needs no record, does no harm twice, and asks nobody's consent."""
    directory = HOSTS / check_name(name)
    host = load(name)
    if host is not None and host.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(host.pid, signal.SIGKILL)
    cgroup = cgroup_of(name)
    _kill_cgroup(cgroup)
    if runs_systemd():
        run(["systemctl", "reset-failed", cgroup.name], check=False)
    net.disconnect(ident_of(name))
    _detach_loops(_loops(), host, directory)
    Path(f"/run/joblet-lab-{ident_of(name)}.ssh").unlink(missing_ok=True)
    nspawn = Path("/run/systemd/nspawn")
    for trace in ("propagate", "unix-export"):
        shutil.rmtree(nspawn / trace / cgroup_name(name), ignore_errors=True)
    if host is not None and host.root_device:
        (nspawn / "locks" / f"inode-{host.root_device}:{host.root_inode}").unlink(missing_ok=True)
    remove_tree(directory)


def down(name: str) -> bool:
    """Take a host down; False when there was none."""
    with locked(f"host-{check_name(name)}", f"host {name}"):
        existed = (HOSTS / name).exists()
        teardown(name)
        return existed

"""What this host is: its systemd, kernel and control groups, found out once at start-up."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import Unsupported
from .files.root import host_etc
from .model import parse_cpuset
from .systemd.manager import Manager
from .unit import OLDEST_SYSTEMD, Host

CGROUP_ROOT = Path("/sys/fs/cgroup")
NAMESPACE_KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


async def examine(manager: Manager) -> Host:
    """The capabilities of this host. Raises Unsupported where jobs cannot be isolated."""
    version = await manager.version()
    if version < OLDEST_SYSTEMD:
        raise Unsupported(
            f"This host runs systemd {version}; joblet needs {OLDEST_SYSTEMD} or newer.",
            hint="Debian 12, Ubuntu 23.04, Fedora 37, RHEL 9 and anything newer have it.",
        )
    return Host(
        systemd_version=version,
        properties=await manager.service_properties(),
        controllers=controllers(),
        cpus=parse_cpuset(Path("/sys/devices/system/cpu/online").read_text(encoding="ascii").strip()),
        namespaces={kind: os.stat(f"/proc/1/ns/{kind}").st_ino for kind in NAMESPACE_KINDS},
        etc=host_etc(),
    )


def controllers() -> frozenset[str]:
    """The cgroup v2 controllers that PID 1 can hand to units; none where cgroup v1 holds them."""
    file = CGROUP_ROOT / "cgroup.controllers"
    if not file.exists():
        raise Unsupported(
            "This host has no unified control group hierarchy (cgroup v2).",
            hint="Boot it with systemd.unified_cgroup_hierarchy=1.",
        )
    return frozenset(file.read_text(encoding="ascii").split())


def boot_id() -> str:
    """The id of this boot (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def machine_id() -> str:
    """The id of this installation (machine-id(5)): what the wire calls the node."""
    return Path("/etc/machine-id").read_text(encoding="ascii").strip()

"""The machine the lab runs on: its tools, its cgroup hierarchy, its virtualisation."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from .base import LabError, locked, run, say, step

# Program the lab calls -> Debian package it comes from.
CONTAINER_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
VM_TOOLS = CONTAINER_TOOLS | {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
}

LIMITS = {
    "cpu": "CPU quota",
    "cpuset": "CPU pinning",
    "io": "I/O bandwidth",
    "memory": "memory",
    "pids": "task count",
}

# Those whose absence shows in a host; the rest is called by its number (linux/capability.h).
NOTED_CAPABILITIES = {
    12: "CAP_NET_ADMIN",
    16: "CAP_SYS_MODULE",
    21: "CAP_SYS_ADMIN",
    23: "CAP_SYS_NICE",
    24: "CAP_SYS_RESOURCE",
    27: "CAP_MKNOD",
    38: "CAP_PERFMON",
    39: "CAP_BPF",
}

KVM_GET_API_VERSION = 0xAE00  # linux/kvm.h
KVM_CREATE_VM = 0xAE01


def need_root() -> None:
    """Everything here mounts, makes namespaces or starts hosts."""
    if os.geteuid() != 0:
        raise LabError("needs root; run it with sudo")


def install_tools(tools: dict[str, str]) -> None:
    """Install what is missing of `tools`, and say so; nothing is asked of a machine that has it all."""

    def missing() -> list[str]:
        absent = [tool for tool in tools if not (Path(tool).exists() if tool[0] == "/" else shutil.which(tool))]
        return sorted({tools[tool] for tool in absent})

    if not missing():
        return
    if not shutil.which("apt-get"):
        raise LabError(f"missing tools and no apt-get here; install by hand: {' '.join(missing())}")
    with locked("apt"):
        packages = missing()
        if not packages:
            return
        say(f"installing on this machine: {' '.join(packages)}")
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
        with step("apt-get install"):
            if run(install, check=False, env=env).returncode != 0:
                run(["apt-get", "update", "-q"], env=env, fix="check this machine's apt sources")
                run(install, env=env, fix=f"install by hand: {' '.join(packages)}")


def runs_systemd() -> bool:
    """Whether this machine's own PID 1 is systemd (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def cgroup2_mount() -> Path:
    """Where this machine has its cgroup v2 hierarchy."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        if kind.split()[0] == "cgroup2":
            return Path(mount.split()[4])
    where = "/sys/fs/cgroup/unified" if Path("/sys/fs/cgroup/unified").is_dir() else "/sys/fs/cgroup"
    raise LabError(f"no cgroup v2 hierarchy is mounted here; mount one: mount -t cgroup2 cgroup2 {where}")


def missing_controllers(present: set[str]) -> str:
    """Say why the controllers that limits need are not in the cgroup v2 hierarchy, or nothing if they all are."""
    absent = [name for name in sorted(LIMITS) if name not in present]
    if not absent:
        return ""
    bound_v1: list[str] = []
    not_built: list[str] = []
    known: dict[str, bool] = {}
    for line in Path("/proc/cgroups").read_text().splitlines():
        if not line.startswith("#"):
            name, hierarchy, _, enabled = line.split()
            known[name] = hierarchy != "0" and enabled == "1"
    for name in absent:
        old_name = "blkio" if name == "io" else name  # its name in cgroup v1
        if known.get(old_name):
            bound_v1.append(name)
        elif old_name not in known:
            not_built.append(name)
    reasons = []
    if bound_v1:
        reasons.append(f"this machine binds {', '.join(bound_v1)} to cgroup v1")
    if not_built:
        reasons.append(f"this machine's kernel has no {', '.join(not_built)}")
    rest = [name for name in absent if name not in bound_v1 + not_built]
    if rest:
        reasons.append(f"{', '.join(rest)} not delegated here")
    return "; ".join(reasons)


def missing_capabilities() -> list[str]:
    """Return what this machine withholds even from root, and thus from every container (capabilities(7))."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    bounding = int(status["CapBnd"], 16)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return [NOTED_CAPABILITIES.get(n, f"capability {n}") for n in range(last + 1) if not bounding >> n & 1]


def kvm_trouble() -> str:
    """Why KVM cannot be used, or nothing when a virtual machine can really be made."""
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm: {error.strerror}"
    try:
        fcntl.ioctl(kvm, KVM_GET_API_VERSION)
        os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
    except OSError as error:
        return f"/dev/kvm makes no machine: {error.strerror}"
    finally:
        os.close(kvm)
    return ""


def nameservers() -> list[str]:
    """Return resolvers that a host with its own network can reach: not this machine's loopback."""
    for source in (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf")):
        if source.exists():
            words = (line.split() for line in source.read_text().splitlines())
            found = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver" and ":" not in word[1]]
            reachable = [address for address in found if not address.startswith("127.")]
            if reachable:
                return reachable
    say("this machine only has a resolver on its loopback, which hosts cannot reach: they use 9.9.9.9")
    return ["9.9.9.9"]

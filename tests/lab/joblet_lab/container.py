"""Hosts as systemd-nspawn containers: native speed; limits only where the machine has cgroup v2 controllers."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import uuid
from pathlib import Path

from . import net
from .base import LabError, run, tail
from .host import Host, cgroup_name, cgroup_of, in_cgroup
from .machine import cgroup2_mount, nameservers
from .roots import Image

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOOP_NODES = 1024  # their numbers are the machine's, and its hosts together have hundreds in use
PREPARE_SECONDS = 60

# The clock is the one thing that no namespace divides (time_namespaces(7)): set in a host, it is set on the machine.
CLOCK = "sys_time"

# Nothing to log in on, and nothing that starts by itself while a test measures.
MASKED = (
    "console-getty.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
)

# Runs in a mount and a network namespace of its own: what it mounts ends with the container. /var is no overlay, for
# jobs' directories, file systems in files and the journal are there. Talks to the lab over its standard input, then
# stays to boot the container anew when it reboots, which nspawn with --keep-unit leaves to others (exit code 133).
# Every boot gets a cgroup of its own, for one with controllers for its children can take no process any more.
LAUNCH = """
set -eu
cd "$1"; lower=$2 cgroup=$3; shift 3
mkdir "$cgroup/keeper"
echo 0 >"$cgroup/keeper/cgroup.procs"
for controller in $(cat "$cgroup/cgroup.controllers"); do
    echo "+$controller" >"$cgroup/cgroup.subtree_control" || :
done
if [ -n "$lower" ]; then
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$PWD/upper,workdir=$PWD/work" root
else
    mount --bind root root
fi
cp -a root/var/. var/
mount --bind var root/var
for tree in seed files; do
    [ ! -d $tree ] || tar -C $tree -c . | tar -C root -x --no-overwrite-dir --keep-directory-symlink --no-same-owner
done
stat -c 'ready %d %i' root >&0
read -r go
boot=0 status=133
while [ $status = 133 ]; do
    boot=$((boot + 1)) status=0
    mkdir "$cgroup/boot$boot"
    sh -c 'echo 0 >"$0"; exec "$@"' "$cgroup/boot$boot/cgroup.procs" "$@" </dev/null || status=$?
    find "$cgroup/boot$boot" -depth -type d -exec rmdir {} + || :
    # The network namespace outlives a reboot; what the host made in it must not.
    nft flush ruleset
    for link in $(ip -o link show | sed 's/^[0-9]*: //; s/[:@].*//'); do
        [ "$link" = lo ] || [ "$link" = eth0 ] || ip link delete "$link" 2>/dev/null || :
    done
done
exit $status
"""


def overlay_works(where: Path) -> bool:
    """Whether overlayfs can be used on the file system the lab is on (not on top of another overlay, for one)."""
    if os.environ.get("JOBLET_LAB_NO_OVERLAY"):
        return False
    where.mkdir(parents=True, exist_ok=True)
    probe = where / f".overlay-{os.getpid()}"
    script = (
        'mkdir "$1" && mount -t tmpfs tmpfs /mnt && cd "$1" && mkdir u w m /mnt/l && '
        "mount -t overlay overlay -o lowerdir=/mnt/l,upperdir=u,workdir=w m && : >m/x && umount m"
    )
    wrap = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "probe"]
    try:
        return run([*wrap, probe], check=False).returncode == 0
    finally:
        run(["rm", "-rf", "--one-file-system", "--", probe])


def write_seed(seed: Path, host: Host, *, enforces: bool) -> None:
    """Write the files that make a host of the image: its name, its resolver, and what the lab wants to be different."""
    loops = "".join(f"b /dev/loop{n} 0660 root disk - 7:{n}\n" for n in range(LOOP_NODES))
    nodes = "c /dev/loop-control 0660 root disk - 10:237\nc /dev/fuse 0666 root root - 10:229\n"
    tun = "d /dev/net 0755 root root -\nc /dev/net/tun 0666 root root - 10:200\n"
    files = {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost ip6-localhost\n",
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/resolv.conf": "".join(f"nameserver {address}\n" for address in nameservers()),
        "etc/tmpfiles.d/joblet-lab.conf": f"{nodes}{tun}{loops}",
    }
    if host.debs:
        files |= package_files(enforces=enforces)
    write_tree(seed, files)


def package_files(*, enforces: bool) -> dict[str, str]:
    """Return what differs from an installation as shipped: the daemon is reached from outside the host."""
    sockets = {"joblet.socket": 50051, "joblet-http.socket": 50052}
    files = {
        f"etc/systemd/system/{name}.d/lab.conf": f"[Socket]\nListenStream=\nListenStream=0.0.0.0:{port}\n"
        for name, port in sockets.items()
    }
    if not enforces:
        files["etc/joblet/joblet-config.d/lab.yml"] = "jobs:\n  unenforced_limits: warn\n"
    return files


def write_tree(root: Path, files: dict[str, str], mask: tuple[str, ...] = MASKED) -> None:
    """Write files below a directory, and links that mask the units no host of ours needs."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    units = root / "etc/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for unit in mask:
        (units / unit).symlink_to("/dev/null")


def boot(host: Host, image: Image, files: Path | None, *, overlay: bool) -> None:
    """Start the container; returns when its PID 1 is on its way."""
    here = host.directory
    for part in ("root", "upper", "work", "var", "seed"):
        (here / part).mkdir()
    cgroup_command = in_cgroup(host.name, [])
    write_seed(here / "seed", host, enforces=not missing_limits(host))
    if files is not None:
        run(["cp", "-a", "--", f"{files}/.", here / "files"])
    lower = ":".join(map(str, image.layers)) if overlay else ""
    if not overlay:
        run(["cp", "-a", "--reflink=auto", f"{image.layers[0]}/.", here / "root"])
    nspawn = [
        "systemd-nspawn",
        f"--directory={here}/root",
        f"--machine={cgroup_name(host.name)}",
        f"--hostname={host.name}",
        "--boot",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        "--console=pipe",
        "--capability=all",
        f"--drop-capability=CAP_{CLOCK.upper()}",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--network-namespace-path=/proc/self/ns/net",
    ]
    unshare = ["unshare", "--mount", "--net", "--propagation", "private", "--"]
    env = {
        "PATH": PATH,
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # /proc/sys/net is the host's own; the rest is the machine's
        "SYSTEMD_SECCOMP": "0",  # the machine's nspawn may not know the system calls of a newer suite
    }
    state = [str(here), lower, str(cgroup_of(host.name))]
    ours, theirs = socket.socketpair()
    with ours, theirs, host.console.open("ab") as console:
        process = subprocess.Popen(
            [*cgroup_command, *unshare, "sh", "-c", LAUNCH, "launch", *state, *nspawn],
            stdin=theirs.fileno(),
            stdout=console,
            stderr=console,
            env=env,
            cwd="/",
            start_new_session=True,
        )
        host.started(process.pid)
        theirs.close()
        readable, _, _ = select.select([ours], [], [], PREPARE_SECONDS)
        word, *root = ours.recv(64).split() if readable else [b""]
        if word != b"ready":
            raise LabError("the host's root could not be put together; its console is above", tail(host.console))
        host.root_device, host.root_inode = int(root[0]), int(root[1])
        network = net.connect(host.ident, process.pid)
        host.address, host.gateway = network.address, network.gateway
        host.save()
        ours.sendall(b"go\n")
    # The process outlives this program; nobody waits for it here.
    process.returncode = 0


def leader(host: Host) -> int:
    """Return the process id of the container's PID 1 as the machine sees it, or 0 while there is none."""
    with contextlib.suppress(OSError):
        for nspawn in _children(host.pid):
            for child in _children(nspawn):
                status = Path(f"/proc/{child}/status").read_text()
                inner = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
                name = Path(f"/proc/{child}/comm").read_text().strip()
                still_nspawn = name == "systemd-nspawn" or name.startswith("(")  # before it executes the init program
                if len(inner) > 1 and inner[-1] == "1" and not still_nspawn:
                    return child
    return 0


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def exec_argv(host: Host, argv: list[str]) -> list[str]:
    """Return the command that runs `argv` as root inside: in its namespaces and cgroup, with a clean environment."""
    pid = leader(host)
    if not pid:
        raise LabError(f"host {host.name} has no PID 1 at the moment (rebooting?); see: lab console {host.name}")
    procs = ""
    path = next(line[3:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if line.startswith("0::"))
    group = cgroup2_mount() / path.removesuffix("/init.scope").lstrip("/") / "lab-exec"
    with contextlib.suppress(OSError):
        group.mkdir(exist_ok=True)
        procs = str(group / "cgroup.procs")
    enter = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]
    environment = [f"PATH={PATH}", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8"]
    environment.append(f"TERM={os.environ.get('TERM', 'dumb')}")
    join = ["sh", "-c", 'umask 022; [ -z "$1" ] || echo 0 >"$1"; shift; exec "$@"', "lab-exec", procs]
    keep_time = ["setpriv", f"--bounding-set=-{CLOCK}", f"--inh-caps=-{CLOCK}", "--"]
    return [*join, *keep_time, *enter, "env", "-i", "-C", "/root", *environment, *argv]


def controllers(host: Host) -> list[str]:
    """Return the cgroup controllers the container can use."""
    path = f"/proc/{leader(host)}/root/sys/fs/cgroup/cgroup.controllers"
    try:
        return sorted(Path(path).read_text().split())
    except OSError:
        return []


def missing_limits(host: Host) -> bool:
    """Whether some limit cannot be enforced in a container on this machine."""
    for directory in (cgroup_of(host.name), cgroup2_mount()):
        with contextlib.suppress(OSError):
            present = set((directory / "cgroup.controllers").read_text().split())
            return not {"cpu", "io", "memory", "pids"} <= present
    return True

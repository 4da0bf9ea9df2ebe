"""Run inside a job: reports as JSON what the job can see and do. Standard library only.

``probe.py look PATH...`` only looks, at these paths among others, and is harmless anywhere; ``probe.py all PATH...``
tries everything.
"""

import ctypes
import errno
import json
import os
import socket
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)


def attempt(what):
    """The error's name, or "done"."""
    try:
        what()
    except OSError as error:
        return os.strerror(error.errno)
    return "done"


def syscall(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "")


def lines(path):
    with open(path) as file:
        return file.read().splitlines()


def write(path):
    with open(path, "w") as file:
        file.write("x")


def connect(path):
    """A socket takes one of these; to the others it answers EPROTOTYPE."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_UNIX, kind) as tried:
            try:
                return tried.connect(path)
            except OSError as error:
                if error.errno != errno.EPROTOTYPE:
                    raise
    raise OSError(errno.EPROTOTYPE, "")


what, *paths = sys.argv[1:]
report = {
    "exists": {path: os.path.exists(path) for path in paths},
    "listed": {
        path: attempt(lambda path=path: os.listdir(path)) for path in ("/home", "/root", "/var/lib/joblet", "/boot")
    },
    "connect": {
        path: attempt(lambda path=path: connect(path))
        for path in (
            "/run/dbus/system_bus_socket",
            "/run/systemd/private",
            "/run/systemd/notify",
            "/run/systemd/journal/socket",
            "/run/systemd/journal/stdout",
            "/run/systemd/journal.joblet/socket",
            "/run/joblet/private/grpc.sock",
        )
    },
}
if what == "look":
    print(json.dumps(report))
    sys.exit()

status = dict(line.split(":\t", 1) for line in lines("/proc/self/status") if ":\t" in line)
report |= {
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
    "uid": os.getuid(),
    "groups": os.getgroups(),
    "capabilities": {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
    "seccomp": status["Seccomp"].strip(),
    "no_new_privs": status["NoNewPrivs"].strip(),
    "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")},
    "interfaces": sorted(line.split(":")[0].strip() for line in lines("/proc/net/dev")[2:]),
    "whoami": subprocess.run(["whoami"], capture_output=True, text=True, check=False).stdout.strip(),
    "cgroup": lines("/proc/self/cgroup"),
    "job": os.environ["JOBLET_JOB_ID"],
    "root": sorted(os.listdir("/")),
    "write": {
        path: attempt(lambda path=path: write(os.path.join(path, "probe")))
        for path in (
            "/",
            "/usr",
            "/usr/bin",
            "/etc",
            "/run",
            "/sys",
            "/proc/sys/kernel",
            "/work",
            "/tmp",
            "/dev/shm",
            "/var/tmp",
            "/dev",
        )
    },
    "unshare": {
        name: attempt(lambda flag=flag: syscall(272, flag))
        for name, flag in {"user": 0x10000000, "mount": 0x00020000, "pid": 0x20000000, "net": 0x40000000}.items()
    },
    "mount": attempt(lambda: syscall(165, b"none", b"/tmp", b"tmpfs", 0, None)),
    "umount": attempt(lambda: syscall(166, b"/proc", 2)),
    "setns": attempt(lambda: syscall(308, os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)),
    "ptrace": attempt(lambda: syscall(101, 16, 1, None, None)),
    # BPF_MAP_CREATE: an array of one number
    "bpf": attempt(lambda: syscall(321, 0, struct.pack("=4I56x", 2, 4, 4, 1), 72)),
    "io_uring": attempt(lambda: syscall(425, 1, ctypes.create_string_buffer(256))),
    "keyctl": attempt(lambda: syscall(250, 0, -3, 1)),
    "raw socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "packet socket": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3)),
    "netlink socket": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)),
    "chmod setuid": attempt(lambda: (open("/work/s", "w").close(), os.chmod("/work/s", 0o4755))),
    "mknod": attempt(lambda: os.mknod("/work/dev", 0o60600, os.makedev(8, 0))),
    "chroot": attempt(lambda: os.chroot("/work")),
    "sethostname": attempt(lambda: socket.sethostname("x")),
    "settime": attempt(lambda: syscall(227, 0, ctypes.create_string_buffer(16))),
    "init fds": attempt(lambda: os.listdir("/proc/1/fd")),
}
print(json.dumps(report))

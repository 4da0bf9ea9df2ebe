"""Run inside a job: looks for what can be written below /proc and /sys, read there though it should not be, and what
is in /dev; and prints it as JSON. Files are opened, never written to."""

import json
import os
import stat

OPEN = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
SECRETS = (
    *(
        "/proc/kcore",
        "/proc/keys",
        "/proc/key-users",
        "/proc/kmsg",
        "/proc/kpagecount",
        "/proc/kpageflags",
        "/proc/timer_list",
    ),
    *("/proc/sysrq-trigger", "/proc/vmallocinfo", "/proc/slabinfo", "/sys/kernel/debug", "/sys/kernel/tracing"),
    *("/sys/kernel/security", "/sys/firmware/efi/efivars", "/sys/fs/pstore", "/sys/fs/bpf"),
)


def opens_for_writing(path):
    """Whether that works, on the file itself: what is hidden below 257 has /dev/null over it."""
    try:
        fd = os.open(path, os.O_WRONLY | OPEN)
    except OSError:
        return False
    covered = os.fstat(fd).st_rdev == os.makedev(1, 3)
    os.close(fd)
    return not covered


def content(path):
    """Whether there is anything to be read."""
    try:
        if os.path.isdir(path):
            return bool(os.listdir(path))
        fd = os.open(path, os.O_RDONLY | OPEN)
        try:
            return bool(os.read(fd, 1))
        finally:
            os.close(fd)
    except OSError:
        return False


def addresses():
    """Whether the kernel's symbols come with their addresses."""
    try:
        with open("/proc/kallsyms") as symbols:
            return any(int(line.split()[0], 16) for line in symbols)
    except OSError:
        return False


writable, looked_at = [], 0
for top in ("/proc", "/sys"):
    for directory, names, files in os.walk(top):
        if directory == "/proc":
            names[:] = [name for name in names if not name.isdigit()]  # its own processes
        for name in files:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                looked_at += 1
                if opens_for_writing(path):
                    writable.append(path)
        writable += [
            os.path.join(directory, name) for name in names if os.access(os.path.join(directory, name), os.W_OK)
        ]

devices = {}
for directory, names, files in os.walk("/dev"):
    for name in files + names:
        path = os.path.join(directory, name)
        status = os.lstat(path)
        if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
            kind = "b" if stat.S_ISBLK(status.st_mode) else "c"
            devices[path] = f"{kind} {os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"

print(
    json.dumps(
        {
            "looked at": looked_at,
            "writable": writable,
            "secrets": [path for path in SECRETS if content(path)],
            "kernel addresses": addresses(),
            "devices": devices,
        }
    )
)

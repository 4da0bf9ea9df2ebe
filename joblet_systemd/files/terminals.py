"""A job's own terminals: a devpts file system with a bounded number of pairs, that the job sees as /dev/pts.

The kernel counts the pairs of all such file systems together (``kernel.pty.max``); with the host's one in it, a job
could take every terminal that ssh would need.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from pathlib import Path

from . import mounts

PTY = Path("/proc/sys/kernel/pty")
MOST = 64

# asm-generic/ioctls.h
_SET_LOCK = 0x40045431
_GET_PEER = 0x5441


def share(jobs: int) -> int:
    """How many terminals each of ``jobs`` jobs may have, so that all of them together leave the host its reserve."""
    most, reserve = (int((PTY / name).read_text()) for name in ("max", "reserve"))
    return max(1, min(MOST, (most - reserve) // jobs))


def mount(directory: Path, number: int) -> None:
    """Have a file system for up to ``number`` terminals there, a new one unless there is one. Raises OSError."""
    if not os.path.ismount(directory):
        directory.mkdir(mode=0o755, exist_ok=True)
        # Each mount is an instance of its own since Linux 4.7.
        flags = mounts.NOSUID | mounts.NOEXEC
        mounts.mount("devpts", directory, "devpts", flags, f"mode=600,ptmxmode=666,max={number}")


def unmount(directory: Path) -> None:
    """Take it away; it ends with the last process that uses it. None there is fine. Raises OSError."""
    while os.path.ismount(directory):
        mounts.detach(directory)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        directory.rmdir()


def pair(directory: Path) -> tuple[int, int]:
    """A new terminal: descriptors of its two ends, the program's second. Raises OSError, ENOSPC when all are in use."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    ours = os.open(directory / "ptmx", flags)
    try:
        fcntl.ioctl(ours, _SET_LOCK, struct.pack("i", 0))
        return ours, fcntl.ioctl(ours, _GET_PEER, flags)
    except OSError:
        os.close(ours)
        raise

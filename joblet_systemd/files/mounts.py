"""mount(2), umount2(2) and syncfs(2), which Python's library does not have."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# sys/mount.h
RDONLY = 1
NOSUID = 2
NODEV = 4
NOEXEC = 8
NOATIME = 1024
_REMOUNT = 32
_DETACH = 2
_UMOUNT_NOFOLLOW = 8

# Only calls into the C library, no callbacks: those need memory that is writable and executable, which
# MemoryDenyWriteExecute= forbids.
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    """Mount a file system. Raises OSError naming the target."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(_libc.mount(*arguments), target)


def make_read_only(target: Path, flags: int) -> None:
    """Write out all that is in memory of a mounted file system and accept nothing more. ``flags``: those it has.

    Raises OSError, EBUSY while a file is open to be written.
    """
    _check(_libc.mount(None, os.fsencode(target), None, ctypes.c_ulong(flags | _REMOUNT | RDONLY), None), target)


def detach(target: Path) -> None:
    """Take a mount away; it ends when its last user lets go. Raises OSError."""
    _check(_libc.umount2(os.fsencode(target), _DETACH | _UMOUNT_NOFOLLOW), target)


def sync(fd: int) -> None:
    """Write out the file system a descriptor is on. Raises OSError when any write to it has failed."""
    _check(_libc.syncfs(fd), None)


def _check(result: int, target: Path | None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target) if target else None)

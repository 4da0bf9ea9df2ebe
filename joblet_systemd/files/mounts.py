"""mount(2), umount2(2), syncfs(2) and openat2(2), which Python's library does not have."""

from __future__ import annotations

import ctypes
import errno
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

# linux/openat2.h; the number is the same on every architecture.
_SYS_OPENAT2 = 437
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_RACES_LOST = 32  # openat2 gives up when something is renamed meanwhile

# Only calls into the C library, no callbacks: those need memory that is writable and executable, which
# MemoryDenyWriteExecute= forbids.
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


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


def open_beneath(directory: int, path: str) -> int:
    """Open for reading what ``path`` leads to, symbolic links included, as long as no step leads out of ``directory``.

    Opens FIFOs without waiting. Raises OSError: EXDEV for a path that leads out.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS
    how = _OpenHow(flags, 0, resolve)
    for _ in range(_RACES_LOST):
        fd: int = _libc.syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(directory),
            os.fsencode(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def _check(result: int, target: Path | None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target) if target else None)

"""Loop devices (loop(4)): files as block devices."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from ..errors import Exhausted

CONTROL = "/dev/loop-control"
MAJOR = 7

# linux/loop.h
_CONFIGURE = 0x4C0A
_CTL_GET_FREE = 0x4C82
_READ_ONLY = 1
_AUTOCLEAR = 4
_DIRECT_IO = 16
# struct loop_config: fd, block size, then struct loop_info64 with the flags as its ninth member.
_CONFIG = struct.Struct("=II 5Q 3I I 64s 64s 32s 2Q 8Q")

RACES_LOST = 64


@contextlib.contextmanager
def attached(image: Path, *, read_only: bool = False) -> Iterator[str]:
    """The path of a block device with the image's content; mount it before the block ends.

    The kernel frees the device when it is neither open nor mounted any more, whatever becomes of this process.
    Raises OSError, Exhausted when others take every free device.
    """
    access = os.O_RDONLY if read_only else os.O_RDWR
    # Not cached twice: the file system on the device has a cache already. Where the file system of the image
    # cannot do that the kernel leaves it.
    flags = _AUTOCLEAR | _DIRECT_IO | (_READ_ONLY if read_only else 0)
    with contextlib.ExitStack() as opened:
        backing = os.open(image, access | os.O_CLOEXEC | os.O_NOFOLLOW)
        opened.callback(os.close, backing)
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        opened.callback(os.close, control)
        config = _CONFIG.pack(backing, 0, *(0,) * 5, 0, 0, 0, flags, b"", b"", b"", 0, 0, *(0,) * 8)
        for _ in range(RACES_LOST):
            number = fcntl.ioctl(control, _CTL_GET_FREE)
            device = _open(number, access)
            try:
                fcntl.ioctl(device, _CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
                continue  # somebody else was faster
            opened.callback(os.close, device)
            yield f"/dev/loop{number}"
            return
    raise Exhausted("Every loop device that was free was taken by somebody else.", hint="Try again later.")


def _open(number: int, access: int) -> int:
    path = f"/dev/loop{number}"
    try:
        return os.open(path, access | os.O_CLOEXEC)
    except FileNotFoundError:
        # In a container nobody makes the nodes of new devices.
        with contextlib.suppress(FileExistsError):
            os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(MAJOR, number))
        return os.open(path, access | os.O_CLOEXEC)

"""File systems of a given size: an ext4 image in a file, sparse, mounted by way of a loop device.

An image costs what is in it: 80 kB of the disk when it is new, and 1 ms to be mounted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from ..errors import Exhausted, JobletError, Unsupported
from . import loop, mounts

MIB = 1 << 20
# linux/fs.h, FS_IOC_SHUTDOWN
_SHUTDOWN = 0x8004587D
_NO_FLUSH = struct.pack("I", 2)
SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"

# No journal: after a crash of the host a job is over anyhow, and its image read, never written again. No room for
# growth, none for root alone. More inodes than usual: trees of small files are common in /work.
FORMAT = ("-q", "-F", "-O", "^has_journal,^resize_inode", "-m", "0", "-i", "8192")
EXTENDED = "lazy_itable_init=1,nodiscard"

FLAGS = mounts.NOSUID | mounts.NODEV | mounts.NOATIME
# noinit_itable: the kernel would fill the inode tables of every new image with zeros in the background.
# errors: when the disk of the host is full, writing to an image fails; it ends there.
OPTIONS = "noinit_itable,errors=remount-ro"
# fsync(2) in a job need not reach the disk: what is kept is synced once, at the end.
SCRATCH_OPTIONS = f"{OPTIONS},nobarrier"


def make(path: Path, size: int) -> None:
    """Make an image of ``size`` bytes. Raises Unsupported without mkfs.ext4, JobletError when it fails, OSError."""
    program = shutil.which("mkfs.ext4", path=SBIN)
    if program is None:
        raise Unsupported("There is no mkfs.ext4 on this host.", hint="Install e2fsprogs.")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, size)
    finally:
        os.close(fd)
    done = subprocess.run(
        [program, *FORMAT, "-E", EXTENDED, str(path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode != 0:
        path.unlink()
        why = done.stderr.decode(errors="replace").strip() or f"mkfs.ext4 ended with {done.returncode}"
        raise JobletError(f"{path} cannot be made: {' '.join(why.split())}.")


def copy(source: Path, target: Path) -> None:
    """Copy an image without its holes; several times faster than making one. Raises OSError."""
    with open(source, "rb") as origin, open(target, "xb", opener=_private) as new:
        size = os.fstat(origin.fileno()).st_size
        os.ftruncate(new.fileno(), size)
        position = 0
        while position < size:
            try:
                position = os.lseek(origin.fileno(), position, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                break  # nothing but a hole from there on
            end = os.lseek(origin.fileno(), position, os.SEEK_HOLE)
            while position < end:
                position += os.copy_file_range(
                    origin.fileno(), new.fileno(), end - position, offset_src=position, offset_dst=position
                )


def mount(path: Path, target: Path, options: str = OPTIONS) -> None:
    """Mount an image. Raises OSError, Exhausted without a loop device."""
    with loop.attached(path) as device:
        mounts.mount(device, target, "ext4", FLAGS, options)


def unmount(target: Path) -> None:
    """Unmount an image with all of it written to its file, even if somebody still reads in it. Raises OSError.

    Nothing is written to it any more afterwards, so that it can be mounted anew at once.
    """
    try:
        mounts.make_read_only(target, FLAGS)
    finally:
        mounts.detach(target)


def cut_off(target: Path) -> None:
    """Let nothing be written to a mounted image any more, not even what is in memory. Raises OSError."""
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, _NO_FLUSH)
    finally:
        os.close(fd)


def sync(path: Path) -> None:
    """Have an unmounted image on the disk for good. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_read_only(path: Path, target: Path) -> int:
    """A descriptor of the root directory of an image, mounted for as long as the descriptor is open.

    ``target`` is an empty directory that it is mounted on for a moment. Raises OSError.
    """
    with loop.attached(path, read_only=True) as device:
        mounts.mount(device, target, "ext4", FLAGS | mounts.NOEXEC | mounts.RDONLY, "")
    try:
        return os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        mounts.detach(target)


def why_not(directory: Path) -> str:
    """Why sizes cannot be enforced by images below ``directory`` on this host; empty where they can.

    Raises Exhausted on a full disk, on which that cannot be told.
    """
    try:
        with tempfile.TemporaryDirectory(dir=directory, prefix=".probe-") as scratch:
            # Named as the /work of a job is: what a daemon leaves that is killed here is found and unmounted like one.
            path, target = Path(scratch, "image"), Path(scratch, "work")
            target.mkdir()
            make(path, MIB)
            mount(path, target)
            unmount(target)
    except (OSError, JobletError) as error:
        space = os.statvfs(directory)
        if space.f_bavail * space.f_frsize < MIB:
            hint = "Free some of it; the daemon tries again by itself."
            raise Exhausted(f"There is no space left on the disk of {directory}.", hint=hint) from error
        if isinstance(error, JobletError):
            return str(error).rstrip(".")
        return f"no file system in a file can be mounted: {error.filename or directory}: {error.strerror}"
    return ""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)

"""What is in a /work, read while a hostile job may change it under the reader's hands.

Every step is made from the descriptor of a directory and follows no symbolic link; nothing is opened that
could block; of a file that grows no more is read than was there when it was opened.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ..errors import InvalidValue, JobletError, NotFound
from .uploads import MAX_DEPTH

CHUNK_BYTES = 256 << 10
OUTSIDE = "a path without links that lead out of /work"
MAX_LINKS = 40  # as the kernel has it (path_resolution(7))
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or symbolic link; ``path`` is relative to what is read, empty for that itself.

    ``mode`` is its st_mode, ``target`` that of a link. A file's content follows, as bytes.
    """

    path: str
    mode: int
    target: bytes = b""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is left out: a sentence."""

    text: str


Part = Entry | Notice | bytes
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def clean(path: str) -> str:
    """A path below /work as clients write it, relative to /work; ``.`` for all of it. Raises InvalidValue."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/"):
        if parts[:1] != ["work"]:
            raise InvalidValue("path", path, "a path below /work")
        del parts[0]
    if ".." in parts or "\0" in path:
        raise InvalidValue("path", path, "a path below /work, without '..'")
    if len(parts) > MAX_DEPTH:
        raise InvalidValue("path", path, f"a path of at most {MAX_DEPTH} names")
    return "/".join(parts) or "."


class Reader:
    """Reads the file or directory ``path`` (as ``clean`` has it) below the directory ``root``.

    Symbolic links in the path itself are followed as far as they stay in ``root``. Raises NotFound and
    InvalidValue. Close it.
    """

    def __init__(self, root: int, path: str) -> None:
        space = os.fstatvfs(root)
        self._capacity = space.f_blocks * space.f_frsize
        try:
            self._top = _find(root, path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise NotFound(f"There is no {path!r} in /work.") from None
            raise InvalidValue("path", path, f"a file or directory that can be opened ({error.strerror})") from None
        self._status = os.fstat(self._top)
        if not (stat.S_ISREG(self._status.st_mode) or stat.S_ISDIR(self._status.st_mode)):
            self.close()
            raise InvalidValue("path", path, f"a file or directory, not {_kind(self._status.st_mode)}")

    def close(self) -> None:
        """Close it."""
        os.close(self._top)

    def measure(self) -> tuple[int, int]:
        """How many files, directories and links there are, and how many bytes are in the files, just now.

        Raises JobletError when they cannot be read.
        """
        if stat.S_ISREG(self._status.st_mode):
            return 1, self._status.st_size
        count, size = 1, 0
        with _explained():
            for _, _, status in _walk(self._top, "", 1):
                if isinstance(status, os.stat_result) and stat.S_IFMT(status.st_mode) not in KINDS:
                    count += 1
                    if stat.S_ISREG(status.st_mode) and status.st_size <= self._capacity:
                        size += status.st_size
        return count, size

    def parts(self) -> Iterator[Part]:
        """All there is, each file followed by its content. Raises JobletError when it cannot be read."""
        with _explained():
            if stat.S_ISREG(self._status.st_mode):
                yield from self._file(self._top, "")
                return
            yield Entry("", self._status.st_mode)
            for directory, path, status in _walk(self._top, "", 1):
                if isinstance(status, str):
                    yield Notice(f"{path!r} is left out: {status}.")
                else:
                    yield from self._entry(directory, path, status)

    def _entry(self, directory: int, path: str, status: os.stat_result) -> Iterator[Part]:
        name = path.rpartition("/")[2]
        if stat.S_ISDIR(status.st_mode):
            yield Entry(path, status.st_mode)
        elif stat.S_ISLNK(status.st_mode):
            target = _vanishing(os.readlink, os.fsencode(name), dir_fd=directory)
            if target is not None:
                yield Entry(path, status.st_mode, target)
        elif stat.S_ISREG(status.st_mode):
            fd = _vanishing(os.open, name, _OPEN, dir_fd=directory)
            if fd is not None:
                try:
                    yield from self._file(fd, path)
                finally:
                    os.close(fd)
        else:
            yield Notice(f"{path!r} is left out: it is {_kind(status.st_mode)}.")

    def _file(self, fd: int, path: str) -> Iterator[Part]:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            yield Notice(f"{path!r} is left out: it became {_kind(status.st_mode)}.")
        elif status.st_size > self._capacity:
            yield Notice(f"{path!r} is left out: it claims {status.st_size} bytes, more than /work can hold.")
        else:
            yield Entry(path, status.st_mode)
            left = status.st_size
            while left > 0:
                data = os.read(fd, min(left, CHUNK_BYTES))
                if not data:
                    yield Notice(f"{path!r} became shorter while it was read.")
                    break
                left -= len(data)
                yield data


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What the file system cannot read, a damaged one for example, as JobletError."""
    try:
        yield
    except OSError as error:
        raise JobletError(
            f"The files cannot be read: {error.strerror}.", hint="'dmesg' on the host tells more."
        ) from error


def _find(root: int, path: str) -> int:
    """Open what a path leads to, links included, as long as they stay below ``root``. Raises OSError, InvalidValue.

    What openat2(2) with RESOLVE_BENEATH does, which container managers filter: each step from a descriptor, and
    a step up goes back to the directory that the way down came from. That takes a descriptor for each directory
    on the way, so a way has an end, whatever links it leads over.
    """
    todo = path.split("/")[::-1]
    way, links = [os.dup(root)], 0
    try:
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                os.close(way.pop())
                if not way:
                    raise InvalidValue("path", path, OUTSIDE)
                continue
            status = os.stat(name, dir_fd=way[-1], follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                if len(way) > MAX_DEPTH:
                    raise InvalidValue(
                        "path", path, f"a path to no more than {MAX_DEPTH} directories inside of each other"
                    )
                way.append(os.open(name, _OPEN, dir_fd=way[-1]))
                continue
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            steps = os.readlink(name, dir_fd=way[-1]).split("/")
            if not steps[0]:
                # An absolute one, as the job sees it.
                if steps[1] != "work":
                    raise InvalidValue("path", path, OUTSIDE)
                steps = steps[2:]
                while len(way) > 1:
                    os.close(way.pop())
            todo += steps[::-1]
        return way.pop()
    finally:
        for fd in way:
            os.close(fd)


def _walk(top: int, below: str, depth: int) -> Iterator[tuple[int, str, os.stat_result | str]]:
    """All below a directory: the directory it is in, its path, and what it is, or why it cannot be read."""
    with os.scandir(top) as entries:
        for entry in entries:
            path = below + entry.name
            try:
                path.encode()
            except UnicodeEncodeError:
                yield top, path, "its name is not UTF-8"
                continue
            status = _vanishing(os.stat, entry.name, dir_fd=top, follow_symlinks=False)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode) and depth >= MAX_DEPTH:
                yield top, path, f"it is more than {MAX_DEPTH} directories deep"
                continue
            yield top, path, status
            if stat.S_ISDIR(status.st_mode):
                fd = _vanishing(os.open, entry.name, _OPEN | os.O_DIRECTORY, dir_fd=top)
                if fd is not None:
                    try:
                        yield from _walk(fd, path + "/", depth + 1)
                    finally:
                        os.close(fd)


def _vanishing(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result | None:
    """What the function returns; None when what it is to look at was removed or replaced meanwhile."""
    try:
        return function(*args, **kwargs)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO):
            return None
        raise


def _kind(mode: int) -> str:
    return KINDS.get(stat.S_IFMT(mode), "no regular file")

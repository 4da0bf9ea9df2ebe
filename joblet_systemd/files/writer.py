"""Uploads written as they come, without remembering them: the directory that is filled knows what is there."""

from __future__ import annotations

import contextlib
import os

from ..errors import InvalidValue
from .uploads import MAX_UPLOADS, Kind, Upload

MAX_NAMES = 1000


class Writer:
    """Writes below the directory ``root``, all of it owned by ``uid`` and ``gid``. Nobody else writes there.

    Methods raise InvalidValue for an upload that does not fit to those before it, OSError when the disk
    is full or fails. ``names`` are the first components of the paths, each once: what ``job status`` lists.
    """

    def __init__(self, root: int, uid: int, gid: int) -> None:
        self.names: dict[str, None] = {}
        self._root = root
        self._owner = (uid, gid)
        self._count = 0
        self._file: int | None = None
        self._directory: tuple[str, int] | None = None  # the last one written to, open

    def add(self, upload: Upload) -> None:
        """Create what is uploaded; of a file, with the begin of its content."""
        self._count += 1
        if self._count > MAX_UPLOADS:
            raise InvalidValue("uploads", self._count, f"at most {MAX_UPLOADS} files")
        self._close_file()
        above, _, name = upload.path.rpartition("/")
        try:
            if upload.kind is Kind.DIRECTORY:
                self._make_directory(upload)
            elif upload.kind is Kind.SYMLINK:
                directory = self._open(above)
                os.symlink(os.fsdecode(upload.content), name, dir_fd=directory)
                os.chown(name, *self._owner, dir_fd=directory, follow_symlinks=False)
            else:
                self._begin_file(self._open(above), name, upload)
        except FileExistsError:
            raise InvalidValue("uploads", upload.path, "each path once") from None
        except NotADirectoryError:
            raise InvalidValue("uploads", upload.path, "a path whose parents are directories") from None
        if len(self.names) < MAX_NAMES:
            self.names[upload.path.partition("/")[0]] = None

    def append(self, data: bytes) -> None:
        """Write more of the file that was added last."""
        if self._file is None:
            raise InvalidValue("uploads", f"{len(data)} bytes", "data behind a file only")
        _write_all(self._file, data)

    def close(self) -> None:
        """Close what is open."""
        self._close_file()
        self._close_directory()

    def _begin_file(self, directory: int, name: str, upload: Upload) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(name, flags, 0o600, dir_fd=directory)
        os.fchown(self._file, *self._owner)
        os.fchmod(self._file, upload.permissions)
        _write_all(self._file, upload.content)

    def _make_directory(self, upload: Upload) -> None:
        # It may be there already, for the sake of a file in it that came before.
        os.fchmod(self._open(upload.path), upload.permissions)

    def _open(self, path: str) -> int:
        """The directory ``path``, made if it is missing with all above it; no step follows a link."""
        if not path:
            return self._root
        if self._directory is not None and self._directory[0] == path:
            return self._directory[1]
        self._close_directory()
        here = os.dup(self._root)
        try:
            for name in path.split("/"):
                below = self._step(here, name)
                os.close(here)
                here = below
        except OSError:
            os.close(here)
            raise
        self._directory = (path, here)
        return here

    def _step(self, directory: int, name: str) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.suppress(FileNotFoundError):
            return os.open(name, flags, dir_fd=directory)
        os.mkdir(name, 0o755, dir_fd=directory)
        below = os.open(name, flags, dir_fd=directory)
        os.fchown(below, *self._owner)
        os.fchmod(below, 0o755)
        return below

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _close_directory(self) -> None:
        if self._directory is not None:
            os.close(self._directory[1])
            self._directory = None


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

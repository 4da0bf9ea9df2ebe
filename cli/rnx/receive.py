"""Files and directories that a node sends, written to where the user wants them and nowhere else."""

from __future__ import annotations

import contextlib
import os
import stat
from types import TracebackType

from .errors import RnxError

_NAME_MAX = 255  # bytes
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Receiver:
    """Writes what comes to ``local``, whatever names, links and modes a hostile node or job gives it.

    A directory becomes ``local`` itself; what is in it already stays, unless ``force`` lets files be
    replaced. A file becomes ``local``, or gets the name ``name`` in it if that is a directory.
    Symlinks are made last, and only those that lead to what was received.
    """

    def __init__(self, local: str, name: str, force: bool) -> None:
        self.skipped: list[str] = []
        self.local = local
        self._name = name
        self._force = force
        self._root: int | None = None
        self._file: int | None = None
        self._unfinished: tuple[int, str] | None = None
        self._shown = local
        self._modes: dict[str, int] = {}
        self._links: list[tuple[str, bytes]] = []
        self._umask = os.umask(0)
        os.umask(self._umask)

    def __enter__(self) -> Receiver:
        return self

    def begin(self, path: str, mode: int, target: bytes) -> None:
        """What comes next. Raises RnxError for what is not accepted, or exists; OSError."""
        self._finish_file()
        if self._root is None:
            self._begin_top(path, mode)
            return
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part or len(os.fsencode(part)) > _NAME_MAX for part in parts):
            raise RnxError(f"the node sent a file of the name {path!r}, which is not accepted; the download ends here.")
        if stat.S_ISDIR(mode):
            os.close(self._open(parts))
            self._modes[path] = mode
        elif stat.S_ISLNK(mode):
            self._links.append((path, target))
        else:
            directory = self._open(parts[:-1])
            try:
                self._create(directory, parts[-1], os.path.join(self.local, path), mode)
            except BaseException:
                os.close(directory)
                raise

    def data(self, data: bytes) -> None:
        """More of the file that came last."""
        if self._file is None:
            raise RnxError("the node sent data that belongs to no file.")
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:  # a full disk, most of all: write(2) does not know the name
            stays = "" if self._shown == self.local else f" What came before it is in {self.local}."
            raise RnxError(f"cannot write {self._shown}: {error.strerror}.{stays}") from error

    def finish(self) -> None:
        """All has come."""
        self._finish_file()
        for path, target in self._links:
            self._link(path, target)
        for path, mode in sorted(self._modes.items(), reverse=True):
            directory = self._open(path.split("/"))
            # Its user must be able to change and remove what is in it.
            os.fchmod(directory, mode & 0o777 & ~self._umask | 0o700)
            os.close(directory)

    def _begin_top(self, path: str, mode: int) -> None:
        if path:
            raise RnxError(f"the node sent {path!r} before what was asked for.")
        if stat.S_ISDIR(mode):
            os.makedirs(self.local, exist_ok=True)
            self._root = os.open(self.local, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            return
        if self.local.endswith("/") or os.path.isdir(self.local):
            self.local = os.path.join(self.local, self._name)
        above, name = os.path.split(self.local)
        self._root = os.open(above or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._create(os.dup(self._root), name, self.local, mode)

    def _create(self, directory: int, name: str, shown: str, mode: int) -> None:
        """Begin a file; takes ``directory`` over."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.open(name, flags, 0o600, dir_fd=directory)
        except FileExistsError:
            if not self._force:
                raise RnxError(f"{shown} exists already; --force replaces files that do.") from None
            os.unlink(name, dir_fd=directory)
            self._file = os.open(name, flags, 0o600, dir_fd=directory)
        self._unfinished, self._shown = (directory, name), shown
        os.fchmod(self._file, mode & 0o777 & ~self._umask | 0o200)

    def _open(self, parts: list[str]) -> int:
        """A directory below ``local``, made if it is missing; no step follows a link."""
        assert self._root is not None
        here = os.dup(self._root)
        for number, part in enumerate(parts, 1):
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=here)
                below = os.open(part, _DIRECTORY, dir_fd=here)
            except OSError as error:
                shown = os.path.join(self.local, *parts[:number])
                raise RnxError(f"{shown} is needed as a directory: {error.strerror}.") from error
            finally:
                os.close(here)
            here = below
        return here

    def _link(self, path: str, target: bytes) -> None:
        parts = path.split("/")
        if not _stays_inside(target, len(parts) - 1):
            self.skipped.append(f"{path!r} is left out: it is a symlink to {os.fsdecode(target)!r}, outside.")
            return
        directory = self._open(parts[:-1])
        try:
            try:
                os.symlink(target, os.fsencode(parts[-1]), dir_fd=directory)
            except FileExistsError:
                if not self._force:
                    raise RnxError(
                        f"{os.path.join(self.local, path)} exists already; --force replaces files that do."
                    ) from None
                os.unlink(parts[-1], dir_fd=directory)
                os.symlink(target, os.fsencode(parts[-1]), dir_fd=directory)
        finally:
            os.close(directory)

    def _finish_file(self) -> None:
        if self._file is not None and self._unfinished is not None:
            os.close(self._file)
            os.close(self._unfinished[0])
            self._file = self._unfinished = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._unfinished is not None and kind is not None:
            directory, name = self._unfinished
            os.unlink(name, dir_fd=directory)
        self._finish_file()
        if self._root is not None:
            os.close(self._root)


def _stays_inside(target: bytes, depth: int) -> bool:
    """Whether a link leads to what lies beside or above it, in what was received.

    ``..`` is allowed in front only: behind a name, that name could be another link and the step up lead out.
    """
    parts = [part for part in target.split(b"/") if part not in (b"", b".")]
    steps_up = 0
    while steps_up < len(parts) and parts[steps_up] == b"..":
        steps_up += 1
    inside = bool(target) and not target.startswith(b"/") and b"\0" not in target
    return inside and b".." not in parts[steps_up:] and steps_up <= depth

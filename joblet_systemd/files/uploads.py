"""Uploaded files as values, checked as a whole before anything is written. No I/O."""

from __future__ import annotations

import enum
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import InvalidValue

MAX_UPLOADS = 100_000
MAX_PATH = 4095  # PATH_MAX less its NUL byte
MAX_NAME = 255  # NAME_MAX
# Go's os.FileMode (io/fs), which older clients send as it is: type bits above the nine of permission.
GO_TYPE_BITS = 0x8F28_0000
GO_DIRECTORY = 0x8000_0000
GO_SYMLINK = 0x0800_0000


class Kind(enum.Enum):
    """What an upload becomes."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, directory or link. ``path`` is relative to /work; a link's ``content`` is its target.

    ``permissions`` are the nine bits of chmod(2); set-ID and sticky bits mean nothing in a job.
    """

    path: str
    content: bytes
    permissions: int
    kind: Kind

    def parents(self) -> Iterator[str]:
        """The directories above it, the outermost first."""
        parts = self.path.split("/")
        for depth in range(1, len(parts)):
            yield "/".join(parts[:depth])


def parse(path: str, content: bytes, mode: int, is_directory: bool) -> Upload:
    """One upload as the wire has it. Raises InvalidValue naming the path.

    ``mode`` is a st_mode (inode(7)) or, from older clients, Go's FileMode; without type bits it is a
    regular file, 0 stands for the usual permissions.
    """
    _check_path(path)
    kind = _kind(path, mode, is_directory)
    if kind is Kind.SYMLINK:
        _check_target(path, content)
    permissions = mode & 0o777
    if not permissions:
        permissions = 0o755 if kind is Kind.DIRECTORY else 0o644
    return Upload(path.rstrip("/"), content, permissions, kind)


def check(uploads: Sequence[Upload]) -> None:
    """Check that the uploads fit together. Raises InvalidValue naming the path."""
    if len(uploads) > MAX_UPLOADS:
        raise InvalidValue("uploads", len(uploads), f"at most {MAX_UPLOADS} files")
    seen: dict[str, Kind] = {}
    for upload in uploads:
        if upload.path in seen:
            raise InvalidValue("uploads", upload.path, "each path once")
        seen[upload.path] = upload.kind
    for upload in uploads:
        for parent in upload.parents():
            if seen.get(parent, Kind.DIRECTORY) is not Kind.DIRECTORY:
                raise InvalidValue("uploads", upload.path, f"a path whose parent {parent!r} is a directory")


def names(uploads: Iterable[Upload]) -> tuple[str, ...]:
    """The first component of every path, each once: what ``job status`` lists."""
    return tuple(dict.fromkeys(upload.path.partition("/")[0] for upload in uploads))


def _check_path(path: str) -> None:
    accepted = "a path inside /work, relative and without '..'"
    parts = path.rstrip("/").split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidValue("uploads", path, accepted)
    if len(path.encode()) > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in parts):
        raise InvalidValue("uploads", path, f"a path of at most {MAX_PATH} bytes, {MAX_NAME} for each name in it")


def _kind(path: str, mode: int, is_directory: bool) -> Kind:
    kinds = {0: Kind.FILE, stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}
    go_type = mode & GO_TYPE_BITS
    kind = kinds.get(stat.S_IFMT(mode))
    # Of a link in a directory older clients send the mode, and the content of the file to which it leads.
    if kind is None or go_type not in (0, GO_DIRECTORY, GO_SYMLINK):
        raise InvalidValue(
            "uploads", path, "regular files, directories and symbolic links, no devices, pipes or sockets"
        )
    if go_type == GO_DIRECTORY or is_directory:
        if kind is Kind.SYMLINK:
            raise InvalidValue("uploads", path, "a directory or a symbolic link, not both")
        return Kind.DIRECTORY
    return kind


def _check_target(path: str, content: bytes) -> None:
    """A link's target stays inside /work: ``..`` only in front, and no more of them than the link is deep.

    With ``..`` behind a name, that name could be another link and the step up lead out.
    """
    accepted = "a symbolic link to a relative path inside the upload"
    shown = f"{path} -> {content.decode('utf-8', 'replace')}"
    parts = [part for part in content.split(b"/") if part not in (b"", b".")]
    depth = path.rstrip("/").count("/")
    steps_up = 0
    while steps_up < len(parts) and parts[steps_up] == b"..":
        steps_up += 1
    if (
        not content
        or content.startswith(b"/")
        or b"\0" in content
        or len(content) > MAX_PATH
        or b".." in parts[steps_up:]
        or steps_up > depth
    ):
        raise InvalidValue("uploads", shown, accepted)

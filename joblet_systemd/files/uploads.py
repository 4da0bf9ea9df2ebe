"""Uploaded files as values, each checked by itself. No I/O; whether they fit together shows when they are written."""

from __future__ import annotations

import enum
import stat
from dataclasses import dataclass

from ..errors import InvalidValue

MAX_UPLOADS = 100_000
MAX_DEPTH = 256  # directories inside of each other
MAX_PATH = 4095  # PATH_MAX less its NUL byte
MAX_NAME = 255  # NAME_MAX
# Go's os.FileMode (io/fs), which older clients send as it is: type bits above the nine of permission.
GO_TYPE_BITS = 0x8F28_0000
GO_DIRECTORY = 0x8000_0000


class Kind(enum.Enum):
    """What an upload becomes."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"


@dataclass(frozen=True, slots=True)
class Upload:
    """One file, directory or link. ``path`` is relative to /work; a link's ``content`` is its target, a file's
    the begin of what is in it, or all.

    ``permissions`` are the nine bits of chmod(2); set-ID and sticky bits mean nothing in a job.
    """

    path: str
    content: bytes
    permissions: int
    kind: Kind


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


def _check_path(path: str) -> None:
    accepted = "a path inside /work, relative and without '..'"
    parts = path.rstrip("/").split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise InvalidValue("uploads", path, accepted)
    if len(path.encode()) > MAX_PATH or any(len(part.encode()) > MAX_NAME for part in parts):
        raise InvalidValue("uploads", path, f"a path of at most {MAX_PATH} bytes, {MAX_NAME} for each name in it")
    if len(parts) > MAX_DEPTH:
        raise InvalidValue("uploads", path, f"a path of at most {MAX_DEPTH} names")


def _kind(path: str, mode: int, is_directory: bool) -> Kind:
    kinds = {0: Kind.FILE, stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}
    go_type = mode & GO_TYPE_BITS
    kind = kinds.get(stat.S_IFMT(mode))
    if kind is None or go_type not in (0, GO_DIRECTORY):
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

"""Files and directories read to be uploaded, refused here where the node would have to refuse them.

A file lands as /work/NAME. The contents of a directory land in /work, and a symlink of the directory's
name, pointing to /work itself, lets /work/NAME/file reach them too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from . import output
from .command import is_text
from .errors import USAGE, RnxError

# A request takes 128 MiB at older nodes; its other fields and the framing need little of the rest.
INLINE_LIMIT = 120 << 20  # bytes
ENTRY_OVERHEAD = 32  # bytes, more than protobuf needs beside path and content

KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class UploadError(RnxError):
    """Something that cannot be uploaded; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


@dataclass(frozen=True)
class Entry:
    """One thing to create below /work.

    ``path`` is relative and has no ``..``; ``mode`` is st_mode with type and permissions; ``source`` is
    what a file is read from, ``target`` what a symlink points to; ``size`` is in bytes.
    """

    path: str
    mode: int
    source: str
    size: int = 0
    target: bytes = b""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass
class Collection:
    """The entries of all uploads, each path once, in the order in which they are to be created."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Add an entry. Directories that two uploads have in common become one; all else must differ."""
        if not is_text(entry.path):
            raise UploadError(f"{entry.source!r} cannot be uploaded: its name is not UTF-8.")
        known = self.entries.setdefault(entry.path, entry)
        if known is not entry and not (known.is_directory and entry.is_directory):
            raise UploadError(f"{known.source} and {entry.source} would both be uploaded to /work/{entry.path}.")


def collect(files: Sequence[str], directories: Sequence[str]) -> list[Entry]:
    """All that ``--upload`` and ``--upload-dir`` name, nothing of it read yet. Raises UploadError."""
    collection = Collection()
    for path in files:
        collection.add(_file(path))
    for path in directories:
        for entry in _directory(path):
            collection.add(entry)
    return list(collection.entries.values())


def pieces(entry: Entry, size: int) -> Iterator[bytes]:
    """What an entry holds, in pieces, at least one: a file's bytes, a symlink's target, nothing for a directory.

    Raises UploadError when a file cannot be read or has become another size.
    """
    if not stat.S_ISREG(entry.mode):
        yield entry.target
        return
    try:
        with open(entry.source, "rb", buffering=0) as file:
            read = 0
            while True:
                data = file.read(size)
                read += len(data)
                if read > entry.size:
                    raise UploadError(f"{entry.source} is growing while it is uploaded; copy it first.")
                if read < entry.size and not data:
                    raise UploadError(f"{entry.source} became shorter while it was uploaded; copy it first.")
                if data or not entry.size:
                    yield data
                if not data:
                    return
    except OSError as error:
        raise UploadError(f"cannot read {entry.source}: {error.strerror}.") from None


def check_inline(entries: Sequence[Entry]) -> None:
    """Refuse more than fits into one request, which is all that older nodes take, before any of it is read."""
    total = sum(entry.size + len(entry.path) + ENTRY_OVERHEAD for entry in entries)
    if total > INLINE_LIMIT:
        largest = max(entries, key=lambda entry: entry.size)
        raise UploadError(
            f"the uploads come to {output.size(total)}, more than the {output.size(INLINE_LIMIT)} that one job"
            f" takes on this node, whose version is older; the largest file is {largest.source} with"
            f" {output.size(largest.size)}."
        )


def summary(entries: Sequence[Entry]) -> str:
    """What the uploads are, in words."""
    sent = sum(entry.size + len(entry.target) for entry in entries)
    return f"{output.files(len(entries))}, {output.size(sent)}"


def _file(path: str) -> Entry:
    status = _stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise UploadError(f"{path} is a directory; --upload-dir uploads one.")
    return _regular(os.path.basename(path), path, status)


def _directory(path: str) -> Iterator[Entry]:
    if not stat.S_ISDIR(_stat(path).st_mode):
        raise UploadError(f"{path} is not a directory; --upload uploads a file.")
    names = set()
    for entry in _contents(path):
        names.add(entry.path)
        yield entry
    name = os.path.basename(os.path.abspath(path))
    if name and name not in names:
        yield Entry(name, stat.S_IFLNK | 0o777, path, target=b".")


def _contents(directory: str) -> Iterator[Entry]:
    """The entries of ``directory``, each directory before what is in it. How deep they may be, the node says."""
    root = os.path.realpath(directory)
    left = _listed(directory, "")
    while left:
        path, item = left.pop()
        status = item.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            yield _symlink(path, item.path, root)
        elif stat.S_ISDIR(status.st_mode):
            yield Entry(path, stat.S_IFDIR | status.st_mode & 0o777, item.path)
            left += _listed(item.path, path + "/")
        else:
            yield _regular(path, item.path, status)


def _listed(directory: str, below: str) -> list[tuple[str, os.DirEntry[str]]]:
    """What is in a directory, each with its path in the upload, the first one last.

    ``below`` is where the directory lies there, empty or with a slash at its end.
    """
    try:
        with os.scandir(directory) as scan:
            found = [(below + item.name, item) for item in scan]
    except OSError as error:
        raise UploadError(f"cannot read {directory}: {error.strerror}.") from None
    return sorted(found, key=lambda pair: os.fsencode(pair[0]), reverse=True)


def _symlink(path: str, source: str, root: str) -> Entry:
    """``root`` is the real path that it must not leave."""
    target = os.readlink(source)
    # The directory of the link is resolved as well: through links in it, '..' may lead elsewhere than it seems.
    real = os.path.realpath(os.path.join(os.path.dirname(source), target))
    if os.path.isabs(target) or not (real == root or real.startswith(os.path.join(root, ""))):
        raise UploadError(f"{source} is a symlink to {target}, which lies outside of the uploaded directory.")
    return Entry(path, stat.S_IFLNK | 0o777, source, target=os.fsencode(target))


def _regular(path: str, source: str, status: os.stat_result) -> Entry:
    kind = KINDS.get(stat.S_IFMT(status.st_mode))
    if kind:
        raise UploadError(f"{source} is {kind}; only files, directories and symlinks can be uploaded.")
    if not os.access(source, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        raise UploadError(f"cannot read {source}: Permission denied.")
    return Entry(path, stat.S_IFREG | status.st_mode & 0o777, source, status.st_size)


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise UploadError(f"cannot read {path}: {error.strerror}.") from None

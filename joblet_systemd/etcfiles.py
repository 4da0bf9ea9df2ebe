"""Files below /etc/joblet: there whole or not at all, and changed by one at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from .errors import JobletError


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make ``directory`` unless it is there, and keep every other setup out of it."""
    make_directory(directory, 0o755)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int) -> None:
    """Make the directory ``path`` with ``mode``, whatever the umask, unless it is there."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    except OSError as error:
        raise JobletError(f"The directory {path} cannot be made: {error.strerror}.") from error
    path.chmod(mode)


def write(path: Path, content: bytes, mode: int) -> None:
    """Make the file ``path``, or replace it: whole and on disk on return, never in part before.

    Raises JobletError when that fails.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)  # of a run that was killed
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        temporary.rename(path)
        # The new name is on disk only when its directory is; fsync(2).
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise JobletError(f"{path} cannot be written: {error.strerror}.") from error

"""Work directories: made with the uploads before a job starts, removed after it ended."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ..errors import Exhausted, JobletError
from .root import lookup
from .uploads import Kind, Upload

# What a full disk or quota says.
FULL = (errno.ENOSPC, errno.EDQUOT)


class WorkDirs:
    """The directories ``<directory>/<job id>/work``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make the directory that holds them all: nobody but root looks in."""
        self._directory.mkdir(mode=0o700, exist_ok=True)

    def path(self, job_id: str) -> Path:
        """The directory that the job sees as /work."""
        return self._directory / job_id / "work"

    def ids(self) -> list[str]:
        """The job ids for which there is a directory."""
        return [entry.name for entry in os.scandir(self._directory)]

    def create(self, job_id: str, account: str, uploads: Sequence[Upload]) -> None:
        """Make a job's directory with its checked uploads, all owned by its account; all of it or nothing.

        Raises Unsupported when there is no such account, Exhausted when the disk is full, JobletError when
        it fails otherwise.
        """
        owner = lookup(account)
        work = self.path(job_id)
        try:
            work.parent.mkdir(mode=0o700)
            work.mkdir(mode=0o700)
            os.chown(work, owner.pw_uid, owner.pw_gid)
            _write(work, uploads, owner.pw_uid, owner.pw_gid)
        except OSError as error:
            self.remove(job_id)
            if error.errno in FULL:
                raise Exhausted(
                    f"The uploads do not fit on the disk: {error.strerror}.", hint=f"Free space on {self._directory}."
                ) from error
            raise JobletError(f"The work directory cannot be made: {error}.") from error

    def copy(self, job_id: str, to: str) -> None:
        """Give job ``to`` what job ``job_id`` has in its directory, owners and modes included.

        Raises JobletError when it fails; then nothing is left of it.
        """
        command = ["cp", "-a", "--reflink=auto", "--", str(self._directory / job_id), str(self._directory / to)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self.remove(to)
            raise JobletError(f"The files of job {job_id} cannot be copied: {done.stderr.strip()}.")

    def remove(self, job_id: str) -> None:
        """Remove a job's directory and all a hostile job may have made in it. Gone already is fine."""
        directory = self._directory / job_id
        with contextlib.suppress(FileNotFoundError):
            try:
                shutil.rmtree(directory)
            except (RecursionError, OSError) as error:
                if isinstance(error, FileNotFoundError):
                    raise
                # rmtree recurses and holds a descriptor per level; rm(1) does neither.
                subprocess.run(["rm", "-rf", "--one-file-system", "--", str(directory)], check=False)
        if directory.exists():
            raise JobletError(f"{directory} cannot be removed.", hint="The daemon tries again at its next start.")


def _write(work: Path, uploads: Sequence[Upload], uid: int, gid: int) -> None:
    # Links come last, so no path that is written to can lead through one. A directory gets its own mode
    # when all is in it: it may forbid writing.
    directories = [upload for upload in uploads if upload.kind is Kind.DIRECTORY]
    parents = {parent for upload in uploads for parent in upload.parents()}
    for path in sorted(parents | {upload.path for upload in directories}):
        target = work / path
        target.mkdir(mode=0o755)
        os.chown(target, uid, gid)
    for upload in uploads:
        target = work / upload.path
        if upload.kind is Kind.FILE:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(upload.content)
                os.fchown(fd, uid, gid)
                os.fchmod(fd, upload.permissions)
    for upload in uploads:
        if upload.kind is Kind.SYMLINK:
            os.symlink(os.fsdecode(upload.content), work / upload.path)
            os.chown(work / upload.path, uid, gid, follow_symlinks=False)
    for upload in sorted(directories, key=lambda upload: upload.path, reverse=True):
        os.chmod(work / upload.path, upload.permissions)

"""Uploads on their way into a job that is not one yet: written to its own /work, or gone without a trace."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Sequence

from ..errors import Exhausted, JobletError
from ..model import Limits
from . import mounts
from .root import lookup
from .uploads import Upload
from .work import FULL, MIB, WorkDirs
from .writer import Writer

DISK_FAILED = (errno.EIO, errno.EROFS, errno.EUCLEAN)


class Staging:
    """The uploads of one job to be, whose id is ``job_id``; ``names`` are what to list of them, once complete.

    Methods block, and are called one after the other, from whatever thread.
    """

    def __init__(self, work: WorkDirs, account: str, limits: Limits) -> None:
        self.job_id = str(uuid.uuid4())
        self.names: tuple[str, ...] = ()
        self._work = work
        self._account = account
        self._limits = limits
        self._root = -1
        self._writer: Writer | None = None

    def begin(self) -> None:
        """Make /work and mount it. Raises what ``WorkDirs.mount`` does."""
        owner = lookup(self._account)
        name = self._work.stage(self.job_id)
        self._work.uploads[name] = self._account
        self._work.mount(name, self._account, self._limits)
        self._root = os.open(self._work.path(name), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._writer = Writer(self._root, owner.pw_uid, owner.pw_gid)

    def write(self, parts: Sequence[Upload | bytes]) -> None:
        """Write uploads, and data of the file before it.

        Raises InvalidValue when one does not fit to those before it, Exhausted when /work or the disk is full.
        """
        assert self._writer is not None
        self._work.check_space()
        try:
            for part in parts:
                if isinstance(part, Upload):
                    self._writer.add(part)
                else:
                    self._writer.append(part)
        except OSError as error:
            raise self._explained(error) from error

    def complete(self) -> None:
        """All has been written: bring it to the disk and unmount it. Raises Exhausted or JobletError."""
        assert self._writer is not None
        self.names = tuple(self._writer.names)
        try:
            # A disk that is full shows here: an image takes its blocks when they are written out.
            mounts.sync(self._root)
        except OSError as error:
            raise self._explained(error) from error
        self._close()
        self._work.complete(self.job_id)

    def take_in(self) -> None:
        """Make it the /work of the job. Quick. Raises JobletError, Exhausted if it had to be given up meanwhile."""
        self._work.take_in(self.job_id)

    def discard(self) -> None:
        """Remove what no job has taken over. Raises JobletError."""
        self._close()
        name = self._work.stage(self.job_id)
        self._work.remove(name)
        self._work.uploads.pop(name, None)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            os.close(self._root)
            self._writer = None

    def _explained(self, error: OSError) -> JobletError:
        """What to tell the client. Raises Exhausted when the uploads had to give up their room meanwhile."""
        self._work.check_staged(self.job_id)
        if error.errno in FULL and not self._work.why_unbounded:
            size, files = self._work.size(self._limits) // MIB, os.fstatvfs(self._root).f_files
            return Exhausted(
                f"The uploads do not fit into /work, which takes {size} MB and {files} files.",
                hint="Ask for more with --max-disk (max_disk of the request), or upload less.",
            )
        if error.errno in FULL or error.errno in DISK_FAILED:
            return Exhausted(
                f"The uploads cannot be written to the disk of the host: {error.strerror}.",
                hint="Is it full? Its administrator can tell.",
            )
        return JobletError(f"The uploads cannot be written: {error}.")

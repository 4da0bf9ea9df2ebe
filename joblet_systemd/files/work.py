"""Work directories: a file system of its own size for each job, mounted only while the job runs.

``<directory>/<job id>/work.img`` is the file system, ``<directory>/<job id>/work`` where it is mounted. Jobs
that wait have at most the image, with their uploads in it; 10 000 of them hold no mount. Where images
cannot be mounted and the configuration allows it, ``work`` is a plain directory without bounds.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from weakref import WeakValueDictionary

from ..config import JobsConfig, Unenforced
from ..errors import Exhausted, InvalidValue, JobletError, NotFound, Unsupported
from ..model import Limits
from . import image, mounts, terminals
from .root import lookup

log = logging.getLogger(__name__)

# What a full disk or quota says.
FULL = (errno.ENOSPC, errno.EDQUOT)
# What there is too little of for the moment: descriptors and memory.
SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)
IMAGE = "work.img"
NEW_IMAGE = "new.img"
WORK = "work"
TERMINALS = "terminals"
LOST_AND_FOUND = "lost+found"  # mkfs.ext4 makes it
MIB = 1 << 20


class WorkDirs:
    """Makes, mounts, keeps and removes them. Methods block; they may be called from any thread."""

    def __init__(self, directory: Path, config: JobsConfig) -> None:
        self._directory = directory
        self._config = config
        self._template = directory / f".template-{config.work_size}"
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()  # as long as they are held
        self._finding_lock = threading.Lock()
        self.uploads: dict[str, str] = {}  # whose accounts, by the names that ``stage`` gives
        self.why_unbounded = ""

    def prepare(self) -> None:
        """Make the directory that holds them all, and find out whether sizes can be enforced: ``why_unbounded``."""
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for leftover in self._directory.glob(".*"):
            self.remove(leftover.name)
        self.why_unbounded = image.why_not(self._directory)
        if not self.why_unbounded:
            self._make_template()

    def _make_template(self) -> None:
        image.make(self._template, self._config.work_size)
        try:
            with tempfile.TemporaryDirectory(dir=self._directory, prefix=".template-") as scratch:
                work = Path(scratch, WORK)
                work.mkdir()
                image.mount(self._template, work)
                try:
                    # Once here: in every copy of it that would be a third of the work.
                    (work / LOST_AND_FOUND).rmdir()
                finally:
                    image.unmount(work)
        except OSError as error:
            raise _explained(error, self._directory) from error

    def check(self, limits: Limits) -> list[str]:
        """Check what a job asks for; returns notes for the user. Raises InvalidValue or Unsupported."""
        asked = limits.disk_bytes
        if asked is not None and asked > self._config.max_work_size:
            raise InvalidValue(
                "max_disk",
                f"{asked // MIB} MB",
                f"at most {self._config.max_work_size // MIB} MB",
                hint="The host's administrator can raise jobs.max_work_size.",
            )
        if not self.why_unbounded:
            return []
        why = f"max_disk cannot be enforced: {self.why_unbounded}."
        if self._config.unenforced_limits is Unenforced.REFUSE:
            raise Unsupported(
                why,
                hint="Let the host's administrator see to that, or set 'unenforced_limits: warn' under 'jobs:' in"
                " /etc/joblet/joblet-config.yml.",
            )
        return [why] if asked is not None else []

    def size(self, limits: Limits) -> int:
        """The bytes of /work under these limits."""
        return limits.disk_bytes or self._config.work_size

    def path(self, job_id: str) -> Path:
        """The directory that the job sees as /work."""
        return self._directory / job_id / WORK

    def ids(self) -> list[str]:
        """The job ids for which there is a directory: of jobs that wait, run, or whose files are kept."""
        return [name for name in self._names() if not name.startswith(".")]

    def unfinished(self) -> list[str]:
        """The names of directories that are being made and are no job's yet; while no daemon runs, of what was."""
        return [name for name in self._names() if name.startswith(".") and (self._directory / name).is_dir()]

    def _names(self) -> list[str]:
        return os.listdir(self._directory) if self._directory.exists() else []

    def mounted(self, job_ids: Iterable[str]) -> list[str]:
        """Those of the jobs whose /work or terminals are mounted."""
        places = (self.path, self.terminals)
        return [job_id for job_id in job_ids if any(os.path.ismount(place(job_id)) for place in places)]

    def terminals(self, job_id: str) -> Path:
        """The directory that the job sees as /dev/pts while it runs."""
        return self._directory / job_id / TERMINALS

    def mount_terminals(self, job_id: str) -> None:
        """Have the job's terminals in place, beside its /work. Raises Exhausted or JobletError."""
        try:
            with self._lock(job_id):
                terminals.mount(self.terminals(job_id), terminals.share(self._config.max_running))
        except OSError as error:
            raise _explained(error, self._directory) from error

    def open_terminal(self, job_id: str) -> tuple[int, int]:
        """Both ends of a new terminal of a job that runs, the program's second. Raises OSError."""
        directory = self.terminals(job_id)
        if not os.path.ismount(directory):  # it was started by a version in which jobs had the host's
            return os.openpty()
        return terminals.pair(directory)

    def mount(self, job_id: str, account: str, limits: Limits) -> None:
        """Have /work in place: what there is of it, or a new one, owned by the account.

        Raises Unsupported without such an account, Exhausted when the disk is (nearly) full or no loop device is free,
        JobletError when it fails otherwise; then nothing is left mounted.
        """
        owner = lookup(account)
        self.check_space()
        with self._lock(job_id):
            try:
                self._mount(self._directory / job_id, owner.pw_uid, owner.pw_gid, self.size(limits))
            except OSError as error:
                self._unmount_all(job_id)
                raise _explained(error, self._directory) from error

    def _mount(self, directory: Path, uid: int, gid: int, size: int) -> None:
        work, made = directory / WORK, directory / IMAGE
        if is_plain(work) or (made.exists() and os.path.ismount(work)):
            return
        directory.mkdir(mode=0o700, exist_ok=True)
        work.mkdir(mode=0o700, exist_ok=True)
        if made.exists():
            image.mount(made, work, image.SCRATCH_OPTIONS)
        elif self.why_unbounded:
            os.chown(work, uid, gid)
        else:
            self._make(directory, uid, gid, size)

    def _make(self, directory: Path, uid: int, gid: int, size: int) -> None:
        # The image has its name once it is complete, so that a daemon killed in between begins anew.
        new, work = directory / NEW_IMAGE, directory / WORK
        while os.path.ismount(work):
            image.unmount(work)
        new.unlink(missing_ok=True)
        if size == self._config.work_size:
            image.copy(self._template, new)
        else:
            image.make(new, size)
        image.mount(new, work, image.SCRATCH_OPTIONS)
        with contextlib.suppress(FileNotFoundError):
            (work / LOST_AND_FOUND).rmdir()
        os.chmod(work, 0o700)
        os.chown(work, uid, gid)
        new.rename(directory / IMAGE)

    def unmount(self, job_id: str) -> None:
        """Take /work out of use; what is in it stays. Raises JobletError."""
        with self._lock(job_id):
            self._unmount_all(job_id)

    def finish(self, job_id: str, *, keep: bool) -> bool:
        """The job has ended: unmount /work, and remove it if nothing is in it or nothing is to be kept.

        Returns whether it is still there. Raises JobletError.
        """
        with self._lock(job_id):
            directory = self._directory / job_id
            if keep and _holds_something(directory):
                mounted = os.path.ismount(directory / WORK)
                self._unmount_all(job_id)
                if mounted:
                    self._sync(job_id)
                return True
            self._remove(job_id)
            return False

    def copy(self, job_id: str, to: str) -> None:
        """Give job ``to`` the /work that job ``job_id``, which waits, has at the moment: its uploads, if any.

        Raises Exhausted or JobletError; then nothing is left of it.
        """
        origin, new = self._directory / job_id, self._directory / f".copy-{to}"
        if not origin.exists():
            return
        self.check_space()
        try:
            if is_plain(origin / WORK):
                subprocess.run(["cp", "-a", "--reflink=auto", "--", origin, new], capture_output=True, check=True)
            else:
                new.mkdir(mode=0o700)
                (new / WORK).mkdir(mode=0o700)
                image.copy(origin / IMAGE, new / IMAGE)
                image.sync(new / IMAGE)
            new.rename(self._directory / to)
        except OSError as error:
            self.remove(new.name)
            raise _explained(error, self._directory) from error
        except subprocess.CalledProcessError as error:
            self.remove(new.name)
            raise JobletError(f"The files of job {job_id} cannot be copied: {error.stderr.decode().strip()}.") from None

    def remove(self, job_id: str) -> None:
        """Unmount and remove /work with all that a hostile job may have made in it. Gone already is fine.

        Raises JobletError.
        """
        with self._lock(job_id):
            self._remove(job_id)

    @contextlib.contextmanager
    def opened(self, job_id: str) -> Iterator[int]:
        """A descriptor of /work to read from, of a job that runs or whose files are kept.

        Raises NotFound when there are none, or none any more in the end, JobletError when they cannot be read.
        """
        with self._lock(job_id):
            work, made = self.path(job_id), self._directory / job_id / IMAGE
            try:
                if is_plain(work) or os.path.ismount(work):
                    fd = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                elif made.exists():
                    fd = image.open_read_only(made, work)
                else:
                    raise NotFound(f"There are no files of job {job_id}.", hint="It left none, or they were removed.")
            except OSError as error:
                raise JobletError(f"The files of job {job_id} cannot be read: {error.strerror or error}.") from error
        try:
            yield fd
        except JobletError as error:
            if made.parent.exists():
                raise
            raise NotFound(f"The files of job {job_id} were removed while they were read.") from error
        finally:
            os.close(fd)

    def stage(self, job_id: str) -> str:
        """The name under which /work is made while uploads are written to it. No job has it, nor does ``ids``."""
        return f".upload-{job_id}"

    def take_in(self, job_id: str) -> None:
        """Make what is staged, complete and unmounted, the job's /work. Raises JobletError, Exhausted if cut off."""
        try:
            self.check_staged(job_id)
            (self._directory / self.stage(job_id)).rename(self._directory / job_id)
        except OSError as error:
            raise _explained(error, self._directory) from error

    def check_staged(self, job_id: str) -> None:
        """Raise Exhausted if what is staged has been cut off."""
        made = self._directory / self.stage(job_id) / IMAGE
        if made.exists() and made.stat().st_size == 0:
            raise Exhausted(
                "The disk of the host got full, and the uploads had to give up their room.",
                hint="Try again when there is more; its administrator can tell.",
            )

    def complete(self, job_id: str) -> None:
        """Unmount what is staged, all of it on the disk. Raises JobletError."""
        with self._lock(self.stage(job_id)):
            self._unmount_all(self.stage(job_id))
            self._sync(self.stage(job_id))

    def reserve_bytes(self) -> int:
        """What jobs leave free of the host's disk: what the configuration says, a tenth of the disk at most."""
        space = os.statvfs(self._directory)
        return min(self._config.keep_free, space.f_blocks * space.f_frsize // 10)

    def free_bytes(self) -> int:
        """What is free on the host's disk."""
        space = os.statvfs(self._directory)
        return space.f_bavail * space.f_frsize

    def spare_bytes(self) -> int:
        """What jobs may take of the host's disk still; less than nothing when they have to give some back."""
        return self.free_bytes() - self.reserve_bytes()

    def check_space(self) -> None:
        """Raise Exhausted when the disk has no room for new files."""
        if self.spare_bytes() < 0:
            left, reserve = self.free_bytes() // MIB, self.reserve_bytes() // MIB
            raise Exhausted(
                f"The disk of the host has {left} MB left, and jobs leave it {reserve} MB.",
                hint="Its administrator has to free some.",
            )

    def sizes(self) -> dict[str, int]:
        """What each job's image, and each that uploads are written to, takes of the host's disk, in bytes."""
        found = {}
        for name in (*self.ids(), *list(self.uploads)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found[name] = (self._directory / name / IMAGE).stat().st_blocks * 512
        return found

    def cut_off(self, job_id: str) -> None:
        """Have /work, or one of ``uploads``, take no room any more, whoever uses it: to them it is a disk that failed.

        Only ``finish`` and ``remove`` come after this; ``take_in`` refuses it. Raises JobletError.
        """
        with self._lock(job_id):
            try:
                if os.path.ismount(self.path(job_id)) and not is_plain(self.path(job_id)):
                    image.cut_off(self.path(job_id))
                os.truncate(self._directory / job_id / IMAGE, 0)
            except FileNotFoundError:
                pass  # it has been removed meanwhile
            except OSError as error:
                raise JobletError(f"The files of job {job_id} cannot be given up: {error}.") from error

    def _unmount_all(self, job_id: str) -> None:
        work = self.path(job_id)
        while os.path.ismount(work):
            try:
                image.unmount(work)
            except OSError as error:
                # It is unmounted all the same. A process that cannot be killed still writes, or the disk is full.
                log.error("job %s: not all of its files could be written to the disk: %s", job_id, error)
        try:
            terminals.unmount(self.terminals(job_id))
        except OSError as error:
            log.error("job %s: %s", job_id, error)

    def _sync(self, job_id: str) -> None:
        made = self._directory / job_id / IMAGE
        try:
            if made.exists():
                image.sync(made)
        except OSError as error:
            raise _explained(error, self._directory) from error

    def _remove(self, job_id: str) -> None:
        work = self.path(job_id)
        try:
            while os.path.ismount(work):
                with contextlib.suppress(OSError), os.scandir(work) as entries:
                    if next(entries, None) is not None:
                        image.cut_off(work)  # or the kernel would write out first what is in memory only
                mounts.detach(work)
            terminals.unmount(self.terminals(job_id))
        except OSError as error:
            raise JobletError(f"{error.filename or work} cannot be unmounted: {error.strerror}.") from error
        with contextlib.suppress(OSError):  # none there, or on a disk that fails: then it is as good as it gets
            # Whoever still reads in it would keep the room that it takes, for as long as he likes.
            os.truncate(self._directory / job_id / IMAGE, 0)
        _remove(self._directory / job_id)

    def _lock(self, job_id: str) -> threading.Lock:
        """One for each job: what is written out of one may take minutes."""
        with self._finding_lock:
            return self._locks.setdefault(job_id, threading.Lock())


def is_plain(work: Path) -> bool:
    """Whether a work directory is one without an image: its account owns it. A mount point is root's."""
    try:
        return work.lstat().st_uid != 0 and not os.path.ismount(work)
    except FileNotFoundError:
        return False


def _holds_something(directory: Path) -> bool:
    work = directory / WORK
    if is_plain(work) or os.path.ismount(work):
        try:
            with os.scandir(work) as entries:
                return next(entries, None) is not None
        except OSError as error:  # of a damaged image, on a disk that fails: it is not known to be empty
            log.error("%s cannot be read: %s", work, error.strerror)
            return True
    return (directory / IMAGE).exists()  # not mounted since the host was started: not worth a look


def _remove(path: Path) -> None:
    """Remove a file, or a directory of a job and all a hostile job may have made in it."""
    with contextlib.suppress(FileNotFoundError):
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        except (RecursionError, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            # rmtree recurses and holds a descriptor per level; rm(1) does neither.
            subprocess.run(["rm", "-rf", "--one-file-system", "--", str(path)], check=False)
    if path.exists():
        raise JobletError(f"{path} cannot be removed.", hint="The daemon tries again at its next start.")


def _explained(error: OSError, directory: Path) -> JobletError:
    if error.errno in FULL:
        return Exhausted(f"The disk is full: {error.strerror}.", hint=f"Free space on {directory}.")
    if error.errno in SCARCE:
        return Exhausted(f"The work directory cannot be made for now: {error}.")
    return JobletError(f"The work directory cannot be made: {error}.")

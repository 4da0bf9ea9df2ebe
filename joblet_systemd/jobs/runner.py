"""One job on this host: its unit started, its end read. No states, no store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .. import unit
from ..errors import Exhausted, JobletError, SystemdError
from ..files.work import FULL, SCARCE
from ..model import Job
from ..systemd import journal
from ..systemd.entries import Entry, Exit
from ..systemd.journal import Journal
from ..systemd.manager import FROZEN, Manager, UnitProperty, UnitResult
from .outcome import CLD_EXITED, was_dropped
from .places import Places

INIT_BINARY = "/usr/lib/joblet/joblet-init"
MOUNTS_AT_ONCE = 4

# joblet-init leaves when journald has taken its last entry, so the record is there within milliseconds.
T = TypeVar("T")

RECORD_WAITS_SEC = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
SYNCHRONIZE_SEC = 10.0
UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"


@contextlib.asynccontextmanager
async def _explained() -> AsyncIterator[None]:
    """What a start is short of, a descriptor or room on /run, may be there later."""
    try:
        yield
    except OSError as error:
        what = f"The sockets and the /etc of the job cannot be made: {error.strerror or error}"
        if error.errno in FULL + SCARCE:
            raise Exhausted(f"{what}.", hint="Is /run full ('df /run')? Is the host short of memory?") from error
        raise JobletError(f"{what}.") from error


class Runner:
    """Turns jobs into units.

    ``stop_grace``: seconds between SIGTERM and SIGKILL; ``max_log``: how many bytes of the journal a job may fill in
    a day.
    """

    def __init__(
        self,
        manager: Manager,
        host: unit.Host,
        places: Places,
        stop_grace: float,
        max_log: int,
    ) -> None:
        self._manager = manager
        self._host = host
        self._places = places
        self._stop_grace = stop_grace
        self._max_log = max_log
        # A thread for each start in flight: a start does not wait until a file system is unmounted.
        self._mounts = ThreadPoolExecutor(MOUNTS_AT_ONCE, thread_name_prefix="mounts")
        # sd-journal objects are not thread-safe: one thread does all look-ups of records.
        self._records = ThreadPoolExecutor(1, thread_name_prefix="records")
        self._journal: Journal | None = None

    @_explained()
    async def start(self, job: Job) -> str:
        """Mount its /work and start the job's unit; systemd's word for the outcome, ``done`` if joblet-init runs.

        Raises Unsupported without an account for it, SystemdError when PID 1 or journald refuses, Exhausted when
        the host is short of something, JobletError when /work cannot be made.
        """
        loop = asyncio.get_running_loop()
        share = unit.LogShare(self._max_log, await self._log_used(job))
        await loop.run_in_executor(self._mounts, self._mount, job)
        with journal.connect(unit.LOG_NAMESPACE) as log_socket, self._places.controls.listen(job.id) as control_socket:
            place = unit.Place(
                root=str(self._places.roots.skeleton),
                empty=str(self._places.roots.empty),
                etc=str(self._places.roots.etc(job.account)),
                work=str(self._places.work.path(job.id)),
                terminals=str(self._places.work.terminals(job.id)),
                init=INIT_BINARY,
                log_fd=log_socket.fileno(),
                control_fd=control_socket.fileno(),
                secrets=str(self._places.credentials.path(job.id)),
            )
            properties = unit.properties(job, self._host, place, stop_grace=self._stop_grace, share=share)
            result = await self._start_unit(job.unit, [(p.name, p.signature, p.value) for p in properties])
        if result == FROZEN:
            await self._manager.release(job.unit)
            raise Exhausted(
                f"{unit.SLICE} is frozen, and systemd starts nothing in it.",
                hint=f"'systemctl thaw {unit.SLICE}' on the node lets jobs go on.",
            )
        return result

    async def _start_unit(self, name: str, values: Sequence[UnitProperty]) -> str:
        try:
            return await self._manager.start(name, values)
        except SystemdError as error:
            if error.name != UNIT_EXISTS or not await self._manager.has_ended(name):
                raise
        # That of the attempt before, which could not be released at its time.
        await self._manager.release(name)
        return await self._manager.start(name, values)

    def _mount(self, job: Job) -> None:
        self._places.work.mount(job.id, job.account, job.spec.limits)
        self._places.work.mount_terminals(job.id)

    async def seal(self, job_id: str, secrets: Mapping[str, str]) -> None:
        """Keep the values of a job's secret variables, if it has any, until ``forget``.

        Raises Unsupported when this host cannot encrypt them, Exhausted when the disk is full.
        """
        if secrets:
            await self._places.credentials.seal(job_id, secrets)

    def forget(self, job_id: str) -> None:
        """Remove what was kept for a job that has ended for good: its control socket and secret variables."""
        self._places.controls.remove(job_id)
        self._places.credentials.remove(job_id)

    def copy(self, job_id: str, to: str) -> None:
        """Give job ``to`` the files and secret variables of another; all or nothing. Blocks; raises JobletError."""
        try:
            self._places.work.copy(job_id, to)
            self._places.credentials.copy(job_id, to)
        except JobletError:
            self.remove(to)
            raise

    def remove(self, job_id: str) -> None:
        """Remove the files of a job and all that ``forget`` does. Blocks; raises JobletError."""
        self.forget(job_id)
        self._places.work.remove(job_id)

    def forget_others(self, wanted: Collection[str | None], accounts: Collection[str] | None) -> None:
        """Remove what former daemons left of all jobs but those, and of all accounts but those if these are known."""
        if accounts is not None:
            self._places.roots.forget_others(accounts)
        for job_id in {*self._places.controls.ids(), *self._places.credentials.ids()} - set(wanted):
            self.forget(job_id)

    async def end(self, job: Job) -> tuple[UnitResult | None, Exit | None]:
        """What PID 1 and joblet-init say of an attempt that has ended; either may know nothing."""
        result = await self._manager.result(job.unit, self._host.controllers)
        # If joblet-init ended by itself it has written a record; if not, perhaps not.
        if result is not None and result.code == CLD_EXITED:
            for pause in RECORD_WAITS_SEC:
                await asyncio.sleep(pause)
                record = await self._record(job, "exit")
                if isinstance(record, Exit):
                    return result, record
        stored = await journal.synchronize(unit.LOG_NAMESPACE, SYNCHRONIZE_SEC)
        record = await self._record(job, "exit")
        if result is None and record is None and not stored:
            raise _behind()
        return result, record if isinstance(record, Exit) else None

    async def has_begun(self, job: Job) -> bool:
        """Whether joblet-init ran in this attempt. Raises SystemdError while that cannot be known."""
        if await self._record(job, "start") is not None:
            return True
        # What it wrote may be behind another job's flood still; a job that ran is not to run again.
        stored = await journal.synchronize(unit.LOG_NAMESPACE, SYNCHRONIZE_SEC)
        if await self._record(job, "start") is not None:
            return True
        if not stored:
            raise _behind()
        return False

    async def never_ran(self, job: Job, result: UnitResult | None, record: Exit | None) -> bool:
        """Whether joblet-init did not even begin, whatever PID 1 saw end. Raises SystemdError as ``has_begun`` does.

        That may have been the process that makes the namespace of processes: it ends with 1 when it cannot tell PID 1
        of joblet-init (systemd 257 and newer), which then does not run, and with 0 when it can. PID 1 may come to that
        end before it comes to what it was told, once in some thousands of starts if it has much to do, and when it
        re-executes itself; it takes that for the end of the unit.
        """
        if record is not None or result is None:
            return False
        by_pid_1 = self._host.tier is unit.Tier.SYSTEMD
        another = by_pid_1 and result.code == CLD_EXITED and result.status in (0, 1)
        return (another or was_dropped(result)) and not await self.has_begun(job)

    async def last_number(self, job: Job) -> int:
        """The sequence number of the job's newest entry in the journal."""
        return await self._look(lambda records: records.newest(job.unit))

    async def _log_used(self, job: Job) -> int:
        """What earlier attempts of the job have used of its share of the log, as the last one says that is known."""
        record = await self._look(lambda records: records.record(job.unit, "exit", 0)) if job.attempt > 1 else None
        return min(record.log_bytes, self._max_log) if isinstance(record, Exit) else 0

    async def _record(self, job: Job, kind: str) -> Entry | None:
        return await self._look(lambda records: records.record(job.unit, kind, job.seq_base))

    async def _look(self, look: Callable[[Journal], T]) -> T:
        def run() -> T:
            try:
                if self._journal is None:
                    self._journal = Journal(unit.LOG_NAMESPACE)
                return look(self._journal)
            except OSError as error:  # no descriptor or inotify instance is free, or no memory
                self._journal = None
                raise Exhausted(f"The journal of jobs cannot be read: {error.strerror or error}.") from error

        return await asyncio.get_running_loop().run_in_executor(self._records, run)

    def close(self) -> None:
        """End the threads."""
        self._mounts.shutdown(wait=False)
        self._records.shutdown(wait=False)


def _behind() -> SystemdError:
    return SystemdError(f"journald has not stored within {SYNCHRONIZE_SEC:.0f} s what was sent to it.")

"""How a job ended: from what PID 1 and joblet-init say to state, exit code and reason. Pure."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import dataclass

from ..model import Job, State, Usage, shortened
from ..systemd.entries import Exit
from ..systemd.manager import UnitResult

# wait(2), si_code
CLD_EXITED, CLD_KILLED, CLD_DUMPED = 1, 2, 3

# A reason is part of every list of jobs, and a command may have 128 KiB.
MAX_COMMAND = 200

EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE, EXIT_NOT_STARTED, EXIT_TIMEOUT = 127, 126, 125, 124

# systemd.exec(5), "Process Exit Codes": what PID 1 says when it could not even run joblet-init.
SYSTEMD_EXIT_CODES = {
    200: "CHDIR",
    202: "FDS",
    203: "EXEC",
    204: "MEMORY",
    205: "LIMITS",
    208: "STDIN",
    209: "STDOUT",
    210: "CHROOT",
    216: "GROUP",
    217: "USER",
    218: "CAPABILITIES",
    219: "CGROUP",
    222: "STDERR",
    224: "PAM",
    225: "NETWORK",
    226: "NAMESPACE",
    227: "NO_NEW_PRIVILEGES",
    228: "SECCOMP",
    233: "RUNTIME_DIRECTORY",
    237: "KEYRING",
    238: "STATE_DIRECTORY",
    243: "CREDENTIALS",
    245: "BPF",
}
DISK_FULL = "disk-full: "
LOST_SIGHT = "start-failed: systemd lost sight of the job, as it may during a start"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a job. ``reason`` is empty for success."""

    state: State
    exit_code: int
    reason: str


# By an administrator, while the start waited in PID 1's queue.
STOPPED_EARLY = Outcome(State.STOPPED, 128 + signal.SIGTERM, "stopped through systemd")


def was_dropped(unit: UnitResult) -> bool:
    """Whether PID 1 has the unit and did nothing for it: it has seen no process end and found nothing wrong.

    So it is of a start that waited in its queue when it was reloaded, if it cannot read the unit again.
    """
    return unit.code == 0 and unit.result == "success"


def outcome(
    job: Job, unit: UnitResult | None, record: Exit | None, boot_id: str, *, never_ran: bool = False
) -> Outcome:
    """Judge from the unit's result, joblet-init's exit record, either of which may be missing.

    ``boot_id`` is that of the running system. ``never_ran``: joblet-init has not even begun.
    """
    if job.reason.startswith(DISK_FULL):
        return Outcome(State.FAILED, 128 + signal.SIGKILL, job.reason)
    if never_ran and job.boot_id == boot_id:
        dropped = unit is not None and was_dropped(unit)
        why = "start-failed: systemd dropped it without a try" if dropped else LOST_SIGHT
        found = Outcome(State.FAILED, EXIT_NOT_STARTED, why)
    else:
        found = _own_end(job, unit, record, boot_id)
    if record is not None and record.error:
        return found
    if not job.stop_requested:
        return Outcome(State.TIMEOUT, EXIT_TIMEOUT, "timeout") if _timed_out(job, unit, record) else found
    # A unit that was stopped while it started has no exit code of its own.
    code = 128 + signal.SIGTERM if found.exit_code == EXIT_NOT_STARTED else found.exit_code
    return Outcome(State.STOPPED, code, "stopped")


def withdrawn(job: Job, state: State) -> Outcome:
    """The end, STOPPED or CANCELED, of a job that waited: for its first start, or, after attempts, for another one."""
    stopped = state is State.STOPPED
    if job.attempt - (job.state is State.INITIALIZING) == 0:
        return Outcome(state, 0, "stopped before it started" if stopped else "canceled")
    word = "stopped" if stopped else "canceled"
    return Outcome(state, job.exit_code or 0, f"{word} before another attempt; {job.reason}")


def _own_end(job: Job, unit: UnitResult | None, record: Exit | None, boot_id: str) -> Outcome:
    if record is None or (record.stopped and job.boot_id != boot_id):
        return _without_record(job, unit, boot_id)
    if record.error:
        return Outcome(State.FAILED, EXIT_NOT_STARTED, record.error)
    if record.exec_errno:
        return Outcome(State.FAILED, *exec_failure(job.spec.command, record.exec_errno))
    if unit is not None and unit.result == "oom-kill":
        return Outcome(State.FAILED, 128 + signal.SIGKILL, "oom-kill")
    killed = os.WIFSIGNALED(record.wait_status)
    number = os.WTERMSIG(record.wait_status) if killed else os.WEXITSTATUS(record.wait_status)
    code = 128 + number if killed else number
    if record.stopped and code and unit is not None and (unit.code, unit.status) == (CLD_EXITED, 0):
        # joblet-init ends with the command's code. PID 1 saw another process end, the one that has made the namespace
        # of processes (systemd 257 and newer), and took that for the end of the job, whose other processes it stopped.
        return Outcome(State.FAILED, code, LOST_SIGHT)
    if record.stopped:
        return Outcome(State.STOPPED, code, "stopped through systemd")
    if killed:
        return Outcome(State.FAILED, code, f"signal {signal_name(number)}")
    return Outcome(State.COMPLETED, 0, "") if code == 0 else Outcome(State.FAILED, code, f"exit-code {code}")


def exec_failure(command: str, number: int) -> tuple[int, str]:
    """Exit code and reason of a command that execvp failed for, with that errno."""
    code = EXIT_NOT_FOUND if number in (errno.ENOENT, errno.ENOTDIR) else EXIT_NOT_EXECUTABLE
    return code, f"exec-failed: {shortened(command, MAX_COMMAND)}: {os.strerror(number).lower()}"


def _timed_out(job: Job, unit: UnitResult | None, record: Exit | None) -> bool:
    """Whether RuntimeMaxSec= ended it; ``timeout`` is also systemd's word for a stop that took a SIGKILL."""
    limit = job.spec.limits.runtime_usec
    if limit is None or job.started_usec is None or (record is not None and not record.stopped):
        return False
    if unit is not None:
        # By PID 1's own clock, for that of the wall may have been set meanwhile.
        return unit.result == "timeout" and unit.active_usec >= limit
    return record is not None and record.realtime_usec - job.started_usec >= limit


def _without_record(job: Job, unit: UnitResult | None, boot_id: str) -> Outcome:
    """joblet-init was killed, never ran, or journald lost its last word."""
    if job.boot_id != boot_id:
        return Outcome(State.FAILED, 128 + signal.SIGKILL, "host-rebooted")
    if unit is None:
        return Outcome(State.FAILED, EXIT_NOT_STARTED, "lost: neither systemd nor the journal knows how it ended")
    if unit.result == "oom-kill":
        return Outcome(State.FAILED, 128 + signal.SIGKILL, "oom-kill")
    if unit.code in (CLD_KILLED, CLD_DUMPED):
        return Outcome(State.FAILED, 128 + unit.status, f"signal {signal_name(unit.status)}")
    if unit.status in SYSTEMD_EXIT_CODES:
        name = SYSTEMD_EXIT_CODES[unit.status]
        reason = (
            f"start-failed: systemd could not set up the job ({unit.status}/{name}); see 'journalctl -u {job.unit}'"
        )
        return Outcome(State.FAILED, EXIT_NOT_STARTED, reason)
    if unit.code == CLD_EXITED and unit.result == "success":
        return Outcome(State.COMPLETED, 0, "")
    if unit.code == CLD_EXITED:
        return Outcome(State.FAILED, unit.status, f"exit-code {unit.status}")
    return Outcome(State.FAILED, EXIT_NOT_STARTED, f"start-failed: {unit.result or 'no process was started'}")


def usage(unit: UnitResult | None, record: Exit | None) -> Usage:
    """What the job used: the unit's accounting, else what joblet-init's getrusage(2) saw."""
    cpu = memory = read = write = received = sent = None
    if record is not None and not record.error and not record.exec_errno:
        cpu, memory = record.cpu_usec, record.max_rss_bytes
    if unit is not None:
        cpu = unit.cpu_nsec // 1000 if unit.cpu_nsec is not None else cpu
        memory = unit.memory_peak if unit.memory_peak is not None else memory
        read, write = unit.io_read, unit.io_write
        received, sent = unit.ip_in, unit.ip_out
    return Usage(cpu, memory, read, write, received, sent)


def signal_name(number: int) -> str:
    """``SIGKILL`` for 9; real-time signals by their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"

"""How a job ended, from every combination of what PID 1 and joblet-init can say."""

import dataclasses
import errno

import pytest

from joblet_systemd.jobs.outcome import CLD_EXITED, CLD_KILLED, LOST_SIGHT, Outcome, outcome, usage
from joblet_systemd.model import Job, JobSpec, Limits, State, Usage
from joblet_systemd.systemd.entries import Exit
from joblet_systemd.systemd.manager import UnitResult

JOB = Job("id", JobSpec("prog"), "alice", "joblet-alice", State.RUNNING, 0, boot_id="b")
STOPPED_JOB = Job("id", JobSpec("prog"), "alice", "joblet-alice", State.STOPPING, 0, boot_id="b", stop_requested=True)


def unit(result: str, code: int = CLD_EXITED, status: int = 0, active_usec: int = 2_000_000) -> UnitResult:
    return UnitResult(result, code, status, 5_000_000, 4096, None, None, active_usec)


def record(status: int = 0, exec_errno: int = 0, error: str = "", stopped: bool = False) -> Exit:
    return Exit("u", 9, 0, status, exec_errno, error, stopped, 7, 8)


@pytest.mark.parametrize(
    ("job", "result", "end", "expected"),
    [
        (JOB, unit("success"), record(0), Outcome(State.COMPLETED, 0, "")),
        (JOB, None, record(0), Outcome(State.COMPLETED, 0, "")),
        (JOB, unit("exit-code", status=3), record(3 << 8), Outcome(State.FAILED, 3, "exit-code 3")),
        (JOB, None, record(3 << 8), Outcome(State.FAILED, 3, "exit-code 3")),
        (JOB, unit("exit-code", status=139), record(11), Outcome(State.FAILED, 139, "signal SIGSEGV")),
        # An exit code that looks like a signal is none.
        (JOB, unit("exit-code", status=139), record(139 << 8), Outcome(State.FAILED, 139, "exit-code 139")),
        (
            JOB,
            unit("exit-code", status=127),
            record(exec_errno=errno.ENOENT),
            Outcome(State.FAILED, 127, "exec-failed: prog: no such file or directory"),
        ),
        (
            JOB,
            unit("exit-code", status=126),
            record(exec_errno=errno.EACCES),
            Outcome(State.FAILED, 126, "exec-failed: prog: permission denied"),
        ),
        (
            JOB,
            unit("exit-code", status=125),
            record(error="isolation-failed: pid namespace is the host's"),
            Outcome(State.FAILED, 125, "isolation-failed: pid namespace is the host's"),
        ),
        (JOB, unit("oom-kill"), record(9), Outcome(State.FAILED, 137, "oom-kill")),
        (JOB, unit("oom-kill", CLD_KILLED, 9), None, Outcome(State.FAILED, 137, "oom-kill")),
        (JOB, unit("signal", CLD_KILLED, 9), None, Outcome(State.FAILED, 137, "signal SIGKILL")),
        (JOB, unit("success"), None, Outcome(State.COMPLETED, 0, "")),
        (STOPPED_JOB, unit("exit-code", status=143), record(15, stopped=True), Outcome(State.STOPPED, 143, "stopped")),
        (STOPPED_JOB, unit("success"), record(0), Outcome(State.STOPPED, 0, "stopped")),
        (STOPPED_JOB, unit("timeout", CLD_KILLED, 9), None, Outcome(State.STOPPED, 137, "stopped")),
        (STOPPED_JOB, unit("success", 0), None, Outcome(State.STOPPED, 143, "stopped")),
        (
            STOPPED_JOB,
            unit("exit-code"),
            record(error="isolation-failed: x"),
            Outcome(State.FAILED, 125, "isolation-failed: x"),
        ),
        # 143 without a stop: somebody else's SIGTERM, or systemctl's.
        (JOB, unit("exit-code", status=143), record(15), Outcome(State.FAILED, 143, "signal SIGTERM")),
        (
            JOB,
            unit("exit-code", status=143),
            record(15, stopped=True),
            Outcome(State.STOPPED, 143, "stopped through systemd"),
        ),
        (JOB, unit("success"), record(0, stopped=True), Outcome(State.STOPPED, 0, "stopped through systemd")),
        # What PID 1 saw end was not joblet-init.
        (JOB, unit("success"), record(15, stopped=True), Outcome(State.FAILED, 143, LOST_SIGHT)),
        (STOPPED_JOB, unit("success"), record(15, stopped=True), Outcome(State.STOPPED, 143, "stopped")),
    ],
)
def test_outcome(job: Job, result: UnitResult | None, end: Exit | None, expected: Outcome) -> None:
    assert outcome(job, result, end, "b") == expected


def test_a_job_that_the_reboot_ended() -> None:
    assert outcome(JOB, None, None, "other") == Outcome(State.FAILED, 137, "host-rebooted")
    assert outcome(JOB, None, record(15, stopped=True), "other").reason == "host-rebooted"


def test_a_job_that_ended_before_the_reboot_keeps_its_result() -> None:
    assert outcome(JOB, None, record(3 << 8), "other") == Outcome(State.FAILED, 3, "exit-code 3")


def test_systemds_own_failures_are_named() -> None:
    end = outcome(JOB, unit("exit-code", status=226), None, "b")
    assert (end.state, end.exit_code) == (State.FAILED, 125)
    assert "226/NAMESPACE" in end.reason


def test_nothing_is_known() -> None:
    assert outcome(JOB, None, None, "b").reason.startswith("lost")


def test_usage_prefers_the_units_accounting() -> None:
    assert usage(unit("success"), record()) == Usage(5000, 4096, None, None)
    assert usage(None, record()) == Usage(7, 8, None, None)
    assert usage(None, None) == Usage()


LIMITED = dataclasses.replace(
    JOB, spec=JobSpec("prog", limits=Limits(runtime_usec=2_000_000)), started_usec=1_000_000, boot_id="b"
)
TIMEOUT = Outcome(State.TIMEOUT, 124, "timeout")


def at(seconds: float, status: int = 15, *, stopped: bool = True) -> Exit:
    return dataclasses.replace(record(status, stopped=stopped), realtime_usec=round(seconds * 1_000_000))


@pytest.mark.parametrize(
    ("job", "result", "end", "expected"),
    [
        (LIMITED, unit("timeout", status=143), at(3.01), TIMEOUT),
        # The clock of the wall was set back meanwhile: PID 1 goes by another.
        (LIMITED, unit("timeout", status=143), at(0.1), TIMEOUT),
        # It ended in its own way, and within the grace period: still a time-out.
        (LIMITED, unit("timeout", status=0), at(3.5, 0), TIMEOUT),
        # joblet-init was killed before it could say anything.
        (LIMITED, unit("timeout", CLD_KILLED, 9), None, TIMEOUT),
        # The unit is gone: the record alone tells.
        (LIMITED, None, at(3.2), TIMEOUT),
        (LIMITED, None, at(1.5), Outcome(State.STOPPED, 143, "stopped through systemd")),
        (LIMITED, unit("exit-code", status=143), at(1.5), Outcome(State.STOPPED, 143, "stopped through systemd")),
        # A stop that took a SIGKILL is "timeout" to systemd, too.
        (
            LIMITED,
            unit("timeout", CLD_EXITED, 137, 1_500_000),
            at(1.5, 9),
            Outcome(State.STOPPED, 137, "stopped through systemd"),
        ),
        (LIMITED, unit("exit-code", status=3), at(1.5, 3 << 8, stopped=False), Outcome(State.FAILED, 3, "exit-code 3")),
        (LIMITED, None, at(9, 0, stopped=False), Outcome(State.COMPLETED, 0, "")),
        (
            dataclasses.replace(LIMITED, stop_requested=True),
            unit("timeout", status=143),
            at(3.01),
            Outcome(State.STOPPED, 143, "stopped"),
        ),
    ],
)
def test_time_limit(job: Job, result: UnitResult | None, end: Exit | None, expected: Outcome) -> None:
    assert outcome(job, result, end, "b") == expected

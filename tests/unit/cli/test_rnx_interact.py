"""``job run --stdin``, ``job attach``, ``job exec`` and secret variables, from the client's side."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from joblet_wire.joblet_pb2 import (
    ExecJobRequest,
    ExecJobResponse,
    ExecResult,
    GetJobLogsRequest,
    GetJobStatusResponse,
    RunJobRequest,
)

from .conftest import Rnx, spawn_rnx, start_rnx
from .fakes import JOB_ID, FakeJobs, Server

SECRET = "hunter2"


def status(state: str, **more: Any) -> GetJobStatusResponse:
    return GetJobStatusResponse(uuid=JOB_ID, status=state, **more)


def until_input_ended(jobs: FakeJobs) -> None:
    """Lets the job run until its input has ended."""
    ended = threading.Event()

    class Inputs(list[tuple[bytes, bool]]):
        def append(self, call: tuple[bytes, bool]) -> None:
            super().append(call)
            if call[1]:
                ended.set()

    jobs.inputs = Inputs()
    jobs.before_chunk = lambda _context, number: None if number else (ended.wait(20) and None)


# --- input


@pytest.mark.parametrize("data", [b"", b"a\0\n\xff", b"x" * 1_000_000])
def test_input_is_sent_to_its_end(server: Server, jobs: FakeJobs, data: bytes) -> None:
    jobs.answers[JOB_ID] = [status("PENDING"), status("INITIALIZING"), status("RUNNING"), status("COMPLETED")]
    jobs.log = [(1, b"out")]
    until_input_ended(jobs)
    result = spawn_rnx("job", "run", "-i", "cat", stdin=data)
    assert (result.code, result.out) == (0, b"out"), result.err
    assert jobs.seen(RunJobRequest)[0].interactive
    assert b"".join(part for part, _ in jobs.inputs) == data
    assert [end for _, end in jobs.inputs].count(True) == 1
    assert jobs.inputs[-1][1]


def test_a_job_that_ended_before_it_read(server: Server, jobs: FakeJobs) -> None:
    jobs.answers[JOB_ID] = [status("FAILED", exit_code=3, reason="exit-code 3")]
    result = spawn_rnx("job", "run", "--stdin", "cat", stdin=b"x")
    assert result.code == 3
    assert "input" not in result.err
    assert jobs.inputs == []


def test_without_the_option_nothing_is_read(server: Server, jobs: FakeJobs) -> None:
    jobs.answers[JOB_ID] = [status("COMPLETED")]
    assert spawn_rnx("job", "run", "--wait", "cat", stdin=b"x").code == 0
    assert not jobs.seen(RunJobRequest)[0].interactive
    assert jobs.inputs == []


# --- attach


def test_attach(server: Server, jobs: FakeJobs) -> None:
    jobs.answers[JOB_ID] = [status("RUNNING", interactive=True), status("RUNNING"), status("FAILED", exit_code=4)]
    jobs.answers[JOB_ID][-1].reason = "exit-code 4"
    jobs.log = [(1, b"out"), (2, b"err")]
    until_input_ended(jobs)
    result = spawn_rnx("job", "attach", JOB_ID[:8], stdin=b"data")
    assert (result.code, result.out, result.err) == (4, b"out", "err")
    assert jobs.seen(GetJobLogsRequest)[0].cursor == "end"
    assert b"".join(part for part, _ in jobs.inputs) == b"data"


def test_attach_follows_before_it_gives_input(server: Server, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would miss what the job says to the first of it."""
    jobs.answers[JOB_ID] = [status("RUNNING", interactive=True), status("RUNNING"), status("COMPLETED")]
    enter, given = jobs._enter, []

    def slowly(request: Any, context: grpc.ServicerContext) -> None:
        if isinstance(request, GetJobLogsRequest):
            time.sleep(1)
            given.append(len(jobs.inputs))
        enter(request, context)

    monkeypatch.setattr(jobs, "_enter", slowly)
    until_input_ended(jobs)
    assert spawn_rnx("job", "attach", JOB_ID, stdin=b"data").code == 0
    assert given == [0]


@pytest.mark.parametrize(("options", "interactive"), [(["--no-stdin"], True), ([], False)])
def test_attach_without_input(server: Server, jobs: FakeJobs, options: list[str], interactive: bool) -> None:
    jobs.answers[JOB_ID] = [status("RUNNING", interactive=interactive), status("COMPLETED")]
    assert spawn_rnx("job", "attach", *options, JOB_ID, stdin=b"data").code == 0
    assert jobs.inputs == []


def test_attach_to_what_has_ended(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.answers[JOB_ID] = [status("STOPPED")]
    result = run_rnx("job", "attach", JOB_ID)
    assert result.code == 1
    assert "is STOPPED" in result.err
    assert run_rnx("--json", "job", "attach", JOB_ID).code == 2


# --- exec


def echo(requests: Iterator[ExecJobRequest]) -> Iterator[ExecJobResponse]:
    """A command that copies its input, and ends with it."""
    for request in requests:
        if request.end_of_stdin:
            break
        yield ExecJobResponse(stdout=request.stdin)
    yield ExecJobResponse(stderr=b"error\n")
    yield ExecJobResponse(result=ExecResult(exit_code=7))


def test_exec(server: Server, jobs: FakeJobs) -> None:
    jobs.answers[JOB_ID] = [status("RUNNING")]
    jobs.execution = echo
    data = bytes(range(256)) * 1000
    result = spawn_rnx("job", "exec", "-e", "A=b=c", JOB_ID, "--", "sh", "-c", "exit 7", "--", "-x", stdin=data)
    assert (result.code, result.out, result.err) == (7, data, "error\n")
    start = jobs.seen(ExecJobRequest)[0].start
    assert (start.uuid, start.command, list(start.args)) == (JOB_ID, "sh", ["-c", "exit 7", "--", "-x"])
    assert dict(start.environment) == {"A": "b=c"}
    assert not start.HasField("terminal")


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (ExecResult(exit_code=0), 0, ""),
        (ExecResult(exit_code=137, reason="signal SIGKILL"), 137, "note: the command ended with signal SIGKILL\n"),
        (ExecResult(exit_code=127, reason="exec-failed: x: no such file"), 127, "note: exec-failed: x: no such file\n"),
        (ExecResult(exit_code=4711), 1, ""),
    ],
)
def test_how_exec_ends(server: Server, jobs: FakeJobs, answer: ExecResult, code: int, told: str) -> None:
    jobs.answers[JOB_ID] = [status("RUNNING")]
    jobs.execution = lambda _requests: iter([ExecJobResponse(result=answer)])
    result = spawn_rnx("job", "exec", JOB_ID, "x")
    assert (result.code, result.err) == (code, told)


def test_exec_refused(server: Server, jobs: FakeJobs) -> None:
    jobs.failure = (grpc.StatusCode.PERMISSION_DENIED, "Job belongs to 'alice'.")
    result = spawn_rnx("job", "exec", JOB_ID, "true")
    assert (result.code, result.err) == (4, "rnx: Job belongs to 'alice'.\n")


@pytest.mark.parametrize(
    "words",
    [("exec", JOB_ID), ("exec", JOB_ID, "--"), ("exec", JOB_ID, ""), ("exec", "-e", "NOTIFY_SOCKET=x", JOB_ID, "x")],
)
def test_exec_usage(run_rnx: Rnx, words: tuple[str, ...]) -> None:
    assert run_rnx("job", *words).code == 2


def test_a_second_interrupt_leaves(server: Server, jobs: FakeJobs) -> None:
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()

    def ignoring(requests: Iterator[ExecJobRequest]) -> Iterator[ExecJobResponse]:
        yield ExecJobResponse(stdout=b"ready\n")
        for request in requests:
            if request.signal:
                heard.put(request.signal)

    jobs.answers[JOB_ID] = [status("RUNNING")]
    jobs.execution = ignoring
    process = start_rnx("job", "exec", JOB_ID, "x", stdin=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR1):  # only the first of them wants an end
        process.send_signal(number)
        assert heard.get(timeout=20) == number
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, heard.empty()) == (130, True)
    assert b"the command is killed" in err


# --- secret variables


def test_secrets_travel_apart(server: Server, jobs: FakeJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", SECRET)
    (tmp_path / "f").write_text("FILE=1\n")
    (tmp_path / "s").write_text(f"SFILE='{SECRET}'\n")
    options = ["--env=A=1", "--env-file=f", "--secret-env=HERE", f"--secret-env=B={SECRET}", "--secret-env-file=s"]
    result = spawn_rnx("job", "run", *options, "true")
    assert result.code == 0
    assert SECRET not in result.text + result.err
    request = jobs.seen(RunJobRequest)[0]
    assert dict(request.environment) == {"A": "1", "FILE": "1"}
    assert dict(request.secret_environment) == {"HERE": SECRET, "B": SECRET, "SFILE": SECRET}


@pytest.mark.parametrize(
    "options",
    [
        [f"--secret-env=1A={SECRET}"],
        [f"--secret-env=JOBLET_X={SECRET}"],
        [f"--secret-env=A={SECRET}\udcff"],
        [f"--secret-env=A={SECRET}", "--env=A=1"],
        ["--secret-env=NOT_SET_HERE"],
        ["--env-file=missing"],
        ["--env=SYSTEMD_EXEC_PID=1"],
    ],
)
def test_refused_before_any_call(server: Server, jobs: FakeJobs, run_rnx: Rnx, options: list[str]) -> None:
    result = run_rnx("job", "run", *options, "true")
    assert result.code == 2
    assert SECRET not in result.text + result.err
    assert jobs.requests == []

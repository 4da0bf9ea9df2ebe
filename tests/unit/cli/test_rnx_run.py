"""``job run``: what it prints, and --wait."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from joblet_wire.joblet_pb2 import GetJobLogsRequest, GetJobStatusRequest, GetJobStatusResponse, RunJobRequest

from .conftest import Rnx, spawn_rnx, start_rnx
from .fakes import JOB_ID, FakeJobs, Server


def ended(status: str, exit_code: int = 0, reason: str = "") -> GetJobStatusResponse:
    return GetJobStatusResponse(uuid=JOB_ID, status=status, exit_code=exit_code, reason=reason)


def test_text(server: Server, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 2048)
    jobs.notices = ["The volume 'a' was made."]
    options = "--max-cpu=4 --max-memory=256 --max-iobps=1MB --cpu-cores=0-1 --name=n --upload=f"
    result = run_rnx("job", "run", *options.split(), "sh", "-c", "exit 3")
    assert result.code == 0
    assert result.text.splitlines() == [
        f"ID: {JOB_ID}",
        "Status: PENDING",
        "Command: sh -c 'exit 3'",
        "Name: n",
        "Max CPU: 400%",
        "CPU Cores: 0-1",
        "Max Memory: 256 MB",
        "Max IO: 1048576 bytes/s",
        "Uploads: 1 file, 2.0 KB",
    ]
    assert result.err == "note: The volume 'a' was made.\n"


def test_json(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.notices = ["Noted."]
    result = run_rnx("job", "run", "--json", "--max-cpu=50%", "echo", "a b")
    answer = json.loads(result.out)
    expected = {"job_uuid": JOB_ID, "status": "PENDING", "command": "echo", "args": ["a b"], "max_cpu": 50}
    assert {key: answer[key] for key in expected} == expected
    assert (answer["notices"], result.err) == (["Noted."], "")


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (ended("COMPLETED"), 0, ""),
        (ended("FAILED", 3, "exit-code 3"), 3, ""),
        (ended("FAILED", 139, "signal SIGSEGV"), 139, "FAILED: signal SIGSEGV"),
        (ended("FAILED", 0, "exec-failed: no such file"), 1, "FAILED: exec-failed: no such file"),
        (ended("FAILED", 4711, "exit-code 4711"), 1, ""),
        (ended("TIMEOUT", 124, "timeout"), 124, "TIMEOUT: timeout"),
        (ended("TIMEOUT", 143, "timeout"), 124, "TIMEOUT: timeout"),
        (
            GetJobStatusResponse(uuid=JOB_ID, status="TIMEOUT", reason="timeout", max_runtime_ms=90_000),
            124,
            "TIMEOUT: it came to the end of its 1 min 30 s, see --max-runtime",
        ),
        (ended("FAILED", 137, "oom-kill"), 137, "FAILED: oom-kill"),
        (
            GetJobStatusResponse(uuid=JOB_ID, status="FAILED", exit_code=137, reason="oom-kill", max_memory=64),
            137,
            "FAILED: oom-kill: it ran out of memory, of which it had 64 MB; see --max-memory",
        ),
        (ended("STOPPED", 143), 143, "is STOPPED"),
    ],
)
def test_wait_ends_with_the_job(
    answer: GetJobStatusResponse, code: int, told: str, server: Server, jobs: FakeJobs, run_rnx: Rnx
) -> None:
    # The status may lag behind the end of the output.
    jobs.answers = {JOB_ID: [ended("RUNNING"), ended("RUNNING"), answer]}
    jobs.log = [(1, b"out\x00\n"), (2, b"err\n"), (1, b"no newline")]
    result = run_rnx("job", "run", "--wait", "prog")
    assert (result.code, result.out) == (code, b"out\x00\nno newline")
    head, _, tail = result.err.partition("err\n")
    assert head == f"ID: {JOB_ID}\nStatus: PENDING\nCommand: prog\n"
    assert (told in tail) if told else not tail


def test_wait_with_json_keeps_stdout_for_the_job(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.answers, jobs.log = {JOB_ID: [ended("COMPLETED")]}, [(1, b"out")]
    result = run_rnx("--json", "job", "run", "-w", "prog")
    assert result.out == b"out"
    assert json.loads(result.err)["job_uuid"] == JOB_ID


@pytest.fixture
def in_the_background() -> Iterator[None]:
    """These tests as a shell without job control runs them behind '&': deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("in_the_background")
def test_interrupting_wait_leaves_the_job_alone(server: Server, jobs: FakeJobs) -> None:
    streaming, over = threading.Event(), threading.Event()

    def hold(_context: object, number: int) -> None:
        if number:
            streaming.set()
            over.wait(20)

    jobs.log, jobs.before_chunk = [(1, b"first\n")], hold
    process = start_rnx("job", "run", "--wait", "prog")
    try:
        assert streaming.wait(20)
        assert process.stdout
        assert process.stdout.readline() == b"first\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        over.set()
        process.kill()
    assert process.returncode == 130
    assert f"the job goes on: 'rnx job log {JOB_ID}' follows it, 'rnx job stop {JOB_ID}' ends it." in err.decode()
    assert "Traceback" not in err.decode()
    assert not [request for request in jobs.requests if type(request) not in (RunJobRequest, GetJobLogsRequest)]


class TestBrokenConnection:
    """The node restarts, as it does for an upgrade, while its job goes on."""

    CHUNKS = ((1, b"one\n"), (2, b"two\n"), (1, b"three\n"), (1, b"four"))

    def restarting(self, server: Server, at: int, away: float = 0.2) -> FakeJobs:
        """Jobs whose node goes away once, before the chunk number ``at``."""
        jobs = server.jobs
        jobs.answers, jobs.log = {JOB_ID: [ended("COMPLETED")]}, list(self.CHUNKS)
        gone, over = threading.Event(), threading.Event()

        def before(context: object, number: int) -> None:
            if number == at and not gone.is_set():
                gone.set()
                server.restart(away)
                over.wait(0.1)  # is cut off in here, and sends nothing more

        jobs.before_chunk = before
        return jobs

    @pytest.mark.parametrize("at", [0, 1, 2, 4])
    def test_wait_resumes_where_it_was(self, at: int, server: Server, run_rnx: Rnx) -> None:
        jobs = self.restarting(server, at)
        result = run_rnx("job", "run", "--wait", "prog")
        assert (result.code, result.out) == (0, b"one\nthree\nfour")
        assert result.err.endswith("Command: prog\ntwo\n")
        first, second = jobs.seen(GetJobLogsRequest)
        assert (first.cursor, second.cursor) == ("", str(at) if at else "")

    def test_log_too_says_so_after_a_while(self, server: Server, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rnx.output.PATIENCE", 0.05)
        self.restarting(server, 1, away=0.4)
        result = run_rnx("job", "log", JOB_ID)
        assert (result.code, result.out) == (0, b"one\nthree\nfour")
        assert "the connection broke; jobs are not affected\n" in result.err

    def test_the_end_may_be_asked_for_twice(self, server: Server, run_rnx: Rnx) -> None:
        jobs = self.restarting(server, 4)
        jobs.answers = {JOB_ID: [ended("RUNNING")] * 3 + [ended("FAILED", 9, "exit-code 9")]}
        assert run_rnx("job", "run", "--wait", "prog").code == 9
        assert len(jobs.seen(GetJobStatusRequest)) == 4

    def test_gives_up_in_the_end(self, server: Server, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rnx.connection.RECONNECT_TIMEOUT", 0.3)
        jobs = self.restarting(server, 1, away=0.7)
        result = run_rnx("job", "run", "--wait", "prog")
        assert (result.code, result.out) == (5, b"one\n")
        assert "nothing listens at node 'default'" in result.err
        assert f"The job itself may well go on: 'rnx job log {JOB_ID}' follows it" in result.err
        assert len(jobs.seen(RunJobRequest)) == 1

    def test_an_old_node_cannot_resume(self, server: Server, run_rnx: Rnx) -> None:
        self.restarting(server, 1).cursors = False
        result = run_rnx("job", "log", JOB_ID)
        assert (result.code, result.out) == (5, b"one\n")
        assert f"'rnx job log {JOB_ID}' starts it over" in result.err


def test_a_reader_that_leaves_ends_rnx_quietly(server: Server, jobs: FakeJobs) -> None:
    jobs.answers, jobs.log = {JOB_ID: [ended("COMPLETED")]}, [(1, b"x" * 65536)] * 64
    process = start_rnx("job", "log", JOB_ID)
    assert process.stdout
    assert process.stderr
    with process:
        assert process.stdout.read(10) == b"x" * 10
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_full_disk_is_told(server: Server, jobs: FakeJobs) -> None:
    jobs.answers, jobs.log = {JOB_ID: [ended("COMPLETED")]}, [(1, b"x")]
    with open("/dev/full", "wb") as full:
        process = start_rnx("job", "log", JOB_ID, stdout=full)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (1, b"rnx: cannot write the output: No space left on device\n")


def test_a_reader_that_leaves_a_job_behind_is_told(server: Server, jobs: FakeJobs) -> None:
    jobs.answers, jobs.log = {JOB_ID: [ended("COMPLETED")]}, [(1, b"x" * 65536)] * 64
    process = start_rnx("job", "run", "--wait", "yes")
    assert process.stdout
    assert process.stderr
    with process:
        assert process.stdout.read(10) == b"x" * 10
        process.stdout.close()
        told = process.stderr.read().decode().splitlines()[-1]
    assert told.startswith("note: nobody reads the output any more; the job goes on: ")
    assert f"'rnx job stop {JOB_ID}' ends it" in told
    assert process.returncode == 141


def test_a_command_line_in_one_word(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    result = run_rnx("job", "run", "echo it's me")
    assert result.code == 0
    assert jobs.seen(RunJobRequest)[0].command == "echo it's me"
    assert result.err == (
        "note: 'echo it's me' is taken for the name of one program;"
        """ for a shell to read it: rnx job run sh -c 'echo it'"'"'s me'\n"""
    )
    assert run_rnx("job", "run", "echo", "it's me").err == ""
    assert run_rnx("--json", "job", "run", "echo it's me").err == ""


def test_in_a_process_of_its_own(server: Server, jobs: FakeJobs) -> None:
    jobs.answers, jobs.log = {JOB_ID: [ended("FAILED", 7, "exit-code 7")]}, [(1, b"\xff\x00"), (2, b"e")]
    result = spawn_rnx("job", "run", "--wait", "prog")
    assert (result.code, result.out) == (7, b"\xff\x00")
    assert result.err.endswith("\ne")

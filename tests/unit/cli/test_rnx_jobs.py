"""list, status and log against a node; refusals of every command."""

from __future__ import annotations

import json

import grpc
import pytest

from joblet_wire import joblet_pb2

from .conftest import Result, Rnx
from .fakes import JOB_ID, OTHER_ID, FakeJobs

FAILED = joblet_pb2.GetJobStatusResponse(
    uuid=JOB_ID,
    name="train",
    command="sh",
    args=["-c", "echo 'a  b'; exit 3"],
    max_cpu=50,
    max_memory=256,
    max_io_bps=10485760,
    cpu_cores="0-1",
    status="FAILED",
    reason="exit-code 3",
    exit_code=3,
    owner="alice",
    unit=f"joblet-job-{JOB_ID}.service",
    node_id="node-1",
    start_time="2025-01-02T03:04:05.123456789Z",
    end_time="2025-01-02T04:05:06.6Z",
    environment={"B": "2", "A": "1"},
    secret_environment={"TOKEN": "leaked"},
    uploads=["data.csv", "lib"],
    cpu_usec=1_500_000,
    memory_peak_bytes=3 << 20,
    io_read_bytes=0,
    io_write_bytes=2048,
)
WAITING = joblet_pb2.GetJobStatusResponse(
    uuid=JOB_ID,
    name="nightly",
    command="make",
    status="PENDING",
    queue_position=3,
    parent=OTHER_ID,
    priority=-5,
    retries=2,
    attempt=2,
    schedule="Mon..Fri 09:00",
    scheduled_time="T1",
    next_runs=["T1", "T2"],
    max_runtime_ms=5_400_000,
    max_disk=1024,
    files_kept_until="T3",
)
RUNNING = joblet_pb2.GetJobStatusResponse(uuid=JOB_ID, command="sleep", args=["9"], status="RUNNING")


@pytest.mark.usefixtures("server")
class TestList:
    def jobs_of(self, jobs: FakeJobs) -> None:
        jobs.jobs = [
            joblet_pb2.Job(uuid=JOB_ID, node_id="n1", status="RUNNING", command="sleep", args=["300"]),
            joblet_pb2.Job(
                uuid=OTHER_ID,
                status="FAILED",
                reason="exit-code 3",
                command="sh",
                args=["-c", "evil \x1b[2J\nline"],
                start_time="2025-01-02T03:04:05Z",
                end_time="2025-01-02T03:04:06Z",
                exit_code=3,
            ),
        ]

    def test_columns(self, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rnx.output.local_time", lambda text: text and "2025-01-02 03:04:05")
        self.jobs_of(jobs)
        result = run_rnx("job", "list")
        assert result.code == 0
        assert result.text.splitlines() == [
            "ID                                    NODE ID  STATUS   START TIME           COMMAND",
            f"{JOB_ID}  n1       RUNNING  -                    sleep 300",
            f"{OTHER_ID}  -        FAILED   2025-01-02 03:04:05  sh -c 'evil \\x1b[2J\\nline'",
        ]

    def test_on_a_terminal(self, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
        """With names, and without what is not needed where it is too narrow for all."""
        monkeypatch.setattr("rnx.output.local_time", lambda text: text and "2025-01-02 03:04:05")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("NO_COLOR", "1")
        self.jobs_of(jobs)
        jobs.jobs[0].name = "nightly"
        jobs.jobs[0].args[:] = ["3" * 40]
        monkeypatch.setenv("COLUMNS", "80")
        lines = run_rnx("job", "list").text.splitlines()
        assert lines == [
            "ID        STATUS   START TIME           COMMAND",
            f"{JOB_ID[:8]}  RUNNING  -                    nightly: sleep {'3' * 24}…",
            f"{OTHER_ID[:8]}  FAILED   2025-01-02 03:04:05  sh -c 'evil \\x1b[2J\\nline'",
        ]
        assert max(map(len, lines)) == 80
        monkeypatch.setenv("COLUMNS", "120")
        assert run_rnx("job", "list").text.splitlines() == [
            "ID                                    NODE ID  STATUS   START TIME           COMMAND",
            f"{JOB_ID}  n1       RUNNING  -                    nightly: sleep {'3' * 27}…",
            f"{OTHER_ID}  -        FAILED   2025-01-02 03:04:05  sh -c 'evil \\x1b[2J\\nline'",
        ]

    def test_status_filter(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        self.jobs_of(jobs)
        ids = [line.split()[0] for line in run_rnx("job", "list", "--status", "failed").text.splitlines()]
        assert ids == ["ID", OTHER_ID]
        assert len(run_rnx("job", "list", "--status=FAILED", "--status=RUNNING").text.splitlines()) == 3

    def test_the_newest(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        """Picked by the node, and here again: this one, like those of older versions, sends all."""
        self.jobs_of(jobs)
        assert [job["id"] for job in json.loads(run_rnx("job", "list", "--limit=1", "--json").out)] == [OTHER_ID]
        words = ("job", "list", "--limit=1", "--status=running", "--json")
        assert [job["id"] for job in json.loads(run_rnx(*words).out)] == [JOB_ID]
        assert len(json.loads(run_rnx("job", "list", "--limit=1001", "--json").out)) == 2
        assert jobs.requests == [
            joblet_pb2.EmptyRequest(limit=1),
            joblet_pb2.EmptyRequest(limit=1, states=["RUNNING"]),
            joblet_pb2.EmptyRequest(),
        ]
        assert run_rnx("job", "list", "--limit=0").code == 2

    @pytest.mark.parametrize("arguments", [("--json", "job", "list"), ("job", "list", "--json")])
    def test_json(self, jobs: FakeJobs, run_rnx: Rnx, arguments: tuple[str, ...]) -> None:
        self.jobs_of(jobs)
        first, second = json.loads(run_rnx(*arguments).out)
        assert first == {
            "id": JOB_ID,
            "node_id": "n1",
            "name": "",
            "status": "RUNNING",
            "reason": "",
            "owner": "",
            "command": "sleep",
            "args": ["300"],
            "priority": 0,
            "queue_position": None,
            "parent": "",
            "scheduled_time": None,
            "start_time": None,
            "end_time": None,
            "exit_code": None,
        }
        assert (second["exit_code"], second["reason"]) == (3, "exit-code 3")

    def test_a_job_to_come(self, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rnx.output.local_time", lambda text: text and f"local {text}")
        jobs.jobs = [
            # Waits for its second attempt: what counts is when that is.
            joblet_pb2.Job(
                uuid=JOB_ID, status="SCHEDULED", command="a", start_time="before", scheduled_time="later", priority=7
            ),
            joblet_pb2.Job(uuid=OTHER_ID, status="PENDING", command="b", queue_position=2, parent=JOB_ID),
        ]
        assert run_rnx("job", "list").text.splitlines() == [
            "ID                                    NODE ID  STATUS     START TIME   COMMAND",
            f"{JOB_ID}  -        SCHEDULED  local later  a",
            f"{OTHER_ID}  -        PENDING    -            b",
        ]
        first, second = json.loads(run_rnx("job", "list", "--json").out)
        assert (first["scheduled_time"], first["priority"], first["queue_position"]) == ("later", 7, None)
        assert (second["queue_position"], second["parent"]) == (2, JOB_ID)

    def test_none(self, run_rnx: Rnx) -> None:
        assert run_rnx("job", "list").text.split() == ["ID", "NODE", "ID", "STATUS", "START", "TIME", "COMMAND"]
        assert json.loads(run_rnx("job", "list", "--json").out) == []


@pytest.mark.usefixtures("server")
class TestStatus:
    def test_lines(self, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "UTC")
        jobs.answers = {JOB_ID: [FAILED]}
        result = run_rnx("job", "status", JOB_ID[:8])
        assert result.code == 0
        lines = result.text.splitlines()
        for line in (
            f"Job ID: {JOB_ID}",
            "Name: train",
            "Command: sh -c 'echo '\"'\"'a  b'\"'\"'; exit 3'",
            "Status: FAILED",
            "Reason: exit-code 3",
            "Exit Code: 3",
            "Owner: alice",
            "Duration: 1 h 1 min 1 s",
            "CPU Time: 1.5 s",
            "Peak Memory: 3.0 MB",
            "IO: 0 bytes read, 2.0 KB written",
            "Max CPU: 50%",
            "Max Memory: 256 MB",
            "Max IO: 10485760 bytes/s",
            "CPU Cores: 0-1",
            "Uploads: data.csv, lib",
            "  A=1",
            "  B=2",
            "  TOKEN=*** (secret)",
            f"Unit: joblet-job-{JOB_ID}.service",
            f"  on the node: journalctl --namespace=joblet -u joblet-job-{JOB_ID}.service",
        ):
            assert line in lines
        assert "leaked" not in result.text

    def test_a_running_job_has_no_end(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING]}
        assert run_rnx("job", "status", JOB_ID).text.splitlines() == [
            f"Job ID: {JOB_ID}",
            "Command: sleep 9",
            "Status: RUNNING",
        ]
        answer = json.loads(run_rnx("job", "status", "--json", JOB_ID).out)
        assert (answer["exitCode"], answer["cpuUsec"], answer["startTime"]) == (None, None, None)

    @pytest.mark.parametrize("status", ["PENDING", "SCHEDULED", "RUNNING", "STOPPING"])
    def test_a_unit_is_there_while_the_job_is_at_work(self, status: str, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [joblet_pb2.GetJobStatusResponse(uuid=JOB_ID, status=status, unit="u")]}
        last = run_rnx("job", "status", JOB_ID).text.splitlines()[-1]
        assert last == ("  on the node: systemctl status u" if status in ("RUNNING", "STOPPING") else "Unit: u")

    def test_lines_of_time_queue_and_attempts(
        self, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rnx.output.local_time", lambda text: text and f"local {text}")
        jobs.answers = {JOB_ID: [WAITING]}
        result = run_rnx("job", "status", "nightly")
        assert result.text.splitlines() == [
            f"Job ID: {JOB_ID}",
            "Name: nightly",
            "Command: make",
            "Status: PENDING",
            "Queue Position: 3",
            f"Parent: {OTHER_ID}",
            "Priority: -5",
            "Retries: 2",
            "Attempt: 2 of 3",
            "Schedule: Mon..Fri 09:00",
            "Scheduled: local T1",
            "Next Runs: local T1, local T2",
            "Max Runtime: 1 h 30 min 0 s",
            "Max Disk: 1024 MB",
            "Files Kept Until: local T3",
        ]
        answer = json.loads(run_rnx("job", "status", "--json", JOB_ID).out)
        expected = {
            "queuePosition": 3,
            "priority": -5,
            "retries": 2,
            "attempt": 2,
            "parent": OTHER_ID,
            "schedule": "Mon..Fri 09:00",
            "scheduledTime": "T1",
            "nextRuns": ["T1", "T2"],
            "maxRuntimeMs": 5_400_000,
            "maxDisk": 1024,
            "filesKeptUntil": "T3",
        }
        assert {key: answer[key] for key in expected} == expected

    def test_json(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [FAILED]}
        answer = json.loads(run_rnx("job", "status", JOB_ID, "--json").out)
        expected = {
            "uuid": JOB_ID,
            "nodeId": "node-1",
            "startTime": "2025-01-02T03:04:05.123456789Z",
            "exitCode": 3,
            "environment": {"A": "1", "B": "2"},
            "secretEnvironment": {"TOKEN": "***"},
            "command": "sh",
            "ioReadBytes": 0,
        }
        assert {key: answer[key] for key in expected} == expected

    def test_escape_sequences_are_shown_and_not_obeyed(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [joblet_pb2.GetJobStatusResponse(uuid=JOB_ID, reason="\x1b]0;x\x07\n")]}
        assert "Reason: \\x1b]0;x\\x07\\n\n" in run_rnx("job", "status", JOB_ID).text


@pytest.mark.usefixtures("server")
class TestLog:
    NASTY = (
        (1, b"line\n\n  trailing  \r\n"),
        (2, b"to stderr\x00\xff\xfe\n"),
        (1, b"\x00\xc3\x28" + bytes(range(256))),
        (1, b"x" * 1_000_000 + b"\n"),
        (2, b""),
        (0, b"an old server does not tell; no newline"),
    )

    def test_bytes_are_exact(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers, jobs.log = {JOB_ID: [FAILED]}, list(self.NASTY)
        result = run_rnx("job", "log", JOB_ID[:8])
        assert result.code == 0
        assert result.out == b"".join(payload for stream, payload in self.NASTY if stream != 2)
        assert result.err_bytes == b"".join(payload for stream, payload in self.NASTY if stream == 2)

    def test_logs_is_another_name(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers, jobs.log = {JOB_ID: [FAILED]}, [(1, b"out"), (2, b"err")]
        assert run_rnx("job", "logs", JOB_ID) == Result(0, b"out", b"err")

    def test_the_full_id_is_asked_for(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [FAILED]}
        assert run_rnx("job", "log", "--no-follow", JOB_ID[:9]).code == 0
        (request,) = jobs.seen(joblet_pb2.GetJobLogsRequest)
        assert (request.uuid, request.no_follow, request.cursor) == (JOB_ID, True, "")


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.NOT_FOUND, 3),
        (grpc.StatusCode.PERMISSION_DENIED, 4),
        (grpc.StatusCode.UNAUTHENTICATED, 4),
        (grpc.StatusCode.UNAVAILABLE, 5),
        (grpc.StatusCode.FAILED_PRECONDITION, 1),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 1),
        (grpc.StatusCode.INTERNAL, 1),
        (grpc.StatusCode.UNIMPLEMENTED, 1),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("status", JOB_ID),
        ("log", JOB_ID),
        ("stop", JOB_ID),
        ("cancel", JOB_ID),
        ("update", "--priority=1", JOB_ID),
        ("delete", JOB_ID),
        ("delete-all",),
        ("run", "true"),
    ],
)
def test_a_refusal_is_told_and_ends_in_its_exit_code(
    jobs: FakeJobs,
    run_rnx: Rnx,
    arguments: tuple[str, ...],
    status: grpc.StatusCode,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rnx.connection.REPEAT_SECONDS", 0)
    jobs.failure = (status, "Because of\nthis. Do that.")
    result = run_rnx("job", *arguments)
    assert (result.code, result.out) == (code, b"")
    assert result.err.startswith("rnx: ")
    assert "Because of this. Do that." in result.err
    assert result.err.count("\n") == 1

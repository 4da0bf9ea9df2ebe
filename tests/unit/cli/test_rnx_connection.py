"""What keeps rnx from talking to a node, told apart and told how to mend."""

from __future__ import annotations

import datetime
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from joblet_wire.joblet_pb2 import ExecJobResponse, ExecResult, GetJobStatusResponse, RunJobRequest
from rnx.config import Node
from rnx.connection import Connection

from .conftest import Result, Rnx, spawn_rnx, write_config
from .fakes import JOB_ID, FakeJobs, Server
from .pki import Authority, Pair, authority


@pytest.fixture
def list_jobs(tmp_path: Path, run_rnx: Rnx) -> Rnx:
    """Runs ``job list`` with a configuration as given."""

    def run(address: str, pair: Pair | None = None, ca: str | None = None) -> Result:
        return run_rnx("--config", str(write_config(tmp_path / "c.yml", address, pair, ca)), "job", "list")

    return run


def told(result: Result, code: int, *parts: str) -> bool:
    """Whether rnx ended with ``code`` and one paragraph that has all the ``parts``."""
    assert result.err.startswith("rnx: ")
    assert result.err.count("\n") == 1
    assert all(part in result.err for part in parts), result.err
    return result.code == code


def test_client_certificate_expired(server: Server, list_jobs: Rnx) -> None:
    result = list_jobs(server.address, authority().client(days=(-5, -1)))
    assert told(result, 4, "refuses the client certificate", "expired", "jobletd cert renew")


def test_client_certificate_of_another_ca(server: Server, list_jobs: Rnx) -> None:
    result = list_jobs(server.address, Authority().client())
    assert told(result, 4, "refuses the client certificate", "issued by another CA than the one in the configuration")


def test_client_certificate_not_valid_yet(server: Server, list_jobs: Rnx) -> None:
    result = list_jobs(server.address, authority().client(days=(1, 5)))
    assert told(result, 4, "refuses the client certificate", "is the clock right")


def test_client_certificate_that_only_the_server_dislikes(
    jobs: FakeJobs, list_jobs: Rnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's certificate is of the CA we know, and that is not the one it wants from its clients."""
    monkeypatch.setattr("rnx.connection.REPEAT_SECONDS", 0)
    monkeypatch.setattr("rnx.connection.NEXT_TRY_SECONDS", 0.1)
    other = Server(jobs, client_ca=Authority().cert)
    try:
        assert told(list_jobs(other.address), 4, "refuses the client certificate (", "Copy its rnx-config.yml again")
    finally:
        other.stop()


def test_server_of_another_ca(server: Server, list_jobs: Rnx) -> None:
    result = list_jobs(server.address, ca=Authority().cert)
    assert told(result, 5, "is not signed by the CA in the configuration", "Copy the node's rnx-config.yml again")


def test_server_with_another_name(jobs: FakeJobs, list_jobs: Rnx) -> None:
    other = Server(jobs, authority().server("elsewhere"))
    try:
        assert told(list_jobs(other.address), 5, "is not one for 'joblet'")
    finally:
        other.stop()


@pytest.mark.parametrize(
    ("days", "part"), [((-5, -1), "has expired"), ((1, 5), "is not valid yet; is the clock right")]
)
def test_server_certificate_out_of_its_time(days: tuple[int, int], part: str, jobs: FakeJobs, list_jobs: Rnx) -> None:
    other = Server(jobs, authority().server("joblet", days=days))
    try:
        assert told(list_jobs(other.address), 5, part)
    finally:
        other.stop()


def test_nothing_listens(list_jobs: Rnx) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = list_jobs(f"127.0.0.1:{port}")
    assert told(result, 5, f"nothing listens at node 'default' (127.0.0.1:{port})", "systemctl status joblet")


def test_no_such_host(list_jobs: Rnx) -> None:
    assert told(list_jobs("nosuchhost.invalid:50051"), 5, "cannot find the address of node 'default'")


def test_no_answer(list_jobs: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [("grpc.min_reconnect_backoff_ms", 300)]
    monkeypatch.setattr("rnx.connection.OPTIONS", options)
    monkeypatch.setattr("rnx.diagnose.TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # Once its queue is full, a listener that does not accept answers to nobody.
        queue = [socket.socket() for _ in range(4)]
        for waiting in queue:
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        result = list_jobs(f"127.0.0.1:{listener.getsockname()[1]}")
        for waiting in queue:
            waiting.close()
    assert told(result, 5, "does not answer: a wrong address, a firewall on the way, or the host is down")


def test_a_server_of_another_kind(list_jobs: Rnx) -> None:
    def greet(listener: socket.socket) -> None:
        for _ in range(2):  # gRPC's attempt, and the one that finds out why it failed
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=greet, args=(listener,), daemon=True)
        server.start()
        result = list_jobs(f"127.0.0.1:{listener.getsockname()[1]}")
        server.join(5)
    assert told(result, 5, "does not speak TLS: that is not a Joblet daemon")


@pytest.mark.parametrize(
    ("cert", "key", "ca"),
    [
        (authority().client().cert, authority().client().key, None),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", authority().client().key, None),
        (authority().client().cert, authority().client().cert, None),
        (authority().client().cert, authority().client().key, "-----BEGIN NONSENSE-----\n"),
    ],
)
def test_unusable_keys(cert: str, key: str, ca: str | None, server: Server, list_jobs: Rnx) -> None:
    result = list_jobs(server.address, Pair(cert, key), ca)
    assert told(result, 2, "the keys of node 'default' in the configuration are unusable", "must be PEM")


def test_a_proxy_is_not_asked_for_this_machine(server: Server, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert run_rnx("job", "list").code == 0


def test_a_proxy_is_named_where_it_may_be_the_cause(list_jobs: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "no_grpc_proxy", "grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    result = list_jobs("nosuchhost.invalid:50051")
    assert told(result, 5, "cannot find the address", "https_proxy is set")


@pytest.mark.usefixtures("server")
def test_a_long_wait_is_explained_on_a_terminal(jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr("rnx.output.PATIENCE", 0.05)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(jobs, "_enter", lambda _request, _context: answered.wait(0.3))
    assert "note: waiting for the list of jobs (node 'default', 127.0.0.1:" in run_rnx("job", "list").err


def test_quiet_about_grpc_and_python(server: Server, tmp_path: Path) -> None:
    """No log line of gRPC, no traceback: one paragraph, in a process of its own."""
    config = write_config(tmp_path / "c.yml", server.address, ca=Authority().cert)
    result = spawn_rnx("--config", str(config), "job", "list")
    assert told(result, 5, "is not signed by the CA")
    assert result.out == b""


def test_silence_of_a_job_is_explained_on_a_terminal(
    server: Server, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.answers, jobs.log = {JOB_ID: [GetJobStatusResponse(uuid=JOB_ID)]}, [(1, b"x")]
    monkeypatch.setattr("rnx.output.PATIENCE", 0.05)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    jobs.before_chunk = lambda _context, _number: time.sleep(0.2)
    assert run_rnx("job", "log", JOB_ID) == Result(0, b"x", f"note: waiting for output of job {JOB_ID}\n".encode())


def in_days(days: float) -> str:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    return end.isoformat(timespec="seconds").replace("+00:00", "Z")


@pytest.mark.parametrize(("days", "left"), [(12.5, "in 12 days"), (1.5, "in 1 day"), (0.5, "within a day")])
def test_a_certificate_that_ends_soon(days: float, left: str, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.expires = in_days(days)
    result = run_rnx("job", "list")
    assert result.code == 0
    assert result.err.startswith(f"note: the certificate of node 'default' ends {left}, on 2")
    assert "jobletd cert renew" in result.err
    as_json = run_rnx("--json", "job", "list")
    assert json.loads(as_json.out) == []
    assert as_json.err == result.err


def test_it_is_told_once_and_when_a_call_fails_too(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.expires = in_days(3.5)
    result = run_rnx("job", "stop", "00000000", "11111111")
    assert result.code == 3
    assert [line.partition(":")[0] for line in result.err.splitlines()] == ["note", "rnx", "rnx"]


def test_it_is_not_told_in_the_middle_of_json(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.expires = in_days(3.5)
    jobs.answers[JOB_ID] = [GetJobStatusResponse(uuid=JOB_ID, status="COMPLETED")]
    result = run_rnx("--json", "job", "run", "--wait", "true")
    assert result.code == 0
    assert json.loads(result.err)["job_uuid"] == JOB_ID


@pytest.mark.parametrize("told", ["", "soon", "\x1b[2J"[1:]])
def test_nonsense_about_the_end_is_ignored(told: str, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.expires = told
    assert run_rnx("job", "list").err == ""


@pytest.mark.parametrize("closed", [1, 3])
@pytest.mark.parametrize(
    "words",
    [
        ("job", "list"),
        ("job", "run", "true"),
        ("job", "stop", JOB_ID),
        ("job", "top"),
        ("job", "exec", JOB_ID, "true"),
        ("monitor", "status"),
    ],
    ids=" ".join,
)
def test_a_daemon_that_is_restarted_as_rnx_connects(
    words: tuple[str, ...], closed: int, server: Server, jobs: FakeJobs
) -> None:
    jobs.answers[JOB_ID] = [GetJobStatusResponse(uuid=JOB_ID, status="RUNNING")]
    jobs.execution = lambda _requests: iter([ExecJobResponse(result=ExecResult())])
    server.interrupt(closed)
    result = spawn_rnx(*words)
    assert (result.code, result.err) == (0, "")
    assert len(jobs.seen(RunJobRequest)) == words.count("run")


def test_uploads_are_sent_again_if_nothing_of_them_arrived(
    server: Server, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(b"x" * 1_000_000)
    server.interrupt(2)
    assert run_rnx("job", "run", "--upload", "data", "true").code == 0
    assert [len(request.uploads[0].content) for request in jobs.seen(RunJobRequest)] == [1_000_000]


def test_a_wait_for_the_daemon_is_told(server: Server, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnx.output.PATIENCE", 0)
    server.interrupt(3)
    result = run_rnx("job", "list")
    assert result.code == 0
    assert result.err.startswith("note: waiting for node 'default' (127.0.0.1:")
    assert result.err.endswith("): the connection broke; jobs are not affected\n")


def test_a_wait_for_the_daemon_is_not_told_before_json(
    server: Server, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.answers[JOB_ID] = [GetJobStatusResponse(uuid=JOB_ID, status="COMPLETED")]
    monkeypatch.setattr("rnx.output.PATIENCE", 0)
    server.interrupt(3)
    result = run_rnx("--json", "job", "run", "--wait", "true")
    assert (result.code, json.loads(result.err)["job_uuid"]) == (0, JOB_ID)


def test_it_does_not_wait_for_ever(server: Server, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnx.connection.REPEAT_SECONDS", 0.2)
    monkeypatch.setattr("rnx.connection.NEXT_TRY_SECONDS", 0.1)
    server.interrupt(1_000_000)
    assert told(run_rnx("job", "list"), 4, "refuses the client certificate (", "Copy its rnx-config.yml again")


BREAKS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.mark.parametrize("code", BREAKS)
@pytest.mark.parametrize("words", [("list",), ("status", JOB_ID), ("update", "--priority=1", JOB_ID)], ids=" ".join)
def test_what_may_be_done_twice_is_repeated(
    words: tuple[str, ...], code: grpc.StatusCode, broken_once: Callable[[grpc.StatusCode], None], run_rnx: Rnx
) -> None:
    broken_once(code)
    result = run_rnx("job", *words)
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("code", BREAKS)
@pytest.mark.parametrize(
    "words", [("run", "true"), ("stop", JOB_ID), ("cancel", JOB_ID), ("delete", JOB_ID), ("delete-all",)], ids=" ".join
)
def test_what_may_have_been_done_is_not_repeated(
    words: tuple[str, ...],
    code: grpc.StatusCode,
    broken_once: Callable[[grpc.StatusCode], None],
    jobs: FakeJobs,
    run_rnx: Rnx,
) -> None:
    broken_once(code)
    assert told(run_rnx("job", *words), 5, "Whether it was carried out is not known: 'rnx job list' may tell.")
    assert len(jobs.requests) == 1


@pytest.fixture
def broken_once(server: Server, jobs: FakeJobs, monkeypatch: pytest.MonkeyPatch) -> Callable[[grpc.StatusCode], None]:
    """Has the first call end with a status, as if the daemon went away when it had been carried out."""
    jobs.answers[JOB_ID] = [GetJobStatusResponse(uuid=JOB_ID, status="RUNNING")]

    def begin(code: grpc.StatusCode) -> None:
        enter = jobs._enter

        def broken(request: object, context: grpc.ServicerContext) -> None:
            enter(request, context)
            if len(jobs.requests) == 1:
                context.abort(code, "The daemon goes away.")

        monkeypatch.setattr(jobs, "_enter", broken)

    return begin


@pytest.mark.parametrize("words", [("job", "top"), ("monitor", "watch")], ids=" ".join)
def test_views_too_fail_at_once_where_nothing_listens(
    words: tuple[str, ...], tmp_path: Path, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rnx.connection.RECONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setattr(Connection, "reconnect", lambda _connection, _attempt: pytest.fail("it waits for a node"))
    result = run_rnx("--config", str(write_config(tmp_path / "c.yml", address)), *words)
    assert told(result, 5, "nothing listens at node 'default'")


def test_a_daemon_that_says_nothing(list_jobs: Rnx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rnx.connection.OPTIONS", [("grpc.min_reconnect_backoff_ms", 300)])
    monkeypatch.setattr("rnx.connection.REPEAT_SECONDS", 0)
    monkeypatch.setattr("rnx.connection.NEXT_TRY_SECONDS", 0.1)
    monkeypatch.setattr("rnx.diagnose.TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = list_jobs(f"127.0.0.1:{listener.getsockname()[1]}")
    assert told(result, 5, "accepts connections and says nothing: its daemon starts, or hangs")


def test_it_connects_before_the_first_call() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        pair = authority().client()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        made = Connection(Node("default", address, pair.cert, pair.key, authority().cert, "", True))
        accepted, _ = listener.accept()
        accepted.close()
        # Not close(): gRPC's thread that watches the connection would raise if it looked just then.
        del made

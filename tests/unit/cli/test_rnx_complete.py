"""What a shell is offered for ids, names and nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from joblet_wire import joblet_pb2

from .conftest import Result, Rnx, spawn_rnx, write_config
from .fakes import JOB_ID, OTHER_ID, FakeJobs, Server

THIRD_ID = "aaaaaaaa-1111-4222-8333-944455556666"

Offered = Callable[[str], list[str]]


def ask(line: str) -> dict[str, str]:
    """How bash asks for the last word of a command line."""
    return {"_RNX_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch, run_rnx: Rnx) -> Offered:
    def complete(line: str) -> list[str]:
        """What bash is offered for the last word of a command line."""
        for name, value in ask(line).items():
            monkeypatch.setenv(name, value)
        result = run_rnx()
        assert (result.code, result.err) == (0, "")
        return [entry.removeprefix("plain,") for entry in result.text.splitlines() if entry]

    return complete


@pytest.fixture
def three(jobs: FakeJobs) -> None:
    jobs.jobs = [
        joblet_pb2.Job(uuid=JOB_ID, name="queue", status="RUNNING", command="a\nb"),
        joblet_pb2.Job(uuid=OTHER_ID, name="nightly", status="SCHEDULED", command="c"),
        joblet_pb2.Job(uuid=THIRD_ID, name="$(reboot)", status="FAILED", command="d"),
    ]


@pytest.mark.usefixtures("server", "three")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rnx job status ", [JOB_ID, "queue", OTHER_ID, "nightly", THIRD_ID]),
        ("rnx job log 0f", [JOB_ID, OTHER_ID]),
        ("rnx job status q", ["queue"]),
        ("rnx job stop ", [JOB_ID, "queue", OTHER_ID, "nightly"]),
        ("rnx job stop queue n", ["nightly"]),
        ("rnx job cancel ", [OTHER_ID, "nightly"]),
        ("rnx job update --priority=1 q", ["queue"]),
        ("rnx job delete ", [THIRD_ID]),
        ("rnx job attach ", [JOB_ID, "queue", OTHER_ID, "nightly"]),
        ("rnx job exec ", [JOB_ID, "queue"]),
    ],
)
def test_jobs(offered: Offered, line: str, words: list[str]) -> None:
    assert offered(line) == words


def test_the_node_is_asked_for_the_newest_that_fit(offered: Offered, server: Server, jobs: FakeJobs) -> None:
    offered("rnx job cancel ")
    assert jobs.requests == [joblet_pb2.EmptyRequest(limit=1000, states=["PENDING", "SCHEDULED"])]


def test_states(offered: Offered) -> None:
    # Capital or small is up to the version of click; both are taken.
    assert [word.upper() for word in offered("rnx job list --status RUN")] == ["RUNNING"]


@pytest.mark.parametrize("line", ["rnx --node ", "rnx job status --node ", "rnx --node=d"])
def test_nodes(offered: Offered, server: Server, line: str) -> None:
    assert offered(line) == ["default"]


def test_the_node_asked_is_the_one_of_the_line(offered: Offered, server: Server, three: None) -> None:
    assert offered("rnx --node nosuch job status ") == []
    assert "queue" in offered("rnx --node default job status ")


@pytest.mark.parametrize("line", ["rnx job status ", "rnx --node "])
def test_without_a_configuration_there_is_nothing(offered: Offered, line: str) -> None:
    assert offered(line) == []


def test_a_node_that_is_away(offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(tmp_path / "away.yml", "127.0.0.1:1")
    config.chmod(0o644)  # rnx has a word to say about that, but not here
    monkeypatch.setenv("RNX_CONFIG", str(config))
    assert offered("rnx job status ") == []


def test_grpc_says_nothing_about_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNX_CONFIG", str(write_config(tmp_path / "away.yml", "nosuchhost.invalid:1")))
    for name, value in ask("rnx job status ").items():
        monkeypatch.setenv(name, value)
    assert spawn_rnx() == Result(0, b"", b"")


@pytest.mark.parametrize("failure", [ValueError("a date that is none"), KeyboardInterrupt()])
def test_whatever_fails_nothing_is_offered(
    failure: BaseException, offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_given: str | None) -> None:
        raise failure

    monkeypatch.setattr("rnx.config.load", fail)
    assert offered("rnx --node ") == []


def test_a_node_that_refuses(offered: Offered, server: Server, jobs: FakeJobs) -> None:
    jobs.failure = (grpc.StatusCode.PERMISSION_DENIED, "No.")
    assert offered("rnx job status ") == []

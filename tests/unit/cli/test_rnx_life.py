"""stop, cancel, update, delete and delete-all against a node."""

from __future__ import annotations

import io
import json

import pytest

from joblet_wire import joblet_pb2

from .conftest import Rnx
from .fakes import JOB_ID, OTHER_ID, FakeJobs, Server

RUNNING = joblet_pb2.GetJobStatusResponse(uuid=JOB_ID, name="queue", command="sleep", args=["9"], status="RUNNING")
OTHER = joblet_pb2.GetJobStatusResponse(uuid=OTHER_ID, status="SCHEDULED")


class TestStop:
    def test_several(self, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING], OTHER_ID: [OTHER]}
        result = run_rnx("job", "stop", JOB_ID, "nosuchjob", OTHER_ID)
        assert result.code == 3
        assert result.text == f"ID: {JOB_ID}\nStatus: STOPPED\nID: {OTHER_ID}\nStatus: STOPPED\n"
        assert result.err == "rnx: 0 jobs begin with nosuchjob. List them with 'rnx job list'.\n"

    def test_json(self, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING]}
        answer = json.loads(run_rnx("job", "stop", JOB_ID, "--json").out)
        assert answer == [{"job_uuid": JOB_ID, "status": "STOPPED", "end_time": "2025-01-02T03:04:05Z"}]

    def test_an_ambiguous_prefix_is_a_usage_error(self, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING], OTHER_ID: [RUNNING]}
        assert run_rnx("job", "stop", "0f9c1f6e").code == 2

    def test_no_id(self, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
        assert run_rnx("job", "stop").code == 2
        assert jobs.requests == []


@pytest.mark.usefixtures("server")
class TestCancel:
    def test_several_by_name_and_prefix(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING], OTHER_ID: [OTHER]}
        result = run_rnx("job", "cancel", "queue", "nosuchjob", OTHER_ID[:15])
        assert result.code == 3
        assert result.text == f"ID: {JOB_ID}\nStatus: CANCELED\nID: {OTHER_ID}\nStatus: CANCELED\n"
        assert "nosuchjob" in result.err

    def test_json(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {OTHER_ID: [OTHER]}
        answer = json.loads(run_rnx("--json", "job", "cancel", OTHER_ID).out)
        assert answer == [{"job_uuid": OTHER_ID, "status": "CANCELED"}]


@pytest.mark.usefixtures("server")
class TestDelete:
    def test_several(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING], OTHER_ID: [OTHER]}
        result = run_rnx("job", "delete", JOB_ID, OTHER_ID)
        assert (result.code, result.err) == (0, "")
        assert result.text == f"ID: {JOB_ID}\nDeleted: yes\nID: {OTHER_ID}\nDeleted: yes\n"

    def test_json(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING]}
        answer = json.loads(run_rnx("--json", "job", "delete", "queue").out)
        assert answer == [{"job_uuid": JOB_ID, "deleted": True}]

    def test_a_node_that_says_no_success_is_a_failure(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers, jobs.undeleted = {JOB_ID: [RUNNING]}, "It still runs."
        result = run_rnx("job", "delete", JOB_ID)
        assert (result.code, result.out, result.err) == (1, b"", "rnx: It still runs.\n")


class Terminal(io.StringIO):
    """Where a person types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.usefixtures("server")
class TestDeleteAll:
    def type(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(text))
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)

    def test_on_a_pipe_it_does_not_ask(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        result = run_rnx("job", "delete-all")
        assert (result.code, result.err) == (0, "")
        assert result.text == "Deleted: 3\nSkipped: 1 (not ended yet, or not yours)\n"

    def test_json(self, run_rnx: Rnx) -> None:
        assert json.loads(run_rnx("job", "delete-all", "--json").out) == {"deleted": 3, "skipped": 1}

    @pytest.mark.parametrize(("typed", "code", "deleted"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0), ("", 130, 0)])
    def test_on_a_terminal_it_asks(
        self, typed: str, code: int, deleted: int, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.type(typed, monkeypatch)
        result = run_rnx("job", "delete-all")
        assert (result.code, len(jobs.requests)) == (code, deleted)
        assert "Forget all your ended jobs on node 'default', and remove their files? [y/N]" in result.err
        assert deleted or "nothing was deleted" in result.err

    @pytest.mark.parametrize("option", ["--yes", "-y"])
    def test_unless_told_not_to(
        self, option: str, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.type("", monkeypatch)
        result = run_rnx("job", "delete-all", option)
        assert (result.code, result.err) == (0, "")

    def test_a_failure(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.undeleted = "The disk is full."
        assert (run_rnx("job", "delete-all").code, run_rnx("job", "delete-all").err) == (1, "rnx: The disk is full.\n")


@pytest.mark.usefixtures("server")
class TestUpdate:
    def test_what_is_not_given_is_not_sent(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers, jobs.notices = {JOB_ID: [RUNNING]}, ["The memory in use is more."]
        result = run_rnx("job", "update", "queue", "--max-memory=1GB", "--priority", "-7")
        assert (result.code, result.text) == (0, f"ID: {JOB_ID}\nStatus: RUNNING\n")
        assert result.err == "note: The memory in use is more.\n"
        (request,) = jobs.requests
        assert request == joblet_pb2.UpdateJobRequest(uuid="queue", max_memory=1024, priority=-7)

    def test_none_takes_limits_away(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers = {JOB_ID: [RUNNING]}
        limits = ("--max-cpu", "--cpu-cores", "--max-memory", "--max-iobps", "--max-runtime")
        result = run_rnx("job", "update", "--json", *(f"{limit}=None" for limit in limits), JOB_ID)
        assert json.loads(result.out) == {"job_uuid": JOB_ID, "status": "RUNNING", "notices": []}
        (request,) = jobs.requests
        assert request == joblet_pb2.UpdateJobRequest(
            uuid=JOB_ID, max_cpu=0, cpu_cores="", max_memory=0, max_io_bps=0, max_runtime_ms=0
        )

    @pytest.mark.parametrize(
        "options", [(), ("--max-cpu=0",), ("--priority=none",), ("--priority=101",), ("--max-runtime=0",)]
    )
    def test_refused_before_any_call(self, options: tuple[str, ...], jobs: FakeJobs, run_rnx: Rnx) -> None:
        assert run_rnx("job", "update", *options, JOB_ID).code == 2
        assert jobs.requests == []

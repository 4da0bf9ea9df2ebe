"""Clients of version 2, the newest and older ones: what they send is done, what they get they understand."""

from __future__ import annotations

import datetime
import hashlib
import re
import uuid
from typing import Any

import grpc
import pytest
from hosts import FINAL, Host, until
from old_clients import LEGACY, NEWEST, OldClient
from test_access import node

from joblet_wire import joblet_pb2

# What Go's time.Parse takes for time.RFC3339.
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
# os.FileMode, as Go's clients send it (io/fs): a directory, a link, set-user-ID.
GO_DIRECTORY, GO_LINK, GO_SETUID = 1 << 31, 1 << 27, 1 << 23
NEVER = str(uuid.UUID(int=0))


def open_channel(host: Host, name: str = "default") -> grpc.Channel:
    reached = node(host, name)
    credentials = grpc.ssl_channel_credentials(
        reached["ca"].encode(), reached["key"].encode(), reached["cert"].encode()
    )
    return grpc.secure_channel(reached["address"], credentials, [("grpc.ssl_target_name_override", "joblet")])


class User:
    """An old client, and what its user does with it."""

    def __init__(self, channel: grpc.Channel, *, older: bool) -> None:
        self.older = older
        self.client = OldClient(channel, [NEWEST, LEGACY] if older else [NEWEST], camel=older)

    def run(self, *command: str, **fields: Any) -> str:
        answer = self.client.call("RunJob", command=command[0], args=command[1:], **fields)
        job = str(self.client.read(answer, "job_uuid"))
        assert str(uuid.UUID(job)) == job
        return job

    def status(self, job: str) -> dict[str, Any]:
        answer = self.client.call("GetJobStatus", uuid=job)
        names = (
            *("uuid", "command", "args", "max_cpu", "cpu_cores", "max_memory", "max_io_bps", "status", "start_time"),
            *("end_time", "exit_code", "scheduled_time", "environment", "secret_environment", "network", "volumes"),
            *("runtime", "work_dir", "uploads", "gpu_indices", "gpu_count", "gpu_memory_mb", "node_id"),
        )
        return {name: self.client.read(answer, name) for name in names}

    def result(self, job: str) -> dict[str, Any]:
        until(lambda: self.status(job)["status"] in FINAL)
        return self.status(job)

    def running(self, job: str) -> None:
        until(lambda: self.status(job)["status"] == "RUNNING")

    def log(self, job: str) -> bytes:
        return b"".join(chunk.payload for chunk in self.client.call("GetJobLogs", uuid=job))

    def listed(self) -> dict[str, Any]:
        return {job.uuid: job for job in self.client.call("ListJobs").jobs}

    def upload(self, path: str, content: bytes = b"", mode: int = 0o644, *, directory: bool = False) -> Any:
        return self.client.message("FileUpload", path=path, content=content, mode=mode, is_directory=directory)

    def refused(self, method: str, **fields: Any) -> tuple[grpc.StatusCode, str]:
        """The code and the text that the user gets."""

        def ask() -> None:
            answer = self.client.call(method, **fields)
            if method in ("GetJobLogs", "StreamSystemMetrics"):
                list(answer)

        with pytest.raises(grpc.RpcError) as caught:
            ask()
        code: grpc.StatusCode = caught.value.code()
        return code, str(caught.value.details())


@pytest.fixture(params=["newest", "older"])
def user(host: Host, request: pytest.FixtureRequest) -> Any:
    with open_channel(host) as channel:
        yield User(channel, older=request.param == "older")


def test_a_job_from_its_submission_to_its_deletion(user: User) -> None:
    answer = user.client.call("RunJob", command="sh", args=["-c", "echo out; echo err >&2; exit 3"])
    job = user.client.read(answer, "job_uuid")
    assert answer.status == "PENDING"
    if user.older:
        assert (answer.command, list(answer.args)) == ("sh", ["-c", "echo out; echo err >&2; exit 3"])
        assert (answer.exitCode, answer.endTime, answer.scheduledTime) == (0, "", "")
    assert sorted(user.log(job).splitlines()) == [b"err", b"out"]
    status = user.result(job)
    assert (status["status"], status["exit_code"]) == ("FAILED", 3)
    assert (status["command"], list(status["args"])) == ("sh", ["-c", "echo out; echo err >&2; exit 3"])
    assert RFC3339.fullmatch(status["start_time"])
    assert RFC3339.fullmatch(status["end_time"])
    assert status["start_time"] <= status["end_time"]
    # What there is none of is empty, so that a client shows nothing of it.
    assert (status["scheduled_time"], status["runtime"], status["cpu_cores"]) == ("", "", "")
    assert (status["gpu_count"], status["max_cpu"], status["max_memory"], status["max_io_bps"]) == (0, 0, 0, 0)
    assert not status["volumes"]
    assert status["node_id"]
    # The first eight characters are enough everywhere.
    assert user.status(job[:8])["uuid"] == job
    assert user.log(job[:8]) == user.log(job)
    entry = user.listed()[job]
    assert (entry.status, entry.command, user.client.read(entry, "exit_code")) == ("FAILED", "sh", 3)
    assert user.client.read(entry, "start_time") == status["start_time"]
    deleted = user.client.call("DeleteJob", uuid=job[:8])
    assert (deleted.uuid, deleted.success) == (job, True)
    assert deleted.message
    assert job not in user.listed()
    for method in ("GetJobStatus", "GetJobLogs", "StopJob", "CancelJob", "DeleteJob"):
        assert user.refused(method, uuid=job)[0] is grpc.StatusCode.NOT_FOUND, method


def test_output_comes_while_the_job_runs(user: User) -> None:
    job = user.run("sh", "-c", "printf 'no newline \\0\\377'; sleep 300")
    chunks = user.client.call("GetJobLogs", uuid=job)
    assert next(chunks).payload == b"no newline \0\xff"
    user.running(job)
    assert user.client.call("StopJob", uuid=job).status == "STOPPED"
    assert list(chunks) == []


def test_stop(user: User) -> None:
    job = user.run("sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done")
    next(user.client.call("GetJobLogs", uuid=job))
    user.running(job)
    for method in ("CancelJob", "DeleteJob"):
        code, text = user.refused(method, uuid=job)
        assert code is grpc.StatusCode.FAILED_PRECONDITION
        assert "RUNNING" in text
    stopped = user.client.call("StopJob", uuid=job[:8])
    assert (stopped.uuid, stopped.status) == (job, "STOPPED")
    assert RFC3339.fullmatch(user.client.read(stopped, "end_time"))
    assert user.client.read(stopped, "exit_code") == user.status(job)["exit_code"]
    code, text = user.refused("StopJob", uuid=job)
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "has ended already" in text


def test_a_schedule_and_its_cancellation(user: User) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=-7))
    later = (datetime.datetime.now(zone) + datetime.timedelta(hours=1)).isoformat(timespec="seconds")
    answer = user.client.call("RunJob", command="true", schedule=later)
    job = user.client.read(answer, "job_uuid")
    assert answer.status == "SCHEDULED"
    status = user.status(job)
    assert status["status"] == "SCHEDULED"
    assert RFC3339.fullmatch(status["scheduled_time"])
    assert datetime.datetime.fromisoformat(status["scheduled_time"]) == datetime.datetime.fromisoformat(later)
    if user.older:
        assert answer.scheduledTime == status["scheduled_time"]
    assert status["start_time"] == ""
    canceled = user.client.call("CancelJob", uuid=job)
    assert (canceled.uuid, canceled.status) == (job, "CANCELED")
    assert user.status(job)["status"] == "CANCELED"
    assert user.refused("CancelJob", uuid=job)[0] is grpc.StatusCode.FAILED_PRECONDITION
    # 'rnx job stop' is what old clients propose for scheduled jobs.
    scheduled = user.run("true", schedule=later)
    assert user.client.call("StopJob", uuid=scheduled).status == "STOPPED"


def test_a_schedule_comes_true(user: User) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    job = user.run("date", "+%s", schedule=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert user.result(job)["status"] == "COMPLETED"
    assert int(user.log(job)) >= int(soon.timestamp())


def test_uploads_inside_of_the_request(user: User) -> None:
    # In the order in which Go's filepath.Walk comes to them.
    uploads = [
        user.upload("data.bin", bytes(range(256)) * 1000),
        user.upload("link", b"what it leads to\n", GO_LINK | 0o777),
        user.upload("project", mode=GO_DIRECTORY | 0o750, directory=True),
        user.upload("project/empty", mode=GO_DIRECTORY | 0o755, directory=True),
        user.upload("project/run.sh", b"#!/bin/sh\necho ran in $PWD\n", GO_SETUID | 0o755),
        user.upload("made/on/the/way", b"x"),
    ]
    script = (
        "cd project && ./run.sh && cd .. && cat link && stat -c '%n %a %F' data.bin link project project/run.sh && "
        "cksum <data.bin && ls -A project/empty && cat made/on/the/way"
    )
    job = user.run("sh", "-c", script, uploads=uploads)
    assert user.log(job).decode().splitlines() == [
        "ran in /work/project",
        "what it leads to",
        "data.bin 644 regular file",
        "link 777 regular file",
        "project 750 directory",
        "project/run.sh 755 regular file",
        "2080856851 256000",
        "x",
    ]
    status = user.result(job)
    assert status["status"] == "COMPLETED"
    assert {"data.bin", "project", "made"} <= set(status["uploads"])
    assert status["work_dir"] == "/work"


@pytest.mark.parametrize(
    ("path", "mode"), [("../x", 0o644), ("/etc/x", 0o644), ("device", 1 << 26 | 0o600), ("pipe", 1 << 25 | 0o600)]
)
def test_uploads_that_lead_outside_start_nothing(user: User, path: str, mode: int) -> None:
    before = set(user.listed())
    uploads = [user.upload("good", b"x"), user.upload(path, b"x", mode)]
    code, text = user.refused("RunJob", command="true", uploads=uploads)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert path in text
    assert set(user.listed()) == before


def test_environment(user: User) -> None:
    job = user.run("printenv", "GREETING", environment={"GREETING": "a b\n$HOME ü", "OTHER": ""})
    assert user.log(job).decode() == "a b\n$HOME ü\n"
    assert dict(user.status(job)["environment"]) == {"GREETING": "a b\n$HOME ü", "OTHER": ""}
    assert user.client.read(user.listed()[job], "environment")["GREETING"] == "a b\n$HOME ü"


def test_secrets_reach_the_job_and_nobody_else(host: Host, user: User) -> None:
    secret = f"s3cret-{uuid.uuid4()}"
    since = host.exec("date", "+--since=@%s").stdout.strip()
    job = user.run("sh", "-c", "printenv TOKEN | md5sum; sleep 300", secret_environment={"TOKEN": secret})
    told = next(user.client.call("GetJobLogs", uuid=job)).payload.split()[0]
    assert told.decode() == hashlib.md5(f"{secret}\n".encode()).hexdigest()
    user.running(job)
    status, entry = user.status(job), user.listed()[job]
    for secrets in (status["secret_environment"], user.client.read(entry, "secret_environment")):
        assert dict(secrets) == {"TOKEN": "***"}
    assert not status["environment"]
    shown = host.exec(
        "sh", "-c", f"systemctl show {host.unit(job)}; journalctl --namespace=+joblet {since}; ps ax"
    ).stdout
    assert secret not in shown
    assert user.client.call("StopJob", uuid=job).status == "STOPPED"


def test_limits(host: Host, user: User) -> None:
    limits = {"max_cpu": 150, "cpu_cores": "0", "max_memory": 64, "max_io_bps": 1_000_000}
    # Some hosts cannot enforce them; here is seen that they arrive.
    with host.configured("jobs: {unenforced_limits: warn}"):
        answer = until(lambda: _answered(lambda: user.client.call("RunJob", command="true", **limits)))
        job = user.client.read(answer, "job_uuid")
        if user.older:
            assert (answer.maxCpu, answer.cpuCores, answer.maxMemory, answer.maxIobps) == tuple(limits.values())
        status, entry = user.result(job), user.listed()[job]
        assert status["status"] == "COMPLETED"
        for name, value in limits.items():
            assert status[name] == user.client.read(entry, name) == value
    until(lambda: _answered(user.listed) is not None)


def _answered(call: Any) -> Any:
    """None while the daemon starts again."""
    try:
        return call()
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return None
        raise


@pytest.mark.parametrize(
    ("named", "fields"),
    [
        ("command", {"command": ""}),
        ("max_cpu", {"max_cpu": -1}),
        ("max_memory", {"max_memory": -5}),
        ("max_io_bps", {"max_io_bps": -1}),
        ("cpu_cores", {"cpu_cores": "4-2"}),
        ("schedule", {"schedule": "2001-01-01T00:00:00Z"}),
        ("schedule", {"schedule": "whenever"}),
        ("environment", {"environment": {"1A": "x"}}),
        ("work_dir", {"work_dir": "/etc"}),
        ("volumes", {"volumes": ["data"]}),
        ("runtime", {"runtime": "python-3.11"}),
        ("network", {"network": "no-such-network"}),
        ("gpu_count", {"gpu_count": 1}),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(user: User, named: str, fields: dict[str, Any]) -> None:
    before = set(user.listed())
    code, text = user.refused("RunJob", **{"command": "true", **fields})
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith(named)
    assert set(user.listed()) == before


def test_fields_of_older_clients(host: Host) -> None:
    with open_channel(host) as channel:
        older = User(channel, older=True)
        job = older.run("true", name="nightly")
        assert older.client.call("GetJobStatus", uuid=job).name == "nightly"
        assert older.listed()[job].name == "nightly"
        assert older.client.call("GetJobStatus", uuid="nightly").name == "nightly"
        older.result(job)
        assert older.client.call("DeleteJob", uuid=job).success
        needed = older.client.message("JobRequirement", jobUuid=job, status="COMPLETED")
        for named, value in (("workflowUuid", NEVER), ("requirements", [needed])):
            code, text = older.refused("RunJob", command="true", **{named: value})
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert text.startswith(named)


def test_delete_all_counts(host: Host) -> None:
    with open_channel(host, "developer") as channel, open_channel(host) as administrator:
        developer, admin = User(channel, older=False), User(administrator, older=True)
        ended, running, foreign = developer.run("true"), developer.run("sleep", "300"), admin.run("true")
        developer.result(ended)
        admin.result(foreign)
        developer.running(running)
        before = developer.listed()
        answer = developer.client.call("DeleteAllJobs")
        left = developer.listed()
        assert answer.success
        assert answer.message
        assert (answer.deleted_count, answer.skipped_count) == (len(before) - len(left), len(left))
        assert ended not in left
        assert {running, foreign} <= set(left)
        developer.client.call("StopJob", uuid=running)
        again = developer.client.call("DeleteAllJobs")
        assert (again.success, again.deleted_count) == (True, 1)


@pytest.mark.parametrize("reference", ["", "1234567", "no such job", NEVER, "x" * 5000])
def test_no_such_job(user: User, reference: str) -> None:
    for method in ("GetJobStatus", "GetJobLogs", "StopJob", "CancelJob", "DeleteJob"):
        code, text = user.refused(method, uuid=reference)
        assert code is grpc.StatusCode.NOT_FOUND, method
        assert text.startswith("There is no job")


def test_what_a_job_uses(user: User) -> None:
    job = user.run("sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 2")
    followed = list(user.client.call("StreamJobMetrics", job_uuid=job))
    kept = list(user.client.call("GetJobMetrics", job_uuid=job))
    # Each reading, and behind them the totals.
    assert len(followed) >= 2
    assert [event.timestamp for event in followed] == [event.timestamp for event in kept]
    assert {user.client.read(event, "job_uuid") for event in followed} == {job}
    end = followed[-1]
    assert user.client.read(end, "cpu_percent") > 0
    assert user.client.read(end, "memory_bytes") > 0
    [newest] = user.client.call("GetJobMetrics", job_uuid=job, start_time=end.timestamp)
    assert newest.timestamp == end.timestamp


def test_the_node(host: Host, user: User) -> None:
    status = user.client.call("GetSystemStatus")
    assert status.available
    assert RFC3339.fullmatch(status.timestamp)
    assert status.host.hostname == host.name
    assert status.cpu.cores > 0
    assert user.client.read(status.memory, "total_bytes") > 0
    assert user.client.read(status, "server_version").version
    stream = user.client.call("StreamSystemMetrics", interval_seconds=1, metric_types=["memory"])
    first, second = next(stream), next(stream)
    stream.cancel()
    assert first.timestamp < second.timestamp
    assert user.client.read(first.memory, "total_bytes") > 0
    assert not first.HasField("cpu")
    for fields, said in [
        ({"metric_types": ["gpu"]}, "host, cpu, memory, disk, network, io, process, cloud"),
        ({"interval_seconds": 61}, "1 to 60 seconds"),
    ]:
        code, text = user.refused("StreamSystemMetrics", **fields)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said in text


def test_roles(host: Host) -> None:
    with open_channel(host) as administrator, open_channel(host, "reader") as channel:
        admin, reader = User(administrator, older=False), User(channel, older=True)
        job = admin.run("sh", "-c", "echo seen; sleep 300")
        admin.running(job)
        assert job in reader.listed()
        assert reader.status(job)["status"] == "RUNNING"
        assert next(reader.client.call("GetJobLogs", uuid=job)).payload == b"seen\n"
        for method in ("StopJob", "CancelJob", "DeleteJob"):
            assert reader.refused(method, uuid=job)[0] is grpc.StatusCode.PERMISSION_DENIED
        assert reader.refused("RunJob", command="true")[0] is grpc.StatusCode.PERMISSION_DENIED
        assert reader.refused("DeleteAllJobs")[0] is grpc.StatusCode.PERMISSION_DENIED
        assert admin.status(job)["status"] == "RUNNING"
        admin.client.call("StopJob", uuid=job)


# Of the contract, those that this version is to have.
HERE = {f"JobService/{method}" for method in ("RunJob", "GetJobStatus", "StopJob", "CancelJob", "DeleteJob")} | {
    f"JobService/{method}"
    for method in ("DeleteAllJobs", "GetJobLogs", "ListJobs", "StreamJobMetrics", "GetJobMetrics")
}
HERE |= {"MonitoringService/GetSystemStatus", "MonitoringService/StreamSystemMetrics"}
ADDED = {f"JobService/{method}" for method in ("SubmitJob", "UpdateJob", "DownloadFiles", "WriteJobInput", "ExecJob")}
ADDED |= {"JobService/TopJobs"}


def test_what_is_not_there_says_so(host: Host) -> None:
    with open_channel(host) as channel:
        for service in joblet_pb2.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                if f"{service.name}/{method.name}" in HERE | ADDED:
                    continue
                # To the server a call with one answer is one with a stream of answers that ends early.
                answers = channel.unary_stream(f"/{service.full_name}/{method.name}")(b"", timeout=60)
                with pytest.raises(grpc.RpcError) as caught:
                    next(answers)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED, method.full_name
                assert caught.value.details() == f"This joblet does not have {method.name} yet."

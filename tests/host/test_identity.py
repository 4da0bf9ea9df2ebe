"""Identities on a real host: certificates issued, listed, revoked, renewed; and whose job is whose."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from clients import code, node, sign, stub
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hosts import Host, until

from joblet_wire import joblet_pb2, joblet_pb2_grpc

Issue = Callable[..., Host]


@pytest.fixture
def issue(host: Host, tmp_path: Path) -> Issue:
    """``jobletd cert issue``; the host as that client sees it."""

    def run(name: str, role: str, *options: str) -> Host:
        return client(host, tmp_path, "issue", name, "--role", role, *options)

    return run


def client(host: Host, directory: Path, *command: str) -> Host:
    """The host as seen with the client configuration that ``jobletd cert`` makes on it, as it is."""
    config = host.exec("jobletd", "cert", *command, "--address", node(host)["address"]).stdout
    file = directory / f"{time.monotonic_ns()}.yml"
    file.touch(mode=0o600)
    file.write_text(config)
    return Host(host.name, host.suite, file)


def listed(host: Host, *options: str) -> dict[str, dict[str, Any]]:
    """``jobletd cert list --json`` by serial number."""
    rows = json.loads(host.exec("jobletd", "cert", "list", "--json", *options).stdout)
    return {row["serial"]: row for row in rows}


def serial(of: Host) -> str:
    return f"{x509.load_pem_x509_certificate(node(of)['cert'].encode()).serial_number:x}"


def audit(host: Host, **fields: str) -> list[str]:
    """The outcomes that the journal has for these fields of the audit."""
    match = [f"JOBLET_AUDIT_{name.upper()}={value}" for name, value in fields.items()]
    host.exec("journalctl", "--sync")  # what was answered a moment ago may be on its way there
    entries = host.exec("journalctl", "--output=json", "--no-pager", *match).stdout.splitlines()
    return [json.loads(entry)["JOBLET_AUDIT_OUTCOME"] for entry in entries]


def test_issue_list_revoke(host: Host, issue: Issue) -> None:
    alice = issue("alice", "developer")
    assert alice.rnx("job", "list").returncode == 0
    row = listed(host)[serial(alice)]
    assert (row["name"], row["role"], row["status"]) == ("alice", "developer", "valid")
    assert serial(host) in listed(host), "what setup made is there, too"

    pid = host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout
    said = host.exec("jobletd", "cert", "revoke", "alice", "--reason", "lost her laptop").stdout
    assert f"revoked {serial(alice)}: alice, developer" in said
    for words in (["job", "list"], ["job", "run", "true"]):
        refused = alice.rnx(*words)
        assert refused.returncode == 4
        assert "was revoked" in refused.stderr
        assert "lost her laptop" in refused.stderr
        assert "jobletd cert issue" in refused.stderr
    assert host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout == pid
    row = listed(host, "--revoked")[serial(alice)]
    assert (row["status"], row["reason"], row["revoked_by"]) == ("revoked", "lost her laptop", "unix:root")
    assert "revoked" in host.exec("jobletd", "cert", "list").stdout
    assert any("lost her laptop" in outcome for outcome in audit(host, what="cert/revoke", who="unix:root"))

    again = issue("alice", "developer")
    assert again.rnx("job", "list").returncode == 0
    assert alice.rnx("job", "list").returncode == 4


def test_revoked_with_a_follower_attached(host: Host, issue: Issue) -> None:
    dora = issue("dora", "developer")
    job = dora.run("sh", "-c", "while echo tick; do sleep 0.2; done")
    dora.running(job)
    follower, other = dora.popen("job", "log", job), host.popen("job", "log", job)
    try:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"tick\n"
        host.exec("jobletd", "cert", "revoke", "dora")
        _, err = follower.communicate(timeout=60)
        assert follower.returncode == 4
        assert b"was revoked" in err
        assert other.poll() is None
        assert host.status(job)["status"] == "RUNNING", "the job is not the client"
    finally:
        follower.kill()
        other.kill()
        follower.communicate()
        other.communicate()
        host.rnx("job", "stop", job)


def test_revoked_on_an_open_connection(host: Host, issue: Issue) -> None:
    erna = node(issue("erna", "admin"))
    credentials = grpc.ssl_channel_credentials(erna["ca"].encode(), erna["key"].encode(), erna["cert"].encode())
    options = [("grpc.ssl_target_name_override", "joblet")]
    with grpc.secure_channel(erna["address"], credentials, options) as channel:
        jobs = joblet_pb2_grpc.JobServiceStub(channel)
        jobs.ListJobs(joblet_pb2.EmptyRequest(), timeout=60)
        host.exec("jobletd", "cert", "revoke", "erna")
        assert code(jobs.ListJobs) is grpc.StatusCode.PERMISSION_DENIED
        assert code(joblet_pb2_grpc.VolumeServiceStub(channel).ListVolumes) is grpc.StatusCode.PERMISSION_DENIED


def test_a_damaged_list_of_revocations(host: Host, issue: Issue) -> None:
    fritz = issue("fritz", "developer")
    job = fritz.run("sleep", "300")
    fritz.running(job)
    file = "/etc/joblet/pki/revoked.json"
    host.exec("sh", "-c", f"touch {file} && cp {file} /root/revoked.json && echo '{{' >{file}")
    try:
        for seen in (host, fritz):
            refused = seen.rnx("job", "list")
            assert refused.returncode == 5
            assert "nobody is let in" in refused.stderr
        host.exec("journalctl", "--sync")
        assert f"{file} cannot be used" in host.exec("journalctl", "-u", "joblet.service", "-n", "50").stdout
        assert host.exec("jobletd", "cert", "list", check=False).returncode == 1
        assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
    finally:
        # An empty file is no list either: there was none then.
        host.exec("sh", "-c", f"if test -s /root/revoked.json; then mv /root/revoked.json {file}; else rm {file}; fi")
    assert fritz.rnx("job", "stop", job).returncode == 0


def test_renew(host: Host, issue: Issue, tmp_path: Path) -> None:
    old = issue("gerda", "developer", "--days", "20")
    noted = old.rnx("--json", "job", "list")
    assert noted.returncode == 0
    assert isinstance(json.loads(noted.stdout), list)
    assert "note: the certificate of node 'default' ends in 19 days" in noted.stderr
    assert listed(host)[serial(old)]["status"] == "expiring"

    new = client(host, tmp_path, "renew", "gerda")
    assert serial(new) != serial(old)
    assert new.rnx("job", "list").stderr == ""
    assert old.rnx("job", "list").returncode == 0
    newest = client(host, tmp_path, "renew", "gerda", "--revoke-old")
    assert newest.rnx("job", "list").returncode == 0
    for replaced in (old, new):
        assert "replaced by a newer one" in replaced.rnx("job", "list").stderr


def test_the_daemon_says_what_ends(host: Host, issue: Issue) -> None:
    issue("hanna", "reader", "--days", "10")
    host.exec("systemctl", "restart", "joblet.service")
    until(lambda: "the last certificate of hanna (reader) ends on" in host.exec("journalctl", "-u", "joblet").stdout)


def test_renew_the_hosts_own(own_host: Host) -> None:
    host, rnx = own_host, ("rnx", "--json", "job", "list")
    file = "/etc/joblet/rnx-config.yml"
    before = yaml.safe_load(host.exec("cat", file).stdout)["nodes"]
    host.exec("jobletd", "cert", "renew", "--local", "--revoke-old")
    after = yaml.safe_load(host.exec("cat", file).stdout)["nodes"]
    assert list(after) == list(before)
    assert all(after[name]["cert"] != before[name]["cert"] for name in before)
    host.exec(*rnx)
    assert "replaced by a newer one" in host.rnx("job", "list").stderr, "it has the former one"

    # A name that is added to the server's certificate is served without a restart.
    pid = host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout
    host.exec("jobletd", "setup", "--address", "added.example.org")
    host.exec(*rnx)
    reached = after["default"]
    credentials = grpc.ssl_channel_credentials(
        reached["ca"].encode(), reached["key"].encode(), reached["cert"].encode()
    )
    options = [("grpc.ssl_target_name_override", "added.example.org")]
    with grpc.secure_channel(node(host)["address"], credentials, options) as channel:
        joblet_pb2_grpc.JobServiceStub(channel).ListJobs(joblet_pb2.EmptyRequest(), timeout=60)
    assert host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout == pid


@pytest.mark.parametrize("fault", ["expired", "foreign", "no role", "unknown role"])
def test_who_is_nobody(fault: str, host: Host, ca: tuple[Any, x509.Name]) -> None:
    keys = {
        "expired": lambda: sign(*ca, days=-1),
        "foreign": lambda: sign(ec.generate_private_key(ec.SECP256R1()), ca[1]),
        "no role": lambda: sign(*ca, role=None),
        "unknown role": lambda: sign(*ca, role="superuser"),
    }
    in_handshake = fault in ("expired", "foreign")
    expected = grpc.StatusCode.UNAVAILABLE if in_handshake else grpc.StatusCode.PERMISSION_DENIED
    jobs = stub(host, *keys[fault]())
    assert code(jobs.ListJobs) is expected
    assert code(jobs.DeleteAllJobs) is expected


@pytest.mark.parametrize("role", ["reader", "developer", "maintainer", "admin"])
def test_somebody_elses_job(role: str, host: Host, issue: Issue) -> None:
    owner, other = issue("owner", "developer"), issue(f"other-{role}", role)
    job = owner.run("sh", "-c", "echo mine; sleep 300")
    owner.running(job)
    assert other.status(job)["owner"] == "owner"
    until(lambda: other.rnx("job", "log", "--no-follow", job).stdout == "mine\n")
    done, scheduled = owner.run("true"), owner.run("--schedule=10h", "true")
    owner.result(done)
    attempts = {
        "StopJob": ["stop", job],
        "CancelJob": ["cancel", scheduled],
        "UpdateJob": ["update", "--max-cpu=50", job],
        "DeleteJob": ["delete", done],
    }
    if role in ("reader", "developer"):
        for method, words in attempts.items():
            refused = other.rnx("job", *words)
            assert refused.returncode == 4, words
            assert ("needs the role developer" if role == "reader" else "belongs to 'owner'") in refused.stderr
            # What a reader asks is not even read.
            named = {} if role == "reader" else {"job": words[-1]}
            (outcome,) = audit(host, who=f"other-{role}", what=f"JobService/{method}", **named)
            assert outcome.startswith("PERMISSION_DENIED")
        assert other.rnx("job", "delete-all").returncode == (4 if role == "reader" else 0)
        assert [owner.status(one)["status"] for one in (job, done, scheduled)] == ["RUNNING", "COMPLETED", "SCHEDULED"]
        acting, name = owner, "owner"
    else:
        acting, name = other, f"other-{role}"
    for method, words in attempts.items():
        if method != "UpdateJob":  # whether a limit can be changed is the host's affair
            acting.rnx("job", *words).check_returncode()
            assert audit(host, who=name, what=f"JobService/{method}", job=words[-1]) == ["done"]


# What a reader may call.
READING = {
    *("GetJobStatus", "GetJobLogs", "ListJobs", "StreamJobMetrics", "GetJobMetrics", "StreamJobTelematics"),
    *("GetJobTelematics", "GetWorkflowStatus", "ListWorkflows", "GetWorkflowJobs", "ListNetworks", "ListVolumes"),
    *("GetSystemStatus", "StreamSystemMetrics", "ListRuntimes", "GetRuntimeInfo", "ValidateRuntimeYAML"),
    *("ValidateRuntimeSpec", "TopJobs"),
}


def test_a_stolen_readers_certificate_changes_nothing(host: Host, issue: Issue) -> None:
    """Every method of the contract, as a thief would try them."""
    thief = node(issue("ingo", "reader"))
    job = host.run("sleep", "300")
    host.running(job)
    before = host.status(job)
    known = _ids(host)
    credentials = grpc.ssl_channel_credentials(thief["ca"].encode(), thief["key"].encode(), thief["cert"].encode())
    answers: dict[str, grpc.StatusCode] = {}
    with grpc.secure_channel(thief["address"], credentials, [("grpc.ssl_target_name_override", "joblet")]) as channel:
        for service in joblet_pb2.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                request = getattr(joblet_pb2, method.input_type.name)()
                for field in ("uuid", "job_uuid"):
                    if field in method.input_type.fields_by_name:
                        setattr(request, field, job)
                answers[method.name] = _answer(channel, service.full_name, method, request.SerializeToString())
    denied = {name for name, answer in answers.items() if answer is grpc.StatusCode.PERMISSION_DENIED}
    assert denied == set(answers) - READING
    assert host.status(job) == before
    assert _ids(host) == known
    assert len(audit(host, who="ingo")) == len(denied)
    host.rnx("job", "stop", job)


def _ids(host: Host) -> set[str]:
    return {job["id"] for job in json.loads(host.rnx("--json", "job", "list").stdout)}


def _answer(channel: grpc.Channel, service: str, method: Any, request: bytes) -> grpc.StatusCode:
    kinds = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    begin = kinds[method.client_streaming, method.server_streaming](f"/{service}/{method.name}")
    # A log without an end is cut off by the time limit; on a busy machine it takes a while to be refused.
    seconds = 2 if method.name in READING else 60
    try:
        call = begin(iter([request]) if method.client_streaming else request, timeout=seconds)
        if method.server_streaming:
            for _ in call:
                pass
    except grpc.RpcError as error:
        answer: grpc.StatusCode = error.code()
        return answer
    return grpc.StatusCode.OK


def test_no_client_forges_an_audit_line(host: Host) -> None:
    forged = f"x\njoblet.audit: who=forged what=JobService/RunJob job=- outcome=done {datetime.datetime.now()}"
    jobs = stub(host, *(node(host)[key].encode() for key in ("key", "cert")))
    with pytest.raises(grpc.RpcError):
        jobs.StopJob(joblet_pb2.StopJobRequest(uuid=forged), timeout=60)
    assert audit(host, who="forged") == []
    lines = host.exec("journalctl", "--output=cat", "-u", "joblet.service").stdout.splitlines()
    assert not [line for line in lines if line.startswith("joblet.audit: who=forged")]

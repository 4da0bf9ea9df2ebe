"""Secret variables: they reach the job and nobody and nothing else, from submission to the end."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from calls import jobs
from hosts import Host, until

from joblet_wire import joblet_pb2 as wire

SECRET = "correct-horse-battery-7b1f"
PATTERN = "/root/the-secret"  # for grep, whose command line would be found otherwise
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()
# Tells the job's knowledge without telling the secret.
TELL = 'printf %s "$TOKEN" | sha256sum; printf %s "$KEY" | sha256sum; '


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.write_text(f"# for the test\nexport KEY='{SECRET}'\n")
    return path


def everywhere(host: Host, job: str, marker: str) -> dict[str, str]:
    """What others can read of a job, by where; of what is much, the lines with the secret. ``marker`` is a file
    from before the job.
    """
    since = f"--since=@$(stat -c %Y {marker})"
    unit = host.unit(job)
    commands = {
        "systemctl show": f"systemctl show --all {unit}",
        "systemctl cat": f"systemctl cat {unit}",
        "systemctl status": f"systemctl status --full --lines=1000 {unit}",
        "bus": f"busctl introspect --full org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/{bus_name(unit)}",
        "journal": f"journalctl --all --output=export --merge {since}",
        "journal namespace": f"journalctl --namespace=joblet --all --output=export {since}",
        "ps": "ps axww -o args",
        "command lines": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
    }
    texts = {
        name: host.exec("sh", "-c", f"({command}) | LC_ALL=C grep -aF -f {PATTERN}", check=False).stdout
        for name, command in commands.items()
    }
    places = "/var/lib/joblet /var/lib/systemd /var/tmp /tmp /run /etc/joblet"
    # The images of other jobs are large.
    script = f"find {places} -path '/var/lib/joblet/jobs/*' ! -path '*/{job}*' -prune -o -type f -newer {marker}"
    script += f" -exec env LC_ALL=C grep -laF -f {PATTERN} {{}} + 2>/dev/null || true"
    # The mount of the unit's credentials is PID 1's and the job's, in memory that is not swapped (systemd.exec(5)).
    files = host.exec("sh", "-c", script).stdout.splitlines()
    texts["files"] = "\n".join(f"{SECRET} in {file}" for file in files if not file.startswith("/run/credentials/"))
    texts["status"] = host.rnx("job", "status", job).stdout
    texts["status as JSON"] = host.rnx("--json", "job", "status", job).stdout
    texts["list"] = host.rnx("--json", "job", "list").stdout
    with jobs(host) as stub:
        texts["wire"] = str(stub.GetJobStatus(wire.GetJobStatusRequest(uuid=job))) + str(
            stub.ListJobs(wire.EmptyRequest())
        )
    return texts


def bus_name(unit: str) -> str:
    return "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in unit)


def test_they_reach_the_job_and_nothing_else(host: Host, secret_file: Path) -> None:
    environment = {"TOKEN": SECRET}
    marker = "/run/before-the-secret"
    host.exec("sh", "-c", f"touch {marker}; cat >{PATTERN}; sleep 1", stdin=SECRET.encode())
    argv = host.rnx_argv(
        *("--json", "job", "run", "--secret-env", "TOKEN", f"--secret-env-file={secret_file}", "--env=PLAIN=seen"),
        "--max-disk=16",  # all of which is searched, holes too
        *("sh", "-c", TELL + "echo $PLAIN; env | grep -c ^CREDENTIALS_DIRECTORY; until test -e go; do sleep 0.1; done"),
    )
    done = subprocess.run(argv, env={**os.environ, **environment}, capture_output=True, check=True, timeout=60)
    job = json.loads(done.stdout)["job_uuid"]
    assert SECRET.encode() not in done.stdout + done.stderr
    host.running(job)
    expected = f"{DIGEST}  -\n{DIGEST}  -\nseen\n0\n".encode()
    until(lambda: host.rnx_bytes("job", "log", "--no-follow", job).stdout == expected)
    found = host.rnx_bytes("job", "exec", job, "--", "sh", "-c", TELL)
    assert found.stdout == f"{DIGEST}  -\n{DIGEST}  -\n".encode()

    def check() -> None:
        texts = everywhere(host, job, marker)
        assert [name for name, text in texts.items() if SECRET in text] == []
        assert "TOKEN=*** (secret)" in texts["status"]
        assert '"TOKEN": "***"' in texts["status as JSON"]
        assert 'value: "***"' in texts["wire"]

    check()
    kept = host.exec("stat", "-c", "%a %U", "/var/lib/joblet/secrets", f"/var/lib/joblet/secrets/{job}").stdout
    assert kept == "700 root\n600 root\n"
    # They are of this job and this boot's key: a daemon that is killed changes nothing.
    with host.daemon_killed():
        pass
    until(lambda: host.rnx("job", "list").returncode == 0)
    check()
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
    assert host.result(job)["status"] == "COMPLETED"
    check()
    until(lambda: job not in host.exec("ls", "/var/lib/joblet/secrets").stdout)


def test_other_accounts_of_the_host_cannot_read_them(host: Host) -> None:
    job = host.run("--secret-env", f"TOKEN={SECRET}", "sleep", "300")
    host.running(job)
    script = (
        f"for f in /run/credentials/{host.unit(job)}/environment /var/lib/joblet/secrets/{job} "
        "$(grep -lsa sleep /proc/[0-9]*/cmdline | sed s/cmdline/environ/); do cat $f; done"
    )
    tried = host.exec("setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", script, check=False)
    assert SECRET not in tried.stdout
    assert tried.stderr.count("Permission denied") >= 3
    host.rnx("job", "stop", job)


def test_later_attempts_and_runs_of_a_schedule_have_them_too(host: Host) -> None:
    script = TELL + "test -e tried || { touch tried; exit 3; }"
    variables = ("--secret-env", f"TOKEN={SECRET}", "--secret-env", f"KEY={SECRET}")
    job = host.run(*variables, "--retries=1", "--retry-delay=1s", "sh", "-c", script)
    assert host.result(job)["status"] == "COMPLETED"
    assert host.log(job) == f"{DIGEST}  -\n".encode() * 4
    parent = host.run(*variables, "--schedule=*:*:00/2", "sh", "-c", TELL)
    runs = until(lambda: [row["id"] for row in listed(host) if row["parent"] == parent])
    host.rnx("job", "cancel", parent)
    assert host.result(runs[0])["status"] == "COMPLETED"
    assert host.log(runs[0]) == f"{DIGEST}  -\n".encode() * 2
    until(lambda: parent not in host.exec("ls", "/var/lib/joblet/secrets").stdout)


def listed(host: Host) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(host.rnx("--json", "job", "list").stdout)
    return rows


def test_input_is_for_one_attempt_now(host: Host) -> None:
    for more in ("--retries=1", "--schedule=1h"):
        assert host.rnx("job", "run", "-i", more, "cat").returncode == 2
    for fields in ({"retries": 1}, {"schedule": "1h"}):
        assert submit(host, interactive=True, **fields).code() is grpc.StatusCode.INVALID_ARGUMENT


def submit(host: Host, **fields: object) -> grpc.RpcError:
    with jobs(host) as stub, pytest.raises(grpc.RpcError) as caught:
        stub.RunJob(wire.RunJobRequest(command="true", **fields))
    return caught.value


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"environment": {"JOBLET_JOB_ID": "x"}}, "JOBLET_JOB_ID"),
        ({"secret_environment": {"NOTIFY_SOCKET": SECRET}}, "NOTIFY_SOCKET"),
        ({"secret_environment": {"not a name": SECRET}}, "not a name"),
        ({"secret_environment": {"A": f"{SECRET}\0"}}, "secret_environment A"),
        ({"secret_environment": {"A": SECRET * 10_000}}, "secret_environment A"),
        ({"secret_environment": {f"A{n}": SECRET * 4000 for n in range(6)}}, "environment"),
        ({"secret_environment": {"A": SECRET}, "environment": {"A": "b"}}, "'A'"),
    ],
)
def test_what_is_not_accepted(host: Host, fields: dict[str, object], named: str) -> None:
    error = submit(host, **fields)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in error.details()
    assert SECRET not in error.details()
    assert SECRET not in host.exec("journalctl", "-u", "joblet.service", "--output=cat").stdout


def test_as_much_as_is_accepted_can_be_executed(host: Host) -> None:
    largest = "x" * ((128 << 10) - 4)
    secrets = dict.fromkeys(("A", "B", "C"), largest)
    most = (
        wire.RunJobRequest(command="true", args=["w" * 131_000] * 7, secret_environment=secrets),
        wire.RunJobRequest(command="true", args=["w" * 95] * 9_999, environment={"A": largest}),
    )
    for request in most:
        with jobs(host) as stub:
            job = stub.RunJob(request).job_uuid
        assert host.result(job)["reason"] == ""


@pytest.fixture
def no_encryption(host: Host) -> Iterator[None]:
    """A host on which systemd-creds fails."""
    host.exec("sh", "-c", "mv /usr/bin/systemd-creds /usr/bin/systemd-creds.away")
    host.exec("sh", "-c", "printf '#!/bin/sh\\necho No TPM, no key. >&2\\nexit 1\\n' > /usr/bin/systemd-creds")
    host.exec("chmod", "755", "/usr/bin/systemd-creds")
    yield
    host.exec("mv", "/usr/bin/systemd-creds.away", "/usr/bin/systemd-creds")


def test_a_host_that_cannot_encrypt_says_so_and_keeps_nothing(host: Host, no_encryption: None) -> None:
    before = [row["id"] for row in listed(host)]
    secrets_left = host.exec("ls", "/var/lib/joblet/secrets").stdout
    done = host.rnx("job", "run", "--secret-env", f"TOKEN={SECRET}", "true")
    assert done.returncode == 1
    assert "cannot encrypt secret variables: No TPM, no key" in done.stderr
    assert SECRET not in done.stderr
    assert [row["id"] for row in listed(host)] == before
    jobs_left = set(host.exec("ls", "/var/lib/joblet/jobs").stdout.split())
    assert host.exec("ls", "/var/lib/joblet/secrets").stdout == secrets_left
    host.exec("rm", "/usr/bin/systemd-creds")
    missing = host.rnx("job", "run", "--secret-env", f"TOKEN={SECRET}", "true")
    assert "No such file" in missing.stderr
    # Those of tests before this one may go meanwhile.
    assert set(host.exec("ls", "/var/lib/joblet/jobs").stdout.split()) <= jobs_left


def test_files_of_variables(host: Host, tmp_path: Path) -> None:
    (tmp_path / "env").write_text('# comment\n\nexport A=1\nB=\'two words\'\nC="a \\"q\\" $HOME"\nD=x # y\n')
    job = host.run(f"--env-file={tmp_path / 'env'}", "--env=A=option", "sh", "-c", 'echo "$A|$B|$C|$D"')
    assert host.log(job) == b'option|two words|a "q" $HOME|x # y\n'
    assert host.status(job)["environment"]["B"] == "two words"

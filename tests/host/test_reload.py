"""PID 1 forgets its units and reads them back from what it has written of them, as whenever packages are installed."""

from __future__ import annotations

from typing import Any

from calls import jobs
from hosts import FINAL, Host, until

from joblet_wire import joblet_pb2

# Each has a meaning in a unit file, in the command lines there, or to joblet-init.
WORDS = ["", " a b ", "$HOME", "${HOME}", "$$", ";", "a;b", "%n", "%%", "\\", "\\x24", "a\\", '"', "'", "-x", "@", ":"]
WORDS += ["a\nUser=root", "\t", "\1\2\3", "ä€😀", "#", "]", "="]
# What time alone changes, what tells of the reading itself,
VOLATILE = ("CPUUsageNSec", "MemoryCurrent", "MemoryAvailable", "MemoryPeak", "TasksCurrent", "EffectiveMemory")
VOLATILE += ("IOReadBytes", "IOReadOperations", "IOWriteBytes", "IOWriteOperations")
VOLATILE += ("StateChangeTimestamp", "EffectiveTasks", "Refs", "DropInPaths")
# and what 257, or it and newer ones, do lose: docs/design-deviations.md.
VOLATILE += ("IPIngress", "IPEgress", "RestrictNamespaces")
SETS = ("After", "Requires", "RequiresMountsFor", "Wants", "IPAddressAllow", "IPAddressDeny")


def properties(host: Host, job: str) -> dict[str, str]:
    """All that PID 1 says of a job's unit."""
    lines = host.exec("systemctl", "show", "--all", host.unit(job)).stdout.splitlines()
    pairs = (line.partition("=") for line in lines)
    shown = {name: value for name, _, value in pairs if not name.startswith(VOLATILE)}
    return shown | {name: " ".join(sorted(shown[name].split())) for name in SETS if name in shown}


def test_a_running_job_is_what_it_was(host: Host) -> None:
    variables = [f"--env=V{number}={word}" for number, word in enumerate(WORDS)]
    limits = ["--max-cpu=90", "--cpu-cores=0", "--max-memory=200", "--max-io-bps=10MB", "--max-runtime=10m"]
    options = ["--name=odd", *variables, "--secret-env=TOKEN=very", *limits, "--max-disk=20", "--retries=1"]
    loop = "until test -e go; do sleep 0.1; done; printf '%s\\0' \"$@\""
    job = host.run(*options, "--", "sh", "-c", loop, *WORDS, "end\\")
    host.running(job)
    before = properties(host, job)
    assert before["LoadState"] == "loaded"
    for again in ("daemon-reload", "daemon-reexec"):
        host.exec("systemctl", again)
        after = properties(host, job)
        assert {name: (before[name], after.get(name)) for name in before if before[name] != after.get(name)} == {}
        assert "bad-setting" not in host.exec("systemctl", "status", host.unit(job)).stdout
        updated = host.rnx("job", "update", job, "--max-cpu=50")
        assert updated.returncode == 0, updated.stderr
        assert properties(host, job)["CPUQuotaPerSecUSec"] == "500ms"
        assert host.rnx("job", "update", job, "--max-cpu=90").returncode == 0
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
    assert host.log(job) == b"".join(word.encode() + b"\0" for word in [*WORDS[1:], "end\\"])
    assert host.result(job)["status"] == "COMPLETED"


def test_a_running_job_that_systemd_cannot_read_again(host: Host) -> None:
    """No line of a unit file may have 1 MiB, and quotes have a backslash there. What runs is none the worse for it."""
    words = ["-c", "until test -e go; do sleep 0.1; done; echo $#", *['"' * 100_000] * 8]
    request = joblet_pb2.RunJobRequest(command="sh", args=words)
    with jobs(host) as service:
        job = service.RunJob(request, timeout=60).job_uuid
        host.running(job)
        host.exec("systemctl", "daemon-reload")
        assert "LoadState=error" in host.exec("systemctl", "show", host.unit(job)).stdout
        updated = host.rnx("job", "update", job, "--max-cpu=50")
        assert updated.returncode == 1
        assert f"systemd was reloaded and cannot read {host.unit(job)} again" in updated.stderr
        assert "a command of 1 MiB, as systemd writes it, is too long" in updated.stderr
        host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
        assert host.log(job) == b"7\n"
        assert host.result(job)["status"] == "COMPLETED"


# What it may do, and what it was given: of a start that waited meanwhile it could be more, or something else.
CAREFUL = """
unshare --user true 2>/dev/null && echo may make user namespaces
grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/self/status
env | sort | grep -vE 'JOBLET_JOB_ID|INVOCATION_ID'
printf '%s\\n' "$@"
"""


def test_jobs_that_start_meanwhile(host: Host) -> None:
    variables = {f"V{number}": word for number, word in enumerate(WORDS)}
    request = joblet_pb2.RunJobRequest(command="sh", args=["-c", CAREFUL, *WORDS], environment=variables)
    with jobs(host) as service:
        usual = service.RunJob(request, timeout=60).job_uuid
        until(lambda: status(service, usual).status in FINAL)
        expected = log(service, usual)
        assert b"may make" not in expected
        assert expected.endswith(b"".join(word.encode() + b"\n" for word in WORDS[1:]))
        calls = [service.RunJob.future(request, timeout=60) for _ in range(40)]
        for _ in range(4):
            host.exec("systemctl", "daemon-reload")
        for call in calls:
            job = call.result().job_uuid
            until(lambda job=job: status(service, job).status in FINAL)
            ended = status(service, job)
            assert (ended.status, ended.reason) == ("COMPLETED", "")
            assert log(service, job) == expected


def status(service: Any, job: str) -> Any:
    return service.GetJobStatus(joblet_pb2.GetJobStatusRequest(uuid=job), timeout=20)


def log(service: Any, job: str) -> bytes:
    chunks = service.GetJobLogs(joblet_pb2.GetJobLogsRequest(uuid=job), timeout=20)
    return b"".join(chunk.payload for chunk in chunks)

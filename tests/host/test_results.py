"""What becomes of a job is told exactly: state, exit code, reason, and arguments that arrive untouched."""

from __future__ import annotations

import json

import pytest
from hosts import Host, until


@pytest.mark.parametrize(
    ("command", "state", "code", "reason"),
    [
        (["true"], "COMPLETED", 0, ""),
        (["sh", "-c", "exit 3"], "FAILED", 3, "exit-code 3"),
        (["sh", "-c", "exit 255"], "FAILED", 255, "exit-code 255"),
        (["sh", "-c", "kill -SEGV $$"], "FAILED", 139, "signal SIGSEGV"),
        (["sh", "-c", "kill -KILL $$"], "FAILED", 137, "signal SIGKILL"),
        # 143 as an exit code is no signal.
        (["sh", "-c", "exit 143"], "FAILED", 143, "exit-code 143"),
        (["no-such-command"], "FAILED", 127, "exec-failed: no-such-command: no such file or directory"),
        (["/etc/passwd"], "FAILED", 126, "exec-failed: /etc/passwd: permission denied"),
    ],
)
def test_how_it_ended(host: Host, command: list[str], state: str, code: int, reason: str) -> None:
    status = host.result(host.run(*command))
    assert (status["status"], status["exitCode"], status["reason"]) == (state, code, reason)


def test_wait_exits_with_the_jobs_code_and_streams_its_output(host: Host) -> None:
    done = host.rnx("job", "run", "--wait", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert "err\n" in done.stderr


def test_arguments_and_environment_arrive_untouched(host: Host) -> None:
    words = [
        "$HOME",
        "$$",
        '"quoted  words"',
        "ünïcode",
        "",
        " lead",
        "trail ",
        "a\nb",
        "%n%i",
        "--max-cpu=5",
        "\\",
        "'",
    ]
    script = (
        "import json,os,sys; print(json.dumps([sys.argv[1:], os.environ['GREETING'], os.getcwd(), os.environ['HOME']]))"
    )
    job = host.run("-e", "GREETING=$HOME  ünï\t%n", "python3", "-c", script, *words)
    assert json.loads(host.log(job)) == [words, "$HOME  ünï\t%n", "/work", "/work"]


def test_status_lines_that_scripts_parse(host: Host) -> None:
    started = host.rnx("job", "run", "--name=build", "-e", "KEY=value", "sh", "-c", "exit 4")
    job = next(line.split()[1] for line in started.stdout.splitlines() if line.startswith("ID:"))
    host.result(job)
    text = host.rnx("job", "status", job[:8]).stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"Job ID: {job}" in lines
    assert "Command: sh -c exit 4" in lines or "Command: sh -c 'exit 4'" in lines
    assert "Status: FAILED" in lines
    assert "Exit Code: 4" in lines
    row = next(line for line in host.rnx("job", "list").stdout.splitlines() if job in line)
    assert "FAILED" in row


def test_what_is_refused_starts_nothing_and_says_why(host: Host) -> None:
    before = len(json.loads(host.rnx("--json", "job", "list").stdout))
    for options, named, code in [
        # It may be right for another host.
        (["--cpu-cores=900"], "no CPU 900", 1),
        (["--cpu-cores=3-1"], "3-1", 2),
        (["--max-memory=lots"], "lots", 2),
        (["--env", "1A=x"], "1A", 2),
    ]:
        done = host.rnx("job", "run", *options, "true")
        assert done.returncode == code, options
        assert named in done.stderr
        assert "Traceback" not in done.stderr
    assert len(json.loads(host.rnx("--json", "job", "list").stdout)) == before


def test_unknown_jobs_have_their_own_exit_code(host: Host) -> None:
    for command in ("status", "log", "stop"):
        done = host.rnx("job", command, "00000000-0000-0000-0000-000000000000")
        assert done.returncode == 3, done.stderr
        assert "rnx job list" in done.stderr


def test_the_unit_is_one_that_any_tool_understands(host: Host) -> None:
    job = host.run("--name=visible", "sh", "-c", "echo a line in the journal; sleep 300")
    host.running(job)
    until(lambda: host.log_so_far(job) == b"a line in the journal\n")
    shown = host.exec("systemctl", "status", host.unit(job)).stdout
    assert "active (running)" in shown
    assert "visible: sh -c" in shown
    assert "joblet-jobs.slice" in shown
    assert "a line in the journal" in shown
    journal = host.exec("journalctl", "--namespace=joblet", "--output=cat", "-u", host.unit(job)).stdout
    assert "a line in the journal" in journal.splitlines()
    # An administrator ends it with systemd's own means.
    host.exec("systemctl", "stop", host.unit(job))
    status = host.result(job)
    assert (status["status"], status["reason"]) == ("STOPPED", "stopped through systemd")


def test_a_limit_that_cannot_be_enforced_is_refused_unless_the_host_says_otherwise(host: Host) -> None:
    enforced = "memory" in host.exec("cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split()
    override = "/etc/joblet/joblet-config.d/zz-test.yml"
    host.exec(
        "sh", "-c", f"mkdir -p /etc/joblet/joblet-config.d; echo 'jobs: {{unenforced_limits: refuse}}' >{override}"
    )
    host.exec("systemctl", "restart", "joblet.service")
    try:
        strict = host.rnx("job", "run", "--max-memory=64", "true")
    finally:
        host.exec("rm", override)
        host.exec("systemctl", "restart", "joblet.service")
    lenient = host.rnx("job", "run", "--max-memory=64", "true")
    assert lenient.returncode == 0
    if enforced:
        assert strict.returncode == 0
    else:
        assert strict.returncode == 1
        assert "max_memory cannot be enforced: this host has no cgroup v2 memory controller" in strict.stderr
        assert "unenforced_limits: warn" in strict.stderr
        assert "max_memory cannot be enforced" in lenient.stderr

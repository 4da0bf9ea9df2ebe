"""Jobs outlive the daemon: killed, down, restarted, upgraded, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator

import pytest
from hosts import PROJECT, Host, until

SECONDS = "for i in $(seq 1 60); do echo line $i; sleep 0.1; done; exit 5"
LINES = b"".join(b"line %d\n" % number for number in range(1, 61))


def test_a_killed_daemon_in_the_middle(host: Host) -> None:
    job = host.run("sh", "-c", SECONDS)
    host.running(job)
    host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service")
    assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
    # systemd starts it again; the socket stayed open meanwhile.
    assert host.result(job)["exitCode"] == 5
    assert host.log(job) == LINES


def test_jobs_that_end_while_the_daemon_is_down(host: Host) -> None:
    ends = {"COMPLETED": "exit 0", "FAILED": "exit 6"}
    told = "until test -e go; do sleep 0.1; done; echo done"
    jobs = {state: host.run("sh", "-c", f"{told}; {end}") for state, end in ends.items()}
    killed = host.run("sh", "-c", f"{told}; kill -KILL $$")
    for job in (*jobs.values(), killed):
        host.running(job)
    with host.daemon_killed():
        for job in (*jobs.values(), killed):
            host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
        units = [host.unit(job) for job in (*jobs.values(), killed)]
        until(lambda: "running" not in host.exec("systemctl", "list-units", "--no-legend", *units).stdout)
    for state, job in jobs.items():
        status = host.result(job)
        assert (status["status"], status["exitCode"]) == (state, 0 if state == "COMPLETED" else 6)
        assert host.log(job) == b"done\n"
    assert host.result(killed)["reason"] == "signal SIGKILL"
    until(lambda: host.exec("systemctl", "list-units", "--all", "joblet-job-*", "--no-legend").stdout == "")


def test_a_restart_with_jobs_in_every_state(host: Host) -> None:
    jobs = [host.run("sh", "-c", f"echo {number}; sleep 1; exit {number}") for number in range(6)]
    host.exec("systemctl", "restart", "joblet.service")
    for number, job in enumerate(jobs):
        assert host.result(job)["exitCode"] == number
        assert host.log(job) == b"%d\n" % number


def test_a_follower_and_a_waiter_outlive_a_restart(host: Host) -> None:
    waiting = host.popen("job", "run", "--wait", "sh", "-c", SECONDS)
    until(lambda: "RUNNING" in host.rnx("job", "list").stdout)
    host.exec("systemctl", "restart", "joblet.service")
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, out) == (5, LINES), err.decode()


def test_an_upgrade_while_a_job_runs(host: Host) -> None:
    job = host.run("sh", "-c", SECONDS)
    host.running(job)
    main = host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout
    debs = subprocess.run(["tar", "-c", "-C", PROJECT / "build" / "deb", "."], capture_output=True, check=True).stdout
    host.exec("sh", "-c", "mkdir -p /root/debs && tar -x -C /root/debs && dpkg -i /root/debs/*.deb 2>&1", stdin=debs)
    assert host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout != main
    assert host.result(job)["exitCode"] == 5
    assert host.log(job) == LINES


def test_a_stopped_daemon_leaves_jobs_alone_and_the_socket_brings_it_back(host: Host) -> None:
    job = host.run("sleep", "300")
    host.running(job)
    host.exec("systemctl", "stop", "joblet.service")
    assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
    listed = json.loads(host.rnx("--json", "job", "list").stdout)
    assert next(entry for entry in listed if entry["id"] == job)["status"] == "RUNNING"
    assert host.rnx("job", "stop", job).returncode == 0


def test_a_hung_daemon_is_restarted_by_the_watchdog_setting(host: Host) -> None:
    assert int(host.exec("systemctl", "show", "-P", "WatchdogUSec", "joblet.service").stdout.strip().rstrip("s")) > 0
    assert host.exec("systemctl", "show", "-P", "Type", "joblet.service").stdout.strip() == "notify"


def test_a_lost_store_costs_running_jobs_nothing(host: Host) -> None:
    job = host.run("sh", "-c", "echo kept >file; while sleep 0.2; do cat file; done")
    host.running(job)
    host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
    host.exec("sh", "-c", "mkdir /root/store && mv /var/lib/joblet/joblet.db* /root/store")
    host.exec("systemctl", "start", "joblet.socket", "joblet.service")
    try:
        assert json.loads(host.rnx("--json", "job", "list").stdout) == []
        assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
        assert host.exec("cat", f"/var/lib/joblet/jobs/{job}/work/file").stdout == "kept\n"
        log = host.exec("journalctl", "--output=cat", "-u", "joblet.service").stdout
        assert f"{host.unit(job)} runs, but no unfinished job of the store is its" in log
    finally:
        host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
        host.exec("sh", "-c", "rm /var/lib/joblet/joblet.db*; mv /root/store/* /var/lib/joblet; rmdir /root/store")
        host.exec("systemctl", "start", "joblet.socket", "joblet.service")
    # With the store back the job is one like any other.
    assert host.rnx("job", "stop", job).returncode == 0
    assert host.status(job)["status"] == "STOPPED"


STORE = "/var/lib/joblet/joblet.db"


@contextlib.contextmanager
def daemon_stopped(host: Host) -> Iterator[None]:
    """The daemon is down at first, and the store at the end what it was at the beginning."""
    host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
    host.exec("sh", "-c", f"mkdir /root/store && cp -a {STORE}* /root/store")
    try:
        yield
    finally:
        host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
        host.exec(
            "sh", "-c", f"umount /var/lib/joblet 2>/dev/null; rm -rf {STORE}* && mv /root/store/* /var/lib/joblet"
        )
        host.exec("rmdir", "/root/store")
        host.exec("systemctl", "reset-failed", "joblet.socket", "joblet.service", check=False)
        host.exec("systemctl", "start", "joblet.socket", "joblet.service")


def refusal(host: Host) -> str:
    """What the daemon says in its log when it does not start."""
    since = host.exec("date", "+%s").stdout.strip()
    assert host.exec("systemctl", "start", "joblet.service", check=False).returncode != 0
    log = host.exec("journalctl", "--output=cat", "-u", "joblet.service", f"--since=@{since}").stdout
    assert "Traceback" not in log
    assert "This is a bug" not in log
    return log


DAMAGES = {
    "rubbish": (f"rm {STORE}*; head -c 20000 /dev/urandom >{STORE}", "is damaged: file is not a database"),
    "half of it": (
        f"truncate -s $(($(stat -c %s {STORE}) / 2)) {STORE}",
        "is damaged: database disk image is malformed",
    ),
    "no table": (
        f"python3 -c \"import sqlite3; sqlite3.connect('{STORE}').execute('DROP TABLE jobs')\"",
        "is damaged: no such table: jobs",
    ),
    "a log of rubbish": (f"head -c 20000 /dev/urandom >{STORE}-wal", f"{STORE}-wal is damaged"),
    "of a newer version": (
        f"python3 -c \"import sqlite3; sqlite3.connect('{STORE}').execute('PRAGMA user_version = 99')\"",
        "has version 99",
    ),
}


@pytest.mark.only_on("trixie", because="the store is the daemon's")
@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_explained_and_the_way_out_works(damage: str, said: str, host: Host) -> None:
    job = host.run("sh", "-c", "echo kept >file; while sleep 0.2; do cat file; done")
    host.running(job)
    with daemon_stopped(host):
        host.exec("sh", "-c", damage)
        log = refusal(host)
        assert f"The job store {STORE}" in log
        assert said in log
        assert "Running jobs go on." in log
        assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
        # As docs/operations.md has it.
        host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
        moved = f"{STORE}-*" if "wal" in said else f"{STORE}* /var/lib/joblet/jobs"
        host.exec("sh", "-c", f"mkdir /var/lib/joblet/damaged && mv {moved} /var/lib/joblet/damaged/")
        try:
            host.exec("systemctl", "reset-failed", "joblet.socket", "joblet.service", check=False)
            host.exec("systemctl", "start", "joblet.socket", "joblet.service")
            jobs = json.loads(host.rnx("--json", "job", "list").stdout)
            assert [entry["id"] for entry in jobs if entry["id"] == job] == ([job] if "wal" in said else [])
            assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
            host.rnx("job", "run", "--wait", "true").check_returncode()
        finally:
            host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
            if "wal" not in said:
                host.exec("sh", "-c", "rm -r /var/lib/joblet/jobs; mv /var/lib/joblet/damaged/jobs /var/lib/joblet/")
            host.exec("rm", "-r", "/var/lib/joblet/damaged")
    # With the store back the job is one like any other.
    assert host.rnx("job", "stop", job).returncode == 0
    assert host.status(job)["status"] == "STOPPED"


@pytest.mark.only_on("trixie", because="the store is the daemon's")
@pytest.mark.parametrize(
    ("options", "said"),
    [("ro", "cannot be opened for writing"), ("full", "Is the disk full")],
    ids=["read-only", "full"],
)
def test_a_disk_that_takes_nothing_at_the_start(options: str, said: str, host: Host) -> None:
    """On a small file system of its own, so that no other disk fills."""
    job = host.run("sleep", "300")
    host.running(job)
    with daemon_stopped(host):
        size = int(host.exec("du", "--summarize", "--block-size=1K", "/root/store").stdout.split()[0]) + 400
        host.exec("mount", "-t", "tmpfs", "-o", f"size={size}k,mode=700", "tmpfs", "/var/lib/joblet")
        host.exec("sh", "-c", "mkdir -m 700 /var/lib/joblet/jobs && cp -a /root/store/* /var/lib/joblet")
        if options == "ro":
            host.exec("mount", "-o", "remount,ro", "/var/lib/joblet")
        else:
            host.exec("sh", "-c", "! dd if=/dev/zero of=/var/lib/joblet/filler bs=4k 2>/dev/null")
        log = refusal(host)
        assert said in log
        assert STORE in log
        assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
        # It starts by itself when there is room again.
        if options == "ro":
            host.exec("mount", "-o", "remount,rw", "/var/lib/joblet")
        else:
            host.exec("rm", "/var/lib/joblet/filler")
        until(lambda: host.exec("systemctl", "is-active", "joblet.service", check=False).stdout.strip() == "active")
        assert host.status(job)["status"] == "RUNNING"
    assert host.rnx("job", "stop", job).returncode == 0

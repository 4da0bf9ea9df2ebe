"""Jobs outlive the daemon: killed, down, restarted, upgraded, nothing is lost."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest
from hosts import PROJECT, Host, until

from joblet_systemd import __version__

SECONDS = "for i in $(seq 1 60); do echo line $i; sleep 0.1; done; exit 5"
OLD = "0.0.1"
# One that writes until it is told to end.
WRITER = "i=0; until test -e go; do i=$((i + 1)); echo line $i; sleep 0.1; done; exit 5"
LINES = b"".join(b"line %d\n" % number for number in range(1, 61))


def is_unharmed(host: Host, job: str) -> None:
    """A WRITER runs, and comes to its own end with all that it has written."""
    assert host.status(job)["status"] == "RUNNING"
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
    assert host.result(job)["exitCode"] == 5
    log = host.log(job)
    assert log == b"".join(b"line %d\n" % number for number in range(1, log.count(b"\n") + 1))


def test_a_killed_daemon_in_the_middle(host: Host) -> None:
    job = host.run("sh", "-c", WRITER)
    host.running(job)
    host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service")
    assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
    # systemd starts it again; the socket stayed open meanwhile.
    is_unharmed(host, job)


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
    until(lambda: host.exec("systemctl", "list-units", "--all", "--no-legend", *units).stdout == "")


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


def test_no_call_fails_when_the_daemon_restarts(host: Host) -> None:
    """The socket stays, so that a client has to wait at most, in whatever moment of its call the daemon goes."""
    failed: list[str] = []
    made = [0, 0, 0]  # by each of those who ask, one call after the other
    over = threading.Event()

    def ask(who: int) -> None:
        while not over.is_set():
            listed = host.rnx("job", "list")
            if listed.returncode:
                failed.append(listed.stderr)
            made[who] += 1

    def has_passed(before: list[int]) -> bool:
        """Whether all have made a call since: one call is not to live through two restarts."""
        return all(number >= past + 2 for number, past in zip(made, before, strict=True))

    asking = [threading.Thread(target=ask, args=(who,)) for who in range(len(made))]
    for one in asking:
        one.start()
    try:
        for command in (("kill", "--kill-whom=main", "--signal=KILL"), ("restart",)) * 3:
            before = list(made)
            host.exec("systemctl", *command, "joblet.service")
            until(functools.partial(has_passed, before))
    finally:
        over.set()
        for one in asking:
            one.join()
    assert failed == []


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive with the packages of daemon and joblet-init in ``new``, the first as an earlier version in ``old``."""
    both = tmp_path_factory.mktemp("debs")
    shutil.copytree(PROJECT / "build" / "deb", both / "new", ignore=shutil.ignore_patterns(".*", "rnx_*"))
    (deb,) = (both / "new").glob("joblet_*.deb")
    tree = both / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
    for file, line in (
        (tree / "DEBIAN" / "control", "Version: {}\n"),
        (tree / "usr/lib/python3/dist-packages/joblet_systemd/__init__.py", '__version__ = "{}"\n'),
    ):
        text = file.read_text()
        assert line.format(__version__) in text
        file.write_text(text.replace(line.format(__version__), line.format(OLD)))
    (both / "old").mkdir()
    subprocess.run(["dpkg-deb", "--build", "-Znone", tree, both / "old"], check=True, capture_output=True)
    return subprocess.run(["tar", "-c", "-C", both, "old", "new"], capture_output=True, check=True).stdout


def test_an_upgrade_while_a_job_runs(host: Host, packages: bytes) -> None:
    def install(which: str, version: str) -> str:
        """What dpkg says. The daemon that runs afterwards is of that version."""
        said = host.exec("sh", "-c", f"dpkg --install /root/{which}/*.deb 2>&1").stdout
        assert json.loads(host.rnx("--json", "monitor", "status").stdout)["serverVersion"]["version"] == version
        return said

    host.exec("tar", "-x", "-C", "/root", stdin=packages)
    install("old", OLD)
    job = host.run("sh", "-c", WRITER)
    host.running(job)
    main = host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout
    assert f"({__version__}) over ({OLD})" in install("new", __version__)
    assert host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout != main
    is_unharmed(host, job)


def test_a_stopped_daemon_leaves_jobs_alone_and_the_socket_brings_it_back(host: Host) -> None:
    job = host.run("sleep", "300")
    host.running(job)
    host.exec("systemctl", "stop", "joblet.service")
    assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
    listed = json.loads(host.rnx("--json", "job", "list").stdout)
    assert next(entry for entry in listed if entry["id"] == job)["status"] == "RUNNING"
    assert host.rnx("job", "stop", job).returncode == 0


@pytest.mark.only_on("trixie", because="every systemd has watchdogs, and the daemon answers to all in one way")
def test_a_hung_daemon_is_restarted_by_the_watchdog(host: Host) -> None:
    def shown(name: str) -> str:
        return host.exec("systemctl", "show", "-P", name, "joblet.service").stdout.strip()

    assert shown("WatchdogUSec") == "30s"
    drop_in = "/run/systemd/system/joblet.service.d"
    host.exec("sh", "-c", f"mkdir {drop_in}; printf '[Service]\\nWatchdogSec=8\\n' >{drop_in}/sooner.conf")
    host.exec("sh", "-c", "systemctl daemon-reload; systemctl restart joblet.service")
    try:
        job = host.run("sh", "-c", WRITER)
        host.running(job)
        main, restarts = shown("MainPID"), int(shown("NRestarts"))
        since = host.journal_end()
        host.exec("kill", "-STOP", main)
        until(lambda: shown("MainPID") not in (main, "0") and shown("ActiveState") == "active")
        assert int(shown("NRestarts")) == restarts + 1
        log = host.exec("journalctl", "--output=cat", "--unit=joblet.service", f"--after-cursor={since}").stdout
        assert "Watchdog timeout" in log
        is_unharmed(host, job)
    finally:
        host.exec("sh", "-c", f"rm -r {drop_in}; systemctl daemon-reload; systemctl restart joblet.service")


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
    host.exec("journalctl", "--sync")
    log = host.exec("journalctl", "--output=cat", "-u", "joblet.service", f"--since=@{since}").stdout
    assert "Traceback" not in log
    assert "This is a bug" not in log
    return log


# The store as the first version of its schema had it, and what that version knew of a job.
BACK = f"""
import json, os, sqlite3
from joblet_systemd.store import MIGRATIONS

new = sqlite3.connect("{STORE}")
new.row_factory = sqlite3.Row
old = sqlite3.connect("{STORE}.old")
old.executescript(MIGRATIONS[0])
columns = [row[1] for row in old.execute("PRAGMA table_info(jobs)")]
for row in new.execute("SELECT * FROM jobs"):
    values = {{name: row[name] for name in columns}}
    spec = json.loads(row["spec"])
    limits = ("cpu_percent", "cpu_cores", "memory_bytes", "io_bytes_per_sec")
    values["spec"] = json.dumps(
        {{name: spec[name] for name in ("command", "args", "name", "environment")}}
        | {{"limits": {{name: spec["limits"][name] for name in limits}}}}
    )
    values["usage"] = json.dumps(dict.fromkeys(("cpu_usec", "memory_peak_bytes", "io_read_bytes", "io_write_bytes")))
    old.execute(f"INSERT INTO jobs VALUES ({{', '.join('?' * len(columns))}})", tuple(values.values()))
old.execute("PRAGMA user_version = 1")
old.commit()
new.close()
old.close()
os.replace("{STORE}.old", "{STORE}")
"""


@pytest.mark.only_on("trixie", because="the store is the daemon's")
def test_a_store_of_the_first_version_is_taken_over_while_a_job_runs(host: Host) -> None:
    told = "echo before; until test -e go; do sleep 0.1; done; echo after; exit 6"
    jobs = [host.run("--name=taken-over", "sh", "-c", told) for _ in range(2)]
    for job in jobs:
        host.running(job)
    with daemon_stopped(host):
        host.exec("python3", "-", stdin=BACK.encode())
        # One of them ends before anybody has looked at the old store.
        host.exec("touch", f"/var/lib/joblet/jobs/{jobs[0]}/work/go")
        until(lambda: "running" not in host.exec("systemctl", "list-units", "--no-legend", host.unit(jobs[0])).stdout)
        host.exec("systemctl", "start", "joblet.socket", "joblet.service")
        host.exec("touch", f"/var/lib/joblet/jobs/{jobs[1]}/work/go")
        for job in jobs:
            status = host.result(job)
            assert (status["status"], status["exitCode"], status["name"]) == ("FAILED", 6, "taken-over")
            assert host.log(job) == b"before\nafter\n"
        assert host.rnx("job", "run", "--wait", "--retries=1", "true").returncode == 0


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

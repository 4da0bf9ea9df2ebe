"""What a job sees and can do, asked from inside: as little as was promised, on every systemd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import Host, until

PROBE = Path(__file__).with_name("probe.py")
MARKERS = ("/root/joblet-marker", "/home/joblet-marker")
HIDDEN = (
    *("/etc/shadow", "/etc/joblet", "/var/lib/joblet", "/var/log", "/run/dbus", "/var/lib/dpkg", "/etc/machine-id"),
    *MARKERS,
)
DIRECTORIES = {"/home", "/root", "/boot"}
SOCKETS = {
    *("/run/dbus/system_bus_socket", "/run/systemd/notify"),
    *("/run/systemd/journal/socket", "/run/systemd/journal/stdout", "/run/systemd/journal.joblet/socket"),
}


def probe(host: Host, node: str = "") -> dict[str, Any]:
    job = host.run(f"--upload={PROBE}", "python3", "probe.py", "all", *HIDDEN, node=node)
    assert host.result(job)["status"] == "COMPLETED", host.rnx("job", "log", job).stderr
    report: dict[str, Any] = json.loads(host.log(job))
    return report


@pytest.fixture(scope="module")
def open_host(host: Host) -> Iterator[Host]:
    """It has files in /root and /home that anybody may read, so that a job does not, for want of rights alone."""
    host.exec("sh", "-c", f"chmod 755 /root; touch {' '.join(MARKERS)}; chmod 644 {' '.join(MARKERS)}")
    yield host
    host.exec("sh", "-c", f"rm {' '.join(MARKERS)}; chmod 700 /root")


@pytest.fixture(scope="module")
def report(open_host: Host) -> dict[str, Any]:
    return probe(open_host)


def test_only_its_own_processes(report: dict[str, Any]) -> None:
    assert len(report["processes"]) <= 3
    assert max(report["processes"]) < 20


def test_its_own_namespaces(host: Host, report: dict[str, Any]) -> None:
    by_init = host.suite == "bookworm"
    for name in ("pid", "mnt", "ipc", "net", "uts", "user" if by_init else "cgroup"):
        assert report["namespaces"][name] != host.exec("readlink", f"/proc/1/ns/{name}").stdout.strip(), name
    assert report["interfaces"] == ["lo"]


def test_its_own_unprivileged_identity(host: Host, report: dict[str, Any]) -> None:
    other = probe(host, node="developer")
    assert report["uid"] not in (0, 65534, other["uid"])
    assert (report["whoami"], other["whoami"]) == ("joblet-admin", "joblet-developer")
    assert report["uid"] == int(host.exec("id", "-u", "joblet-admin").stdout)
    assert report["groups"] == [int(host.exec("id", "-g", "joblet-admin").stdout)]
    assert set(report["capabilities"].values()) == {"0" * 16}
    assert report["no_new_privs"] == "1"
    assert report["seccomp"] == "2"


def test_it_writes_where_it_may_and_nowhere_else(report: dict[str, Any]) -> None:
    may = {path for path, outcome in report["write"].items() if outcome == "done"}
    assert may == {"/work", "/tmp", "/dev/shm", "/var/tmp"}


def test_nothing_of_the_host_is_there(open_host: Host, report: dict[str, Any]) -> None:
    # Without the sandbox, somebody as unprivileged as a job finds all of it.
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
    outside = json.loads(open_host.exec(*nobody, "python3", "-", "look", *HIDDEN, stdin=PROBE.read_bytes()).stdout)
    assert [path for path, exists in outside["exists"].items() if not exists] == []
    assert {path for path, outcome in outside["listed"].items() if outcome == "done"} == DIRECTORIES
    assert {path for path, outcome in outside["connect"].items() if outcome == "done"} == SOCKETS
    assert [path for path, exists in report["exists"].items() if exists] == []
    assert [path for path, outcome in report["listed"].items() if outcome == "done"] == []
    assert [path for path, outcome in report["connect"].items() if outcome == "done"] == []
    assert "boot" not in report["root"]


def test_no_other_unit_is_named(host: Host, report: dict[str, Any]) -> None:
    (unified,) = [line for line in report["cgroup"] if line.startswith("0::")]
    if host.suite == "bookworm":
        # Its own, which it knows already; there is no other's in it, and nothing below /sys/fs/cgroup.
        assert unified.endswith(host.unit(report["job"]))
    else:
        assert unified == "0::/"


@pytest.mark.parametrize(
    "what",
    [
        *("mount", "umount", "setns", "ptrace", "bpf", "io_uring", "keyctl", "raw socket", "packet socket"),
        *("netlink socket", "chmod setuid", "mknod", "chroot", "sethostname", "settime", "init fds"),
    ],
)
def test_dangerous_calls_are_refused(report: dict[str, Any], what: str) -> None:
    assert report[what] != "done"


def test_no_namespaces_of_its_own(report: dict[str, Any]) -> None:
    assert set(report["unshare"].values()) == {"Operation not permitted"}


def test_multiprocessing_works(host: Host) -> None:
    script = "import multiprocessing as m; m.Lock(); print(sum(m.Pool(2).map(abs, range(-9, 0))))"
    assert host.log(host.run("python3", "-c", script)) == b"45\n"


def test_jobs_of_one_identity_do_not_see_each_other(host: Host) -> None:
    secret = "touch /work/secret /tmp/secret /dev/shm/secret /var/tmp/secret; echo ready; sleep 300; echo slept"
    first = host.run("sh", "-c", secret)
    until(lambda: host.log_so_far(first) == b"ready\n")
    look = "ls -A /work /tmp /dev/shm /var/tmp; set -- /proc/[0-9]*; echo $#; kill -KILL -1; echo survived"
    second = host.run("sh", "-c", look)
    # Four empty directories, and the shell alone; of joblet-init at most that it is there.
    processes = b"2" if host.suite == "bookworm" else b"1"
    assert host.log(second) == b"/dev/shm:\n\n/tmp:\n\n/var/tmp:\n\n/work:\n%s\nsurvived\n" % processes
    assert host.result(second)["status"] == "COMPLETED"
    assert host.status(first)["status"] == "RUNNING"
    assert host.log_so_far(first) == b"ready\n"
    host.rnx("job", "stop", first)


def test_the_exposure_that_systemd_sees(host: Host) -> None:
    job = host.run("sleep", "300")
    host.running(job)
    answer = host.exec("systemd-analyze", "security", "--no-pager", "--json=short", host.unit(job), check=False)
    assert json.loads(answer.stdout)
    overall = host.exec("systemd-analyze", "security", "--no-pager", host.unit(job), check=False).stdout.splitlines()
    exposure = float(next(line for line in overall if "Overall exposure level" in line).split(":")[1].split()[0])
    host.rnx("job", "stop", job)
    assert exposure <= (1.5 if host.suite == "bookworm" else 1.0)


def test_a_promise_that_is_not_kept_ends_the_job(host: Host) -> None:
    """joblet-init refuses to run a command in a namespace of the host's, whoever took the property away."""
    directory = "/run/systemd/system/joblet-job-.service.d"
    host.exec("mkdir", "-p", directory)
    host.exec("sh", "-c", f"printf '[Service]\\nPrivateIPC=no\\n' >{directory}/weaker.conf; systemctl daemon-reload")
    try:
        job = host.run("echo", "ran")
        status = host.result(job)
    finally:
        host.exec("sh", "-c", f"rm -r {directory}; systemctl daemon-reload")
    assert (status["status"], status["exitCode"]) == ("FAILED", 125)
    assert status["reason"].startswith("isolation-failed")
    assert host.log(job) == b""

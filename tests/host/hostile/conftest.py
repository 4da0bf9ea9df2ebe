"""Around each test of a hostile job: the host is as healthy afterwards as it was before."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hosts import FINAL, Host, until

# What no job may end, restart or break.
SERVICES = ("joblet.service", "systemd-journald@joblet.service", "systemd-journald.service", "dbus.service")


@pytest.fixture(scope="module")
def bystander(host: Host) -> Iterator[str]:
    """A job of the same client, and so of the same uid, that runs all the while."""
    job = host.run("sh", "-c", "echo begun; echo kept >/work/file; sleep 600")
    until(lambda: host.log_so_far(job) == b"begun\n")
    yield job
    host.rnx("job", "stop", job)


@pytest.fixture(autouse=True)
def healthy(host: Host, bystander: str) -> Iterator[None]:
    """The daemon, the journals and D-Bus are still the same processes, jobs run, nothing hostile is left over."""
    before = vitals(host)
    yield
    assert vitals(host) == before
    fresh = host.run("echo", "well")
    assert host.log(fresh) == b"well\n"
    assert host.result(fresh)["status"] == "COMPLETED"
    assert host.status(bystander)["status"] == "RUNNING"
    assert host.log_so_far(bystander) == b"begun\n"
    until(lambda: leftovers(host) == [])


def vitals(host: Host) -> str:
    """Processes and restarts of the services that jobs depend on, and what has failed on the host."""
    shown = host.exec("systemctl", "show", "--property=Id,MainPID,NRestarts,ActiveState", *SERVICES).stdout
    return shown + host.exec("systemctl", "list-units", "--failed", "--no-legend", "--plain").stdout


def leftovers(host: Host) -> list[str]:
    """Units and work directories of jobs that have ended."""
    listed = json.loads(host.rnx("--json", "job", "list").stdout)
    ended = {job["id"] for job in listed if job["status"] in FINAL}
    units = host.exec("systemctl", "list-units", "--all", "--no-legend", "--plain", "joblet-job-*").stdout
    directories = host.exec("ls", "/var/lib/joblet/jobs").stdout.split()
    return [job for job in ended if job in units or job in directories]

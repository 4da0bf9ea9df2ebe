"""Around each test of a hostile job: the host is as healthy afterwards as it was before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hosts import FINAL, Host, until

# What no job may end, restart or break.
SERVICES = ("joblet.service", "systemd-journald.service", "dbus.service")
# One call for all of it, since every one takes its time: processes and restarts of these, and what has failed. The
# journal of the jobs leaves by itself when nobody writes for a while; what it must not do is crash.
VITALS = (
    f"systemctl show --property=Id,MainPID,NRestarts,ActiveState {' '.join(SERVICES)}; "
    "systemctl show --property=Id,NRestarts systemd-journald@joblet.service; "
    "systemctl list-units --failed --no-legend --plain"
)


@dataclass(frozen=True)
class Peace:
    """The host before anything hostile: its vitals, and a job of the same client and so of the same uid."""

    vitals: str
    bystander: str


@pytest.fixture(scope="package")
def peace(host: Host) -> Iterator[Peace]:
    """What is to stay as it is through all tests."""
    job = host.run("sh", "-c", "echo begun; sleep 36000")
    until(lambda: host.log_so_far(job) == b"begun\n")
    yield Peace(host.exec("sh", "-c", VITALS).stdout, job)
    host.rnx("job", "stop", job)


@pytest.fixture(autouse=True)
def healthy(host: Host, peace: Peace) -> Iterator[None]:
    """The daemon, the journal and D-Bus are still the same processes, jobs run, nothing hostile is left over."""
    yield
    assert host.exec("sh", "-c", VITALS).stdout == peace.vitals
    assert host.rnx_bytes("job", "run", "--wait", "echo", "well").stdout == b"well\n"
    assert host.log_so_far(peace.bystander) == b"begun\n"
    states = {job["id"]: job["status"] for job in json.loads(host.rnx("--json", "job", "list").stdout)}
    assert states[peace.bystander] == "RUNNING"
    ended = [job for job, state in states.items() if state in FINAL]
    until(lambda: not _with_a_unit(host, ended))


def _with_a_unit(host: Host, jobs: list[str]) -> list[str]:
    units = host.exec("systemctl", "list-units", "--all", "--no-legend", "--plain", "joblet-job-*").stdout
    return [job for job in jobs if job in units]

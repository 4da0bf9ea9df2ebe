"""The virtual machine: a Debian 13 host with every cgroup v2 controller, slow without KVM, booted once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hosts import Host, boot, down

# What no job may end or restart, whatever it takes.
SERVICES = (
    "joblet.service",
    "systemd-journald@joblet.service",
    "systemd-journald.service",
    "dbus.service",
    "ssh.service",
)


@pytest.fixture(scope="session")
def vm() -> Iterator[Host]:
    """The machine."""
    name = f"vm-{os.getpid() % 10000}"
    try:
        host = boot(name, "trixie", ["--vm"])
        host.log(host.run("true"))  # from now on the journal of the jobs is up
        yield host
    finally:
        down(name)


@pytest.fixture
def unharmed(vm: Host) -> Iterator[None]:
    """The services of the host are the same processes after the test, and nothing has failed."""
    before = vitals(vm)
    yield
    assert vitals(vm) == before


def vitals(vm: Host) -> str:
    """Processes and restarts of the services, and what has failed on the host."""
    shown = vm.exec("systemctl", "show", "--property=Id,MainPID,NRestarts,ActiveState", *SERVICES).stdout
    return shown + vm.exec("systemctl", "list-units", "--failed", "--no-legend", "--plain").stdout

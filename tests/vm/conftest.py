"""What every test of a limit has to leave alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hosts import Host

# What no job may end or restart, whatever it takes.
SERVICES = ("joblet.service", "systemd-journald.service", "dbus.service", "ssh.service")
# The journal of the jobs leaves by itself when nobody writes for a while; what it must not do is crash.
VITALS = (
    f"systemctl show --property=Id,MainPID,NRestarts,ActiveState {' '.join(SERVICES)}; "
    "systemctl show --property=Id,NRestarts systemd-journald@joblet.service; "
    "systemctl list-units --failed --no-legend --plain"
)


@pytest.fixture
def unharmed(vm: Host) -> Iterator[None]:
    """The services of the host are the same processes after the test, and nothing has failed."""
    before = vm.exec("sh", "-c", VITALS).stdout
    yield
    assert vm.exec("sh", "-c", VITALS).stdout == before

"""The virtual machine, booted once for all tests; and a SIGINT that interrupts, however they were started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hosts import Host, boot, down


def pytest_configure() -> None:
    # A shell has what it starts in the background ignore SIGINT, and whatever that starts: rnx, to begin with.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def vm() -> Iterator[Host]:
    """Debian 13 with every cgroup v2 controller, slow without KVM."""
    name = f"vm-{os.getpid() % 10000}"
    try:
        host = boot(name, "trixie", ["--vm"])
        host.log(host.run("true"))  # from now on the journal of the jobs is up
        yield host
    finally:
        down(name)

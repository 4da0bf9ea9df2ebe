"""The virtual machine: Debian 13 with every cgroup v2 controller, slow without KVM, booted once for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hosts import Host, boot, down


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

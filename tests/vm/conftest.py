"""The virtual machine: a Debian 13 host with every cgroup v2 controller, slow without KVM, booted once."""

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
        yield boot(name, "trixie", ["--vm"])
    finally:
        down(name)

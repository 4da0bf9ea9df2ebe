"""Storms: one per suite, on a host of its own, and one in the VM; their size and number are options."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from hosts import Host, boot, down

SUITES = ("bookworm", "trixie", "forky")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on", action="append", choices=(*SUITES, "vm"), help="where to raise storms (repeatable)")
    parser.addoption("--storm", default="short", choices=("short", "long"), help="how big they are")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "storm_host" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--on") or SUITES
        metafunc.parametrize("storm_host", chosen, indirect=True)


@pytest.fixture
def storm_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host to which anything may happen."""
    if request.param == "vm":
        yield request.getfixturevalue("vm")  # whose other tests have been before: tests/run
        return
    name = f"chaos-{request.param}-{os.getpid() % 10000}"
    try:
        yield boot(name, request.param)
    finally:
        down(name)


@pytest.fixture
def seed() -> int:
    """What a storm is drawn from: JOBLET_CHAOS_SEED, else any."""
    return int(os.environ.get("JOBLET_CHAOS_SEED") or random.SystemRandom().randrange(10**9))

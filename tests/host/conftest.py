"""Tests on real systemd hosts: each runs once per suite, on a host that all tests of the suite share."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Page, browser
from clients import node
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hosts import Host, boot, down

SUITES = ("bookworm", "trixie", "forky")
FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--suite", action="append", choices=SUITES, help="only on this Debian suite (repeatable)")
    parser.addoption("--part", metavar="N/M", default="1/1", help="of the test files every M-th, from the N-th on")
    parser.addoption("--everywhere", action="store_true", help="those marked only_on run on every suite, too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only_on(suite, because): what is tested is the same whatever the systemd")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    part, parts = map(int, config.getoption("--part").split("/"))
    files = sorted(Path(__file__).parent.rglob("test_*.py"))[part - 1 :: parts]  # the same whichever are asked for
    everywhere = config.getoption("--everywhere")
    chosen = [item for item in items if item.path in files and (everywhere or not _runs_elsewhere(item))]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _runs_elsewhere(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("only_on")
    if marker is None or not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    on = item.callspec.params.get("host") or item.callspec.params.get("own_host")
    return on is not None and on != marker.args[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    suites = metafunc.config.getoption("--suite") or SUITES
    for fixture in ("host", "own_host"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, suites, indirect=True, scope="session" if fixture == "host" else "function")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = report.failed or item.stash.get(FAILED, False)
    return report


@pytest.fixture(autouse=True)
def _nothing_stays_of_a_failure(request: pytest.FixtureRequest) -> Iterator[None]:
    """The jobs of a test that failed end, so that the next ones on the same host do not fail for them."""
    yield
    if request.node.stash.get(FAILED, False) and "host" in request.fixturenames:
        request.getfixturevalue("host").end_all()


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """The shared host of a suite."""
    name = f"test-{request.param}-{os.getpid() % 10000}"
    try:
        yield boot(name, request.param)
    finally:
        down(name)


@pytest.fixture
def own_host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of the test's own, to break."""
    name = f"own-{request.param}-{os.getpid() % 10000}"
    try:
        yield boot(name, request.param)
    finally:
        down(name)


@pytest.fixture(scope="session")
def ca(host: Host) -> tuple[Any, x509.Name]:
    """The host's own CA, as a thief of its key would have it: key and name."""
    key = serialization.load_pem_private_key(host.exec("cat", "/etc/joblet/pki/ca.key").stdout.encode(), None)
    return key, x509.load_pem_x509_certificate(node(host)["ca"].encode()).subject


@pytest.fixture(scope="module")
def opened(host: Host) -> Iterator[Page]:
    """One browser for all tests of a file, an administrator's."""
    with browser(host) as page:
        yield page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The browser with the list of jobs open, in a window of usual size; nothing may go wrong in it."""
    opened.size(1280, 800)
    opened.colours("light")
    opened.open("#/jobs")
    opened.wait("document.querySelector('.row [href]') || document.querySelector('.empty h2')")
    opened.problems()
    yield opened
    assert opened.problems() == []

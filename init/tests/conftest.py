"""The fixtures: a place for the job's files, the binary in it, and start() and run()."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import GID, TIERS, UID, Job, Journal, Run, Start, Stuck


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory the job's uid can enter, write to, and execute from. Not in /tmp: a job has its own."""
    with tempfile.TemporaryDirectory(prefix="joblet-init-", dir="/var/lib") as name:
        os.chown(name, UID, GID)
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def init(place: Path) -> Path:
    """The binary, where the job's uid can reach it."""
    return Path(
        shutil.copy(os.environ.get("JOBLET_INIT", Path(__file__).parent.parent / "joblet-init"), place / "joblet-init")
    )


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def start(place: Path, init: Path) -> Iterator[Start]:
    """start(*command, tier=, options=, full=, pause_at=) -> Job. Ended with the test.

    ``full``: journald's queue is, at first. ``pause_at``: it reads nothing more after so many entries.
    """
    jobs: list[Job] = []

    def begin(
        *argv: str,
        tier: str = "systemd",
        options: tuple[str, ...] = (),
        full: bool = False,
        pause_at: int | None = None,
        **more,
    ) -> Job:
        journal = Journal(place)
        if full:
            journal.fill()
        if pause_at is not None:
            journal.pause_at(pause_at)
        jobs.append(Job(init, tier, journal, list(argv), list(options), **more))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.end()


@pytest.fixture
def run(start: Start) -> Run:
    """run(*command, tier=, options=) -> Result."""
    return lambda *argv, **more: start(*argv, **more).result()


@pytest.fixture
def control(place: Path) -> Path:
    """Where a job's control socket may be."""
    return place / "control"


@pytest.fixture(scope="session", autouse=True)
def stuck(init: Path, place: Path) -> Iterator[Stuck]:
    """A job whose journald never reads. Takes 10 seconds: begun with the first test, looked at by one of the last."""
    journal = Journal(place)
    journal.pause()
    stuck = Stuck(Job(init, "systemd", journal, ["seq", "10000"], []))
    yield stuck
    stuck.job.end()

"""``jobletd doctor --fix`` on hosts whose daemon was killed, or did not come up at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from joblet_systemd import config, leftovers
from joblet_systemd.config import JobsConfig
from joblet_systemd.jobs.places import Places
from joblet_systemd.leftovers import Leftover, find
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.store import Store

JOB = "00000001-0000-0000-0000-000000000000"


class Manager:
    """PID 1 without a unit of ours."""

    serves = False

    async def states(self) -> dict[str, str]:
        return {}

    async def has_ended(self, unit: str) -> bool:
        assert unit == "joblet.service"
        return not self.serves


class Host:
    """The daemon's directories, and what was found in them."""

    def __init__(self, path: Path) -> None:
        self.runtime, self.state = path / "run", path / "lib"
        self.state.mkdir()
        self.store = Store(self.state / "joblet.db")
        self.places = Places.of(self.runtime, self.state, JobsConfig())
        self.manager = Manager()

    async def look(self) -> list[Leftover]:
        return await find(self.manager, self.store, self.places)  # type: ignore[arg-type]

    def found(self) -> list[str]:
        return [one.what for one in asyncio.run(self.look())]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host(tmp_path)
    monkeypatch.setattr(config, "RUNTIME_DIR", made.runtime)
    monkeypatch.setattr(leftovers, "_settled", lambda path, *_: path.exists())
    with contextlib.closing(made.store):
        yield made


def test_a_host_that_has_just_booted_and_whose_daemon_does_not_start(host: Host) -> None:
    """There is nothing below /run: that is why somebody runs it."""
    assert host.found() == []


def test_what_a_killed_daemon_was_making(host: Host) -> None:
    made = host.state / "jobs" / ".upload-x"
    made.mkdir(parents=True)
    (made / "new.img").touch()
    (host.state / "jobs" / ".template-8").touch()  # every daemon has one
    assert host.found() == [str(made)]
    host.manager.serves = True  # then it may be at that
    assert host.found() == []
    host.manager.serves = False
    assert remove_all(host, host.look) == (1, 0)
    assert not made.exists()


def test_the_trial_job_of_a_doctor_that_was_killed(host: Host) -> None:
    trial = host.runtime / "trial-x"
    for name in (JOB, ".template-8"):
        (trial / "jobs" / name / "work").mkdir(parents=True)
    assert host.found() == [str(trial)]
    assert remove_all(host, host.look) == (1, 0)
    assert not trial.exists()


def test_a_job_that_has_come_since_the_list_keeps_what_it_has(host: Host) -> None:
    """Between the list and the answer to 'Remove 1?' there may be hours."""
    directory = host.state / "jobs" / JOB
    (directory / "work").mkdir(parents=True)
    listed = asyncio.run(host.look())
    assert [one.what for one in listed] == [str(directory)]
    host.store.add(Job(JOB, JobSpec("true"), "alice", "joblet-alice", State.RUNNING, 0))
    assert asyncio.run(leftovers._remove_all(listed, host.look)) == (0, 0)
    assert directory.exists()


def remove_all(host: Host, look: Callable[[], object]) -> tuple[int, int]:
    return asyncio.run(leftovers._remove_all(asyncio.run(host.look()), look))  # type: ignore[arg-type]

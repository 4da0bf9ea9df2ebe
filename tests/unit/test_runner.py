"""What a start is short of: told apart from what is wrong with the job, so that the start is put off and not failed."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joblet_systemd.errors import Exhausted, JobletError, Unsupported
from joblet_systemd.files.work import _explained
from joblet_systemd.jobs.control import Controls
from joblet_systemd.model import Job, JobSpec, State

from .journalless import imported

JOB = Job("1", JobSpec("true"), "alice", "joblet-alice", State.INITIALIZING, submitted_usec=1, attempt=1)


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def start(tmp_path: Path, **replaced: Any) -> str:
    """The start of a job by a Runner whose places are these; PID 1 says that it is done."""

    async def done(*_: object) -> str:
        return "done"

    async def run() -> str:
        places = {
            "work": Directories(),
            "controls": Controls(tmp_path),
            "roots": SimpleNamespace(skeleton=tmp_path, empty=tmp_path, etc=lambda account: tmp_path),
            "credentials": SimpleNamespace(path=lambda job_id: tmp_path),
            **replaced,
        }
        runner = imported("jobs.runner").Runner(SimpleNamespace(start=done), None, SimpleNamespace(**places), 1.0, 1)
        try:
            return str(await runner.start(JOB))
        finally:
            runner.close()

    return asyncio.run(run())


class Directories:
    """Of jobs: all of them are there."""

    def __getattr__(self, name: str) -> Callable[..., str]:
        return lambda *_: f"/{name}"


SHORT = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ENOSPC, "No space left on device")]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:

    module = imported("jobs.runner")
    monkeypatch.setattr(module.journal, "connect", lambda namespace: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    monkeypatch.setattr(module.unit, "properties", lambda *_, **__: [])
    return module


@pytest.mark.parametrize("error", SHORT, ids=str)
def test_a_host_that_is_short_of_something(
    runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    assert start(tmp_path) == "done"
    etc = SimpleNamespace(skeleton=tmp_path, empty=tmp_path, etc=failing(error))
    with pytest.raises(Exhausted, match=f"cannot be made: {error.strerror}"):
        start(tmp_path, roots=etc)
    with pytest.raises(Exhausted):
        start(tmp_path, controls=SimpleNamespace(listen=failing(error)))
    monkeypatch.setattr(runner.journal, "connect", failing(error))
    with pytest.raises(Exhausted):
        start(tmp_path)
    assert isinstance(_explained(error, tmp_path), Exhausted), "of /work"


def test_what_does_not_pass(runner: Any, tmp_path: Path) -> None:
    with pytest.raises(JobletError, match="cannot be made: Permission denied") as caught:
        start(tmp_path, controls=SimpleNamespace(listen=failing(OSError(errno.EACCES, "Permission denied"))))
    assert not isinstance(caught.value, Exhausted)
    with pytest.raises(Unsupported):
        start(tmp_path, work=SimpleNamespace(mount=failing(Unsupported("There is no Unix account."))))


def test_sockets_of_jobs_when_there_is_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblet_systemd.jobs.control.socket.socket", failing(SHORT[0]))
    with pytest.raises(OSError, match="Too many open files"), Controls(tmp_path).listen("1"):
        pass

"""Fixtures of the client's tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import yaml

import joblet_wire
import rnx
from rnx.main import run

from .fakes import FakeJobs, Server
from .pki import Pair, authority

IMPORT_PATH = os.pathsep.join(str(Path(package.__file__ or "").parent.parent) for package in (rnx, joblet_wire))


@dataclass(frozen=True)
class Result:
    """How rnx ended: its exit code, and the bytes on its stdout and stderr."""

    code: int
    out: bytes
    err_bytes: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def err(self) -> str:
        return self.err_bytes.decode()


Rnx = Callable[..., Result]


def write_config(path: Path, address: str, pair: Pair | None = None, ca: str | None = None) -> Path:
    """A configuration file of one node."""
    keys = pair or authority().client()
    node = {"address": address, "cert": keys.cert, "key": keys.key, "ca": ca or authority().cert}
    path.write_text(yaml.safe_dump({"version": "3.0", "nodes": {"default": node}}))
    path.chmod(0o600)
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own configuration or environment reaches a test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RNX_CONFIG", "RNX_DEBUG", "NO_COLOR", "_RNX_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("rnx.config.SYSTEM_DIRECTORIES", ())


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def server(jobs: FakeJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A node with ``jobs`` on it, which rnx finds by its configuration."""
    running = Server(jobs)
    monkeypatch.setenv("RNX_CONFIG", str(write_config(tmp_path / "server.yml", running.address)))
    yield running
    running.stop()


@pytest.fixture
def run_rnx(capsysbinary: pytest.CaptureFixture[bytes]) -> Rnx:
    """Runs rnx inside this process."""

    def run_here(*arguments: str) -> Result:
        code = run(list(arguments))
        out, err = capsysbinary.readouterr()
        return Result(code, out, err)

    return run_here


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to read everything. Only the current directory can be relied on then."""
    if os.geteuid() != 0:
        yield
        return
    os.chmod(".", 0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def start_rnx(
    *arguments: str, stdout: int | IO[bytes] = subprocess.PIPE, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """A process of its own that runs rnx, as its user has it: interruptible, though a shell in whose background the
    tests run would have had SIGINT ignored."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-W", "error", "-m", "rnx", *arguments],
        env={**{name: os.environ[name] for name in os.environ if name != "GRPC_VERBOSITY"}, "PYTHONPATH": IMPORT_PATH},
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def spawn_rnx(*arguments: str, stdin: bytes = b"") -> Result:
    """Run rnx in a process of its own to its end, with that to read."""
    process = start_rnx(*arguments, stdin=subprocess.PIPE)
    out, err = process.communicate(stdin, timeout=30)
    return Result(process.returncode, out, err)

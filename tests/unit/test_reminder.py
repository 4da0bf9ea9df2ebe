"""Whoever reads the daemon's log is told of certificates that end soon, or why he is not."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from joblet_systemd import reminder, setup
from joblet_systemd.identity import Identity, Role


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A complete /etc/joblet."""
    list(setup.setup(etc=tmp_path / "joblet", ensure_account=lambda identity: False))
    return tmp_path / "joblet"


def test_the_daemon_is_told_by_a_process_of_its_own(
    etc: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.issue(Identity("alice", Role.DEVELOPER), days=12, etc=etc, ensure_account=lambda identity: False)

    async def first_words() -> str:
        caplog.clear()
        reminding = asyncio.create_task(reminder.remind(etc))
        while not caplog.messages:
            await asyncio.sleep(0.01)
        reminding.cancel()
        return "\n".join(caplog.messages)

    assert "the last certificate of alice (developer) ends on" in asyncio.run(first_words())
    (etc / "pki" / "ca.crt").write_text("nonsense")
    assert f"cannot be looked through: {etc}/pki/ca.crt cannot be" in asyncio.run(first_words())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert "no-python cannot be run: No such file or directory" in asyncio.run(first_words())
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho first >&2; echo last >&2; exit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    assert "the certificates cannot be looked through: last" in asyncio.run(first_words())


@pytest.mark.parametrize("seconds", [600, 0.2])
def test_the_look_through_certificates_ends_with_the_daemon_or_in_time(
    etc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    monkeypatch.setattr(reminder, "LOOK_SEC", seconds)
    slow = tmp_path / "python"
    slow.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid.new && mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 100\n"
    )
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))

    async def end() -> int:
        reminding = asyncio.create_task(reminder.remind(etc))
        while not (tmp_path / "pid").exists() or (seconds < 1 and "longer than" not in caplog.text):
            await asyncio.sleep(0.01)
        reminding.cancel()
        await asyncio.wait([reminding])
        return int((tmp_path / "pid").read_text())

    with pytest.raises(ProcessLookupError):
        os.kill(asyncio.run(end()), 0)

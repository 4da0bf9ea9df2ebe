"""The benchmark runs on every kind of host. What it finds on a busy machine says nothing, so nobody looks at it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hosts import PROJECT, Host


@pytest.mark.only_on("bookworm", because="it runs on a host as any other program does")
def test_one_row(host: Host) -> None:
    options = ["--host", host.name, "--quick", "--only=rate", "--json"]
    done = subprocess.run(
        [sys.executable, PROJECT / "bench/run", *options], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["host"]["systemd"].startswith("systemd ")
    bare, ours = found["findings"]
    assert bare["figure"]["median"] > 0
    assert ours["ratio"]["number"] == 2
    assert not host.exec("systemctl", "list-units", "--all", "--no-legend", "joblet-bench-*").stdout

"""The examples of docs/http.md, run as they are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from hosts import PROJECT, Host
from webclient import Web

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The examples are of a host that one is on: localhost leads to the lab's.
REDIRECT = """
import socket
connect = socket.create_connection
socket.create_connection = lambda address, *rest, **more: connect(
    ({host!r}, address[1]) if address[0] == "localhost" else address, *rest, **more
)
"""


def without_times(text: str) -> str:
    return re.sub(r'"time":"[^"]*"', '"time":""', text)


def test_curl_and_python(host: Host, tmp_path: Path) -> None:
    address, port = Web(host, tmp_path).address
    (tmp_path / "rnx-config.yml").write_text(host.config.read_text())
    (tmp_path / ".curlrc").write_text(f"connect-to = localhost:{port}:{address}:{port}\n")
    (tmp_path / "sitecustomize.py").write_text(REDIRECT.format(host=address))
    env = {**os.environ, "CURL_HOME": str(tmp_path), "PYTHONPATH": str(tmp_path)}

    def run(*argv: str) -> str:
        done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.decode()

    blocks = BLOCK.findall((PROJECT / "docs" / "http.md").read_text())
    keys, follow = (text for language, text in blocks if language == "python")
    [commands] = [text for language, text in blocks if "joblet()" in text]
    [printed] = [text for language, text in blocks if not language]
    run(sys.executable, "-c", keys)
    said = run("sh", "-ec", commands)
    assert without_times(printed) in without_times(said)
    assert "\nhello\nworld\n" in said
    assert '"name":"hello"' in said.splitlines()[-1]
    assert run(sys.executable, "-c", follow) == "hello\nworld\n"
    host.rnx("job", "delete", "hello")

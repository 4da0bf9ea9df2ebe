"""The HTTP interface is what its OpenAPI document says, as schemathesis finds out by all manner of requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attack import clear, unharmed
from hosts import Host
from webclient import Web

# For the fuzzing; /v1/events, which does not end by itself, is left out. On a busy machine the first of these times may
# be over before there is a request.
SECONDS, EXAMPLES = (8, 30, 120), 8
NOTHING_TRIED = "Empty test suite"
SCHEMATHESIS, CONFIG = Path(sys.executable).with_name("schemathesis"), Path(__file__).with_name("schemathesis.toml")


@pytest.mark.only_on("bookworm", because="clients meet the daemon alone, and here the oldest aiohttp")
@pytest.mark.parametrize("role", ["reader", "developer"])
def test_the_document_keeps_its_word(host: Host, tmp_path: Path, role: str) -> None:
    web = Web(host, tmp_path, role)
    key = tmp_path / "key.pem"
    key.touch(mode=0o600)
    key.write_text(web.key)
    address = f"https://{web.address[0]}:{web.address[1]}"
    options = {
        "--url": address,
        "--request-cert": web.file,
        "--request-cert-key": key,
        "--tls-verify": "false",  # the certificate is for other names than that address; other tests look at that
        "--request-timeout": 60,
        "--phases": "coverage,fuzzing",
        "--max-examples": EXAMPLES,
        "--exclude-path": "/v1/events",
        "--generation-database": "none",
        "--seed": 1,  # the same requests every time: a run that fails can be repeated
        "--warnings": "off",  # of what no random request finds, such as jobs
    }
    words = [str(word) for pair in options.items() for word in pair]
    command = [SCHEMATHESIS, f"--config-file={CONFIG}", "run", f"{address}/v1/openapi.json", *words]
    with unharmed(host):
        for seconds in SECONDS:
            done = subprocess.run(
                [*command, f"--max-time={seconds}"],
                cwd=tmp_path,
                env={**os.environ, "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if NOTHING_TRIED not in done.stdout:
                break
    if role == "developer":
        clear(host, role)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout

"""gRPC is imported without its asyncio interface, and works."""

from __future__ import annotations

import subprocess
import sys

from rnx.sparing import put_off

ABSENT = """
import sys
import rnx.connection, grpc
assert "asyncio.base_events" not in sys.modules, "gRPC has loaded asyncio"
channel = grpc.insecure_channel("127.0.0.1:1")
call = channel.unary_unary("/a/b").future(b"", timeout=0.2)
assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), call.code()
channel.close()
import asyncio, asyncio.subprocess
assert asyncio.run(asyncio.sleep(0, "real")) == "real"
"""

USED = """
import sys
from rnx.sparing import put_off
with put_off("wave"):
    import wave
assert "wave" not in sys.modules
assert wave.Wave_read is __import__("wave").Wave_read, "whoever looks into it gets the real one"
"""


def python(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_asyncio_is_loaded_by_those_who_use_it_only() -> None:
    python(ABSENT)


def test_what_is_put_off_comes_when_it_is_used() -> None:
    python(USED)


def test_what_is_there_stays() -> None:
    with put_off("subprocess"):
        assert sys.modules["subprocess"] is subprocess

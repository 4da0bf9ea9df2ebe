"""A system bus that goes away before it has been shaken hands with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from joblet_systemd.errors import SystemdError
from joblet_systemd.systemd.manager import Manager


@pytest.mark.parametrize("answer", [b"", b"OK 0123", b"OK 0123456789abcdef0123456789abcdef\r\n"])
def test_a_handshake_cut_off_is_an_error(answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/bus")

    async def go_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async def connect() -> None:
        async with await asyncio.start_unix_server(go_away, f"{tmp_path}/bus"):
            with pytest.raises(SystemdError, match="The system bus cannot be reached"):
                await asyncio.wait_for(Manager("joblet-job-*.service").connect(), 10)

    asyncio.run(connect())

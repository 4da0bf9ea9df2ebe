"""The system bus: one that goes away in the handshake, and what PID 1 says over it of a unit that has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from joblet_systemd.errors import SystemdError
from joblet_systemd.systemd.manager import Manager, UnitResult, escape, unescape


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


NOTHING_RAN = {"Result": "success", "ExecMainCode": 0, "ExecMainStatus": 0, "CPUUsageNSec": 2**64 - 1}


@pytest.mark.parametrize(
    ("properties", "result"),
    [
        ({"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 3, "CPUUsageNSec": 7}, ("exit-code", 1, 3, 7)),
        ({**NOTHING_RAN, "Result": "resources", "LoadState": "loaded"}, ("resources", 0, 0, None)),
        ({**NOTHING_RAN, "LoadState": "not-found"}, None),  # PID 1 loads it to answer, and finds nothing
        ({}, None),
    ],
)
def test_how_a_unit_ended(properties: dict[str, Any], result: tuple[Any, ...] | None) -> None:
    class Known(Manager):
        async def _get_property(self, path: str, interface: str, name: str, *default: Any) -> Any:
            return properties.get(name, default[0])

    found: UnitResult | None = asyncio.run(Known("x*").result("x.service", ()))
    assert (found and (found.result, found.code, found.status, found.cpu_nsec)) == result


def test_a_unit_is_held_once_whoever_asks_at_the_same_time() -> None:
    """Of two references one release would leave one, and the unit loaded."""
    references = 0

    class Counting(Manager):
        refusal: SystemdError | None = None

        async def _call(self, path: str, interface: str, member: str, *_: Any) -> list[Any]:
            nonlocal references
            await asyncio.sleep(0)
            if self.refusal:
                raise self.refusal
            references += {"Ref": 1, "Unref": -1}.get(member, 0)
            return []

    async def play() -> None:
        manager = Counting("x*")
        manager.refusal = SystemdError("It is gone.", name="org.freedesktop.systemd1.NoSuchUnit")
        await manager.hold("x.service")
        manager.refusal = SystemdError("No.")
        with pytest.raises(SystemdError):
            await manager.hold("x.service")
        manager.refusal = None
        await asyncio.gather(*(manager.hold("x.service") for _ in range(3)))
        assert references == 1
        await manager.release("x.service")
        assert references == 0
        await manager.hold("x.service")
        assert references == 1

    asyncio.run(play())


def test_names_of_units_in_paths() -> None:
    for _ in range(2):
        assert escape("a-b.service") == "a_2db_2eservice"
        assert unescape("a_2db_2eservice") == "a-b.service"

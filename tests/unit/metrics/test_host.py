"""Readings of this very host: whole, in the wire's fields, and without what is nobody's business."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from joblet_systemd.api.metrics import fields_of, interval_of, parts_of
from joblet_systemd.errors import InvalidValue
from joblet_systemd.metrics import cloud
from joblet_systemd.metrics.host import PARTS, HostReadings
from joblet_systemd.metrics.processes import Processes, plain
from joblet_wire import joblet_pb2 as wire


@pytest.fixture
def readings() -> Iterator[HostReadings]:
    found = HostReadings("node-1", Path("/var/lib/joblet/jobs"))
    yield found
    found.close()


def test_all_parts_fit_into_the_wire(readings: HostReadings) -> None:
    values = asyncio.run(readings.read())
    assert set(values) == set(PARTS.values())
    status = wire.SystemStatusResponse(available=True, **fields_of(values))
    assert status.host.node_id == "node-1"
    assert status.host.hostname
    assert status.cpu.cores >= 1
    assert len(status.cpu.per_core_usage) == status.cpu.cores
    shares = (status.cpu.user_time, status.cpu.system_time, status.cpu.idle_time, status.cpu.io_wait_time)
    assert 90 <= sum(shares) + status.cpu.steal_time <= 110
    assert 0 < status.memory.available_bytes <= status.memory.total_bytes
    assert status.processes.total_processes >= len(status.processes.top_by_memory) > 0
    assert {network.interface for network in status.networks} >= {"lo"}
    assert wire.SystemMetricsResponse(**fields_of(values)).cpu == status.cpu


def test_parts_are_read_only_when_asked_for(readings: HostReadings) -> None:
    assert set(asyncio.run(readings.read(("memory", "disk")))) == {"memory", "disks"}


def test_those_who_ask_first_together_get_shares_of_the_same_time(readings: HostReadings) -> None:
    """Not one of them those of the moment between two questions."""

    async def ask() -> list[Mapping[str, Any]]:
        return await asyncio.gather(*(readings.read(("cpu",)) for _ in range(3)))

    first, *others = asyncio.run(ask())
    assert all(other["cpu"] is first["cpu"] for other in others)


def test_asking_often_costs_nothing(readings: HostReadings) -> None:
    """Those who ask within the same second get the same reading."""

    async def ask() -> list[Mapping[str, Any]]:
        await readings.read(("memory",))
        return await asyncio.gather(*(readings.read(("memory",)) for _ in range(50)))

    first, *others = asyncio.run(ask())
    assert all(other["memory"] is first["memory"] for other in others)


def test_command_lines_are_not_told() -> None:
    """Neither by way of the arguments, nor by a first argument that says something else."""
    source = "import time, sys; x = bytearray(300 << 20); print(flush=True); time.sleep(60)"
    command = ["--password=hunter2", "-c", source, "--token=hunter3"]
    with subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            told = Processes().read()
        finally:
            process.kill()
    [entry] = [entry for entry in told["top_by_memory"] if entry["pid"] == process.pid]
    assert entry["command"] == str(Path(sys.executable).resolve())
    assert entry["memory_bytes"] > 300 << 20
    assert "hunter" not in str(told)


def test_names_that_would_move_a_cursor() -> None:
    assert plain("a\x1b[2Jb\n\udc80ü") == "a�[2Jb��ü"


def test_a_cloud_that_the_firmware_tells_of(tmp_path: Path) -> None:
    def machine(**facts: str) -> Mapping[str, str]:
        for file in tmp_path.iterdir():
            file.unlink()
        for name, content in facts.items():
            (tmp_path / name).write_text(f"{content}\n")
        return cloud.read(tmp_path, tmp_path / "hypervisor")

    assert machine() == {}
    assert machine(sys_vendor="QEMU") == {"hypervisor_type": "kvm"}
    assert machine(sys_vendor="Amazon EC2", product_name="m7g.large", board_asset_tag="i-0123") == {
        "provider": "aws",
        "hypervisor_type": "kvm",
        "instance_id": "i-0123",
        "instance_type": "m7g.large",
    }
    azure = machine(sys_vendor="Microsoft Corporation", chassis_asset_tag=cloud.AZURE_CHASSIS, product_serial="9")
    assert (azure["provider"], azure["hypervisor_type"]) == ("azure", "hyper-v")
    assert machine(sys_vendor="Xen", hypervisor="xen\x1b[2J") == {"hypervisor_type": "xen[2J"}


def test_what_may_be_asked_for() -> None:
    assert parts_of([]) == tuple(PARTS)
    assert parts_of(["Memory", " cpu"]) == ("cpu", "memory")
    assert parts_of(["disks", "networks"]) == ("disk", "network")
    with pytest.raises(
        InvalidValue, match=r"metric_types: 'gpu' .* host, cpu, memory, disk, network, io, process, cloud"
    ):
        parts_of(["cpu", "gpu"])
    assert (interval_of(0, 5), interval_of(60, 5)) == (5, 60)
    for seconds in (-1, 61):
        with pytest.raises(InvalidValue, match="interval_seconds"):
            interval_of(seconds, 5)

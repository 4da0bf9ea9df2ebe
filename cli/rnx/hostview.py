"""The state of a node in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import output
from .usage import short_size

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import (
        CloudInfo,
        CPUMetrics,
        DiskMetrics,
        HostInfo,
        IOMetrics,
        MemoryMetrics,
        NetworkMetrics,
        ProcessInfo,
        ProcessMetrics,
        SystemMetricsResponse,
        SystemStatusResponse,
    )

# The field of a part, which is also its key in JSON.
FIELDS = {
    "host": "host",
    "cpu": "cpu",
    "memory": "memory",
    "disk": "disks",
    "network": "networks",
    "io": "io",
    "process": "processes",
    "cloud": "cloud",
}


def lines(answer: SystemStatusResponse | SystemMetricsResponse, parts: Sequence[str]) -> Iterator[str]:
    """The parts, in their order, as far as they are there; a blank line between two."""
    first = True
    for part in parts:
        value = getattr(answer, FIELDS[part])
        told = [output.printable(line) for line in SHOWN[part](value)]
        if told and not first:
            yield ""
        if told:
            first = False
        yield from told


def _host(host: HostInfo) -> Iterator[str]:
    yield f"Host: {host.hostname}"
    yield f"OS: {host.os}, Linux {host.kernel_version}, {host.architecture}"
    yield f"Node ID: {host.node_id}"
    yield f"Booted: {output.local_time(host.boot_time)}, {output.duration(host.uptime)} ago"
    if host.server_ips:
        yield f"Addresses: {', '.join(host.server_ips)}"


def _cpu(cpu: CPUMetrics) -> Iterator[str]:
    shares = {
        "user": cpu.user_time,
        "system": cpu.system_time,
        "waiting for I/O": cpu.io_wait_time,
        "stolen": cpu.steal_time,
    }
    told = ", ".join(f"{share:.1f}% {name}" for name, share in shares.items())
    yield f"CPU: {cpu.usage_percent:.1f}% of {cpu.cores} cores ({told})"
    yield f"Per Core: {' '.join(f'{share:.0f}%' for share in cpu.per_core_usage)}"
    yield f"Load: {' '.join(f'{load:.2f}' for load in cpu.load_average)}"


def _memory(memory: MemoryMetrics) -> Iterator[str]:
    sizes = f"{output.size(memory.used_bytes)} of {output.size(memory.total_bytes)} used"
    yield f"Memory: {sizes} ({memory.usage_percent:.1f}%), {output.size(memory.available_bytes)} available"
    yield f"Cached: {output.size(memory.cached_bytes)}, buffers {output.size(memory.buffered_bytes)}"
    if memory.swap_total:
        yield f"Swap: {output.size(memory.swap_used)} of {output.size(memory.swap_total)} used"


def _disks(disks: Sequence[DiskMetrics]) -> Iterator[str]:
    rows = [
        (
            disk.mount_point,
            disk.device,
            disk.filesystem,
            short_size(disk.total_bytes),
            short_size(disk.free_bytes),
            f"{disk.usage_percent:.0f}%",
            f"{disk.inodes_usage_percent:.0f}%",
        )
        for disk in disks
    ]
    yield from _table(("MOUNTED ON", "DEVICE", "TYPE", "SIZE", "FREE", "USED", "INODES"), rows, text=3)


def _networks(networks: Sequence[NetworkMetrics]) -> Iterator[str]:
    rows = [
        (
            network.interface,
            f"{short_size(network.receive_rate)}/s",
            f"{short_size(network.transmit_rate)}/s",
            short_size(network.bytes_received),
            short_size(network.bytes_sent),
            str(network.errors_in + network.errors_out),
            str(network.drops_in + network.drops_out),
        )
        for network in networks
    ]
    yield from _table(("INTERFACE", "IN", "OUT", "RECEIVED", "SENT", "ERRORS", "DROPPED"), rows, text=1)


def _io(io: IOMetrics) -> Iterator[str]:
    if not io.disk_io and not io.total_reads:
        return
    yield f"IO: {short_size(io.read_rate)}/s read, {short_size(io.write_rate)}/s written"
    rows = [
        (
            disk.device,
            short_size(disk.read_bytes),
            short_size(disk.write_bytes),
            str(disk.reads_completed),
            str(disk.writes_completed),
            f"{disk.utilization:.1f}%",
        )
        for disk in io.disk_io
    ]
    yield from _table(("DISK", "READ", "WRITTEN", "READS", "WRITES", "BUSY"), rows, text=1)


def _processes(processes: ProcessMetrics) -> Iterator[str]:
    states = f"{processes.running_processes} running, {processes.sleeping_processes} sleeping"
    states += f", {processes.stopped_processes} stopped, {processes.zombie_processes} zombies"
    yield f"Processes: {processes.total_processes} ({states}), {processes.total_threads} threads"
    yield from _table(PROCESS_HEAD, [_process(process) for process in processes.top_by_cpu], text=0)
    yield ""
    yield from _table(PROCESS_HEAD, [_process(process) for process in processes.top_by_memory], text=0)


PROCESS_HEAD = ("PID", "CPU", "MEMORY", "SHARE", "STATUS", "NAME")


def _process(process: ProcessInfo) -> tuple[str, ...]:
    share, memory = f"{process.cpu_percent:.1f}%", f"{process.memory_percent:.1f}%"
    return (str(process.pid), share, short_size(process.memory_bytes), memory, process.status, process.name)


def _cloud(cloud: CloudInfo) -> Iterator[str]:
    facts = {
        "Cloud": cloud.provider,
        "Instance": " ".join(word for word in (cloud.instance_type, cloud.instance_id) if word),
        "Region": " ".join(word for word in (cloud.region, cloud.zone) if word),
        "Hypervisor": cloud.hypervisor_type,
    }
    yield from (f"{label}: {value}" for label, value in facts.items() if value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text: int) -> Iterator[str]:
    """Columns, the first ``text`` and the last of them flush left, the others right."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        cells = [
            cell.ljust(width) if column < text or (column == len(head) - 1 and not text) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


SHOWN: dict[str, Callable[[Any], Iterator[str]]] = {
    "host": _host,
    "cpu": _cpu,
    "memory": _memory,
    "disk": _disks,
    "network": _networks,
    "io": _io,
    "process": _processes,
    "cloud": _cloud,
}

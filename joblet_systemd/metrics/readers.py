"""Reads what the host is and uses, by psutil. The keys are the names of the wire's fields."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from . import cloud
from .processes import Processes, plain
from .sample import rfc3339


class Readers:
    """Reads each of ``host.PARTS``; file systems mounted below ``jobs`` are those of jobs and left out."""

    def __init__(self, node_id: str, jobs: Path) -> None:
        self._node_id = node_id
        self._jobs = jobs
        self._networks = _Rates()
        self._disks = _Rates()
        self._of: dict[str, Callable[[], Any]] = {
            "host": self._host,
            "cpu": _cpu,
            "memory": _memory,
            "disk": self._file_systems,
            "network": self._interfaces,
            "io": self._io,
            "process": Processes().read,
            "cloud": cloud.read,
        }

    def read(self, part: str) -> Any:
        """The fields of ``part``; shares and rates are those since the reading before."""
        return self._of[part]()

    def _host(self) -> Mapping[str, Any]:
        boot = psutil.boot_time()
        addresses = [entry for name, found in psutil.net_if_addrs().items() if name != "lo" for entry in found]
        return {
            "hostname": socket.gethostname(),
            "os": _os_name(),
            "kernel_version": platform.release(),
            "architecture": platform.machine(),
            "boot_time": rfc3339(round(boot * 1_000_000)),
            "uptime": round(time.time() - boot),
            "node_id": self._node_id,
            "server_ips": _ips(addresses),
            "mac_addresses": _macs(addresses),
        }

    def _file_systems(self) -> list[Mapping[str, Any]]:
        found = []
        for partition in self._partitions():
            with contextlib.suppress(OSError):  # unmounted meanwhile, or its disk is out of order
                found.append(_file_system(partition))
        return found

    def _partitions(self) -> Iterator[Any]:
        """Each file system once; not those of jobs, and no files that something was mounted on."""
        seen = set()
        for partition in psutil.disk_partitions(all=False):
            where = Path(partition.mountpoint)
            if partition.device not in seen and not where.is_relative_to(self._jobs) and where.is_dir():
                seen.add(partition.device)
                yield partition

    def _interfaces(self) -> list[Mapping[str, Any]]:
        addresses = psutil.net_if_addrs()
        counts = psutil.net_io_counters(pernic=True)
        rates = self._networks.since_last(
            {name: (count.bytes_recv, count.bytes_sent) for name, count in counts.items()}
        )
        return [
            {
                "interface": plain(name),
                "bytes_received": count.bytes_recv,
                "bytes_sent": count.bytes_sent,
                "packets_received": count.packets_recv,
                "packets_sent": count.packets_sent,
                "errors_in": count.errin,
                "errors_out": count.errout,
                "drops_in": count.dropin,
                "drops_out": count.dropout,
                "receive_rate": rates[name][0],
                "transmit_rate": rates[name][1],
                "ip_addresses": _ips(addresses.get(name, ())),
                "mac_address": next(iter(_macs(addresses.get(name, ()))), ""),
            }
            for name, count in sorted(counts.items())
        ]

    def _io(self) -> Mapping[str, Any]:
        counts = {
            name: count
            for name, count in (psutil.disk_io_counters(perdisk=True) or {}).items()
            # Whole disks: what a partition or a loop device does is done by one.
            if Path("/sys/block", name).exists() and not name.startswith(("loop", "ram", "zram", "dm-", "md"))
        }
        rates = self._disks.since_last(
            {name: (count.read_bytes, count.write_bytes, count.busy_time) for name, count in counts.items()}
        )
        disks = [
            {
                "device": name,
                "reads_completed": count.read_count,
                "writes_completed": count.write_count,
                "read_bytes": count.read_bytes,
                "write_bytes": count.write_bytes,
                "read_time": count.read_time,
                "write_time": count.write_time,
                "io_time": count.busy_time,
                "utilization": min(100.0, round(rates[name][2] / 10, 1)),  # ms per second
            }
            for name, count in sorted(counts.items())
        ]
        return {
            "total_reads": sum(count.read_count for count in counts.values()),
            "total_writes": sum(count.write_count for count in counts.values()),
            "read_bytes": sum(count.read_bytes for count in counts.values()),
            "write_bytes": sum(count.write_bytes for count in counts.values()),
            "read_rate": sum(rate[0] for rate in rates.values()),
            "write_rate": sum(rate[1] for rate in rates.values()),
            "disk_io": disks,
        }


class _Rates:
    """How much counters grow in a second."""

    def __init__(self) -> None:
        self._at = 0.0
        self._before: Mapping[str, tuple[int, ...]] = {}

    def since_last(self, counters: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[float, ...]]:
        now = time.monotonic()
        elapsed = max(now - self._at, 0.001)
        rates = {
            name: tuple(
                max(0.0, round((value - before) / elapsed, 1))
                for value, before in zip(values, self._before.get(name, values), strict=True)
            )
            for name, values in counters.items()
        }
        self._at, self._before = now, counters
        return rates


def _cpu() -> Mapping[str, Any]:
    times = psutil.cpu_times_percent(interval=None)
    return {
        "cores": psutil.cpu_count() or 1,
        "usage_percent": psutil.cpu_percent(interval=None),
        "user_time": times.user + times.nice,
        "system_time": times.system + times.irq + times.softirq,
        "idle_time": times.idle,
        "io_wait_time": times.iowait,
        "steal_time": times.steal,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "per_core_usage": psutil.cpu_percent(interval=None, percpu=True),
    }


def _memory() -> Mapping[str, Any]:
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "total_bytes": memory.total,
        "used_bytes": memory.used,
        "free_bytes": memory.free,
        "available_bytes": memory.available,
        "usage_percent": memory.percent,
        "cached_bytes": memory.cached,
        "buffered_bytes": memory.buffers,
        "swap_total": swap.total,
        "swap_used": swap.used,
        "swap_free": swap.free,
    }


def _file_system(partition: Any) -> Mapping[str, Any]:
    at = os.statvfs(partition.mountpoint)
    total, free = at.f_blocks * at.f_frsize, at.f_bavail * at.f_frsize
    used = (at.f_blocks - at.f_bfree) * at.f_frsize
    inodes_used = at.f_files - at.f_ffree
    return {
        "device": plain(partition.device),
        "mount_point": plain(partition.mountpoint),
        "filesystem": partition.fstype,
        "total_bytes": total,
        "used_bytes": used,
        "free_bytes": free,
        "usage_percent": _percent(used, used + free),  # as df(1): what is reserved for root counts as neither
        "inodes_total": at.f_files,
        "inodes_used": inodes_used,
        "inodes_free": at.f_ffree,
        "inodes_usage_percent": _percent(inodes_used, at.f_files),
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _ips(addresses: Collection[Any]) -> list[str]:
    return [entry.address.partition("%")[0] for entry in addresses if entry.family in (socket.AF_INET, socket.AF_INET6)]


def _macs(addresses: Collection[Any]) -> list[str]:
    return [entry.address for entry in addresses if entry.family == psutil.AF_LINK]

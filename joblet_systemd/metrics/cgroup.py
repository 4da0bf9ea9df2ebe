"""What the kernel counts for one job: the files of its control group (Documentation/admin-guide/cgroup-v2.rst).

Reading all of a job's takes some tens of microseconds, and no descriptor is kept. The kernel may have to
add up what its CPUs counted first, so it is done outside of the event loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from .sample import Sample

CGROUP_ROOT = Path("/sys/fs/cgroup")
READ_BYTES = 64 << 10


def directory(slice_name: str) -> Path:
    """Where the control groups of a slice's units are: ``a-b.slice`` is in ``a.slice`` (systemd.slice(5))."""
    words = slice_name.removesuffix(".slice").split("-")
    parts = [f"{'-'.join(words[: count + 1])}.slice" for count in range(len(words))]
    return Path(CGROUP_ROOT, *parts)


def read(group: Path) -> Sample | None:
    """A sample of a control group, without a CPU share; None when there is none (any more), or no descriptor."""
    try:
        place = os.open(group, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # The one file that every group has, whatever the controllers are.
        cpu = _content(place, "cpu.stat")
        if cpu is None:
            return None
        used = keyed(cpu)
        io_read, io_written = io_totals(_content(place, "io.stat"))
        return Sample(
            time_usec=time.time_ns() // 1000,
            cpu_usec=used.get("usage_usec"),
            cpu_throttled_usec=used.get("throttled_usec"),
            memory_bytes=_number(place, "memory.current"),
            memory_peak_bytes=_number(place, "memory.peak"),
            io_read_bytes=io_read,
            io_write_bytes=io_written,
            tasks=_tasks(place),
            tasks_peak=_number(place, "pids.peak"),
            cpu_pressure=some_avg10(_content(place, "cpu.pressure")),
            memory_pressure=some_avg10(_content(place, "memory.pressure")),
            io_pressure=some_avg10(_content(place, "io.pressure")),
        )
    finally:
        os.close(place)


def keyed(content: bytes) -> Mapping[str, int]:
    """The numbers of a flat keyed file, such as ``usage_usec 17`` in cpu.stat."""
    pairs = (line.split() for line in content.decode("ascii", "replace").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def io_totals(content: bytes | None) -> tuple[int | None, int | None]:
    """Bytes read and written, all devices together as systemd adds them up; None for both without the file.

    A line is ``254:0 rbytes=4096 wbytes=0 rios=1 …``; a device without I/O may have no numbers.
    """
    if content is None:
        return None, None
    totals = {b"rbytes": 0, b"wbytes": 0}
    for word in content.split():
        key, equals, value = word.partition(b"=")
        if equals and key in totals and value.isdigit():
            totals[key] += int(value)
    return totals[b"rbytes"], totals[b"wbytes"]


def some_avg10(content: bytes | None) -> float | None:
    """Of a pressure file: ``some avg10=0.12 avg60=… total=…``."""
    for line in (content or b"").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == b"some" and words[1].startswith(b"avg10="):
            return float(words[1].removeprefix(b"avg10="))
    return None


def _number(place: int, name: str) -> int | None:
    content = (_content(place, name) or b"").strip()
    return int(content) if content.isdigit() else None


def _tasks(place: int) -> int | None:
    """The threads of all processes; counted one by one where the controller for that is missing."""
    tasks = _number(place, "pids.current")
    if tasks is None and (threads := _content(place, "cgroup.threads")) is not None:
        tasks = threads.count(b"\n")
    return tasks


def _content(place: int, name: str) -> bytes | None:
    """A file's content; None when it is not there, for want of its controller, or with its group gone."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=place)
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(file, READ_BYTES):
            parts.append(part)
        return b"".join(parts)
    except OSError:  # ENODEV: removed in this moment; EOPNOTSUPP: pressure is switched off (psi=0)
        return None
    finally:
        os.close(file)

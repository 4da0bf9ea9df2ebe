"""What jobs use, in words: the columns of ``job metrics`` and ``job top``, and their JSON."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import output
from .messages import as_json

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import JobMetricsEvent, JobSample

NSEC = 1_000_000_000
# The head of a column, its width, and whether it is flush right.
COLUMNS = (
    *(("TIME", 8, False), ("CPU", 7, True), ("CPU TIME", 9, True), ("MEMORY", 9, True), ("READ", 9, True)),
    *(("WRITTEN", 9, True), ("TASKS", 5, True), ("RECEIVED", 9, True), ("SENT", 9, True), ("PRESSURE", 14, True)),
)


def sample_of(event: JobMetricsEvent) -> JobSample:
    """The reading in an event; one of an older node has fewer fields, and zeros for what it does not know."""
    from joblet_wire.joblet_pb2 import JobSample  # noqa: PLC0415 - not by --help

    if event.HasField("sample"):
        return event.sample
    return JobSample(
        cpu_percent=event.cpu_percent,
        memory_bytes=event.memory_bytes,
        io_read_bytes=event.disk_read_bytes,
        io_write_bytes=event.disk_write_bytes,
        net_received_bytes=event.net_recv_bytes,
        net_sent_bytes=event.net_sent_bytes,
    )


def event_json(event: JobMetricsEvent) -> dict[str, Any]:
    """One reading; what the node keeps no account of is left out."""
    moment = datetime.datetime.fromtimestamp(event.timestamp / NSEC, datetime.UTC)
    time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": time, **as_json(sample_of(event))}


def head() -> str:
    """The heads of the columns."""
    return _line([name for name, _, _ in COLUMNS])


def row(event: JobMetricsEvent) -> str:
    """One reading."""
    sample = sample_of(event)
    moment = datetime.datetime.fromtimestamp(event.timestamp / NSEC).astimezone()
    return _line(
        [
            moment.strftime("%H:%M:%S"),
            percent(sample, "cpu_percent"),
            cpu_time(sample),
            *(size(sample, name) for name in ("memory_bytes", "io_read_bytes", "io_write_bytes")),
            number(sample, "tasks"),
            *(size(sample, name) for name in ("net_received_bytes", "net_sent_bytes")),
            pressures(sample),
        ]
    )


def total_lines(event: JobMetricsEvent) -> Iterator[str]:
    """What a job that has ended used in all."""
    sample = sample_of(event)
    if sample.HasField("cpu_usec"):
        share = f" ({sample.cpu_percent:.1f}% of one core)" if sample.HasField("cpu_percent") else ""
        yield f"CPU Time: {output.duration(sample.cpu_usec / 1e6)}{share}"
    if sample.HasField("memory_peak_bytes"):
        yield f"Peak Memory: {output.size(sample.memory_peak_bytes)}"
    if sample.HasField("tasks_peak"):
        yield f"Peak Tasks: {sample.tasks_peak}"
    if sample.HasField("io_read_bytes") and sample.HasField("io_write_bytes"):
        yield f"IO: {output.size(sample.io_read_bytes)} read, {output.size(sample.io_write_bytes)} written"
    if sample.HasField("net_received_bytes") and sample.HasField("net_sent_bytes"):
        received, sent = output.size(sample.net_received_bytes), output.size(sample.net_sent_bytes)
        yield f"Traffic: {received} received, {sent} sent"


def percent(sample: JobSample, name: str) -> str:
    """A share, or ``-``."""
    return f"{getattr(sample, name):.1f}%" if sample.HasField(name) else "-"


def number(sample: JobSample, name: str) -> str:
    """A number, or ``-``."""
    return str(getattr(sample, name)) if sample.HasField(name) else "-"


def size(sample: JobSample, name: str) -> str:
    """Bytes in short, or ``-``."""
    return short_size(getattr(sample, name)) if sample.HasField(name) else "-"


def short_size(count: float) -> str:
    """``17.5M`` for 17.5 MB of 2^20 bytes."""
    for unit in ("B", "K", "M", "G"):
        if count < 1024:
            return f"{count:.0f}{unit}" if unit == "B" else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}T"


def cpu_time(sample: JobSample) -> str:
    """``1:02.35`` for a minute and 2.35 seconds, or ``-``."""
    if not sample.HasField("cpu_usec"):
        return "-"
    minutes, usec = divmod(sample.cpu_usec, 60_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = usec / 1e6
    return f"{hours}:{minutes:02}:{int(seconds):02}" if hours else f"{minutes}:{seconds:05.2f}"


def pressures(sample: JobSample) -> str:
    """Of CPU, memory and I/O, in percent."""
    names = ("cpu_pressure", "memory_pressure", "io_pressure")
    found = [f"{getattr(sample, name):.0f}" if sample.HasField(name) else "-" for name in names]
    return "-" if found == ["-"] * 3 else "/".join(found)


def _line(cells: Sequence[str]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, (_, width, right) in zip(cells, COLUMNS, strict=True)
    ]
    return "  ".join(padded).rstrip()

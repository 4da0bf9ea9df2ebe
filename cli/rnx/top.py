"""``rnx job top``."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from . import output, screen, usage
from .command import Command, Number, Settings, pass_settings
from .messages import as_json

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import RunningJob, TopJobsResponse

SORTS: dict[str, Callable[[RunningJob], Any]] = {
    "cpu": lambda job: -job.sample.cpu_percent,
    "memory": lambda job: -job.sample.memory_bytes,
    "io": lambda job: -(job.sample.io_read_bytes + job.sample.io_write_bytes),
    "tasks": lambda job: -job.sample.tasks,
    "time": lambda job: -job.sample.cpu_usec,
    "start": lambda job: job.start_time,
    "owner": lambda job: job.owner,
    "name": lambda job: job.name or job.command,
}
HEAD = ("ID", "OWNER", "CPU", "MEMORY", "READ", "WRITTEN", "TASKS", "CPU TIME", "RUNS FOR", "COMMAND")
LEFT = frozenset({0, 1, 9})  # columns of text


@click.command("top", cls=Command)
@click.option("--once", is_flag=True, help="Print the table once, as is done where stdout is no terminal.")
@click.option("--sort", type=click.Choice(list(SORTS)), default="cpu", show_default=True, help="What comes first.")
@click.option(
    "--interval", type=Number(1, 60), default=1, show_default=True, metavar="SECONDS", help="Between two looks."
)
@pass_settings
def top(settings: Settings, once: bool, sort: str, interval: int) -> None:
    """Show the jobs that run and what they use. On a terminal again and again, until Ctrl-C."""
    from joblet_wire.joblet_pb2 import TopJobsRequest

    from .connection import connect

    connection = connect(settings)
    live = screen.is_live() and not once and not settings.json
    request = TopJobsRequest(interval_seconds=interval, once=not live)
    answers = screen.received(connection, lambda: connection.jobs.TopJobs(request), "the jobs that run")
    if live:
        screen.show(answers, lambda answer: _lines(answer, sort, connection.node.name, whole_ids=False))
        return
    for answer in answers:
        if settings.json:
            output.print_json([_json(job) for job in sorted(answer.jobs, key=SORTS[sort])])
        else:
            print("\n".join(list(_lines(answer, sort, connection.node.name, whole_ids=True))[2:]))


def _json(job: RunningJob) -> dict[str, Any]:
    sample = as_json(job.sample) if job.HasField("sample") else None
    return {**as_json(job), "sample": sample}


def _lines(answer: TopJobsResponse, sort: str, node: str, *, whole_ids: bool) -> Iterator[str]:
    """A line about all, a blank one, and a table."""
    now = output.parsed_time(answer.timestamp) or datetime.datetime.now(datetime.UTC)
    jobs = sorted(answer.jobs, key=SORTS[sort])
    count = len(jobs) + answer.omitted
    what = f"{count} job{'s' if count != 1 else ''} on node '{node}'"
    used = [f"{sum(job.sample.cpu_percent for job in jobs):.1f}% of a core"] if jobs else []
    if any(job.sample.HasField("memory_bytes") for job in jobs):
        used.append(f"{usage.short_size(sum(job.sample.memory_bytes for job in jobs))} of memory")
    yield f"{now.astimezone():%H:%M:%S}  {what}{': ' if used else ''}{', '.join(used)}; by {sort}"
    yield ""
    rows = [_row(job, now, whole_ids) for job in jobs]
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in range(len(HEAD))]
    for row in [HEAD, *rows]:
        cells = [
            cell.ljust(width) if column in LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
    if answer.omitted:
        yield f"… and {answer.omitted} more"


def _row(job: RunningJob, now: datetime.datetime, whole_ids: bool) -> tuple[str, ...]:
    sample, started = job.sample, output.parsed_time(job.start_time)
    command = f"{job.name}: {job.command}" if job.name else job.command
    return (
        job.uuid if whole_ids else job.uuid[:8],
        output.printable(job.owner) or "-",
        usage.percent(sample, "cpu_percent"),
        *(usage.size(sample, name) for name in ("memory_bytes", "io_read_bytes", "io_write_bytes")),
        usage.number(sample, "tasks"),
        usage.cpu_time(sample),
        _age((now - started).total_seconds()) if started else "-",
        output.printable(command),
    )


def _age(seconds: float) -> str:
    """``2d03h``, ``3h07m``, ``5m09s`` or ``42s``."""
    whole = max(0, int(seconds))
    days, hours, minutes = whole // 86400, whole // 3600, whole // 60
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"

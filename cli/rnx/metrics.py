"""``rnx job metrics``."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import click

from . import complete, output, screen, usage
from .command import Command, Number, Settings, pass_settings
from .job import ID_HELP
from .moment import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from joblet_wire.joblet_pb2 import JobMetricsEvent

SHOWN = 20  # readings in the table without --limit


@click.command("metrics", cls=Command, epilog=ID_HELP)
@click.option("-f", "--follow", is_flag=True, help="Go on with each reading as it is taken, to the end of the job.")
@click.option("--since", type=moment, metavar="TIME", help="Readings from then on.")
@click.option("--until", type=moment, metavar="TIME", help="Readings up to then.")
@click.option(
    "--limit", type=Number(1, 100_000), metavar="N", help=f"The newest N; {SHOWN} without it, and all as JSON."
)
@click.argument("uuid", metavar="ID", shell_complete=complete.job)
@pass_settings
def metrics(
    settings: Settings,
    uuid: str,
    follow: bool,
    since: str | None,
    until: str | None,
    limit: int | None,
) -> None:
    """Show what a job uses of CPU, memory, I/O and network.

    A reading is taken every second while somebody follows and every 5 seconds otherwise. I/O and network
    are bytes since the job's start. PRESSURE is the share of the last 10 seconds in which some of its tasks
    waited for CPU, memory and I/O. TIME is a time such as "2026-12-24 18:00", or how long ago it was: 10min.
    """
    if follow and until:
        raise click.UsageError("--follow goes on to the end of the job; --until does not go with it")
    from joblet_wire.joblet_pb2 import GetJobMetricsRequest, StreamJobMetricsRequest

    from .connection import connect
    from .follow import FINAL, status_of

    connection = connect(settings)
    job = status_of(connection, uuid)
    kept = GetJobMetricsRequest(
        job_uuid=job.uuid,
        start_time=_nanoseconds(since),
        end_time=_nanoseconds(until),
        limit=limit or (0 if settings.json else SHOWN),
    )
    waiting_for = f"what job {job.uuid} uses"
    events = screen.received(connection, lambda: connection.jobs.GetJobMetrics(kept), waiting_for)
    if not follow or job.status in FINAL:
        past = list(events)
        if settings.json:
            output.print_json(
                {
                    "uuid": job.uuid,
                    "status": job.status,
                    "samples": [usage.event_json(event) for event in past if not event.final],
                    "totals": next((usage.event_json(event) for event in past if event.final), None),
                }
            )
            return
        if not past:
            output.note(f"there are no readings of job {job.uuid} for that time; it is {job.status}")
        _print(past)
        return
    live = StreamJobMetricsRequest(job_uuid=job.uuid)
    stream = screen.received(connection, lambda: connection.jobs.StreamJobMetrics(live), waiting_for)
    whole = _joined(events, stream)
    if settings.json:
        screen.print_each(whole, lambda event: {**usage.event_json(event), **({"final": True} if event.final else {})})
    else:
        _print(whole)


def _joined(past: Iterable[JobMetricsEvent], live: Iterable[JobMetricsEvent]) -> Iterable[JobMetricsEvent]:
    """What is kept, then what comes; each reading once."""
    newest = 0
    for event in past:
        if not event.final:  # it will come once more
            newest = event.timestamp
            yield event
    for event in live:
        if event.timestamp > newest:
            newest = event.timestamp
            yield event


def _print(events: Iterable[JobMetricsEvent]) -> None:
    printed = False
    for event in events:
        if event.final:
            print("\n".join([*([""] if printed else []), *usage.total_lines(event)]), flush=True)
            return
        if not printed:
            print(usage.head())
            printed = True
        print(usage.row(event), flush=True)


def _nanoseconds(time: str | None) -> int:
    return round(datetime.datetime.fromisoformat(time).timestamp() * 1_000_000) * 1000 if time else 0

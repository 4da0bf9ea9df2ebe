"""``rnx monitor``: the node itself."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from . import hostview, output, screen
from .command import Command, Group, Number, Settings, pass_settings
from .messages import as_json
from .values import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from joblet_wire.joblet_pb2 import SystemMetricsResponse

    from .connection import Connection

PARTS = ("host", "cpu", "memory", "disk", "network", "io", "process", "cloud")
BUSY = ("host", "cpu", "memory", "io", "process")  # what 'top' shows
MOVING = ("cpu", "memory", "disk", "network", "io", "process")  # what 'watch' shows


def _parts(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    words = [word.strip().lower() for value in values for word in value.split(",")]
    for word in words:
        if word not in PARTS:
            raise refused(word, f"one or several of {','.join(PARTS)}")
    return tuple(words)


_filter = click.option(
    "--filter", "parts", multiple=True, callback=_parts, metavar="PART,...", help=f"Only these of {', '.join(PARTS)}."
)
_interval = click.option(
    "--interval", type=Number(1, 60), default=2, show_default=True, metavar="SECONDS", help="Between two looks."
)


@click.group(cls=Group, lazy={"status": "monitor:status", "top": "monitor:top", "watch": "monitor:watch"})
def monitor() -> None:
    """Show what the node is and uses."""


@click.command("status", cls=Command)
@_filter
@pass_settings
def status(settings: Settings, parts: tuple[str, ...]) -> None:
    """Show the node once. Its host, CPU, memory, disks, networks, I/O, processes and cloud."""
    from joblet_wire.joblet_pb2 import EmptyRequest

    from .connection import connect

    connection = connect(settings)
    read = connection.monitoring.GetSystemStatus
    answer = connection.call(read, EmptyRequest(), "the state of the node", harmless=True)
    if settings.json:
        wanted = {hostview.FIELDS[part] for part in parts or PARTS}
        others = {field for field in hostview.FIELDS.values() if field not in wanted}
        output.print_json({key: value for key, value in as_json(answer).items() if key not in others})
        return
    print("\n".join(hostview.lines(answer, parts or PARTS)))
    if not parts:
        version = answer.server_version
        print(f"\nServer: joblet {version.version}, {version.go_version}, {version.platform}")


@click.command("top", cls=Command)
@_filter
@_interval
@pass_settings
def top(settings: Settings, parts: tuple[str, ...], interval: int) -> None:
    """Show what keeps the node busy. On a terminal again and again, until Ctrl-C."""
    from .connection import connect

    connection = connect(settings)
    answers = _stream(connection, parts or BUSY, interval)
    if screen.is_live() and not settings.json:
        screen.show(answers, _lines(connection, parts or BUSY))
        return
    for answer in answers:
        if settings.json:
            output.print_json(as_json(answer))
        else:
            print("\n".join(hostview.lines(answer, parts or BUSY)))
        return


@click.command("watch", cls=Command)
@_filter
@_interval
@pass_settings
def watch(settings: Settings, parts: tuple[str, ...], interval: int) -> None:
    """Show what moves on the node, again and again; Ctrl-C ends it. With --json, a line each time."""
    from .connection import connect

    connection = connect(settings)
    answers = _stream(connection, parts or MOVING, interval)
    if settings.json:
        screen.print_each(answers, as_json)
    else:
        screen.show(answers, _lines(connection, parts or MOVING))


def _stream(connection: Connection, parts: Sequence[str], interval: int) -> Iterator[SystemMetricsResponse]:
    from joblet_wire.joblet_pb2 import StreamMetricsRequest

    request = StreamMetricsRequest(interval_seconds=interval, metric_types=parts)
    return screen.received(
        connection, lambda: connection.monitoring.StreamSystemMetrics(request), "the state of the node"
    )


def _lines(connection: Connection, parts: Sequence[str]) -> Callable[[Any], Iterator[str]]:
    def lines(answer: SystemMetricsResponse) -> Iterator[str]:
        yield f"{output.local_time(answer.timestamp)}  node '{connection.node.name}', {connection.node.address}"
        yield ""
        yield from hostview.lines(answer, parts)

    return lines

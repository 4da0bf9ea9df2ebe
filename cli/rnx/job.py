"""``rnx job list|status``. ``run`` is in jobrun, what changes or ends jobs in joblife, the rest in modules of
the commands' names.
"""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import shlex
import sys

import click

from . import complete, output
from .command import Command, Group, Number, Settings, pass_settings
from .jobview import list_json, start_of, status_json, status_lines

STATES = (
    "PENDING",
    "SCHEDULED",
    "INITIALIZING",
    "RUNNING",
    "STOPPING",
    "COMPLETED",
    "FAILED",
    "STOPPED",
    "CANCELED",
    "TIMEOUT",
)
HEAD = ("ID", "NODE ID", "STATUS", "START TIME", "COMMAND")
COMMAND_WIDTH = 24  # as much of a command there should be to see
ID_HELP = "ID may be the job's name, or its id shortened to the first 8 characters or more."


@click.group(
    cls=Group,
    lazy={
        "run": "jobrun:run",
        "list": "job:list_",
        "status": "job:status",
        "log": "log:log",
        "metrics": "metrics:metrics",
        "top": "top:top",
        "attach": "attach:attach",
        "exec": "exec:exec_",
        "stop": "joblife:stop",
        "cancel": "joblife:cancel",
        "update": "joblife:update",
        "delete": "joblife:delete",
        "delete-all": "joblife:delete_all",
        "download": "download:download",
    },
    hidden={"logs": "log:log"},
)
def job() -> None:
    """Run jobs and watch them."""


@click.command("list", cls=Command)
@click.option(
    "--status",
    "states",
    multiple=True,
    type=click.Choice(STATES, case_sensitive=False),
    help="Only jobs in this state; can be given several times.",
)
@click.option("--limit", type=Number(min=1), metavar="N", help="Only the newest N of them; all without it.")
@pass_settings
def list_(settings: Settings, states: tuple[str, ...], limit: int | None) -> None:
    """List the jobs of a node, the oldest first."""
    from joblet_wire.joblet_pb2 import EmptyRequest

    from .connection import connect

    connection = connect(settings)
    request = EmptyRequest(limit=limit, states=states) if limit and limit <= complete.NEWEST else EmptyRequest()
    jobs = connection.call(connection.jobs.ListJobs, request, "the list of jobs", harmless=True).jobs
    # Nodes of older versions send all in any case.
    chosen = [row for row in jobs if not states or row.status in states][-(limit or 0) :]
    if settings.json:
        output.print_json([list_json(row) for row in chosen])
        return
    rows = [
        (row.uuid, row.node_id, row.status, output.local_time(start_of(row)), shlex.join([row.command, *row.args]))
        for row in chosen
    ]
    if sys.stdout.isatty():  # a person reads it: what others read has all columns, whole
        _show([row.name for row in chosen], rows)
    else:
        output.table(HEAD, rows, colour=2)


def _show(names: list[str], rows: list[tuple[str, str, str, str, str]]) -> None:
    """Print the table with the names of jobs, which is what people call them by, and so that lines fit the terminal."""
    import shutil

    shown = [(*row[:4], f"{name}: {row[4]}" if name else row[4]) for name, row in zip(names, rows, strict=True)]
    before = sum(2 + max(map(len, column)) for column in list(zip(HEAD, *rows, strict=True))[:4])
    if shutil.get_terminal_size().columns - before >= COMMAND_WIDTH:
        output.table(HEAD, shown, colour=2)
        return
    # The same node in every line can be done without, and what is left of an id is taken for it by every command.
    output.table((HEAD[0], *HEAD[2:]), [(row[0][:8], *row[2:]) for row in shown], colour=1)


@click.command("status", cls=Command, epilog=ID_HELP)
@click.argument("uuid", metavar="ID", shell_complete=complete.job)
@pass_settings
def status(settings: Settings, uuid: str) -> None:
    """Show all that is known of a job."""
    from .connection import connect
    from .follow import FINAL, status_of

    answer = status_of(connect(settings), uuid)
    if settings.json:
        output.print_json(status_json(answer, answer.status in FINAL))
        return
    for line in status_lines(answer, answer.status in FINAL):
        print(output.printable(line))

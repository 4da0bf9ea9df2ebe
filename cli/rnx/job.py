"""``rnx job list|status|log|stop``. ``run`` is in jobrun, ``attach`` and ``exec`` in modules of these names."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from . import output
from .command import Command, Group, Settings, pass_settings
from .errors import RnxError
from .jobview import list_json, status_json, status_lines

if TYPE_CHECKING:
    from .connection import Connection

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
STOP_TIMEOUT = 600.0  # seconds; the node's grace period is its own affair

ID_HELP = "ID may be shortened to its first 8 characters or more."


@click.group(
    cls=Group,
    lazy={
        "run": "jobrun:run",
        "list": "job:list_",
        "status": "job:status",
        "log": "job:log",
        "attach": "attach:attach",
        "exec": "exec:exec_",
        "stop": "job:stop",
    },
    hidden={"logs": "job:log"},
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
@pass_settings
def list_(settings: Settings, states: tuple[str, ...]) -> None:
    """List the jobs of a node."""
    from joblet_wire.joblet_pb2 import EmptyRequest

    from .connection import connect

    connection = connect(settings)
    jobs = connection.call(connection.jobs.ListJobs, EmptyRequest(), "the list of jobs").jobs
    chosen = [row for row in jobs if not states or row.status in states]
    if settings.json:
        output.print_json([list_json(row) for row in chosen])
        return
    rows = [
        (row.uuid, row.node_id, row.status, output.local_time(row.start_time), shlex.join([row.command, *row.args]))
        for row in chosen
    ]
    output.table(("ID", "NODE ID", "STATUS", "START TIME", "COMMAND"), rows, colour=2)


@click.command("status", cls=Command, epilog=ID_HELP)
@click.argument("uuid", metavar="ID")
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


@click.command("log", cls=Command, epilog=ID_HELP)
@click.option("--no-follow", is_flag=True, help="Print what there is and do not wait for more.")
@click.argument("uuid", metavar="ID")
@pass_settings
def log(settings: Settings, uuid: str, no_follow: bool) -> None:
    """Print the output of a job, and go on until the job has ended.

    Byte for byte: what the job wrote to stdout goes to stdout, and stderr to stderr.
    """
    if settings.json:
        raise click.UsageError("the output of a job is printed as it is; there is no --json for it")
    from .connection import connect
    from .follow import copy_output, status_of

    connection = connect(settings)
    # The full id: what rnx says of the job later on can then be pasted.
    copy_output(connection, status_of(connection, uuid).uuid, no_follow)


@click.command("stop", cls=Command, epilog=ID_HELP)
@click.argument("uuids", metavar="ID...", nargs=-1, required=True)
@pass_settings
def stop(settings: Settings, uuids: tuple[str, ...]) -> None:
    """Stop jobs: SIGTERM first, SIGKILL after the node's grace period."""
    from .connection import connect

    connection = connect(settings)
    failure = 0
    answers = []
    for uuid in uuids:
        try:
            answers.append(_stop(connection, uuid, settings.json))
        except RnxError as error:
            output.error(str(error))
            failure = failure or error.exit_code
    if settings.json:
        output.print_json(answers)
    click.get_current_context().exit(failure)


def _stop(connection: Connection, uuid: str, as_json: bool) -> dict[str, Any]:
    from joblet_wire.joblet_pb2 import StopJobRequest

    request = StopJobRequest(uuid=uuid)
    answer = connection.call(connection.jobs.StopJob, request, f"job {uuid} to stop", STOP_TIMEOUT)
    if not as_json:
        print(f"ID: {output.printable(answer.uuid)}\nStatus: {output.printable(answer.status)}", flush=True)
    return {"job_uuid": answer.uuid, "status": answer.status, "end_time": answer.end_time or None}

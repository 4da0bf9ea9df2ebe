"""``rnx job stop|cancel|update|delete|delete-all``: what changes jobs, ends them and forgets them."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import complete, output, values
from .command import Command, Settings, pass_settings
from .errors import FAILURE, INTERRUPTED, RnxError
from .job import ID_HELP

if TYPE_CHECKING:
    from .connection import Connection

STOP_TIMEOUT = 600.0  # seconds; the node's grace period is its own affair


@click.command("stop", cls=Command, epilog=ID_HELP)
@click.argument("uuids", metavar="ID...", nargs=-1, required=True, shell_complete=complete.job_in(complete.LIVE))
@pass_settings
def stop(settings: Settings, uuids: tuple[str, ...]) -> None:
    """Stop jobs. They get SIGTERM first, and SIGKILL after the node's grace period."""
    _each(settings, uuids, _stop)


def _stop(connection: Connection, uuid: str) -> dict[str, Any]:
    from joblet_wire.joblet_pb2 import StopJobRequest

    request = StopJobRequest(uuid=uuid)
    answer = connection.call(connection.jobs.StopJob, request, f"job {uuid} to stop", STOP_TIMEOUT)
    return {"job_uuid": answer.uuid, "status": answer.status, "end_time": answer.end_time or None}


@click.command("cancel", cls=Command, epilog=ID_HELP)
@click.argument("uuids", metavar="ID...", nargs=-1, required=True, shell_complete=complete.job_in(complete.WAITING))
@pass_settings
def cancel(settings: Settings, uuids: tuple[str, ...]) -> None:
    """Cancel jobs that have not started. Those of a schedule come no more."""
    _each(settings, uuids, _cancel)


def _cancel(connection: Connection, uuid: str) -> dict[str, Any]:
    from joblet_wire.joblet_pb2 import CancelJobRequest

    request = CancelJobRequest(uuid=uuid)
    answer = connection.call(connection.jobs.CancelJob, request, f"job {uuid} to be canceled")
    return {"job_uuid": answer.uuid, "status": answer.status}


@click.command("delete", cls=Command, epilog=ID_HELP)
@click.argument("uuids", metavar="ID...", nargs=-1, required=True, shell_complete=complete.job_in(complete.ENDED))
@pass_settings
def delete(settings: Settings, uuids: tuple[str, ...]) -> None:
    """Forget jobs that have ended, and remove their files.

    What they printed stays in the node's journal until that is full, for its administrators alone.
    """
    _each(settings, uuids, _delete)


def _delete(connection: Connection, uuid: str) -> dict[str, Any]:
    from joblet_wire.joblet_pb2 import DeleteJobRequest

    request = DeleteJobRequest(uuid=uuid)
    answer = connection.call(connection.jobs.DeleteJob, request, f"job {uuid} to be deleted")
    if not answer.success:
        raise RnxError(answer.message or f"the node did not delete job {uuid}, and does not say why.")
    return {"job_uuid": answer.uuid or uuid, "deleted": True}


LABELS = {"job_uuid": "ID", "status": "Status", "deleted": "Deleted"}


def _each(settings: Settings, uuids: tuple[str, ...], act: Callable[[Connection, str], dict[str, Any]]) -> None:
    """Do something to each job; those for which it fails do not keep it from the others."""
    from .connection import connect

    connection = connect(settings)
    failure = 0
    answers = []
    for uuid in uuids:
        try:
            answers.append(act(connection, uuid))
        except RnxError as error:
            output.error(str(error))
            failure = failure or error.exit_code
            continue
        if not settings.json:
            _tell(answers[-1])
    if settings.json:
        output.print_json(answers)
    click.get_current_context().exit(failure)


def _tell(answer: dict[str, Any]) -> None:
    for key, label in LABELS.items():
        if key in answer:
            shown = "yes" if answer[key] is True else output.printable(answer[key])
            print(f"{label}: {shown}", flush=True)


@click.command("delete-all", cls=Command)
@click.option("-y", "--yes", is_flag=True, help="Do not ask. On a pipe rnx never asks.")
@pass_settings
def delete_all(settings: Settings, yes: bool) -> None:
    """Forget all jobs that have ended and are yours to delete.

    Their files are removed. What they printed stays in the node's journal until that is full, for its
    administrators alone.
    """
    from joblet_wire.joblet_pb2 import DeleteAllJobsRequest

    from .connection import connect

    connection = connect(settings)
    if not yes and sys.stdin.isatty() and sys.stderr.isatty():
        _confirm(connection.node.name)
    answer = connection.call(connection.jobs.DeleteAllJobs, DeleteAllJobsRequest(), "the jobs to be deleted", None)
    if not answer.success:
        raise RnxError(answer.message or "the node did not delete the jobs, and does not say why.")
    if settings.json:
        output.print_json({"deleted": answer.deleted_count, "skipped": answer.skipped_count})
        return
    print(f"Deleted: {answer.deleted_count}")
    if answer.skipped_count:
        print(f"Skipped: {answer.skipped_count} (not ended yet, or not yours)")


def _confirm(node: str) -> None:
    question = f"Forget all your ended jobs on node '{output.printable(node)}', and remove their files?"
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        raise RnxError("interrupted; nothing was deleted", INTERRUPTED) from None
    if not agreed:
        raise RnxError("nothing was deleted", FAILURE)


@click.command("update", cls=Command, epilog=ID_HELP)
@click.option(
    "--max-cpu", type=values.removable(values.cpu_percent, 0), metavar="CPU", help="CPU time, as in 'job run', or none."
)
@click.option(
    "--cpu-cores",
    type=values.removable(values.cpu_list, ""),
    metavar="LIST",
    help="The CPUs to run on, or none for all.",
)
@click.option("--max-memory", type=values.removable(values.memory_mb, 0), metavar="MB", help="Memory, or none.")
@click.option(
    "--max-iobps",
    "--max-io-bps",
    "max_io_bps",
    type=values.removable(values.bytes_per_second, 0),
    metavar="BYTES",
    help="Disk bytes per second, reading and writing each, or none.",
)
@click.option(
    "--max-runtime",
    "--timeout",
    "max_runtime_ms",
    type=values.removable(values.duration_ms, 0),
    metavar="DURATION",
    help="The time limit, of a job that waits, or none.",
)
@click.option("--priority", type=values.priority, metavar="N", help="From -100 to 100, of a job that waits.")
@click.argument("uuid", metavar="ID", shell_complete=complete.job_in(complete.LIVE))
@pass_settings
def update(settings: Settings, /, uuid: str, **changes: Any) -> None:
    """Change the limits of a job. It may run already, and must not have ended.

    What is not given stays as it is; none takes a limit away.
    """
    if all(change is None for change in changes.values()):
        raise click.UsageError("nothing to change: give at least one option")
    from joblet_wire.joblet_pb2 import UpdateJobRequest

    from .connection import connect

    connection = connect(settings)
    request = UpdateJobRequest(uuid=uuid, **changes)
    answer = connection.call(connection.jobs.UpdateJob, request, f"job {uuid} to be changed", harmless=True)
    if settings.json:
        output.print_json({"job_uuid": answer.uuid, "status": answer.status, "notices": list(answer.notices)})
        return
    _tell({"job_uuid": answer.uuid, "status": answer.status})
    for notice in answer.notices:
        output.note(notice)

"""``rnx job attach``."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import click

from . import complete
from .command import Command, Settings, pass_settings
from .errors import INTERRUPTED, RnxError
from .job import ID_HELP

END = "end"  # the cursor behind all there is


@click.command("attach", cls=Command, epilog=ID_HELP)
@click.option("--no-stdin", is_flag=True, help="Send no input, even if the job was run with --stdin.")
@click.argument("uuid", metavar="ID", shell_complete=complete.job_in(complete.LIVE))
@pass_settings
def attach(settings: Settings, uuid: str, no_stdin: bool) -> None:
    """Follow the output of a job from now on, and give it input.

    If the job was run with --stdin, what rnx reads goes to it, the end of it included. Ctrl-C detaches,
    the job goes on. At its end rnx exits with its exit code.
    """
    if settings.json:
        raise click.UsageError("the output of a job is printed as it is; there is no --json for it")
    from joblet_wire.joblet_pb2 import GetJobLogsRequest

    from .connection import connect
    from .follow import FINAL, copy_output, exit_code_at_end, status_of

    connection = connect(settings)
    job = status_of(connection, uuid)
    if job.status in FINAL:
        raise RnxError(f"job {job.uuid} has ended: it is {job.status}. 'rnx job log {job.uuid}' prints its output.")

    def begin_input() -> None:
        if job.interactive and not no_stdin:
            from .stdin import send_input

            send_input(connection, job.uuid)

    try:
        # Not before: what the job writes in answer to the first input belongs to what is followed.
        copy_output(connection, GetJobLogsRequest(uuid=job.uuid, cursor=END), begin_input)
        code = exit_code_at_end(connection, job.uuid)
    except KeyboardInterrupt:
        raise RnxError(f"detached; the job goes on: 'rnx job attach {job.uuid}' returns to it.", INTERRUPTED) from None
    click.get_current_context().exit(code)

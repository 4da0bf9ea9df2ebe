"""``rnx job log``."""

# ruff: noqa: PLC0415 - gRPC is imported once all values have been found good

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from . import complete, output, values
from .command import Command, Settings, pass_settings
from .errors import NOT_FOUND, RnxError
from .job import ID_HELP
from .moment import moment

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import GetJobLogsRequest, GetJobStatusResponse

    from .connection import Connection
    from .logprint import JsonLog, TextLog

MOST_JOBS = 100  # at once: each is a stream of its own
COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green")


def pattern(text: str) -> re.Pattern[bytes]:
    """A regular expression for bytes. Raises click.BadParameter saying what is wrong with it."""
    try:
        return re.compile(os.fsencode(text))
    except (re.error, RecursionError, OverflowError) as error:
        raise values.refused(text, f"a regular expression of Python ({error})") from None


@click.command("log", cls=Command, epilog=ID_HELP)
@click.option(
    "-f", "--follow/--no-follow", default=True, help="Go on until the job has ended, or end with what there is."
)
@click.option(
    "-n", "--tail", type=values.lines, metavar="N", help="Begin with the last N lines of what there is; 0 for none."
)
@click.option(
    "--since",
    type=moment,
    metavar="WHEN",
    help="Begin with what was written then or later: '10min', '2026-12-24 18:00', or RFC 3339.",
)
@click.option("--until", type=moment, metavar="WHEN", help="End with what was written up to then.")
@click.option("--stdout", is_flag=True, help="Only what was written to stdout.")
@click.option("--stderr", is_flag=True, help="Only what was written to stderr.")
@click.option("-t", "--timestamps", is_flag=True, help="Print before every line when it was written.")
@click.option(
    "--grep", type=pattern, metavar="RE", help="Only lines in which this regular expression of Python is found."
)
@click.option("--cursor", metavar="CURSOR", help="Begin where this cursor of an earlier --json is.")
@click.argument("uuids", metavar="ID...", nargs=-1, required=True, shell_complete=complete.job)
@pass_settings
def log(
    settings: Settings,
    uuids: tuple[str, ...],
    follow: bool,
    tail: int | None,
    since: str | None,
    until: str | None,
    stdout: bool,
    stderr: bool,
    timestamps: bool,
    grep: re.Pattern[bytes] | None,
    cursor: str | None,
) -> None:
    """Print the output of jobs, and go on until they have ended.

    Byte for byte: what the job wrote to stdout goes to stdout, and stderr to stderr. Of several jobs every line
    comes behind the job's name. With --json every line is an object, and the last of a job is its end.
    """
    if len(uuids) > MOST_JOBS:
        raise click.UsageError(f"{len(uuids)} jobs are too many; {MOST_JOBS} can be followed at once")
    if cursor is not None and len(uuids) > 1:
        raise click.UsageError("--cursor is a place in the log of one job; name that one alone")
    if since and until and datetime.fromisoformat(since) > datetime.fromisoformat(until):
        raise click.UsageError(f"--until is {until}, which is before --since: {since}")
    from joblet_wire.joblet_pb2 import GetJobLogsRequest

    from .connection import connect
    from .follow import copy_output, status_of
    from .logprint import JsonLog, TextLog

    connection = connect(settings)
    # The full id: what rnx says of the job later on can then be pasted.
    jobs = {job.uuid: job for job in (status_of(connection, uuid) for uuid in uuids)}
    by_line = settings.json or timestamps or grep is not None or len(jobs) > 1
    wanted = [
        GetJobLogsRequest(
            uuid=uuid,
            no_follow=not follow,
            cursor=cursor,
            tail=tail,
            since=since,
            until=until,
            stream=0 if stdout == stderr else 1 if stdout else 2,
            by_entry=by_line,
        )
        for uuid in jobs
    ]
    if not by_line:
        copy_output(connection, wanted[0])
        _note_deletion(connection, wanted[0].uuid)
        return
    if settings.json:
        logs: list[TextLog] | list[JsonLog] = [JsonLog(uuid, cursor or "", grep) for uuid in jobs]
    else:
        prefixes = _prefixes(list(jobs.values())) if len(jobs) > 1 else [""]
        logs = [TextLog(prefix.encode(), grep, timestamps) for prefix in prefixes]
    click.get_current_context().exit(_print(connection, wanted, logs))


def _prefixes(jobs: Sequence[GetJobStatusResponse]) -> list[str]:
    """What stands before the lines of each job: its name if it has one of its own, else the beginning of its id."""
    names = [job.name for job in jobs]
    shown = [job.name if job.name and names.count(job.name) == 1 else job.uuid[:8] for job in jobs]
    width = max(map(len, shown))
    prefixes = [f"{output.printable(name).ljust(width)} | " for name in shown]
    if not output.colourful():
        return prefixes
    return [click.style(prefix, fg=COLOURS[number % len(COLOURS)]) for number, prefix in enumerate(prefixes)]


def _print(
    connection: Connection, wanted: Sequence[GetJobLogsRequest], logs: Sequence[TextLog] | Sequence[JsonLog]
) -> int:
    """Print lines as they come, to the end of all logs. Returns 0, or the exit code of the first failure."""
    from joblet_wire.joblet_pb2 import DataChunk

    from .follow import received_together
    from .logprint import JsonLog

    code = 0
    for number, chunk in received_together(connection, wanted):
        log = logs[number]
        if isinstance(chunk, DataChunk):
            log.take(chunk)
            continue
        log.rest()
        try:
            if chunk is not None:
                raise chunk
            if isinstance(log, JsonLog):
                follows = not (wanted[number].no_follow or wanted[number].until)
                log.end(_status(connection, wanted[number].uuid, final=follows))
            else:
                _note_deletion(connection, wanted[number].uuid)
        except RnxError as error:  # of this log; the others go on
            output.error(str(error))
            code = code or error.exit_code
    return code


def _note_deletion(connection: Connection, uuid: str) -> None:
    """Say it if a job whose log has been printed is there no more: nobody can print it again."""
    if _status(connection, uuid, final=False) is None:
        output.note(f"job {uuid} was deleted meanwhile; its output cannot be printed again.")


def _status(connection: Connection, uuid: str, *, final: bool) -> GetJobStatusResponse | None:
    """The status of a job whose log has been printed, waiting for a ``final`` one; None if it was deleted meanwhile."""
    from .follow import await_status

    try:
        return await_status(connection, uuid, final=final)
    except RnxError as error:
        if error.exit_code == NOT_FOUND:
            return None
        raise

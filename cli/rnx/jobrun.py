"""``rnx job run``."""

# ruff: noqa: PLC0415 - gRPC is imported once all values have been found good

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

from . import envfile, output, uploads, values
from .command import Command, Settings, pass_settings
from .errors import INTERRUPTED, RnxError
from .jobview import limit_lines

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import RunJobRequest, RunJobResponse

    from .connection import Connection


@dataclass(frozen=True)
class Order:
    """The options of ``job run`` that describe the job, in the units of the wire; None where not given."""

    max_cpu: int | None
    cpu_cores: str | None
    max_memory: int | None
    max_io_bps: int | None
    environment: tuple[tuple[str, str], ...]
    env_files: tuple[str, ...]
    secret_environment: tuple[tuple[str, str], ...]
    secret_env_files: tuple[str, ...]
    stdin: bool
    name: str | None
    files: tuple[str, ...]
    directories: tuple[str, ...]


@click.command("run", cls=Command, context_settings={"allow_interspersed_args": False})
@click.option(
    "--max-cpu",
    type=values.cpu_percent,
    metavar="CPU",
    help="CPU time: 1 to 9 are cores, 10 and more percent of one core; 1.5c and 50% say it outright.",
)
@click.option(
    "--max-memory",
    type=values.memory_mb,
    metavar="MB",
    help="Memory in MB (1 MB is 2^20 bytes), or with a unit: 512MB, 2GB.",
)
@click.option(
    "--max-iobps",
    "--max-io-bps",
    "max_io_bps",
    type=values.bytes_per_second,
    metavar="BYTES",
    help="Disk bytes per second, reading and writing each, or with a unit: 10MB.",
)
@click.option("--cpu-cores", type=values.cpu_list, metavar="LIST", help="The CPUs to run on, such as 0-3 or 0,2.")
@click.option(
    "-e",
    "--env",
    "environment",
    multiple=True,
    type=values.variable,
    metavar="KEY[=VALUE]",
    help="Set a variable for the job; without a value, to what it is here.",
)
@click.option(
    "--env-file", "env_files", multiple=True, metavar="FILE", help="Set the variables of a file of KEY=VALUE lines."
)
@click.option(
    "--secret-env",
    "secret_environment",
    multiple=True,
    type=values.secret_variable,
    metavar="KEY[=VALUE]",
    help="Set a variable whose value is kept encrypted and never shown; without a value, to what it is here.",
)
@click.option(
    "--secret-env-file",
    "secret_env_files",
    multiple=True,
    metavar="FILE",
    help="Set the variables of a file of KEY=VALUE lines, as --secret-env does.",
)
@click.option("--name", type=values.job_name, metavar="NAME", help="What to call the job.")
@click.option("--upload", "files", multiple=True, metavar="FILE", help="Put a file into the job's /work.")
@click.option(
    "--upload-dir",
    "directories",
    multiple=True,
    metavar="DIR",
    help="Put what is in a directory into the job's /work; /work/DIR reaches it as well.",
)
@click.option("-w", "--wait", is_flag=True, help="Print the job's output as it comes and exit with its exit code.")
@click.option("-i", "--stdin", is_flag=True, help="Send what rnx reads to the job's standard input; implies --wait.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARG]...")
@pass_settings
def run(settings: Settings, /, command: tuple[str, ...], wait: bool, **options: Any) -> None:
    """Run a job on a node.

    Options end at the first word that is none, so that those of COMMAND stay its own. rnx returns at
    once and prints the id of the job; see --wait.
    """
    for word in command:
        if not values.is_text(word):
            raise click.UsageError(f"{word!r} is not UTF-8, and the words of a command must be")
    if not command[0]:
        raise click.UsageError("the command is empty")
    order = Order(**options)
    wait = wait or order.stdin
    variables = envfile.collect(
        envfile.Given(order.environment, order.env_files),
        envfile.Given(order.secret_environment, order.secret_env_files),
    )
    entries = uploads.collect(order.files, order.directories)

    from .connection import connect

    connection = connect(settings)
    request = _request(command, order, entries, *variables)
    try:
        # No time limit: uploads take as long as the line to the node makes them.
        reply = connection.call(connection.jobs.RunJob, request, "the job to be accepted", timeout=None)
    except KeyboardInterrupt:
        raise RnxError("interrupted; 'rnx job list' tells whether the job was accepted", INTERRUPTED) from None
    _report(request, reply, settings.json, sys.stderr if wait else sys.stdout)
    if order.stdin:
        from .stdin import send_input

        send_input(connection, reply.job_uuid)
    if wait:
        hint = f"'rnx job log {reply.job_uuid}' follows it, 'rnx job stop {reply.job_uuid}' ends it."
        try:
            code = _wait(connection, reply.job_uuid)
        except KeyboardInterrupt:
            raise RnxError(f"interrupted; the job goes on: {hint}", INTERRUPTED) from None
        except RnxError as error:
            raise RnxError(f"{error} The job itself may well go on: {hint}", error.exit_code) from error
        click.get_current_context().exit(code)


def _request(
    command: tuple[str, ...],
    order: Order,
    entries: list[uploads.Entry],
    environment: dict[str, str],
    secrets: dict[str, str],
) -> RunJobRequest:
    from joblet_wire.joblet_pb2 import FileUpload, RunJobRequest

    return RunJobRequest(
        command=command[0],
        args=command[1:],
        name=order.name,
        max_cpu=order.max_cpu,
        cpu_cores=order.cpu_cores,
        max_memory=order.max_memory,
        max_io_bps=order.max_io_bps,
        environment=environment,
        secret_environment=secrets,
        interactive=order.stdin,
        uploads=[
            FileUpload(
                path=entry.path, content=uploads.content(entry), mode=entry.mode, is_directory=entry.is_directory
            )
            for entry in entries
        ],
    )


def _report(request: RunJobRequest, reply: RunJobResponse, as_json: bool, stream: TextIO) -> None:
    """Tell what became of the request; with --wait on stderr, as stdout is the job's."""
    if as_json:
        answer = {
            "job_uuid": reply.job_uuid,
            "status": reply.status,
            "name": request.name,
            "command": request.command,
            "args": list(request.args),
            "max_cpu": request.max_cpu,
            "cpu_cores": request.cpu_cores,
            "max_memory": request.max_memory,
            "max_io_bps": request.max_io_bps,
            "uploads": [upload.path for upload in request.uploads],
            "notices": list(reply.notices),
        }
        output.print_json(answer, stream)
        return
    lines = [f"ID: {reply.job_uuid}", f"Status: {reply.status}"]
    lines.append(f"Command: {shlex.join([request.command, *request.args])}")
    if request.name:
        lines.append(f"Name: {request.name}")
    lines += limit_lines(request)
    if request.uploads:
        sent = sum(len(upload.content) for upload in request.uploads)
        lines.append(f"Uploads: {len(request.uploads)} files and directories, {output.size(sent)}")
    for line in lines:
        print(output.printable(line), file=stream)
    stream.flush()
    for notice in reply.notices:
        output.note(notice)


def _wait(connection: Connection, uuid: str) -> int:
    """Copy the job's output to its end and return its exit code, saying why it ended if that does not."""
    from .follow import copy_output, exit_code_at_end

    copy_output(connection, uuid)
    return exit_code_at_end(connection, uuid)

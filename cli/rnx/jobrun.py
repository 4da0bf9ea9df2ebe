"""``rnx job run``."""

# ruff: noqa: PLC0415 - gRPC is imported once all values have been found good, and what few jobs need for those alone

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

from . import output
from .command import Command, Settings, is_text, lazily, pass_settings
from .errors import INTERRUPTED, RnxError
from .jobview import attempt_lines, limit_lines, schedule_lines

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import RunJobRequest, RunJobResponse

    from .connection import Connection
    from .download import Output
    from .schedule import Schedule
    from .uploads import Entry


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
    max_runtime_ms: int | None
    max_disk: int | None
    schedule: Schedule | None
    priority: int | None
    retries: int | None
    retry_delay_ms: int | None


@click.command("run", cls=Command, context_settings={"allow_interspersed_args": False})
@click.option(
    "--max-cpu",
    type=lazily("values:cpu_percent"),
    metavar="CPU",
    help="CPU time: 1 to 9 are cores, 10 and more percent of one core; 1.5c and 50% say it outright.",
)
@click.option(
    "--max-memory",
    type=lazily("values:memory_mb"),
    metavar="MB",
    help="Memory in MB (1 MB is 2^20 bytes), or with a unit: 512MB, 2GB.",
)
@click.option(
    "--max-iobps",
    "--max-io-bps",
    "max_io_bps",
    type=lazily("values:bytes_per_second"),
    metavar="BYTES",
    help="Disk bytes per second, reading and writing each, or with a unit: 10MB.",
)
@click.option(
    "--cpu-cores", type=lazily("values:cpu_list"), metavar="LIST", help="The CPUs to run on, such as 0-3 or 0,2."
)
@click.option(
    "--max-disk",
    type=lazily("values:memory_mb"),
    metavar="MB",
    help="Space for the job's /work in MB, or with a unit: 500MB, 2GB.",
)
@click.option(
    "--max-runtime",
    "--timeout",
    "max_runtime_ms",
    type=lazily("values:duration_ms"),
    metavar="DURATION",
    help="End the job, as TIMEOUT, after so many seconds, or with a unit: 45s, 2h30m.",
)
@click.option(
    "--schedule",
    type=lazily("schedule:schedule"),
    metavar="WHEN",
    help="Run later: in 2h30m, at '2026-12-24 18:00', or repeatedly as systemd's 'Mon..Fri 09:00' or cron's"
    " '*/15 9-17 * * 1-5' say, in this machine's time zone.",
)
@click.option(
    "--priority",
    type=lazily("values:priority"),
    metavar="N",
    help="From -100 to 100: of the jobs that wait, the higher start first. Without it, 0.",
)
@click.option(
    "--retries",
    type=lazily("values:retries"),
    metavar="N",
    help="Run the job again up to N times if it fails, 100 at most.",
)
@click.option(
    "--retry-delay",
    "retry_delay_ms",
    type=lazily("values:duration_ms"),
    metavar="DURATION",
    help="The time before the first of them; twice as long before each more.",
)
@click.option(
    "-e",
    "--env",
    "environment",
    multiple=True,
    type=lazily("values:variable"),
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
    type=lazily("values:secret_variable"),
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
@click.option("--name", type=lazily("values:job_name"), metavar="NAME", help="What to call the job.")
@click.option("--upload", "files", multiple=True, metavar="FILE", help="Put a file into the job's /work.")
@click.option(
    "--upload-dir",
    "directories",
    multiple=True,
    metavar="DIR",
    help="Put what is in a directory into the job's /work; /work/DIR reaches it as well.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=lazily("download:output_option"),
    metavar="PATH:LOCAL",
    help="With --wait: bring PATH of the job's /work back as LOCAL when the job has ended; can be given several times.",
)
@click.option("-w", "--wait", is_flag=True, help="Print the job's output as it comes and exit with its exit code.")
@click.option("-i", "--stdin", is_flag=True, help="Send what rnx reads to the job's standard input; implies --wait.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND [ARG]...")
@pass_settings
def run(
    settings: Settings, /, command: tuple[str, ...], wait: bool, outputs: tuple[Output, ...], **options: Any
) -> None:
    """Run a job on a node.

    Options end at the first word that is none, so that those of COMMAND stay its own. rnx returns at
    once and prints the id of the job; see --wait.
    """
    order = Order(**options)
    wait = wait or order.stdin
    _check(command, order, wait, outputs)
    variables = _variables(order)
    entries = _entries(order)

    from .connection import connect

    connection = connect(settings)
    connection.quiet = wait and settings.json  # the JSON is on stderr then
    request = _request(command, order, *variables)
    if order.schedule and order.schedule.repeats and not order.schedule.time_zone:
        output.note("this machine's time zone has no name; the schedule is taken in the node's. Set TZ to choose one.")
    try:
        reply = _submit(connection, request, entries)
    except KeyboardInterrupt:
        raise RnxError("interrupted; 'rnx job list' tells whether the job was accepted", INTERRUPTED) from None
    _report(request, entries, reply, settings.json, sys.stderr if wait else sys.stdout)
    if not settings.json and len(command) == 1 and command[0].split() != [command[0]]:
        line = shlex.join(["sh", "-c", command[0]])
        output.note(f"'{command[0]}' is taken for the name of one program; for a shell to read it: rnx job run {line}")
    connection.quiet = False
    if order.stdin:
        from .stdin import send_input

        send_input(connection, reply.job_uuid)
    if wait:
        hint = f"'rnx job log {reply.job_uuid}' follows it, 'rnx job stop {reply.job_uuid}' ends it."
        try:
            code = _wait(connection, reply.job_uuid)
        except KeyboardInterrupt:
            raise RnxError(f"interrupted; the job goes on: {hint}", INTERRUPTED) from None
        except BrokenPipeError:  # as in `rnx job run --wait yes | head`, after which one does not think of the job
            if not settings.json:
                output.note(f"nobody reads the output any more; the job goes on: {hint}")
            raise
        except RnxError as error:
            raise RnxError(f"{error} The job itself may well go on: {hint}", error.exit_code) from error
        if outputs:
            from .download import bring_back

            code = bring_back(connection, reply.job_uuid, outputs, code)
        click.get_current_context().exit(code)


def _check(command: tuple[str, ...], order: Order, wait: bool, outputs: tuple[Output, ...]) -> None:
    """Raises click.UsageError for what makes no sense, or none together."""
    for word in command:
        if not is_text(word):
            raise click.UsageError(f"{word!r} is not UTF-8, and the words of a command must be")
    if not command[0]:
        raise click.UsageError("the command is empty")
    if outputs:
        from .download import check_outputs

        check_outputs(outputs, wait)
    if order.stdin and (order.schedule or order.retries):
        raise click.UsageError("--stdin is for one attempt, now; it does not go with --schedule or --retries")
    if wait and order.schedule:
        from .schedule import refuse_waiting

        refuse_waiting(order.schedule)
    if order.retry_delay_ms and not order.retries:
        raise click.UsageError("--retry-delay needs --retries, of 1 or more")


def _variables(order: Order) -> tuple[dict[str, str], dict[str, str]]:
    """The plain and the secret variables of the job."""
    if not (order.environment or order.env_files or order.secret_environment or order.secret_env_files):
        return {}, {}
    from .envfile import Given, collect

    return collect(Given(order.environment, order.env_files), Given(order.secret_environment, order.secret_env_files))


def _entries(order: Order) -> list[Entry]:
    """What is to be uploaded."""
    if not (order.files or order.directories):
        return []
    from .uploads import collect

    return collect(order.files, order.directories)


def _submit(connection: Connection, request: RunJobRequest, entries: list[Entry]) -> RunJobResponse:
    """Have the node take the job, and return its answer.

    Raises RnxError; then nothing was started, unless that says that it is not known.
    """
    if entries:
        from .transfer import submit

        return submit(connection, request, entries)
    return connection.call(connection.jobs.RunJob, request, "the job to be accepted", timeout=None)


def _request(
    command: tuple[str, ...], order: Order, environment: dict[str, str], secrets: dict[str, str]
) -> RunJobRequest:
    from joblet_wire.joblet_pb2 import RunJobRequest

    return RunJobRequest(
        command=command[0],
        args=command[1:],
        name=order.name,
        max_cpu=order.max_cpu,
        cpu_cores=order.cpu_cores,
        max_memory=order.max_memory,
        max_io_bps=order.max_io_bps,
        max_runtime_ms=order.max_runtime_ms,
        max_disk=order.max_disk,
        schedule=order.schedule.text if order.schedule else None,
        time_zone=order.schedule.time_zone if order.schedule else None,
        priority=order.priority,
        retries=order.retries,
        retry_delay_ms=order.retry_delay_ms,
        environment=environment,
        secret_environment=secrets,
        interactive=order.stdin,
    )


def _report(request: RunJobRequest, entries: list[Entry], reply: RunJobResponse, as_json: bool, stream: TextIO) -> None:
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
            "max_runtime_ms": request.max_runtime_ms,
            "max_disk": request.max_disk,
            "schedule": request.schedule,
            "time_zone": request.time_zone,
            "scheduled_time": reply.scheduledTime or None,
            "priority": request.priority,
            "retries": request.retries,
            "retry_delay_ms": request.retry_delay_ms,
            "uploads": [entry.path for entry in entries],
            "notices": list(reply.notices),
        }
        output.print_json(answer, stream)
        return
    lines = [f"ID: {reply.job_uuid}", f"Status: {reply.status}"]
    lines.append(f"Command: {shlex.join([request.command, *request.args])}")
    if request.name:
        lines.append(f"Name: {request.name}")
    lines += schedule_lines(request, reply.scheduledTime)
    lines += limit_lines(request)
    lines += attempt_lines(request)
    if request.retry_delay_ms:
        lines.append(f"Retry Delay: {output.duration(request.retry_delay_ms / 1000)}")
    if entries:
        from .uploads import summary

        lines.append(f"Uploads: {summary(entries)}")
    for line in lines:
        print(output.printable(line), file=stream)
    stream.flush()
    for notice in reply.notices:
        output.note(notice)


def _wait(connection: Connection, uuid: str) -> int:
    """Copy the job's output to its end and return its exit code, saying why it ended if that does not."""
    from joblet_wire.joblet_pb2 import GetJobLogsRequest

    from .follow import copy_output, exit_code_at_end

    copy_output(connection, GetJobLogsRequest(uuid=uuid))
    return exit_code_at_end(connection, uuid)

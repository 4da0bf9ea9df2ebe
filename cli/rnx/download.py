"""``rnx job download``, and ``job run --output``: what a job left in its /work, brought here."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from . import complete, output
from .command import Command, Settings, pass_settings
from .errors import FAILURE, RnxError, told
from .job import ID_HELP
from .progress import Progress
from .receive import Receiver

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import DownloadFilesResponse, DownloadTotal

    from .connection import Connection

STDOUT = "-"


@dataclass(frozen=True)
class Output:
    """One ``--output``: what to bring back, and to where."""

    path: str
    local: str


@dataclass
class Fetched:
    """What came: the number of files, directories and links, their bytes, where they are, what was left out."""

    local: str
    files: int = 0
    bytes: int = 0
    skipped: list[str] = field(default_factory=list)


def output_option(text: str) -> Output:
    """``PATH:LOCAL``."""
    path, _, local = text.partition(":")
    if not path or local in ("", STDOUT):
        raise click.BadParameter(
            f"{text!r} is not accepted; expected PATH:LOCAL, a path below /work and a file or directory here."
        )
    return Output(path, local)


def check_outputs(outputs: Sequence[Output], wait: bool) -> None:
    """Refuse what could not be brought back after the job, before there is one."""
    if outputs and not wait:
        raise click.UsageError(
            "--output needs --wait; without it, 'rnx job download ID PATH' brings files back when the job has ended"
        )
    for wanted in outputs:
        if os.path.lexists(wanted.local) and not os.path.isdir(wanted.local):
            raise click.UsageError(f"--output: {wanted.local} exists already and would not be replaced")


def bring_back(connection: Connection, uuid: str, outputs: Sequence[Output], code: int) -> int:
    """Download after the end of a job; the exit code: the job's own, or that of a download that failed."""
    for wanted in outputs:
        try:
            fetched = fetch(connection, uuid, wanted.path, wanted.local, force=False)
        except (RnxError, OSError) as error:
            why = told(error) if isinstance(error, OSError) else error
            output.error(f"--output {wanted.path}:{wanted.local}: {why}")
            code = code or getattr(error, "exit_code", FAILURE)
        else:
            output.note(f"{wanted.path} is in {fetched.local}: {_summary(fetched)}")
    return code


@click.command("download", cls=Command, epilog=ID_HELP)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.argument("uuid", metavar="ID", shell_complete=complete.job)
@click.argument("path", metavar="PATH")
@click.argument("local", metavar="[LOCAL]", required=False)
@pass_settings
def download(settings: Settings, uuid: str, path: str, local: str | None, force: bool) -> None:
    """Download a file or a directory of a job's /work.

    PATH is below /work; /work itself is all of it. A directory comes with all that is in it and becomes
    LOCAL; a file becomes LOCAL, or lands in it if that is a directory. Without LOCAL, they keep their
    name. - as LOCAL writes a file to the standard output.

    Possible while the job runs, and after its end for as long as the node keeps the files.
    """
    if local == STDOUT and settings.json:
        raise click.UsageError("with - as LOCAL the standard output is the file; there is no --json for it")
    from .connection import connect
    from .follow import status_of

    connection = connect(settings)
    # The full id, for --json: a name may be another job's later on.
    uuid = status_of(connection, uuid).uuid
    fetched = fetch(connection, uuid, path, _name(path) if local is None else local, force)
    if settings.json:
        answer = {"job_uuid": uuid, "path": path, "local": fetched.local, "files": fetched.files}
        output.print_json({**answer, "bytes": fetched.bytes, "skipped": fetched.skipped})
    elif local != STDOUT:
        print(output.printable(f"{fetched.local}: {_summary(fetched)}"))


def fetch(connection: Connection, uuid: str, path: str, local: str, force: bool) -> Fetched:
    """Download ``path`` of a job to ``local``, saying on stderr what was left out. Raises RnxError, OSError."""
    total, messages = _receive(connection, uuid, path)
    fetched = Fetched(local)
    with Progress("Downloading", total.bytes) as progress:
        if local == STDOUT:
            _to_stdout(messages, fetched, progress)
        else:
            with Receiver(local, _name(path), force) as receiver:
                for message in messages:
                    _to_disk(message, receiver, fetched, progress)
                receiver.finish()
            fetched.local = receiver.local
            fetched.files -= len(receiver.skipped)
            fetched.skipped += receiver.skipped
    for sentence in fetched.skipped:
        output.note(sentence)
    return fetched


def _receive(connection: Connection, uuid: str, path: str) -> tuple[DownloadTotal, Iterator[DownloadFilesResponse]]:
    """The total, and what follows it. When the connection breaks before anything came, it is tried once more."""
    import grpc

    from joblet_wire.joblet_pb2 import DownloadFilesRequest

    from .connection import BROKEN

    request = DownloadFilesRequest(uuid=uuid, path=path)

    def messages(stream: Iterator[DownloadFilesResponse]) -> Iterator[DownloadFilesResponse]:
        try:
            yield from stream
        except grpc.RpcError as error:
            raise connection.explained(error) from error

    for attempt in (1, 2):
        stream = iter(connection.jobs.DownloadFiles(request))
        try:
            with output.waiting(f"the files of job {uuid}"):
                first = next(stream, None)
            break
        except grpc.RpcError as error:
            if attempt == 2 or error.code() not in BROKEN:
                raise connection.explained(error) from error
            connection.reconnect(attempt)
    if first is None or first.WhichOneof("part") != "total":
        raise RnxError("the node did not say how much there is to download; its version is another one.")
    return first.total, messages(stream)


def _to_disk(message: DownloadFilesResponse, receiver: Receiver, fetched: Fetched, progress: Progress) -> None:
    match message.WhichOneof("part"):
        case "entry":
            receiver.begin(message.entry.path, message.entry.mode, message.entry.content)
            fetched.files += 1
        case "data":
            receiver.data(message.data)
            fetched.bytes += len(message.data)
            progress.add(len(message.data))
        case "notice":
            fetched.skipped.append(message.notice)


def _to_stdout(messages: Iterator[DownloadFilesResponse], fetched: Fetched, progress: Progress) -> None:
    for message in messages:
        match message.WhichOneof("part"):
            case "entry":
                if not stat.S_ISREG(message.entry.mode):
                    raise RnxError("this is a directory; only a file can be written to the standard output.")
                fetched.files += 1
            case "data":
                output.write_all(sys.stdout.buffer, message.data)
                fetched.bytes += len(message.data)
                progress.add(len(message.data))
            case "notice":
                fetched.skipped.append(message.notice)


def _name(path: str) -> str:
    """What to call what is downloaded without another name: the last part of its path."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return parts[-1] if parts else "work"


def _summary(fetched: Fetched) -> str:
    return f"{output.files(fetched.files)}, {output.size(fetched.bytes)}"

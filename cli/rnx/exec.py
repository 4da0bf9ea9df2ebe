"""``rnx job exec``."""

# ruff: noqa: PLC0415 - gRPC is imported by the commands that use it, not by --help and completion

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import sys
import termios
import threading
import tty as terminals
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

import click

from . import complete, output, values
from .command import Command, Settings, is_text, pass_settings
from .errors import FAILURE, INTERRUPTED, UNREACHABLE, RnxError
from .job import ID_HELP

if TYPE_CHECKING:
    from joblet_wire.joblet_pb2 import ExecJobRequest, ExecResult, ExecStart, TerminalSize

    from .connection import Connection

CHUNK_BYTES = 32 << 10
CHUNKS_AHEAD = 8  # read and not sent yet
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FORWARDED = (*ENDING, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


@click.command("exec", cls=Command, context_settings={"allow_interspersed_args": False}, epilog=ID_HELP)
@click.option(
    "-t/-T",
    "--tty/--no-tty",
    "tty",
    default=None,
    help="Give the command a terminal, or pipes; by default a terminal if stdin and stdout are one here.",
)
@click.option(
    "-e",
    "--env",
    "environment",
    multiple=True,
    type=values.variable,
    metavar="KEY[=VALUE]",
    help="Set a variable besides the job's own; without a value, to what it is here.",
)
@click.argument("uuid", metavar="ID", shell_complete=complete.job_in(complete.RUNNING))
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND [ARG]...")
@pass_settings
def exec_(
    settings: Settings,
    /,
    uuid: str,
    command: tuple[str, ...],
    tty: bool | None,
    environment: tuple[tuple[str, str], ...],
) -> None:
    """Execute COMMAND inside a job that runs. It has the job's namespaces, limits and user.

    Its input and output are those of rnx, which exits with its exit code, 128 + N for signal N. It is
    killed when rnx goes, and with the job.
    """
    if settings.json:
        raise click.UsageError("what a command prints is printed as it is; there is no --json for it")
    words = command[1:] if command[0] == "--" else command
    if not words or not words[0]:
        raise click.UsageError("the command is empty")
    for word in words:
        if not is_text(word):
            raise click.UsageError(f"{word!r} is not UTF-8, and the words of a command must be")
    both = os.isatty(0) and os.isatty(1)
    with_terminal = both if tty is None else tty

    from joblet_wire.joblet_pb2 import ExecStart

    from .connection import connect
    from .follow import status_of

    variables = dict(environment)
    if with_terminal and "TERM" in os.environ and is_text(os.environ["TERM"]):
        variables.setdefault("TERM", os.environ["TERM"])
    connection = connect(settings)
    # The stream cannot be begun again: input that it took would be lost. This call can, and then the node is there.
    uuid = status_of(connection, uuid).uuid
    start = ExecStart(uuid=uuid, command=words[0], args=words[1:], environment=variables)
    if with_terminal:
        start.terminal.CopyFrom(_size())
    with _raw() if with_terminal and os.isatty(0) else contextlib.nullcontext():
        result = _Exchange(start).run(connection)
    if result.reason:
        output.note(f"the command ended with {result.reason}" if result.reason.startswith("sig") else result.reason)
    click.get_current_context().exit(result.exit_code if 0 <= result.exit_code < 256 else FAILURE)


class _Exchange:
    """Bytes, sizes and signals to the command, and its output back."""

    def __init__(self, start: ExecStart) -> None:
        self._start = start
        # put() may be called by signal handlers: of the queues only this one allows it. So the bound is another's.
        self._requests: queue.SimpleQueue[ExecJobRequest | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(CHUNKS_AHEAD)
        self._interrupted = False

    def run(self, connection: Connection) -> ExecResult:
        """To the end of the command. Raises RnxError when the node refuses or the connection breaks."""
        import grpc

        from .connection import BROKEN

        threading.Thread(target=self._read_stdin, name="stdin", daemon=True).start()
        with self._signals():
            call = connection.jobs.ExecJob(self._all_requests())
            begun = False
            try:
                for response in call:
                    begun = True
                    part = response.WhichOneof("part")
                    if part == "stdout":
                        output.write_all(sys.stdout.buffer, response.stdout)
                    elif part == "stderr":
                        output.write_all(sys.stderr.buffer, response.stderr)
                    elif part == "result":
                        return response.result
            except grpc.RpcError as error:
                if begun and error.code() in BROKEN:
                    raise RnxError("the connection broke, and the command was killed with it.", UNREACHABLE) from error
                raise connection.explained(error) from error
            finally:
                call.cancel()  # type: ignore[no-untyped-call]
                self._requests.put(None)
        raise RnxError("the node did not say how the command ended.", UNREACHABLE)

    def _all_requests(self) -> Iterator[ExecJobRequest]:
        from joblet_wire.joblet_pb2 import ExecJobRequest

        yield ExecJobRequest(start=self._start)
        while (request := self._requests.get()) is not None:
            yield request
            if request.WhichOneof("part") == "stdin":
                self._room.release()

    def _read_stdin(self) -> None:
        from joblet_wire.joblet_pb2 import ExecJobRequest

        while True:
            self._room.acquire()
            try:
                data = os.read(0, CHUNK_BYTES)
            except OSError:  # closed, or the terminal is gone
                data = b""
            if not data:
                self._requests.put(ExecJobRequest(end_of_stdin=True))
                return
            self._requests.put(ExecJobRequest(stdin=data))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Pass on what reaches rnx while the body runs."""
        handlers: dict[int, Callable[[int, FrameType | None], None]] = dict.fromkeys(FORWARDED, self._forward)
        if self._start.HasField("terminal"):
            handlers[signal.SIGWINCH] = self._resize
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        from joblet_wire.joblet_pb2 import ExecJobRequest

        # The second one that ends things is for rnx: the command may not care. And whoever hangs up or wants to end a
        # terminal's client means that; its keys reach the command in another way.
        if number in ENDING:
            if self._interrupted or self._start.HasField("terminal"):
                raise RnxError("interrupted; the command is killed.", INTERRUPTED if number == 2 else 128 + number)
            self._interrupted = True
        self._requests.put(ExecJobRequest(signal=number))

    def _resize(self, _number: int, _frame: FrameType | None) -> None:
        from joblet_wire.joblet_pb2 import ExecJobRequest

        self._requests.put(ExecJobRequest(resize=_size()))


def _size() -> TerminalSize:
    from joblet_wire.joblet_pb2 import TerminalSize

    columns, rows = shutil.get_terminal_size() if not os.isatty(1) else os.get_terminal_size(1)
    return TerminalSize(rows=rows, columns=columns)


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """The terminal passes every key on as it is, while the body runs."""
    before = termios.tcgetattr(0)
    terminals.setraw(0, termios.TCSADRAIN)  # what was typed ahead is for the command
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)

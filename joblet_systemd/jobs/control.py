"""The control sockets of jobs that run: their standard input, and commands executed beside their own.

The other end is joblet-init; the protocol is described in init/control.c. The sockets are files that
only root reaches, so that a daemon that was restarted connects as its predecessor did. joblet-init is
ours, but the job has its uid and may have starved it of descriptors or processes: everything is
waited for with a limit, and nothing that comes from there is trusted to make sense.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..errors import Exhausted, InvalidValue, JobletError, WrongState

ANSWER_SEC = 10.0
ANSWER_BYTES = 5
MAX_REQUEST_BYTES = 64 << 10
MAX_STRINGS = 4000

REFUSED, FAILED, ENDED = b"R", b"F", b"W"
REFUSALS = {
    errno.ESRCH: WrongState("The job's command is about to end."),
    errno.EBUSY: Exhausted("Too many commands are executed in this job already.", hint="Try again later."),
    errno.ENXIO: WrongState(
        "The job was not run to read standard input from clients.", hint="Run it with 'rnx job run --stdin'."
    ),
    errno.EPIPE: WrongState("The job's standard input has been closed."),
}


@dataclass(frozen=True, slots=True)
class Ended:
    """How an executed command ended: a wait status (wait(2)), or the errno with which it could not be executed.

    ``lost``: nobody knows, as the whole job ended.
    """

    wait_status: int = 0
    exec_errno: int = 0
    lost: bool = False


class Controls:
    """The control sockets ``<directory>/<job id>``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make the directory that holds them all: whoever is not root is kept out."""
        self._directory.mkdir(mode=0o700, exist_ok=True)

    def path(self, job_id: str) -> Path:
        """Where the job's socket is, if it runs."""
        return self._directory / job_id

    @contextlib.contextmanager
    def listen(self, job_id: str) -> Iterator[socket.socket]:
        """A job's socket, to be given to its unit; in place of what an earlier attempt left. Raises OSError."""
        self.remove(job_id)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as listener:
            listener.bind(str(self._directory / job_id))
            listener.listen()
            yield listener

    def remove(self, job_id: str) -> None:
        """Remove the socket of a job that has ended."""
        (self._directory / job_id).unlink(missing_ok=True)

    def ids(self) -> list[str]:
        """The job ids for which there is a socket."""
        return os.listdir(self._directory) if self._directory.exists() else []

    async def open_input(self, job_id: str) -> int:
        """The write end of the job's standard input, not blocking; the caller closes it.

        Raises WrongState when it has none (any more), Exhausted when joblet-init does not answer.
        """
        with self._connect(job_id) as connection:
            _send(connection, b"I")
            answer, fds = await _receive(connection, max_fds=1)
            try:
                _check(answer)
                if len(fds) != 1:
                    raise JobletError("joblet-init sent no descriptor. This is a bug.")
                os.set_blocking(fds[0], False)
            except BaseException:
                for fd in fds:
                    os.close(fd)
                raise
            return fds[0]

    async def end_input(self, job_id: str) -> None:
        """Let the job read end of file, once what was written is read and every caller has closed its end."""
        with self._connect(job_id) as connection:
            _send(connection, b"Z")
            answer, _ = await _receive(connection)
            _check(answer)

    def execute(
        self, job_id: str, argv: Sequence[str], environment: Mapping[str, str], fds: Sequence[int], *, terminal: bool
    ) -> Execution:
        """Execute a command in the job. ``fds``: its standard input, output and error, or one terminal.

        Raises WrongState when the job has ended. Whether joblet-init could do it, ``Execution.ended`` tells.
        """
        strings = [*argv, *(f"{name}={value}" for name, value in environment.items())]
        body = b"".join(text.encode() + b"\0" for text in strings)
        request = struct.pack("<cBH", b"X", terminal, min(len(argv), 0xFFFF)) + body
        if len(request) > MAX_REQUEST_BYTES or len(strings) > MAX_STRINGS:
            raise InvalidValue(
                "args",
                f"{len(strings)} words and variables, {len(request)} bytes",
                f"{MAX_STRINGS} words and variables of {MAX_REQUEST_BYTES >> 10} KiB together at most",
                hint="Write a file below /work instead.",
            )
        connection = self._connect(job_id)
        try:
            _send(connection, request, fds)
        except BaseException:
            connection.close()
            raise
        return Execution(connection)

    def _connect(self, job_id: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        connection.setblocking(False)
        try:
            # Done at once or not at all; asyncio would take EAGAIN, a full backlog here, for a connection on its way.
            connection.connect(str(self._directory / job_id))
        except OSError as error:
            connection.close()
            raise _unreachable(error) from error
        return connection


class Execution:
    """A command that is being executed in a job. Closing it early has the command killed."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def __enter__(self) -> Execution:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group. After its end nothing happens."""
        # The end is told by ended().
        with contextlib.suppress(OSError):
            self._connection.send(b"S" + bytes([number]))

    async def ended(self) -> Ended:
        """Wait for its end. Raises WrongState, Exhausted or JobletError when joblet-init refused to execute it."""
        exec_errno = 0
        patience: float | None = ANSWER_SEC
        while True:
            answer, _ = await _receive(self._connection, seconds=patience)
            patience = None  # begun, as any first answer tells
            if not answer:
                return Ended(lost=True)
            kind, number = _parse(answer)
            if kind == ENDED:
                return Ended(number, exec_errno)
            if kind == FAILED:
                exec_errno = number
            else:
                _check(answer)


def _send(connection: socket.socket, message: bytes, fds: Sequence[int] = ()) -> None:
    try:
        socket.send_fds(connection, [message], fds)
    except OSError as error:
        raise _unreachable(error) from error


def _unreachable(error: OSError) -> JobletError:
    if isinstance(error, FileNotFoundError):
        return WrongState("The job has just ended, or was started by a joblet before 0.2, which made no way in.")
    if isinstance(error, ConnectionError):
        return WrongState("The job has just ended.")
    return _silent()


def _silent() -> JobletError:
    return Exhausted(
        "The job's joblet-init does not answer.",
        hint="The job may have used up or lowered its limits (open files, processes); 'rnx job stop' still works.",
    )


async def _receive(
    connection: socket.socket, *, seconds: float | None = ANSWER_SEC, max_fds: int = 0
) -> tuple[bytes, list[int]]:
    """The next answer with its descriptors, nothing at the end of the connection."""
    while True:
        try:
            answer, fds, _, _ = socket.recv_fds(connection, ANSWER_BYTES + 1, max_fds, socket.MSG_CMSG_CLOEXEC)
            return answer, fds
        except BlockingIOError:
            try:
                async with asyncio.timeout(seconds):
                    await ready(connection.fileno())
            except TimeoutError:
                raise _silent() from None
        except ConnectionResetError:
            # Closed before our request was read. That is told once, and behind it there may be an answer.
            continue


async def ready(fd: int, *, to_write: bool = False) -> None:
    """Wait until something can be read from, or written to, a descriptor that nobody else waits for."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    add, remove = (loop.add_writer, loop.remove_writer) if to_write else (loop.add_reader, loop.remove_reader)
    add(fd, event.set)
    try:
        await event.wait()
    finally:
        remove(fd)


def _parse(answer: bytes) -> tuple[bytes, int]:
    if len(answer) != ANSWER_BYTES:
        raise JobletError("joblet-init sent an answer that makes no sense. This is a bug.")
    kind, number = struct.unpack("<ci", answer)
    return kind, number


def _check(answer: bytes) -> None:
    """Raise what a refusal means."""
    if not answer:
        raise WrongState("The job has just ended.")
    kind, number = _parse(answer)
    if kind != REFUSED:
        raise JobletError("joblet-init sent an answer that makes no sense. This is a bug.")
    if number == 0:
        return
    if number in REFUSALS:
        known = REFUSALS[number]
        raise type(known)(known.message, hint=known.hint)
    raise Exhausted(
        f"The job's joblet-init could not do it: {os.strerror(number)}.",
        hint="The job may have used up or lowered its limits (open files, processes).",
    )

"""The daemon's end of the control socket, with a joblet-init of paper at the other."""

from __future__ import annotations

import asyncio
import errno
import os
import pwd
import signal
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from joblet_systemd.config import JobsConfig
from joblet_systemd.errors import Exhausted, InvalidValue, JobletError, WrongState
from joblet_systemd.files.work import WorkDirs
from joblet_systemd.jobs import control, session
from joblet_systemd.jobs.control import Controls, Ended
from joblet_systemd.jobs.session import Session
from joblet_systemd.model import Job, JobSpec, State

from .descriptors import assert_none_new, descriptors

JOB = "0f9c1f6e-1111-4222-8333-944455556666"
Answers = Callable[[socket.socket, bytes, list[int]], None]


def message(kind: bytes, number: int) -> bytes:
    return struct.pack("<ci", kind, number)


@pytest.fixture
def controls() -> Iterator[Controls]:
    # Not pytest's directory: the path of a socket has 107 bytes at most (unix(7)).
    with tempfile.TemporaryDirectory() as directory:
        made = Controls(Path(directory) / "control")
        made.prepare()
        yield made


@pytest.fixture
def init(controls: Controls) -> Iterator[Callable[[Answers], None]]:
    """Answers each connection's first message as it is told to, in a thread."""
    with controls.listen(JOB) as listener:
        listener.settimeout(30)
        threads = []

        def serve(answers: Answers) -> None:
            connection, _ = listener.accept()
            with connection:
                request, fds, _, _ = socket.recv_fds(connection, 1 << 17, 8)
                answers(connection, request, fds)
                for fd in fds:
                    os.close(fd)

        def begin(answers: Answers) -> None:
            threads.append(threading.Thread(target=serve, args=[answers]))
            threads[-1].start()

        yield begin
        for thread in threads:
            thread.join()


def test_the_directory_is_roots_alone(tmp_path: Path) -> None:
    Controls(tmp_path / "control").prepare()
    assert (tmp_path / "control").stat().st_mode & 0o777 == 0o700


def test_sockets_go(controls: Controls) -> None:
    with controls.listen(JOB), controls.listen(JOB):  # a later attempt
        assert controls.ids() == [JOB]
    controls.remove(JOB)
    controls.remove(JOB)
    assert controls.ids() == []


def test_input_and_its_end(controls: Controls, init: Callable[[Answers], None]) -> None:
    reader, writer = os.pipe()
    init(lambda connection, request, _: socket.send_fds(connection, [message(b"R", 0)], [writer]) and None)
    fd = asyncio.run(controls.open_input(JOB))
    assert not os.get_blocking(fd)
    os.write(fd, b"x")
    assert os.read(reader, 10) == b"x"
    init(lambda connection, request, _: connection.send(message(b"R", 0) if request == b"Z" else b"") and None)
    asyncio.run(controls.end_input(JOB))
    for each in (reader, writer, fd):
        os.close(each)


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (message(b"R", errno.ENXIO), WrongState, "--stdin"),
        (message(b"R", errno.EPIPE), WrongState, "has been closed"),
        (message(b"R", errno.EBUSY), Exhausted, "Too many"),
        (message(b"R", errno.EMFILE), Exhausted, "Too many open files"),
        (message(b"R", 0), JobletError, "no descriptor"),
        (message(b"W", 0), JobletError, "no sense"),
        (b"R", JobletError, "no sense"),
        (b"R" * 100, JobletError, "no sense"),
        (b"", WrongState, "just ended"),
    ],
)
def test_refusals(
    controls: Controls, init: Callable[[Answers], None], answer: bytes, kind: type[JobletError], told: str
) -> None:
    init(lambda connection, *_: connection.send(answer) and None if answer else None)
    with pytest.raises(kind, match=told):
        asyncio.run(controls.open_input(JOB))


def test_a_job_that_has_gone(controls: Controls) -> None:
    with pytest.raises(WrongState, match="just ended"):
        asyncio.run(controls.open_input(JOB))
    with controls.listen(JOB):
        pass
    with pytest.raises(WrongState, match="just ended"):
        asyncio.run(controls.open_input(JOB))


def test_no_answer(controls: Controls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_SEC", 0.05)
    with controls.listen(JOB), pytest.raises(Exhausted, match="does not answer"):
        asyncio.run(controls.end_input(JOB))


def job() -> Job:
    return Job(JOB, JobSpec("sleep"), "alice", "joblet-alice", State.RUNNING, 0)


def converse(controls: Controls, *argv: str, stdin: bytes = b"") -> tuple[dict[str, bytes], Ended]:
    """Execute a command by way of a session."""
    collected = {"stdout": b"", "stderr": b""}

    async def go() -> Ended:
        with Session(controls, WorkDirs(Path("/none"), JobsConfig()), job(), argv, {"A": "b"}, None) as session:

            async def feed() -> None:
                if stdin:
                    await session.write(stdin)
                await session.write(b"")

            async for stream, data in session.output(feed()):
                collected[stream] += data
            return session.ended

    return collected, asyncio.run(go())


def execute(connection: socket.socket, request: bytes, fds: list[int]) -> None:
    """What joblet-init does with a command, in this process: copies stdin to stdout."""
    connection.send(message(b"R", 0))
    os.write(fds[2], request)
    while data := os.read(fds[0], 1000):
        os.write(fds[1], data)
    connection.send(message(b"W", 3 << 8))


def test_a_command(controls: Controls, init: Callable[[Answers], None]) -> None:
    init(execute)
    out, ended = converse(controls, "cat", "ü", stdin=b"x" * 300_000)
    assert out["stdout"] == b"x" * 300_000
    assert out["stderr"] == b"X\0\2\0cat\0\xc3\xbc\0A=b\0"
    assert ended == Ended(3 << 8)


def test_a_command_that_could_not_be_executed(controls: Controls, init: Callable[[Answers], None]) -> None:
    answers = (message(b"F", errno.ENOENT), message(b"R", 0), message(b"W", 127 << 8))
    init(lambda connection, *_: [connection.send(each) for each in answers] and None)
    assert converse(controls, "cat")[1] == Ended(127 << 8, errno.ENOENT)


def test_a_job_that_ends_under_a_command(controls: Controls, init: Callable[[Answers], None]) -> None:
    init(lambda connection, *_: connection.send(message(b"R", 0)) and None)
    assert converse(controls, "cat")[1] == Ended(lost=True)


def test_a_refused_command(controls: Controls, init: Callable[[Answers], None]) -> None:
    before = descriptors()
    init(lambda connection, *_: connection.send(message(b"R", errno.ESRCH)) and None)
    with pytest.raises(WrongState, match="about to end"):
        converse(controls, "cat")
    with pytest.raises(InvalidValue, match="64 KiB"):
        converse(controls, "cat", "x" * 70_000)
    assert_none_new(before)


def test_signals(controls: Controls, init: Callable[[Answers], None]) -> None:
    heard = []

    def listen(connection: socket.socket, *_: object) -> None:
        heard.append(connection.recv(10))
        connection.send(message(b"W", int(signal.SIGINT)))

    init(listen)

    async def go() -> Ended:
        with controls.execute(JOB, ["x"], {}, [], terminal=False) as execution:
            execution.signal(signal.SIGINT)
            return await execution.ended()

    assert asyncio.run(go()) == Ended(int(signal.SIGINT))
    assert heard == [b"S\x02"]


def test_no_terminal_is_left(controls: Controls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is for the user to know: nothing of ours is broken."""

    def none_left(*_: object) -> tuple[int, int]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(session, "lookup", lambda _: pwd.getpwuid(os.getuid()))
    monkeypatch.setattr(WorkDirs, "open_terminal", none_left)
    with pytest.raises(Exhausted, match="no terminals left for the command: No space left"):
        Session(controls, WorkDirs(tmp_path, JobsConfig()), job(), ["x"], {}, (24, 80))

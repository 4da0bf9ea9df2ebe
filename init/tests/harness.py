"""A journald and a systemd of paper: what joblet-init meets in a job's unit, without either.

``Journal`` is a bound datagram socket that reads the native protocol. ``run`` and ``start`` execute the binary named
by $JOBLET_INIT with a socket connected to it as fd 1, in one of two tiers, both as an unprivileged uid without
capabilities and with no_new_privs:

- ``systemd``: somebody else (unshare(1) for PrivatePIDs=) has made the pid namespace, joblet-init is its first process.
- ``own``: joblet-init makes its namespaces (--make-namespaces).

Needs root, util-linux and pytest.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

UID = GID = 4242  # any that no account of the host has
JOB = "5f1c9a52-7d6e-4c0e-9d43-0b7c5a3f2e11"
TIERS = ("systemd", "own")
PATIENCE = 30.0  # seconds for what takes milliseconds, on a machine that others load
ENTRY_MAX = 32768
# As a unit's: not the caller's, which may have directories in PATH that the job's uid cannot look into.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PYTHON = shutil.which("python3", path=ENVIRONMENT["PATH"]) or sys.executable  # one that the job's uid can execute
ENVIRONMENT |= {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}


def parse(datagram: bytes) -> dict[str, bytes]:
    """One entry; https://systemd.io/JOURNAL_NATIVE_PROTOCOL/. Any violation is an error."""
    fields: dict[str, bytes] = {}
    rest = datagram
    while rest:
        line, newline, rest = rest.partition(b"\n")
        assert newline, f"unfinished field {line!r}"
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value = rest[8 : 8 + length]
            assert len(value) == length
            assert rest[8 + length : 9 + length] == b"\n"
            rest = rest[9 + length :]
        key = name.decode("ascii")
        assert re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", key), key
        assert key not in fields, f"{key} twice"
        fields[key] = value
    return fields


class Entry(dict[str, bytes]):
    """The fields of an entry, and when it came (time.monotonic())."""

    def __init__(self, datagram: bytes) -> None:
        super().__init__(parse(datagram))
        self.time = time.monotonic()

    @property
    def record(self) -> str:
        return self.get("JOBLET_RECORD", b"").decode()

    @property
    def data(self) -> bytes:
        assert self["JOBLET_EOL"] in (b"0", b"1")
        return self["MESSAGE"] + (b"\n" if self["JOBLET_EOL"] == b"1" else b"")


class Journal:
    """Receives entries in a thread. ``pause`` makes it a journald that is slow or being restarted."""

    def __init__(self, directory: Path) -> None:
        self._path = str(directory / f"journal-{os.urandom(4).hex()}")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)
        self._running = threading.Event()
        self._running.set()
        self._news = threading.Condition()
        self._entries: list[Entry] = []
        self._error: BaseException | None = None
        self._pause_at: int | None = None
        self.last = b""  # datagram
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        client.connect(self._path)
        return client

    def _receive(self) -> None:
        try:
            while datagram := self._socket.recv(1 << 20):
                self.last = datagram
                if datagram != b"\n":  # a separator between entries, journald ignores it
                    entry = Entry(datagram)
                    with self._news:
                        self._entries.append(entry)
                        if len(self._entries) == self._pause_at:
                            self.pause()
                        self._news.notify_all()
                self._running.wait()
        except BaseException as error:  # for the test that waits, in its own thread
            with self._news:
                self._error = error
                self._news.notify_all()

    def pause(self) -> None:
        self._running.clear()

    def pause_at(self, number: int) -> None:
        """Pause when there will be so many entries: how fast they come matters to nobody then."""
        self._pause_at = number

    def fill(self) -> None:
        """Pause, and let the queue be full. For a new socket; it has room for a receiver's backlog, unix(7)."""
        self.pause()
        with self.connect() as other:
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    other.send(b"\n")

    def resume(self) -> None:
        self._running.set()

    def close(self) -> None:
        """Read what has been sent, then close the socket: whoever sends more gets ECONNREFUSED."""
        if self._socket.fileno() < 0:
            return
        if self._thread.is_alive():
            self.resume()
            with self.connect() as last:
                last.send(b"")
            self._thread.join(PATIENCE)
        self._socket.close()
        if self._error:
            raise self._error

    @property
    def entries(self) -> list[Entry]:
        with self._news:
            if self._error:
                raise self._error
            return list(self._entries)

    def wait_for(self, wanted: Callable[[list[Entry]], object]) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self._error or wanted(self._entries), PATIENCE), self._entries
            if self._error:
                raise self._error


def output(entries: list[Entry], stream: str) -> bytes:
    return b"".join(entry.data for entry in entries if entry.get("JOBLET_STREAM") == stream.encode())


class Result:
    """An ended job: every promise that holds for all of them has been checked."""

    def __init__(self, entries: list[Entry], code: int, *, lost: bool = False, first_seq: int = 1) -> None:
        self.entries, self.code = entries, code
        sequence = [int(entry["JOBLET_SEQ"]) for entry in entries]
        if not lost:
            assert sequence == list(range(first_seq, first_seq + len(entries)))
            assert [entry.record for entry in entries][:1] == ["start"]
            assert [entry.record for entry in entries][-1:] == ["exit"]
        assert {entry.record for entry in entries[1:-1]} <= {"", "dropped"}
        for entry in entries:
            assert entry["JOBLET_JOB"] == JOB.encode()
            assert len(entry["MESSAGE"]) <= ENTRY_MAX
            if not entry.record:
                assert entry["PRIORITY"] == {b"stdout": b"6", b"stderr": b"3"}[entry["JOBLET_STREAM"]]

    @property
    def lines(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.record]

    @property
    def stdout(self) -> bytes:
        return output(self.entries, "stdout")

    @property
    def stderr(self) -> bytes:
        return output(self.entries, "stderr")

    @property
    def exit(self) -> Entry:
        return self.entries[-1]

    @property
    def status(self) -> int:
        return int(self.exit["JOBLET_WAIT_STATUS"])

    @property
    def error(self) -> str:
        return self.exit.get("JOBLET_ERROR", b"").decode()


def descendants(pid: int) -> list[int]:
    """All processes below ``pid``."""
    below: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            below += [int(child), *descendants(int(child))]
    return below


def listening(path: Path) -> socket.socket:
    """The control socket, as the daemon makes it."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    listener.listen()
    return listener


class Connection:
    """One connection to the control socket; the protocol is described in control.c."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: bytes, fds: Sequence[int] = ()) -> None:
        socket.send_fds(self.socket, [message], fds)

    def answer(self) -> tuple[str, int] | None:
        """The next answer: its kind and number; None at the end."""
        answer, fds = self.answer_with_fds()
        assert fds == []
        return answer

    def answer_with_fds(self) -> tuple[tuple[str, int] | None, list[int]]:
        try:
            message, fds, _, _ = socket.recv_fds(self.socket, 100, 10)
        except ConnectionResetError:  # closed before our request was read; there may be an answer all the same
            message, fds, _, _ = socket.recv_fds(self.socket, 100, 10)
        if not message:
            return None, fds
        kind, number = struct.unpack("<ci", message)
        return (kind.decode(), number), fds

    def ask(self, message: bytes, fds: Sequence[int] = ()) -> tuple[str, int] | None:
        self.send(message, fds)
        return self.answer()


def execution(argv: Sequence[str], environment: Sequence[str] = (), terminal: bool = False) -> bytes:
    """The request to execute a command."""
    strings = b"".join(text.encode() + b"\0" for text in (*argv, *environment))
    return struct.pack("<cBH", b"X", terminal, len(argv)) + strings


class Executed:
    """A command executed beside the job's, with pipes or a terminal."""

    def __init__(
        self, connection: Connection, argv: Sequence[str], environment: Sequence[str] = (), terminal: bool = False
    ) -> None:
        self.connection = connection
        self.files: list[FileIO] = []
        if terminal:
            master, slave = os.openpty()
            self.master = self._file(master, "r+b")
            theirs = [slave]
        else:
            (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = os.pipe(), os.pipe(), os.pipe()
            self.stdin, self.stdout = self._file(to_stdin, "wb"), self._file(from_stdout, "rb")
            self.stderr = self._file(from_stderr, "rb")
            theirs = [stdin, stdout, stderr]
        connection.send(execution(argv, environment, terminal), theirs)
        for fd in theirs:
            os.close(fd)

    def _file(self, fd: int, mode: str) -> FileIO:
        self.files.append(open(fd, mode, buffering=0))  # noqa: SIM115 - closed with the job
        return self.files[-1]

    def line(self) -> bytes:
        """What it prints first."""
        return self.stdout.read(1000)

    def answers(self) -> list[tuple[str, int]]:
        """The answers to the last one, without the one that says that it was begun."""
        answers = list(iter(self.connection.answer, None))
        if any(kind == "W" for kind, _ in answers):
            answers.remove(("R", 0))
        return [answer for answer in answers if answer != ("R", 0)]

    def result(self) -> tuple[bytes, bytes, list[tuple[str, int]]]:
        """Its output and errors, to their end, and the answers."""
        self.stdin.close()
        return self.stdout.readall(), self.stderr.readall(), self.answers()

    def close(self) -> None:
        self.connection.socket.close()
        for file in self.files:
            file.close()


class Job:
    """A joblet-init that runs."""

    def __init__(
        self,
        init: Path,
        tier: str,
        journal: Journal,
        argv: list[str],
        options: list[str],
        env: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
        control: Path | None = None,
        stdin: int | socket.socket = subprocess.DEVNULL,
    ) -> None:
        self.tier, self.journal, self.control = tier, journal, control
        self._opened = contextlib.ExitStack()
        outer = list(wrapper)
        wrapper = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups", "--no-new-privs"]
        wrapper += ["--bounding-set=-all", "--inh-caps=-all", "--"]
        if tier == "systemd":
            wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--", *wrapper]
        elif tier == "own":
            options = ["--make-namespaces", *options]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the job is looked at
        with journal.connect() as stdout, contextlib.ExitStack() as stack:
            self.process = subprocess.Popen(
                [*outer, *wrapper, str(init), f"--job={JOB}", *options, "--", *argv],
                stdin=stack.enter_context(listening(control)) if control else stdin,
                stdout=stdout,
                stderr=self._stderr,
                cwd="/",
                env={**ENVIRONMENT, **(env or {})},
            )

    @property
    def main_pid(self) -> int:
        """The process that systemd would know as the unit's main process."""
        if self.tier != "systemd":
            return self.process.pid
        return self._child(self.process.pid)

    @property
    def init_pid(self) -> int:
        """The first process of the job's pid namespace."""
        return self._child(self.process.pid)

    @staticmethod
    def _child(pid: int) -> int:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        wait_until(lambda: children.read_text().split())
        return int(children.read_text().split()[0])

    def send(self, number: int) -> None:
        os.kill(self.main_pid, number)

    def stop(self) -> None:
        """As systemd stops a unit (KillMode=control-group): SIGTERM to joblet-init and to all its processes."""
        main = self.main_pid
        job = (main, *descendants(main))
        for number in (signal.SIGTERM, signal.SIGCONT):
            for pid in job:
                with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                    os.kill(pid, number)

    def ready(self, text: bytes = b"ready\n") -> None:
        """Wait until the command has said so on stdout."""
        self.journal.wait_for(lambda entries: text in output(entries, "stdout"))

    def connect(self) -> Connection:
        """A connection to the control socket, as the daemon makes them."""
        assert self.control
        connection = Connection(self.control)
        self._opened.callback(connection.socket.close)
        return connection

    def execute(self, *argv: str, **options) -> Executed:
        """Execute a command beside the job's."""
        executed = Executed(self.connect(), argv, **options)
        self._opened.callback(executed.close)
        return executed

    def stderr(self) -> bytes:
        self._stderr.seek(0)
        return self._stderr.read()

    def code(self) -> int:
        """Wait for the end. A sanitizer's findings would be on joblet-init's own fd 2: it must be empty."""
        code = self.process.wait(PATIENCE)
        assert self.stderr() == b""
        return code

    def result(self, **options) -> Result:
        code = self.code()
        self.journal.close()
        return Result(self.journal.entries, code, **options)

    def end(self) -> None:
        """Whatever it does."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self.journal.close()
        self._opened.close()
        self._stderr.close()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def python(program: str) -> list[str]:
    """A job that is a Python program, started as fast as possible."""
    return [PYTHON, "-I", "-S", "-c", program]


class Stuck:
    """Watches how long a job takes that something else than the test is waiting for."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.seconds = 0.0
        self.thread = threading.Thread(target=self._watch, args=[time.monotonic()], daemon=True)
        self.thread.start()

    def _watch(self, begin: float) -> None:
        self.job.process.wait()
        self.seconds = time.monotonic() - begin


Start = Callable[..., Job]
Run = Callable[..., Result]

"""WriteJobInput and ExecJob: standard input for jobs that run, and commands beside theirs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from joblet_wire import joblet_pb2 as wire

from .. import environment
from ..errors import InvalidValue, WrongState
from ..jobs.control import Controls, Ended, ready
from ..jobs.outcome import exec_failure, signal_name
from ..jobs.requests import Jobs
from ..jobs.session import STDOUT, Session
from ..model import Job, State
from .server import Caller
from .slots import Slots

FIRST_MESSAGE_SEC = 30.0
MAX_MESSAGE_BYTES = 1 << 20
# Each takes a few descriptors of the daemon's and a process or a connection of the job's joblet-init.
MAX_PER_JOB, MAX_PER_IDENTITY, MAX_IN_ALL = 16, 64, 256
PATIENCE_SEC = 1.0
MAX_TERMINAL = 0xFFFF  # struct winsize, ioctl_tty(2)

Answer = TypeVar("Answer")


class InteractService:
    """The methods that reach into jobs which run."""

    def __init__(self, jobs: Jobs, controls: Controls) -> None:
        self._jobs = jobs
        self._controls = controls
        self._of_identity = Slots("commands and inputs", MAX_IN_ALL, MAX_PER_IDENTITY, PATIENCE_SEC)
        self._of_job = Slots("commands and inputs in jobs", MAX_IN_ALL, MAX_PER_JOB, PATIENCE_SEC)

    def methods(self) -> Mapping[str, Callable[[Any, Caller], Any]]:
        """The implementations by their name in the contract."""
        return {"JobService/WriteJobInput": self.write_input, "JobService/ExecJob": self.execute}

    async def write_input(
        self, requests: AsyncIterator[wire.WriteJobInputRequest], caller: Caller
    ) -> wire.WriteJobInputResponse:
        """WriteJobInput: answers when all is written; without ``end`` more input may come in another call."""
        request: wire.WriteJobInputRequest | None = await _first(requests)
        assert request is not None
        job = self._reach(request.uuid, caller)
        if not job.spec.interactive:
            raise WrongState(
                f"Job {job.id} was not run to read standard input from clients.",
                hint="Run it with 'rnx job run --stdin'.",
            )
        written, end = 0, False
        async with self._slot(job, caller), contextlib.AsyncExitStack() as stack:
            fd = await self._controls.open_input(job.id)
            stack.callback(os.close, fd)
            while request is not None and not end:
                _check_size("data", request.data)
                # Whoever holds the read end: with the job they are all gone.
                await self._while_it_runs(job, _write(fd, request.data))
                written, end = written + len(request.data), request.end
                if not end:
                    request = await self._while_it_runs(job, _next(requests))
        if end:
            await self._controls.end_input(job.id)
        return wire.WriteJobInputResponse(written_bytes=written)

    async def execute(
        self, requests: AsyncIterator[wire.ExecJobRequest], caller: Caller
    ) -> AsyncIterator[wire.ExecJobResponse]:
        """ExecJob: a command in the job's namespaces, limits and account. It is killed when the client goes."""
        first = await _first(requests)
        if first.WhichOneof("part") != "start":
            raise InvalidValue("part", first.WhichOneof("part"), "'start' in the first message")
        start = first.start
        job = self._reach(start.uuid, caller)
        argv, size = _command(start), _size(start)
        variables = dict(start.environment)
        environment.check(variables, {})
        async with self._slot(job, caller):
            with Session(self._controls, job, argv, variables, size) as session:
                async with contextlib.aclosing(session.output(_feed(requests, session))) as output:
                    async for stream, data in output:
                        to_stdout = stream == STDOUT
                        yield wire.ExecJobResponse(stdout=data) if to_stdout else wire.ExecJobResponse(stderr=data)
                yield wire.ExecJobResponse(result=_result(argv[0], session.ended))

    @contextlib.asynccontextmanager
    async def _slot(self, job: Job, caller: Caller) -> AsyncIterator[None]:
        async with self._of_identity.hold(caller.name), self._of_job.hold(job.id):
            yield

    def _reach(self, uuid: str, caller: Caller) -> Job:
        """The job, if the caller may reach into it and it runs."""
        job = self._jobs.book.get(uuid, caller.actor)
        caller.job = job.id
        self._jobs.book.own(job, caller.actor)
        if job.state.final:
            raise WrongState(f"Job {job.id} has ended already ({job.state}).")
        if job.state is not State.RUNNING:
            raise WrongState(f"Job {job.id} does not run: it is {job.state}.", hint="'rnx job status' shows its state.")
        return job

    async def _while_it_runs(self, job: Job, work: Awaitable[Answer]) -> Answer:
        """What ``work`` gives. Raises WrongState when the job ends before."""
        doing = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self._jobs.book.ended(job.id))
        try:
            await asyncio.wait({doing, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise WrongState(f"Job {job.id} has ended.")
            return doing.result()
        finally:
            doing.cancel()
            ended.cancel()
            await asyncio.wait({doing, ended})


async def _first(requests: AsyncIterator[Answer]) -> Answer:
    try:
        async with asyncio.timeout(FIRST_MESSAGE_SEC):
            request = await _next(requests)
    except TimeoutError:
        request = None
    if request is None:
        raise InvalidValue("uuid", "", f"a first message, within {FIRST_MESSAGE_SEC:.0f} s, that names a job")
    return request


async def _next(requests: AsyncIterator[Answer]) -> Answer | None:
    return await anext(requests, None)


async def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await ready(fd, to_write=True)
        except BrokenPipeError:
            raise WrongState("The job does not read its standard input any more.") from None


async def _feed(requests: AsyncIterator[wire.ExecJobRequest], session: Session) -> None:
    """What the client sends, to its end, which is the end of input too."""
    while (request := await _next(requests)) is not None:
        part = request.WhichOneof("part")
        if part == "stdin":
            _check_size("stdin", request.stdin)
            if request.stdin:
                await session.write(request.stdin)
        elif part == "end_of_stdin":
            break
        else:
            _act(request, session)
    await session.write(b"")
    # Input has ended; sizes and signals may still come.
    while (request := await _next(requests)) is not None:
        _act(request, session)


def _act(request: wire.ExecJobRequest, session: Session) -> None:
    part = request.WhichOneof("part")
    if part == "resize":
        session.resize(*_dimensions(request.resize))
    elif part == "signal":
        if not 1 <= request.signal <= signal.SIGRTMAX:
            raise InvalidValue("signal", request.signal, f"1 to {int(signal.SIGRTMAX)}")
        session.signal(request.signal)
    else:
        raise InvalidValue(
            "part", part, "'stdin', 'end_of_stdin', 'resize' or 'signal' after 'start', no input after its end"
        )


def _check_size(field: str, data: bytes) -> None:
    if len(data) > MAX_MESSAGE_BYTES:
        raise InvalidValue(field, f"{len(data)} bytes", f"{MAX_MESSAGE_BYTES >> 20} MiB in one message at most")


def _command(start: wire.ExecStart) -> list[str]:
    argv = [start.command, *start.args]
    if not start.command:
        raise InvalidValue("command", start.command, "the program to execute")
    if any("\0" in word for word in argv):
        raise InvalidValue("command", start.command, "words without NUL bytes")
    return argv


def _size(start: wire.ExecStart) -> tuple[int, int] | None:
    return _dimensions(start.terminal) if start.HasField("terminal") else None


def _dimensions(size: wire.TerminalSize) -> tuple[int, int]:
    for field, value in (("rows", size.rows), ("columns", size.columns)):
        if not 0 <= value <= MAX_TERMINAL:
            raise InvalidValue(field, value, f"0 (not known) to {MAX_TERMINAL}")
    return size.rows, size.columns


def _result(command: str, ended: Ended) -> wire.ExecResult:
    """How a command ended, as ``rnx job exec`` exits with it."""
    if ended.lost:
        return wire.ExecResult(exit_code=128 + signal.SIGKILL, reason="the job has ended")
    if ended.exec_errno:
        exit_code, reason = exec_failure(command, ended.exec_errno)
        return wire.ExecResult(exit_code=exit_code, reason=reason)
    if os.WIFSIGNALED(ended.wait_status):
        number = os.WTERMSIG(ended.wait_status)
        return wire.ExecResult(exit_code=128 + number, reason=f"signal {signal_name(number)}")
    return wire.ExecResult(exit_code=os.WEXITSTATUS(ended.wait_status))

"""A command executed in a job, and its bytes: input, output and terminal, with back-pressure both ways.

The command is as hostile as its job. It may not read, write without end, or leave descendants that
keep its pipes open; so nothing is ever waited for without looking at the end of the command, too, and
what is left to be read when it has ended is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
import tty
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from typing import Any

from ..errors import Exhausted, JobletError
from ..files.root import lookup
from ..files.work import WorkDirs
from ..model import Job
from .control import Controls, Ended, ready

CHUNK_BYTES = 64 << 10
CHUNKS_WAITING = 4  # each way
# How long, and how much, the rest of a terminal's output is waited for when the command has ended: the kernel moves it
# there from the other end at its leisure (pty(7)), and a descendant may go on writing.
TERMINAL_REST_SEC = 1.0
TERMINAL_REST_BYTES = 1 << 20

STDOUT, STDERR = "stdout", "stderr"


class Session:
    """Executes ``argv`` in a job; ``size`` is that of its terminal, rows and columns, None for pipes.

    Leaving the context before the end has the command killed. Raises as Controls.execute does, and Exhausted when
    the job has all of its terminals in use, or the host no more descriptors.
    """

    def __init__(
        self,
        controls: Controls,
        work: WorkDirs,
        job: Job,
        argv: Sequence[str],
        environment: Mapping[str, str],
        size: tuple[int, int] | None,
    ) -> None:
        self._terminal = size is not None
        self._over = asyncio.Event()
        self._readers: list[asyncio.Event] = []
        self._input: asyncio.Queue[bytes] = asyncio.Queue(CHUNKS_WAITING)
        self.ended = Ended(lost=True)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            try:
                if size is None:
                    fds = self._make_pipes(ours, theirs)
                else:
                    fds = self._make_terminal(ours, theirs, work, job, size)
            except OSError as error:
                what = "pipes" if size is None else "terminals"
                raise Exhausted(f"There are no {what} left for the command: {error.strerror}.") from error
            self._execution = controls.execute(job.id, argv, environment, fds, terminal=self._terminal)
            ours.enter_context(self._execution)
            self._ours = ours.pop_all()

    def _make_pipes(self, ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> list[int]:
        stdin, self._stdin = os.pipe2(os.O_CLOEXEC)
        theirs.callback(os.close, stdin)
        # Closed early at the end of input.
        self._stdin_stack = ours.enter_context(contextlib.ExitStack())
        self._stdin_stack.callback(os.close, self._stdin)
        os.set_blocking(self._stdin, False)
        self._outputs = {}
        fds = [stdin]
        for name in (STDOUT, STDERR):
            self._outputs[name], end = os.pipe2(os.O_CLOEXEC)
            ours.callback(os.close, self._outputs[name])
            theirs.callback(os.close, end)
            os.set_blocking(self._outputs[name], False)
            fds.append(end)
        return fds

    def _make_terminal(
        self, ours: contextlib.ExitStack, theirs: contextlib.ExitStack, work: WorkDirs, job: Job, size: tuple[int, int]
    ) -> list[int]:
        owner = lookup(job.account)
        master, slave = work.open_terminal(job.id)
        ours.callback(os.close, master)
        theirs.callback(os.close, slave)
        os.set_blocking(master, False)
        # So that the command can open it by its name, as /dev/stdout or $(tty).
        os.fchown(slave, owner.pw_uid, owner.pw_gid)
        os.fchmod(slave, 0o600)
        self._stdin = master
        self._outputs = {STDOUT: master}
        self.resize(*size)
        return [slave]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()

    def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size; the kernel sends SIGWINCH. Without a terminal nothing happens."""
        if self._terminal:
            fcntl.ioctl(self._stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        self._execution.signal(number)

    async def write(self, data: bytes) -> None:
        """Input for the command; waits while a bounded amount waits already. Empty: the end of it."""
        await self._input.put(data)

    async def output(self, feed: Coroutine[Any, Any, None]) -> AsyncGenerator[tuple[str, bytes], None]:
        """What the command writes, by stream, to its end; then ``ended`` tells how it ended.

        ``feed`` runs beside it and calls the other methods; an exception of its ends it all.
        """
        queue: asyncio.Queue[tuple[str, bytes] | Exception | None] = asyncio.Queue(CHUNKS_WAITING)
        work = asyncio.create_task(self._work(feed, queue))
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def _work(
        self, feed: Coroutine[Any, Any, None], queue: asyncio.Queue[tuple[str, bytes] | Exception | None]
    ) -> None:
        feeder = asyncio.create_task(feed)
        writer = asyncio.create_task(self._write_input())
        pumps = [asyncio.create_task(self._pump(name, fd, queue)) for name, fd in self._outputs.items()]
        end = asyncio.create_task(self._watch())
        waiting = {feeder, writer, end, *pumps}
        last: Exception | None = None
        try:
            while waiting & {end, *pumps} and last is None:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is not None:
                        last = error if isinstance(error, Exception) else JobletError(f"It failed: {error}.")
        finally:
            for task in waiting:
                task.cancel()
            if waiting:
                await asyncio.wait(waiting)
        await queue.put(last)

    async def _watch(self) -> None:
        self.ended = await self._execution.ended()
        self._over.set()
        for news in self._readers:
            news.set()

    async def _write_input(self) -> None:
        while data := await self._input.get():
            view = memoryview(data)
            while view:
                try:
                    view = view[os.write(self._stdin, view) :]
                except BlockingIOError:
                    await ready(self._stdin, to_write=True)
                except OSError as error:
                    if error.errno not in (errno.EPIPE, errno.EIO):
                        raise
                    break  # nobody reads any more: what else comes is read here and dropped
        if self._terminal:
            with contextlib.suppress(OSError):  # full of what the command does not read: it has no use for an end
                os.write(self._stdin, termios.tcgetattr(self._stdin)[tty.CC][termios.VEOF])
        else:
            self._stdin_stack.close()

    async def _pump(self, name: str, fd: int, queue: asyncio.Queue[tuple[str, bytes] | Exception | None]) -> None:
        """Read one stream until its end, or what there is in it when the command has ended."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        self._readers.append(news)
        left: int | None = None
        until = 0.0
        while left is None or left > 0:
            if left is None and self._over.is_set():
                left, until = self._rest(fd), loop.time() + TERMINAL_REST_SEC
                continue
            try:
                data = os.read(fd, CHUNK_BYTES if left is None else min(left, CHUNK_BYTES))
            except BlockingIOError:
                if left is not None and (not self._terminal or loop.time() >= until):
                    return
                news.clear()
                if left is None and self._over.is_set():
                    continue
                loop.add_reader(fd, news.set)
                try:
                    async with asyncio.timeout_at(None if left is None else until):
                        await news.wait()
                except TimeoutError:
                    return
                finally:
                    loop.remove_reader(fd)
                continue
            except OSError as error:
                if error.errno != errno.EIO:  # a terminal that nobody has open any more
                    raise
                return
            if not data:
                return
            if left is not None:
                left -= len(data)
            await queue.put((name, data))

    def _rest(self, fd: int) -> int:
        if self._terminal:
            return TERMINAL_REST_BYTES
        (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))
        return int(count)

"""Uploads from the wire into a job's /work: in one message, or as a stream of any length in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from joblet_wire import joblet_pb2 as wire

from ..errors import InvalidValue, TooSlow
from ..files import uploads
from ..files.staging import Staging
from ..files.uploads import Upload
from ..files.work import WorkDirs
from ..model import Limits
from .server import Caller
from .slots import Slots
from .threads import Threads

AT_ONCE, AT_ONCE_EACH, PATIENCE_SEC = 32, 8, 60.0
THREADS = 8
# What is read of a stream before it is written.
BATCH_BYTES = 1 << 20
BATCH_PARTS = 256
# A stream that brings less than so much in so many seconds is given up.
PROGRESS_BYTES = 64 << 10
PROGRESS_SEC = 60.0


class Stream:
    """The messages of SubmitJob, in their order or refused. Methods raise InvalidValue and TooSlow."""

    def __init__(self, requests: AsyncIterator[wire.SubmitJobRequest]) -> None:
        self._requests = aiter(requests)
        self._ended = False

    async def job(self) -> wire.RunJobRequest:
        """The first message."""
        async with _progress():
            first = await anext(self._requests, None)
        kind = first.WhichOneof("part") if first is not None else None
        if first is None or kind != "job":
            raise InvalidValue("part", kind, "job in the first message")
        if first.job.uploads:
            raise InvalidValue("uploads", len(first.job.uploads), "none in the job of SubmitJob: files follow it")
        return first.job

    async def batch(self) -> list[Upload | bytes]:
        """The next of what follows, in portions; nothing once the client has said that it was all."""
        batch: list[Upload | bytes] = []
        size = seen = 0
        async with _progress() as deadline:
            while not self._ended and size < BATCH_BYTES and len(batch) < BATCH_PARTS:
                request = await anext(self._requests, None)
                if request is None:
                    # This is what a connection that breaks looks like.
                    raise InvalidValue("part", None, "end in the last message")
                part = _part(request)
                if part is None:
                    self._ended = True
                    break
                batch.append(part)
                size += len(part.content if isinstance(part, Upload) else part)
                if size - seen >= PROGRESS_BYTES:
                    seen = size
                    deadline.reschedule(asyncio.get_running_loop().time() + PROGRESS_SEC)
        return batch


class Uploads:
    """Stages what is uploaded, so that a job starts with all of it or not at all.

    ``watch_disk`` is called when an upload begins.
    """

    def __init__(self, work: WorkDirs, watch_disk: Callable[[], object]) -> None:
        self._work = work
        self._watch_disk = watch_disk
        self._slots = Slots("uploads", AT_ONCE, AT_ONCE_EACH, PATIENCE_SEC)
        self._threads = Threads(THREADS, "uploads")

    def turn(self, caller: Caller) -> contextlib.AbstractAsyncContextManager[None]:
        """One of the uploads that there may be at the same time. Raises Exhausted."""
        return self._slots.hold(caller.name)

    @contextlib.asynccontextmanager
    async def inline(
        self, files: Sequence[wire.FileUpload], limits: Limits, caller: Caller
    ) -> AsyncIterator[Staging | None]:
        """Files that came in one message, staged; None when there are none. Raises as ``streamed`` does."""
        if not files:
            yield None
            return
        parts = [_upload(file) for file in files]
        async with self.turn(caller), self._staged(limits, caller) as staged:
            await self._threads.run(staged.write, parts)
            await self._threads.run(staged.complete)
            yield staged

    @contextlib.asynccontextmanager
    async def streamed(self, stream: Stream, limits: Limits, caller: Caller) -> AsyncIterator[Staging | None]:
        """What the stream brings, staged; None when that is nothing. To be called in a ``turn``.

        What no job has taken over at the end of the block is removed. Raises InvalidValue, Exhausted, TooSlow.
        """
        batch = await stream.batch()
        if not batch:
            yield None
            return
        async with self._staged(limits, caller) as staged:
            while batch:
                await self._threads.run(staged.write, batch)
                batch = await stream.batch()
            await self._threads.run(staged.complete)
            yield staged

    @contextlib.asynccontextmanager
    async def _staged(self, limits: Limits, caller: Caller) -> AsyncIterator[Staging]:
        staged = Staging(self._work, caller.account, limits)
        try:
            await self._threads.run(staged.begin)
            self._watch_disk()
            yield staged
        finally:
            await self._threads.run(staged.discard)

    def close(self) -> None:
        """Take no more uploads."""
        self._threads.close()


@contextlib.asynccontextmanager
async def _progress() -> AsyncIterator[asyncio.Timeout]:
    try:
        async with asyncio.timeout(PROGRESS_SEC) as deadline:
            yield deadline
    except TimeoutError:
        raise TooSlow(
            f"The upload brought less than {PROGRESS_BYTES >> 10} KB in {PROGRESS_SEC:.0f} s; it is given up.",
            hint="Is the connection broken or very slow? Nothing was started; try again.",
        ) from None


def _part(request: wire.SubmitJobRequest) -> Upload | bytes | None:
    match request.WhichOneof("part"):
        case "file":
            return _upload(request.file)
        case "data":
            return request.data
        case "end":
            return None
        case kind:
            raise InvalidValue("part", kind, "file, data or end behind the first message")


def _upload(file: wire.FileUpload) -> Upload:
    return uploads.parse(file.path, file.content, file.mode, file.is_directory)

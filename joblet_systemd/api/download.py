"""DownloadFiles: what is in a job's /work, to its owner."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import Any

from joblet_wire import joblet_pb2 as wire

from ..errors import WrongState
from ..files.reader import Entry, Notice, Part, Reader, clean
from ..files.work import WorkDirs
from ..jobs.requests import Jobs
from ..model import Job, State
from .server import Caller
from .slots import Slots
from .threads import Threads

AT_ONCE, AT_ONCE_EACH, PATIENCE_SEC = 32, 8, 60.0
THREADS = 8
# What a thread reads at a time.
BATCH_BYTES = 512 << 10
BATCH_PARTS = 256
MAX_NOTICES = 20

Messages = Generator[wire.DownloadFilesResponse, None, None]


class Downloads:
    """The method DownloadFiles."""

    def __init__(self, jobs: Jobs, work: WorkDirs) -> None:
        self._jobs = jobs
        self._work = work
        self._slots = Slots("downloads", AT_ONCE, AT_ONCE_EACH, PATIENCE_SEC)
        self._threads = Threads(THREADS, "downloads")

    def methods(self) -> Mapping[str, Callable[[Any, Caller], Any]]:
        """The implementation by its name in the contract."""
        return {"JobService/DownloadFiles": self.download}

    async def download(
        self, request: wire.DownloadFilesRequest, caller: Caller
    ) -> AsyncIterator[wire.DownloadFilesResponse]:
        """The total, then every file or directory. A stream that ends without an error is complete."""
        job = self._jobs.book.get_own(request.uuid, caller.actor)
        caller.job = job.id
        _check(job)
        path = clean(request.path)
        async with self._slots.hold(caller.name):
            messages = _messages(self._work, job.id, path)
            try:
                while batch := await self._threads.run(_take, messages):
                    for message in batch:
                        yield message
            finally:
                await self._threads.run(messages.close)

    def close(self) -> None:
        """Take no more downloads."""
        self._threads.close()


def _check(job: Job) -> None:
    if not (job.state.final or job.state in (State.RUNNING, State.STOPPING)):
        raise WrongState(
            f"Job {job.id} does not run (it is {job.state}).",
            hint="Files can be downloaded while a job runs, and after its end while they are kept.",
        )


def _messages(work: WorkDirs, job_id: str, path: str) -> Messages:
    with work.opened(job_id) as root, contextlib.closing(Reader(root, path)) as reader:
        files, size = reader.measure()
        yield wire.DownloadFilesResponse(total=wire.DownloadTotal(files=files, bytes=size))
        notices = 0
        for part in reader.parts():
            if isinstance(part, Notice):
                notices += 1
            if not isinstance(part, Notice) or notices <= MAX_NOTICES:
                yield _message(part)
        if notices > MAX_NOTICES:
            yield wire.DownloadFilesResponse(notice=f"{notices - MAX_NOTICES} more are left out for such reasons.")


def _message(part: Part) -> wire.DownloadFilesResponse:
    if isinstance(part, Entry):
        entry = wire.FileUpload(path=part.path, mode=part.mode, content=part.target)
        return wire.DownloadFilesResponse(entry=entry)
    if isinstance(part, Notice):
        return wire.DownloadFilesResponse(notice=part.text)
    return wire.DownloadFilesResponse(data=part)


def _take(messages: Messages) -> list[wire.DownloadFilesResponse]:
    batch, size = [], 0
    for message in itertools.islice(messages, BATCH_PARTS):
        batch.append(message)
        size += len(message.data)
        if size >= BATCH_BYTES:
            break
    return batch

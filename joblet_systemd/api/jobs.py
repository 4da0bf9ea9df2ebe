"""JobService: what clients ask for, handed to the jobs and the logs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from joblet_wire import joblet_pb2 as wire

from ..files.staging import Staging
from ..jobs.kept import KeptFiles
from ..jobs.requests import Jobs
from ..logs import Batch, Dropped, Logs, Output
from ..model import JobSpec, State
from . import messages
from .answers import Answers
from .brief import brief
from .listing import Listing
from .server import Caller
from .upload import Stream, Uploads

CHUNK_BYTES = 64 << 10


class JobService:
    """The methods of JobService that this version has; ``node_id`` names this host in answers."""

    def __init__(self, jobs: Jobs, logs: Logs, uploads: Uploads, kept: KeptFiles, node_id: str) -> None:
        self._jobs = jobs
        self._logs = logs
        self._uploads = uploads
        self._kept = kept
        self._node_id = node_id
        self._answers = Answers()
        self._listing = Listing(jobs.book.store.each, jobs.positions, node_id, self._answers)

    def methods(self) -> Mapping[str, Callable[[Any, Caller], Any]]:
        """The implementations by their name in the contract."""
        return {
            "JobService/RunJob": self.run,
            "JobService/SubmitJob": self.submit,
            "JobService/GetJobStatus": self.status,
            "JobService/ListJobs": self.list_jobs,
            "JobService/StopJob": self.stop,
            "JobService/CancelJob": self.cancel,
            "JobService/DeleteJob": self.delete,
            "JobService/DeleteAllJobs": self.delete_all,
            "JobService/UpdateJob": self.update,
            "JobService/GetJobLogs": self.logs,
        }

    async def run(self, request: wire.RunJobRequest, caller: Caller) -> wire.RunJobResponse:
        """RunJob: check everything, then store and queue."""
        spec = messages.spec_of(request)
        if request.uploads:
            await self._jobs.check(spec, caller.actor)
        async with self._uploads.inline(request.uploads, spec.limits, caller) as staged:
            return await self._accept(spec, staged, request.secret_environment, caller)

    async def submit(self, requests: AsyncIterator[wire.SubmitJobRequest], caller: Caller) -> wire.RunJobResponse:
        """SubmitJob: the same with uploads that come in a stream."""
        # Before anything is read, which may be megabytes.
        async with self._uploads.turn(caller):
            stream = Stream(requests)
            request = await stream.job()
            spec = messages.spec_of(request)
            await self._jobs.check(spec, caller.actor)
            async with self._uploads.streamed(stream, spec.limits, caller) as staged:
                return await self._accept(spec, staged, request.secret_environment, caller)

    async def _accept(
        self, spec: JobSpec, staged: Staging | None, secrets: Mapping[str, str], caller: Caller
    ) -> wire.RunJobResponse:
        job, notices = await self._jobs.submit(spec, caller.actor, caller.account, staged, secrets)
        # Brief, for with its arguments it would have to wait for its turn, with all that a submission holds.
        return messages.submitted(brief(job)[0], notices)

    async def status(self, request: wire.GetJobStatusRequest, caller: Caller) -> wire.GetJobStatusResponse:
        """GetJobStatus: of one with long arguments it is more than a megabyte."""
        await self._answers.turn(caller)
        job = self._jobs.book.get(request.uuid, caller.actor)
        position = self._jobs.positions().get(job.id, 0) if job.state is State.PENDING else 0
        answer = messages.status(job, self._node_id, position, await self._jobs.next_runs(job, caller.name))
        answer.files_kept_until = messages.rfc3339(self._kept.until(job))
        return answer

    async def list_jobs(self, request: wire.EmptyRequest, caller: Caller) -> bytes:
        """ListJobs, the oldest first."""
        limit, states = messages.newest_of(request)
        if not limit:
            return await self._listing.answer(caller)
        return await self._listing.part(lambda: self._jobs.book.store.newest(limit, states), caller)

    async def stop(self, request: wire.StopJobRequest, caller: Caller) -> wire.StopJobResponse:
        """StopJob: answers when the job has ended."""
        job = await self._jobs.stop(request.uuid, caller.actor)
        return wire.StopJobResponse(
            uuid=job.id, status=job.state, end_time=messages.rfc3339(job.ended_usec), exit_code=job.exit_code or 0
        )

    async def cancel(self, request: wire.CancelJobRequest, caller: Caller) -> wire.CancelJobResponse:
        """CancelJob."""
        job = await self._jobs.cancel(request.uuid, caller.actor)
        return wire.CancelJobResponse(uuid=job.id, status=job.state)

    async def delete(self, request: wire.DeleteJobRequest, caller: Caller) -> wire.DeleteJobResponse:
        """DeleteJob."""
        job = await self._jobs.delete(request.uuid, caller.actor)
        return wire.DeleteJobResponse(uuid=job.id, success=True, message=f"Job {job.id} is deleted.")

    async def delete_all(self, request: wire.DeleteAllJobsRequest, caller: Caller) -> wire.DeleteAllJobsResponse:
        """DeleteAllJobs: of those that have ended, what the caller may delete."""
        deleted, skipped = await self._jobs.delete_all(caller.actor)
        message = f"{deleted} jobs are deleted, {skipped} are left: they have not ended, or belong to others."
        return wire.DeleteAllJobsResponse(success=True, message=message, deleted_count=deleted, skipped_count=skipped)

    async def update(self, request: wire.UpdateJobRequest, caller: Caller) -> wire.UpdateJobResponse:
        """UpdateJob."""
        changes, priority = messages.changes_of(request)
        job, notices = await self._jobs.update(request.uuid, caller.actor, changes, priority)
        return wire.UpdateJobResponse(uuid=job.id, status=job.state, notices=notices)

    async def logs(self, request: wire.GetJobLogsRequest, caller: Caller) -> AsyncGenerator[wire.DataChunk, None]:
        """GetJobLogs: the selected output, in chunks of one stream each, and what of it was dropped.

        Ends when the job's last byte is delivered; with ``no_follow`` when what there is now is. The cursor
        ``end`` is behind what there is now. With it or ``tail``, an empty chunk comes first and tells where that is,
        so that a client whose connection breaks before anything else has come can resume there.
        """
        # Brief, for it is kept as long as somebody follows.
        job, _ = brief(self._jobs.book.get(request.uuid, caller.actor))
        selection = messages.selection_of(request)
        if selection.tail is not None:
            selection = await self._logs.resolved(job.unit, selection, caller.name)
            if not selection.cuts:
                yield wire.DataChunk(stream=messages.STREAMS["stdout"], cursor=str(selection.after))
        if request.no_follow:
            source = self._logs.stored(job, selection, caller.name)
        else:
            source = self._logs.follow(job.unit, selection, lambda: self._jobs.book.ended(job.id), caller.name)
        async with contextlib.aclosing(source):
            async for batch in source:
                for found in batch if request.by_entry else _joined(batch):
                    yield messages.chunk(found, selection.cuts)


def _joined(batch: Batch) -> Iterator[Output | Dropped]:
    """Join neighbouring entries of one stream: a message costs more than its bytes."""
    neighbours: list[Output] = []
    size = 0
    for found in batch:
        if neighbours and not _joins(found, neighbours[0], size):
            yield _whole(neighbours)
            neighbours, size = [], 0
        if isinstance(found, Dropped):
            yield found
        else:
            neighbours.append(found)
            size += len(found.data)
    if neighbours:
        yield _whole(neighbours)


def _joins(found: Output | Dropped, first: Output, size: int) -> bool:
    return isinstance(found, Output) and found.stream == first.stream and size + len(found.data) <= CHUNK_BYTES


def _whole(neighbours: list[Output]) -> Output:
    data = b"".join(entry.data for entry in neighbours)
    return dataclasses.replace(neighbours[0], seq=neighbours[-1].seq, data=data)

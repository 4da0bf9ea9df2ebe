"""A job sent to the node with its uploads: as a stream of any length, or in one message where the node is older."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc

from joblet_wire.joblet_pb2 import FileUpload, RunJobRequest, RunJobResponse, SubmitJobRequest

from . import uploads
from .connection import Connection
from .progress import Progress
from .uploads import Entry, UploadError

CHUNK = 256 << 10  # bytes


def submit(connection: Connection, request: RunJobRequest, entries: Sequence[Entry]) -> RunJobResponse:
    """Have the node take a job with uploads, and return its answer.

    Raises RnxError; then nothing was started, unless that says that it is not known.
    """
    try:
        return connection.repeated(lambda: _stream(connection, request, entries), harmless=False)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise connection.explained(error) from error
    # No time limit: uploads take as long as the line to the node makes them.
    return connection.call(connection.jobs.RunJob, _inline(request, entries), "the job to be accepted", timeout=None)


def _stream(connection: Connection, request: RunJobRequest, entries: Sequence[Entry]) -> RunJobResponse:
    failures: list[UploadError] = []
    with Progress("Uploading", sum(entry.size for entry in entries)) as progress:
        call = connection.jobs.SubmitJob.future(_messages(request, entries, progress, failures))
        try:
            answer: RunJobResponse = call.result()
        except KeyboardInterrupt:
            call.cancel()  # type: ignore[no-untyped-call]
            raise
        except grpc.RpcError as error:
            if failures:
                raise failures[0] from error
            raise
    return answer


def _messages(
    request: RunJobRequest, entries: Sequence[Entry], progress: Progress, failures: list[UploadError]
) -> Iterator[SubmitJobRequest]:
    """The messages of the stream. gRPC runs this in a thread of its own, so what goes wrong is put in ``failures``.

    The stream then has no end, and the node starts nothing.
    """
    yield SubmitJobRequest(job=request)
    try:
        for entry in entries:
            pieces = uploads.pieces(entry, CHUNK)
            yield SubmitJobRequest(file=_upload(entry, next(pieces)))
            progress.add(min(entry.size, CHUNK))
            for data in pieces:
                yield SubmitJobRequest(data=data)
                progress.add(len(data))
    except UploadError as error:
        failures.append(error)
        return
    yield SubmitJobRequest(end=True)


def _inline(request: RunJobRequest, entries: Sequence[Entry]) -> RunJobRequest:
    uploads.check_inline(entries)
    with_files = RunJobRequest()
    with_files.CopyFrom(request)
    with_files.uploads.extend(_upload(entry, b"".join(uploads.pieces(entry, CHUNK))) for entry in entries)
    return with_files


def _upload(entry: Entry, content: bytes) -> FileUpload:
    return FileUpload(path=entry.path, content=content, mode=entry.mode, is_directory=entry.is_directory)

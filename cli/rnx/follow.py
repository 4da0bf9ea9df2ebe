"""A job's output, copied to this process's own, to its end and over broken connections."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import grpc

from joblet_wire.joblet_pb2 import DataChunk, GetJobLogsRequest, GetJobStatusRequest, GetJobStatusResponse

from . import output
from .connection import BROKEN, Connection
from .errors import FAILURE, TIMED_OUT, UNREACHABLE, RnxError

STDERR = 2  # DataChunk.stream

FINAL = frozenset({"COMPLETED", "FAILED", "STOPPED", "CANCELED", "TIMEOUT"})

ATTEMPTS = 10  # breaks in a row without a byte in between
SETTLED = 10.0  # seconds after which a quiet stream counts as one that worked


def status_of(connection: Connection, uuid: str) -> GetJobStatusResponse:
    """The status of a job. ``uuid`` may be a prefix of 8 characters or more that fits one job only."""
    request = GetJobStatusRequest(uuid=uuid)
    return connection.call(connection.jobs.GetJobStatus, request, f"the status of job {uuid}")


def copy_output(connection: Connection, uuid: str, no_follow: bool = False, cursor: str = "") -> None:
    """Copy the output of a job byte for byte: its stdout to stdout, its stderr to stderr.

    Begins behind ``cursor``, if one is given. Goes on to the end of the job, or with ``no_follow`` to the
    end of what there is. After a broken connection it resumes where it was. Raises RnxError when the node
    stays away or refuses.
    """
    copied, attempts = False, 0
    while True:
        request = GetJobLogsRequest(uuid=uuid, no_follow=no_follow, cursor=cursor)
        began = time.monotonic()
        try:
            for chunk in _receive(connection, request):
                _copy(chunk)
                cursor, copied, attempts = chunk.cursor, True, 0
            return
        except grpc.RpcError as error:
            if error.code() not in BROKEN:
                raise connection.explained(error) from error
            if copied and not cursor:
                raise RnxError(
                    f"the connection broke, and this node cannot resume a log; 'rnx job log {uuid}' starts it over.",
                    UNREACHABLE,
                ) from error
            attempts = 1 if time.monotonic() - began > SETTLED else attempts + 1
            if attempts > ATTEMPTS:
                raise connection.explained(error) from error
        with output.waiting(f"node '{connection.node.name}', the connection broke; the job is not affected", True):
            connection.reconnect(attempts)


def await_end(connection: Connection, uuid: str) -> GetJobStatusResponse:
    """The status of a job whose output has ended, once it is final: the node stores it at about that time."""
    pause, attempts = 0.005, 0
    while True:
        try:
            status = connection.jobs.GetJobStatus(GetJobStatusRequest(uuid=uuid), timeout=60.0)
        except grpc.RpcError as error:
            attempts += 1
            if error.code() not in BROKEN or attempts > ATTEMPTS:
                raise connection.explained(error) from error
            connection.reconnect(attempts)
            continue
        if status.status in FINAL:
            return status
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def exit_code_at_end(connection: Connection, uuid: str) -> int:
    """The exit code of a job whose output has ended, saying why it ended if that does not."""
    ended = await_end(connection, uuid)
    if ended.status != "COMPLETED" and not ended.reason.startswith("exit-code"):
        output.note(f"job {uuid} is {ended.status}{f': {ended.reason}' if ended.reason else ''}")
    if ended.status == "TIMEOUT":
        return TIMED_OUT
    if ended.status == "COMPLETED" or 0 < ended.exit_code < 256:
        return ended.exit_code
    return FAILURE


def _receive(connection: Connection, request: GetJobLogsRequest) -> Iterator[DataChunk]:
    chunks = iter(connection.jobs.GetJobLogs(request))
    with output.waiting(f"output of job {request.uuid}"):
        first = next(chunks, None)
    if first is not None:
        yield first
    yield from chunks


def _copy(chunk: DataChunk) -> None:
    stream = sys.stderr if chunk.stream == STDERR else sys.stdout
    output.write_all(stream.buffer, chunk.payload)

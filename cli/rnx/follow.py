"""A job's log as it comes from a node, to its end and over broken connections."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import grpc

from joblet_wire.joblet_pb2 import (
    DataChunk,
    DroppedOutput,
    GetJobLogsRequest,
    GetJobStatusRequest,
    GetJobStatusResponse,
)

from . import output
from .connection import BROKEN, Connection
from .errors import FAILURE, TIMED_OUT, UNREACHABLE, RnxError

STDERR = 2  # DataChunk.stream

FINAL = frozenset({"COMPLETED", "FAILED", "STOPPED", "CANCELED", "TIMEOUT"})

ATTEMPTS = 10  # breaks in a row without a byte in between
SETTLED = 10.0  # seconds after which a quiet stream counts as one that worked
AHEAD = 64  # chunks of several logs that wait to be printed


def status_of(connection: Connection, uuid: str) -> GetJobStatusResponse:
    """The status of a job. ``uuid`` may be a prefix of 8 characters or more that fits one job only."""
    request = GetJobStatusRequest(uuid=uuid)
    return connection.call(connection.jobs.GetJobStatus, request, f"the status of job {uuid}", harmless=True)


def received(connection: Connection, wanted: GetJobLogsRequest) -> Iterator[DataChunk]:
    """The chunks of a log. After a broken connection it resumes behind the last one.

    Raises RnxError when the node stays away or refuses, or cannot select what is wanted.
    """
    request = GetJobLogsRequest()
    request.CopyFrom(wanted)
    selects = bool(wanted.since or wanted.until or wanted.stream or wanted.by_entry or wanted.HasField("tail"))
    copied, attempts = False, 0
    while True:
        began = time.monotonic()
        try:
            for chunk in _receive(connection, request):
                if selects and chunk.payload and not chunk.time_usec:
                    raise RnxError(
                        f"node '{connection.node.name}' prints logs as a whole only; its version is another one."
                    )
                yield chunk
                copied, attempts = True, 0
                request.cursor = chunk.cursor
                request.ClearField("tail")  # it has been found
            return
        except grpc.RpcError as error:
            if error.code() not in BROKEN:
                raise connection.explained(error) from error
            if copied and not request.cursor:
                raise RnxError(
                    "the connection broke, and this node cannot resume a log;"
                    f" 'rnx job log {request.uuid}' starts it over.",
                    UNREACHABLE,
                ) from error
            attempts = 1 if time.monotonic() - began > SETTLED else attempts + 1
            if attempts > ATTEMPTS:
                raise connection.explained(error) from error
        connection.reconnect(attempts)


def received_together(
    connection: Connection, wanted: Sequence[GetJobLogsRequest]
) -> Iterator[tuple[int, DataChunk | RnxError | None]]:
    """The chunks of several logs as they come, each with the number of its log.

    At the end of a log comes None, or the RnxError that ended it.
    """
    news: queue.Queue[tuple[int, DataChunk | RnxError | None]] = queue.Queue(AHEAD)

    def read(number: int, request: GetJobLogsRequest) -> None:
        end: RnxError | None = None
        try:
            for chunk in received(connection, request):
                news.put((number, chunk))
        except RnxError as error:
            end = error
        except Exception as error:  # must not leave the others waiting for an end of this one
            end = RnxError(f"{type(error).__name__}: {error}")
        news.put((number, end))

    for number, request in enumerate(wanted):
        threading.Thread(target=read, args=(number, request), daemon=True).start()
    left = len(wanted)
    while left:
        number, chunk = news.get()
        left -= not isinstance(chunk, DataChunk)
        yield number, chunk


def copy_output(connection: Connection, wanted: GetJobLogsRequest, on_first: Callable[[], None] = lambda: None) -> None:
    """Copy a log byte for byte: its stdout to stdout, its stderr to stderr. Raises RnxError as ``received``.

    ``on_first`` is called with the first chunk; from the end on that is an empty one, and nothing is missed from there.
    """
    for number, chunk in enumerate(received(connection, wanted)):
        if number == 0:
            on_first()
        if chunk.HasField("dropped"):
            output.note(told(chunk.dropped))
        stream = sys.stderr if chunk.stream == STDERR else sys.stdout
        output.write_all(stream.buffer, chunk.payload)


def told(dropped: DroppedOutput) -> str:
    """What is missing, as a sentence."""
    if dropped.reason == "limit":
        lines = f"{dropped.lines:,} lines" if dropped.lines != 1 else "1 line"
        return f"{lines} ({output.size(dropped.bytes)}) were dropped here: the job had used up its share of the log."
    entries = f"{dropped.entries:,} entries" if dropped.entries != 1 else "1 entry"
    return f"{entries} of the log are missing here: removed to make room for newer output, or lost."


def await_status(connection: Connection, uuid: str, *, final: bool) -> GetJobStatusResponse:
    """The status of a job whose output has ended, over broken connections.

    With ``final``, once it is: the node stores it at about that time.
    """
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
        if status.status in FINAL or not final:
            return status
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def exit_code_at_end(connection: Connection, uuid: str) -> int:
    """The exit code of a job whose output has ended, saying why it ended if that does not."""
    ended = await_status(connection, uuid, final=True)
    if ended.status != "COMPLETED" and not ended.reason.startswith("exit-code"):
        why = _limit_reached(ended) or ended.reason
        output.note(f"job {uuid} is {ended.status}{f': {why}' if why else ''}")
    if ended.status == "TIMEOUT":
        return TIMED_OUT
    if ended.status == "COMPLETED" or 0 < ended.exit_code < 256:
        return ended.exit_code
    return FAILURE


def _limit_reached(ended: GetJobStatusResponse) -> str:
    """Which of its limits ended a job, as far as it had one; its reason is a word of systemd's."""
    if ended.status == "TIMEOUT" and ended.max_runtime_ms:
        return f"it came to the end of its {output.duration(ended.max_runtime_ms / 1000)}, see --max-runtime"
    if ended.reason == "oom-kill" and ended.max_memory:
        return f"oom-kill: it ran out of memory, of which it had {ended.max_memory} MB; see --max-memory"
    return ""


def _receive(connection: Connection, request: GetJobLogsRequest) -> Iterator[DataChunk]:
    chunks = iter(connection.jobs.GetJobLogs(request))
    with output.waiting(f"output of job {request.uuid}"):
        first = next(chunks, None)
    if first is not None:
        yield first
    yield from chunks

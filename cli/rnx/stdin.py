"""This process's standard input, sent to a job that was run with --stdin."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator

import grpc

from joblet_wire.joblet_pb2 import GetJobStatusRequest, WriteJobInputRequest

from . import output
from .connection import BROKEN, Connection
from .follow import FINAL

CHUNK_BYTES = 64 << 10
CALL_BYTES = 4 << 20
WAITING = frozenset({"PENDING", "SCHEDULED", "INITIALIZING"})


def send_input(connection: Connection, uuid: str) -> None:
    """Begin to send; returns at once. What fails is told, and does not touch the job or its output."""
    # A daemon thread: it may wait for a key to be pressed when rnx has long done its work.
    threading.Thread(target=_send, args=(connection, uuid), name="stdin", daemon=True).start()


def _send(connection: Connection, uuid: str) -> None:
    try:
        if not _await_start(connection, uuid):
            return
        batch = _Batch(uuid)
        while not batch.ended:
            # One call for what there is, so that each is acknowledged: a daemon that is restarted while nobody
            # types costs nothing. Then the next call waits for it.
            batch = _Batch(uuid)
            first = batch.read()
            connection.jobs.WriteJobInput(batch.requests(first), wait_for_ready=True)
    except grpc.RpcError as error:
        _explain(connection, uuid, error)


class _Batch:
    """What one call sends: what can be read now, and whether that was the end."""

    def __init__(self, uuid: str) -> None:
        self._uuid = uuid
        self.ended = False

    def read(self) -> bytes:
        """The next bytes, when there are some."""
        try:
            data = os.read(0, CHUNK_BYTES)
        except OSError:  # closed, or the terminal is gone
            data = b""
        self.ended = not data
        return data

    def requests(self, data: bytes) -> Iterator[WriteJobInputRequest]:
        sent = 0
        while True:
            yield WriteJobInputRequest(uuid=self._uuid, data=data, end=self.ended)
            sent += len(data)
            if self.ended or sent >= CALL_BYTES or not select.select([0], [], [], 0)[0]:
                return
            data = self.read()


def _await_start(connection: Connection, uuid: str) -> bool:
    """Wait until the job runs; False when it ended before."""
    pause = 0.01
    while True:
        request = GetJobStatusRequest(uuid=uuid)
        status = connection.jobs.GetJobStatus(request, timeout=60.0, wait_for_ready=True).status
        if status not in WAITING:
            return status not in FINAL
        time.sleep(pause)
        pause = min(pause * 2, 1.0)


def _explain(connection: Connection, uuid: str, error: grpc.RpcError) -> None:
    if error.code() in BROKEN:
        output.note(
            "the connection broke while input was on its way to the job; how much of it has arrived is not known."
            f" Nothing more is sent; 'rnx job attach {uuid}' sends more."
        )
        return
    try:
        status = connection.jobs.GetJobStatus(GetJobStatusRequest(uuid=uuid), timeout=10.0).status
    except grpc.RpcError:
        status = ""
    if status not in FINAL:  # to a job that has ended it does not matter
        output.note(f"no more input is sent to the job: {error.details()}")

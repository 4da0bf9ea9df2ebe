"""A Joblet node for the tests: a real gRPC server with mutual TLS in front of jobs that only exist here."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc

from joblet_wire import joblet_pb2, joblet_pb2_grpc

from .pki import Pair, authority

JOB_ID = "0f9c1f6e-1111-4222-8333-944455556666"
BEGAN = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
OTHER_ID = "0f9c1f6e-2222-4222-8333-944455556666"


class FakeJobs(joblet_pb2_grpc.JobServiceServicer):
    """Jobs as the test sets them up.

    ``answers`` maps a job's id to the statuses that GetJobStatus gives one after the other, the last
    one for ever. ``scheduled_time`` is that of the reply to RunJob, ``undeleted`` why nothing can be
    deleted. ``log`` is what GetJobLogs sends, its cursor the number of chunks so far, its time that many seconds after
    ``BEGAN``; ``logs`` has those of single jobs, ``selects`` is whether the node can select from them. ``failure``
    is what every call then ends with. ``expires`` is when the caller's certificate ends, as a node says
    when that is near. ``streams`` is whether the node takes uploads in a stream, which
    are in ``requests`` as if they had come by RunJob; ``refuse_file`` ends such a stream at a file of
    that path. ``files`` is what DownloadFiles sends, ``breaks`` how often it breaks off first.
    ``inputs`` is what each call of WriteJobInput brought, ``execution`` answers the requests of ExecJob.
    ``before_chunk`` is called with the context and the number of the chunk to come. ``past`` is what GetJobMetrics
    sends, ``live`` what StreamJobMetrics sends, which breaks off ``breaks`` times first; ``top`` is what TopJobs sends,
    and with ``stays`` it does not end then.
    """

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.answers: dict[str, list[joblet_pb2.GetJobStatusResponse]] = {}
        self.jobs: list[joblet_pb2.Job] = []
        self.notices: list[str] = []
        self.scheduled_time = ""
        self.undeleted = ""
        self.log: list[tuple[int, bytes | joblet_pb2.DroppedOutput]] = []
        self.logs: dict[str, list[tuple[int, bytes | joblet_pb2.DroppedOutput]]] = {}
        self.selects = True
        self.cursors = True
        self.failure: tuple[grpc.StatusCode, str] | None = None
        self.expires = ""
        self.streams = True
        self.refuse_file = ""
        self.largest_message = 0
        self.files: list[joblet_pb2.DownloadFilesResponse] = []
        self.breaks = 0
        self.inputs: list[tuple[bytes, bool]] = []
        self.execution: Callable[[Iterator[Any]], Iterator[joblet_pb2.ExecJobResponse]] = lambda _requests: iter(())
        self.past: list[joblet_pb2.JobMetricsEvent] = []
        self.live: list[joblet_pb2.JobMetricsEvent] = []
        self.top: list[joblet_pb2.TopJobsResponse] = []
        self.stays = False
        self.before_chunk: Callable[[grpc.ServicerContext, int], None] = lambda _context, _number: None

    def RunJob(self, request: joblet_pb2.RunJobRequest, context: grpc.ServicerContext) -> joblet_pb2.RunJobResponse:
        self._enter(request, context)
        return joblet_pb2.RunJobResponse(
            job_uuid=JOB_ID,
            status="SCHEDULED" if self.scheduled_time else "PENDING",
            scheduledTime=self.scheduled_time,
            notices=self.notices,
        )

    def SubmitJob(
        self, requests: Iterator[joblet_pb2.SubmitJobRequest], context: grpc.ServicerContext
    ) -> joblet_pb2.RunJobResponse:
        if not self.streams:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")
        whole = next(requests).job
        last = ""
        for request in requests:
            last = str(request.WhichOneof("part"))
            self.largest_message = max(self.largest_message, request.ByteSize())
            if last == "file" and request.file.path == self.refuse_file:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"uploads: {request.file.path!r} is not accepted.")
            elif last == "file":
                whole.uploads.append(request.file)
            else:
                whole.uploads[-1].content += request.data
        if last != "end":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "part: None is not accepted; expected end.")
        return self.RunJob(whole, context)

    def DownloadFiles(
        self, request: joblet_pb2.DownloadFilesRequest, context: grpc.ServicerContext
    ) -> Iterator[joblet_pb2.DownloadFilesResponse]:
        self._enter(request, context)
        if self.breaks:
            self.breaks -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "The daemon goes away.")
        yield from self.files

    def ListJobs(self, request: joblet_pb2.EmptyRequest, context: grpc.ServicerContext) -> joblet_pb2.Jobs:
        self._enter(request, context)
        return joblet_pb2.Jobs(jobs=self.jobs)

    def GetJobStatus(
        self, request: joblet_pb2.GetJobStatusRequest, context: grpc.ServicerContext
    ) -> joblet_pb2.GetJobStatusResponse:
        self._enter(request, context)
        answers = self._of(request.uuid, context)
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def StopJob(self, request: joblet_pb2.StopJobRequest, context: grpc.ServicerContext) -> joblet_pb2.StopJobResponse:
        self._enter(request, context)
        answer = self._of(request.uuid, context)[0]
        return joblet_pb2.StopJobResponse(uuid=answer.uuid, status="STOPPED", end_time="2025-01-02T03:04:05Z")

    def CancelJob(
        self, request: joblet_pb2.CancelJobRequest, context: grpc.ServicerContext
    ) -> joblet_pb2.CancelJobResponse:
        self._enter(request, context)
        return joblet_pb2.CancelJobResponse(uuid=self._of(request.uuid, context)[0].uuid, status="CANCELED")

    def UpdateJob(
        self, request: joblet_pb2.UpdateJobRequest, context: grpc.ServicerContext
    ) -> joblet_pb2.UpdateJobResponse:
        self._enter(request, context)
        answer = self._of(request.uuid, context)[0]
        return joblet_pb2.UpdateJobResponse(uuid=answer.uuid, status=answer.status, notices=self.notices)

    def DeleteJob(
        self, request: joblet_pb2.DeleteJobRequest, context: grpc.ServicerContext
    ) -> joblet_pb2.DeleteJobResponse:
        self._enter(request, context)
        uuid = self._of(request.uuid, context)[0].uuid
        return joblet_pb2.DeleteJobResponse(uuid=uuid, success=not self.undeleted, message=self.undeleted)

    def DeleteAllJobs(
        self, request: joblet_pb2.DeleteAllJobsRequest, context: grpc.ServicerContext
    ) -> joblet_pb2.DeleteAllJobsResponse:
        self._enter(request, context)
        return joblet_pb2.DeleteAllJobsResponse(
            success=not self.undeleted, message=self.undeleted, deleted_count=3, skipped_count=1
        )

    def GetJobLogs(
        self, request: joblet_pb2.GetJobLogsRequest, context: grpc.ServicerContext
    ) -> Iterator[joblet_pb2.DataChunk]:
        self._enter(request, context)
        log = self.logs.get(request.uuid, self.log)
        if request.cursor == "end":
            yield joblet_pb2.DataChunk(cursor="0")
        place, _, left = request.cursor.replace("end", "").partition("-")
        for number in range(int(place or 0) - bool(left), len(log)):
            self.before_chunk(context, number)
            stream, found = log[number]
            chunk = joblet_pb2.DataChunk(stream=stream, cursor=str(number + 1) if self.cursors else "")
            if self.selects:
                chunk.time_usec = BEGAN + number * 1_000_000
            if isinstance(found, bytes):
                chunk.payload = found[-int(left) :] if left else found
            else:
                chunk.dropped.CopyFrom(found)
            left = ""
            yield chunk
        self.before_chunk(context, len(log))

    def WriteJobInput(
        self, requests: Iterator[joblet_pb2.WriteJobInputRequest], context: grpc.ServicerContext
    ) -> joblet_pb2.WriteJobInputResponse:
        data, end = b"", False
        for request in requests:
            self._enter(request, context)
            data, end = data + request.data, request.end
        self.inputs.append((data, end))
        return joblet_pb2.WriteJobInputResponse(written_bytes=len(data))

    def ExecJob(
        self, requests: Iterator[joblet_pb2.ExecJobRequest], context: grpc.ServicerContext
    ) -> Iterator[joblet_pb2.ExecJobResponse]:
        first = next(requests)
        self._enter(first, context)
        yield from self.execution(requests)

    def GetJobMetrics(
        self, request: joblet_pb2.GetJobMetricsRequest, context: grpc.ServicerContext
    ) -> Iterator[joblet_pb2.JobMetricsEvent]:
        self._enter(request, context)
        yield from self.past[-request.limit :]

    def StreamJobMetrics(
        self, request: joblet_pb2.StreamJobMetricsRequest, context: grpc.ServicerContext
    ) -> Iterator[joblet_pb2.JobMetricsEvent]:
        self._enter(request, context)
        for event in self.live:
            yield event
            if self.breaks:
                self.breaks -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "The daemon goes away.")

    def TopJobs(
        self, request: joblet_pb2.TopJobsRequest, context: grpc.ServicerContext
    ) -> Iterator[joblet_pb2.TopJobsResponse]:
        self._enter(request, context)
        yield from self.top[:1] if request.once else self.top
        if self.stays:
            _stay(context)

    def seen(self, kind: type[Any]) -> list[Any]:
        """The requests of one kind, in the order of their coming."""
        return [request for request in self.requests if isinstance(request, kind)]

    def _enter(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        if self.expires:
            context.set_trailing_metadata((("joblet-certificate-expires", self.expires),))
        if self.failure:
            context.abort(*self.failure)

    def _of(self, id_or_name: str, context: grpc.ServicerContext) -> list[joblet_pb2.GetJobStatusResponse]:
        fitting = [
            answers
            for uuid, answers in self.answers.items()
            if uuid.startswith(id_or_name) or answers[0].name == id_or_name
        ]
        if len(fitting) != 1:
            status = grpc.StatusCode.INVALID_ARGUMENT if fitting else grpc.StatusCode.NOT_FOUND
            context.abort(status, f"{len(fitting)} jobs begin with {id_or_name}. List them with 'rnx job list'.")
        return fitting[0]


class FakeHost(joblet_pb2_grpc.MonitoringServiceServicer):
    """A node's own state as the test sets it up."""

    def __init__(self) -> None:
        self.requests: list[joblet_pb2.StreamMetricsRequest] = []
        self.status = joblet_pb2.SystemStatusResponse()
        self.readings: list[joblet_pb2.SystemMetricsResponse] = []
        self.stays = False

    def GetSystemStatus(
        self, request: joblet_pb2.EmptyRequest, context: grpc.ServicerContext
    ) -> joblet_pb2.SystemStatusResponse:
        return self.status

    def StreamSystemMetrics(
        self, request: joblet_pb2.StreamMetricsRequest, context: grpc.ServicerContext
    ) -> Iterator[joblet_pb2.SystemMetricsResponse]:
        self.requests.append(request)
        yield from self.readings
        if self.stays:
            _stay(context)


def _stay(context: grpc.ServicerContext) -> None:
    """Until the client has gone."""
    gone = threading.Event()
    if context.add_callback(gone.set):
        gone.wait(60)


class Server:
    """Serves ``jobs`` and ``host`` on the loopback address, on the same port again after a restart."""

    def __init__(self, jobs: FakeJobs, pair: Pair | None = None, client_ca: str | None = None) -> None:
        self.jobs = jobs
        self.host = FakeHost()
        self.port = 0
        self._pair = pair or authority().server("joblet", "localhost")
        self._client_ca = client_ca or authority().cert
        self._server: grpc.Server | None = None
        self._restart: threading.Thread | None = None
        self._between: socket.socket | None = None
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        # More than a few workers: calls that a stop cut off keep theirs for a while.
        server = grpc.server(futures.ThreadPoolExecutor(8))
        joblet_pb2_grpc.add_JobServiceServicer_to_server(self.jobs, server)
        joblet_pb2_grpc.add_MonitoringServiceServicer_to_server(self.host, server)
        credentials = grpc.ssl_server_credentials(
            [(self._pair.key.encode(), self._pair.cert.encode())], self._client_ca.encode(), require_client_auth=True
        )
        self.port = server.add_secure_port(self.address, credentials)
        server.start()
        self._server = server

    def stop(self) -> None:
        if self._between:
            with contextlib.suppress(OSError):  # if it is over
                self._between.shutdown(socket.SHUT_RDWR)
        if self._restart:
            self._restart.join()
        if self._server:
            self._server.stop(None).wait()
            self._server = None

    def restart(self, away: float) -> None:
        """Go away at once, cutting off every call, and come back after ``away`` seconds. Returns before."""

        def go() -> None:
            assert self._server
            self._server.stop(None).wait()
            threading.Event().wait(away)
            self.start()

        self._restart = threading.Thread(target=go)
        self._restart.start()

    def interrupt(self, connections: int) -> None:
        """Go away, and come back when so many connections have been closed on the socket that stays."""
        assert self._server
        self._server.stop(None).wait()
        self._server = None
        listener = self._between = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # gRPC sets the latter as well
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()

        def go() -> None:
            with listener, contextlib.suppress(OSError):
                for _ in range(connections):
                    listener.accept()[0].close()
                self.start()

        self._restart = threading.Thread(target=go)
        self._restart.start()

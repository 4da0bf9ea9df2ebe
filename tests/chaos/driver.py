"""The clients of a storm: each job is submitted, followed and acted upon over connections that break all the time.

They know what a user of the contract knows: a call that broke may have been carried out or not, a job is found by its
name, and a log goes on behind the last cursor.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from hosts import FINAL, Host
from kinds import OWNERS, Plan

from joblet_wire import joblet_pb2 as wire
from joblet_wire import joblet_pb2_grpc
from rnx.config import load
from rnx.connection import OPTIONS
from rnx.errors import UNREACHABLE

# The daemon or its way to PID 1 is gone for the moment, or the disk is full.
PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
PAUSE_SEC = 0.3
# After the storm the daemon serves within this time, and a job whose processes are killed has ended.
SERVES_SEC = ENDS_SEC = 60.0
# Every so manieth job goes through the program rnx instead.
RNX_EVERY = 10
STDERR = 2
PART_BYTES = 50_000
PART_SEC = 0.02


@dataclass
class Track:
    """What became of one job as its clients saw it."""

    plan: Plan
    job: str = ""
    followed: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    stored: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    files: dict[str, bytes] = field(default_factory=dict)
    status: wire.GetJobStatusResponse | None = None
    acted: str = ""
    stage: str = "waits to be submitted"
    breaks: int = 0
    trouble: str = ""


class Clients:
    """Drives jobs on a host, with the identities of its client configuration. Set ``over`` when the storm is."""

    def __init__(self, host: Host) -> None:
        self.over = asyncio.Event()
        self._host = host
        config = load(str(host.config))
        self._channels = []
        self._stubs: dict[str, Any] = {}
        for owner in OWNERS:
            node = config.select(owner)
            credentials = grpc.ssl_channel_credentials(node.ca.encode(), node.key.encode(), node.cert.encode())
            channel = grpc.aio.secure_channel(node.address, credentials, OPTIONS)
            self._channels.append(channel)
            self._stubs[owner] = joblet_pb2_grpc.JobServiceStub(channel)

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()

    async def live(self, track: Track, began: float) -> None:
        """See one job through from its submission to the verdict on it."""
        plan = track.plan
        await asyncio.sleep(max(0.0, began + plan.start_sec - time.monotonic()))
        track.stage = "is being submitted"
        submitted = time.monotonic()
        track.job = await self._submit(track)
        track.stage = "is followed"
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(track))
            if plan.act:
                group.create_task(self._act(track, submitted))
        track.stage = "has ended for its follower"
        stub = self._stubs[plan.owner]
        request = wire.GetJobStatusRequest(uuid=track.job)
        while True:
            track.status = await _retried(lambda: stub.GetJobStatus(request), track)
            if track.status.status in FINAL:
                break
            await asyncio.sleep(PAUSE_SEC)
        track.stage = "has ended"
        await self._read(track)
        if plan.files:
            track.files = await _retried(lambda: self._download(track), track)

    async def list_jobs(self) -> list[wire.Job]:
        """All jobs."""
        async with asyncio.timeout(SERVES_SEC):
            answer: wire.Jobs = await _retried(lambda: self._stubs[OWNERS[0]].ListJobs(wire.EmptyRequest()))
        return list(answer.jobs)

    async def delete_all(self) -> None:
        """Forget all jobs that have ended."""
        async with asyncio.timeout(SERVES_SEC):
            await _retried(lambda: self._stubs[OWNERS[0]].DeleteAllJobs(wire.DeleteAllJobsRequest()))

    # --- submission

    async def _submit(self, track: Track) -> str:
        request = track.plan.request
        only_here = request.uploads or request.interactive or request.secret_environment
        with_rnx = track.plan.number % RNX_EVERY == 0 and not only_here
        while True:
            job = await (self._submit_with_rnx(track) if with_rnx else self._submit_once(track))
            if job:
                return job
            track.breaks += 1
            await asyncio.sleep(PAUSE_SEC)
            # It may be there all the same. A job is there as a whole or not at all.
            jobs: wire.Jobs = await _retried(lambda: self._stubs[track.plan.owner].ListJobs(wire.EmptyRequest()), track)
            found = [entry.uuid for entry in jobs.jobs if entry.name == track.plan.name and not entry.parent]
            if found:
                return found[0]

    async def _submit_once(self, track: Track) -> str:
        stub = self._stubs[track.plan.owner]
        try:
            call = stub.SubmitJob(_parts(track.plan)) if track.plan.streamed else stub.RunJob(track.plan.request)
            answer: wire.RunJobResponse = await call
        except grpc.aio.AioRpcError as error:
            if not _passes(error):
                raise
            return ""
        return answer.job_uuid

    async def _submit_with_rnx(self, track: Track) -> str:
        request = track.plan.request
        options = [f"--name={request.name}", f"--priority={request.priority}", f"--retries={request.retries}"]
        if request.schedule:
            options.append(f"--schedule={request.schedule}")
        if request.max_runtime_ms:
            options.append(f"--max-runtime={request.max_runtime_ms}ms")
        if request.retry_delay_ms:
            options.append(f"--retry-delay={request.retry_delay_ms}ms")
        _, out, _ = await self._rnx(track, "--json", "job", "run", *options, request.command, *request.args)
        return str(json.loads(out)["job_uuid"]) if out else ""

    async def _rnx(self, track: Track, *words: str) -> tuple[int, bytes, bytes]:
        argv = self._host.rnx_argv(*words, node=track.plan.owner)
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode is not None
        return process.returncode, out, err

    # --- output

    async def _follow(self, track: Track) -> None:
        if track.plan.number % RNX_EVERY == 0:
            await self._follow_with_rnx(track)
            return
        cursor = ""
        while True:
            request = wire.GetJobLogsRequest(uuid=track.job, cursor=cursor)
            try:
                async for chunk in self._stubs[track.plan.owner].GetJobLogs(request):
                    track.followed[chunk.stream] += chunk.payload
                    cursor = chunk.cursor
                return
            except grpc.aio.AioRpcError as error:
                if not _passes(error):
                    raise
                track.breaks += 1
            await asyncio.sleep(PAUSE_SEC)

    async def _follow_with_rnx(self, track: Track) -> None:
        while True:
            status, out, err = await self._rnx(track, "job", "log", track.job)
            # What rnx says for itself is in between.
            said = [line for line in err.splitlines(keepends=True) if not line.startswith((b"note: ", b"rnx: "))]
            if status == 0:
                track.followed = {1: bytearray(out), STDERR: bytearray(b"".join(said))}
                return
            if status != UNREACHABLE:
                track.trouble = f"rnx job log ended with {status}: {err.decode()[-500:]}"
                return
            track.breaks += 1  # ten times without a line in between; it begins again at the beginning

    async def _read(self, track: Track) -> None:
        """The log as it is stored, from its beginning."""
        request = wire.GetJobLogsRequest(uuid=track.job, no_follow=True)

        async def read() -> dict[int, bytearray]:
            streams = {1: bytearray(), STDERR: bytearray()}
            async for chunk in self._stubs[track.plan.owner].GetJobLogs(request):
                streams[chunk.stream] += chunk.payload
            return streams

        track.stored = await _retried(read, track)

    async def _download(self, track: Track) -> dict[str, bytes]:
        files: dict[str, bytearray] = {}
        into = bytearray()
        async for part in self._stubs[track.plan.owner].DownloadFiles(wire.DownloadFilesRequest(uuid=track.job)):
            if part.WhichOneof("part") == "entry":
                into = bytearray(part.entry.content)
                if not part.entry.is_directory:
                    files[part.entry.path] = into
            else:
                into += part.data
        return {path: bytes(content) for path, content in files.items()}

    # --- what is done to a job

    async def _act(self, track: Track, submitted: float) -> None:
        plan = track.plan
        if plan.act == "cancel at the end":
            await self.over.wait()
        await asyncio.sleep(max(0.0, submitted + plan.act_sec - time.monotonic()))
        stub = self._stubs[plan.owner]
        if plan.act == "input":
            await self._write_input(track, stub)
            return
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "stop": lambda: stub.StopJob(wire.StopJobRequest(uuid=track.job)),
            "cancel": lambda: stub.CancelJob(wire.CancelJobRequest(uuid=track.job)),
            "cancel at the end": lambda: stub.CancelJob(wire.CancelJobRequest(uuid=track.job)),
            "update": lambda: stub.UpdateJob(wire.UpdateJobRequest(uuid=track.job, priority=77)),
            "exec": lambda: self._execute(track, stub),
            "update cpu": lambda: stub.UpdateJob(wire.UpdateJobRequest(uuid=track.job, max_cpu=77)),
        }
        while not track.acted:
            try:
                answer = await _retried(calls[plan.act], track)
                # A job that ended while its unit was changed stays as it was, and the answer says that it has ended.
                changes = plan.act.startswith("update")
                track.acted = "too late" if changes and answer.status in FINAL else "done"
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                if re.search("has ended already|it is CANCELED|runs already", error.details()):
                    # By the call before, which broke, or by itself: no call came through while there was time.
                    track.acted = "too late"
                elif not re.search("try again|does not run|about to end|has just ended", error.details()):
                    raise
            await asyncio.sleep(PAUSE_SEC)

    async def _execute(self, track: Track, stub: Any) -> None:
        start = wire.ExecStart(uuid=track.job, command="sh", args=["-c", "cat; echo $JOBLET_JOB_ID >&2; exit 7"])
        parts = [
            wire.ExecJobRequest(start=start),
            wire.ExecJobRequest(stdin=b"from outside"),
            wire.ExecJobRequest(end_of_stdin=True),
        ]
        out, err, result = b"", b"", None
        async for answer in stub.ExecJob(_each(parts)):
            out, err = out + answer.stdout, err + answer.stderr
            if answer.HasField("result"):
                result = answer.result
        seen = (out, err, result and (result.exit_code, result.reason))
        wanted = (b"from outside", f"{track.job}\n".encode(), (7, ""))
        if seen == wanted:
            return
        # It goes with its job: killed by joblet-init, which may be able to tell that still.
        if not result or result.reason not in ("the job has ended", "signal SIGKILL") or not await self._ends(track):
            track.trouble = f"a command in it gave {seen} instead of {wanted}"

    async def _ends(self, track: Track) -> bool:
        """Whether the job ends soon."""
        deadline = time.monotonic() + ENDS_SEC
        request = wire.GetJobStatusRequest(uuid=track.job)
        while time.monotonic() < deadline:
            status = await _retried(lambda: self._stubs[track.plan.owner].GetJobStatus(request), track)
            if status.status in FINAL:
                return True
            await asyncio.sleep(PAUSE_SEC)
        return False

    async def _write_input(self, track: Track, stub: Any) -> None:
        """Each line in a call of its own, again and again until the call succeeds; line 0 is the last."""
        for number in [*range(1, track.plan.lines + 1), 0]:
            track.acted = ""
            while not track.acted:
                parts = [wire.WriteJobInputRequest(uuid=track.job, data=b"%d\n" % number)]
                try:
                    await _retried(lambda parts=parts: stub.WriteJobInput(_each(parts)), track)
                    track.acted = "done"
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                        raise
                    if "has ended" in error.details() or (number == 0 and "does not run" not in error.details()):
                        track.acted = "too late"  # by the call before, which broke
                    await asyncio.sleep(PAUSE_SEC)


async def _retried(call: Callable[[], Awaitable[Any]], track: Track | None = None) -> Any:
    """What a call gives that may break any number of times."""
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if not _passes(error):
                raise
            if track is not None:
                track.breaks += 1
        await asyncio.sleep(PAUSE_SEC)


def _passes(error: grpc.aio.AioRpcError) -> bool:
    # grpc.aio calls it an internal error of its own when a stream breaks while something is sent on it.
    return error.code() in PASSING or "SendMessageOperation" in (error.debug_error_string() or "")


async def _each(parts: Iterable[Any]) -> AsyncIterator[Any]:
    for part in parts:
        yield part


async def _parts(plan: Plan) -> AsyncIterator[wire.SubmitJobRequest]:
    job = wire.RunJobRequest()
    job.CopyFrom(plan.request)
    del job.uploads[:]
    yield wire.SubmitJobRequest(job=job)
    for upload in plan.request.uploads:
        content = upload.content
        yield wire.SubmitJobRequest(file=wire.FileUpload(path=upload.path, content=content[:1000], mode=upload.mode))
        for start in range(1000, len(content), PART_BYTES):
            yield wire.SubmitJobRequest(data=content[start : start + PART_BYTES])
            await asyncio.sleep(PART_SEC)
    yield wire.SubmitJobRequest(end=True)


def say(text: str) -> None:
    """Tell who waits for a storm how it goes."""
    print(text, file=sys.stderr, flush=True)

"""Hostile clients by their number: connections, calls, followers. Others get their answers, and memory stays bounded.

``JOBLET_TESTS=long`` follows a job ten thousand times instead of two thousand.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import select
import socket
import ssl
import threading
import time
from collections import Counter
from typing import Any

import grpc
import pytest
from attack import LONG, MIB, channel, clear, connection, prompt, unharmed
from hosts import Host, until
from test_access import node

from joblet_wire import joblet_pb2, joblet_pb2_grpc

pytestmark = pytest.mark.only_on("forky", because="clients meet the daemon alone")

CONNECTIONS, STREAMS = (100, 100) if LONG else (20, 100)


def open_many(host: Host, number: int) -> list[socket.socket]:
    address, port = node(host)["address"].rsplit(":", 1)
    return [socket.create_connection((address, int(port)), timeout=60) for _ in range(number)]


def wait_until_closed(sockets: list[socket.socket], seconds: float) -> None:
    """Until the other side has closed all of them, whatever it said before."""
    poll = select.poll()
    open_ones = {}
    for connected in sockets:
        connected.setblocking(False)
        open_ones[connected.fileno()] = connected
        poll.register(connected, select.POLLIN)
    deadline = time.monotonic() + seconds
    while open_ones:
        assert time.monotonic() < deadline, f"{len(open_ones)} are open still"
        for descriptor, _ in poll.poll(1000):
            try:
                ended = not open_ones[descriptor].recv(65536)
            except ConnectionError:
                ended = True
            if ended:
                poll.unregister(descriptor)
                open_ones.pop(descriptor).close()


def half_a_handshake(host: Host, connected: socket.socket) -> None:
    context = ssl.create_default_context(cadata=node(host)["ca"])
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    begun = context.wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        begun.do_handshake()
    connected.sendall(outgoing.read())


def test_connections_that_do_not_get_to_a_call(host: Host) -> None:
    """Half a handshake of TLS, something else than TLS, nothing at all: some seconds, and they are closed."""
    # About 50 kB each, for the 1024 that one source may have.
    with unharmed(host, growth=192 * MIB):
        half, other = open_many(host, 500), open_many(host, 200)
        for connected in half:
            half_a_handshake(host, connected)
        for number, connected in enumerate(other):
            said = (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 1000, b"\x16\x03\x01\xff\xff" + b"x" * 70_000)
            with contextlib.suppress(ConnectionError):
                connected.sendall(said[number % len(said)])
        prompt(host)
        silent = open_many(host, 2000)
        # From another address than that which has all of its connections: the host itself.
        inside = host.exec("rnx", "job", "run", "--wait", "echo", "inside", check=False)
        assert (inside.returncode, inside.stdout) == (0, "inside\n"), inside.stderr
        wait_until_closed([*half, *other, *silent], 60)
    logged = host.exec("journalctl", "--unit=joblet.service", "--output=cat", "--lines=200").stdout
    assert "1024 of them from" in logged


def test_deadlines_and_cancellations(host: Host) -> None:
    with unharmed(host), channel(host, "reader") as through:
        ask = through.unary_unary("/joblet.JobService/ListJobs")
        short = [ask.future(b"", timeout=seconds) for seconds in (0.0001, 0.001, 0.01, 0.05) * 100]
        gone = [ask.future(b"") for _ in range(500)]
        for call in gone:
            call.cancel()
        ends = Counter(call.code() for call in [*short, *gone])
    assert set(ends) <= {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


def test_a_storm_of_cancelled_submissions_leaves_whole_jobs(host: Host) -> None:
    with unharmed(host, growth=128 * MIB), channel(host, "developer") as through:
        service = joblet_pb2_grpc.JobServiceStub(through)
        file = joblet_pb2.FileUpload(path="file", content=b"content\n", mode=0o644)
        calls = [
            service.RunJob.future(
                joblet_pb2.RunJobRequest(command="cat", args=["file"], name=f"storm-{number}", uploads=[file]),
                timeout=60,
            )
            for number in range(1000)
        ]
        until(lambda: sum(call.done() for call in calls) >= 20)
        answered = [call.result().job_uuid for call in calls if call.done()]
        for call in calls:
            call.cancel()

        def jobs() -> dict[str, Any]:
            listed = service.ListJobs(joblet_pb2.EmptyRequest(), timeout=120).jobs
            return {job.uuid: job for job in listed if job.name.startswith("storm-")}

        assert set(answered) <= set(jobs())
        until(lambda: all(job.end_time for job in jobs().values()), 240)
        for job in jobs().values():
            assert job.status == "COMPLETED", job
        for job in list(jobs())[-20:]:
            chunks = service.GetJobLogs(joblet_pb2.GetJobLogsRequest(uuid=job), timeout=120)
            assert b"".join(chunk.payload for chunk in chunks) == b"content\n"
    clear(host, "developer")
    known = {job["id"] for job in json.loads(host.rnx("--json", "job", "list").stdout)}
    until(lambda: set(host.exec("ls", "/var/lib/joblet/jobs").stdout.split()) <= known)


def test_large_answers_that_nobody_takes(host: Host) -> None:
    """A megabyte of arguments makes a status large, and commands of 128 KiB made lists so, for everybody."""
    narrow = ("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)
    try:
        with channel(host, "developer") as through:
            run = joblet_pb2_grpc.JobServiceStub(through).RunJob
            later = {"schedule": "1h", "name": "large"}
            large = run(joblet_pb2.RunJobRequest(command="true", args=["x" * 100_000] * 10, **later)).job_uuid
            for _ in range(100):
                run(joblet_pb2.RunJobRequest(command="/" * 131_000, **later))
        status = joblet_pb2.GetJobStatusRequest(uuid=large).SerializeToString()
        with unharmed(host, growth=100 * MIB), channel(host, "reader", *narrow) as through:
            asked = [
                through.stream_stream(f"/joblet.JobService/{method}")(iter([request]))
                for method, request in (("GetJobStatus", status), ("ListJobs", b""))
                for _ in range(300)
            ]
            prompt(host)
            assert host.rnx("job", "status", large, node="maintainer").returncode == 0
            assert "/" * 50 in host.rnx("job", "list", node="maintainer").stdout
            for call in asked:
                call.cancel()
    finally:
        clear(host, "developer")


class Followers:
    """Many who follow one job, over some connections, with a reader's certificate."""

    def __init__(self, host: Host, job: str) -> None:
        self._host = host
        self._job = job
        self.begun = 0
        self.last: Counter[bytes] = Counter()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    async def _all(self) -> None:
        address, credentials, options = connection(self._host, "reader")
        async with contextlib.AsyncExitStack() as channels:
            stubs = []
            for _ in range(CONNECTIONS):
                opened = grpc.aio.secure_channel(address, credentials, options)
                stubs.append(joblet_pb2_grpc.JobServiceStub(await channels.enter_async_context(opened)))
            await asyncio.gather(*(self._one(stub) for stub in stubs for _ in range(STREAMS)))

    async def _one(self, stub: Any) -> None:
        end = b""
        try:
            async for chunk in stub.GetJobLogs(joblet_pb2.GetJobLogsRequest(uuid=self._job)):
                if not end:
                    self.begun += 1
                end = (end + chunk.payload)[-64:]
        except grpc.RpcError as error:
            end = f"{error.code()}: {error.details()}".encode()
        self.last[end] += 1

    def __enter__(self) -> Followers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_thousands_of_followers_on_one_job(host: Host) -> None:
    everyone = CONNECTIONS * STREAMS
    job = host.run("sh", "-c", "echo begun; while ! [ -e /tmp/over ]; do date +%N; sleep 1; done; echo the last line")
    # About 35 kB each, and what they read ahead together.
    with unharmed(host, growth=everyone * 40_000 + 64 * MIB):
        with Followers(host, job) as followers:
            until(lambda: followers.begun == everyone, 120)
            prompt(host)
            assert job in host.rnx("job", "list", node="reader").stdout
            assert host.rnx("job", "stop", job).returncode == 0
        assert sum(followers.last.values()) == everyone
    assert host.status(job)["status"] == "STOPPED"
    # The same for all: nobody's output is cut short.
    assert len(followers.last) == 1, followers.last
    assert next(iter(followers.last)) == host.log(job)[-64:]


def test_followers_of_a_flood(host: Host) -> None:
    job = host.run("sh", "-c", "for i in $(seq 5000); do echo a line of output, number $i; done; echo the last line")
    with unharmed(host, growth=400 * MIB):
        with Followers(host, job) as followers:
            prompt(host)
        assert set(followers.last) == {host.log(job)[-64:]}, followers.last
        assert followers.last.total() == CONNECTIONS * STREAMS


def test_slow_readers_cost_nobody_anything_and_lose_nothing(host: Host) -> None:
    size = 24 * MIB
    script = f"import random,sys; sys.stdout.buffer.write(random.Random(1).randbytes({size})); print('over')"
    with unharmed(host, growth=256 * MIB), contextlib.ExitStack() as channels:
        job = host.run("sh", "-c", f'sleep 1; exec python3 -c "{script}"')
        slow = []
        for _ in range(50):
            stub = joblet_pb2_grpc.JobServiceStub(channels.enter_context(channel(host, "reader")))
            chunks = stub.GetJobLogs(joblet_pb2.GetJobLogsRequest(uuid=job), timeout=300)
            slow.append(chunks)
        begun = [next(chunks).payload for chunks in slow]  # one chunk, and then nothing is read for a while
        whole = host.log(job)
        assert len(whole) == size + len("over\n")
        assert host.result(job)["status"] == "COMPLETED"
        prompt(host)
        for first, chunks in list(zip(begun, slow, strict=True))[:5]:
            digest = hashlib.sha256(first)
            for chunk in chunks:
                digest.update(chunk.payload)
            assert digest.digest() == hashlib.sha256(whole).digest()
        for chunks in slow[5:]:
            chunks.cancel()

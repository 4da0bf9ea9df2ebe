"""A million lines from ten jobs, and twenty followers that read them in every way there is: each gets exactly all."""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from calls import jobs as service
from hosts import Host, until
from webclient import Web, events

from joblet_wire import joblet_pb2

JOBS, FOLLOWERS, LINES = 10, 20, 100_000
# In ten portions, so that there is something to be followed while the daemon restarts, which is after the first.
WRITE = """
for i in 0 1 2 3 4 5 6 7 8 9; do
    seq -f "$1 %.0f" $((i * 10000 + 1)) $((i * 10000 + 10000))
    until test -e go; do sleep 0.1; done
    sleep 0.6
done
"""
PATIENCE_SEC = 240
AGAIN = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
# A line of a log as it is in an event: "many-9 12345\\n". Ten of them a second.
SLOW_LINE_BYTES, SLOW_SEC = 14, 0.1


class Follower(threading.Thread):
    """Follows a job to its end, coming back to where it was whenever its connection breaks."""

    def __init__(self, job: str, *, restless: bool = False) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.restless = restless  # breaks off by itself, every second
        self.digest = hashlib.sha256()
        self.size = 0
        self.connections = 0
        self.ended = False
        self.trouble = ""
        self._deadline = time.monotonic() + PATIENCE_SEC

    def run(self) -> None:
        try:
            while not self.ended and time.monotonic() < self._deadline:
                self.connections += 1
                self.follow()
                if not self.ended:
                    time.sleep(0.1)
        except Exception as error:
            self.trouble = repr(error)
            raise

    def follow(self) -> None:
        raise NotImplementedError

    def take(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)


class GrpcFollower(Follower):
    def __init__(self, host: Host, job: str, *, restless: bool = False) -> None:
        super().__init__(job, restless=restless)
        self.host = host
        self.cursor = ""

    def follow(self) -> None:
        with service(self.host) as stub:
            request = joblet_pb2.GetJobLogsRequest(uuid=self.job, cursor=self.cursor)
            call = stub.GetJobLogs(request, timeout=1 if self.restless else PATIENCE_SEC)
            try:
                for chunk in call:
                    assert not chunk.HasField("dropped"), chunk
                    self.take(chunk.payload)
                    self.cursor = chunk.cursor
                self.ended = True
            except grpc.RpcError as error:
                if error.code() not in AGAIN:  # type: ignore[attr-defined]
                    raise


class RnxFollower(Follower):
    """The program, which resumes by itself."""

    def __init__(self, host: Host, job: str) -> None:
        super().__init__(job)
        self.process = host.popen("job", "log", job)

    def follow(self) -> None:
        assert self.process.stdout
        assert self.process.stderr
        with self.process:
            while piece := self.process.stdout.read1(65536):
                self.take(piece)
            said = self.process.stderr.read()
        assert self.process.returncode == 0, said
        self.ended = True


class WebFollower(Follower):
    def __init__(self, web: Web, job: str, *, restless: bool = False) -> None:
        super().__init__(job, restless=restless)
        self.web = web
        self.last = ""
        self.hurry = threading.Event()
        self.hurry.set()

    def lines(self) -> Iterator[bytes]:
        until_then = time.monotonic() + (1 if self.restless else PATIENCE_SEC)
        headers = {"Last-Event-ID": self.last} if self.last else {}
        path = f"/v1/jobs/{self.job}/logs"
        with self.web.open("GET", path, headers=headers, receive_buffer=0 if self.hurry.is_set() else 4096) as response:
            assert response.status == 200, response.read()
            line = b""
            while time.monotonic() < until_then:
                if not self.hurry.is_set():
                    time.sleep(SLOW_SEC)
                piece = response.readline() if self.hurry.is_set() else response.readline(SLOW_LINE_BYTES)
                if not piece:
                    return
                line += piece
                if line.endswith(b"\n"):
                    yield line
                    line = b""

    def follow(self) -> None:
        try:
            for event in events(self.lines()):
                self.last = event.id
                assert event.name in ("", "end"), event
                if event.name:
                    assert event.data == {"status": "COMPLETED", "exitCode": 0, "reason": ""}
                    self.ended = True
                    return
                text = event.data.get("text")
                self.take(text.encode() if text is not None else base64.b64decode(event.data["base64"]))
        except (OSError, http.client.HTTPException):  # the daemon restarts
            return


def test_twenty_followers_of_ten_jobs_get_every_byte_once(
    host: Host, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    web = Web(host, tmp_path)
    names = [f"many-{number}" for number in range(JOBS)]
    ids = [host_job(web, name) for name in names]
    followers: list[Follower] = []
    for number in range(FOLLOWERS):
        job = ids[number % JOBS]
        restless = number in (16, 17)
        if number % 2:
            followers.append(WebFollower(web, job, restless=restless))
        else:
            followers.append(GrpcFollower(host, job, restless=restless))
    program = followers[0] = RnxFollower(host, ids[0])
    request.addfinalizer(program.process.kill)
    slow = WebFollower(web, ids[9])
    slow.hurry.clear()
    followers[-1] = slow
    for follower in followers:
        follower.start()
    until(lambda: all(follower.size > 0 for follower in followers), 120)
    assert not program.ended
    host.exec("touch", *(f"/var/lib/joblet/jobs/{job}/work/go" for job in ids))
    host.exec("systemctl", "restart", "joblet.service")
    for follower in followers:
        if follower is not slow:
            follower.join(PATIENCE_SEC)
    assert slow.is_alive()
    slow.hurry.set()
    slow.join(PATIENCE_SEC)
    for number, follower in enumerate(followers):
        said = (number, follower.trouble, follower.ended, follower.connections)
        assert follower.ended, said
        name = names[number % JOBS]
        expected = b"".join(b"%s %d\n" % (name.encode(), line) for line in range(1, LINES + 1))
        assert (follower.size, follower.digest.hexdigest()) == (len(expected), hashlib.sha256(expected).hexdigest()), (
            said
        )
        assert follower.connections >= (4 if follower.restless else 1 if follower is program else 2), said


def host_job(web: Web, name: str) -> str:
    """A job that writes LINES lines which no other one writes."""
    answer = web.ask("POST", "/v1/jobs", {"command": "sh", "args": ["-c", WRITE, "sh", name], "name": name})
    assert answer.status == 201, answer.body
    return str(answer.json["uuid"])

"""The daemon as the measurements see it: its process, and a connection to it."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import yaml

from joblet_wire import joblet_pb2, joblet_pb2_grpc

CONFIG = Path("/etc/joblet/rnx-config.yml")
GATEWAY_PORT = 50052
PATIENCE_SEC = 120.0
MANY_CALLS = 100  # the most that are on their way at the same time


def node() -> dict[str, str]:
    """This host's node in the client's configuration."""
    found: dict[str, str] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["nodes"]["default"]
    return found


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """JobService over a connection of its own."""
    here = node()
    credentials = grpc.ssl_channel_credentials(*(here[part].encode() for part in ("ca", "key", "cert")))
    # An option that the others have not: or gRPC would use one connection for all.
    options = [
        ("grpc.ssl_target_name_override", "joblet"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
    ]
    with grpc.secure_channel(here["address"], credentials, options) as channel:
        yield joblet_pb2_grpc.JobServiceStub(channel)


def gateway() -> http.client.HTTPSConnection:
    """A connection to its HTTP interface. Raises OSError when there is none."""
    here = node()
    context = ssl.create_default_context(cadata=here["ca"])
    with tempfile.TemporaryDirectory() as scratch:
        pem = Path(scratch, "client.pem")
        pem.touch(mode=0o600)
        pem.write_text(here["key"] + "\n" + here["cert"], encoding="ascii")
        context.load_cert_chain(pem)
    connection = http.client.HTTPSConnection("127.0.0.1", GATEWAY_PORT, context=context, timeout=30)
    connection.connect()
    return connection


def first_page(connection: http.client.HTTPSConnection) -> tuple[int, bytes]:
    """The status and the body of the newest hundred jobs, as the dashboard asks for them."""
    connection.request("GET", "/v1/jobs?limit=100")
    answer = connection.getresponse()
    return answer.status, answer.read()


def run_all(service: Any, number: int, argv: Sequence[str]) -> list[str]:
    """Have that many jobs run at once; their ids."""
    request = joblet_pb2.RunJobRequest(command=argv[0], args=argv[1:])
    calls = [service.RunJob.future(request, timeout=PATIENCE_SEC) for _ in range(number)]
    return [call.result().job_uuid for call in calls]


def stop_all(service: Any, jobs: Sequence[str]) -> None:
    """Stop jobs and forget them."""
    for first in range(0, len(jobs), MANY_CALLS):
        some = jobs[first : first + MANY_CALLS]
        for method, request in (
            (service.StopJob, joblet_pb2.StopJobRequest),
            (service.DeleteJob, joblet_pb2.DeleteJobRequest),
        ):
            for call in [method.future(request(uuid=job), timeout=PATIENCE_SEC) for job in some]:
                call.result()


def states(service: Any) -> dict[str, str]:
    """The states of all jobs."""
    return {job.uuid: job.status for job in service.ListJobs(joblet_pb2.EmptyRequest(), timeout=PATIENCE_SEC).jobs}


def until(condition: Callable[[], bool], pause: float = 0.2) -> None:
    """Wait for something. Raises TimeoutError when it does not come."""
    deadline = time.monotonic() + PATIENCE_SEC
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_SEC:.0f} s")
        time.sleep(pause)


def systemctl(*words: str) -> str:
    """Run systemctl; what it prints."""
    return subprocess.run(["systemctl", *words], check=True, capture_output=True, text=True).stdout.strip()


def pid() -> int:
    """The daemon's process."""
    return int(systemctl("show", "--property=MainPID", "--value", "joblet.service"))


def resident_bytes(process: int | str, kind: str = "VmRSS") -> int:
    """What a process has in memory, shared pages of libraries included; ``RssAnon`` is without those of files.

    ``process`` may be ``self``. See proc_pid_status(5).
    """
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{kind}:")))


def cpu_seconds(process: int, *, children: bool = False) -> float:
    """The CPU time of all threads of a process so far, or of its children that have ended.

    proc_pid_stat(5), 100 ticks each second.
    """
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    first = 13 if children else 11
    return (int(fields[first]) + int(fields[first + 1])) / 100

"""What tests need that attack a daemon as a client: calls of raw bytes, and whether all is well afterwards."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from hosts import Host
from test_access import node

from joblet_wire import joblet_pb2

METHODS = {
    f"{service.name}/{method.name}": method
    for service in joblet_pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
# Calls that go on for as long as the client likes: one answer is enough of them.
ENDLESS = frozenset({"JobService/TopJobs", "MonitoringService/StreamSystemMetrics"})
# Statuses that say what was wrong. UNKNOWN and INTERNAL are those of a daemon that did not expect something.
TYPED = frozenset(
    {
        grpc.StatusCode.OK,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.ABORTED,
    }
)
MIB = 1 << 20
LONG = os.environ.get("JOBLET_TESTS") == "long"
# What the daemon logs of its own faults, asyncio's and gRPC's among them.
FAULTS = re.compile(r"Traceback|Service/\w+ failed|never retrieved|was never awaited|was destroyed|Unexpected \[")
DAEMON = "$(systemctl show --property=MainPID --value joblet.service)"


def channel(host: Host, role: str, *options: tuple[str, Any]) -> grpc.Channel:
    """A connection of its own, with the certificate of that role."""
    address, credentials, own = connection(host, role)
    return grpc.secure_channel(address, credentials, [*own, *options])


def connection(host: Host, role: str) -> tuple[str, grpc.ChannelCredentials, list[tuple[str, Any]]]:
    """Address, credentials and options for a channel that shares its connection with no other."""
    reached = node(host, role)
    credentials = grpc.ssl_channel_credentials(
        reached["ca"].encode(), reached["key"].encode(), reached["cert"].encode()
    )
    options = [
        ("grpc.ssl_target_name_override", "joblet"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
    ]
    return reached["address"], credentials, options


def send(
    through: grpc.Channel, name: str, requests: Iterable[bytes], seconds: float = 60, **options: Any
) -> tuple[grpc.StatusCode, str]:
    """Send bytes as the requests of a call, whatever it expects, and read all answers: its status."""
    call = through.stream_stream(f"/joblet.{name}")(iter(requests), timeout=seconds, **options)
    try:
        for _ in call:
            if name in ENDLESS:
                call.cancel()
                return grpc.StatusCode.OK, ""
    except grpc.RpcError:
        pass
    return call.code(), str(call.details())


def memory(host: Host, key: str = "VmRSS") -> int:
    """Of the daemon, in bytes; ``VmHWM`` is the most since ``unharmed`` began."""
    status = host.exec("sh", "-c", f"cat /proc/{DAEMON}/status").stdout
    found = re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)
    assert found, status
    return int(found[1]) << 10


@contextlib.contextmanager
def unharmed(host: Host, growth: int = 64 * MIB) -> Iterator[None]:
    """What happens in the block does not make the daemon fail, die or grow by more than so many bytes.

    And somebody else's job runs afterwards, and its output arrives.
    """
    before = host.exec("sh", "-c", f"echo {DAEMON}").stdout
    host.exec("sh", "-c", f"echo 5 >/proc/{DAEMON}/clear_refs")  # resets VmHWM (proc(5))
    cursor = host.journal_end()
    usual = memory(host)
    yield
    assert host.exec("sh", "-c", f"echo {DAEMON}").stdout == before
    most = memory(host, "VmHWM")
    assert most < usual + growth, f"{most / MIB:.0f} MiB, {usual / MIB:.0f} before"
    logged = host.exec("journalctl", f"--after-cursor={cursor}", "--unit=joblet.service", "--output=cat").stdout
    assert not FAULTS.search(logged), logged[-5000:]
    prompt(host)


def prompt(host: Host) -> None:
    """Another client gets a job run, and its output."""
    done = host.rnx("job", "run", "--wait", "echo", "prompt", node="maintainer")
    assert (done.returncode, done.stdout) == (0, "prompt\n"), done.stderr


def clear(host: Host, role: str) -> None:
    """End and forget all jobs of the identity that has this role's certificate."""
    with channel(host, role) as own:
        service = joblet_pb2.DESCRIPTOR.services_by_name["JobService"].full_name

        def call(method: str, request: Any, response: Any) -> Any:
            ask = own.unary_unary(f"/{service}/{method}", type(request).SerializeToString, response.FromString)
            return ask(request, timeout=60)

        for job in call("ListJobs", joblet_pb2.EmptyRequest(), joblet_pb2.Jobs).jobs:
            if job.owner == role and not job.end_time:
                with contextlib.suppress(grpc.RpcError):  # it may have ended meanwhile
                    call("StopJob", joblet_pb2.StopJobRequest(uuid=job.uuid), joblet_pb2.StopJobResponse)
        call("DeleteAllJobs", joblet_pb2.DeleteAllJobsRequest(), joblet_pb2.DeleteAllJobsResponse)

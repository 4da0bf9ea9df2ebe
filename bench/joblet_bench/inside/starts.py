"""How fast jobs start: the daemon's share of one start, and how many there are per second."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

from dbus_fast import Message

from joblet_wire import joblet_pb2

from ..figures import Budget, Finding, Spread
from . import daemon
from .bare import Units, Watch, start_all
from .heard import Heard
from .scale import Scale, tell

SHARE = Budget("≤ 5 ms p50", 5.0)
RATE = Budget("≥ 0.9", 0.9, least=True)
SYSTEM_BUS = "/run/dbus/system_bus_socket"
DBUS = "org.freedesktop.DBus"


class Monitor:
    """When units are started over the system bus. Nothing is decoded: that would take longer than what is measured."""

    def __init__(self) -> None:
        self._heard = Heard()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(SYSTEM_BUS)
        self._socket.sendall(
            b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n"
        )
        rule = "type='method_call',destination='org.freedesktop.systemd1',member='StartTransientUnit'"
        for number, message in enumerate(
            (
                Message(DBUS, "/org/freedesktop/DBus", DBUS, "Hello"),
                Message(
                    DBUS,
                    "/org/freedesktop/DBus",
                    f"{DBUS}.Monitoring",
                    "BecomeMonitor",
                    signature="asu",
                    body=[[rule], 0],
                ),
            ),
            start=1,
        ):
            message.serial = number
            self._socket.sendall(message._marshall(False))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while data := self._socket.recv(1 << 20):
            self._heard.add(time.monotonic(), data)

    def started(self, job: str) -> float:
        """When the start of that job's unit was called for; waits for it. Raises TimeoutError."""
        deadline = time.monotonic() + daemon.PATIENCE_SEC
        while time.monotonic() < deadline:
            # Of nothing but calls to start a unit, by the monitor's rule; the unit's name is what comes first.
            moment = self._heard.moment_of(f"joblet-job-{job}.service".encode())
            if moment is not None:
                return moment
            time.sleep(0.002)
        raise TimeoutError(f"job {job} was not started")


def share(scale: Scale) -> Iterator[Finding]:
    """From the client's call to StartTransientUnit on the bus, and what a call costs that does next to nothing."""
    monitor = Monitor()
    times, calls = [], []
    with daemon.connected() as service:
        daemon.states(service)
        for _ in range(scale.calls):
            begun = time.monotonic()
            job = service.RunJob(joblet_pb2.RunJobRequest(command="true")).job_uuid
            times.append((monitor.started(job) - begun) * 1000)
            while _status(service, job) != "COMPLETED":
                time.sleep(0.02)
            begun = time.monotonic()
            _status(service, job)
            calls.append((time.monotonic() - begun) * 1000)
    figure, call = Spread.of(times), Spread.of(calls)
    yield Finding(
        "start of a job",
        "RunJob called → StartTransientUnit on the bus",
        "ms",
        figure,
        beside=f"GetJobStatus, a whole call: {call.median:.1f} ms",
        ratio=Spread.of_ratios(times, calls),
    )
    own = Spread.of([value - other for value, other in zip(times, calls, strict=True)])
    yield Finding(
        "start of a job",
        "the daemon's own share: the same less a call",
        "ms",
        own,
        budget=SHARE.text,
        met=SHARE.met(own.median),
    )


def _status(service: Any, job: str) -> str:
    return str(service.GetJobStatus(joblet_pb2.GetJobStatusRequest(uuid=job)).status)


def rate(scale: Scale) -> Iterator[Finding]:
    """Jobs by the daemon and units by a bare loop in turn, each until PID 1 has forgotten the last one."""
    ours, bare = asyncio.run(_rates(scale))
    ratio = Spread.of_ratios(ours, bare)
    yield Finding("starts per second", "a bare D-Bus loop", "/s", Spread.of(bare))
    yield Finding(
        "starts per second",
        "the daemon, from request to release",
        "/s",
        Spread.of(ours),
        beside="the bare loop",
        ratio=ratio,
        budget=RATE.text,
        met=RATE.met(ratio.median),
    )


async def _rates(scale: Scale) -> tuple[list[float], list[float]]:
    ours, bare = [], []
    async with Units.prepared() as units, Watch.opened() as watch:
        with daemon.connected() as service:
            daemon.states(service)
            for number in range(scale.pairs):
                tell(f"pair {number + 1} of {scale.pairs}, {scale.batch} starts each")
                begun = asyncio.get_running_loop().time()
                jobs = await asyncio.to_thread(daemon.run_all, service, scale.batch, ["true"])
                seconds = await watch.all_gone([f"joblet-job-{job}.service" for job in jobs]) - begun
                ours.append(scale.batch / seconds)
                with units.make(scale.batch, ["true"]) as made:
                    bare.append(scale.batch / await start_all(watch, made))
    return ours, bare

"""A bare loop that starts units over D-Bus: what PID 1 can do at best, whoever asks it.

It has no queue, store, file systems or clients; sockets and directories are made before the time runs. The
properties are those of ``joblet_systemd.unit``, so that PID 1 and joblet-init do the same work as for a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import socket
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from joblet_systemd import config as configuration
from joblet_systemd import host as this_host
from joblet_systemd import unit
from joblet_systemd.files.root import Roots
from joblet_systemd.jobs.runner import INIT_BINARY
from joblet_systemd.model import UNIT_PATTERN, Job, JobSpec, State
from joblet_systemd.systemd import journal
from joblet_systemd.systemd.manager import DESTINATION, MANAGER, MANAGER_PATH, UNIT, Manager, unit_path

ACCOUNT = "joblet-admin"
IN_FLIGHT = 4  # jobs.starts_in_flight
STOP_GRACE_SEC = 10.0


class Watch:
    """When PID 1 let go of units: after the end of all that was to be done for them."""

    def __init__(self, bus: MessageBus) -> None:
        self.bus = bus
        self._gone: dict[str, float] = {}
        self._started: dict[str, asyncio.Future[str]] = {}
        self._changed = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls) -> AsyncIterator[Watch]:
        """A connection to the system bus that hears what the manager says of units."""
        bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
        watch = cls(bus)
        bus.add_message_handler(watch._on_message)
        rule = f"type='signal',sender='{DESTINATION}',interface='{MANAGER}',path='{MANAGER_PATH}'"
        dbus = "org.freedesktop.DBus"
        await watch.call("AddMatch", "s", [rule], path="/org/freedesktop/DBus", interface=dbus, destination=dbus)
        await watch.call("Subscribe")
        try:
            yield watch
        finally:
            bus.disconnect()

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "UnitRemoved":
            self._gone[message.body[0]] = asyncio.get_running_loop().time()
            self._changed.set()
        elif message.member == "JobRemoved":
            waiter = self._started.get(message.body[2])
            if waiter and not waiter.done():
                waiter.set_result(message.body[3])

    async def call(
        self,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        fds: Sequence[int] = (),
        *,
        path: str = MANAGER_PATH,
        interface: str = MANAGER,
        destination: str = DESTINATION,
    ) -> None:
        """Call PID 1. Raises RuntimeError with what it answers if it refuses."""
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            unix_fds=list(fds),
        )
        reply = await self.bus.call(message)
        if reply is not None and reply.message_type is MessageType.ERROR:
            raise RuntimeError(f"{member}: {reply.error_name}: {reply.body}")

    async def start(self, name: str, properties: Sequence[tuple[str, str, Any]]) -> None:
        """Start a transient unit and let PID 1 forget it once it has ended."""
        outcome = self._started[name] = asyncio.get_running_loop().create_future()
        fds: list[int] = []
        values = []
        for key, signature, value in properties:
            if signature == "h":
                fds.append(value)
                values.append([key, Variant("h", len(fds) - 1)])
            else:
                values.append([key, Variant(signature, value)])
        await self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", [name, "replace", values, []], fds)
        if await outcome != "done":
            raise RuntimeError(f"{name}: {outcome.result()}")
        del self._started[name]
        await self.call("Unref", path=unit_path(name), interface=UNIT)

    async def all_gone(self, names: Sequence[str]) -> float:
        """Wait until PID 1 has forgotten all of them; the loop's time when it forgot the last one."""
        while not all(name in self._gone for name in names):
            self._changed.clear()
            await self._changed.wait()
        return max(self._gone.pop(name) for name in names)


class Units:
    """Units as the daemon would have them, without the daemon. Made before the time runs, used once each."""

    def __init__(self, host: unit.Host, directory: Path) -> None:
        self._host = host
        self._directory = directory
        self._roots = Roots(configuration.RUNTIME_DIR)

    @classmethod
    @contextlib.asynccontextmanager
    async def prepared(cls) -> AsyncIterator[Units]:
        """For this host, with a directory for what they need."""
        manager = Manager(UNIT_PATTERN)
        await manager.connect()
        try:
            host = await this_host.examine(manager)
        finally:
            await manager.close()
        # On the disk, as the daemon's.
        with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="joblet-bench-") as scratch:
            os.chmod(scratch, 0o711)
            yield cls(host, Path(scratch))

    @contextlib.contextmanager
    def make(self, number: int, argv: Sequence[str]) -> Iterator[dict[str, list[tuple[str, str, Any]]]]:
        """The properties of that many units by name; the descriptors in them are closed at the end."""
        owner = pwd.getpwnam(ACCOUNT)
        with contextlib.ExitStack() as sockets:
            units = {}
            for _ in range(number):
                name = str(uuid.uuid4())
                work = self._directory / name
                work.mkdir(mode=0o700)
                os.chown(work, owner.pw_uid, owner.pw_gid)
                log = sockets.enter_context(journal.connect(unit.LOG_NAMESPACE))
                control = sockets.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                control.bind(str(self._directory / f"{name}.control"))
                control.listen()
                units[f"joblet-bench-{name}.service"] = [
                    (one.name, one.signature, one.value)
                    for one in self.properties(name, argv, str(work), log.fileno(), control.fileno())
                ]
            yield units

    def properties(
        self, name: str, argv: Sequence[str], work: str, log_fd: int, control_fd: int
    ) -> list[unit.Property]:
        """Those of a job with that command."""
        job = Job(
            id=name,
            spec=JobSpec(argv[0], tuple(argv[1:])),
            owner="admin",
            account=ACCOUNT,
            state=State.INITIALIZING,
            submitted_usec=0,
        )
        place = unit.Place(
            root=str(self._roots.skeleton),
            empty=str(self._roots.empty),
            etc=str(self._roots.etc(ACCOUNT)),
            work=work,
            terminals="/dev/pts",
            init=INIT_BINARY,
            log_fd=log_fd,
            control_fd=control_fd,
            secrets="",
        )
        share = unit.LogShare(configuration.MAX_LOG)
        return unit.properties(job, self._host, place, stop_grace=STOP_GRACE_SEC, share=share)


async def start_all(watch: Watch, units: dict[str, list[tuple[str, str, Any]]]) -> float:
    """Start them, a few at a time, and wait until they are gone; the seconds that it took."""
    begun = asyncio.get_running_loop().time()
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one(name: str) -> None:
        async with slots:
            await watch.start(name, units[name])

    await asyncio.gather(*map(one, units))
    return await watch.all_gone(list(units)) - begun

"""PID 1 over D-Bus: start, stop, watch and release transient units (org.freedesktop.systemd1(5)).

One connection, three match rules, whatever the number of units. PID 1 announces the end of a start
with JobRemoved and the end of a unit with PropertiesChanged; both can come before the reply to the
call that caused them is looked at, so waiters are registered before the call is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dbus_fast import BusType, DBusError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from ..errors import BusLost, NotSent, SystemdError, WrongState

log = logging.getLogger(__name__)

BUS = "org.freedesktop.DBus"
DESTINATION = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
UNIT_PATHS = f"{MANAGER_PATH}/unit"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
SOCKET = "org.freedesktop.systemd1.Socket"
SERVICE = "org.freedesktop.systemd1.Service"
PROPERTIES = "org.freedesktop.DBus.Properties"
NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"
NOT_REFERENCED = "org.freedesktop.systemd1.NotReferenced"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"

MATCH_RULES = (
    # That alone: a job's start has some twenty units appear and vanish, with a signal for each.
    f"type='signal',sender='{DESTINATION}',interface='{MANAGER}',member='JobRemoved',path='{MANAGER_PATH}'",
    f"type='signal',sender='{DESTINATION}',interface='{PROPERTIES}',member='PropertiesChanged',"
    f"path_namespace='{UNIT_PATHS}',arg0='{UNIT}'",
    # PID 1 leaves the bus and comes back when it re-executes itself or the bus was restarted.
    f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='{DESTINATION}'",
)
# What the bus answers in the place of a PID 1 that is not on it,
NO_OWNER = tuple(f"org.freedesktop.DBus.Error.{name}" for name in ("NameHasNoOwner", "ServiceUnknown"))
# or that has perhaps left it with the call. Spawn is the first part of several names.
ABSENT = (*NO_OWNER, *(f"org.freedesktop.DBus.Error.{name}" for name in ("NoReply", "Disconnected", "Spawn")))
CALL_TIMEOUT_SEC = 90.0
# The bus refuses calls of a connection that waits for 128 answers (dbus-daemon(1), max_replies_per_connection), which
# a few hundred jobs that are stopped or end together would reach.
MAX_PENDING = 64
RECONNECT_SEC = 0.5
UNSET = 2**64 - 1

# What PID 1 counts for a unit, by the control group controller that it needs for that.
COUNTERS = {
    **{"CPUUsageNSec": "", "MemoryPeak": "memory", "IOReadBytes": "io", "IOWriteBytes": "io"},
    **{"IPIngressBytes": "", "IPEgressBytes": ""},
}

UNREADABLE = ("bad-setting", "error")  # LoadState= of a unit that PID 1 found and could not load
FROZEN = "frozen"  # how a start or stop ends that PID 1 refuses since its unit or slice is; 257 and newer
FAILED = "failed"
ENDED = ("inactive", FAILED)  # ActiveState= of a unit without processes
STARTING = "activating"

UnitProperty = tuple[str, str, Any]


def _nobody(*_: object) -> None:
    """Nobody watches yet."""


@dataclass(frozen=True, slots=True)
class UnitResult:
    """How a unit ended, from its own properties.

    ``result`` is systemd's word (``success``, ``exit-code``, ``signal``, ``oom-kill``, ``timeout``,
    …, systemd.exec(5) "$SERVICE_RESULT"); ``code`` is CLD_EXITED, CLD_KILLED or CLD_DUMPED
    (wait(2)) or 0 when nothing ran; ``status`` the exit code or signal number. Counters are
    ``None`` where the host keeps no account. ``active_usec``, told of a ``timeout`` only, is the time from the
    end of its start to the beginning of its end, by a clock that nobody sets.
    """

    result: str
    code: int
    status: int
    cpu_nsec: int | None
    memory_peak: int | None
    io_read: int | None
    io_write: int | None
    active_usec: int = 0
    ip_in: int | None = None
    ip_out: int | None = None


class Manager:
    """The service manager, and the units whose names match ``pattern``. Units are named in full (``x.service``).

    Every method raises SystemdError when PID 1 refuses, BusLost when the connection is lost. After each BusLost
    a new connection is made and announced.
    """

    def __init__(self, pattern: str) -> None:
        prefix = pattern.partition("*")[0]
        self._paths = f"{UNIT_PATHS}/{escape(prefix)}"
        self._pattern, self._prefix = pattern, prefix
        self._on_end: Callable[[str, bool], None] = _nobody
        self._on_refusal: Callable[[str], None] = _nobody
        self._on_reconnect: Callable[[], None] = _nobody
        self._bus: MessageBus | None = None
        self._starts: dict[str, asyncio.Future[str]] = {}
        self._held: set[str] = set()  # the units to which this connection has a reference
        self._pending = asyncio.Semaphore(MAX_PENDING)
        self._keeper: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Connect to the system bus and keep the connection until ``close``."""
        await self._open()
        self._keeper = asyncio.create_task(self._keep_connected(), name="systemd-connection")

    def watch(
        self,
        on_end: Callable[[str, bool], None],
        on_reconnect: Callable[[], None],
        on_refusal: Callable[[str], None] = _nobody,
    ) -> None:
        """Call ``on_end`` with a unit's name, and whether it has failed, whenever it becomes inactive or failed.

        ``on_reconnect`` is called after a lost connection was made again: ends may have been missed. ``on_refusal``
        is called with the name of a unit that was to stop and is frozen, for which PID 1 does not stop it.
        """
        self._on_end = on_end
        self._on_refusal = on_refusal
        self._on_reconnect = on_reconnect

    async def close(self) -> None:
        """Disconnect. Units go on."""
        if self._keeper:
            self._keeper.cancel()
        if self._bus:
            self._bus.disconnect()

    async def version(self) -> int:
        """The major version of the running systemd, for example 257."""
        text = await self._get_property(MANAGER_PATH, MANAGER, "Version")
        found = re.match(r"\d+", str(text))
        if not found:
            raise SystemdError(f"PID 1 gives its version as {text!r}, which has no number.")
        return int(found.group())

    async def service_properties(self) -> frozenset[str]:
        """The names of all service properties that this PID 1 knows."""
        # Any loaded service does; journald always is.
        path = unit_path("systemd-journald.service")
        reply = await self._call(path, "org.freedesktop.DBus.Introspectable", "Introspect")
        return frozenset(re.findall(r'<property name="(\w+)"', reply[0]))

    async def start(self, unit: str, properties: Sequence[UnitProperty]) -> str:
        """Start a transient unit and wait for the outcome: ``done``, ``failed``, ``canceled``, ….

        A property of type ``h`` carries a file descriptor number of this process.
        """
        finished: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._starts[unit] = finished
        fds: list[int] = []
        values = []
        for name, signature, value in properties:
            if signature == "h":
                fds.append(value)
                values.append([name, Variant("h", len(fds) - 1)])
            else:
                values.append([name, Variant(signature, _sized(value))])
        bus = self._bus
        try:
            await self._call(
                MANAGER_PATH, MANAGER, "StartTransientUnit", "ssa(sv)a(sa(sv))", [unit, "replace", values, []], fds
            )
            self._held.add(unit)  # by AddRef=
            async with asyncio.timeout(CALL_TIMEOUT_SEC):
                return await finished
        except TimeoutError:
            assert bus is not None, "the call has gone through it"
            raise _lost(bus, f"PID 1 did not finish starting {unit} in {CALL_TIMEOUT_SEC:.0f} s.") from None
        finally:
            del self._starts[unit]

    async def stop(self, unit: str) -> None:
        """Ask for the unit to be stopped; its end is announced by ``on_end``. Gone already is fine."""
        with _ignoring(NO_SUCH_UNIT):
            await self._call(MANAGER_PATH, MANAGER, "StopUnit", "ss", [unit, "replace"])

    async def thaw(self, unit: str) -> None:
        """Let a frozen unit go on. Raises SystemdError also when its slice is frozen, or it is not frozen any more."""
        await self._call(MANAGER_PATH, MANAGER, "ThawUnit", "s", [unit])

    async def change(self, unit: str, properties: Sequence[UnitProperty]) -> bool:
        """Set properties of a running unit, until it ends or the host reboots. False when it is gone.

        Raises WrongState when PID 1 was reloaded and could not read the unit again: then it runs on, and that is all.
        """
        values = [[name, Variant(signature, value)] for name, signature, value in properties]
        try:
            await self._call(MANAGER_PATH, MANAGER, "SetUnitProperties", "sba(sv)", [unit, True, values])
        except BusLost:
            raise
        except SystemdError as error:
            if error.name == NO_SUCH_UNIT:
                return False
            if await self._get_property(unit_path(unit), UNIT, "LoadState", None) not in UNREADABLE:
                raise
            raise WrongState(
                f"systemd was reloaded and cannot read {unit} again; until it ends its limits cannot be changed.",
                hint="'systemctl status' on the node says why; a command of 1 MiB, as systemd writes it, is too long.",
            ) from error
        return True

    async def hold(self, unit: str) -> None:
        """Keep the unit readable after its end, as AddRef= does at the start. Gone already is fine.

        PID 1 counts references: with two of one connection, ``release`` would leave one, and the unit loaded for ever.
        """
        if unit in self._held:
            return
        self._held.add(unit)  # at once, for another look at the same job may be on its way
        try:
            await self._call(unit_path(unit), UNIT, "Ref")
        except SystemdError as error:
            self._held.discard(unit)
            if error.name not in (NO_SUCH_UNIT, UNKNOWN_OBJECT):
                raise

    async def release(self, unit: str, *, failed: bool = True) -> None:
        """Let PID 1 forget an ended unit, also one that may have ``failed``."""
        # A failed unit stays loaded until it is reset; the reference goes either way.
        if failed:
            with _ignoring(NO_SUCH_UNIT):
                await self._call(MANAGER_PATH, MANAGER, "ResetFailedUnit", "s", [unit])
        self._held.discard(unit)
        with _ignoring(NO_SUCH_UNIT, UNKNOWN_OBJECT):
            try:
                await self._call(unit_path(unit), UNIT, "Unref")
            except SystemdError as error:
                if error.name != NOT_REFERENCED:
                    raise
                # It lost all references when the bus broke, and does not ask itself what it is kept for before it
                # loses another one.
                await self._call(unit_path(unit), UNIT, "Ref")
                await self._call(unit_path(unit), UNIT, "Unref")

    async def state(self, unit: str) -> str | None:
        """The unit's ActiveState, STARTING also while its start waits in PID 1's queue; None when it is not loaded."""
        load, active, job = await asyncio.gather(
            *(self._get_property(unit_path(unit), UNIT, name, None) for name in ("LoadState", "ActiveState", "Job"))
        )
        return None if load in (None, "not-found") else _state(active, job[0] if job else 0)

    async def listening(self, unit: str) -> list[str]:
        """The addresses that a socket unit listens on; empty when it does not."""
        if await self.state(unit) != "active":
            return []
        return [address for _, address in await self._get_property(unit_path(unit), SOCKET, "Listen", [])]

    async def has_ended(self, unit: str) -> bool:
        """Whether the unit has no processes (any more), or is not even loaded."""
        return await self.state(unit) in (None, *ENDED)

    async def states(self) -> dict[str, str]:
        """All loaded units of our pattern, with their ``state``."""
        reply = await self._call(MANAGER_PATH, MANAGER, "ListUnitsByPatterns", "asas", [[], [self._pattern]])
        return {entry[0]: _state(entry[3], entry[7]) for entry in reply[0]}

    async def result(self, unit: str, controllers: Collection[str]) -> UnitResult | None:
        """How the unit ended, or ``None`` when PID 1 has forgotten it. ``controllers`` are the host's."""
        counted = [name for name, controller in COUNTERS.items() if not controller or controller in controllers]
        # All at once, and no more than needed: GetAll would have PID 1 collect some 400 properties.
        result, code, status, *values = await asyncio.gather(
            *(
                self._get_property(unit_path(unit), SERVICE, name, None)
                for name in ("Result", "ExecMainCode", "ExecMainStatus", *counted)
            ),
        )
        # Of a unit that it does not know PID 1 says the same as of one that never ran anything.
        if not code and await self._get_property(unit_path(unit), UNIT, "LoadState", None) in (None, "not-found"):
            return None
        counters = dict(zip(counted, map(_counter, values), strict=True))
        cpu, memory, read, write, ip_in, ip_out = map(counters.get, COUNTERS)
        active = await self._active_usec(unit) if result == "timeout" else 0
        return UnitResult(
            *(str(result or ""), int(code or 0), int(status or 0), cpu, memory, read, write, active, ip_in, ip_out)
        )

    async def _active_usec(self, unit: str) -> int:
        entered, left = await asyncio.gather(
            *(
                self._get_property(unit_path(unit), UNIT, f"Active{name}TimestampMonotonic", 0)
                for name in ("Enter", "Exit")
            )
        )
        return int(max(0, left - entered))

    async def traffic(self, unit: str) -> tuple[int | None, int | None]:
        """The bytes of IP packets that a unit has received and sent; None where the host keeps no account."""
        received, sent = await asyncio.gather(
            *(self._get_property(unit_path(unit), SERVICE, f"IP{way}Bytes", None) for way in ("Ingress", "Egress"))
        )
        return _counter(received), _counter(sent)

    async def _get_property(self, path: str, interface: str, name: str, *default: Any) -> Any:
        try:
            return (await self._call(path, PROPERTIES, "Get", "ss", [interface, name]))[0].value
        except SystemdError as error:
            # 252 has no MemoryPeak; a unit may be unloaded between two calls.
            if default and error.name.startswith(("org.freedesktop.DBus.Error.Unknown", NO_SUCH_UNIT)):
                return default[0]
            raise

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SEC):
                bus = await _Bus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
        except Exception as error:  # dbus-fast raises whatever the socket or the handshake did
            raise SystemdError(
                f"The system bus cannot be reached: {str(error) or type(error).__name__}.",
                hint="Is systemd PID 1 and dbus.socket active on this host?",
            ) from error
        bus.add_message_handler(functools.partial(self._on_message, bus))
        try:
            for rule in MATCH_RULES:
                await self._call_on(bus, BUS, "/org/freedesktop/DBus", BUS, "AddMatch", "s", [rule])
            await self._call_on(bus, DESTINATION, MANAGER_PATH, MANAGER, "Subscribe")
        except SystemdError:
            bus.disconnect()
            raise
        # Not before: a unit that is started on it would be announced to nobody.
        self._bus = bus
        self._held = set()  # what the connection before had PID 1 has dropped with it

    async def _keep_connected(self) -> None:
        while True:
            assert self._bus is not None
            with contextlib.suppress(Exception):  # whatever ended it, the answer is to connect again
                await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
            log.warning("the connection to the system bus was lost; connecting again")
            lost = BusLost("The connection to the system bus was lost.")
            for waiter in self._starts.values():
                if not waiter.done():
                    waiter.set_exception(lost)
            while True:
                await asyncio.sleep(RECONNECT_SEC)
                try:
                    await self._open()
                    break
                except SystemdError as error:
                    log.warning("%s", error)
            log.info("connected to the system bus again")
            self._on_reconnect()

    async def _call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Iterable[Any] = (),
        fds: Iterable[int] = (),
    ) -> list[Any]:
        async with self._pending:
            if self._bus is None or not self._bus.connected:
                raise NotSent("The system bus is not connected.", hint="Try again in a moment.")
            return await self._call_on(self._bus, DESTINATION, path, interface, member, signature, body, fds)

    async def _call_on(
        self,
        bus: MessageBus,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Iterable[Any] = (),
        fds: Iterable[int] = (),
    ) -> list[Any]:
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
            unix_fds=list(fds),
        )
        try:
            async with asyncio.timeout(CALL_TIMEOUT_SEC):
                reply = await bus.call(message)
        except TimeoutError:
            raise _lost(bus, f"PID 1 did not answer {member} in {CALL_TIMEOUT_SEC:.0f} s.") from None
        except (DBusError, OSError, EOFError) as error:
            raise _lost(bus, f"{member} failed: {str(error) or 'the connection was closed'}.") from error
        if reply is None:
            raise _lost(bus, f"{member} got no reply.")
        if reply.message_type is MessageType.ERROR:
            text, name = str(reply.body[0]) if reply.body else "", str(reply.error_name)
            if name.startswith(ABSENT):
                kind = NotSent if name in NO_OWNER else BusLost
                raise _lost(bus, f"PID 1 is not on the system bus: {text}", kind)
            raise SystemdError(f"PID 1 refused {member}: {text}", name=name)
        return list(reply.body)

    def _on_message(self, bus: MessageBus, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged":
            # It does not know any more who has subscribed, and may have done things meanwhile.
            log.warning("PID 1 has left the system bus or come back to it")
            bus.disconnect()
            return
        if message.member == "JobRemoved" and message.interface == MANAGER:
            _, _, unit, result = message.body
            waiter = self._starts.get(unit)
            if waiter and not waiter.done():
                waiter.set_result(result)
            elif result == FROZEN and unit.startswith(self._prefix):
                self._on_refusal(unit)
        elif message.member == "PropertiesChanged" and str(message.path).startswith(self._paths):
            changed = message.body[1]
            if "ActiveState" in changed and (state := changed["ActiveState"].value) in ENDED:
                unit = unescape(str(message.path).rpartition("/")[2])
                # A new unit is announced as inactive before it is activated; its end comes after JobRemoved.
                if unit not in self._starts or self._starts[unit].done():
                    self._on_end(unit, state == FAILED)


# A unit is spoken of some ten times between its start and its end.
@functools.lru_cache(maxsize=1024)
def escape(name: str) -> str:
    """A unit name as a D-Bus path element: every other byte than a letter or digit becomes ``_xx``."""
    return re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found.group()):02x}", name)


@functools.lru_cache(maxsize=1024)
def unescape(element: str) -> str:
    """The unit name in a D-Bus path element."""
    return re.sub(r"_([0-9a-f]{2})", lambda found: chr(int(found.group(1), 16)), element)


def unit_path(unit: str) -> str:
    """The D-Bus object path of a unit."""
    return f"{UNIT_PATHS}/{escape(unit)}"


class _Bus(MessageBus):
    def send(self, msg: Message) -> asyncio.Future[Any]:  # type: ignore[override] # as MessageBus, not as its base
        """dbus-fast itself drops this future, which asyncio would tell with a traceback when the bus goes away."""
        sent = super().send(msg)
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        return sent

    async def _auth_readline(self) -> str:
        """dbus-fast before 5 reads on for ever, and lets nothing else run, when the bus goes away in the handshake."""
        assert self._sock is not None, "it is connected"
        line = b""
        while not line.endswith(b"\r\n"):
            received = await asyncio.get_running_loop().sock_recv(self._sock, 1024)
            if not received:
                raise EOFError("it closed the connection")
            line += received
        return line[:-2].decode()


def _lost(bus: MessageBus, what: str, kind: type[BusLost] = BusLost) -> BusLost:
    """A connection on which PID 1 does not answer is as good as none: connect again and look."""
    bus.disconnect()
    return kind(what)


def _counter(value: int | None) -> int | None:
    return None if value in (None, UNSET) else value


def _state(active: str, job: int) -> str:
    return STARTING if active in ENDED and job else active


class _Text(str):
    """A string as long as its UTF-8 form, which dbus-fast before 1.86 (Debian 12) takes for its length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self.encode())


def _sized(value: Any) -> Any:
    """The same value with every string that is not ASCII as a _Text."""
    if isinstance(value, list):
        return [_sized(item) for item in value]
    return _Text(value) if isinstance(value, str) and not value.isascii() else value


@contextlib.contextmanager
def _ignoring(*names: str) -> Iterator[None]:
    try:
        yield
    except SystemdError as error:
        if error.name not in names:
            raise

"""The gRPC server: TLS 1.3 with client certificates, a role check before every method, one place for errors."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# gRPC gives no way to ask for TLS 1.3 alone. This list is for TLS 1.2 and older (1.3 has its own): with
# RSA suites only and an ECDSA server key nothing is left for them to agree on. Read at import.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from joblet_wire import joblet_pb2

from .. import audit
from ..errors import Denied, JobletError, Unimplemented
from ..identity import Identity, Leaf, Role
from ..model import Actor
from .access import LEAST_ROLE
from .admission import Admission, leaf_in
from .bounds import MAX_REQUEST_BYTES, WINDOW_BYTES, Bounds
from .tls import Keys

log = logging.getLogger(__name__)

MAX_STREAMS_PER_CONNECTION = 1000
MAX_DETAILS_BYTES = 2000
UNDO_SEC = 6.0  # for all calls that are cut off; less than TimeoutStopSec= of joblet.service
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
    # rnx asks every minute whether a quiet log stream is alive; gRPC's default would take that for abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    # And the other way round: a client that is cut off must not keep its streams, and what they hold, for ever.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A connection that says nothing, or not all that TLS and HTTP/2 begin with, is closed.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # One without calls is closed, too; clients connect again when they have one.
    ("grpc.max_connection_idle_ms", 600_000),
    # gRPC would let clients with a fast network send more ahead of what is read.
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
    ("grpc.http2.bdp_probe", 0),
)

NO_SOCKET = "Is the file system full, or was the directory removed? 'systemctl restart joblet.service' makes it."

# rnx, which cannot read certificates, tells its user of the end of his when it is nearer than this.
NEAR_END = datetime.timedelta(days=30)
EXPIRES_KEY = "joblet-certificate-expires"

# An ``async def`` from request (where the client streams, an async iterator of requests) and caller to the
# response, serialized already if it likes, or an async generator of responses.
Implementation = Callable[[Any, "Caller"], Any]


@dataclass
class Caller:
    """Who makes a call. An implementation sets ``job`` when neither request nor response names it for the audit.

    What is entered into ``held`` is kept until the call is over, its last byte sent.
    """

    identity: Identity
    job: str = ""
    asked: str = ""  # what the request calls it
    held: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    @property
    def name(self) -> str:
        """The certificate's CN."""
        return self.identity.name

    @property
    def role(self) -> Role:
        """The certificate's role."""
        return self.identity.role

    @property
    def actor(self) -> Actor:
        """The caller as the owner of jobs: from maintainer on it may act on those of others."""
        return Actor(self.name, self.role >= Role.MAINTAINER)

    @property
    def account(self) -> str:
        """The Unix account of its jobs."""
        return self.identity.account


class Server:
    """Serves the wire contract on a UNIX socket of its own; ``listener`` brings the connections there.

    From ``start`` to ``stop``, one after the other as often as one likes (``ondemand``).

    ``methods`` maps ``Service/Method`` to its implementation; methods of the contract that are not in it
    answer UNIMPLEMENTED.
    """

    def __init__(self, methods: Mapping[str, Implementation], socket_path: Path, keys: Keys, admission: Admission):
        self._address = f"unix:{socket_path}"
        self._keys = keys
        self._server: grpc.aio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()
        bounds = Bounds()
        self._handlers = []
        for service in joblet_pb2.DESCRIPTOR.services_by_name.values():
            handlers = {}
            for method in service.methods:
                name = f"{service.name}/{method.name}"
                answer = functools.partial(_answer, bounds, admission, method, methods.get(name))
                # On the wire a call with one request is one that streams a single one. Taken for that, gRPC leaves it
                # to us when a request is read, and after whose admission.
                handlers[method.name] = grpc.stream_stream_rpc_method_handler(self._noted(answer))
            self._handlers.append(grpc.method_handlers_generic_handler(service.full_name, handlers))

    async def start(self) -> None:
        """Begin to answer. Raises JobletError when the socket cannot be made."""
        server = grpc.aio.server(handlers=self._handlers, options=OPTIONS)
        try:
            server.add_secure_port(self._address, self._keys.credentials())
        except RuntimeError as error:
            raise JobletError(f"gRPC cannot listen on {self._address}: {error}.", hint=NO_SOCKET) from error
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """End all calls: clients connect again to whoever listens next. With it gRPC's threads end."""
        server, self._server = self._server, None
        if server is None:
            return
        await server.stop(grace=0.5)
        # They are cancelled by then; what they have to undo needs what the daemon closes next.
        if self._calls:
            await asyncio.wait(self._calls, timeout=UNDO_SEC)

    def _noted(self, answer: Callable[[Any, Any], Awaitable[None]]) -> Callable[[Any, Any], Awaitable[None]]:
        """The same, and ``stop`` knows of it."""

        async def noted(request: Any, context: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._calls.add(task)
            try:
                await answer(request, context)
            finally:
                self._calls.discard(task)

        return noted


async def _answer(
    bounds: Bounds,
    admission: Admission,
    method: MethodDescriptor,
    implementation: Implementation | None,
    _: Any,
    context: Any,
) -> None:
    name = f"{method.containing_service.name}/{method.name}"
    async with _edge(bounds, admission, name, context) as caller:
        found = _found(name, implementation)
        parse = getattr(joblet_pb2, method.input_type.name).FromString
        if method.client_streaming:
            await _respond(method, found, bounds.requests(parse, context), caller, context)
        else:
            async with bounds.request(name, caller.name, parse, context) as request:
                caller.asked = getattr(request, "uuid", "")
                await _respond(method, found, request, caller, context)


async def _respond(
    method: MethodDescriptor, implementation: Implementation, request: Any, caller: Caller, context: Any
) -> None:
    if method.server_streaming:
        responses: AsyncGenerator[Message, None] = implementation(request, caller)
        async with contextlib.aclosing(responses):
            async for message in responses:
                await context.write(message.SerializeToString())
    else:
        response: Message | bytes = await implementation(request, caller)
        # The whole id of a job, of which the request may have had the beginning only.
        caller.job = caller.job or getattr(response, "job_uuid", "") or getattr(response, "uuid", "")
        await context.write(response if isinstance(response, bytes) else response.SerializeToString())


@contextlib.asynccontextmanager
async def _edge(bounds: Bounds, admission: Admission, name: str, context: Any) -> AsyncIterator[Caller]:
    """Admit the caller, and turn whatever goes wrong into a status, logged once."""
    line = AuditLine(name)
    try:
        line.leaf = leaf = leaf_in(context)
        _tell_of_its_end(leaf, context)
        admission.admit(name, leaf)
        with bounds.call(leaf.identity.name):
            async with admission.while_good(leaf), contextlib.AsyncExitStack() as held:
                line.caller = caller = Caller(leaf.identity, held=held)
                yield caller
        line.write("done")
    except JobletError as error:
        line.write(f"{error.grpc_status}: {error}", denied=isinstance(error, Denied))
        await context.abort(grpc.StatusCode[error.grpc_status], _details(error))
    except grpc.aio.AbortError:
        raise
    except (asyncio.CancelledError, GeneratorExit):
        # The client went away, or this daemon does. What had begun may be done all the same.
        line.write("broken off")
        raise
    except grpc.aio.InternalError:
        # The same in the middle of an answer, as grpcio puts it.
        line.write("broken off")
    except Exception as error:
        log.exception("%s failed", name)
        line.write(f"INTERNAL: {type(error).__name__}")
        await context.abort(
            grpc.StatusCode.INTERNAL, "The daemon failed; 'journalctl -u joblet' on the host tells more. This is a bug."
        )


def _details(error: JobletError) -> str:
    """What the client is told, short enough for the headers that clients accept."""
    return str(error).encode(errors="replace")[:MAX_DETAILS_BYTES].decode(errors="ignore")


@dataclass
class AuditLine:
    """What the audit is told of a call: all that change something, and all denials."""

    name: str
    leaf: Leaf | None = None
    caller: Caller | None = None

    def write(self, outcome: str, *, denied: bool = False) -> None:
        """Say how it ended."""
        if not denied and LEAST_ROLE[self.name] <= Role.READER:
            return
        who, serial = (self.leaf.identity.name, self.leaf.serial) if self.leaf else ("unknown", "")
        job = (self.caller.job or self.caller.asked) if self.caller else ""
        audit.record(who, self.name, job, outcome, serial=serial, notice=denied)


def _tell_of_its_end(leaf: Leaf, context: Any) -> None:
    if leaf.end - datetime.datetime.now(datetime.UTC) < NEAR_END:
        end = leaf.end.isoformat(timespec="seconds").replace("+00:00", "Z")
        context.set_trailing_metadata(((EXPIRES_KEY, end),))


def _found(name: str, implementation: Implementation | None) -> Implementation:
    if implementation is None:
        raise Unimplemented(f"This joblet does not have {name.partition('/')[2]} yet.")
    return implementation

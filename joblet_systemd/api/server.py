"""The gRPC server: TLS 1.3 with client certificates, a role check before every method, one place for errors."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
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
from ..model import Actor
from ..pki import Identity, Leaf, Role
from .access import LEAST_ROLE
from .admission import Admission, leaf_in
from .tls import Keys

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 128 << 20
MAX_STREAMS_PER_CONNECTION = 1000
OPTIONS = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
    # rnx asks every minute whether a quiet log stream is alive; gRPC's default would take that for abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    # And the other way round: a client that is cut off must not keep its streams, and what they hold, for ever.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
)

# rnx, which cannot read certificates, tells its user of the end of his when it is nearer than this.
NEAR_END = datetime.timedelta(days=30)
EXPIRES_KEY = "joblet-certificate-expires"

# An ``async def`` from request (where the client streams, an async iterator of requests) and caller to the
# response, or to an async iterator of responses.
Implementation = Callable[[Any, "Caller"], Any]


@dataclass
class Caller:
    """Who makes a call. An implementation sets ``job`` when neither request nor response names it for the audit."""

    identity: Identity
    job: str = ""

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

    ``methods`` maps ``Service/Method`` to its implementation; methods of the contract that are not in it
    answer UNIMPLEMENTED.
    """

    def __init__(self, methods: Mapping[str, Implementation], socket_path: Path, keys: Keys, admission: Admission):
        self._server = grpc.aio.server(options=OPTIONS)
        self._admission = admission
        self._watch: asyncio.Task[None] | None = None
        for service in joblet_pb2.DESCRIPTOR.services_by_name.values():
            handlers = {}
            for method in service.methods:
                name = f"{service.name}/{method.name}"
                handlers[method.name] = _handler(admission, method, name, methods.get(name))
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
        self._server.add_secure_port(f"unix:{socket_path}", keys.credentials())

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()
        self._watch = asyncio.create_task(self._admission.watch())

    async def stop(self) -> None:
        """End all calls: clients connect again to whoever listens next."""
        if self._watch is not None:
            self._watch.cancel()
        await self._server.stop(grace=0.5)


def _handler(admission: Admission, method: MethodDescriptor, name: str, implementation: Implementation | None) -> Any:
    codec = {
        "request_deserializer": getattr(joblet_pb2, method.input_type.name).FromString,
        "response_serializer": getattr(joblet_pb2, method.output_type.name).SerializeToString,
    }
    answer = functools.partial(_stream if method.server_streaming else _unary, admission, name, implementation)
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return make[method.client_streaming, method.server_streaming](answer, **codec)


async def _unary(
    admission: Admission, name: str, implementation: Implementation | None, request: Any, context: Any
) -> Message:
    async with _edge(admission, name, request, context) as caller:
        response: Message = await _found(name, implementation)(request, caller)
        # The whole id of a job, of which the request may have had the beginning only.
        caller.job = caller.job or getattr(response, "job_uuid", "") or getattr(response, "uuid", "")
        return response
    raise AssertionError("the edge aborts the call, which raises")


async def _stream(
    admission: Admission, name: str, implementation: Implementation | None, request: Any, context: Any
) -> AsyncIterator[Message]:
    async with _edge(admission, name, request, context) as caller:
        async for message in _found(name, implementation)(request, caller):
            yield message


@contextlib.asynccontextmanager
async def _edge(admission: Admission, name: str, request: Any, context: Any) -> AsyncIterator[Caller]:
    """Admit the caller, and turn whatever goes wrong into a status, logged once."""
    line = _Line(name, getattr(request, "uuid", ""))
    try:
        line.leaf = leaf = leaf_in(context)
        _tell_of_its_end(leaf, context)
        admission.admit(name, leaf)
        async with admission.while_good(leaf):
            line.caller = caller = Caller(leaf.identity)
            yield caller
        line.write("done")
    except JobletError as error:
        line.write(f"{error.grpc_status}: {error}", denied=isinstance(error, Denied))
        await context.abort(grpc.StatusCode[error.grpc_status], str(error))
    except grpc.aio.AbortError:
        raise
    except (asyncio.CancelledError, GeneratorExit):
        # The client went away, or this daemon does. What had begun may be done all the same.
        line.write("broken off")
        raise
    except Exception as error:
        log.exception("%s failed", name)
        line.write(f"INTERNAL: {type(error).__name__}")
        await context.abort(
            grpc.StatusCode.INTERNAL, "The daemon failed; 'journalctl -u joblet' on the host tells more. This is a bug."
        )


@dataclass
class _Line:
    """What the audit is told of a call: all that change something, and all denials."""

    name: str
    job: str
    leaf: Leaf | None = None
    caller: Caller | None = None

    def write(self, outcome: str, *, denied: bool = False) -> None:
        if not denied and LEAST_ROLE[self.name] <= Role.READER:
            return
        who, serial = (self.leaf.identity.name, self.leaf.serial) if self.leaf else ("unknown", "")
        job = (self.caller.job if self.caller else "") or self.job
        audit.record(who, self.name, job, outcome, serial=serial, notice=denied)


def _tell_of_its_end(leaf: Leaf, context: Any) -> None:
    if leaf.end - datetime.datetime.now(datetime.UTC) < NEAR_END:
        end = leaf.end.isoformat(timespec="seconds").replace("+00:00", "Z")
        context.set_trailing_metadata(((EXPIRES_KEY, end),))


def _found(name: str, implementation: Implementation | None) -> Implementation:
    if implementation is None:
        raise Unimplemented(f"This joblet does not have {name.partition('/')[2]} yet.")
    return implementation

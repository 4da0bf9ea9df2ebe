"""The gRPC server: TLS 1.3 with client certificates, a role check before every method, one place for errors."""

from __future__ import annotations

import contextlib
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

from ..errors import Denied, JobletError, Unimplemented
from ..pki import Identity, Role, identity_of
from .access import LEAST_ROLE

log = logging.getLogger(__name__)
audit = logging.getLogger("joblet.audit")

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
    def account(self) -> str:
        """The Unix account of its jobs."""
        return self.identity.account


class Server:
    """Serves the wire contract on a UNIX socket of its own; ``listener`` brings the connections there.

    ``methods`` maps ``Service/Method`` to its implementation; methods of the contract that are not in it
    answer UNIMPLEMENTED.
    """

    def __init__(
        self, methods: Mapping[str, Implementation], socket_path: Path, key: bytes, certificate: bytes, ca: bytes
    ):
        self._server = grpc.aio.server(options=OPTIONS)
        credentials = grpc.ssl_server_credentials([(key, certificate)], root_certificates=ca, require_client_auth=True)
        for service in joblet_pb2.DESCRIPTOR.services_by_name.values():
            handlers = {}
            for method in service.methods:
                name = f"{service.name}/{method.name}"
                handlers[method.name] = _handler(method, name, methods.get(name))
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
        self._server.add_secure_port(f"unix:{socket_path}", credentials)

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    async def stop(self) -> None:
        """End all calls: clients connect again to whoever listens next."""
        await self._server.stop(grace=0.5)


def _handler(method: MethodDescriptor, name: str, implementation: Implementation | None) -> Any:
    codec = {
        "request_deserializer": getattr(joblet_pb2, method.input_type.name).FromString,
        "response_serializer": getattr(joblet_pb2, method.output_type.name).SerializeToString,
    }
    answer = functools.partial(_stream if method.server_streaming else _unary, name, implementation)
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return make[method.client_streaming, method.server_streaming](answer, **codec)


async def _unary(name: str, implementation: Implementation | None, request: Any, context: Any) -> Message:
    async with _edge(name, request, context) as caller:
        response: Message = await _found(name, implementation)(request, caller)
        caller.job = caller.job or getattr(response, "job_uuid", "")
        return response
    raise AssertionError("the edge aborts the call, which raises")


async def _stream(
    name: str, implementation: Implementation | None, request: Any, context: Any
) -> AsyncIterator[Message]:
    async with _edge(name, request, context) as caller:
        async for message in _found(name, implementation)(request, caller):
            yield message


@contextlib.asynccontextmanager
async def _edge(name: str, request: Any, context: Any) -> AsyncIterator[Caller]:
    """Admit the caller, and turn whatever goes wrong into a status, logged once."""
    who, job, changes = "unknown", getattr(request, "uuid", ""), LEAST_ROLE[name] > Role.READER
    try:
        caller = Caller(_identity_in(context))
        who = caller.name
        _admit(name, caller)
        try:
            yield caller
        finally:
            job = caller.job or job
        if changes:
            _audit(name, who, job, "done")
    except JobletError as error:
        if changes or isinstance(error, Denied):
            _audit(name, who, job, f"{error.grpc_status}: {error}")
        await context.abort(grpc.StatusCode[error.grpc_status], str(error))
    except grpc.aio.AbortError:
        raise
    except Exception:
        log.exception("%s failed", name)
        await context.abort(
            grpc.StatusCode.INTERNAL, "The daemon failed; 'journalctl -u joblet' on the host tells more. This is a bug."
        )


def _identity_in(context: Any) -> Identity:
    pem = context.auth_context().get("x509_pem_cert", [b""])[0]
    return _identity(bytes(pem))


@functools.lru_cache(maxsize=256)
def _identity(pem: bytes) -> Identity:
    return identity_of(pem)


def _admit(name: str, caller: Caller) -> None:
    least = LEAST_ROLE[name]
    if caller.role < least:
        raise Denied(
            f"{name.partition('/')[2]} needs the role {least.name.lower()}; "
            f"the certificate of {caller.name!r} has the role {caller.role.name.lower()}.",
            hint="Use the node of another role in rnx-config.yml (--node).",
        )


def _found(name: str, implementation: Implementation | None) -> Implementation:
    if implementation is None:
        raise Unimplemented(f"This joblet does not have {name.partition('/')[2]} yet.")
    return implementation


def _audit(name: str, who: str, job: str, outcome: str) -> None:
    audit.info("who=%s what=%s job=%s outcome=%s", who, name, _one_line(job) or "-", _one_line(outcome))


def _one_line(text: str) -> str:
    """Text of a client's as one line of printable characters, bounded."""
    return "".join(character if character.isprintable() else "?" for character in text[:500])

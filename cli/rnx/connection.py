"""The connection to a node. Importing this loads gRPC, which takes longer than all else rnx does."""

# ruff: noqa: PLC0415 - some things are imported when the connection is being made already, or has failed

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

# gRPC's own log lines are no help to users; must be set before the import.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from .sparing import put_off

with put_off("asyncio", "grpc.aio"):
    import grpc

from . import output
from .command import Settings
from .config import SERVER_NAME, Node, load
from .errors import DENIED, FAILURE, NOT_FOUND, REPEAT_SECONDS, UNREACHABLE, USAGE, Passing, RnxError

CONNECT_TIMEOUT_MS = 10_000
ANSWER_TIMEOUT = 60.0  # seconds, for calls that should be answered at once
RECONNECT_TIMEOUT = 60.0
NEXT_TRY_SECONDS = 3.0  # for gRPC to connect once more: its longest pause before that, and the handshake

# What a call ends with when the daemon goes away under it, rather than answering.
BROKEN = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})

# What gRPC says first of a call for which it had no connection, so that nothing of it was sent.
NEVER_SENT = "failed to connect to all addresses"

# Behind an answer, when the certificate of whoever asked ends in less than a month.
EXPIRES_KEY = "joblet-certificate-expires"

EXIT_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: USAGE,
    grpc.StatusCode.OUT_OF_RANGE: USAGE,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED: DENIED,
    grpc.StatusCode.UNAUTHENTICATED: DENIED,
    grpc.StatusCode.UNAVAILABLE: UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: UNREACHABLE,
}

OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.ssl_target_name_override", SERVER_NAME),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A node that is cut off sends nothing, not even an end: ask for a sign of life every minute.
    # Not more often: servers answer that with ENHANCE_YOUR_CALM.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # One attempt to connect takes this long at most. It is named after its other meaning.
    ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


Request = TypeVar("Request")
Response = TypeVar("Response")


class Connection:
    """A channel to ``node``, which connects at once. ``jobs`` and ``monitoring`` are stubs."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.quiet = False  # nothing may be told on stderr: JSON is to come there
        self._end_noted = False  # whether the user has been told of the end of his certificate
        credentials = grpc.ssl_channel_credentials(node.ca.encode(), node.key.encode(), node.cert.encode())
        options = list(OPTIONS)
        if node.is_loopback:
            # gRPC would send even this through the proxy that http_proxy names.
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = grpc.secure_channel(node.address, credentials, options)
        _begin(self._channel)
        # Loaded while gRPC and the node shake hands.
        from joblet_wire import joblet_pb2_grpc

        self.jobs = joblet_pb2_grpc.JobServiceStub(self._channel)
        self.monitoring = joblet_pb2_grpc.MonitoringServiceStub(self._channel)

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        what: str,
        timeout: float | None = ANSWER_TIMEOUT,
        *,
        harmless: bool = False,
    ) -> Response:
        """Make one call, saying that rnx waits for ``what`` if it takes long.

        ``timeout`` is in seconds; without one, only a node that shows no sign of life ends the call. ``harmless`` is
        whether it may be carried out twice. Raises RnxError.
        """

        def attempt() -> tuple[Response, grpc.Call]:
            with output.waiting(f"{what} (node '{self.node.name}', {self.node.address})"):
                return method.with_call(request, timeout=timeout)

        try:
            response, done = self.repeated(attempt, harmless=harmless)
        except grpc.RpcError as error:
            self._note_end(error)
            raise self.explained(error) from error
        self._note_end(done)
        return response

    def repeated(self, attempt: Callable[[], Response], *, harmless: bool) -> Response:
        """What ``attempt`` returns, which is made again for a few seconds while the connection breaks.

        Not if it may have been carried out, unless it is ``harmless`` to do so twice. Raises RnxError when it comes to
        nothing, grpc.RpcError for what the node answers.
        """
        until, number = 0.0, 0
        with contextlib.ExitStack() as told:
            while True:
                try:
                    return attempt()
                except grpc.RpcError as error:
                    if error.code() not in BROKEN:
                        raise
                    found = self.explained(error)
                    if found.exit_code != UNREACHABLE and not isinstance(found, Passing):
                        raise found from error
                    if not harmless and not (error.details() or "").startswith(NEVER_SENT):
                        not_known = "Whether it was carried out is not known: 'rnx job list' may tell."
                        raise RnxError(f"{found} {not_known}", found.exit_code) from error
                    until = until or time.monotonic() + REPEAT_SECONDS
                    if not isinstance(found, Passing) or time.monotonic() >= until:
                        raise found from error
                number += 1
                if number == 1:
                    told.enter_context(self._waiting())
                self._is_back(number, max(until - time.monotonic(), NEXT_TRY_SECONDS))

    def _note_end(self, call: Any) -> None:
        """Tell once, on stderr, that the certificate ends soon, if the node says so."""
        told = dict(call.trailing_metadata() or ()).get(EXPIRES_KEY, "")
        end = output.parsed_time(str(told))
        if end is None or self._end_noted or self.quiet:
            return
        self._end_noted = True
        days = (end - datetime.datetime.now(datetime.UTC)).days
        left = f"in {days} days" if days > 1 else "in 1 day" if days == 1 else "within a day"
        output.note(
            f"the certificate of node '{self.node.name}' ends {left}, on {output.local_time(str(told))};"
            " 'jobletd cert renew' on the node makes another."
        )

    def explained(self, error: grpc.RpcError) -> RnxError:
        """The failure of a call as the user gets to see it."""
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            from .diagnose import diagnose

            return diagnose(self.node, details)
        if code is grpc.StatusCode.CANCELLED:
            return Passing(f"node '{self.node.name}' ({self.node.address}) broke the call off.", UNREACHABLE)
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            details = f"node '{self.node.name}' ({self.node.address}) took the call and did not answer in time."
        elif code is grpc.StatusCode.UNIMPLEMENTED:
            details = f"node '{self.node.name}' does not offer this; its version is another one. {details}"
        return RnxError(details or code.name, EXIT_CODES.get(code, FAILURE))

    def reconnect(self, attempt: int) -> None:
        """Wait, with a pause that grows with ``attempt``, until the node can be reached again.

        Raises RnxError if it cannot within a minute.
        """
        with self._waiting():
            if not self._is_back(attempt, RECONNECT_TIMEOUT):
                from .diagnose import diagnose

                raise diagnose(self.node, f"not back after {RECONNECT_TIMEOUT:.0f} s")

    def _is_back(self, attempt: int, seconds: float) -> bool:
        time.sleep(min(0.05 * 2**attempt, 5.0))
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(seconds)
        except grpc.FutureTimeoutError:
            return False
        finally:
            ready.cancel()
        return True

    def _waiting(self) -> contextlib.AbstractContextManager[None]:
        what = f"node '{self.node.name}' ({self.node.address}): the connection broke; jobs are not affected"
        return output.waiting(what, always=not self.quiet)


def connect(settings: Settings) -> Connection:
    """The connection to the node that the global options choose."""
    return Connection(load(settings.config).select(settings.node))


def _begin(channel: grpc.Channel) -> None:
    """Have gRPC connect now, not at the first call."""

    def seen(state: grpc.ChannelConnectivity) -> None:
        if state is grpc.ChannelConnectivity.READY:
            channel.unsubscribe(seen)

    channel.subscribe(seen, try_to_connect=True)

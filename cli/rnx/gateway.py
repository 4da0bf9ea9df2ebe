"""A node's HTTP interface, as reached with the client's certificate."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import Any

from .config import SERVER_NAME, Node
from .diagnose import client_context, unreachable
from .errors import DENIED, FAILURE, REPEAT_SECONDS, UNREACHABLE, Passing, RnxError

CONNECT_SECONDS = 10.0
# Streams show a sign of life every 15 s; a stop is answered when the job has ended.
SILENCE_SECONDS = 120.0


class Gateway:
    """Makes connections to the HTTP interface of ``node``. Raises RnxError if its keys are unusable."""

    def __init__(self, node: Node) -> None:
        self.node = node.at_gateway()
        self._context = client_context(self.node, "http/1.1")

    def connection(self) -> http.client.HTTPConnection:
        """A connection, made by its first request."""
        host, port = self.node.reached_at
        return _Connection(host, port, self._context)

    def whoami(self) -> dict[str, Any]:
        """Who the node says that we are, asked again for a few seconds while it restarts. Raises RnxError."""
        until = time.monotonic() + REPEAT_SECONDS
        while True:
            try:
                return self._whoami()
            except Passing:
                if time.monotonic() >= until:
                    raise
            time.sleep(0.2)

    def _whoami(self) -> dict[str, Any]:
        connection = self.connection()
        try:
            connection.request("GET", "/v1/whoami", headers={"Accept": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read(1 << 20))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self.explained(error) from None
        finally:
            connection.close()
        if not isinstance(answer, dict):
            raise self.explained(ValueError("no object"))
        if response.status != http.client.OK:
            told = f"{answer.get('detail') or response.reason} {answer.get('hint') or ''}".strip()
            raise RnxError(told, DENIED if response.status == http.client.FORBIDDEN else FAILURE)
        return answer

    def explained(self, error: Exception) -> RnxError:
        """What to tell of a request that failed."""
        subject = f"the HTTP interface of node '{self.node.name}' ({self.node.address})"
        match error:
            case ConnectionRefusedError():
                return RnxError(
                    f"nothing listens at {subject}. As shipped it can be reached from the node itself only;"
                    " joblet-http.socket there tells how to open it, and 'gateway' in rnx-config.yml where it is.",
                    UNREACHABLE,
                )
            case ConnectionResetError() | ssl.SSLEOFError():
                return Passing(f"{subject} closed the connection: it is restarting, perhaps.", UNREACHABLE)
            case OSError():
                return unreachable(self.node, error)
        return RnxError(f"{subject} does not answer as one: {type(error).__name__}.", UNREACHABLE)


class _Connection(http.client.HTTPConnection):
    """HTTPSConnection, but that it expects the server to have the name of all Joblet servers."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS)
        self._context = context

    def connect(self) -> None:
        super().connect()
        try:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=SERVER_NAME)
        except OSError:
            self.close()
            raise
        self.sock.settimeout(SILENCE_SECONDS)

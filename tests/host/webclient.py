"""A client of a host's HTTP interface, with the certificates of the client's configuration."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients import node
from hosts import Host

PORT = 50052
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    """An answer, whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    name: str
    id: str
    data: Any


class Web:
    """The HTTP interface of a host, as seen with the certificate of a node; ``directory`` is for its key.

    ``found`` is a node that the host's own configuration does not have.
    """

    def __init__(self, host: Host, directory: Path, role: str = "default", found: dict[str, str] | None = None) -> None:
        found = found or node(host, role)
        self.address = (found["address"].rpartition(":")[0], PORT)
        self.file = directory / f"{role}.pem"
        self.file.touch(mode=0o600)
        self.file.write_text(found["key"] + found["cert"])
        self.key = found["key"]
        self.ca = directory / "ca.pem"
        self.ca.write_text(found["ca"])
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(cadata=found["ca"])
        self.context.load_cert_chain(self.file)

    def connect(self, *, receive_buffer: int = 0) -> ssl.SSLSocket:
        """A connection; with a receive buffer of that size, in bytes."""
        plain = socket.socket()
        plain.settimeout(30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as http.client does
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            plain.connect(self.address)
            return self.context.wrap_socket(plain, server_hostname="joblet")
        except OSError:
            plain.close()
            raise

    def open(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, receive_buffer: int = 0
    ) -> http.client.HTTPResponse:
        """Send a request; the answer's beginning. Closing it closes the connection."""
        connection = http.client.HTTPConnection("joblet")
        connection.sock = self.connect(receive_buffer=receive_buffer)
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, content, {"Connection": "close", **(headers or {})})
        return connection.getresponse()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """One request and its answer."""
        sent = {**(JSON if body is not None else {}), **(headers or {})}
        with self.open(method, path, body, sent) as response:
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())

    def get(self, path: str, **headers: str) -> Answer:
        """GET, with these headers, _ for -."""
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def events(self, path: str, last: str = "") -> Iterator[Event]:
        """The events of a stream, which is open when this returns, until it ends or breaks."""
        response = self.open("GET", path, headers={"Last-Event-ID": last} if last else {})
        assert response.status == 200, response.read()

        def found() -> Iterator[Event]:
            with response:
                yield from events(iter(response.readline, b""))

        return found()


def events(lines: Iterator[bytes]) -> Iterator[Event]:
    """The events in lines, as https://html.spec.whatwg.org/multipage/server-sent-events.html has them."""
    name, data, last = "", "", ""
    for line in lines:
        field, _, value = line.decode().rstrip("\n").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "id":
                last = value
            case "event":
                name = value
            case "data":
                data = value
            case "" if line == b"\n":
                if data:
                    yield Event(name, last, json.loads(data))
                name = data = ""

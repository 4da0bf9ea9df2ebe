"""Hostile clients of the HTTP interface: strangers, thieves of a certificate, and pages of other sites."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attack import MIB, unharmed
from clients import node, sign
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hosts import Host, until
from test_identity import client
from webclient import Web

pytestmark = pytest.mark.only_on("bookworm", because="clients meet the daemon alone, and here the oldest aiohttp")

GET = b"GET /v1/whoami HTTP/1.1\r\nHost: joblet\r\n"
CLOSED_SEC = 20  # after which what says nothing is closed


@pytest.fixture
def web(host: Host, tmp_path: Path) -> Web:
    return Web(host, tmp_path, "reader")


def said_after(connection: socket.socket, data: bytes) -> bytes:
    """What is answered, up to the connection's end, which comes."""
    found = b""
    with contextlib.suppress(OSError):
        connection.settimeout(CLOSED_SEC)
        connection.sendall(data)
        while piece := connection.recv(1 << 16):
            found += piece
    return found


@contextlib.contextmanager
def connected(web: Web, number: int, open_one: Callable[[], socket.socket]) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open_one()) for _ in range(number)]


def test_strangers(host: Host, web: Web, ca: tuple[Any, x509.Name]) -> None:
    """Nobody is told anything without a certificate of the host's CA, over TLS 1.3."""

    def refused(context: ssl.SSLContext) -> None:
        # A client of TLS 1.3 learns only when it reads that its certificate was refused.
        said = b""
        plain = socket.create_connection(web.address, timeout=10)
        with contextlib.suppress(OSError), plain, context.wrap_socket(plain, server_hostname="joblet") as secure:
            said = said_after(secure, GET + b"\r\n")
        assert said == b""

    def context(pair: tuple[bytes, bytes] | None) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.load_verify_locations(web.ca)
        if pair:
            file = web.ca.parent / "stranger.pem"
            file.write_bytes(b"".join(pair))
            made.load_cert_chain(file)
        return made

    refused(context(None))
    refused(context(sign(ec.generate_private_key(ec.SECP256R1()), ca[1])))
    refused(context(sign(*ca, days=-1)))
    old = context(sign(*ca))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    refused(old)
    with socket.create_connection(web.address) as plain:
        assert b"joblet" not in said_after(plain, GET + b"\r\n")
    # A certificate of the CA that gives no role.
    with socket.create_connection(web.address) as plain:
        secure = context(sign(*ca, role="root")).wrap_socket(plain, server_hostname="joblet")
        assert said_after(secure, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 403 ")
        secure.close()


def test_revoked_in_the_middle_of_a_stream(host: Host, tmp_path: Path) -> None:
    issued = client(host, tmp_path, "issue", "otto", "--role", "developer")
    web = Web(host, tmp_path, found=node(issued))
    job = web.ask("POST", "/v1/jobs", {"command": "sh", "args": ["-c", "while echo tick; do sleep 0.2; done"]})
    path = f"/v1/jobs/{job.json['uuid']}"
    streams = [web.events(f"{path}/logs"), web.events("/v1/events")]
    assert next(streams[0]).data["text"].startswith("tick\n")
    host.exec("jobletd", "cert", "revoke", "otto")
    for stream in streams:
        *_, last = stream
        assert (last.name, last.data["status"]) == ("problem", 403)
        assert "was revoked" in last.data["detail"]
    assert web.get(path).status == 403
    host.rnx("job", "stop", job.json["uuid"])


def test_those_who_say_nothing_or_not_all(host: Host, web: Web) -> None:
    with unharmed(host), contextlib.ExitStack() as stack:

        def many(open_one: Callable[[], socket.socket]) -> list[socket.socket]:
            return stack.enter_context(connected(web, 60, open_one))

        silent = many(lambda: socket.create_connection(web.address))
        shaken, halfway = many(web.connect), many(web.connect)
        for number, connection in enumerate(halfway):
            connection.sendall((GET + b"X: " + b"y" * number)[: 10 + number])
        assert web.get("/v1/whoami").status == 200
        for connection in (*silent, *shaken, *halfway):
            assert said_after(connection, b"") == b""


def test_two_hundred_streams_of_one_client_that_does_not_read(host: Host, web: Web) -> None:
    job = host.run("sh", "-c", "while :; do seq 1000; sleep 0.05; done")
    host.running(job)
    request = f"GET /v1/jobs/{job}/logs HTTP/1.1\r\nHost: joblet\r\n\r\n".encode()
    try:
        with unharmed(host, growth=120 * MIB), connected(web, 200, lambda: web.connect(receive_buffer=4096)) as streams:
            for stream in streams:
                stream.sendall(request)
            follower = web.events(f"/v1/jobs/{job}/logs?cursor=end")
            for _ in range(20):
                assert next(follower).data["stream"] == "stdout"
            assert web.get("/v1/jobs").status == 200
    finally:
        host.rnx("job", "stop", job)


def test_lists_that_nobody_takes(host: Host, web: Web) -> None:
    job = host.run("echo", *["x" * 1000] * 2)
    host.result(job)
    request = b"GET /v1/jobs?limit=1000 HTTP/1.1\r\nHost: joblet\r\n\r\n"
    with unharmed(host), connected(web, 100, lambda: web.connect(receive_buffer=4096)) as connections:
        for connection in connections:
            connection.sendall(request * 20)
        assert Web(host, web.file.parent, "maintainer").get("/v1/jobs?limit=1").status == 200


REQUESTS = [
    (b"GET /static/../../../etc/passwd HTTP/1.1\r\nHost: joblet\r\n\r\n", 404),
    (b"GET /static/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: joblet\r\n\r\n", 404),
    (b"GET //etc/passwd HTTP/1.1\r\nHost: joblet\r\n\r\n", 404),
    (b"GET /v1/jobs/..%2f..%2fetc HTTP/1.1\r\nHost: joblet\r\n\r\n", 404),
    (b"GET /v1/jobs/%00 HTTP/1.1\r\nHost: joblet\r\n\r\n", 404),
    (b"GET http://elsewhere.example/v1/nothing HTTP/1.1\r\nHost: joblet\r\n\r\n", 404),
    (b"GET /v1/whoami HTTP/1.1\r\nHost: joblet\r\n" + b"X: " + b"y" * 10_000 + b"\r\n\r\n", 400),
    (b"GET /v1/whoami HTTP/1.1\r\nHost: joblet\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
    (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: joblet\r\n\r\n", 400),
    (b"\x16\x03\x01 nonsense\r\n\r\n", 400),
    (b"POST /v1/jobs HTTP/1.1\r\nHost: joblet\r\nContent-Length: 99999999999\r\n\r\n{}", 403),
    (b"POST /v1/jobs HTTP/1.1\r\nHost: joblet\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}", 400),
    (b"POST /v1/jobs HTTP/1.1\r\nHost: joblet\r\nContent-Length: -1\r\n\r\n", 400),
    (b"PATCH /v1/jobs HTTP/1.1\r\nHost: joblet\r\n\r\n", 405),
]


def test_requests_that_are_none(host: Host, web: Web) -> None:
    with unharmed(host):
        for sent, status in REQUESTS:
            with web.connect() as connection:
                with contextlib.suppress(ConnectionError):  # it may answer, and close, before it has all
                    connection.sendall(sent)
                assert connection.recv(1 << 16).split()[1] == str(status).encode(), sent[:80]
        assert web.get("/v1/whoami").status == 200


def test_bodies_that_are_too_large_or_do_not_come(host: Host, tmp_path: Path) -> None:
    web = Web(host, tmp_path, "developer")
    head = "POST /v1/jobs HTTP/1.1\r\nHost: joblet\r\nContent-Type: application/json\r\n"
    with unharmed(host):
        for extra, status in (("Content-Length: 4194305", 413), ("Transfer-Encoding: chunked", 411)):
            with web.connect() as connection:
                connection.sendall(f"{head}{extra}\r\n\r\n{{".encode())
                assert connection.recv(1 << 16).split()[1] == str(status).encode()
        # Only two bodies of an identity are read at a time; the others wait unread.
        with connected(web, 20, web.connect) as connections:
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.settimeout(1)
                    connection.sendall(f"{head}Content-Length: 4000000\r\n\r\n".encode() + b" " * 3_000_000)
            assert Web(host, tmp_path, "maintainer").ask("POST", "/v1/jobs", {"command": "true"}).status == 201
        deep = web.ask("POST", "/v1/jobs", b"[" * 1_000_000)
        assert (deep.status, deep.json["title"]) == (400, "Bad Request")
    until(lambda: web.ask("POST", "/v1/jobs", {"command": "true"}).status == 201)


def test_pages_of_other_sites(host: Host, tmp_path: Path) -> None:
    """What a browser sends, with the user's certificate, when a page elsewhere asks it to."""
    web = Web(host, tmp_path)
    [before] = web.get("/v1/jobs?limit=1").json["jobs"]
    form = {"Content-Type": "text/plain", "Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    assert web.ask("POST", "/v1/jobs", {"command": "true"}, form).status == 403
    assert web.ask("POST", "/v1/jobs", {"command": "true"}, {"Content-Type": "text/plain"}).status == 415
    for method in ("GET", "DELETE"):
        assert web.ask(method, "/v1/jobs/x", headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    preflight = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "DELETE"}
    answer = web.ask("OPTIONS", "/v1/jobs/x", headers=preflight)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]
    [newest] = web.get("/v1/jobs?limit=1").json["jobs"]
    assert newest["uuid"] == before["uuid"]

"""The gateway through real TLS: who is let in, what a connection may do, and what clients are told."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from joblet_systemd import etcfiles, revocations, setup
from joblet_systemd.api import crowd
from joblet_systemd.api.admission import Admission
from joblet_systemd.api.server import Caller
from joblet_systemd.api.tls import KeyFiles
from joblet_systemd.errors import Exhausted, NotFound
from joblet_systemd.http import doorkeeper, edge, gateway, guard, sse, view
from joblet_systemd.http.body import Bodies
from joblet_systemd.http.doorkeeper import Doorkeeper
from joblet_systemd.http.gateway import Gateway, application
from joblet_systemd.http.routes import Route
from joblet_systemd.http.tls import Contexts
from joblet_systemd.identity import Role
from joblet_systemd.revocations import Entry, Watched, now

from .gateways import Node, answer, scenario

Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def get(handler: Handler, path: str = "/it", call: str = "JobService/ListJobs") -> Route:
    return Route("GET", path, call, handler)


async def hello(request: web.Request, caller: Caller) -> web.StreamResponse:
    return view.answer({"hello": caller.name, "role": str(caller.role)})


async def forever(request: web.Request, caller: Caller) -> web.StreamResponse:
    response = await sse.begin(request)
    while True:
        await response.write(b"x" * 1000)
        await asyncio.sleep(0.001)


async def quiet(request: web.Request, caller: Caller) -> web.StreamResponse:
    await sse.begin(request)
    await asyncio.Event().wait()
    raise AssertionError


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed, which it is soon."""
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""


# --- who is let in


def test_the_certificate_says_who_it_is(node: Node) -> None:
    async def play() -> None:
        async with node.gateway([get(hello)]):
            reply = await node.ask("/it", client=node.client(Role.READER, "bob"))
            assert (reply.status, reply.json) == (200, {"hello": "bob", "role": "reader"})
            assert reply.headers["content-security-policy"].startswith("default-src 'none'")
            assert reply.headers["server"] == "joblet"

    scenario(play())


def test_without_a_certificate_of_this_ca_nothing_is_said(node: Node, tmp_path: Path) -> None:
    async def play() -> None:
        async with node.gateway([get(hello)]):
            list(setup.setup(etc=tmp_path / "other", ensure_account=lambda identity: False))
            foreign = node.client(etc=tmp_path / "other")
            old = node.client()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            for client in (node.client(role=None), foreign, old):
                with pytest.raises((OSError, asyncio.IncompleteReadError)):
                    await node.ask("/it", client=client)
            plain, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(b"GET /it HTTP/1.1\r\nHost: joblet\r\n\r\n")
            assert b"hello" not in await end_of(plain)
            writer.close()
            assert (await node.ask("/it")).status == 200

    scenario(play())


def test_a_role_that_is_too_low(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def play() -> None:
        async with node.gateway([Route("POST", "/it", "JobService/RunJob", hello)]):
            reply = await node.ask("/it", "POST", client=node.client(Role.READER, "bob"))
            assert (reply.status, reply.headers["content-type"]) == (403, "application/problem+json")
            assert reply.json["title"] == "Denied"
            assert "needs the role developer" in reply.json["detail"]
            assert (await node.ask("/it", "POST")).status == 200

    scenario(play())
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("who=")]
    assert lines[0].startswith("who=bob what=JobService/RunJob job=- outcome=PERMISSION_DENIED")
    assert lines[1] == "who=alice what=JobService/RunJob job=- outcome=done"


def test_revoked_in_the_middle_of_a_stream(node: Node) -> None:
    async def play() -> None:
        async with node.gateway([get(hello), get(quiet, "/quiet")]):
            client = node.client()
            reader, writer = await node.connect(client)
            writer.write(b"GET /quiet HTTP/1.1\r\nHost: joblet\r\n\r\n")
            await reader.readuntil(b"retry: 1000\n\n")
            with etcfiles.locked(node.etc):
                entry = revocations.all_until("alice", now(), "lost", "test")
                revocations.add(node.pki / revocations.FILE, [entry])
            said = await end_of(reader)
            assert b"event: problem\n" in said
            assert b"was revoked" in said
            assert (await node.ask("/it", client=client)).status == 403
            writer.close()

    assert isinstance(revocations.all_until("a", now(), "", ""), Entry)
    scenario(play())


def test_new_keys_are_taken_up_and_the_former_ca_is_not_trusted_any_more(node: Node, tmp_path: Path) -> None:
    async def play() -> None:
        async with node.gateway([get(hello)]):
            before = node.client()
            assert (await node.ask("/it", client=before)).status == 200
            (node.pki / "server.key").write_text("nonsense")  # as in the middle of a setup
            assert (await node.ask("/it", client=before)).status == 200
            list(setup.setup(etc=tmp_path / "other", ensure_account=lambda identity: False))
            for file in ("server.key", "server.crt", "ca.crt", "ca.key"):
                (node.pki / file).write_bytes((tmp_path / "other/pki" / file).read_bytes())
            after = node.client(etc=tmp_path / "other")
            assert (await node.ask("/it", client=after)).status == 200
            before.load_verify_locations(node.pki / "ca.crt")
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await node.ask("/it", client=before)

    scenario(play())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://joblet"}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "http://joblet"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 403),
    ],
)
def test_requests_for_pages_of_other_sites_are_refused(node: Node, headers: dict[str, str], status: int) -> None:
    async def play() -> None:
        routes = [get(hello), Route("GET", "/", "JobService/ListJobs", hello, page=True)]
        async with node.gateway(routes):
            assert (await node.ask("/it", **headers)).status == status
            # A link to the page itself leads there.
            link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
            assert (await node.ask("/", **link)).status == 200
            assert (await node.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")).status == 403

    scenario(play())


def test_keys_that_cannot_be_used_at_the_first_client(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(doorkeeper, "RETRY_SEC", 0.1)
    whole = (node.pki / "server.key").read_bytes()
    (node.pki / "server.key").write_text("nonsense")  # as in the middle of a setup

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            node.port = listening.getsockname()[1]
            app = application(Admission(Watched(node.pki / revocations.FILE, now)), [get(hello)])
            door = Doorkeeper([listening], lambda _: Gateway([listening], Contexts(KeyFiles(node.pki)), app))
            door.start()
            asking = asyncio.create_task(node.ask("/it"))
            while "trying again" not in caplog.text:
                await asyncio.sleep(0.05)
            (node.pki / "server.key").write_bytes(whole)
            assert (await asking).status == 200
            await door.stop()
            assert "Traceback" not in caplog.text

    scenario(play())


# --- problems


def test_errors_are_problems(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    async def missing(request: web.Request, caller: Caller) -> web.StreamResponse:
        raise NotFound("There is no such thing.", hint="Look elsewhere.")

    async def full(request: web.Request, caller: Caller) -> web.StreamResponse:
        raise Exhausted("Full.")

    async def bug(request: web.Request, caller: Caller) -> web.StreamResponse:
        raise KeyError("secret of the house")

    async def play() -> None:
        async with node.gateway([get(missing, "/missing"), get(full, "/full"), get(bug, "/bug")]):
            reply = await node.ask("/missing")
            assert reply.json == {
                "type": "urn:joblet:problem:not-found",
                "title": "Not found",
                "status": 404,
                "detail": "There is no such thing.",
                "hint": "Look elsewhere.",
            }
            assert (await node.ask("/full")).status == 429
            reply = await node.ask("/bug")
            assert reply.status == 500
            assert b"secret of the house" not in reply.body
            assert "journalctl -u joblet" in reply.json["detail"]
            reply = await node.ask("/nowhere")
            assert (reply.status, reply.json["title"]) == (404, "Not Found")
            reply = await node.ask("/full", "PUT")
            assert (reply.status, reply.headers["allow"], reply.json["status"]) == (405, "GET,HEAD", 405) or (
                reply.headers["allow"] == "GET"
            )

    scenario(play())
    assert "GET /bug failed" in caplog.text


@pytest.mark.parametrize(
    "path", ["/static/../../etc/passwd", "/static/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/%00"]
)
def test_paths_lead_nowhere(node: Node, path: str) -> None:
    async def play() -> None:
        async with node.gateway([get(hello)]):
            assert (await node.ask(path)).status in (400, 404)

    scenario(play())


# --- what a connection may do


def test_several_requests_of_one_connection_even_ahead_of_answers(node: Node) -> None:
    async def play() -> None:
        async with node.gateway([get(hello)]):
            reader, writer = await node.connect()
            writer.write(b"GET /it HTTP/1.1\r\nHost: joblet\r\n\r\n" * 3)
            for _ in range(3):
                assert (await answer(reader)).status == 200
            writer.close()

    scenario(play())


def test_requests_far_ahead_of_answers(node: Node) -> None:
    async def play() -> None:
        async with node.gateway([get(quiet)]):
            reader, writer = await node.connect()
            writer.write(b"GET /it HTTP/1.1\r\nHost: joblet\r\n\r\n" * 2000)
            await end_of(reader)
            writer.close()

    scenario(play())


@pytest.mark.parametrize(
    "head",
    [
        b"GET /it HTTP/1.1\r\nHost: joblet\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 9999999\r\n",
        b"GET /it HTTP/1.1\r\nHost: joblet\nConnection: upgrade\nuPGRADE: websocket\nContent-Length: 9999999\r\n",
        b"CONNECT /it HTTP/1.1\r\nHost: joblet\r\nContent-Length: 9999999\r\n",
        b"\r\nCONNECT joblet:443 HTTP/1.1\r\nHost: joblet\r\nContent-Length: 9999999\r\n",
    ],
)
def test_other_protocols_are_refused_before_aiohttp_keeps_what_comes(node: Node, head: bytes) -> None:
    async def play() -> None:
        async with node.gateway([get(quiet)]):
            reader, writer = await node.connect()
            writer.write(head + b"\r\n" + b"x" * 100_000)
            assert (await answer(reader)).status == 400
            assert await end_of(reader) == b""
            writer.close()

    scenario(play())


def test_a_head_that_is_too_large_or_takes_too_long(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HEAD_SEC", 0.3)

    async def play() -> None:
        async with node.gateway([get(hello)]):
            reader, writer = await node.connect()
            writer.write(b"GET /it HTTP/1.1\r\n" + b"X-Y: z\r\n" * 5000)
            assert (await answer(reader)).status == 431
            assert await end_of(reader) == b""
            writer.close()
            for beginning in (b"", b"GET /it HTT"):
                reader, writer = await node.connect()
                writer.write(beginning)
                assert await end_of(reader) == b""
                writer.close()

    scenario(play())


def test_an_idle_connection_is_closed(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "IDLE_SEC", 0.3)

    async def play() -> None:
        async with node.gateway([get(hello)]):
            reader, writer = await node.connect()
            writer.write(b"GET /it HTTP/1.1\r\nHost: joblet\r\n\r\n")
            assert (await answer(reader)).status == 200
            assert await end_of(reader) == b""
            writer.close()

    scenario(play())


def test_a_silent_handshake_is_given_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblet_systemd.http.gateway.HEAD_SEC", 0.3)

    async def play() -> None:
        async with node.gateway([get(hello)]):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            assert await end_of(reader) == b""
            writer.close()

    scenario(play())


def test_an_answer_that_nobody_takes(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "SEND_SEC", 0.3)

    async def large(request: web.Request, caller: Caller) -> web.StreamResponse:
        return web.Response(body=b"x" * (32 << 20))

    async def play() -> None:
        async with node.gateway([get(large)]):
            reader, writer = await node.connect()
            writer.write(b"GET /it HTTP/1.1\r\nHost: joblet\r\n\r\n")
            await asyncio.sleep(1)
            assert len(await end_of(reader)) < 32 << 20
            writer.close()

    scenario(play())


def test_the_work_for_a_client_ends_when_it_goes(node: Node) -> None:
    async def play() -> None:
        ended = asyncio.Event()

        async def work(request: web.Request, caller: Caller) -> web.StreamResponse:
            try:
                return await quiet(request, caller)
            finally:
                ended.set()

        async with node.gateway([get(work)]):
            reader, writer = await node.connect()
            writer.write(b"GET /it HTTP/1.1\r\nHost: joblet\r\n\r\n")
            await reader.readuntil(b"retry: 1000\n\n")
            assert not ended.is_set()
            writer.transport.abort()
            await asyncio.wait_for(ended.wait(), 10)

    scenario(play())


def test_the_gateway_stops_at_once_whatever_is_open(node: Node) -> None:
    async def play() -> None:
        async with node.gateway([get(quiet), get(forever, "/forever")]) as running:
            connections = [await node.connect() for _ in range(3)]
            for (reader, writer), path in zip(connections, (b"/it", b"/forever"), strict=False):
                writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: joblet\r\n\r\n")
                await reader.readuntil(b"retry: 1000\n\n")
            await asyncio.wait_for(running.stop(), 5)
            for reader, writer in connections:
                await end_of(reader)
                writer.close()

    scenario(play())


def test_connections_of_one_source_are_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "MAX_FROM_ONE_SOURCE", 2)

    async def play() -> None:
        async with node.gateway([get(hello)]):
            first = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(2)]
            await asyncio.sleep(0.05)
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await node.ask("/it")
            for _, writer in first:
                writer.close()
            await asyncio.sleep(0.05)
            assert (await node.ask("/it")).status == 200

    scenario(play())


def test_connections_of_one_identity_are_bounded(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MAX_OF_ONE_IDENTITY", 2)

    async def play() -> None:
        async with node.gateway([get(hello)]):
            first = [await node.connect() for _ in range(2)]
            await asyncio.sleep(0.05)
            assert (await node.ask("/it")).status == 429
            assert (await node.ask("/it", client=node.client(name="bob"))).status == 200
            for _, writer in first:
                writer.transport.abort()
            await asyncio.sleep(0.05)
            assert (await node.ask("/it")).status == 200

    scenario(play())


def test_strangers_wait_for_each_other(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MAX_HANDSHAKES_OF_ONE_SOURCE", 2)
    monkeypatch.setattr(gateway, "HEAD_SEC", 15.0)

    async def play() -> None:
        async with node.gateway([get(hello)]) as running:
            silent = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(2)]
            await asyncio.sleep(0.05)
            asking = asyncio.create_task(node.ask("/it"))
            await asyncio.sleep(0.05)
            assert not asking.done()
            async with running._handshakes.turn("elsewhere"):
                pass
            silent[0][1].close()
            assert (await asking).status == 200
            silent[1][1].close()

    scenario(play())


# --- bodies


def test_bodies(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblet_systemd.http.body.READ_SEC", 0.5)
    bodies = Bodies()

    async def take(request: web.Request, caller: Caller) -> web.StreamResponse:
        return view.answer(await bodies.json(request, caller.name, caller.held))

    async def play() -> None:
        async with node.gateway([Route("POST", "/it", "JobService/RunJob", take)]):
            json = {"Content_Type": "application/json"}
            assert (await node.ask("/it", "POST", body=b'{"a": "\xc3\xbc"}', **json)).json == {"a": "ü"}
            large = b'{"a": "' + b"x" * (1 << 20) + b'"}'
            assert len((await node.ask("/it", "POST", body=large, **json)).json["a"]) == 1 << 20
            assert (await node.ask("/it", "POST", body=b"{}")).status == 415
            for bad in (b"", b"{", b'"\xff"', b"[" * 100_000, b"Infinity"):
                reply = await node.ask("/it", "POST", body=bad, **json)
                assert reply.status == 400, bad[:10]
                assert "is not JSON in UTF-8" in reply.json["detail"]
            for extra, status in (
                (b"Content-Length: 5000000", 413),
                (b"Transfer-Encoding: chunked", 411),
                (b"Content-Length: 10", 408),
            ):
                reader, writer = await node.connect()
                head = b"POST /it HTTP/1.1\r\nHost: joblet\r\nContent-Type: application/json\r\n"
                writer.write(head + extra + b"\r\n\r\n" + b"{")
                reply = await answer(reader)
                assert reply.status == status
                writer.close()

    scenario(play())

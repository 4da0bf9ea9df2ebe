"""``rnx dashboard``: who gets in at the local server, and what is handed on to the node."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from rnx import config, door
from rnx.dashboard import MAX_CONNECTIONS, PAGE_POLICY, Server
from rnx.errors import DENIED, UNREACHABLE, USAGE, Passing, RnxError
from rnx.gateway import Gateway

from .conftest import Rnx, write_config
from .pki import Pair, authority

HEADERS = ("Host", "Origin", "Cookie", "Sec-Fetch-Site", "Accept", "Last-Event-ID", "Content-Type")


class Node(BaseHTTPRequestHandler):
    """What a node answers; ``go_on`` lets its stream go on."""

    protocol_version = "HTTP/1.1"
    go_on = threading.Event()
    connections: set[Any] = set()  # noqa: RUF012 - one for all connections, on purpose

    def do_GET(self) -> None:
        self.connections.add(self.client_address)
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\none\r\n")
            self.go_on.wait(10)
            self.wfile.write(b"3\r\ntwo\r\n0\r\n\r\n")
        elif self.path == "/broken":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif self.path == "/silent":
            self.close_connection = True
        elif self.path == "/v1/whoami" and Node.closes:
            Node.closes -= 1
            self.close_connection = True
        elif self.path == "/v1/whoami":
            self._answer({"name": "alice", "role": "reader"}, 403 if Node.denied else 200)
        else:
            length = int(self.headers.get("Content-Length", 0))
            said = {name: self.headers[name] for name in HEADERS if name in self.headers}
            self._answer(
                {"method": self.command, "path": self.path, "headers": said, "body": self.rfile.read(length).decode()}
            )

    do_POST = do_DELETE = do_GET
    denied = False
    closes = 0  # so many connections, when it is asked who somebody is

    def _answer(self, value: Any, status: int = 200) -> None:
        body = json.dumps(value if status == 200 else {"detail": "revoked", "hint": "Ask."}).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": "default-src 'none'",
            "Set-Cookie": "of=the node",
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(pair: Pair, directory: Path) -> ThreadingHTTPServer:
    """A node's HTTP interface, with that certificate."""
    (directory / "server.pem").write_text(pair.cert + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority().cert)
    context.load_cert_chain(directory / "server.pem")
    node = ThreadingHTTPServer(("127.0.0.1", 0), Node)
    node.daemon_threads = True
    node.handle_error = lambda *_: None  # type: ignore[method-assign] # refused handshakes are expected
    node.socket = context.wrap_socket(node.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=node.serve_forever, args=(0.05,), daemon=True).start()
    return node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[config.Node]:
    """A node, as the configuration has it."""
    Node.go_on.clear()
    Node.connections.clear()
    Node.denied = False
    Node.closes = 0
    running = serve(authority().server("joblet"), tmp_path)
    keys = authority().client()
    address = f"127.0.0.1:{running.server_port}"
    yield config.Node("default", "127.0.0.1:1", keys.cert, keys.key, authority().cert, "", True, address)
    Node.go_on.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def server(node: config.Node) -> Iterator[Server]:
    with Server(Gateway(node), 0) as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.shutdown()


class Browser:
    """Asks the local server; ``cookie`` as it was set by the link."""

    def __init__(self, server: Server) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        self.home = server.door.home
        self.link = server.door.link.partition(str(server.server_port))[2]
        self.cookie = ""

    def ask(
        self, path: str, *, method: str = "GET", body: str | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            named.setdefault("Cookie", self.cookie)
        self.connection.request(method, path, body, named)
        return self.connection.getresponse()

    def enter(self) -> None:
        response = self.ask(self.link)
        assert response.status == 200
        self.cookie = str(response.headers["Set-Cookie"]).partition(";")[0]
        assert self.home in response.read().decode()


@pytest.fixture
def browser(server: Server) -> Iterator[Browser]:
    browser = Browser(server)
    yield browser
    browser.connection.close()


def refused(response: http.client.HTTPResponse) -> bool:
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; img-src data:; frame-ancestors 'none'"
    text = response.read().decode()
    return response.status == 403 and text.startswith("<!doctype html>")


def test_the_link_is_good_once(browser: Browser) -> None:
    first = browser.ask(browser.link)
    cookie = first.headers["Set-Cookie"]
    first.read()
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    # Not for other servers on this machine, which get what is for every path.
    assert f"Path={browser.home};" in cookie
    second = browser.ask(browser.link)
    assert second.headers["Set-Cookie"] is None
    assert refused(second)


def test_the_link_is_good_for_a_while(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    late = door.time.monotonic() + door.LINK_SECONDS + 1
    monkeypatch.setattr(door.time, "monotonic", lambda: late)
    response = browser.ask(browser.link)
    assert response.headers["Set-Cookie"] is None
    assert refused(response)


def test_without_the_cookie_there_is_nothing(browser: Browser) -> None:
    for path in ("/", "/v1/jobs", browser.home, f"{browser.home}v1/jobs", "/open/", "/open/x"):
        assert refused(browser.ask(path)), path
    browser.cookie = f"{door.COOKIE}=guessed"
    assert refused(browser.ask(browser.home))
    browser.cookie = "; ; =;"
    assert refused(browser.ask(browser.home))


def test_cookies_of_other_local_servers_do_not_lock_the_browser_out(browser: Browser) -> None:
    browser.enter()
    mine = browser.cookie
    for others in (f"{door.COOKIE}=another", 'a={"b":1}', "bare", "a\xff=b"):
        browser.cookie = cookie = f"{others}; {mine}; {others}"
        assert browser.ask(browser.home).read(), cookie
    browser.cookie = f"{door.COOKIE}=another; {mine[:-1]}"
    assert refused(browser.ask(browser.home))


def test_the_cookie_is_good_below_the_secret_path_only(browser: Browser) -> None:
    browser.enter()
    assert browser.ask(browser.home).read()
    assert refused(browser.ask("/v1/jobs"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example:1"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},  # another port of this machine
    ],
    ids=str,
)
def test_what_other_pages_ask_for_is_refused(headers: dict[str, str], browser: Browser) -> None:
    browser.enter()
    assert refused(browser.ask(f"{browser.home}v1/jobs", method="POST", body="{}", **headers))
    if "Host" in headers:
        assert refused(browser.ask(browser.link, **headers))


def test_what_is_handed_on(browser: Browser) -> None:
    browser.enter()
    own = {"Origin": f"http://127.0.0.1:{browser.connection.port}", "Sec_Fetch_Site": "same-origin"}
    response = browser.ask(
        f"{browser.home}v1/jobs?limit=1",
        method="POST",
        body='{"a": 1}',
        Content_Type="application/json",
        Last_Event_ID="7",
        Accept="application/json",
        **own,
    )
    assert response.headers.get_all("Content-Security-Policy") == ["default-src 'none'", PAGE_POLICY]
    assert response.headers["Set-Cookie"] is None
    got = json.loads(response.read())
    assert (got["method"], got["path"], got["body"]) == ("POST", "/v1/jobs?limit=1", '{"a": 1}')
    # Neither the cookie nor where the browser is.
    assert got["headers"].pop("Host").startswith("127.0.0.1:")
    assert got["headers"] == {"Accept": "application/json", "Last-Event-ID": "7", "Content-Type": "application/json"}


def test_a_stream_comes_as_it_is_written(browser: Browser) -> None:
    browser.enter()
    response = browser.ask(f"{browser.home}stream")
    assert response.read1(100) == b"one"
    Node.go_on.set()
    assert response.read() == b"two"
    assert json.loads(browser.ask(f"{browser.home}after").read())["path"] == "/after"
    assert len(Node.connections) == 1


def test_what_is_cut_short_looks_so(browser: Browser) -> None:
    browser.enter()
    with pytest.raises(http.client.IncompleteRead):
        browser.ask(f"{browser.home}broken").read()


def test_a_node_that_hangs_up_is_a_problem(browser: Browser) -> None:
    browser.enter()
    response = browser.ask(f"{browser.home}silent")
    assert response.status == 502
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "closed the connection" in json.loads(response.read())["detail"]


def test_a_large_body_is_refused(browser: Browser) -> None:
    browser.enter()
    browser.connection.putrequest("POST", f"{browser.home}v1/jobs")
    browser.connection.putheader("Cookie", browser.cookie)
    browser.connection.putheader("Content-Length", str(1 << 30))
    browser.connection.endheaders()
    assert browser.connection.getresponse().status == 400


def test_connections_are_bounded(server: Server, browser: Browser) -> None:
    browser.enter()
    others = [Browser(server) for _ in range(MAX_CONNECTIONS - 1)]
    for other in others:
        other.connection.connect()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        Browser(server).ask("/")
    for other in others:
        other.connection.close()
    assert browser.ask(browser.home).status == 200


def test_a_daemon_that_restarts_is_asked_again(node: config.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    Node.closes = 2
    assert Gateway(node).whoami()["name"] == "alice"
    Node.closes = 2
    monkeypatch.setattr("rnx.gateway.REPEAT_SECONDS", 0)
    with pytest.raises(Passing, match="closed the connection: it is restarting, perhaps"):
        Gateway(node).whoami()


def test_whoami(node: config.Node) -> None:
    assert Gateway(node).whoami() == {"name": "alice", "role": "reader"}
    Node.denied = True
    with pytest.raises(RnxError, match=r"^revoked Ask\.$") as caught:
        Gateway(node).whoami()
    assert caught.value.exit_code == DENIED


def test_servers_that_are_not_the_node(tmp_path: Path) -> None:
    keys = authority().client()
    running = serve(authority().server("another"), tmp_path)
    try:
        address = f"127.0.0.1:{running.server_port}"
        node = config.Node("default", "127.0.0.1:1", keys.cert, keys.key, authority().cert, "", True, address)
        with pytest.raises(RnxError, match="not one for 'joblet'") as caught:
            Gateway(node).whoami()
    finally:
        running.shutdown()
        running.server_close()
    assert caught.value.exit_code == UNREACHABLE
    with pytest.raises(RnxError, match=r"nothing listens at the HTTP interface .*joblet-http\.socket"):
        Gateway(node).whoami()


@pytest.mark.parametrize(
    ("address", "gateway", "reached"),
    [
        ("build1:50051", "", ("build1", 50052)),
        ("[::1]:7", "", ("::1", 50052)),
        ("build1:50051", "127.0.0.1:9", ("127.0.0.1", 9)),
    ],
)
def test_where_the_gateway_is(address: str, gateway: str, reached: tuple[str, int]) -> None:
    assert config.Node("n", address, "", "", "", "", True, gateway).at_gateway().reached_at == reached


def test_a_gateway_that_is_no_address(run_rnx: Rnx, tmp_path: Path) -> None:
    path = write_config(tmp_path / "rnx-config.yml", "127.0.0.1:1")
    document = yaml.safe_load(path.read_text())
    document["nodes"]["default"]["gateway"] = "https://build1:50052/"
    path.write_text(yaml.safe_dump(document))
    result = run_rnx("dashboard")
    assert result.code == USAGE
    assert "the gateway of node 'default', 'https://build1:50052/', is not accepted; expected host:port" in result.err

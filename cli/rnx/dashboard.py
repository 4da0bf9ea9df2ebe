"""``rnx dashboard``: the node's page in a browser that has no certificate, by way of this client's connection."""

from __future__ import annotations

import contextlib
import html
import http.client
import json
import os
import signal
import socketserver
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click

from . import output
from .command import Command, Number, Settings, pass_settings
from .config import load
from .door import LINK_SECONDS, Door
from .errors import FAILURE, USAGE, RnxError
from .gateway import Gateway

ADDRESS = "127.0.0.1"
MAX_CONNECTIONS = 64  # of a browser with several windows; other users of this machine can connect as well
IDLE_SECONDS = 60.0
MAX_BODY = 5 << 20  # the node takes less
PIECE = 64 << 10
# What is handed on. Cookies, and where the browser says that it is, are between it and us.
REQUEST_HEADERS = ("Accept", "Content-Type", "If-None-Match", "Last-Event-ID")
RESPONSE_HEADERS = (
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Security-Policy",
    "Content-Type",
    "Cross-Origin-Resource-Policy",
    "ETag",
    "Location",
    "Referrer-Policy",
    "Retry-After",
    "X-Content-Type-Options",
)
# What the page may do, whatever the node says of it: nothing but talk to where it came from. It is on this machine, and
# other servers are near. Nor may it leave a worker behind, which would outlive it: to the dashboard of another node
# that later has the same port it would be of the same origin.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "worker-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEAD = '<!doctype html><meta charset="utf-8"><title>Joblet</title><link rel="icon" href="data:,">'
OWN_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src data:; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@click.command("dashboard", cls=Command)
@click.option("--port", type=Number(1, 65535), metavar="N", help="Listen on this local port, not on any free one.")
@click.option("--no-browser", is_flag=True, help="Print the link only, and start no browser.")
@pass_settings
def dashboard(settings: Settings, port: int | None, no_browser: bool) -> None:
    """Show the node's jobs, output and load in a browser.

    Serves the node's page on this machine alone, with the certificate of the configuration, until Ctrl-C. The link
    can be opened once.
    """
    gateway = Gateway(load(settings.config).select(settings.node))
    with output.waiting(f"the HTTP interface of node '{gateway.node.name}' ({gateway.node.address})"):
        me = gateway.whoami()
    try:
        server = Server(gateway, port or 0)
    except OSError as error:
        raise RnxError(f"cannot listen on {ADDRESS}:{port}: {error.strerror}.", USAGE if port else FAILURE) from None
    with server:
        if settings.json:
            output.print_json({"url": server.door.link})
        else:
            print(f"Dashboard of node '{gateway.node.name}' as {me.get('name')} ({me.get('role')}): {server.door.link}")
            print(
                f"The link can be opened once, within {LINK_SECONDS / 60:.0f} minutes. Ctrl-C ends the dashboard.",
                flush=True,
            )
        for ending in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(ending, signal.default_int_handler)  # to leave no file behind
        opened = contextlib.nullcontext() if no_browser or not _has_browser() else _opened(server.door.link)
        with opened, contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def _has_browser() -> bool:
    """Whether there is a browser with windows; one in the terminal would not do."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


@contextlib.contextmanager
def _opened(link: str) -> Iterator[None]:
    """Have a browser open the link, by way of a file: everybody on this machine sees a program's arguments."""
    with tempfile.TemporaryDirectory(prefix="rnx-dashboard-") as directory:  # 0700
        file = Path(directory) / "open.html"
        file.write_text(_redirection(link), encoding="utf-8")
        threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
        yield


def _redirection(url: str) -> str:
    return f'{HEAD}<meta http-equiv="refresh" content="0;url={url}"><p><a href="{url}">To the dashboard</a></p>'


class Server(ThreadingHTTPServer):
    """Serves the page of ``gateway`` on a local port, any free one for 0."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway = gateway
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((ADDRESS, port), Handler)
        self.door = Door(self.server_port)

    def server_bind(self) -> None:
        """Bind; the original asks the network for this machine's name besides."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for a connection, unless there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """A connection, from its start to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a browser hang up without a word; anything else is a bug, and told as one."""
        failure = sys.exc_info()[1]
        if not isinstance(failure, OSError):
            output.note(f"a request to the dashboard failed: {type(failure).__name__}: {failure}")


class Handler(BaseHTTPRequestHandler):
    """One connection of the browser, and one to the node that goes with it."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: Server
    _node: http.client.HTTPConnection | None = None

    def do_GET(self) -> None:
        """Answer a request, of any method that the page has use for."""
        door = self.server.door
        path = self.path.partition("?")[0]
        opening = path.startswith("/open/")
        refusal = door.refusal(self.headers, opening)
        if refusal:
            self._say(403, refusal)
        elif opening:
            cookie = door.open(path)
            if cookie is None:
                self._say(403, "This link has been used, or is too old. Run 'rnx dashboard' again for another.")
            else:
                # A redirection by status would count as the link's own site's, and the cookie not be sent.
                self._answer(200, _redirection(door.home), {"Set-Cookie": cookie})
        elif (inside := door.inside(self.path, self.headers)) is None:
            self._say(
                403, "The dashboard is open to the browser that opened its link. Run 'rnx dashboard' for another."
            )
        else:
            self._hand_on(inside)

    do_POST = do_DELETE = do_GET

    def finish(self) -> None:
        """The browser's connection is over."""
        if self._node is not None:
            self._node.close()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the terminal is the user's."""

    def _say(self, status: int, text: str) -> None:
        self.close_connection = True
        self._answer(status, f"{HEAD}<p>{html.escape(text)}</p>", {})

    def _answer(self, status: int, page: str, headers: dict[str, str], kind: str = "text/html; charset=utf-8") -> None:
        body = page.encode()
        self.send_response_only(status)
        for name, value in {**OWN_HEADERS, **headers, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _hand_on(self, path: str) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > MAX_BODY:
            self._say(400, "The request's body is too large, or of unknown size.")
            return
        body = self.rfile.read(int(length)) or None
        headers = {name: self.headers[name] for name in REQUEST_HEADERS if name in self.headers}
        try:
            response = self._ask(path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            told = self.server.gateway.explained(error)
            problem = {"type": "about:blank", "title": "The node cannot be reached", "status": 502, "detail": str(told)}
            self._answer(502, json.dumps(problem), {}, "application/problem+json")
            return
        with response:
            self._relay(response)

    def _ask(self, path: str, body: bytes | None, headers: dict[str, str]) -> http.client.HTTPResponse:
        """The node's answer. Raises OSError, HTTPException."""
        if self._node is not None and self.command == "GET":
            with contextlib.suppress(OSError, http.client.HTTPException):
                # The node may have hung up since: then once more, for what can be asked twice.
                self._node.request(self.command, path, body, headers)
                return self._node.getresponse()
        if self._node is not None:
            self._node.close()
        self._node = self.server.gateway.connection()
        try:
            self._node.request(self.command, path, body, headers)
            return self._node.getresponse()
        except BaseException:
            self._node.close()
            self._node = None
            raise

    def _relay(self, response: http.client.HTTPResponse) -> None:
        """Hand the answer on as it comes."""
        empty = response.status in (204, 304)
        length = response.getheader("Content-Length")
        self.send_response_only(response.status)
        for name in RESPONSE_HEADERS:
            if (value := response.getheader(name)) is not None:
                self.send_header(name, value)
        self.send_header("Content-Security-Policy", PAGE_POLICY)
        if length is not None:
            self.send_header("Content-Length", length)
        elif not empty:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if empty:
            return
        # Whatever is missing at the end, the browser is to know: then the connection ends without an end.
        close, self.close_connection = self.close_connection, True
        left = None if length is None else int(length)
        try:
            while piece := response.read1(PIECE):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if left is None else piece)
                left = None if left is None else left - len(piece)
        except (OSError, http.client.HTTPException):
            if self._node is not None:
                self._node.close()
                self._node = None
            return
        if left is None:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = close or bool(left)

"""Who may use the dashboard's local server: whoever opened its link, once, in the same browser since.

Everybody on this machine can connect to the server, and every page in the user's browser can make it send requests
there. What holds them off:

* The link has a token that is good once, for a few minutes. It becomes a cookie that scripts cannot read and that
  is not sent along with what other sites ask for.
* Cookies know no ports: another server on this machine, to which the user was lured, would get it. So the cookie is
  for a path that is a secret as well.
* A name that is not this machine's own is refused (DNS rebinding), and so is what a page of another origin asks for.
"""

from __future__ import annotations

import secrets
import threading
import time
from email.message import Message

LINK_SECONDS = 300.0
COOKIE = "joblet-dashboard"
NAMES = ("127.0.0.1", "localhost")


class Door:
    """The lock of a server on ``port``."""

    def __init__(self, port: int) -> None:
        self._hosts = tuple(f"{name}:{port}" for name in NAMES)
        self._token: str | None = secrets.token_urlsafe(32)
        self._cookie = secrets.token_urlsafe(32)
        self._until = time.monotonic() + LINK_SECONDS
        self._lock = threading.Lock()
        self.link = f"http://{self._hosts[0]}/open/{self._token}"
        # Where the page is, for whoever has the cookie.
        self.home = f"/{secrets.token_urlsafe(16)}/"

    def refusal(self, headers: Message, opening: bool) -> str:
        """Why a request is refused by where it comes from, empty if it is not; ``opening`` for that of the link."""
        host = headers.get("Host", "")
        if host not in self._hosts:
            return f"This is the dashboard at {' or '.join(self._hosts)}, and the request was for {host[:100]!r}."
        if opening:
            return ""  # from a file, a terminal, or typed in; the token speaks for itself
        origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
        if origin not in (None, f"http://{host}") or site not in (None, "same-origin", "none"):
            return "A page of another site has asked for this."
        return ""

    def open(self, path: str) -> str | None:
        """For the path of the link: the cookie to set, the first time; None for any other time or path."""
        given = path.removeprefix("/open/")
        with self._lock:
            token, good = self._token, time.monotonic() < self._until
            if token is None or not secrets.compare_digest(given.encode(), token.encode()):
                return None
            self._token = None
        return f"{COOKIE}={self._cookie}; Path={self.home}; HttpOnly; SameSite=Strict" if good else None

    def inside(self, path: str, headers: Message) -> str | None:
        """The path that is meant for the node, if the request is from the browser that was let in."""
        if not path.startswith(self.home):
            return None
        # Not by http.cookies: other servers on this machine set cookies for this one as well, of the same name or such
        # that it would read none.
        pairs = (pair.strip().partition("=") for pair in headers.get("Cookie", "").split(";"))
        given = [value.encode() for name, _, value in pairs if name == COOKIE]
        known = any(secrets.compare_digest(value, self._cookie.encode()) for value in given)
        return path[len(self.home) - 1 :] if known else None

"""The edge of every request: who is it, may he, how much at once; and whatever goes wrong becomes a problem."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, cast

from aiohttp import web

from ..api.admission import Admission, known_leaf
from ..api.server import AuditLine, Caller
from ..errors import Denied, JobletError
from ..identity import Leaf
from . import problems
from .guard import CURRENT
from .routes import Route
from .tls import peer_pem

log = logging.getLogger(__name__)

# An answer that is no stream, and that its client does not take.
SEND_SEC = 60.0
GOODBYE_SEC = 5.0
PIECE_BYTES = 64 << 10
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
INTERNAL = "The daemon failed; 'journalctl -u joblet' on the host tells more. This is a bug."


class Edge:
    """Wraps handlers."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def wrap(self, route: Route) -> Any:
        """The route's handler as aiohttp calls it."""
        return functools.partial(self._answer, route)

    async def _answer(self, route: Route, request: web.Request) -> web.StreamResponse:
        line = AuditLine(route.call)
        try:
            line.leaf = leaf = _leaf_of(request)
            self._admission.admit(route.call, leaf)
            _check_origin(request, route)
            async with self._admission.while_good(leaf), contextlib.AsyncExitStack() as held:
                line.caller = caller = Caller(leaf.identity, held=held)
                caller.asked = request.match_info.get("job", "")
                response = await route.handler(request, caller)
                response = await _send(request, response)
            line.write("done" if response.status < 400 else f"HTTP {response.status}")
            return response
        except JobletError as error:
            line.write(f"{error.grpc_status}: {error}", denied=isinstance(error, Denied))
            return await _refuse(request, problems.of(error))
        except asyncio.CancelledError:
            line.write("broken off")
            raise
        except ConnectionError:
            line.write("broken off")
            connection = CURRENT.get()
            connection.abort()
            return connection.stream or web.Response(status=400)  # which nobody gets
        except web.HTTPException:
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, route.path)
            line.write(f"INTERNAL: {type(error).__name__}")
            return await _refuse(request, problems.plain(500, INTERNAL))


@web.middleware
async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
    """Frame the work for the connection's guard, and put what HTTP itself refuses into the same form."""
    guard = CURRENT.get()
    guard.begin()
    try:
        return cast(web.StreamResponse, await handler(request))
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return problems.response(problems.plain(error.status, _detail(request, error.status)), allow)
    finally:
        guard.end()


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries."""
    response.headers["Server"] = "joblet"  # aiohttp has said its version already
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _leaf_of(request: web.Request) -> Leaf:
    if request.transport is None:
        raise ConnectionResetError("the client has gone")
    return known_leaf(peer_pem(request.transport))


def _check_origin(request: web.Request, route: Route) -> None:
    """Browsers send a client's certificate with whatever any site makes them request: refuse what others ask for.

    Raises Denied. Browsers say where a request comes from (Fetch Metadata; Origin in RFC 6454), programs do not.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if route.page and request.headers.get("Sec-Fetch-Mode") == "navigate":
        return
    if site not in (None, "same-origin", "none") or origin not in (None, f"https://{request.host}"):
        raise Denied(
            f"A page of another site ({origin or site}) has asked for this.",
            hint="Open the host's own page; nothing else in a browser is let in.",
        )


async def _send(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Send an answer while it counts as its caller's; a client that does not take it is cut off."""
    try:
        async with asyncio.timeout(SEND_SEC):
            if isinstance(response, web.Response) and isinstance(response.body, bytes):
                response = await _send_in_pieces(request, response, response.body)
            else:
                await response.prepare(request)  # nothing new for a stream
            await response.write_eof()
    except TimeoutError:
        raise ConnectionResetError("the client did not take the answer") from None
    return response


async def _send_in_pieces(request: web.Request, response: web.Response, body: bytes) -> web.StreamResponse:
    # What is written at once is in asyncio's buffers at once, and nobody waits for its way from there.
    if len(body) <= PIECE_BYTES:
        await response.prepare(request)
        return response
    stream = web.StreamResponse(status=response.status, headers=response.headers)
    stream.content_length = len(body)
    await stream.prepare(request)
    for begin in range(0, len(body), PIECE_BYTES):
        await stream.write(body[begin : begin + PIECE_BYTES])
        await asyncio.sleep(0)  # a connection that breaks is to be seen
    return stream


async def _refuse(request: web.Request, problem: dict[str, Any]) -> web.StreamResponse:
    stream = CURRENT.get().stream
    if stream is None:
        response = problems.response(problem)
        if request.body_exists:
            response.force_close()  # what it is about to send is not wanted
        return response
    async with _goodbye(request):
        if stream.content_type == "text/event-stream":
            await stream.write(b"event: problem\ndata: " + json.dumps(problem).encode() + b"\n\n")
            await stream.write_eof()
    # Without a proper end a client knows that bytes are missing.
    CURRENT.get().abort()
    return stream


@contextlib.asynccontextmanager
async def _goodbye(request: web.Request) -> AsyncIterator[None]:
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(GOODBYE_SEC):
            yield
        # Let the transport write it out.
        await asyncio.sleep(0)


def _detail(request: web.Request, status: int) -> str:
    match status:
        case 404:
            return f"There is nothing at {request.path[:200]!r}; /v1/openapi.json lists what there is."
        case 405:
            return f"{request.method[:20]!r} is no method of {request.path[:200]!r}."
        case _:
            return "The request is not acceptable."

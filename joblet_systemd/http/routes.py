"""What a route is: a method and a path, the call of the wire contract that it stands for, and its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from ..api.server import Caller

Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """``call`` decides who may use it (``api.access.LEAST_ROLE``), and is what the audit calls it.

    A ``page`` may be opened from a link on another site.
    """

    method: str
    path: str
    call: str
    handler: Handler
    page: bool = False

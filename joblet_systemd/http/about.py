"""``/v1/whoami``: what the caller's certificate makes of him here."""

from __future__ import annotations

from aiohttp import web

from .. import __version__
from ..api.server import Caller
from . import query, view
from .routes import Route


class AboutRoutes:
    """The caller and this host; ``node_id`` names it."""

    def __init__(self, node_id: str) -> None:
        self._node_id = node_id

    def routes(self) -> list[Route]:
        """For the application."""
        return [Route("GET", "/v1/whoami", "JobService/ListJobs", self._whoami)]

    async def _whoami(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, ())
        return view.answer(
            {"name": caller.name, "role": str(caller.role), "node": self._node_id, "version": __version__}
        )

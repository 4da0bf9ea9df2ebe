"""``GET /v1/openapi.json``: the interface as a document."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from ..api.server import Caller
from . import query, view
from .routes import Route

FILE = Path(__file__).parent / "openapi.yml"


def document() -> dict[str, Any]:
    """The document as a value."""
    read: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read


def routes() -> list[Route]:
    """For the application."""
    return [Route("GET", "/v1/openapi.json", "JobService/ListJobs", _get)]


async def _get(request: web.Request, caller: Caller) -> web.StreamResponse:
    query.known(request, ())
    return web.Response(body=_text(), content_type="application/json")


@functools.cache
def _text() -> bytes:
    return view.text(document())

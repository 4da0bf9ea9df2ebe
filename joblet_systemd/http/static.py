"""``/`` and ``/static/…``: the dashboard's files, those of the directory ``page`` beside this module and no others."""

from __future__ import annotations

import functools
import mimetypes
from pathlib import Path

from aiohttp import web

from ..api.server import Caller
from .routes import Route

DIRECTORY = Path(__file__).parent / "page"
INDEX = "index.html"
CALL = "JobService/ListJobs"


def routes() -> list[Route]:
    """A route for each file: what there is is known when the daemon starts, and a path leads nowhere else."""
    files = sorted(path for path in DIRECTORY.rglob("*") if path.is_file())
    found = [
        Route("GET", f"/static/{path.relative_to(DIRECTORY).as_posix()}", CALL, functools.partial(_file, path))
        for path in files
    ]
    index = DIRECTORY / INDEX
    return [Route("GET", "/", CALL, functools.partial(_file, index), page=True), *found]


async def _file(path: Path, request: web.Request, caller: Caller) -> web.StreamResponse:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    charset = "utf-8" if kind.startswith("text/") or kind == "image/svg+xml" else None
    return web.Response(body=path.read_bytes(), content_type=kind, charset=charset)

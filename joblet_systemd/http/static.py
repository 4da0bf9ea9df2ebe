"""``/`` and ``/static/…``: the dashboard's files, those of the directory ``page`` beside this module and no others."""

from __future__ import annotations

import functools
from pathlib import Path

from aiohttp import web

from ..api.server import Caller
from .edge import HEADERS
from .routes import Route

DIRECTORY = Path(__file__).parent / "page"
INDEX = "index.html"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Besides what holds for every answer: nothing that would parse text as markup or script takes text.
PAGE_POLICY = f"{HEADERS['Content-Security-Policy']}; require-trusted-types-for 'script'; trusted-types 'none'"
CALL = "JobService/ListJobs"


def routes() -> list[Route]:
    """A route for each file: what there is is known when the daemon starts, and a path leads nowhere else."""
    files = sorted(path for path in DIRECTORY.iterdir() if path.suffix in TYPES)
    found = [
        Route("GET", f"/static/{path.relative_to(DIRECTORY).as_posix()}", CALL, functools.partial(_file, path))
        for path in files
    ]
    index = DIRECTORY / INDEX
    return [Route("GET", "/", CALL, functools.partial(_file, index), page=True), *found]


async def _file(path: Path, request: web.Request, caller: Caller) -> web.StreamResponse:
    headers = {"Content-Security-Policy": PAGE_POLICY}
    return web.Response(body=path.read_bytes(), content_type=TYPES[path.suffix], charset="utf-8", headers=headers)

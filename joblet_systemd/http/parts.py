"""Puts the HTTP interface together: all routes there are."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..api.admission import Admission
from ..api.metrics import MetricsService
from ..api.tls import KeyFiles
from ..jobs.kept import KeptFiles
from ..logs import Logs
from ..metrics.counts import Counts
from . import openapi, static
from .about import AboutRoutes
from .events import EventRoutes
from .gateway import Gateway, application
from .jobs import JobRoutes
from .logs import LogRoutes
from .metrics import MetricsRoutes
from .routes import Route
from .tls import Contexts

if TYPE_CHECKING:
    from ..jobs.requests import Jobs


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the daemon the routes need."""

    jobs: Jobs
    logs: Logs
    kept: KeptFiles
    metrics: MetricsService
    counts: Counts
    node_id: str


def routes(parts: Parts) -> list[Route]:
    """Every route; a module with more of them adds a line here."""
    return [
        *AboutRoutes(parts.node_id).routes(),
        *JobRoutes(parts.jobs, parts.kept, parts.node_id).routes(),
        *LogRoutes(parts.jobs, parts.logs).routes(),
        *MetricsRoutes(parts.jobs, parts.logs, parts.metrics, parts.counts).routes(),
        *EventRoutes(parts.jobs.book, parts.node_id).routes(),
        *openapi.routes(),
        *static.routes(),
    ]


def gateway(sockets: Sequence[socket.socket], pki: Path, admission: Admission, parts: Parts) -> Gateway:
    """The server of the HTTP interface, with the keys in the directory ``pki``."""
    return Gateway(sockets, Contexts(KeyFiles(pki)), application(admission, routes(parts)))

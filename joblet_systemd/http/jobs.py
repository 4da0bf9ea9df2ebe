"""``/v1/jobs``: list, look at, submit and stop jobs."""

from __future__ import annotations

from aiohttp import web

from ..api import messages
from ..api.server import Caller
from ..jobs.kept import KeptFiles
from ..jobs.requests import Jobs
from ..model import State
from . import view
from .routes import Route

LIST = "JobService/ListJobs"


class JobRoutes:
    """Jobs; ``node_id`` names this host in answers."""

    def __init__(self, jobs: Jobs, kept: KeptFiles, node_id: str) -> None:
        self._jobs = jobs
        self._kept = kept
        self._node_id = node_id

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("GET", "/v1/jobs", LIST, self._list),
            Route("GET", "/v1/jobs/{job}", "JobService/GetJobStatus", self._get),
        ]

    async def _list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        positions = self._jobs.positions()
        jobs = self._jobs.book.store.all()[-100:]
        jobs.reverse()
        entries = [view.entry(job, self._node_id, positions.get(job.id, 0)) for job in jobs]
        return view.answer({"jobs": entries, "next": None})

    async def _get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        job = self._jobs.book.get(request.match_info["job"], caller.actor)
        position = self._jobs.positions().get(job.id, 0) if job.state is State.PENDING else 0
        shown = view.job(job, self._node_id, position)
        shown["nextRuns"] = [messages.rfc3339(moment) for moment in await self._jobs.next_runs(job)]
        shown["filesKeptUntil"] = messages.rfc3339(self._kept.until(job)) or None
        return view.answer(shown)

"""``/v1/jobs``: list, look at, submit and stop jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from ..api import messages
from ..api.answers import Answers
from ..api.server import Caller
from ..api.threads import Threads
from ..errors import InvalidValue
from ..jobs.kept import KeptFiles
from ..jobs.waiting import STATES as WAITING
from ..model import Job, State
from . import body, query, view
from .routes import Route

if TYPE_CHECKING:
    from ..jobs.requests import Jobs


# That make answers: an event loop would be held up by one of some megabytes.
THREADS = 2
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
# A page ends early with the job that makes it that long: one of them can have some ten KiB.
PAGE_BYTES = 4 << 20
STATES = f"one or several of {','.join(State)}, each once"
LIST_PARAMETERS = ("limit", "before", "status", "owner", "q")


class JobRoutes:
    """Jobs; ``node_id`` names this host in answers."""

    def __init__(self, jobs: Jobs, kept: KeptFiles, node_id: str) -> None:
        self._jobs = jobs
        self._kept = kept
        self._node_id = node_id
        self._bodies = body.Bodies()
        self._threads = Threads(THREADS, "list")
        self._answers = Answers()

    def routes(self) -> list[Route]:
        """For the application."""
        return [
            Route("GET", "/v1/jobs", "JobService/ListJobs", self._list),
            Route("POST", "/v1/jobs", "JobService/RunJob", self._submit),
            Route("GET", "/v1/jobs/{job}", "JobService/GetJobStatus", self._get),
            Route("DELETE", "/v1/jobs/{job}", "JobService/StopJob", self._stop),
        ]

    async def _list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, LIST_PARAMETERS)
        limit = query.number(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        before = query.number(request, "before", 0, 1, 10**18) or None
        filters = {
            "states": _states(query.text(request, "status", accepted=STATES)),
            "owner": query.text(request, "owner"),
            "text": query.text(request, "q"),
        }
        await self._answers.turn(caller)
        positions = dict(self._jobs.positions())
        shown = await self._threads.run(self._page, limit, before, filters, positions)
        return web.Response(body=shown, content_type=body.TYPE)

    def _page(
        self, limit: int, before: int | None, filters: Mapping[str, object], positions: Mapping[str, int]
    ) -> bytes:
        entries: list[bytes] = []
        size, last = 0, None
        found = self._jobs.book.store.page(limit, before, **filters)  # type: ignore[arg-type]
        with contextlib.closing(found):
            for number, job in found:
                entries.append(view.text(view.entry(job, self._node_id, positions.get(job.id, 0))))
                size += len(entries[-1])
                if len(entries) == limit or size >= PAGE_BYTES:
                    last = str(number)
                    break
        return b'{"jobs":[%b],"next":%b}' % (b",".join(entries), view.text(last))

    async def _get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, ())
        await self._answers.turn(caller)
        return await self._shown(self._jobs.book.get(request.match_info["job"], caller.actor), caller)

    async def _shown(
        self, job: Job, caller: Caller, status: int = 200, headers: Mapping[str, str] | None = None, **more: object
    ) -> web.Response:
        """A job by itself, which can be several megabytes."""
        position = self._jobs.positions().get(job.id, 0) if job.state is State.PENDING else 0
        whole = {
            **view.job(job, self._node_id, position),
            "nextRuns": [messages.rfc3339(moment) for moment in await self._jobs.next_runs(job, caller.name)],
            "filesKeptUntil": messages.rfc3339(self._kept.until(job)) or None,
            **more,
        }
        text = await self._threads.run(view.text, whole)
        return web.Response(body=text, status=status, headers=headers, content_type=body.TYPE)

    async def _submit(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, ())
        asked = body.job(await self._bodies.json(request, caller.name, caller.held))
        with body.in_json_terms():
            spec = messages.spec_of(asked)
            job, notices = await self._jobs.submit(spec, caller.actor, caller.account, None, asked.secret_environment)
        caller.job = job.id
        # Its turn was that of the body, which lasts as long.
        return await self._shown(job, caller, 201, {"Location": f"/v1/jobs/{job.id}"}, notices=notices)

    async def _stop(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        query.known(request, ())
        job = self._jobs.book.get_own(request.match_info["job"], caller.actor)
        caller.job = job.id
        if job.state in WAITING:
            job = await self._jobs.cancel(job.id, caller.actor)
        else:
            job = await self._jobs.stop(job.id, caller.actor)
        await self._answers.turn(caller)
        return await self._shown(job, caller)


def _states(text: str) -> list[State]:
    words = [word.upper() for word in text.split(",")] if text else []
    if not set(words) <= set(State) or len(set(words)) < len(words):
        raise InvalidValue("status", text, STATES)
    return [State(word) for word in words]

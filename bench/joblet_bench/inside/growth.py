"""What a great many stored jobs cost: the daemon's start, and the list."""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator

from joblet_systemd.config import STATE_DIR
from joblet_wire import joblet_pb2

from ..figures import Budget, Finding, Spread
from . import daemon
from .scale import Scale, tell

START_UP, PAGE = Budget("≤ 2 s", 2.0), Budget("≤ 50 ms", 50.0)
# Ids that no job of this host has.
MARK = "ffffffff"


def measure(scale: Scale) -> Iterator[Finding]:
    """With no more jobs than there are, then with copies of a finished one."""
    with daemon.connected() as service:
        job = daemon.run_all(service, 1, ["echo", "one of many"])[0]
        daemon.until(lambda: daemon.states(service)[job] == "COMPLETED")
    few = len(_stored("SELECT id FROM jobs"))
    few_start = _restart()
    tell(f"{scale.stored} jobs are stored")
    # No more than jobs.keep_jobs, or the daemon would forget the oldest.
    _without_daemon(lambda: _fill(job, max(1, scale.stored - few)))
    row = f"{scale.stored:,} stored jobs".replace(",", " ")
    try:
        starts = [_restart() for _ in range(3)]
        figure = Spread.of(starts)
        ratio = Spread.of([value / few_start for value in starts])
        yield Finding(
            row,
            "start-up",
            "s",
            figure,
            f"with {few} jobs",
            ratio,
            budget=START_UP.text,
            met=START_UP.met(figure.median),
        )
        yield _page(row, scale)
        with daemon.connected() as service:
            daemon.states(service)
            begun = time.monotonic()
            daemon.states(service)
            yield Finding(row, "ListJobs: all of them, one message", "s", Spread.of([time.monotonic() - begun]))
            times = []
            for _ in range(scale.calls):
                begun = time.monotonic()
                service.GetJobStatus(joblet_pb2.GetJobStatusRequest(uuid=job[:12]))
                times.append((time.monotonic() - begun) * 1000)
            yield Finding(row, "GetJobStatus by the beginning of an id", "ms", Spread.of(times))
    finally:
        _without_daemon(lambda: _stored(f"DELETE FROM jobs WHERE id >= '{MARK}'"))


def _page(row: str, scale: Scale) -> Finding:
    """The first page of the list, as the dashboard asks for it."""
    what = "first page of the list, 100 jobs"
    try:
        with contextlib.closing(daemon.gateway()) as connection:
            times = []
            for _ in range(scale.calls):
                begun = time.monotonic()
                status, body = daemon.first_page(connection)
                times.append((time.monotonic() - begun) * 1000)
                if status != http.client.OK or not json.loads(body)["jobs"]:
                    return Finding(row, what, budget=PAGE.text, why_not=f"the gateway answered {status}")
    except OSError as error:
        return Finding(row, what, budget=PAGE.text, why_not=f"no HTTP gateway: {error.strerror or error}")
    figure = Spread.of(times)
    return Finding(row, what, "ms", figure, budget=PAGE.text, met=PAGE.met(figure.median))


def _restart() -> float:
    """Seconds until the daemon says that it is ready."""
    daemon.systemctl("stop", "joblet.service")
    begun = time.monotonic()
    daemon.systemctl("start", "joblet.service")
    return time.monotonic() - begun


def _without_daemon(work: Callable[[], object]) -> None:
    daemon.systemctl("stop", "joblet.socket", "joblet.service")
    try:
        work()
    finally:
        daemon.systemctl("start", "joblet.socket", "joblet.service")


def _stored(statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(STATE_DIR / "joblet.db", isolation_level=None) as store:
        return store.execute(statement).fetchall()


def _fill(job: str, number: int) -> None:
    with sqlite3.connect(STATE_DIR / "joblet.db") as store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(jobs)") if row[1] not in ("number", "id")]
        names = ", ".join(columns)
        store.executemany(
            f"INSERT INTO jobs (id, {names}) SELECT ?, {names} FROM jobs WHERE id = ?",
            ((f"{MARK}{str(uuid.uuid4())[8:]}", job) for _ in range(number)),
        )

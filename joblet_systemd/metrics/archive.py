"""The samples of jobs on disk, in a file beside the job store.

Samples can be done without, and jobs cannot: so the two share neither a file nor its locks. A full disk loses
samples, a damaged file all of them, and a power cut the last ones; none of that reaches a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from .. import storefile
from .sample import MAX_KEPT, VALUES, Sample, spaced, step_for, with_shares

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
COLUMNS = ("time_usec", *VALUES)
SCHEMA = f"""
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        kept INTEGER NOT NULL DEFAULT 0,
        newest_usec INTEGER,
        step_usec INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE samples (
        job INTEGER NOT NULL,
        time_usec INTEGER NOT NULL,
        {", ".join(f"{name} {'REAL' if name.endswith(('_percent', '_pressure')) else 'INTEGER'}" for name in VALUES)},
        PRIMARY KEY (job, time_usec)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = {SCHEMA_VERSION};
"""
# Of all jobs together, some 80 bytes each. The jobs that started first lose theirs first.
MAX_ROWS = 1_000_000
SECONDS_BETWEEN_WARNINGS = 600.0

Result = TypeVar("Result")


class Archive:
    """Keeps at most MAX_KEPT samples of a job. Methods are called in the event loop; one thread uses the file."""

    def __init__(self, path: Path, max_rows: int = MAX_ROWS) -> None:
        self._path = path
        self._max_rows = max_rows
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="samples")
        self._db: sqlite3.Connection | None = None
        self._pending: dict[str, list[Sample]] = {}
        self._warned: float | None = None

    @property
    def pending(self) -> int:
        """How many samples are in memory alone."""
        return sum(map(len, self._pending.values()))

    def add(self, job_id: str, sample: Sample) -> None:
        """Take a sample, to be written with the next ``flush``."""
        self._pending.setdefault(job_id, []).append(sample)

    async def flush(self) -> None:
        """Write what was added, all in one transaction."""
        if self._pending:
            batch, self._pending = self._pending, {}
            await self._do(lambda db: self._write(db, batch))

    async def of(self, job_id: str) -> list[Sample]:
        """All samples of a job, the oldest first, each with its CPU share."""
        # What is on its way to the file is there before this is looked at: the thread does one after the other.
        pending = self._pending.get(job_id, [])[:]
        stored = await self._do(lambda db: _read(db, job_id)) or []
        newest = stored[-1].time_usec if stored else 0
        return with_shares([*stored, *(sample for sample in pending if sample.time_usec > newest)])

    def forget(self, job_ids: Collection[str]) -> None:
        """Delete the samples of jobs; nobody waits for it."""
        for job_id in job_ids:
            self._pending.pop(job_id, None)
        self._thread.submit(self._attempt, lambda db: _delete(db, job_ids))

    def forget_others(self, known: Set[str]) -> None:
        """Delete the samples of all jobs but those: a killed daemon may have forgotten a job and not its samples."""

        def work(db: sqlite3.Connection) -> None:
            _delete(db, {row[0] for row in db.execute("SELECT id FROM jobs")} - known)

        self._thread.submit(self._attempt, work)

    async def close(self) -> None:
        """Write what is left and close the file."""
        await self.flush()
        await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def _run(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        return await self._run(lambda: self._attempt(work))

    # --- in the thread

    def _attempt(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """What the work returns; None when the file cannot be used, which is logged now and then."""
        try:
            return work(self._open())
        except (sqlite3.Error, OSError) as error:
            self._explain(error)
            return None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            db = storefile.connect(self._path, "OFF")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != SCHEMA_VERSION:
                if version or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    db.close()
                    raise sqlite3.DatabaseError(f"it has version {version}, and this joblet writes {SCHEMA_VERSION}")
                db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            self._db = db
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _explain(self, error: sqlite3.Error | OSError) -> None:
        self._close()
        # Of these the base class itself is raised for a file that is none, or not one of ours.
        unusable = type(error) is sqlite3.DatabaseError
        if unusable:
            for path in (self._path, *(self._path.with_name(self._path.name + end) for end in ("-wal", "-shm"))):
                path.unlink(missing_ok=True)
        if self._warned is None or time.monotonic() - self._warned > SECONDS_BETWEEN_WARNINGS:
            self._warned = time.monotonic()
            what = "it is begun anew" if unusable else "samples of jobs are lost meanwhile; jobs are not affected"
            log.warning("the samples in %s cannot be used: %s; %s", self._path, error, what)

    def _write(self, db: sqlite3.Connection, batch: dict[str, list[Sample]]) -> None:
        marks = ", ".join("?" * (len(COLUMNS) + 1))
        insert = f"INSERT OR REPLACE INTO samples (job, {', '.join(COLUMNS)}) VALUES ({marks})"
        with _transaction(db):
            for job_id, samples in batch.items():
                db.execute("INSERT OR IGNORE INTO jobs (id) VALUES (?)", (job_id,))
                select = "SELECT number, kept, newest_usec, step_usec FROM jobs WHERE id = ?"
                number, kept, newest, step = db.execute(select, (job_id,)).fetchone()
                wanted = set(spaced((sample.time_usec for sample in samples), step, newest))
                rows = [(number, *_row(sample)) for sample in samples if sample.time_usec in wanted]
                if not rows:
                    continue
                db.executemany(insert, rows)
                db.execute(
                    "UPDATE jobs SET kept = ?, newest_usec = ? WHERE number = ?",
                    (kept + len(rows), rows[-1][1], number),
                )
                if kept + len(rows) > MAX_KEPT:
                    _thin(db, number)
            self._make_room(db)

    def _make_room(self, db: sqlite3.Connection) -> None:
        surplus = (db.execute("SELECT sum(kept) FROM jobs").fetchone()[0] or 0) - self._max_rows
        if surplus > 0:
            gone = []
            for job_id, kept in db.execute("SELECT id, kept FROM jobs ORDER BY number"):
                gone.append(job_id)
                surplus -= kept
                if surplus <= 0:
                    break
            _delete_rows(db, gone)


def _thin(db: sqlite3.Connection, number: int) -> None:
    times = [row[0] for row in db.execute("SELECT time_usec FROM samples WHERE job = ? ORDER BY time_usec", (number,))]
    step = step_for(times)
    kept = spaced(times, step)
    gone = sorted(set(times) - set(kept))
    db.executemany("DELETE FROM samples WHERE job = ? AND time_usec = ?", ((number, time) for time in gone))
    db.execute(
        "UPDATE jobs SET kept = ?, newest_usec = ?, step_usec = ? WHERE number = ?",
        (len(kept), kept[-1], step, number),
    )


def _read(db: sqlite3.Connection, job_id: str) -> list[Sample]:
    select = f"SELECT {', '.join(COLUMNS)} FROM samples WHERE job = (SELECT number FROM jobs WHERE id = ?)"
    return [Sample(*row) for row in db.execute(f"{select} ORDER BY time_usec", (job_id,))]


def _row(sample: Sample) -> tuple[int | float | None, ...]:
    return tuple(getattr(sample, name) for name in COLUMNS)


def _delete(db: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    with _transaction(db):
        _delete_rows(db, job_ids)


def _delete_rows(db: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    for job_id in job_ids:
        db.execute("DELETE FROM samples WHERE job = (SELECT number FROM jobs WHERE id = ?)", (job_id,))
        db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:  # SQLite ends it by itself when the disk is full
            db.execute("ROLLBACK")
        raise

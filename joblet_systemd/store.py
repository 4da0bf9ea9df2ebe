"""What should be: jobs in SQLite. What is, systemd knows.

Calls block for tens of microseconds and are made from the event loop's thread. WAL with
synchronous=NORMAL loses nothing when the daemon is killed; a power cut may lose the last moments,
and with them jobs that the same cut ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Collection, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from . import storefile
from .errors import Ambiguous, JobletError, NotFound
from .model import FINAL_STATES, Job, JobSpec, Limits, State, Usage

SHORTEST_PREFIX = 8

# One entry per schema version; PRAGMA user_version counts those applied. Never edit one that was released.
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        owner TEXT NOT NULL,
        account TEXT NOT NULL,
        spec TEXT NOT NULL,
        uploads TEXT NOT NULL,
        submitted_usec INTEGER NOT NULL,
        started_usec INTEGER,
        ended_usec INTEGER,
        exit_code INTEGER,
        reason TEXT NOT NULL,
        stop_requested INTEGER NOT NULL,
        boot_id TEXT NOT NULL,
        usage TEXT NOT NULL
    ) STRICT;
    CREATE INDEX jobs_unfinished ON jobs (state)
        WHERE state NOT IN ('COMPLETED', 'FAILED', 'STOPPED', 'CANCELED', 'TIMEOUT');
    """,
    """
    ALTER TABLE jobs ADD COLUMN name TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE jobs ADD COLUMN seq_base INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN due_usec INTEGER;
    ALTER TABLE jobs ADD COLUMN files_kept INTEGER NOT NULL DEFAULT 0;
    UPDATE jobs SET name = json_extract(spec, '$.name');
    UPDATE jobs SET files_kept = 1 WHERE state NOT IN ('COMPLETED', 'FAILED', 'STOPPED', 'CANCELED', 'TIMEOUT');
    CREATE INDEX jobs_name ON jobs (name) WHERE name <> '';
    CREATE INDEX jobs_ended ON jobs (ended_usec);
    CREATE INDEX jobs_files ON jobs (ended_usec) WHERE files_kept;
    """,
    """
    -- What jobs have used has more values in it, which an earlier version would stumble over.
    """,
    """
    -- Of spec and uploads, in bytes; 0 for jobs of earlier versions.
    ALTER TABLE jobs ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
    -- Small ones are bounded by their number. What is read for the sums is all in the index.
    CREATE INDEX jobs_large ON jobs (owner, state, ended_usec, size, id) WHERE size > 4096;
    DROP INDEX jobs_name;
    CREATE INDEX jobs_name ON jobs (name, state, owner) WHERE name <> '';
    """,
)
COLUMNS = (
    *("id", "state", "owner", "account", "spec", "uploads", "submitted_usec", "started_usec", "ended_usec"),
    *("exit_code", "reason", "stop_requested", "boot_id", "usage", "name", "parent", "attempt", "seq_base"),
    *("due_usec", "files_kept"),
)
AS_JSON = ("spec", "uploads", "usage")
# What was asked for stays as it is, but for limits and priority; in memory a job may have a part of it only.
ASKED_FOR = ("spec", "uploads", "name")
_FINAL = ", ".join(f"'{state}'" for state in sorted(FINAL_STATES))
_LIVE = ", ".join(f"'{state}'" for state in sorted(set(State) - FINAL_STATES))
COLUMN_LIST = ", ".join(COLUMNS)


class Store:
    """The jobs on disk. Raises JobletError when the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            storefile.check_log(path)
            self._db = storefile.connect(path, "NORMAL")
            self._migrate()
            storefile.check(self._db, path, COLUMN_LIST)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what went wrong with the file, and the way out."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise storefile.unusable(self._path, error) from error

    def _migrate(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise storefile.newer(self._path, version, len(MIGRATIONS))
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._db.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")

    def close(self) -> None:
        """Write everything back into one file."""
        self._db.close()

    def add(self, job: Job) -> None:
        """Store a new job."""
        marks = ", ".join("?" * len(COLUMNS))
        values = dict(zip(COLUMNS, _encoded(job, COLUMNS), strict=True))
        size = len(values["spec"]) + len(values["uploads"])
        self._execute(f"INSERT INTO jobs ({COLUMN_LIST}, size) VALUES ({marks}, ?)", (*values.values(), size))

    def update(self, job: Job, before: Job | None = None) -> None:
        """Replace what is stored of the job with the same id, but for what was asked for beside limits and priority.

        ``before`` is what that is, if it is known: what is the same in both is not written, nor its indexes.
        """
        columns = [
            name
            for name in COLUMNS
            if name not in ASKED_FOR and (before is None or _plain(job, name) != _plain(before, name))
        ]
        assignments, values = [f"{column} = ?" for column in columns], _encoded(job, columns)
        limits, priority = job.spec.limits, job.spec.priority
        if before is None or (limits, priority) != (before.spec.limits, before.spec.priority):
            assignments.append("spec = json_set(spec, '$.limits', json(?), '$.priority', ?)")
            values += [json.dumps(dataclasses.asdict(limits)), priority]
        if assignments:
            self._execute(f"UPDATE jobs SET {', '.join(assignments)} WHERE id = ?", (*values, job.id))

    def add_run(self, job: Job | None, parent: Job) -> None:
        """Store a job that a schedule starts, if any, and what that leaves of the schedule: both or neither."""
        with self._transaction():
            if job is not None:
                self.add(job)
            self.update(parent)

    def find(self, reference: str, caller: str = "") -> Job:
        """The job with that id, the only one whose id begins so (8 characters at least), or the one of that name.

        Of several jobs with the name, those of the identity ``caller`` come first, and of these the one that
        has not ended. Raises NotFound or Ambiguous.
        """
        wanted = reference.strip()
        if exact := self._select("WHERE id = ?", wanted.lower()):
            return exact[0]
        if len(wanted) >= SHORTEST_PREFIX and _looks_like_an_id(wanted):
            # '~' sorts behind every character of a UUID.
            found = self._select("WHERE id >= ? AND id < ? || '~' LIMIT 4", wanted.lower(), wanted.lower())
            if found:
                return _only(found, f"Several jobs have an id that begins with {reference!r}")
        # Each is a look into the index, however many jobs have the name.
        for states, owner in ((_LIVE, caller), (_FINAL, caller), (_LIVE, None), (_FINAL, None)):
            whose, parameters = ("", (wanted,)) if owner is None else (" AND owner = ?", (wanted, owner))
            few = f"SELECT number FROM jobs WHERE name = ? AND name <> '' AND state IN ({states}){whose} LIMIT 4"
            if named := self._select(f"WHERE number IN ({few}) ORDER BY number DESC", *parameters):
                return _only(named, f"Several jobs are called {reference!r}")
        raise NotFound(
            f"There is no job {reference!r}.",
            hint=f"Give a job's id, at least the first {SHORTEST_PREFIX} characters of it, or its name; "
            "'rnx job list' shows the jobs.",
        )

    def finished(self, owner: str | None) -> list[str]:
        """The ids of all jobs that have ended, or of those of one identity."""
        clause, parameters = ("", ()) if owner is None else (" AND owner = ?", (owner,))
        select = f"SELECT id FROM jobs WHERE state IN ({_FINAL}){clause}"
        with self._explained():
            return [row[0] for row in self._execute(select, parameters)]

    def delete(self, job_ids: Iterable[str]) -> None:
        """Forget jobs, all or none."""
        with self._transaction():
            for job_id in job_ids:
                self._execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def unfinished_bytes(self, owner: str) -> int:
        """What an identity's jobs with long specs or lists of uploads, which have not ended, take in all."""
        select = f"SELECT total(size) FROM jobs WHERE size > 4096 AND owner = ? AND state IN ({_LIVE})"
        return int(self._execute(select, (owner,)).fetchone()[0])

    def surplus(self, keep: int, ended_before_usec: int, keep_bytes: int, limit: int) -> list[str]:
        """The ids of finished jobs to forget: that ended before then, and the oldest beyond what there is to keep.

        ``keep`` is a number of jobs, ``keep_bytes`` what the long ones of one identity may take; ``limit`` ids at most.
        """
        with self._explained():
            rows = self._execute(
                f"SELECT id FROM jobs WHERE state IN ({_FINAL}) AND ended_usec < ? UNION SELECT id FROM "
                f"(SELECT id FROM jobs WHERE state IN ({_FINAL}) ORDER BY ended_usec DESC LIMIT -1 OFFSET ?) "
                "UNION SELECT id FROM (SELECT id, sum(size) OVER (PARTITION BY owner ORDER BY ended_usec DESC) AS taken"
                f" FROM jobs WHERE size > 4096 AND state IN ({_FINAL})) WHERE taken > ? LIMIT ?",
                (ended_before_usec, keep, keep_bytes, limit),
            )
            return [row[0] for row in rows]

    def oldest_end(self) -> int | None:
        """When the finished job that ended first did so, in microseconds since the epoch."""
        oldest = self._execute(f"SELECT min(ended_usec) FROM jobs WHERE state IN ({_FINAL})", ()).fetchone()[0]
        return None if oldest is None else int(oldest)

    def each(self) -> Iterator[Job]:
        """All jobs, the oldest first, one by one, as they are at the first. May be used in any one thread."""
        with self._reading() as db:
            yield from map(self._decoded, db.execute(f"SELECT {COLUMN_LIST} FROM jobs ORDER BY number"))

    def newest(self, limit: int, states: Collection[State] = ()) -> Iterator[Job]:
        """The newest ``limit`` jobs, of those in the given states if there are any, in the same way as ``each``."""
        condition = f"WHERE state IN ({', '.join('?' * len(states))})" if states else ""
        numbers = f"SELECT number FROM jobs {condition} ORDER BY number DESC LIMIT ?"
        query = f"SELECT {COLUMN_LIST} FROM jobs WHERE number IN ({numbers}) ORDER BY number"
        with self._reading() as db:
            yield from map(self._decoded, db.execute(query, (*map(str, states), limit)))

    def page(
        self, limit: int, before: int | None = None, states: Collection[State] = (), owner: str = "", text: str = ""
    ) -> Generator[tuple[int, Job], None, None]:
        """The newest jobs, each with its number, the newest first: those with a number below ``before``.

        ``text`` is looked for in id, name, command and arguments, whatever the case of ASCII letters. May be used
        in any thread: a look at all jobs for a text takes its time. One by one: a job may take a megabyte.
        """
        conditions = ["number < ?"]
        parameters: list[Any] = [2**63 - 1 if before is None else before]
        if states:
            conditions.append(f"state IN ({', '.join('?' * len(states))})")
            parameters += map(str, states)
        if owner:
            conditions.append("owner = ?")
            parameters.append(owner)
        if text:
            places = ("id", "name", "json_extract(spec, '$.command')", "json_extract(spec, '$.args')")
            conditions.append(f"({' OR '.join(f'instr(lower({place}), lower(?))' for place in places)})")
            parameters += [text] * 3 + [json.dumps(text)[1:-1]]
        query = f"SELECT number, {COLUMN_LIST} FROM jobs WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT ?"
        with self._reading() as db:
            for row in db.execute(query, (*parameters, limit)):
                yield row[0], self._decoded(row[1:])

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own, for any one thread."""
        with self._explained(), contextlib.closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as db:
            yield db

    def unfinished(self) -> Iterator[Job]:
        """The jobs that are not in a final state, the oldest first, one by one: each may take megabytes."""
        select = f"SELECT {COLUMN_LIST} FROM jobs WHERE state NOT IN ({_FINAL}) ORDER BY number"
        with self._reading() as db:
            yield from map(self._decoded, db.execute(select))

    def next_kept(self, ended_usec: int = 0, job_id: str = "") -> tuple[str, int] | None:
        """The job with files that ended first after that one: its id, and when it ended; None when there is none."""
        query = (
            f"SELECT id, ended_usec FROM jobs WHERE files_kept AND state IN ({_FINAL}) AND ended_usec >= ?"
            " AND (ended_usec, id) > (?, ?) ORDER BY ended_usec, id LIMIT 1"
        )
        found: tuple[str, int] | None = self._execute(query, (ended_usec, ended_usec, job_id)).fetchone()
        return found

    def kept(self) -> dict[str, str]:
        """The accounts of all ended jobs with files, by the jobs' ids."""
        with self._explained():
            return dict(self._execute(f"SELECT id, account FROM jobs WHERE files_kept AND state IN ({_FINAL})"))

    def files_gone(self, job_id: str) -> None:
        """The files of a job have been removed."""
        self._execute("UPDATE jobs SET files_kept = 0 WHERE id = ?", (job_id,))

    def ids(self) -> set[str]:
        """The ids of all jobs."""
        return {row[0] for row in self._execute("SELECT id FROM jobs")}

    def count(self) -> int:
        """How many jobs there are."""
        return int(self._execute("SELECT count(*) FROM jobs").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE")
        try:
            yield
            self._execute("COMMIT")
        except JobletError:
            if self._db.in_transaction:  # SQLite ends it by itself when the disk is full
                self._execute("ROLLBACK")
            raise

    def _select(self, clause: str, *parameters: Any) -> list[Job]:
        with self._explained():
            return [self._decoded(row) for row in self._execute(f"SELECT {COLUMN_LIST} FROM jobs {clause}", parameters)]

    def _decoded(self, row: tuple[Any, ...]) -> Job:
        try:
            return _job(row)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise storefile.undecodable(self._path, row[0], error) from error

    def _execute(self, statement: str, parameters: Iterable[Any] = ()) -> sqlite3.Cursor:
        with self._explained():
            return self._db.execute(statement, tuple(parameters))


def _looks_like_an_id(text: str) -> bool:
    return set(text.lower()) <= set("0123456789abcdef-")


def _only(found: list[Job], several: str) -> Job:
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{job.id} ({job.state})" for job in found[:3])
    raise Ambiguous(f"{several}: {shown}{', …' if len(found) > 3 else ''}.", hint="Give the id.")


def _plain(job: Job, column: str) -> Any:
    """What a column has of a job, not encoded."""
    return job.spec.name if column == "name" else getattr(job, column)


def _encoded(job: Job, columns: Iterable[str]) -> list[Any]:
    """What columns have of a job, as SQLite takes it."""
    values = ((column, _plain(job, column)) for column in columns)
    return [_json(value) if column in AS_JSON else value for column, value in values]


def _json(value: Any) -> str:
    return json.dumps(dataclasses.asdict(value) if isinstance(value, JobSpec | Usage) else value)


def _job(row: Iterable[Any]) -> Job:
    values = dict(zip(COLUMNS, row, strict=True))
    del values["name"]  # a copy of the spec's, to be found by
    spec = json.loads(values["spec"])
    spec["args"] = tuple(spec["args"])
    for name in ("secrets", "calendar"):
        spec[name] = tuple(spec.get(name, ()))
    spec["limits"] = Limits(**spec["limits"])
    changed = {
        "spec": JobSpec(**spec),
        "state": State(values["state"]),
        "stop_requested": bool(values["stop_requested"]),
        "files_kept": bool(values["files_kept"]),
        "uploads": tuple(json.loads(values["uploads"])),
        "usage": Usage(**json.loads(values["usage"])),
    }
    return Job(**{**values, **changed})

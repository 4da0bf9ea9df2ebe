"""The file of a store: how it is opened, what can be wrong with that of the jobs, and the way out."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from .errors import Exhausted, JobletError

WAL_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")  # https://sqlite.org/fileformat2.html#the_write_ahead_log

NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR")
NOT_WRITABLE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")
IN_USE = ("SQLITE_BUSY", "SQLITE_LOCKED")
DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR", "SQLITE_FORMAT")

# Up to this size a look at every page takes some tens of milliseconds.
CHECKED_BYTES = 16 << 20

# The kernel has the same pages. SQLite's default is 2 MB for each file, which it does not give back.
CACHE_KIB = 256

GO_ON = "Running jobs go on."


def connect(path: Path, synchronous: str) -> sqlite3.Connection:
    """A connection, for this thread, to a file that root alone may read, which is made if there is none.

    Autocommit, with a write-ahead log; ``synchronous`` is SQLite's pragma.
    """
    db = sqlite3.connect(path, isolation_level=None)
    path.chmod(0o600)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return db


def check_log(path: Path) -> None:
    """Raises JobletError when the write-ahead log beside ``path`` is no such thing.

    SQLite takes one with a bad head for an empty one, and what was written last would be lost without a
    word. A head of zeros, or none, is what a power cut leaves of a log that was just begun.
    """
    log = wal_of(path)
    try:
        with log.open("rb") as file:
            head = file.read(len(WAL_MAGIC[0]))
    except FileNotFoundError:
        return
    except OSError as error:
        raise unusable(path, error) from error
    if head.strip(b"\0") and head not in WAL_MAGIC:
        raise JobletError(
            f"The job store {path} cannot be used: {log} is damaged, and what was recorded last is in it.",
            hint=f"{GO_ON} Bring {path} and {log.name} back from a backup. Without one, move {log} (and "
            f"{path.name}-shm) away and restart joblet.service: it goes on with what {path.name} itself has, and "
            "leaves running jobs that are not in it alone.",
        )


def check(db: sqlite3.Connection, path: Path, columns: str) -> None:
    """Raises JobletError when the table of jobs or one of its columns is missing, or the file is damaged inside."""
    db.execute(f"SELECT {columns} FROM jobs LIMIT 0")
    if path.stat().st_size <= CHECKED_BYTES:
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _damaged(path, found)


def newer(path: Path, version: int, known: int) -> JobletError:
    """The error for a store that a later joblet has written."""
    return JobletError(
        f"The job store {path} has version {version}, and this joblet knows {known}.",
        hint=f"{GO_ON} It was written by a newer joblet: install that one again. To go back all the same, move {path} "
        f"(with {path.name}-wal and {path.name}-shm) and the directory jobs beside it away: this joblet begins with an "
        "empty store and leaves what runs alone.",
    )


def unusable(path: Path, error: sqlite3.Error | OSError) -> JobletError:
    """What the failure of an access to the file means and asks for."""
    if isinstance(error, OSError):
        return _not_writable(path, error.strerror or str(error))
    name, text = getattr(error, "sqlite_errorname", "") or "", str(error)
    if name.startswith(NO_ROOM):
        return Exhausted(
            f"The job store {path} cannot be used: {text}.",
            hint=f"{GO_ON} Is the disk full ('df {path.parent}'), or failing ('journalctl -k -p err')? The daemon "
            "tries again by itself.",
        )
    if name.startswith(NOT_WRITABLE):
        return _not_writable(path, text)
    if name.startswith(IN_USE):
        return JobletError(
            f"The job store {path} is in use: {text}.",
            hint=f"{GO_ON} Does another program have it open ('fuser -v {path}')? Is a second jobletd running?",
        )
    if name.startswith(DAMAGED):
        return _damaged(path, text)
    return JobletError(f"The job store {path} cannot be used: {text}.", hint=GO_ON)


def undecodable(path: Path, job_id: object, error: Exception) -> JobletError:
    """The error for a row that is no job."""
    return _damaged(path, f"the record of job {job_id} is no job's ({type(error).__name__}: {error})")


def wal_of(path: Path) -> Path:
    """The write-ahead log of the database ``path``."""
    return path.with_name(f"{path.name}-wal")


def _not_writable(path: Path, why: str) -> JobletError:
    return JobletError(
        f"The job store {path} cannot be opened for writing: {why}.",
        hint=f"{GO_ON} Is the file system mounted read-only ('findmnt -T {path.parent}'), and are file and directory "
        "root's? The daemon tries again by itself.",
    )


def _damaged(path: Path, why: str) -> JobletError:
    return JobletError(
        f"The job store {path} is damaged: {why}.",
        hint=f"{GO_ON} Bring it back from a backup. Without one, move {path} (with {path.name}-wal and "
        f"{path.name}-shm) and the directory jobs beside it away and restart joblet.service: it makes a new store and "
        "leaves what runs alone.",
    )

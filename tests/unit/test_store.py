"""The store: what is put in comes out, prefixes resolve, a bad file says what to do."""

import dataclasses
import sqlite3
from pathlib import Path

import pytest

from joblet_systemd.errors import Ambiguous, JobletError, NotFound
from joblet_systemd.model import Job, JobSpec, Limits, State, Usage
from joblet_systemd.store import Store

FULL = Job(
    id="01234567-89ab-cdef-0123-456789abcdef",
    spec=JobSpec("sh", ("-c", "ünï\n"), "name", {"A": "b"}, Limits(50, "0-1", 1 << 30, 5)),
    owner="alice",
    account="joblet-alice",
    state=State.RUNNING,
    submitted_usec=1,
    started_usec=2,
    ended_usec=3,
    exit_code=4,
    reason="why",
    stop_requested=True,
    boot_id="b",
    uploads=("x", "y"),
    usage=Usage(1, 2, 3, 4),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "joblet.db")


def test_round_trip(store: Store) -> None:
    store.add(FULL)
    assert store.find(FULL.id) == FULL
    changed = dataclasses.replace(FULL, state=State.FAILED, exit_code=None)
    store.update(changed)
    assert store.all() == [changed]
    assert store.unfinished() == []
    assert store.count(State.FAILED) == 1


def test_it_survives_a_killed_daemon(store: Store, tmp_path: Path) -> None:
    store.add(FULL)
    # Not closed: a second connection sees what a new daemon would.
    assert Store(tmp_path / "joblet.db").all() == [FULL]


def test_prefixes(store: Store) -> None:
    store.add(FULL)
    other = dataclasses.replace(FULL, id="01234567-ffff-cdef-0123-456789abcdef")
    store.add(other)
    assert store.find("01234567-8") == FULL
    assert store.find("01234567-F") == other
    with pytest.raises(Ambiguous, match="Several jobs"):
        store.find("01234567")
    with pytest.raises(NotFound, match="at least the first 8"):
        store.find("0123456")
    for nothing in ("99999999", "%%%%%%%%", "", "'; DROP TABLE jobs; --"):
        with pytest.raises(NotFound):
            store.find(nothing)


def test_the_file_is_roots_alone(store: Store, tmp_path: Path) -> None:
    assert (tmp_path / "joblet.db").stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "joblet.db").write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(JobletError, match=r"move .* away and restart"):
        Store(tmp_path / "joblet.db")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "joblet.db") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(JobletError, match="newer joblet"):
        Store(tmp_path / "joblet.db")

"""The store: what is put in comes out, prefixes resolve, a bad file says what to do."""

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from joblet_systemd.errors import Ambiguous, Exhausted, JobletError, NotFound
from joblet_systemd.model import Job, JobSpec, Limits, State, Usage
from joblet_systemd.store import MIGRATIONS, Store

FULL = Job(
    id="01234567-89ab-cdef-0123-456789abcdef",
    spec=JobSpec(
        "sh",
        ("-c", "ünï\n"),
        "name",
        {"A": "b"},
        Limits(50, "0-1", 1 << 30, 5, 6 << 20, 7000),
        secrets=("SECRET",),
        priority=3,
        retries=2,
        retry_delay_usec=1,
        schedule="daily",
        time_zone="UTC",
        calendar=("*-*-* 00:00:00",),
        interactive=True,
    ),
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
    parent="p",
    attempt=2,
    seq_base=9,
    due_usec=5,
    files_kept=False,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "joblet.db")


def test_round_trip(store: Store) -> None:
    store.add(FULL)
    assert store.find(FULL.id) == FULL
    changed = dataclasses.replace(FULL, state=State.FAILED, exit_code=None)
    store.update(changed)
    assert list(store.each()) == [changed]
    assert list(store.unfinished()) == []
    assert store.count() == 1
    assert store.finished(None) == store.finished("alice") == [FULL.id]
    assert store.finished("bob") == []


def test_only_what_differs_is_written(store: Store, tmp_path: Path) -> None:
    store.add(FULL)
    with contextlib.closing(sqlite3.connect(tmp_path / "joblet.db", isolation_level=None)) as other:
        other.execute("UPDATE jobs SET owner = 'nobody else writes here'")
    limits = dataclasses.replace(FULL.spec.limits, cpu_percent=7)
    changed = dataclasses.replace(
        FULL, state=State.FAILED, usage=Usage(9), spec=dataclasses.replace(FULL.spec, limits=limits, priority=5)
    )
    store.update(changed, FULL)
    stored = store.find(FULL.id)
    assert stored == dataclasses.replace(changed, owner="nobody else writes here")
    store.update(changed, changed)
    assert list(store.each()) == [stored]


def test_it_survives_a_killed_daemon(store: Store, tmp_path: Path) -> None:
    store.add(FULL)
    # Not closed: a second connection sees what a new daemon would.
    assert list(Store(tmp_path / "joblet.db").each()) == [FULL]


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


# --- a file that is damaged: nothing is repaired or lost behind the administrator's back


def filled(path: Path, count: int = 200) -> None:
    """A store with that many jobs, closed."""
    store = Store(path)
    for number in range(count):
        store.add(dataclasses.replace(FULL, id=f"{number:08}-89ab-cdef-0123-456789abcdef"))
    store.close()


def edited(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scribbled(path: Path) -> None:
    """The pages are whole, but one in the middle is rubbish."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)


def overwritten(path: Path) -> None:
    path.write_bytes(b"not a database, by any means" * 100)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "no database": overwritten,
    "half of it": halved,
    "a page of rubbish": scribbled,
    "no table": lambda path: edited(path, "DROP TABLE jobs"),
    "no column": lambda path: edited(path, "ALTER TABLE jobs DROP COLUMN parent"),
    "another table": lambda path: edited(path, "DROP TABLE jobs", "CREATE TABLE jobs (id TEXT)"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_explained(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "joblet.db"
    filled(path)
    damage(path)
    before = path.read_bytes()
    with pytest.raises(JobletError) as caught:
        Store(path)
    assert f"The job store {path} is damaged: " in caught.value.message
    for part in ("Running jobs go on", "backup", f"move {path}", "joblet.db-wal", "the directory jobs", "restart"):
        assert part in caught.value.hint
    assert path.read_bytes() == before
    # The way out.
    for file in tmp_path.iterdir():
        file.rename(file.with_name(f"{file.name}.old"))
    assert list(Store(path).each()) == []


def test_a_damaged_log_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "joblet.db"
    filled(path)
    log = tmp_path / "joblet.db-wal"
    log.write_bytes(b"\xa5" * 10_000)
    with pytest.raises(JobletError) as caught:
        Store(path)
    assert f"{log} is damaged" in caught.value.message
    assert f"move {log}" in caught.value.hint
    assert log.stat().st_size == 10_000, "kept"
    log.rename(tmp_path / "moved")
    assert len(list(Store(path).each())) == 200


@pytest.mark.parametrize("head", [b"", b"\0" * 4096])
def test_a_log_that_was_just_begun_at_a_power_cut(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "joblet.db"
    filled(path)
    (tmp_path / "joblet.db-wal").write_bytes(head)
    assert len(list(Store(path).each())) == 200


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "joblet.db"
    filled(path)
    edited(path, "PRAGMA user_version = 99")
    with pytest.raises(JobletError, match=r"has version 99, and this joblet knows \d") as caught:
        Store(path)
    assert str(path) in caught.value.message
    assert "newer joblet: install that one again" in caught.value.hint


def test_a_record_that_is_no_jobs(tmp_path: Path) -> None:
    path = tmp_path / "joblet.db"
    filled(path, 2)
    edited(path, "UPDATE jobs SET spec = '[]' WHERE number = 2")
    store = Store(path)
    with pytest.raises(JobletError, match=r"the record of job 00000001-.* is no job's"):
        list(store.each())
    assert store.find("00000000").id.startswith("00000000")


def test_a_full_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "joblet.db")
    store.add(FULL)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite says the same then as on a full disk
    with pytest.raises(Exhausted, match=r"Is the disk full") as caught:
        store.add(dataclasses.replace(FULL, id="ffffffff-89ab-cdef-0123-456789abcdef", uploads=("x" * 100_000,)))
    assert str(tmp_path / "joblet.db") in caught.value.message
    assert list(store.each()) == [FULL]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "joblet.db").mkdir()
    with pytest.raises(JobletError, match="cannot be opened for writing") as caught:
        Store(tmp_path / "joblet.db")
    assert "findmnt" in caught.value.hint


def test_a_store_in_use(tmp_path: Path) -> None:
    store = Store(tmp_path / "joblet.db")
    other = sqlite3.connect(tmp_path / "joblet.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    store._db.execute("PRAGMA busy_timeout = 10")
    with pytest.raises(JobletError, match="is in use"):
        store.add(FULL)
    other.close()


def test_what_is_left_when_nothing_fits(tmp_path: Path) -> None:
    store = Store(tmp_path / "joblet.db")
    store.close()
    with pytest.raises(JobletError, match="cannot be used: Cannot operate on a closed database"):
        store.count()


def job(number: int, **changes: Any) -> Job:
    return dataclasses.replace(FULL, id=f"{number:08}-0000-0000-0000-000000000000", **changes)


def named(number: int, name: str, **changes: Any) -> Job:
    return job(number, spec=dataclasses.replace(FULL.spec, name=name), **changes)


def test_names(store: Store) -> None:
    done, running, others = (
        named(1, "web", state=State.FAILED),
        named(2, "web"),
        named(3, "web", owner="mallory"),
    )
    store.add(done)
    assert store.find("web") == done
    store.add(running)
    # Of several the one that has not ended, one's own before that of others.
    assert store.find("web", "alice") == running
    store.add(others)
    assert store.find("web", "alice") == running
    assert store.find("web", "mallory") == others
    with pytest.raises(Ambiguous, match=r"Several jobs are called 'web': .*00000003-.*00000002-"):
        store.find("web", "somebody")
    # What could be the beginning of an id may be a name.
    store.add(named(4, "deadbeef"))
    assert store.find("deadbeef").id.startswith("00000004")
    with pytest.raises(NotFound):
        store.find("WEB")


def test_nobody_takes_over_a_name_by_using_it_often(store: Store) -> None:
    own = named(1, "nightly", state=State.COMPLETED)
    store.add(own)
    store._db.execute("BEGIN")
    for number in range(2, 1202):
        state = State.RUNNING if number == 1201 else State.COMPLETED
        store.add(named(number, "nightly", owner="mallory", state=state))
    store._db.execute("COMMIT")
    assert store.find("nightly", "alice") == own
    assert store.find("nightly", "bob").id == named(1201, "").id


def test_a_schedule_keeps_its_name_however_often_it_has_run(store: Store) -> None:
    schedule = named(1, "often", state=State.SCHEDULED)
    store.add(schedule)
    store._db.execute("BEGIN")
    for number in range(2, 1202):
        store.add(named(number, "often", state=State.COMPLETED, parent=schedule.id))
    store._db.execute("COMMIT")
    assert store.find("often", "alice") == store.find("often", "bob") == schedule


def test_a_run_and_its_parent_are_stored_together_or_not_at_all(store: Store) -> None:
    parent, run = job(1, state=State.SCHEDULED), job(2, parent=job(1).id)
    store.add(parent)
    store.add_run(run, dataclasses.replace(parent, due_usec=77))
    assert [found.due_usec for found in store.each()] == [77, 5]
    with pytest.raises(JobletError):
        store.add_run(run, dataclasses.replace(parent, due_usec=88))  # such a job is there already
    assert store.find(parent.id).due_usec == 77
    store.add_run(None, dataclasses.replace(parent, due_usec=99))
    assert store.find(parent.id).due_usec == 99


def test_what_is_surplus(store: Store) -> None:
    for number in range(5):
        store.add(job(number, state=State.COMPLETED, ended_usec=number * 10))
    running = job(9, state=State.RUNNING, ended_usec=None)
    store.add(running)
    assert store.oldest_end() == 0
    assert sorted(store.surplus(5, 0, 1 << 30, 1000)) == []
    assert sorted(store.surplus(3, 0, 1 << 30, 1000)) == [job(0).id, job(1).id]
    assert sorted(store.surplus(100, 25, 1 << 30, 1000)) == [job(0).id, job(1).id, job(2).id]
    assert len(store.surplus(0, 0, 1 << 30, 1000)) == 5
    assert len(store.surplus(0, 0, 1 << 30, 2)) == 2
    store.delete(store.surplus(0, 0, 1 << 30, 1000))
    assert list(store.each()) == [running]
    assert store.oldest_end() is None


def test_long_records_of_one_identity_are_surplus_from_a_size_on(store: Store) -> None:
    def long(number: int, owner: str) -> Job:
        spec = JobSpec("sh", ("x" * 100_000,))
        return job(number, spec=spec, owner=owner, state=State.COMPLETED, ended_usec=number)

    for number in range(10):
        store.add(long(number, "mallory" if number % 2 else "alice"))
    store.add(job(20, state=State.COMPLETED, ended_usec=0))  # not long
    store.add(dataclasses.replace(long(30, "alice"), state=State.RUNNING, ended_usec=None))
    assert sorted(store.surplus(1000, 0, 250_000, 1000)) == [job(number).id for number in range(6)]
    assert store.surplus(1000, 0, 1_000_000, 1000) == []
    assert 100_000 < store.unfinished_bytes("alice") < 101_000
    assert store.unfinished_bytes("mallory") == 0
    plan = store._db.execute(
        "EXPLAIN QUERY PLAN SELECT id FROM (SELECT id, sum(size) OVER (PARTITION BY owner ORDER BY ended_usec DESC)"
        " FROM jobs WHERE size > 4096 AND state IN ('FAILED'))"
    ).fetchall()
    assert any("COVERING INDEX jobs_large" in row[3] for row in plan), "else every row is read, with all that is long"


def test_a_store_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    spec = json.dumps(
        {"command": "c", "args": ["a"], "name": "n", "environment": {}, "limits": {"cpu_percent": 50}},
    )
    with contextlib.closing(sqlite3.connect(tmp_path / "joblet.db")) as db:
        db.executescript(f"BEGIN; {MIGRATIONS[0]}; PRAGMA user_version = 1; COMMIT;")
        for number, state in ((1, "RUNNING"), (2, "COMPLETED")):
            db.execute(
                "INSERT INTO jobs VALUES (?, ?, ?, 'o', 'a', ?, '[]', 1, 2, NULL, NULL, '', 0, 'b', '{}')",
                (number, job(number).id, state, spec),
            )
        db.commit()
    running, done = Store(tmp_path / "joblet.db").each()
    assert running.spec == JobSpec("c", ("a",), "n", limits=Limits(50))
    assert (running.attempt, running.files_kept) == (1, True)
    assert not done.files_kept
    assert Store(tmp_path / "joblet.db").find("n") == running


SECOND_SPEC = {
    **{"command": "c", "args": ["a"], "name": "n", "environment": {"A": "b"}},
    "limits": {
        **{"cpu_percent": 50, "cpu_cores": "0", "memory_bytes": 1 << 20, "io_bytes_per_sec": 1 << 20},
        **{"disk_bytes": 6 << 20, "runtime_usec": 7000},
    },
    **{"secrets": ["S"], "priority": 5, "retries": 6, "retry_delay_usec": 7, "schedule": "", "time_zone": "UTC"},
    **{"calendar": [], "interactive": True},
}
SECOND_USAGE = {"cpu_usec": 8, "memory_peak_bytes": 9, "io_read_bytes": None, "io_write_bytes": None}


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A store as version 0.2.0 left it, with a job that runs."""
    with contextlib.closing(sqlite3.connect(tmp_path / "joblet.db")) as db:
        db.executescript(f"BEGIN; {MIGRATIONS[0]}; {MIGRATIONS[1]}; PRAGMA user_version = 2; COMMIT;")
        db.execute(
            "INSERT INTO jobs VALUES (1, ?, 'RUNNING', 'o', 'a', ?, '[\"x\"]', 1, 2, NULL, NULL, '', 0, 'b', ?, "
            "'n', 'p', 3, 4, NULL, 1)",
            (job(1).id, json.dumps(SECOND_SPEC), json.dumps(SECOND_USAGE)),
        )
        db.commit()
    return tmp_path / "joblet.db"


def test_a_store_of_the_second_version_is_taken_over(second: Path) -> None:
    store = Store(second)
    limits = Limits(50, "0", 1 << 20, 1 << 20, 6 << 20, 7000)
    spec = JobSpec("c", ("a",), "n", {"A": "b"}, limits, ("S",), 5, 6, 7, time_zone="UTC", interactive=True)
    running = Job(
        **{"id": job(1).id, "spec": spec, "owner": "o", "account": "a", "state": State.RUNNING},
        **{"submitted_usec": 1, "started_usec": 2, "boot_id": "b", "uploads": ("x",), "usage": Usage(8, 9)},
        **{"parent": "p", "attempt": 3, "seq_base": 4, "files_kept": True},
    )
    assert list(store.each()) == list(store.unfinished()) == [running]
    # It ends with what this version tells of an end.
    ended = dataclasses.replace(running, state=State.FAILED, ended_usec=9, exit_code=5, usage=Usage(8, 9, tasks_peak=3))
    store.update(ended)
    store.close()
    assert Store(second).find("n") == ended


def test_a_migration_that_is_cut_off_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "joblet.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(f"BEGIN; {MIGRATIONS[0]}; PRAGMA user_version = 1; COMMIT;")
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(f"BEGIN; {MIGRATIONS[1]}")  # and no further
    store = Store(path)
    store.add(FULL)
    assert list(store.each()) == [FULL]

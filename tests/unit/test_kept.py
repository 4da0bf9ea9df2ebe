"""Files of ended jobs: kept for the time that was configured, removed then, whatever happened to the daemon."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from joblet_systemd.config import JobsConfig, Unenforced
from joblet_systemd.errors import JobletError
from joblet_systemd.files import loop, work
from joblet_systemd.files.work import WorkDirs
from joblet_systemd.jobs import kept
from joblet_systemd.jobs.kept import KeptFiles
from joblet_systemd.model import Job, JobSpec, Limits, State
from joblet_systemd.store import Store

SEC = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "joblet.db")
    yield made
    made.close()


@pytest.fixture
def dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkDirs:
    here = type("Entry", (), {"pw_uid": 12345, "pw_gid": 12345})()
    monkeypatch.setattr(work, "lookup", lambda account: here)
    monkeypatch.setattr(loop, "CONTROL", "/dev/no-such-device")
    made = WorkDirs(tmp_path / "jobs", JobsConfig(Unenforced.WARN))
    made.prepare()
    return made


@pytest.fixture
def ended(store: Store, dirs: WorkDirs) -> Callable[..., Job]:
    """Makes a job that ended so many seconds ago, with a file in its /work."""

    def make(job_id: str, ago: float = 0, file: bool = True, **changes: object) -> Job:
        now = time.time_ns() // 1000
        job = Job(job_id, JobSpec("true"), "alice", "joblet-alice", State.COMPLETED, now, now, now - round(ago * SEC))
        job = dataclasses.replace(job, **changes)  # type: ignore[arg-type]
        store.add(job)
        dirs.mount(job_id, "joblet-alice", Limits())
        if file:
            (dirs.path(job_id) / "f").touch()
        return job

    return make


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_kept_and_removed_in_time(
    store: Store, dirs: WorkDirs, ended: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What time it is while something is looked at; at the end it goes on by itself.
    now = time.time_ns() // 1000
    monkeypatch.setattr("joblet_systemd.jobs.kept.now_usec", lambda: now or time.time_ns() // 1000)

    async def go() -> None:
        nonlocal now
        files = KeptFiles(store, dirs, keep_sec=3.0)
        early, late = ended("early", ago=2.0), ended("late")
        assert files.until(late) == (late.ended_usec or 0) + 3 * SEC
        await files.job_ended(early)
        await files.job_ended(late)
        assert sorted(dirs.ids()) == ["early", "late"]
        now += 2 * SEC
        await until(lambda: dirs.ids() == ["late"])
        await until(lambda: files.until(store.find(early.id)) is None)
        assert store.find("late").files_kept
        now = 0
        await until(lambda: dirs.ids() == [])
        await until(lambda: not store.find("late").files_kept)
        files.close()

    asyncio.run(go())


def test_removed_at_once(store: Store, dirs: WorkDirs, ended: Callable[..., Job]) -> None:
    async def go(keep_sec: float) -> list[str]:
        files = KeptFiles(store, dirs, keep_sec)
        for job_id, changes in (("full", {}), ("empty", {"file": False}), ("never ran", {"started_usec": None})):
            await files.job_ended(ended(f"{job_id} {keep_sec}", **changes))
        files.close()
        return dirs.ids()

    assert asyncio.run(go(0)) == []
    assert asyncio.run(go(100)) == ["full 100"]
    assert store.kept().keys() == {"full 100"}


def test_jobs_that_have_not_ended_are_left_alone(store: Store, dirs: WorkDirs, ended: Callable[..., Job]) -> None:
    async def go() -> None:
        files = KeptFiles(store, dirs, keep_sec=0.01)
        job = ended("waits for another attempt", ago=100, state=State.PENDING)
        assert files.until(job) is None
        files.watch()
        await until(lambda: files._task is not None and files._task.done())
        assert dirs.ids() == [job.id]
        files.close()

    asyncio.run(go())


def test_after_a_restart(store: Store, dirs: WorkDirs, ended: Callable[..., Job]) -> None:
    async def go() -> None:
        ended("kept")
        ended("overdue", ago=1000)
        ended("running", state=State.RUNNING)
        gone = ended("removed by hand")
        dirs.remove(gone.id)
        for unknown in ("unknown", "unknown but running"):
            dirs.mount(unknown, "joblet-alice", Limits())
        files = KeptFiles(store, dirs, keep_sec=3.0)
        await files.recover({"running", "unknown but running"})
        assert not store.find(gone.id).files_kept
        await until(lambda: sorted(dirs.ids()) == ["kept", "running", "unknown but running"])
        files.close()

    asyncio.run(go())


def test_a_removal_that_fails_is_tried_again(
    store: Store, dirs: WorkDirs, ended: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "RETRY_USEC", 10_000)
    remove, failures = dirs.remove, iter([JobletError("The disk fails."), JobletError("The disk fails.")])

    def fail_twice(job_id: str) -> None:
        for failure in failures:
            raise failure
        remove(job_id)

    monkeypatch.setattr(dirs, "remove", fail_twice)

    async def go() -> None:
        files = KeptFiles(store, dirs, keep_sec=0.01)
        ended("j", ago=10)
        files.watch()
        await until(lambda: dirs.ids() == [])
        files.close()

    asyncio.run(go())


def test_what_waits_for_the_disk_keeps_nobody_else_waiting(
    store: Store, dirs: WorkDirs, ended: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    go, finish = threading.Event(), dirs.finish

    def slowly(job_id: str, *, keep: bool) -> bool:
        go.wait(60)
        return finish(job_id, keep=keep)

    monkeypatch.setattr(dirs, "finish", slowly)

    async def go_on() -> None:
        files = KeptFiles(store, dirs, keep_sec=100)
        jobs, old = [ended(f"j{number}") for number in range(40)], ended("old")
        ends = [asyncio.create_task(files.job_ended(job)) for job in jobs]
        await asyncio.sleep(0)
        try:
            # Reading a request, and making the list of jobs.
            assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 10) == 1
            await asyncio.wait_for(files.remove(old.id), 10)
        finally:
            go.set()
            await asyncio.gather(*ends)
        files.close()

    asyncio.run(go_on())
    assert len(dirs.ids()) == 40


def test_one_that_cannot_be_removed_does_not_keep_the_others(
    store: Store,
    dirs: WorkDirs,
    ended: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(kept, "RETRY_USEC", 10_000)
    remove, tries = dirs.remove, 0

    def fail(job_id: str) -> None:
        nonlocal tries
        if job_id == "first":
            tries += 1
            raise JobletError("first/work cannot be removed.")
        remove(job_id)

    monkeypatch.setattr(dirs, "remove", fail)

    async def go() -> None:
        files = KeptFiles(store, dirs, keep_sec=0.01)
        for job_id, ago in (("first", 30), ("second", 20), ("third", 10)):
            ended(job_id, ago)
        files.watch()
        await until(lambda: dirs.ids() == ["first"] and tries >= 3)
        files.close()

    asyncio.run(go())
    assert [record.message for record in caplog.records] == [
        "the files of job first cannot be removed: first/work cannot be removed."
    ]


def test_a_daemon_that_ends_looks_at_the_store_no_more(
    store: Store, dirs: WorkDirs, ended: Callable[..., Job], caplog: pytest.LogCaptureFixture
) -> None:
    async def go() -> None:
        files = KeptFiles(store, dirs, keep_sec=100)
        finishing = asyncio.create_task(files.job_ended(ended("at the last moment")))
        await asyncio.sleep(0)
        files.close()
        finishing.cancel()
        store.close()
        await asyncio.wait([finishing])
        await asyncio.sleep(0.05)

    asyncio.run(go())
    assert caplog.text == ""

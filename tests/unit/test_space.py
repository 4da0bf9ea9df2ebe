"""A disk that gets full: who gives up what, and who nothing."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from joblet_systemd.errors import JobletError
from joblet_systemd.files.work import MIB
from joblet_systemd.jobs import space
from joblet_systemd.jobs.book import Book
from joblet_systemd.jobs.outcome import DISK_FULL, outcome
from joblet_systemd.jobs.space import Space
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.store import Store

RESERVE = 100 * MIB


class Disk:
    """A disk with nothing on it but images, as WorkDirs and KeptFiles see it, and what was done to it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.images: dict[str, int] = {}
        self.uploads: dict[str, str] = {}
        self.done: list[str] = []

    def reserve_bytes(self) -> int:
        return RESERVE

    def spare_bytes(self) -> int:
        return self._size - sum(self.images.values()) - RESERVE

    def sizes(self) -> dict[str, int]:
        return dict(self.images)

    def cut_off(self, name: str) -> None:
        self.images[name] = 0
        self.done.append(f"cut off {name}")

    async def remove(self, job_id: str) -> None:
        if job_id == "stuck":
            raise JobletError("It cannot be removed.")
        del self.images[job_id]
        self.done.append(f"removed {job_id}")


class Scene:
    """Jobs with a /work of so many MB each, on a disk of 1000."""

    def __init__(self, store: Store, *jobs: tuple[str, str, State, int]) -> None:
        self.disk, self.book = Disk(1000 * MIB), Book(store)
        self.busy = True
        for job_id, owner, state, size in jobs:
            job = Job(job_id, JobSpec("true"), owner, f"joblet-{owner}", state, 0)
            store.add(job)
            if not state.final:
                self.book.adopt(job)
            self.disk.images[job_id] = size * MIB
        self.space = Space(self.book, self.disk, self.disk, lambda: self.busy, self._end)  # type: ignore[arg-type]

    async def _end(self, job: Job, reason: str) -> bool:
        if job.state is State.INITIALIZING:
            return False
        self.disk.images[job.id] = 0
        self.disk.done.append(f"ended {job.id}")
        self.reason = reason
        return True

    def look(self) -> float:
        return asyncio.run(self.space.look())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "joblet.db")


def test_the_largest_of_who_takes_most_goes(store: Store) -> None:
    """Not the largest of all: who has a single one, within what he may, is not to blame."""
    scene = Scene(
        store,
        ("one", "alice", State.RUNNING, 350),
        ("two", "mallory", State.RUNNING, 280),
        ("three", "mallory", State.RUNNING, 300),
    )
    scene.look()
    assert scene.disk.done == ["ended three"]
    assert scene.reason == (
        "the host's disk had less than 100 MB left, "
        "and its /work was the largest, with 300 MB, of the client that took most"
    )


def test_files_of_ended_and_waiting_jobs_count(store: Store) -> None:
    scene = Scene(
        store,
        ("kept", "mallory", State.COMPLETED, 500),
        ("more", "mallory", State.SCHEDULED, 250),
        ("mine", "alice", State.RUNNING, 240),
        ("begun", "mallory", State.INITIALIZING, 1),
    )
    scene.look()
    assert scene.disk.done == ["removed kept"]
    scene.disk.images["more"] = 900 * MIB
    scene.look()
    assert scene.disk.done[1:] == ["ended more"]


def test_uploads_on_their_way_count(store: Store) -> None:
    """They are no job's yet, and may be as large and as slow as any."""
    scene = Scene(store, ("mine", "alice", State.RUNNING, 300), ("one", "mallory", State.RUNNING, 100))
    for number, account in enumerate(("joblet-mallory", "joblet-mallory", "joblet-bob")):
        scene.disk.images[f".upload-{number}"] = (200 + number) * MIB
        scene.disk.uploads[f".upload-{number}"] = account
    scene.look()
    assert scene.disk.done == ["cut off .upload-1"]


def test_a_job_that_is_just_starting_is_passed_over(store: Store) -> None:
    scene = Scene(store, ("begun", "mallory", State.INITIALIZING, 700), ("other", "mallory", State.RUNNING, 250))
    scene.look()
    assert scene.disk.done == ["ended other"]


def test_one_that_cannot_be_removed_does_not_keep_the_others(store: Store) -> None:
    scene = Scene(store, ("stuck", "mallory", State.COMPLETED, 500), ("other", "mallory", State.COMPLETED, 450))
    scene.look()
    assert scene.disk.done == ["removed other"]


def test_a_job_may_end_while_another_is_tried(store: Store) -> None:
    """What is done to it then is by its state then."""
    scene = Scene(store, ("stuck", "mallory", State.COMPLETED, 500), ("other", "mallory", State.RUNNING, 450))
    remove, book = scene.disk.remove, scene.book

    async def meanwhile(job_id: str) -> None:
        if "other" in book:
            book.end(dataclasses.replace(book["other"], state=State.COMPLETED))
        await remove(job_id)

    scene.disk.remove = meanwhile  # type: ignore[method-assign]
    scene.look()
    assert scene.disk.done == ["removed other"]


def test_until_there_is_room(store: Store) -> None:
    jobs = [(f"job-{number}", "mallory", State.FAILED, 100 + number) for number in range(9)]
    scene = Scene(store, *jobs, ("last", "alice", State.RUNNING, 60))
    scene.look()
    assert scene.disk.done == ["removed job-8"]
    assert scene.disk.spare_bytes() >= 0


def test_a_disk_that_jobs_have_not_filled_costs_no_job(store: Store) -> None:
    scene = Scene(store, ("one", "alice", State.RUNNING, 60), ("two", "bob", State.COMPLETED, 40))
    scene.disk._size = 120 * MIB
    assert scene.look() == space.RETRY_SEC
    assert scene.disk.done == []


def test_no_look_before_it_can_be_full(store: Store) -> None:
    scene = Scene(store, ("one", "alice", State.RUNNING, 800))
    assert scene.look() == 0.1
    scene.disk._size = 5 << 30
    assert 1 < scene.look() < 2.5
    scene.disk._size = 1 << 40
    assert scene.look() == 10


def test_nothing_is_watched_while_no_job_is_at_work(store: Store) -> None:
    async def script() -> None:
        scene = Scene(store)
        scene.busy = False
        scene.space.watch()
        task = scene.space._task
        assert task is not None
        await task
        assert scene.disk.done == []

    asyncio.run(script())


def test_why_it_was_ended_outlives_a_daemon() -> None:
    """It is stored before PID 1 is asked, and is the reason whatever PID 1 says."""
    job = Job("one", JobSpec("true"), "alice", "joblet-alice", State.RUNNING, 0, reason=f"{DISK_FULL}no room")
    for found in (job, dataclasses.replace(job, stop_requested=True)):
        end = outcome(found, None, None, "boot")
        assert (end.state, end.exit_code, end.reason) == (State.FAILED, 137, "disk-full: no room")

"""Jobs that wait, with a real store and clock: repeating ones above all, which change while a run of theirs is made."""

import asyncio
import dataclasses
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from joblet_systemd.config import JobsConfig, Missed
from joblet_systemd.errors import Exhausted, JobletError
from joblet_systemd.jobs import timetable
from joblet_systemd.jobs.alarm import now_usec
from joblet_systemd.jobs.book import Book
from joblet_systemd.jobs.outcome import Outcome
from joblet_systemd.jobs.tasks import Tasks
from joblet_systemd.jobs.waiting import MISSED, PASSED, Waiting
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.store import Store

HOUR = 3600 * 1_000_000
PARENT = Job(
    "00000001-0000-0000-0000-000000000000",
    JobSpec("true", schedule="hourly", calendar=("*-*-* *:00:00",)),
    "alice",
    "joblet-alice",
    State.SCHEDULED,
    submitted_usec=1,
)


class Files:
    """Directories that are copied when the test says so."""

    def __init__(self) -> None:
        self.copies: list[str] = []
        self.removed: list[str] = []
        self.go = threading.Event()
        self.go.set()
        self.full = False

    def copy(self, _job_id: str, to: str) -> None:
        assert self.go.wait(10)
        if self.full:
            raise Exhausted("The disk is full.")
        self.copies.append(to)

    def remove(self, job_id: str) -> None:
        self.removed.append(job_id)


class House:
    """What surrounds Waiting."""

    def __init__(self, store: Store, policy: Missed) -> None:
        self.book = Book(store)
        self.files = Files()
        self.started: list[str] = []
        self.finished: list[tuple[str, Outcome]] = []
        self.waiting = Waiting(
            JobsConfig(missed_schedules=policy),
            self.book,
            self.files,  # type: ignore[arg-type]
            Tasks(),
            self._start,
            lambda job_id, end: self.finished.append((job_id, end)),
        )

    async def _start(self, job_id: str) -> None:
        self.started.append(job_id)

    def add(self, job: Job) -> None:
        self.book.store.add(job)
        self.book.adopt(job)
        self.waiting.put(job)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    async def an_hour_later(_spec: JobSpec, after_usec: int) -> int:
        return after_usec + HOUR

    monkeypatch.setattr(timetable, "following", an_hour_later)

    def play(script: Callable[[House], Awaitable[None]], policy: Missed = Missed.RUN) -> None:
        async def run() -> None:
            house = House(Store(tmp_path / "joblet.db"), policy)
            await script(house)
            house.waiting.close()

        asyncio.run(run())

    return play


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_run_is_a_job_of_its_own_and_the_next_time_is_set(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        house.add(dataclasses.replace(PARENT, due_usec=now_usec()))
        await until(lambda: house.started)
        parent, run = house.book.store.each()
        assert run.parent == parent.id
        assert (run.spec.schedule, run.spec.calendar) == ("", ())
        assert house.files.copies == [run.id] == house.started
        assert parent.state is State.SCHEDULED
        assert parent.due_usec is not None
        assert parent.due_usec > now_usec() + HOUR // 2

    scene(script)


def test_a_run_has_all_that_is_long_of_its_parent(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        spec = dataclasses.replace(PARENT.spec, args=("x" * 100_000,))
        house.add(dataclasses.replace(PARENT, spec=spec, uploads=("u" * 10_000,), due_usec=now_usec()))
        await until(lambda: house.started)
        parent, run = house.book.store.each()
        assert run.spec.args == parent.spec.args == spec.args
        assert run.uploads == parent.uploads == ("u" * 10_000,)

    scene(script)


def test_identities_take_turns_at_their_next_times(scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def later(spec: JobSpec, after_usec: int) -> int:
        asked.append(spec.command)
        await asyncio.sleep(0)
        return after_usec + HOUR

    monkeypatch.setattr(timetable, "following", later)

    async def script(house: House) -> None:
        for number in range(30):
            house.add(dataclasses.replace(PARENT, id=f"{number}", owner="mallory", due_usec=now_usec()))
        house.add(dataclasses.replace(PARENT, id="a", spec=JobSpec("alice", calendar=("x",)), due_usec=now_usec()))
        await until(lambda: len(asked) == 31)
        assert asked.index("alice") < 3

    scene(script)


def test_canceled_while_its_run_is_made(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        house.files.go.clear()
        house.add(dataclasses.replace(PARENT, due_usec=now_usec()))
        await until(lambda: not house.waiting.queue.positions() and PARENT.id in house.waiting._making)
        assert house.waiting.withdraw(house.book[PARENT.id])
        house.files.go.set()
        await until(lambda: house.files.removed)
        assert house.files.removed == house.files.copies
        assert [job.id for job in house.book.store.each()] == [PARENT.id]
        assert not house.waiting.withdraw(house.book[PARENT.id])

    scene(script)


def test_changed_while_its_run_is_made(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        house.files.go.clear()
        house.add(dataclasses.replace(PARENT, due_usec=now_usec()))
        await until(lambda: PARENT.id in house.waiting._making)
        parent = house.book[PARENT.id]
        house.book.change(parent, spec=dataclasses.replace(parent.spec, priority=7))
        house.files.go.set()
        await until(lambda: house.started)
        # The run that was being made is taken back, and the next is like the job is now.
        assert len(house.files.removed) == 1
        (run,) = [job for job in house.book.store.each() if job.parent]
        assert run.spec.priority == 7

    scene(script)


def test_a_full_disk_puts_a_run_off(scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblet_systemd.jobs.waiting.LATER_USEC", 50_000)

    async def script(house: House) -> None:
        house.files.full = True
        house.add(dataclasses.replace(PARENT, due_usec=now_usec()))
        await asyncio.sleep(0.2)
        assert not house.started
        house.files.full = False
        await until(lambda: house.started)
        assert len(list(house.book.store.each())) == 2

    scene(script)


def test_a_run_that_cannot_be_taken_back_does_not_end_its_schedule(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_job_id: str) -> None:
        raise JobletError("It cannot be removed.")

    async def script(house: House) -> None:
        house.files.go.clear()
        monkeypatch.setattr(house.files, "remove", fail)
        house.add(dataclasses.replace(PARENT, due_usec=now_usec()))
        await until(lambda: PARENT.id in house.waiting._making)
        parent = house.book[PARENT.id]
        house.book.change(parent, spec=dataclasses.replace(parent.spec, priority=7))
        house.files.go.set()
        await until(lambda: house.started)
        assert "It cannot be removed." in caplog.text

    scene(script)


@pytest.mark.parametrize("policy", Missed)
def test_missed(scene: Callable[..., None], policy: Missed) -> None:
    once = dataclasses.replace(PARENT, id="2", spec=JobSpec("true", schedule="5s"), due_usec=now_usec() - HOUR)

    async def script(house: House) -> None:
        house.add(dataclasses.replace(PARENT, due_usec=now_usec() - 5 * HOUR))
        house.add(once)
        await until(lambda: (house.book[PARENT.id].due_usec or 0) > now_usec())
        runs = [job for job in house.book.store.each() if job.parent]
        if policy is Missed.RUN:
            await until(lambda: len(house.started) == 2)
            assert len(runs) == 1  # five times were missed, and are made up for once
        else:
            assert house.finished == [("2", Outcome(State.CANCELED, 0, MISSED))]
            assert (runs, house.started) == ([], [])
            assert MISSED in house.book[PARENT.id].reason

    scene(script, policy)


def test_the_clock_is_corrected_back_by_a_day(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        far = now_usec() + 24 * HOUR
        house.add(dataclasses.replace(PARENT, started_usec=far, due_usec=far + HOUR))
        near = dataclasses.replace(PARENT, id="near", started_usec=now_usec() + HOUR, due_usec=now_usec() + 2 * HOUR)
        house.add(near)
        house.waiting.follow_clock()
        await until(lambda: (house.book[PARENT.id].due_usec or 0) < far)
        # By an hour: what ran in it does not run twice.
        assert house.book["near"] is near

    scene(script)


def test_delays_do_not_grow_with_a_clock_set_back(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        # As after the clock was set back by a day: due at what was a moment ahead.
        late = now_usec() + 24 * HOUR
        spec = dataclasses.replace(PARENT.spec, calendar=(), schedule="2s")
        soon = dataclasses.replace(PARENT, id="00000002", spec=spec, due_usec=late)
        again = dataclasses.replace(
            soon, id="00000003", spec=JobSpec("false", retries=3, retry_delay_usec=1_000_000), attempt=1
        )
        moment = dataclasses.replace(
            soon, id="00000004", spec=dataclasses.replace(spec, schedule="2199-01-01T00:00:00Z"), due_usec=late
        )
        for job in (soon, again, moment):
            house.add(job)
        house.waiting.follow_clock()
        await until(lambda: len(house.started) == 2)
        assert set(house.started) == {soon.id, again.id}
        assert house.book[moment.id].due_usec == late

    scene(script)


def test_a_start_put_off_does_not_wait_for_a_clock_set_back(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        job = dataclasses.replace(PARENT, spec=JobSpec("true"), state=State.PENDING)
        house.book.store.add(job)
        house.book.adopt(job)
        house.waiting.later(job.id, Exhausted("The disk is full."))
        assert house.waiting.waits(job)
        house.waiting.follow_clock()
        await until(lambda: house.started)

    scene(script)


def test_a_stop_in_the_moment_before_a_run_is_made(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        job = dataclasses.replace(PARENT, due_usec=now_usec())
        house.book.store.add(job)
        house.book.adopt(job)
        # The alarm has rung, and the task that makes the run has not begun.
        house.waiting._on_due(PARENT.id)
        assert house.waiting.withdraw(house.book[PARENT.id])
        await asyncio.sleep(0.05)
        assert house.files.copies == []

    scene(script)


def test_a_clock_set_forward_cancels_no_job_that_waits_for_a_while(scene: Callable[..., None]) -> None:
    """One that was to wait for two hours has no time of day to miss. Of one that had, the reason is true."""
    spec = dataclasses.replace(PARENT.spec, calendar=(), schedule="2h")

    async def script(house: House) -> None:
        house.waiting._since_usec = now_usec() - 3 * HOUR
        house.add(dataclasses.replace(PARENT, id="00000002", spec=spec, due_usec=now_usec() - HOUR))
        house.add(dataclasses.replace(PARENT, due_usec=now_usec() - HOUR))
        await until(lambda: house.started and house.book[PARENT.id].reason)
        assert (house.started, house.finished) == (["00000002"], [])
        assert house.book[PARENT.id].reason == f"last run {PASSED}"

    scene(script, Missed.SKIP)

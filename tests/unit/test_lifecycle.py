"""From its turn to its end, with a real store and clock, and a PID 1 of paper."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joblet_systemd.config import JobsConfig
from joblet_systemd.errors import BusLost, Exhausted, JobletError, NotSent
from joblet_systemd.jobs.book import Book
from joblet_systemd.jobs.lifecycle import Lifecycle
from joblet_systemd.jobs.outcome import CLD_EXITED, LOST_SIGHT, withdrawn
from joblet_systemd.model import Job, JobSpec, State, Usage
from joblet_systemd.store import Store
from joblet_systemd.systemd.manager import UnitResult
from joblet_systemd.unit import Tier

from .journalless import imported

JOB = Job(
    "00000001-0000-0000-0000-000000000000",
    JobSpec("true", retries=1, retry_delay_usec=1000),
    "alice",
    "joblet-alice",
    State.PENDING,
    submitted_usec=1,
)
ONCE = dataclasses.replace(JOB, spec=JobSpec("true"))
STRANGER = dataclasses.replace(JOB, id="0" * 35 + "7")


def unit_result(result: str, code: int, status: int) -> UnitResult:
    return UnitResult(result, code, status, None, None, None, None)


class Manager:
    """PID 1, as far as it is asked to forget units."""

    def __init__(self) -> None:
        self.released: list[str] = []
        self.resets: list[bool] = []  # of those, whether they had failed

    def watch(self, *_: object) -> None:
        pass

    async def release(self, unit: str, *, failed: bool = True) -> None:
        self.released.append(unit)
        self.resets.append(failed)

    async def has_ended(self, _unit: str) -> bool:
        return True


DROPPED = unit_result("success", 0, 0)


class Runner:
    """Fails to start jobs: raises or returns what is next in ``answers``."""

    def __init__(self) -> None:
        self.answers: list[str | Exception] = []
        self.result, self.begun = unit_result("exit-code", CLD_EXITED, 1), True
        self._host = SimpleNamespace(tier=Tier.SYSTEMD)

    async def start(self, _job: Job) -> str:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def end(self, _job: Job) -> tuple[UnitResult, None]:
        return self.result, None

    async def last_number(self, _job: Job) -> int:
        return 0

    async def has_begun(self, _job: Job) -> bool:
        return self.begun

    never_ran: Any = imported("jobs.runner").Runner.never_ran

    def forget(self, _job_id: str) -> None:
        pass


class Others:
    """/work, what is kept of it, and samples: none of this is looked at here."""

    def spare_bytes(self) -> int:
        return 1 << 40

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def later(*_: object, **__: object) -> None:
            pass

        return later if name == "job_ended" else lambda *_, **__: None


class House:
    """A lifecycle and what surrounds it."""

    def __init__(self, store: Store) -> None:
        self.book, self.manager, self.runner = Book(store), Manager(), Runner()
        others: Any = Others()
        manager: Any = self.manager
        starter: Any = self.runner
        self.lifecycle = Lifecycle(JobsConfig(), manager, starter, self.book, others, others, others, "boot")

    def add(self, job: Job) -> None:
        self.book.store.add(job)
        self.book.adopt(job)
        self.lifecycle.waiting.put(job)

    async def end(self, job: Job) -> Job:
        async with asyncio.timeout(60):
            return await self.book.ended(job.id)


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., None]:
    def play(script: Callable[[House], Awaitable[None]]) -> None:
        async def run() -> None:
            house = House(Store(tmp_path / "joblet.db"))
            await script(house)
            await house.lifecycle.close()

        asyncio.run(run())

    return play


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([JobletError("No."), JobletError("Never.")], "start-failed: Never."),
        (["dependency", "dependency"], "start-failed: a unit that it requires did not start"),
        ([ZeroDivisionError(), JobletError("Never.")], "start-failed: Never."),
    ],
)
def test_a_start_that_fails_is_an_attempt(scene: Callable[..., None], answers: list[Any], reason: str) -> None:
    async def script(house: House) -> None:
        house.runner.answers += answers
        house.add(JOB)
        ended = await house.end(JOB)
        assert (ended.state, ended.exit_code, ended.attempt) == (State.FAILED, 125, 2)
        assert ended.reason.startswith(reason)
        assert house.runner.answers == []

    scene(script)


@pytest.mark.parametrize(
    ("status", "begun", "expected"),
    [
        # What a job that ran ends with counts, should journald have lost its last words.
        (1, True, (State.FAILED, 1, "exit-code 1")),
        (0, True, (State.COMPLETED, 0, "")),
        (3, False, (State.FAILED, 3, "exit-code 3")),
    ],
)
def test_what_pid_1_saw_end_is_the_job_s_end(
    scene: Callable[..., None], status: int, begun: bool, expected: tuple[State, int, str]
) -> None:
    job = dataclasses.replace(JOB, spec=dataclasses.replace(JOB.spec, retries=0), state=State.RUNNING, boot_id="boot")
    job = dataclasses.replace(job, attempt=1)

    async def script(house: House) -> None:
        result = "exit-code" if status else "success"
        house.runner.result = unit_result(result, CLD_EXITED, status)
        house.runner.begun = begun
        house.book.store.add(job)
        house.book.adopt(job)
        house.lifecycle._has_ended(job)
        ended = await house.end(job)
        assert (ended.state, ended.exit_code, ended.reason) == expected
        async with asyncio.timeout(60):
            while house.manager.resets != [status != 0]:
                await asyncio.sleep(0.005)

    scene(script)


def test_what_a_start_that_failed_has_left_is_released(scene: Callable[..., None]) -> None:
    """PID 1 has loaded the unit when it finds that one it requires does not start, and keeps it until it is told."""

    async def script(house: House) -> None:
        house.runner.answers += ["dependency", "dependency"]
        house.add(JOB)
        await house.end(JOB)
        async with asyncio.timeout(60):
            while house.manager.released != [JOB.unit, JOB.unit]:
                await asyncio.sleep(0.005)
        assert house.manager.resets == [True, True]

    scene(script)


# What PID 1 says of a job of which nothing ran: it dropped the start, or saw the end of the process that was to tell it
# of joblet-init and could not, or of one that could, and of that before it listened.
NEVER_RAN = [DROPPED, unit_result("exit-code", CLD_EXITED, 1), unit_result("success", CLD_EXITED, 0)]


@pytest.mark.parametrize("result", NEVER_RAN)
def test_a_start_that_pid_1_loses_is_no_attempt(scene: Callable[..., None], result: UnitResult) -> None:
    async def script(house: House) -> None:
        house.runner.answers += ["failed", "failed", "dependency"]
        house.runner.result, house.runner.begun = result, False
        house.add(ONCE)
        ended = await house.end(ONCE)
        assert ended.attempt == 1
        assert ended.reason.startswith("start-failed: a unit that it requires did not start")
        assert house.manager.resets[:2] == [result.result != "success"] * 2

    scene(script)


@pytest.mark.parametrize("result", NEVER_RAN)
def test_a_start_that_pid_1_loses_again_and_again_has_failed(scene: Callable[..., None], result: UnitResult) -> None:
    async def script(house: House) -> None:
        house.runner.answers += ["failed"] * 4
        house.runner.result, house.runner.begun = result, False
        house.add(ONCE)
        ended = await house.end(ONCE)
        assert (ended.state, ended.exit_code, ended.attempt) == (State.FAILED, 125, 1)
        assert ended.reason == ("start-failed: systemd dropped it without a try" if result is DROPPED else LOST_SIGHT)
        assert house.runner.answers == []

    scene(script)


@pytest.mark.parametrize("result", NEVER_RAN)
@pytest.mark.parametrize(
    ("meanwhile", "expected"),
    [
        ({"stop_requested": True}, (State.STOPPED, 0, "stopped before it started")),
        ({"reason": "disk-full: it wrote most"}, (State.FAILED, 137, "disk-full: it wrote most")),
    ],
    ids=["is to stop", "gave up its /work"],
)
def test_a_job_that_shall_not_run_any_more_is_not_started_again(
    scene: Callable[..., None], result: UnitResult, meanwhile: dict[str, Any], expected: tuple[State, int, str]
) -> None:
    async def script(house: House) -> None:
        house.runner.answers += ["failed"]
        house.runner.result, house.runner.begun = result, False
        house.add(ONCE)
        while house.runner.answers:
            await asyncio.sleep(0)
        house.book.change(house.book[ONCE.id], **meanwhile)
        ended = await house.end(ONCE)
        assert (ended.state, ended.exit_code, ended.reason) == expected

    scene(script)


def test_a_job_that_ran_does_not_run_again_whatever_pid_1_says(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        house.runner.answers += ["failed"]
        house.runner.result = DROPPED
        house.add(ONCE)
        assert (await house.end(ONCE)).state is State.FAILED

    scene(script)


@pytest.mark.parametrize(
    ("error", "times", "reason"),
    [
        (NotSent("The system bus is not connected."), 9, "start-failed: a unit that it requires did not start"),
        (BusLost("The connection was closed."), 3, "start-failed: the connection to PID 1 broke at 3 attempts"),
    ],
)
def test_what_did_not_reach_pid_1_is_no_attempt(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch, error: BusLost, times: int, reason: str
) -> None:
    async def script(house: House) -> None:
        async def unknown(unit: str) -> None:
            pass

        monkeypatch.setattr(house.manager, "state", unknown, raising=False)
        house.runner.answers += [*[error] * times, "dependency"]
        house.runner.begun = False
        house.add(ONCE)
        for left in range(times, 0, -1):
            while len(house.runner.answers) > left or house.lifecycle._starting:
                await asyncio.sleep(0)
            await house.lifecycle._reconcile(ONCE.id)  # as every new connection begins
        ended = await house.end(ONCE)
        assert (ended.attempt, ended.reason.startswith(reason)) == (1, True), ended.reason

    scene(script)


def test_a_failed_unit_whose_job_has_ended_is_let_go(scene: Callable[..., None]) -> None:
    """Of a job that is to be tried again, the next attempt has the same name: that one is not. Nor a stranger's."""

    async def script(house: House) -> None:
        waiting = dataclasses.replace(JOB, state=State.SCHEDULED)
        house.book.store.add(waiting)
        house.book.adopt(waiting)
        ended = dataclasses.replace(JOB, id="0" * 35 + "8", state=State.COMPLETED)
        house.book.store.add(ended)
        for unit, failed in ((waiting.unit, True), (STRANGER.unit, True), (ended.unit, False), (ended.unit, True)):
            house.lifecycle._on_unit_end(unit, failed)
        while not house.manager.released:
            await asyncio.sleep(0)
        assert (house.manager.released, house.manager.resets) == ([ended.unit], [True])

    scene(script)


def test_a_start_that_an_administrator_cancels_is_not_repeated(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        house.runner.answers += ["canceled"]
        house.runner.begun = False
        house.add(JOB)
        ended = await house.end(JOB)
        assert (ended.state, ended.exit_code, ended.reason) == (State.STOPPED, 143, "stopped through systemd")
        async with asyncio.timeout(60):
            while house.manager.released != [JOB.unit]:
                await asyncio.sleep(0.005)

    scene(script)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (State.STOPPED, "stopped before another attempt; attempt 1 of 2: exit-code 3"),
        (State.CANCELED, "canceled before another attempt; attempt 1 of 2: exit-code 3"),
    ],
)
def test_a_job_between_two_attempts_keeps_what_is_known_of_the_last(
    scene: Callable[..., None], state: State, reason: str
) -> None:
    used = Usage(cpu_usec=7_200_000_000, memory_peak_bytes=1 << 30)
    waiting = dataclasses.replace(
        JOB,
        state=State.SCHEDULED,
        attempt=1,
        exit_code=3,
        reason="attempt 1 of 2: exit-code 3",
        usage=used,
        started_usec=1,
        due_usec=1 << 60,
    )

    async def script(house: House) -> None:
        house.add(waiting)
        house.lifecycle.finish_with(JOB.id, withdrawn(waiting, state))
        ended = await house.end(JOB)
        assert (ended.state, ended.exit_code, ended.usage, ended.reason) == (state, 3, used, reason)

    scene(script)


def test_a_job_that_waits_gives_up_its_files_and_does_not_try_again(scene: Callable[..., None]) -> None:
    async def script(house: House) -> None:
        house.add(dataclasses.replace(JOB, state=State.SCHEDULED, due_usec=1 << 60))
        assert await house.lifecycle._out_of_space(house.book[JOB.id], "no room")
        ended = await house.end(JOB)
        assert (ended.state, ended.exit_code, ended.reason) == (State.FAILED, 125, "disk-full: no room")

    scene(script)


def test_what_one_start_lacks_the_next_ones_do_not_try_to_get(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk thousands of jobs may wait; each would be tried every few seconds, with a line in the log."""
    monkeypatch.setattr("joblet_systemd.jobs.waiting.LATER_USEC", 300_000)
    tries = full = 0

    async def script(house: House) -> None:
        async def start(_job: Job) -> str:
            nonlocal tries
            tries += 1
            if full:
                raise Exhausted("The disk is full.")
            raise JobletError("No.")

        nonlocal full
        full = 1
        monkeypatch.setattr(house.runner, "start", start)
        jobs = [
            dataclasses.replace(JOB, id=f"{number:08}-0000-0000-0000-000000000000", spec=JobSpec("true"))
            for number in range(50)
        ]
        for job in jobs:
            house.add(job)
        await asyncio.sleep(0.1)
        assert 0 < tries <= JobsConfig().starts_in_flight
        full = 0
        await asyncio.gather(*map(house.end, jobs))

    scene(script)


def given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, list[str]]:
    """A job that runs, and what is done to it."""
    done: list[str] = []
    running = dataclasses.replace(JOB, state=State.RUNNING, attempt=1)
    house.book.store.add(running)
    house.book.adopt(running)
    update = house.book.store.update

    def store(job: Job, before: Job | None) -> None:
        update(job, before)
        done.append(f"{job.state} {job.reason}")

    async def stop(unit: str) -> None:
        done.append(unit)

    monkeypatch.setattr(house.book.store, "update", store)
    monkeypatch.setattr(house.lifecycle._work, "cut_off", lambda job_id: done.append("cut off"), raising=False)
    monkeypatch.setattr(house.manager, "stop", stop, raising=False)
    return running, done


def test_why_a_job_is_ended_is_stored_before_it_is(scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is cut off before PID 1 is asked, which may take its time."""

    async def script(house: House) -> None:
        running, done = given_up(house, monkeypatch)
        assert await house.lifecycle._out_of_space(running, "no room")
        assert done == ["RUNNING disk-full: no room", "cut off", JOB.unit]
        starting = dataclasses.replace(running, state=State.INITIALIZING)
        assert not await house.lifecycle._out_of_space(starting, "no room")

    scene(script)


def test_there_is_no_room_to_store_why_before(scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(house: House) -> None:
        running, done = given_up(house, monkeypatch)
        update = house.book.store.update

        def store(job: Job, before: Job | None) -> None:
            if not done:
                raise Exhausted("The disk is full.")
            update(job, before)

        monkeypatch.setattr(house.book.store, "update", store)
        assert await house.lifecycle._out_of_space(running, "no room")
        assert done == ["cut off", "RUNNING disk-full: no room", JOB.unit]

    scene(script)


def test_a_job_that_is_given_up_is_stopped_in_the_end(
    scene: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next connection to PID 1, or the next daemon, if this one cannot. It takes no room meanwhile."""

    async def script(house: House) -> None:
        async def active(unit: str) -> str:
            return "active"

        async def nothing(unit: str) -> None:
            pass

        async def lost(unit: str) -> None:
            raise BusLost("The system bus is not connected.")

        running, done = given_up(house, monkeypatch)
        with monkeypatch.context() as patched:
            patched.setattr(house.manager, "stop", lost)
            assert await house.lifecycle._out_of_space(running, "no room")
        assert done[-1] == "cut off"
        monkeypatch.setattr(house.manager, "state", active, raising=False)
        monkeypatch.setattr(house.manager, "hold", nothing, raising=False)
        await house.lifecycle._reconcile(JOB.id)
        assert done[-2:] == ["STOPPING disk-full: no room", JOB.unit]

    scene(script)


def test_a_job_that_never_started_has_used_nothing() -> None:
    for job in (JOB, dataclasses.replace(JOB, state=State.INITIALIZING, attempt=1)):
        assert (withdrawn(job, State.STOPPED).exit_code, withdrawn(job, State.STOPPED).reason) == (
            0,
            "stopped before it started",
        )
        assert withdrawn(job, State.CANCELED).reason == "canceled"

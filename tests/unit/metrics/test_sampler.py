"""When samples are taken, of whom, and who gets them: with a clock that the test sets."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from joblet_systemd.errors import BusLost
from joblet_systemd.jobs.alarm import now_usec
from joblet_systemd.metrics.archive import Archive
from joblet_systemd.metrics.sample import Sample
from joblet_systemd.metrics.sampler import ASKED_AT_ONCE, Sampler, Watch
from joblet_systemd.model import Job, JobSpec, State

from .groups import make

HOUR_USEC = 3600 * 1_000_000


class House:
    """A sampler, the groups of its jobs, and its clock."""

    def __init__(self, directory: Path) -> None:
        self.groups = directory / "groups"
        self.now = 1000.0
        self.traffic: list[str] = []
        self.bus = True
        self.sampler = Sampler(self.groups, Archive(directory / "samples.db"), self._traffic, lambda: self.now)

    async def _traffic(self, unit: str) -> tuple[int | None, int | None]:
        self.traffic.append(unit)
        if not self.bus:
            raise BusLost("gone")
        return 11, 22

    def start(self, name: str, *, age_usec: int = 0) -> Job:
        """A job that runs, its control group included."""
        job = Job(name, JobSpec("true"), "alice", "joblet-alice", State.RUNNING, 1, started_usec=now_usec() - age_usec)
        make(self.groups / job.unit)
        self.sampler.changed(job)
        return job

    def set(self, job: Job, state: State) -> None:
        self.sampler.changed(dataclasses.replace(job, state=state))

    async def second(self) -> set[str]:
        """A second goes by; which jobs are read then."""
        before = dict(self.sampler.latest())
        self.now += 1
        await self.sampler.tick()
        after = self.sampler.latest()
        return {job for job in after if after[job] is not before.get(job)}

    async def count(self, job: Job, seconds: int) -> int:
        """How often a job is read in so many seconds."""
        return sum([job.id in await self.second() for _ in range(seconds)])


def with_house(directory: Path, work: Callable[[House], Awaitable[None]]) -> None:
    async def run() -> None:
        house = House(directory)
        try:
            await work(house)
        finally:
            await house.sampler.close()

    asyncio.run(run())


def test_every_second_while_watched_and_every_five_otherwise(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("old", age_usec=HOUR_USEC)
        assert await house.count(job, 50) == 10
        async with house.sampler.watch(job.id):
            assert await house.count(job, 10) == 10
        with house.sampler.attention():
            assert await house.count(job, 10) == 10
        assert await house.count(job, 50) == 10

    with_house(tmp_path, work)


def test_a_watch_on_one_job_leaves_the_others_alone(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        watched, other = (house.start(name, age_usec=HOUR_USEC) for name in ("watched", "other"))
        async with house.sampler.watch(watched.id):
            read = [await house.second() for _ in range(10)]
        assert sum(watched.id in ids for ids in read) == 10
        assert sum(other.id in ids for ids in read) == 2

    with_house(tmp_path, work)


def test_a_young_job_is_read_every_second(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("young")
        assert await house.count(job, 4) == 4
        await house.count(job, 10)
        assert await house.count(job, 50) == 10

    with_house(tmp_path, work)


def test_the_clock_stands_still_without_jobs(tmp_path: Path) -> None:
    """Nothing is due, and the task waits for an event, not for a time."""

    async def work(house: House) -> None:
        running = asyncio.create_task(house.sampler.run())
        for _ in range(10):
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        assert loop._scheduled == []  # type: ignore[attr-defined]
        job = house.start("one")
        for _ in range(10):
            await asyncio.sleep(0)
        assert loop._scheduled != []  # type: ignore[attr-defined]
        house.set(job, State.COMPLETED)
        assert not house.sampler._busy.is_set()
        running.cancel()

    with_house(tmp_path, work)


def test_it_wakes_up_at_full_seconds(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        house.start("old", age_usec=HOUR_USEC)
        house.now = 1003.25
        assert house.sampler.pause() == 1.75
        await house.sampler.tick()
        async with house.sampler.watch("old"):
            assert house.sampler.pause() == 0.75
            # A loop that was busy when it was time does not let it pass.
            house.now = 1004.5
            assert house.sampler.pause() <= 0

    with_house(tmp_path, work)


def test_cpu_shares_are_of_the_time_between_two_samples(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("old", age_usec=HOUR_USEC)
        await house.second()
        # A former daemon has seen what it used before.
        assert house.sampler.latest()[job.id].cpu_percent is None
        make(house.groups / job.unit, cpu_stat="usage_usec 3500000\n")
        house.now += 4
        await house.second()
        assert house.sampler.latest()[job.id].cpu_percent == 20.0
        # Another attempt has a new group, which begins at 0.
        make(house.groups / job.unit, cpu_stat="usage_usec 10\n")
        house.now += 4
        await house.second()
        assert house.sampler.latest()[job.id].cpu_percent is None

    with_house(tmp_path, work)


def test_who_watches_gets_each_sample_and_the_end(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("one")
        async with house.sampler.watch(job.id) as samples:
            await house.second()
            first = await anext(samples)
            assert first.cpu_usec == 2_500_000
            await house.second()
            assert (await anext(samples)).time_usec > first.time_usec
            house.set(job, State.COMPLETED)
            with pytest.raises(StopAsyncIteration):
                await anext(samples)

    with_house(tmp_path, work)


def test_a_watch_outlasts_an_attempt_and_begins_before_the_first(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        async with house.sampler.watch("one") as samples:
            job = house.start("one")
            await house.second()
            assert (await anext(samples)).tasks == 3
            house.set(job, State.SCHEDULED)
            assert await house.second() == set()
            house.set(job, State.RUNNING)
            await house.second()
            assert (await anext(samples)).tasks == 3
            house.set(job, State.FAILED)
            assert [sample async for sample in samples] == []

    with_house(tmp_path, work)


def test_who_is_slow_gets_the_newest_sample_and_holds_nothing_up() -> None:
    async def work() -> None:
        watch = Watch()
        for usec in range(1000):
            watch.put(Sample(usec))
        assert (await anext(watch)).time_usec == 999
        watch.end()
        with pytest.raises(StopAsyncIteration):
            await anext(watch)

    asyncio.run(work())


def test_network_traffic_is_asked_for_and_never_waited_for(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        watched, other = house.start("watched"), house.start("other")
        with house.sampler.attention():
            async with house.sampler.watch(watched.id):
                await house.second()
                assert house.sampler.latest()[watched.id].net_received_bytes is None
                await asyncio.sleep(0.01)
                for _ in range(9):
                    await house.second()
                    await asyncio.sleep(0.01)
                latest = house.sampler.latest()
                assert (latest[watched.id].net_received_bytes, latest[other.id].net_sent_bytes) == (11, 22)
                # Each second of what somebody watches by itself, every five of what is seen among others.
                assert (house.traffic.count(watched.unit), house.traffic.count(other.unit)) == (10, 2)
                # PID 1 is not there: everything else goes on.
                house.bus = False
                await house.second()
                await asyncio.sleep(0.01)
                assert await house.second() == {watched.id, other.id}

    with_house(tmp_path, work)


def test_few_questions_are_put_to_pid_1_at_once(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        waiting, most, go = 0, 0, asyncio.Event()

        async def traffic(_unit: str) -> tuple[int | None, int | None]:
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            await go.wait()
            waiting -= 1
            return 1, 2

        house.sampler._traffic = traffic
        jobs = [house.start(f"job-{number}") for number in range(100)]
        await house.second()
        await asyncio.sleep(0.01)
        assert most == ASKED_AT_ONCE
        go.set()
        await asyncio.sleep(0.01)
        await house.second()
        assert all(house.sampler.latest()[job.id].net_sent_bytes == 2 for job in jobs)

    with_house(tmp_path, work)


def test_samples_are_kept_and_forgotten_with_the_job(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("one")
        for _ in range(4):
            await house.second()
        house.set(job, State.COMPLETED)
        kept = await house.sampler.history(job.id)
        assert len(kept) == 4
        assert await house.sampler.history(job.id, limit=2) == kept[2:]
        assert await house.sampler.history(job.id, start_usec=kept[1].time_usec) == kept[1:]
        assert await house.sampler.history(job.id, end_usec=kept[1].time_usec) == kept[:2]
        house.sampler.deleted([job.id])
        assert await house.sampler.history(job.id) == []

    with_house(tmp_path, work)


def test_samples_are_written_in_batches_and_when_the_last_job_ends(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("one", age_usec=HOUR_USEC)
        pending = []
        for _ in range(65):
            await house.second()
            pending.append(house.sampler.archive.pending)
        assert pending.count(0) <= 3
        assert 0 in pending
        assert max(pending) <= 7
        await house.count(job, 10)
        assert house.sampler.archive.pending > 0
        house.set(job, State.COMPLETED)
        running = asyncio.create_task(house.sampler.run())
        await asyncio.sleep(0)
        assert house.sampler.archive.pending == 0
        running.cancel()

    with_house(tmp_path, work)


def test_the_most_tasks_that_were_seen(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("one")
        assert house.sampler.tasks_peak(job.id) is None
        make(house.groups / job.unit, pids_peak=None, pids_current="7\n")
        await house.second()
        make(house.groups / job.unit, pids_peak=None, pids_current="2\n")
        await house.second()
        assert house.sampler.tasks_peak(job.id) == 7

    with_house(tmp_path, work)


def test_a_group_that_is_gone_before_its_job_is_no_failure(tmp_path: Path) -> None:
    async def work(house: House) -> None:
        job = house.start("one")
        for file in (house.groups / job.unit).iterdir():
            file.unlink()
        (house.groups / job.unit).rmdir()
        assert await house.second() == set()

    with_house(tmp_path, work)

"""The samples on disk: a bounded number of each job, in a file that can be lost."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from joblet_systemd.metrics.archive import Archive
from joblet_systemd.metrics.sample import MAX_KEPT, Sample

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


def sample(second: float, cpu_usec: int = 0) -> Sample:
    return Sample(START + round(second * SECOND), cpu_usec=cpu_usec, memory_bytes=0)


def with_archive(path: Path, work: Callable[[Archive], Awaitable[None]], max_rows: int = 10**6) -> None:
    async def run() -> None:
        archive = Archive(path, max_rows)
        try:
            await work(archive)
        finally:
            await archive.close()

    asyncio.run(run())


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    whole = Sample(START, 99.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0.5, 0.25, 12.5)
    partial = Sample(START + SECOND, cpu_usec=500_001)

    async def write(archive: Archive) -> None:
        archive.add("one", whole)
        archive.add("one", partial)
        # Before they are written as after that.
        assert [found.time_usec for found in await archive.of("one")] == [START, START + SECOND]

    async def read(archive: Archive) -> None:
        first, second = await archive.of("one")
        assert first == whole
        assert second == partial.since(whole, SECOND)
        assert second.cpu_percent == 50.0
        assert second.memory_bytes is None
        assert await archive.of("two") == []

    with_archive(tmp_path / "samples.db", write)
    with_archive(tmp_path / "samples.db", read)


def test_a_long_job_is_thinned_out_evenly_and_keeps_its_cpu_shares(tmp_path: Path) -> None:
    """A day of samples: one a second for an hour, then every five."""
    seconds = [*range(3600), *range(3600, 86_400, 5)]

    async def work(archive: Archive) -> None:
        for number, second in enumerate(seconds):
            archive.add("long", sample(second, cpu_usec=second * SECOND // 4))
            if number % 120 == 119:
                await archive.flush()
            if number % 1200 == 1199:
                assert len(await archive.of("long")) <= MAX_KEPT
        kept = await archive.of("long")
        assert len(kept) >= MAX_KEPT // 4
        gaps = [later.time_usec - earlier.time_usec for earlier, later in itertools.pairwise(kept)]
        assert max(gaps) <= 4 * min(gaps[:-1])
        assert kept[0].time_usec == START
        assert kept[-1].time_usec > START + 86_000 * SECOND
        # A quarter of a core, whatever was left out in between.
        assert {found.cpu_percent for found in kept[1:]} == {25.0}

    with_archive(tmp_path / "samples.db", work)


def test_all_jobs_together_are_bounded_and_the_oldest_lose_theirs(tmp_path: Path) -> None:
    async def work(archive: Archive) -> None:
        for number in range(10):
            for second in range(30):
                archive.add(f"job {number}", sample(second))
            await archive.flush()
        counts = [len(await archive.of(f"job {number}")) for number in range(10)]
        assert counts == [0] * 7 + [30] * 3

    with_archive(tmp_path / "samples.db", work, max_rows=100)


def test_forgotten_jobs_leave_nothing(tmp_path: Path) -> None:
    async def work(archive: Archive) -> None:
        for job in ("written", "pending", "other", "known"):
            archive.add(job, sample(0))
            if job == "written":
                await archive.flush()
        archive.forget(["written", "pending"])
        assert await archive.of("written") == []
        assert await archive.of("pending") == []
        await archive.flush()
        archive.forget_others({"known"})
        assert [len(await archive.of(job)) for job in ("other", "known")] == [0, 1]

    with_archive(tmp_path / "samples.db", work)
    with sqlite3.connect(tmp_path / "samples.db") as db:
        assert db.execute("SELECT count(*) FROM samples").fetchone() == (1,)
    db.close()


def test_a_full_disk_loses_samples_and_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(archive: Archive) -> None:
        archive.add("before", sample(0))
        await archive.flush()
        await archive._do(lambda db: db.execute("PRAGMA max_page_count = 1"))  # as if the disk had no room
        for number in range(3):
            for second in range(700):
                archive.add(f"lost {number}", sample(second))
            await archive.flush()
            assert archive.pending == 0
            await archive._do(lambda db: db.execute("PRAGMA max_page_count = 1"))
        assert len(await archive.of("before")) == 1

    with caplog.at_level(logging.WARNING):
        with_archive(tmp_path / "samples.db", work)
    assert [record.message for record in caplog.records if "samples of jobs are lost" in record.message]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("damage", ["no database", "another version"])
def test_a_file_that_is_no_use_is_begun_anew(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "samples.db"
    if damage == "no database":
        path.write_bytes(b"x" * 10_000)
    else:
        db = sqlite3.connect(path)
        db.executescript("CREATE TABLE jobs (id); PRAGMA user_version = 99;")
        db.close()

    async def work(archive: Archive) -> None:
        assert await archive.of("one") == []
        archive.add("one", sample(0))
        await archive.flush()
        assert len(await archive.of("one")) == 1

    with caplog.at_level(logging.WARNING):
        with_archive(path, work)
    assert "begun anew" in caplog.text


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    async def work(archive: Archive) -> None:
        archive.add("one", sample(0))
        await archive.flush()
        assert await archive.of("one") == []

    with_archive(tmp_path / "none" / "samples.db", work)

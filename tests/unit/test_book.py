"""Jobs that have not ended, in memory: what is long of them is in the store alone, and lost nowhere."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import pytest

from joblet_systemd.errors import Exhausted
from joblet_systemd.jobs import weight
from joblet_systemd.jobs.book import Book
from joblet_systemd.jobs.weight import Scales, abridged
from joblet_systemd.model import Actor, Job, JobSpec, Limits, State
from joblet_systemd.store import Store

LONG = Job(
    "00000001-0000-0000-0000-000000000000",
    JobSpec("sh", args=("😀" * 30_000,) * 8, environment={"A": "b" * 100_000}, secrets=("S",)),
    "alice",
    "joblet-alice",
    State.SCHEDULED,
    submitted_usec=1,
    uploads=("u",),
)
ALICE = Actor("alice", others=False)


def copy(number: int, job: Job = LONG) -> Job:
    """The same with another id, sharing nothing with it."""
    return dataclasses.replace(
        job,
        id=f"{number:08}-0000-0000-0000-000000000000",
        spec=dataclasses.replace(job.spec, args=tuple(f"{number} {word}" for word in job.spec.args)),
    )


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(Store(tmp_path / "joblet.db"))


def test_hundreds_of_the_largest_jobs_take_little_memory(book: Book) -> None:
    for number in range(30):
        book.store.add(copy(number))
    tracemalloc.start()
    for job in book.store.unfinished():  # as a daemon that is started does
        book.adopt(job)
    del job
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(book.unfinished()) == 30
    # All of them are 33 MB.
    assert held < 500_000
    assert peak < 20_000_000


def test_all_of_a_job_is_there_when_it_is_wanted(book: Book) -> None:
    book.store.add(LONG)
    book.adopt(LONG)
    live = book[LONG.id]
    assert (live.spec.args, live.spec.environment, live.spec.secrets, live.uploads) == ((), {}, ("S",), ("u",))
    assert live.omitted == ("args", "environment")
    assert book.whole(live) == book.get(LONG.id, ALICE) == LONG
    # Whatever changes, nothing of it is lost.
    changed = book.change(live, state=State.PENDING, due_usec=7)
    whole = book.get(LONG.id, ALICE)
    assert whole == dataclasses.replace(LONG, state=State.PENDING, due_usec=7)
    spec = dataclasses.replace(whole.spec, limits=Limits(50), priority=3)
    book.change(whole, spec=spec)
    assert book[LONG.id].spec.args == ()
    book.change(changed, spec=dataclasses.replace(changed.spec, limits=Limits(50, "0"), priority=4))
    now = book.get(LONG.id, ALICE)
    assert now.spec == dataclasses.replace(LONG.spec, limits=Limits(50, "0"), priority=4)
    book.end(dataclasses.replace(book[LONG.id], state=State.FAILED))
    assert book.store.find(LONG.id).spec == now.spec


def test_usual_jobs_are_whole() -> None:
    usual = dataclasses.replace(LONG, spec=JobSpec("sh", ("-c", "x" * 2000), environment={"A": "b" * 1000}))
    assert abridged(usual) is usual
    # The last that goes is what to execute.
    command = dataclasses.replace(usual, spec=JobSpec("x" * 4095, ("y" * 3000,)))
    assert abridged(command).omitted == ("args",)
    assert abridged(dataclasses.replace(usual, spec=JobSpec("x" * 100_000))).spec.command == "x" * 59 + "…"


def test_how_many_jobs_fit_into_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    small = dataclasses.replace(LONG, spec=JobSpec("true"))
    monkeypatch.setattr(weight, "ALL_BYTES", 100 * weight.weight(small))
    monkeypatch.setattr(weight, "ALWAYS_BYTES", 5 * weight.weight(small))
    scales = Scales()
    for number in range(100):
        scales.check("mallory")
        scales.put(copy(number, dataclasses.replace(small, owner="mallory")))
    with pytest.raises(Exhausted, match=r"100 jobs that have not ended take \d+ MB .*'mallory'.*cancel"):
        scales.check("mallory")
    # Others get some all the same.
    for number in range(100, 105):
        scales.check("alice")
        scales.put(copy(number, small))
    with pytest.raises(Exhausted, match="of it those of 'alice'"):
        scales.check("alice")
    for number in range(10):
        scales.take(copy(number, dataclasses.replace(small, owner="mallory")))
    scales.check("mallory")

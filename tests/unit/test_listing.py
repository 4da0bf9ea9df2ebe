"""Lists of jobs and other large answers: what is long is left out of lists, and what is held is bounded in bytes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
import tracemalloc
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from joblet_systemd.api import answers, listing
from joblet_systemd.api.answers import Answers
from joblet_systemd.api.brief import MAX_BYTES, brief
from joblet_systemd.api.listing import Listing
from joblet_systemd.api.server import Caller
from joblet_systemd.identity import Identity, Role
from joblet_systemd.jobs.outcome import exec_failure
from joblet_systemd.model import Job, JobSpec, State
from joblet_wire import joblet_pb2 as wire

LONGEST = "/" * 131_070


def scenario(play: Coroutine[None, None, None]) -> None:
    asyncio.run(asyncio.wait_for(play, 20))


def job(number: int, **spec: Any) -> Job:
    return Job(f"{number:08d}", JobSpec(**{"command": "true", **spec}), "alice", "a", State.FAILED, number)


def listed(*jobs: Job) -> wire.Jobs:
    """What a client gets."""

    async def play() -> bytes:
        async with contextlib.AsyncExitStack() as held:
            made = Listing(lambda: jobs, dict, "node", Answers())
            return await made.answer(Caller(Identity("alice", Role.READER), held=held))

    return wire.Jobs.FromString(asyncio.run(play()))


def test_what_is_long_is_left_out() -> None:
    words = ("x" * (MAX_BYTES + 1),)
    long = job(1, command=LONGEST, args=words, environment={"A": words[0]}, secrets=words)
    [short, whole] = listed(long, job(2, command="/bin/true", args=("x",), environment={"A": "b"}, secrets=("S",))).jobs
    assert (short.command[:50], short.command[-1]) == ("/" * 50, "…")
    assert len(short.command) < 100
    assert (list(short.args), dict(short.environment), dict(short.secret_environment)) == ([], {}, {})
    assert (whole.command, list(whole.args), dict(whole.environment)) == ("/bin/true", ["x"], {"A": "b"})
    assert dict(whole.secret_environment) == {"S": "***"}
    assert brief(long)[1] == ["command", "args", "environment", "secrets"]


def test_bytes_count_and_not_letters() -> None:
    assert brief(job(1, args=("\N{SNOWMAN}" * 1000,)))[1] == ["args"]


def test_a_reason_does_not_repeat_a_long_command() -> None:
    code, reason = exec_failure(LONGEST, errno.ENOENT)
    assert (code, len(reason) < 300) == (127, True)
    assert reason.startswith("exec-failed: ////")
    assert reason.endswith("…: no such file or directory")
    # Those that are stored already.
    old = Job("1", JobSpec("true"), "alice", "a", State.FAILED, 1, reason=f"exec-failed: {LONGEST}: no such file")
    assert len(listed(old).jobs[0].reason) <= MAX_BYTES


def test_a_list_of_many_long_jobs_is_small_and_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "FULL_BYTES", 1 << 20)

    def jobs() -> Iterator[Job]:
        for number in range(3000):
            half = "x" * 2000
            yield job(number, command=half, args=(half,), environment={"A": half})

    made = Listing(jobs, dict, "node", Answers())
    tracemalloc.start()
    try:
        whole = made._serialized({})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(wire.Jobs.FromString(whole).jobs) == 3000
    assert len(whole) < 2 << 20
    assert peak < 1.5 * len(whole)


def test_a_list_of_some_is_made_to_its_end_before_the_next_whoever_goes() -> None:
    """Who asks, goes and asks again has the daemon make one at a time all the same."""

    async def play() -> None:
        go, begun = threading.Event(), 0

        def jobs() -> Iterator[Job]:
            nonlocal begun
            begun += 1
            assert go.wait(10)
            yield job(begun)

        made = Listing(jobs, dict, "node", Answers())

        async def ask() -> bytes:
            async with contextlib.AsyncExitStack() as held:
                return await made.part(jobs, Caller(Identity("alice", Role.READER), held=held))

        async def gone(asked: asyncio.Task[bytes]) -> None:
            await asyncio.sleep(0.02)
            asked.cancel()

        asked = [asyncio.create_task(ask()) for _ in range(5)]
        await asyncio.gather(*map(gone, asked))
        last = asyncio.create_task(ask())
        await asyncio.sleep(0.05)
        assert begun == 1
        go.set()
        assert len(wire.Jobs.FromString(await last).jobs) == 1

    scenario(play())


async def turns(bound: Answers, who: str, *sizes: int) -> tuple[list[Caller], list[asyncio.Task[None]]]:
    """Ask for turns, the first at first; the callers and how far they got."""
    callers = [Caller(Identity(who, Role.READER)) for _ in sizes]
    tasks = [asyncio.create_task(bound.turn(*asked)) for asked in zip(callers, sizes, strict=True)]
    await asyncio.sleep(0.01)
    return callers, tasks


def test_what_one_identity_makes_the_daemon_hold_is_bounded() -> None:
    async def play() -> None:
        bound = Answers()
        callers, tasks = await turns(bound, "alice", *[0] * (answers.AT_ONCE + 3))
        assert sum(task.done() for task in tasks) == answers.AT_ONCE
        _, [other] = await turns(bound, "bob", 0)
        assert other.done()
        for caller in callers[:3]:
            await caller.held.aclose()
        await asyncio.wait_for(asyncio.gather(*tasks), 5)

    scenario(play())


def test_large_answers_count_for_several() -> None:
    async def play() -> None:
        bound = Answers()
        callers, tasks = await turns(bound, "alice", answers.ALL_BYTES // 2 + 1, 0, answers.ALL_BYTES // 2, 0)
        # Nobody is overtaken, or a large one would never have its turn.
        assert [task.done() for task in tasks] == [True, True, False, False]
        tasks[2].cancel()
        await asyncio.wait(tasks[2:], timeout=5)
        await callers[2].held.aclose()
        await asyncio.wait_for(tasks[3], 5)
        # One that is larger than all that there may be is alone.
        _, [huge] = await turns(bound, "alice", 10 * answers.ALL_BYTES)
        assert not huge.done()
        for caller in callers:
            await caller.held.aclose()
        await asyncio.wait_for(huge, 5)

    scenario(play())

"""The messages of SubmitJob: whatever a client sends in whatever order, and how long it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from joblet_systemd.api import answers, upload
from joblet_systemd.api.server import Caller
from joblet_systemd.api.slots import Slots
from joblet_systemd.api.threads import Threads
from joblet_systemd.api.upload import Stream
from joblet_systemd.errors import Exhausted, InvalidValue, TooSlow
from joblet_systemd.files.uploads import Upload
from joblet_systemd.identity import Identity, Role
from joblet_systemd.model import Job, JobSpec, State
from joblet_wire.joblet_pb2 import FileUpload, RunJobRequest, SubmitJobRequest

from .journalless import imported

JOB = SubmitJobRequest(job=RunJobRequest(command="true"))
FILE = SubmitJobRequest(file=FileUpload(path="f", content=b"1"))
DATA = SubmitJobRequest(data=b"23")
END = SubmitJobRequest(end=True)


async def read(*messages: SubmitJobRequest, pause: float = 0) -> tuple[RunJobRequest, list[Upload | bytes]]:
    async def requests() -> AsyncIterator[SubmitJobRequest]:
        for message in messages:
            await asyncio.sleep(pause)
            yield message

    stream = Stream(requests())
    job = await stream.job()
    parts: list[Upload | bytes] = []
    while batch := await stream.batch():
        parts += batch
    return job, parts


def test_in_order() -> None:
    job, parts = asyncio.run(read(JOB, FILE, DATA, DATA, FILE, END))
    assert job.command == "true"
    assert [part if isinstance(part, bytes) else part.path for part in parts] == ["f", b"23", b"23", "f"]
    assert asyncio.run(read(JOB, END)) == (JOB.job, [])


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ((), "part: None is not accepted; expected job in the first message"),
        ((FILE,), "part: 'file' is not accepted; expected job in the first message"),
        ((SubmitJobRequest(),), "part: None is not accepted; expected job in the first message"),
        ((JOB, JOB, END), "part: 'job' is not accepted; expected file, data or end"),
        ((JOB, SubmitJobRequest(), END), "part: None is not accepted; expected file, data or end"),
        ((JOB,), "part: None is not accepted; expected end in the last message"),
        ((JOB, FILE, DATA), "part: None is not accepted; expected end in the last message"),
        ((JOB, SubmitJobRequest(file=FileUpload(path="../x")), END), "uploads: '../x' is not accepted"),
        ((SubmitJobRequest(job=RunJobRequest(uploads=[FileUpload()])),), "none in the job of SubmitJob"),
    ],
)
def test_refused(messages: tuple[SubmitJobRequest, ...], error: str) -> None:
    with pytest.raises(InvalidValue, match=error.replace("(", r"\(")):
        asyncio.run(read(*messages))


def test_batches_are_bounded() -> None:
    async def sizes() -> list[int]:
        async def requests() -> AsyncIterator[SubmitJobRequest]:
            yield JOB
            yield FILE
            for _ in range(20):
                yield SubmitJobRequest(data=b"x" * (256 << 10))
            for _ in range(600):
                yield FILE
            yield END

        stream = Stream(requests())
        await stream.job()
        found = []
        while batch := await stream.batch():
            found.append(len(batch))
        return found

    assert asyncio.run(sizes()) == [5, 4, 4, 4, 4, 256, 256, 88]


def test_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PROGRESS_BYTES", 10)
    monkeypatch.setattr(upload, "PROGRESS_SEC", 0.1)
    with pytest.raises(TooSlow, match="given up"):
        asyncio.run(read(JOB, FILE, *[DATA] * 3, END, pause=0.09))


def test_long_and_not_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is for each portion, not for all of it."""
    monkeypatch.setattr(upload, "PROGRESS_BYTES", 10)
    monkeypatch.setattr(upload, "PROGRESS_SEC", 2.0)
    ten = SubmitJobRequest(data=b"x" * 10)
    asyncio.run(read(JOB, FILE, *[ten] * 4, END, pause=0.5))


def test_slots() -> None:
    async def fill() -> None:
        slots = Slots("uploads", total=3, each=2, patience=0.01)
        async with slots.hold("alice"), slots.hold("alice"):
            with pytest.raises(Exhausted, match="2 uploads at the moment, 2 of 'alice'"):
                await slots.hold("alice").__aenter__()
            async with slots.hold("bob"):
                with pytest.raises(Exhausted, match="3 uploads at the moment, 0 of 'carol'"):
                    await slots.hold("carol").__aenter__()
            async with slots.hold("carol"):
                pass
        patient = Slots("uploads", total=1, each=1, patience=10)
        order = []

        async def turn(name: str) -> None:
            async with patient.hold(name):
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*(turn(name) for name in "abc"))
        assert order == ["a", "b", "c"]

    asyncio.run(fill())


def test_a_cancelled_call_waits_for_its_thread() -> None:
    async def cancel() -> list[str]:
        threads, done = Threads(1, "test"), []
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(started.set)
            asyncio.run(asyncio.sleep(0.05))
            done.append("thread")
            raise OSError("seen by nobody")

        task = asyncio.create_task(threads.run(work))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        done.append("caller")
        threads.close()
        return done

    assert asyncio.run(cancel()) == ["thread", "caller"]


def service_of(job: Job) -> tuple[Any, upload.Uploads]:
    """A JobService that accepts whatever comes as this job."""

    async def checked(*_: object) -> None:
        pass

    async def submitted(*_: object) -> tuple[Job, list[str]]:
        return job, []

    jobs: Any = SimpleNamespace(
        check=checked, submit=submitted, positions=dict, book=SimpleNamespace(store=SimpleNamespace(each=list))
    )
    anything: Any = None
    uploads = upload.Uploads(anything, lambda: None)
    return imported("api.jobs").JobService(jobs, anything, uploads, anything, "node"), uploads


def test_of_what_waits_for_its_turn_nothing_is_read() -> None:
    """A first message has up to 4 MiB, and thousands of calls may be open."""

    async def play() -> None:
        read, go = 0, asyncio.Event()

        async def requests() -> AsyncIterator[SubmitJobRequest]:
            nonlocal read
            read += 1
            yield JOB
            await go.wait()
            yield END

        service, uploads = service_of(Job("1", JobSpec("true"), "alice", "joblet-alice", State.PENDING, 1))

        async def call() -> Any:
            caller = Caller(Identity("alice", Role.DEVELOPER))
            async with caller.held:
                return await service.submit(requests(), caller)

        calls = [asyncio.create_task(call()) for _ in range(upload.AT_ONCE_EACH + 20)]
        await asyncio.sleep(0.05)
        assert read == upload.AT_ONCE_EACH
        go.set()
        answers = await asyncio.gather(*calls)
        assert [answer.job_uuid for answer in answers] == ["1"] * (upload.AT_ONCE_EACH + 20)
        uploads.close()

    asyncio.run(play())


def test_who_does_not_read_its_answers_keeps_no_turn_at_uploads() -> None:
    """All share them. The answer is a short one, whatever the job is like, and waits for no other."""

    async def play() -> None:
        async def requests() -> AsyncIterator[SubmitJobRequest]:
            yield JOB
            yield END

        long = JobSpec("true", ("x" * 100_000,), environment={"A": "x" * 100_000})
        service, uploads = service_of(Job("1", long, "alice", "joblet-alice", State.PENDING, 1))
        caller = Caller(Identity("alice", Role.DEVELOPER))
        async with caller.held:
            for _ in range(answers.AT_ONCE):
                await service._answers.turn(caller)
            answer = await asyncio.wait_for(service.submit(requests(), caller), 5)
            assert (answer.job_uuid, answer.command, list(answer.args)) == ("1", "true", [])
        uploads.close()

    asyncio.run(play())


def test_threads_of_a_daemon_that_ends_begin_nothing() -> None:
    threads, done = Threads(1, "test"), []
    threads.close()

    async def go() -> None:
        with pytest.raises(asyncio.CancelledError):
            await threads.run(done.append, 1)

    asyncio.run(go())
    assert done == []

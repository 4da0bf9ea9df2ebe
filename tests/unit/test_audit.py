"""The audit: a line for every call that changes something and for every denial, which no client can forge."""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from joblet_systemd import audit
from joblet_systemd.api import server
from joblet_systemd.api.admission import Admission
from joblet_systemd.api.bounds import Bounds
from joblet_systemd.errors import NotFound
from joblet_systemd.identity import Identity, Leaf, Role
from joblet_systemd.revocations import Watched, now
from joblet_wire import joblet_pb2 as wire

JOB = "0f9c1f6e-1111-4222-8333-944455556666"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the journal gets."""
    entries: list[dict[str, Any]] = []
    module = SimpleNamespace(send=lambda message, **fields: entries.append({"MESSAGE": message, **fields}))
    monkeypatch.setitem(sys.modules, "systemd", SimpleNamespace(journal=module))
    for name, value in (("handlers", []), ("propagate", True), ("level", 0)):
        monkeypatch.setattr(audit.log, name, value)
    monkeypatch.setattr(audit, "_failures", audit.Failures())
    audit.to_journal()
    return entries


class Aborted(grpc.aio.AbortError):
    """What the context raises."""


class Context:
    """A call's context, of a client with the certificate ``leaf``; one request, and who waits for an answer."""

    request: Any = None
    written: asyncio.Event

    async def read(self) -> bytes:
        return bytes(self.request.SerializeToString())

    async def write(self, message: bytes) -> None:
        self.written.set()

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise Aborted(code, details)

    def set_trailing_metadata(self, metadata: object) -> None:
        pass


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    leaf = Leaf(Identity("alice", Role.DEVELOPER), "0abc", now(), now().replace(year=9999))
    monkeypatch.setattr(server, "leaf_in", lambda context: leaf)
    return Context()


def admission(tmp_path: Path) -> Admission:
    return Admission(Watched(tmp_path / "revoked.json", now))


def call(tmp_path: Path, context: Context, name: str, implementation: Callable[..., Any], request: Any) -> None:
    """Make a call."""
    asyncio.run(answer(tmp_path, context, name, implementation, request))


async def answer(tmp_path: Path, context: Context, name: str, implementation: Callable[..., Any], request: Any) -> None:
    service, _, method = name.partition("/")
    descriptor = wire.DESCRIPTOR.services_by_name[service].methods_by_name[method]
    context.request, context.written = request, asyncio.Event()
    await server._answer(Bounds(), admission(tmp_path), descriptor, implementation, None, context)


def fields(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    who, what, job, outcome = (entry[f"JOBLET_AUDIT_{name}"] for name in ("WHO", "WHAT", "JOB", "OUTCOME"))
    assert entry["MESSAGE"] == f"joblet.audit: who={who} what={what} job={job} outcome={outcome}"
    return who, what, job, outcome


def test_done(tmp_path: Path, context: Context, sent: list[dict[str, Any]]) -> None:
    async def run(request: Any, caller: server.Caller) -> Any:
        return wire.RunJobResponse(job_uuid=JOB)

    call(tmp_path, context, "JobService/RunJob", run, wire.RunJobRequest())
    (entry,) = sent
    assert fields(entry) == ("alice", "JobService/RunJob", JOB, "done")
    assert entry["JOBLET_AUDIT_SERIAL"] == "0abc"
    assert entry["CODE_FILE"] == audit.__file__
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == (6, "jobletd")


def test_the_whole_id_of_what_was_named_by_its_beginning(
    tmp_path: Path, context: Context, sent: list[dict[str, Any]]
) -> None:
    async def stop(request: Any, caller: server.Caller) -> Any:
        return wire.StopJobResponse(uuid=JOB)

    call(tmp_path, context, "JobService/StopJob", stop, wire.StopJobRequest(uuid=JOB[:8]))
    assert fields(sent[0])[2] == JOB


def test_reading_is_no_news(tmp_path: Path, context: Context, sent: list[dict[str, Any]]) -> None:
    async def listed(request: Any, caller: server.Caller) -> Any:
        return wire.Jobs()

    call(tmp_path, context, "JobService/ListJobs", listed, wire.EmptyRequest())
    assert sent == []


def test_refused_and_failed(tmp_path: Path, context: Context, sent: list[dict[str, Any]]) -> None:
    async def missing(request: Any, caller: server.Caller) -> Any:
        raise NotFound("There is no such job.")

    async def broken(request: Any, caller: server.Caller) -> Any:
        raise ZeroDivisionError

    for implementation in (missing, broken):
        with pytest.raises(Aborted):
            call(tmp_path, context, "JobService/StopJob", implementation, wire.StopJobRequest(uuid=JOB))
    with pytest.raises(Aborted):
        call(tmp_path, context, "VolumeService/RemoveVolume", missing, wire.RemoveVolumeRequest(name="v"))
    outcomes = [fields(entry)[3] for entry in sent]
    assert outcomes[:2] == ["NOT_FOUND: There is no such job.", "INTERNAL: ZeroDivisionError"]
    assert outcomes[2].startswith("PERMISSION_DENIED: RemoveVolume needs the role admin")
    assert [entry["PRIORITY"] for entry in sent] == [6, 6, 5]


def test_broken_off(tmp_path: Path, context: Context, sent: list[dict[str, Any]]) -> None:
    """By a client that went away, in the middle of a call that answers once and of one that streams."""

    async def run() -> None:
        begun = asyncio.Event()

        async def forever(request: Any, caller: server.Caller) -> Any:
            caller.job = JOB
            begun.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(
            answer(tmp_path, context, "JobService/UpdateJob", forever, wire.UpdateJobRequest())
        )
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def chunks(request: Any, caller: server.Caller) -> AsyncIterator[Any]:
            caller.job = JOB
            yield wire.ExecJobResponse()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(answer(tmp_path, context, "JobService/ExecJob", chunks, wire.ExecJobRequest()))
        await asyncio.sleep(0)
        await context.written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert [fields(entry) for entry in sent] == [
        ("alice", "JobService/UpdateJob", JOB, "broken off"),
        ("alice", "JobService/ExecJob", JOB, "broken off"),
    ]


HOSTILE = [
    "x outcome=done",
    "x\noutcome=done\njoblet.audit: who=admin what=JobService/StopJob job=- outcome=done",
    "x\0y",
    "\x1b[2J\r",
    "\u2028\u202egnp",
    'x"=y',
    "é" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_client_forges_a_line(text: str, tmp_path: Path, context: Context, sent: list[dict[str, Any]]) -> None:
    async def missing(request: Any, caller: server.Caller) -> Any:
        raise NotFound(f"There is no job {request.uuid}.")

    with pytest.raises(Aborted):
        call(tmp_path, context, "JobService/StopJob", missing, wire.StopJobRequest(uuid=text))
    (entry,) = sent
    who, what, job, outcome = fields(entry)
    assert (who, what) == ("alice", "JobService/StopJob")
    assert not set(job) & set(" =\"'\n"), job
    for value in (job, outcome):
        assert value.isprintable()
        assert len(value) <= audit.MAX_OUTCOME
    # Read from the left, as it was written, the line has one meaning only.
    start, _, rest = entry["MESSAGE"].partition(" outcome=")
    assert start == f"joblet.audit: who=alice what=JobService/StopJob job={job}"
    assert rest == outcome
    assert outcome.startswith("NOT_FOUND")


@pytest.mark.parametrize("text", HOSTILE)
def test_not_even_an_identity(text: str, sent: list[dict[str, Any]]) -> None:
    audit.record(text, text, text, text, serial=text)
    (entry,) = sent
    fields(entry)
    for name in ("WHO", "WHAT", "JOB", "SERIAL"):
        assert entry[f"JOBLET_AUDIT_{name}"].isascii()
        assert " " not in entry[f"JOBLET_AUDIT_{name}"]
    assert entry["MESSAGE"].isprintable()


def test_a_flood_of_failures_hides_nothing(monkeypatch: pytest.MonkeyPatch, sent: list[dict[str, Any]]) -> None:
    clock = [0.0]
    monkeypatch.setattr(audit, "_failures", audit.Failures(lambda: clock[0]))
    for _ in range(5000):
        audit.record("mallory", "JobService/StopJob", JOB, "PERMISSION_DENIED: no", serial="0bad", notice=True)
    assert len(sent) == audit.MAX_FAILURES
    assert "those that follow within the minute are left out" in sent[-1]["JOBLET_AUDIT_OUTCOME"]
    audit.record("mallory", "JobService/RunJob", JOB, "done", serial="0bad")
    audit.record("alice", "JobService/StopJob", JOB, "NOT_FOUND: no", serial="0abc")
    assert [fields(entry)[0] for entry in sent[-2:]] == ["mallory", "alice"]
    clock[0] = 61.0
    audit.record("mallory", "JobService/StopJob", JOB, "PERMISSION_DENIED: no", serial="0bad", notice=True)
    assert sent[-1]["JOBLET_AUDIT_OUTCOME"] == "PERMISSION_DENIED: no (4900 before this one were left out)"


def test_a_journal_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sent: list[dict[str, Any]]
) -> None:
    def fail(message: str, **fields: object) -> None:
        raise ConnectionRefusedError("no journald")

    monkeypatch.setitem(sys.modules, "systemd", SimpleNamespace(journal=SimpleNamespace(send=fail)))
    audit.record("alice", "JobService/RunJob", JOB, "done")
    assert f"joblet.audit: who=alice what=JobService/RunJob job={JOB} outcome=done (no journald)" in caplog.text


def test_without_a_journal_it_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "joblet.audit")
    audit.record("alice", "JobService/RunJob", JOB, "done")
    assert caplog.messages == [f"who=alice what=JobService/RunJob job={JOB} outcome=done"]


@pytest.mark.parametrize(
    ("login", "sudo", "who"),
    [
        ("1", "2", pwd.getpwuid(1).pw_name),
        ("4294967295", "2", pwd.getpwuid(2).pw_name),
        ("4294967295", "", pwd.getpwuid(os.getuid()).pw_name),
        ("4294967295", "$(id)", pwd.getpwuid(os.getuid()).pw_name),
        ("77777777", "", "77777777"),
    ],
)
def test_who_runs_jobletd(login: str, sudo: str, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: login)
    monkeypatch.setenv("SUDO_UID", sudo)
    assert audit.unix_user() == f"unix:{who}"

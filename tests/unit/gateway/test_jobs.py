"""Jobs over HTTP without a host: what is asked for in JSON, what is refused, what is shown, and the document of it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncGenerator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from joblet_systemd.api import answers, messages
from joblet_systemd.api.server import Caller
from joblet_systemd.errors import InvalidValue
from joblet_systemd.http import body, jobs, openapi, parts, sse, view
from joblet_systemd.http.jobs import JobRoutes
from joblet_systemd.http.logs import LogRoutes
from joblet_systemd.http.metrics import MetricsRoutes
from joblet_systemd.identity import Identity, Role
from joblet_systemd.jobs.book import Book
from joblet_systemd.logs import Batch, Dropped, Output
from joblet_systemd.metrics.counts import Counts
from joblet_systemd.metrics.host import PARTS
from joblet_systemd.metrics.sample import VALUES, Sample, as_json
from joblet_systemd.model import Job, JobSpec, Limits, State
from joblet_systemd.selection import Selection
from joblet_systemd.store import Store

from .gateways import Node, answer, scenario

DOCUMENT = openapi.document()
ASKED = {
    "command": "sh",
    "args": ["-c", "ünï"],
    "name": "n",
    "environment": {"A": "b"},
    "secretEnvironment": {"S": "t"},
    "maxCpu": 50,
    "cpuCores": "0",
    "maxMemory": 64.0,
    "maxIoBps": 5,
    "maxRuntimeMs": 7000,
    "maxDisk": 6,
    "priority": -3,
    "retries": 2,
    "retryDelayMs": 10,
    "schedule": "daily",
    "timeZone": "UTC",
}


def test_a_job_with_everything() -> None:
    assert set(ASKED) == set(body.FIELDS) == set(DOCUMENT["components"]["schemas"]["NewJob"]["properties"])
    spec = messages.spec_of(body.job(ASKED))
    assert spec == JobSpec(
        "sh",
        ("-c", "ünï"),
        "n",
        {"A": "b"},
        Limits(50, "0", 64 << 20, 5, 6 << 20, 7_000_000),
        secrets=("S",),
        priority=-3,
        retries=2,
        retry_delay_usec=10_000,
        schedule="daily",
        time_zone="UTC",
    )


@pytest.mark.parametrize(
    ("changes", "field", "shown"),
    [
        ({"command": ""}, "command", "the program to run"),
        ({"command": None}, "command", "a string"),
        ({"command": "\ud800"}, "command", "lone surrogates"),
        ({"args": "x"}, "args", "a list"),
        ({"args": ["a", 1]}, "args[1]", "a string"),
        ({"args": ["a\0"]}, "command", "NUL"),
        ({"environment": {"A": 1}}, "environment A", "a string"),
        ({"environment": []}, "environment", "an object"),
        ({"environment": {"1": "x"}}, "environment", "not beginning with a digit"),
        ({"secretEnvironment": {"1": "x"}}, "secretEnvironment", "not beginning with a digit"),
        ({"maxCpu": True}, "maxCpu", "a whole number"),
        ({"maxCpu": "1"}, "maxCpu", "a whole number"),
        ({"maxCpu": 1.5}, "maxCpu", "a whole number"),
        ({"maxCpu": -1}, "maxCpu", "0 to 2147483647"),
        ({"maxMemory": 2**31}, "maxMemory", "2147483647"),
        ({"maxMemory": 10**400}, "maxMemory", "2147483647"),
        ({"maxRuntimeMs": 10**13}, "maxRuntimeMs", "315619200000 milliseconds"),
        ({"retryDelayMs": -1}, "retryDelayMs", "0 to 86400000 milliseconds"),
        ({"name": "-x"}, "name", "letters"),
        ({"nosuch": "hush"}, "body", "these keys: command, args,"),
    ],
)
def test_errors_name_the_key(changes: dict[str, Any], field: str, shown: str) -> None:
    with pytest.raises(InvalidValue) as caught, body.in_json_terms():
        messages.spec_of(body.job({"command": "true", **changes}))
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert shown in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("secrets", [{"A": 1234567}, ["1234567"], {"A": "1234567\ud800"}, {"A": "1234567\0"}])
def test_errors_do_not_repeat_secrets(secrets: Any) -> None:
    with pytest.raises(InvalidValue) as caught, body.in_json_terms():
        messages.spec_of(body.job({"command": "true", "secretEnvironment": secrets}))
    assert caught.value.field.startswith("secretEnvironment")
    assert "1234567" not in str(caught.value)


JOB = Job("01234567-89ab-cdef-0123-456789abcdef", JobSpec("sh"), "alice", "joblet-alice", State.RUNNING, 1)


def test_the_document_has_the_keys_that_are_sent() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    shown = set(view.job(JOB, "node"))
    assert shown == set(schemas["JobBase"]["properties"]) == set(schemas["JobBase"]["required"])
    assert set(view.entry(JOB, "node")) == shown | set(schemas["ListedJob"]["properties"])
    assert set(schemas["Status"]["enum"]) == set(State)
    whole = as_json(Sample(1, *[1] * len(VALUES)))
    assert list(whole) == list(schemas["Sample"]["properties"])
    assert {"time", *PARTS.values()} == set(schemas["HostReading"]["properties"])
    [named] = [entry for entry in DOCUMENT["paths"]["/v1/host"]["get"]["parameters"] if entry["name"] == "parts"]
    assert named["schema"]["items"]["enum"] == list(PARTS)


def test_a_job_says_all_that_was_asked_for_and_the_page_knows_it() -> None:
    """Or "Run again" of the page would start another job without a word."""
    # 'timeZone' goes with a schedule, which is not repeated.
    assert body.FIELDS.keys() - view.job(JOB, "node").keys() == {"timeZone"}
    form = (files("joblet_systemd") / "http/page/newjob.js").read_text(encoding="utf-8")
    assert [key for key in body.FIELDS if key not in form] == []


@pytest.mark.parametrize("place", ["17", "17-5", "16,1:17:-5,2:17:-5", "16,1:17:0,1:17:-1,2:17:0,2:17:-1-2"])
def test_the_document_knows_all_places_in_a_log(place: str) -> None:
    messages.place_of(place)
    parameters = {entry["name"]: entry for entry in DOCUMENT["paths"]["/v1/jobs/{job}/logs"]["get"]["parameters"]}
    for name in ("cursor", "Last-Event-ID"):
        assert re.search(parameters[name]["schema"]["pattern"], place)


def test_what_is_long_is_left_out_of_lists_and_that_is_said() -> None:
    spec = JobSpec("c" * 131_070, args=("x" * 3000,), environment={"A": "y" * 3000}, secrets=("Z" * 3000,))
    shown = view.entry(Job("i", spec, "alice", "a", State.RUNNING, 1, uploads=("u" * 3000,)), "node")
    details = ["args", "environment", "secretEnvironment", "uploads"]
    assert [shown[key] for key in details] == [[], {}, {}, []]
    assert (shown["command"][-2:], len(shown["command"]) < 100) == ("c…", True)
    schema = DOCUMENT["components"]["schemas"]["ListedJob"]["properties"]["omitted"]
    assert shown["omitted"] == ["command", *details] == schema["items"]["enum"]
    assert view.job(Job("i", spec, "alice", "a", State.RUNNING, 1), "node")["args"] == ["x" * 3000]


class Fakes:
    """A store with jobs in it, and nothing that runs them."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "joblet.db")
        self.book = Book(self.store)

    def positions(self) -> dict[str, int]:
        return {}

    async def next_runs(self, job: Job, who: str) -> tuple[int, ...]:
        return ()

    def until(self, job: Job) -> None:
        return None

    @property
    def sampler(self) -> Fakes:
        return self

    async def history(self, job_id: str, *bounds: int | None) -> list[Sample]:
        return []

    def latest(self) -> Mapping[str, Sample]:
        return {}

    followers = 0
    dropped: ClassVar[Mapping[str, int]] = {}

    def parts(self) -> parts.Parts:
        return parts.Parts(*[cast(Any, self)] * 5, "node")


@pytest.fixture
def fakes(tmp_path: Path) -> Fakes:
    return Fakes(tmp_path)


def test_the_document_has_every_route_and_no_other(fakes: Fakes) -> None:
    routes = {
        (route.method, route.path)
        for route in parts.routes(fakes.parts())
        if route.path.startswith(("/v1/", "/metrics"))
    }
    documented = {
        (method.upper(), path)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method in ("get", "post", "put", "delete", "patch")
    }
    assert documented == routes


def test_pages_and_filters(fakes: Fakes, tmp_path: Path) -> None:
    node = Node(tmp_path)
    for number in range(250):
        spec = JobSpec("sh" if number % 2 else "Sleep", ("ünï", f"100% {number}"), name=f"n{number}")
        state = State.FAILED if number % 10 == 0 else State.RUNNING
        fakes.store.add(Job(f"{number:08d}-0", spec, "alice" if number < 5 else "bob", "a", state, number))

    async def play() -> None:
        routes = JobRoutes(cast(Any, fakes), cast(Any, fakes), "node").routes()
        async with node.gateway(routes):

            async def listed(query: str) -> tuple[list[str], str | None]:
                answer = (await node.ask(f"/v1/jobs{query}")).json
                return [job["name"] for job in answer["jobs"]], answer["next"]

            names, place = await listed("")
            assert names == [f"n{number}" for number in range(249, 149, -1)]
            seen = names
            while place is not None:
                fakes.store.add(Job(f"9{len(seen)}", JobSpec("new"), "alice", "a", State.RUNNING, 1))
                names, place = await listed(f"?before={place}")
                seen += names
            assert seen == [f"n{number}" for number in range(249, -1, -1)]
            assert (await listed("?owner=alice&q=n"))[0][-5:] == ["n4", "n3", "n2", "n1", "n0"]
            assert len((await listed("?status=FAILED,stopped&limit=1000"))[0]) == 25
            assert (await listed("?q=SLEEP&limit=2"))[0] == ["n248", "n246"]
            assert (await listed("?q=100%25%2024"))[0] == [f"n{number}" for number in range(249, 239, -1)] + ["n24"]
            assert (await listed("?q=n%C3%AF&limit=1"))[0] == ["n249"]
            assert (await listed("?q=_"))[0] == []
            assert (await listed("?owner=nobody")) == ([], None)
            for bad in (
                "limit=0",
                "limit=1001",
                "limit=x",
                "limit=",
                "before=-1",
                "status=NOSUCH",
                "status=",
                "nosuch=1",
            ):
                reply = await node.ask(f"/v1/jobs?{bad}")
                assert reply.status == 400, bad
                assert reply.json["detail"].startswith(("query" if "nosuch" in bad else bad.partition("=")[0]) + ": ")
            assert (await node.ask("/v1/jobs?limit=1&limit=2")).status == 400
            reply = await node.ask("/v1/jobs/n7")
            assert (reply.status, reply.json["uuid"]) == (200, "00000007-0")
            assert (await node.ask("/v1/jobs/nosuch")).status == 404

    scenario(play())


def test_a_page_of_long_jobs_is_shorter(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(tmp_path)
    monkeypatch.setattr(jobs, "PAGE_BYTES", 20_000)
    for number in range(10):
        fakes.store.add(
            Job(
                f"{number:08d}-0",
                JobSpec("x" * 2000, ("x" * 2000,), environment={"A": "x" * 2000}),
                "alice",
                "a",
                State.RUNNING,
                number,
            )
        )

    async def play() -> None:
        async with node.gateway(JobRoutes(cast(Any, fakes), cast(Any, fakes), "node").routes()):
            sizes, place = [], ""
            while place is not None:
                page = (await node.ask(f"/v1/jobs?limit=1000{place and f'&before={place}'}")).json
                sizes.append(len(page["jobs"]))
                place = page["next"]
            assert sizes == [3, 3, 3, 1]

    scenario(play())


def test_large_answers_are_not_made_for_clients_that_do_not_take_them(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, text = Node(tmp_path), view.text
    large = JobSpec("x", ("\x01" * (2 << 20),))  # each six bytes in JSON
    fakes.store.add(Job(JOB.id, large, "alice", "a", State.COMPLETED, 1))
    made = []

    def counted(value: Any) -> bytes:
        made.append(threading.current_thread())
        return text(value)

    monkeypatch.setattr(view, "text", counted)

    async def play() -> None:
        alice = node.client()
        async with node.gateway(JobRoutes(cast(Any, fakes), cast(Any, fakes), "node").routes()):
            waiting = [await node.connect(alice) for _ in range(answers.AT_ONCE + 3)]
            for _, writer in waiting:
                writer.write(f"GET /v1/jobs/{JOB.id} HTTP/1.1\r\nHost: joblet\r\n\r\n".encode())
            while len(made) < answers.AT_ONCE:
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.2)
            assert len(made) == answers.AT_ONCE
            assert threading.main_thread() not in made
            reply = await node.ask(f"/v1/jobs/{JOB.id}", client=node.client(name="bob"))
            assert len(reply.json["args"][0]) == 2 << 20
            for reader, writer in waiting:  # who takes his makes room for the others
                assert (await answer(reader)).status == 200
                writer.close()

    scenario(play())


@pytest.mark.parametrize("path", ["/v1/jobs", f"/v1/jobs/{JOB.id}", f"/v1/jobs/{JOB.id}/metrics", "/metrics"])
def test_large_answers_are_made_in_turns(fakes: Fakes, tmp_path: Path, path: str) -> None:
    node = Node(tmp_path)
    fakes.store.add(JOB)

    async def play() -> None:
        parts = fakes.parts()
        jobs = JobRoutes(cast(Any, fakes), cast(Any, fakes), "node")
        metrics = MetricsRoutes(parts.jobs, parts.logs, parts.metrics, Counts([]))
        async with node.gateway([*jobs.routes(), *metrics.routes()]):
            async with contextlib.AsyncExitStack() as held:
                for routes in (jobs, metrics):
                    await routes._answers.turn(Caller(Identity("alice", Role.READER), held=held), answers.ALL_BYTES)
                asking = asyncio.create_task(node.ask(path))
                await asyncio.wait([asking], timeout=0.3)
                assert not asking.done()
                assert (await node.ask(path, client=node.client(name="bob"))).status == 200
            assert (await asking).status == 200

    scenario(play())


def test_log_parameters_are_checked_before_anything_is_sent(fakes: Fakes, tmp_path: Path) -> None:
    node = Node(tmp_path)
    fakes.store.add(JOB)

    async def play() -> None:
        routes = LogRoutes(cast(Any, fakes), cast(Any, fakes)).routes()
        async with node.gateway(routes):
            for bad in ("tail=-1", "tail=x", "follow=no", "since=today", "until=", "stream=both", "cursor=x", "x=y"):
                reply = await node.ask(f"/v1/jobs/{JOB.id}/logs?{bad}")
                assert reply.status == 400, bad
                name = "query" if bad == "x=y" else bad.partition("=")[0]
                assert reply.json["field"] == name
            reply = await node.ask(f"/v1/jobs/{JOB.id}/logs", Last_Event_ID="elsewhere")
            assert (reply.status, reply.json["field"]) == (400, "cursor")
            assert (await node.ask(f"/v1/jobs/{JOB.id}/logs", Last_Event_ID="over")).status == 204
            assert (await node.ask("/v1/jobs/nosuch/logs")).status == 404

    scenario(play())


def test_a_source_is_closed_when_its_client_goes(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node, beating, kept = Node(tmp_path), sse.beating, []
    fakes.store.add(JOB)

    def remembered(source: Any) -> Any:
        kept.append(beating(source))  # as a traceback or a debugger does
        return kept[-1]

    monkeypatch.setattr(sse, "beating", remembered)
    closed = asyncio.Event()

    class Logs:
        async def follow(self, unit: str, selection: Selection, ended: Any, who: str) -> AsyncGenerator[Batch, None]:
            try:
                while True:
                    yield [Output(unit, 2, 1, "stdout", b"x" * 100_000)]
            finally:
                closed.set()

    async def play() -> None:
        async with node.gateway(LogRoutes(cast(Any, fakes), cast(Any, Logs())).routes()):
            reader, writer = await node.connect()
            writer.write(f"GET /v1/jobs/{JOB.id}/logs HTTP/1.1\r\nHost: joblet\r\n\r\n".encode())
            await reader.readuntil(b"id: 2\n")
            await asyncio.sleep(0.5)  # until the stream waits for its client to take more
            writer.transport.abort()
            await asyncio.wait_for(closed.wait(), 5)

    scenario(play())


def test_a_job_that_is_deleted_while_its_output_is_sent(fakes: Fakes, tmp_path: Path) -> None:
    node = Node(tmp_path)
    fakes.store.add(JOB)

    class Logs:
        async def follow(self, unit: str, selection: Selection, ended: Any, who: str) -> AsyncGenerator[Batch, None]:
            yield [Output(unit, 2, 1, "stdout", b"all of it\n"), Dropped(unit, 3, 2, "journal", entries=1)]
            fakes.store.delete([JOB.id])

    async def play() -> None:
        async with node.gateway(LogRoutes(cast(Any, fakes), cast(Any, Logs())).routes()):
            reader, writer = await node.connect()
            writer.write(f"GET /v1/jobs/{JOB.id}/logs HTTP/1.1\r\nHost: joblet\r\nConnection: close\r\n\r\n".encode())
            said = await reader.read()
            assert b'id: 2\ndata: {"time":"1970-01-01T00:00:00.000001Z","stream":"stdout","text":"all' in said
            assert b'id: 3\nevent: dropped\ndata: {"time":"1970-01-01T00:00:00.000002Z","reason":"journal",' in said
            assert (
                b'id: over\nevent: end\ndata: {"status":"DELETED","exitCode":null,"reason":"the job was deleted"}'
                in said
            )
            writer.close()

    scenario(play())

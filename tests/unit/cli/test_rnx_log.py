"""``job log``: parts of a log, line by line, as JSON, of several jobs, over broken connections."""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblet_wire.joblet_pb2 import DataChunk, DroppedOutput, GetJobLogsRequest, GetJobStatusResponse
from rnx import lines

from .conftest import Rnx
from .fakes import JOB_ID, OTHER_ID, FakeJobs, Server

FAILED = GetJobStatusResponse(uuid=JOB_ID, status="FAILED", exit_code=3, reason="exit-code 3")
OTHER = GetJobStatusResponse(uuid=OTHER_ID, status="COMPLETED", name="other")
LIMIT = DroppedOutput(reason="limit", bytes=2048, lines=1234)
JOURNAL = DroppedOutput(reason="journal", entries=1)


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(autouse=True)
def _answers(jobs: FakeJobs) -> None:
    jobs.answers = {JOB_ID: [FAILED], OTHER_ID: [OTHER]}


def request_of(jobs: FakeJobs) -> GetJobLogsRequest:
    (request,) = jobs.seen(GetJobLogsRequest)
    assert isinstance(request, GetJobLogsRequest)
    return request


def objects(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.usefixtures("server")
class TestOptions:
    def test_none_is_what_old_nodes_know(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.selects = False
        jobs.log = [(1, b"out")]
        assert run_rnx("job", "log", JOB_ID).out == b"out"
        assert request_of(jobs) == GetJobLogsRequest(uuid=JOB_ID)

    def test_all_are_sent(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        words = "--no-follow --tail=0 --since=2026-07-01T10:00:00Z --until 2026-07-02 --stderr --cursor 17-3 -t"
        assert run_rnx("job", "log", *words.split(), JOB_ID).code == 0
        assert request_of(jobs) == GetJobLogsRequest(
            uuid=JOB_ID,
            no_follow=True,
            tail=0,
            since="2026-07-01T10:00:00+00:00",
            until="2026-07-02T00:00:00+02:00",
            stream=2,
            cursor="17-3",
            by_entry=True,
        )

    @pytest.mark.parametrize(
        ("options", "stream"), [("--stdout", 1), ("--stderr", 2), ("--stdout --stderr", 0), ("-f -n 3", 0)]
    )
    def test_streams(self, options: str, stream: int, jobs: FakeJobs, run_rnx: Rnx) -> None:
        assert run_rnx("job", "log", *options.split(), JOB_ID).code == 0
        assert request_of(jobs).stream == stream

    @pytest.mark.parametrize(
        ("text", "seconds"), [("10min", 600), ("2h ago", 7200), (" 1h30m AGO", 5400), ("90 s", 90)]
    )
    def test_how_long_ago(self, text: str, seconds: int, jobs: FakeJobs, run_rnx: Rnx) -> None:
        assert run_rnx("job", "log", "--since", text, JOB_ID).code == 0
        since = datetime.datetime.fromisoformat(request_of(jobs).since)
        passed = datetime.datetime.now(datetime.UTC) - since - datetime.timedelta(seconds=seconds)
        assert datetime.timedelta(0) <= passed < datetime.timedelta(minutes=5)

    @pytest.mark.parametrize(
        ("option", "value", "accepted"),
        [
            ("--since", "10", "such as 10min"),
            ("--since", "yesterday or so", "how long ago"),
            ("--until", "2026-02-30T10:00:00Z", "exist"),
            ("--until", "2026-03-29 02:30", "clocks are put forward"),
            ("--tail", "-1", "a number of lines"),
            ("--tail", "many", "a number of lines"),
            ("--grep", "(", "a regular expression"),
            ("--grep", "*", "nothing to repeat"),
        ],
    )
    def test_what_is_not_accepted(self, option: str, value: str, accepted: str, jobs: FakeJobs, run_rnx: Rnx) -> None:
        result = run_rnx("job", "log", f"{option}={value}", JOB_ID)
        assert (result.code, jobs.requests) == (2, [])
        assert option in result.err
        assert accepted in result.err

    def test_an_end_before_the_beginning(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        result = run_rnx("job", "log", "--since=1h", "--until=2h", JOB_ID)
        assert (result.code, jobs.requests) == (2, [])
        assert "before --since" in result.err

    def test_a_cursor_is_of_one_job(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        result = run_rnx("job", "log", "--cursor=1", JOB_ID, OTHER_ID)
        assert (result.code, jobs.requests) == (2, [])
        assert "--cursor" in result.err

    @pytest.mark.parametrize("option", ["--tail=3", "--since=1h", "--until=1h", "--stderr", "-t", "--grep=a", "--json"])
    def test_a_node_that_cannot_select(self, option: str, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.selects, jobs.log = False, [(1, b"all of it\n")]
        result = run_rnx("job", "log", option, JOB_ID)
        assert (result.code, result.out) == (1, b"")
        assert "prints logs as a whole only" in result.err


@pytest.mark.usefixtures("server")
class TestLines:
    def test_timestamps_are_of_this_zone_and_of_the_lines_beginning(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.log = [(1, b"a\n\nb"), (2, b"err\r\n"), (1, b"c\n"), (1, b"\0\xff end")]
        result = run_rnx("job", "log", "--timestamps", JOB_ID)
        assert result.out.split(b"\n") == [
            b"2026-01-01T01:00:00.000+01:00 a",
            b"2026-01-01T01:00:00.000+01:00 ",
            b"2026-01-01T01:00:00.000+01:00 bc",
            b"2026-01-01T01:00:03.000+01:00 \0\xff end",
            b"",
        ]
        assert result.err_bytes == b"2026-01-01T01:00:01.000+01:00 err\r\n"

    @pytest.mark.parametrize(
        ("expression", "found"),
        [("a", b"abc\nxa\n"), ("^a", b"abc\n"), ("[^\\x00-\\x7f]", b"\xff\n"), ("(?i)ABC", b"abc\n"), ("$", None)],
    )
    def test_grep_is_for_whole_lines(self, expression: str, found: bytes | None, jobs: FakeJobs, run_rnx: Rnx) -> None:
        pieces = [b"a", b"bc\nx", b"a\n", b"\xff\n"]
        jobs.log = [(1, piece) for piece in pieces]
        result = run_rnx("job", "log", "--grep", expression, JOB_ID)
        assert (result.code, result.out) == (0, b"".join(pieces) if found is None else found)

    def test_several_jobs(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.logs = {JOB_ID: [(1, b"1\n2"), (2, b"e\n")], OTHER_ID: [(1, b"one\n"), (1, b"two\n")]}
        result = run_rnx("job", "log", JOB_ID, "other", OTHER_ID)
        assert result.code == 0
        assert sorted(result.out.splitlines()) == [
            b"0f9c1f6e | 1",
            b"0f9c1f6e | 2",
            b"other    | one",
            b"other    | two",
        ]
        assert result.err == "0f9c1f6e | e\n"
        assert len(jobs.seen(GetJobLogsRequest)) == 2

    def test_what_goes_back_to_the_beginning_of_its_line_finds_it_again(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.logs = {JOB_ID: [(1, b" 1%\r\r99%\rdone\r\n")], OTHER_ID: []}
        result = run_rnx("job", "log", JOB_ID, "other")
        assert result.out == b"0f9c1f6e |  1%\r\r0f9c1f6e | 99%\r0f9c1f6e | done\r\n"
        assert run_rnx("job", "log", "--grep=%", JOB_ID).out == b" 1%\r\r99%\rdone\r\n"

    def test_several_jobs_one_of_which_fails(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.logs = {JOB_ID: [(1, b"1\n"), (1, b"2"), (1, b"3")], OTHER_ID: [(1, b"one\n")]}

        def before(context: grpc.ServicerContext, number: int) -> None:
            if number == 2:
                context.abort(grpc.StatusCode.NOT_FOUND, "There is no such job any more.")

        jobs.before_chunk = before
        result = run_rnx("job", "log", JOB_ID, "other")
        assert result.code == 3
        assert sorted(result.out.splitlines()) == [b"0f9c1f6e | 1", b"0f9c1f6e | 2", b"other    | one"]
        assert result.err == "rnx: There is no such job any more.\n"

    def test_an_unknown_one_of_several(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        result = run_rnx("job", "log", JOB_ID, "nope-nope")
        assert (result.code, result.out, jobs.seen(GetJobLogsRequest)) == (3, b"", [])

    def test_what_was_dropped(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.log = [(1, b"a\n"), (0, JOURNAL), (1, b"unfinished"), (0, LIMIT), (1, b"b\n")]
        result = run_rnx("job", "log", JOB_ID)
        assert result.out == b"a\nunfinishedb\n"
        assert result.err.splitlines() == [
            "note: 1 entry of the log are missing here: removed to make room for newer output, or lost.",
            "note: 1,234 lines (2.0 KB) were dropped here: the job had used up its share of the log.",
        ]
        assert run_rnx("job", "log", "--grep", ".", JOB_ID).out == b"a\nunfinished\nb\n"
        told = [
            entry.get("text", entry.get("dropped")) for entry in objects(run_rnx("--json", "job", "log", JOB_ID).out)
        ]
        limit = {"reason": "limit", "bytes": 2048, "lines": 1234}
        assert told == ["a", {"reason": "journal", "entries": 1}, "unfinished", limit, "b", None]


@pytest.mark.usefixtures("server")
class TestJson:
    def test_lines_and_the_end(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.log = [(1, b"a\nb\n"), (2, b"\xff\n"), (1, b"\0rest")]
        result = run_rnx("--json", "job", "log", JOB_ID)
        assert result.code == 0
        out = {"job": JOB_ID, "time": "2026-01-01T00:00:00.000000Z", "stream": "stdout"}
        assert objects(result.out) == [
            {**out, "text": "a", "cursor": "1-2"},
            {**out, "text": "b", "cursor": "1"},
            {**out, "time": "2026-01-01T00:00:01.000000Z", "stream": "stderr", "base64": "/w==", "cursor": "2"},
            {**out, "time": "2026-01-01T00:00:02.000000Z", "text": "\0rest", "unfinished": True, "cursor": "3"},
            {"job": JOB_ID, "end": {"status": "FAILED", "exitCode": 3, "reason": "exit-code 3"}, "cursor": "3"},
        ]

    def test_every_cursor_leads_to_what_is_behind_it(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.log = [(1, b"a\nb\n\nc\n"), (2, b"d\ne\n"), (1, b"f")]
        whole = objects(run_rnx("--json", "job", "log", JOB_ID).out)
        for number, entry in enumerate(whole):
            behind = objects(run_rnx("--json", "job", "log", "--cursor", entry["cursor"], JOB_ID).out)
            assert behind == (whole[number + 1 :] or whole[-1:])

    def test_the_end_of_an_empty_log_and_of_a_part(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.answers[JOB_ID] = [GetJobStatusResponse(uuid=JOB_ID, status="RUNNING")]
        (end,) = objects(run_rnx("--json", "job", "log", "--no-follow", "--cursor=0", JOB_ID).out)
        assert (end["end"], end["cursor"]) == ({"status": "RUNNING", "exitCode": None, "reason": ""}, "0")

    def test_no_control_characters_for_terminals(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        jobs.log = [(1, "ü \x9b31m\n".encode())]
        result = run_rnx("--json", "job", "log", JOB_ID)
        assert "\x9b".encode() not in result.out
        assert objects(result.out)[0]["text"] == "ü \x9b31m"

    def test_an_end_that_cannot_be_told_is_not_that_of_the_others(
        self, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        jobs.logs = {JOB_ID: [(1, b"a\n")], OTHER_ID: [(1, b"b\n"), (1, b"c\n")]}
        told = threading.Event()

        def answers(uuid: str, context: grpc.ServicerContext) -> list[GetJobStatusResponse]:
            if uuid == JOB_ID and jobs.seen(GetJobLogsRequest):
                told.set()
                context.abort(grpc.StatusCode.INTERNAL, "The disk is broken.")
            return jobs.answers[uuid]

        def before(_context: object, number: int) -> None:
            if number == 2:
                told.wait(20)

        monkeypatch.setattr(jobs, "_of", answers)
        jobs.before_chunk = before
        result = run_rnx("--json", "job", "log", JOB_ID, OTHER_ID)
        assert (result.code, result.err) == (1, "rnx: The disk is broken.\n")
        shown = [entry.get("text", entry.get("end")) for entry in objects(result.out)]
        assert shown[-1] == {"status": "COMPLETED", "exitCode": 0, "reason": ""}
        assert sorted(shown[:-1]) == ["a", "b", "c"]

    def test_a_job_that_is_deleted_meanwhile(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        def before(_context: object, number: int) -> None:
            if number:
                jobs.answers.pop(JOB_ID, None)

        jobs.log, jobs.before_chunk = [(1, b"a\n")], before
        result = run_rnx("--json", "job", "log", JOB_ID)
        assert result.code == 0
        assert objects(result.out)[-1] == {"job": JOB_ID, "end": None, "cursor": "1"}
        for option in ("--follow", "--no-follow", "--grep=a"):
            jobs.answers[JOB_ID] = [FAILED]
            result = run_rnx("job", "log", option, JOB_ID)
            assert (result.code, result.out) == (0, b"a\n")
            assert result.err == f"note: job {JOB_ID} was deleted meanwhile; its output cannot be printed again.\n"


def test_half_lines_survive_a_restart_of_the_node(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.log = [(1, b"one\nhal"), (2, b"err\nerr ha"), (1, b"f"), (2, b"lf\n"), (1, b"\nend\n")]
    gone: set[int] = set()
    over = threading.Event()

    def before(_context: object, number: int) -> None:
        if number in (1, 3) and number not in gone:
            gone.add(number)
            server.restart(0.2)
            over.wait(0.1)

    jobs.before_chunk = before
    result = run_rnx("job", "log", "-t", "--tail=100", JOB_ID)
    assert (result.code, gone) == (0, {1, 3})
    assert [line[30:] for line in result.out.splitlines()] == [b"one", b"half", b"end"]
    assert [line[30:] for line in result.err_bytes.splitlines()] == [b"err", b"err half"]
    first, *later = jobs.seen(GetJobLogsRequest)
    assert first.HasField("tail")
    assert not any(request.HasField("tail") for request in later)  # it was found; now it is the cursor's place


PIECES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=5)), max_size=20)


@given(PIECES)
def test_lines_are_those_of_the_whole_however_it_was_cut(pieces: list[tuple[int, bytes]]) -> None:
    pieces = [(stream, data.replace(b"\1", b"\n")) for stream, data in pieces]
    assembler, found = lines.Assembler(), list[lines.Line]()
    for number, (stream, data) in enumerate(pieces, start=1):
        found += assembler.lines(DataChunk(stream=stream, payload=data, cursor=str(number)))
    found += assembler.rest()
    for stream in (1, 2):
        whole = b"".join(data for of, data in pieces if of == stream)
        got = [line for line in found if line.stream == stream]
        assert b"".join(line.data + b"\n" * line.ended for line in got) == whole
        assert all(b"\n" not in line.data for line in got)
        assert all(line.ended for line in got[:-1])


def test_a_line_without_an_end_is_not_held_for_ever() -> None:
    assembler = lines.Assembler()
    found = [
        line
        for number in range(100)
        for line in assembler.lines(DataChunk(stream=1, payload=b"x" * 32768, cursor=str(number)))
    ]
    assert [len(line.data) for line in found] == [lines.LONGEST] * 3
    assert not any(line.ended for line in found)

"""Requests become values or InvalidValue, whatever is in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblet_systemd.api.messages import changes_of, cursor_of, place_of, selection_of, spec_of, status
from joblet_systemd.errors import InvalidValue
from joblet_systemd.model import Job, JobSpec, Limits, State
from joblet_systemd.selection import Cut, Selection
from joblet_wire import joblet_pb2 as wire

INT32 = st.integers(-(2**31), 2**31 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)


@given(
    st.fixed_dictionaries(
        {"command": st.text(max_size=20)},
        optional={
            "args": st.lists(st.text(max_size=20), max_size=3),
            "name": st.text(max_size=70),
            "cpu_cores": st.text(max_size=12),
            "environment": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
            "schedule": st.text(max_size=20),
            "time_zone": st.text(max_size=20),
            **dict.fromkeys(["max_cpu", "max_memory", "max_io_bps", "priority", "retries", "max_disk"], INT32),
            **dict.fromkeys(["max_runtime_ms", "retry_delay_ms"], INT64),
        },
    )
)
def test_any_request_is_a_spec_or_refused_by_field(fields: dict[str, Any]) -> None:
    request = wire.RunJobRequest(**fields)
    named = None
    try:
        assert spec_of(request).argv == (request.command, *request.args)
    except InvalidValue as error:
        named = error.field.partition(" ")[0]
    assert named in {None, *fields, "command", "args", "max_runtime", "retry_delay"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"priority": 101}, "priority: 101 is not accepted; expected -100 to 100"),
        ({"retries": -1}, "retries: -1 is not accepted; expected 0 to 100"),
        ({"max_runtime_ms": -5}, "max_runtime: -5 is not accepted"),
        ({"retry_delay_ms": 90_000_000}, "retry_delay: 90000000 is not accepted; expected 0 to 86400000 milliseconds"),
        ({"max_disk": -1}, "max_disk: -1 is not accepted; expected 0 to 2147483647"),
    ],
)
def test_what_is_said(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        spec_of(wire.RunJobRequest(command="x", **fields))


def test_changes() -> None:
    request = wire.UpdateJobRequest(max_cpu=0, max_memory=5, cpu_cores="", max_runtime_ms=3, priority=-1)
    changes = {"cpu_percent": None, "memory_bytes": 5 << 20, "cpu_cores": None, "runtime_usec": 3000}
    assert changes_of(request) == (changes, -1)
    with pytest.raises(InvalidValue, match="a limit or a priority to change"):
        changes_of(wire.UpdateJobRequest(uuid="x"))
    with pytest.raises(InvalidValue, match="priority: 200"):
        changes_of(wire.UpdateJobRequest(priority=200))


def test_secrets_are_masked() -> None:
    job = Job("id", JobSpec("c", secrets=("KEY",), limits=Limits(runtime_usec=5000)), "o", "a", State.RUNNING, 0)
    answer = status(job, "node", 0, ())
    assert dict(answer.secret_environment) == {"KEY": "***"}
    assert answer.max_runtime_ms == 5


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(["since", "until"], st.text(max_size=30) | st.datetimes().map(str)),
            "cursor": st.text(max_size=20)
            | st.from_regex(r"[0-9]{1,20}(,[0-9]:[0-9]+:[0-9]+)?(-[0-9]{1,10})?", fullmatch=True),
            "tail": INT64,
            "stream": INT32,
        },
    )
)
def test_any_request_for_a_log_is_a_selection_or_refused_by_field(fields: dict[str, Any]) -> None:
    named = None
    try:
        selection = selection_of(wire.GetJobLogsRequest(**fields))
        assert selection.after >= 0
        assert selection.streams
    except InvalidValue as error:
        named = error.field
    assert named is None or named in fields


LOGS = {
    "everything": (wire.GetJobLogsRequest(), Selection()),
    "behind an entry": (wire.GetJobLogsRequest(cursor="17"), Selection(after=17)),
    "in an entry": (
        wire.GetJobLogsRequest(cursor="17-5"),
        Selection(after=16, cuts=(Cut("stdout", 17, -5), Cut("stderr", 17, -5))),
    ),
    "with more left out": (
        wire.GetJobLogsRequest(cursor="17,1:20:3,2:18:0"),
        Selection(after=17, cuts=(Cut("stderr", 18, 0), Cut("stdout", 20, 3))),
    ),
    "in an entry, with more left out": (
        wire.GetJobLogsRequest(cursor="17,2:18:40-5"),
        Selection(after=16, cuts=(Cut("stdout", 17, -5), Cut("stderr", 18, 40))),
    ),
    "behind all of an entry": (wire.GetJobLogsRequest(cursor="17-0"), Selection(after=17)),
    "in an entry, and what would be the last lines without it": (
        wire.GetJobLogsRequest(cursor="16,1:17:-5,2:17:-5"),
        Selection(after=16, cuts=(Cut("stdout", 17, -5), Cut("stderr", 17, -5))),
    ),
    "from now on": (wire.GetJobLogsRequest(cursor="end"), Selection(tail=0)),
    "no lines, which is not all": (wire.GetJobLogsRequest(tail=0), Selection(tail=0)),
    "a stream": (wire.GetJobLogsRequest(stream=2), Selection(streams=frozenset({"stderr"}))),
    "a time": (wire.GetJobLogsRequest(since="1970-01-01T02:00:01.5+02:00"), Selection(since_usec=1_500_000)),
    "a time before there was any": (wire.GetJobLogsRequest(until="0001-01-01T00:00:00Z"), Selection(until_usec=1)),
}


@pytest.mark.parametrize(("request_", "selection"), LOGS.values(), ids=LOGS)
def test_which_part_of_a_log_is_asked_for(request_: wire.GetJobLogsRequest, selection: Selection) -> None:
    assert selection_of(request_) == selection


CUTS = st.lists(
    st.builds(Cut, st.sampled_from(["stdout", "stderr"]), st.integers(1, 10**9), st.integers(0, 10**6)),
    max_size=2,
    unique_by=lambda cut: cut.stream,
)


@given(st.integers(0, 10**9), CUTS)
def test_a_cursor_is_the_place_that_it_was_made_of(seq: int, cuts: list[Cut]) -> None:
    after, ahead = place_of(cursor_of(seq, cuts))
    assert after == seq
    assert set(ahead) == {cut for cut in cuts if cut.seq > seq}


@given(
    st.from_regex(
        r"[0-9]{1,18}(,1:[0-9]{1,18}:-?[0-9]{1,9})?(,2:[0-9]{1,18}:[0-9]{1,9}){0,2}(-[0-9]{1,9})?", fullmatch=True
    ),
    st.integers(0, 5),
    st.none() | st.integers(0, 100),
)
def test_whatever_place_is_told_can_be_come_back_to(cursor: str, ahead: int, tail: int | None) -> None:
    """An EventSource that is told of a place which is then refused gives up for good."""
    selection = selection_of(wire.GetJobLogsRequest(cursor=cursor, tail=tail))
    seq = min(selection.after + ahead, 10**18 - 1)
    after, cuts = place_of(cursor_of(seq, selection.cuts))
    assert after == seq
    assert set(cuts) == {cut for cut in selection.cuts if cut.seq > seq}


def test_the_end_has_no_last_lines() -> None:
    with pytest.raises(InvalidValue, match=r"tail: 3 is not accepted; expected .* no cursor 'end'"):
        selection_of(wire.GetJobLogsRequest(cursor="end", tail=3))
    assert selection_of(wire.GetJobLogsRequest(cursor="end", tail=0)) == Selection(tail=0)


@pytest.mark.parametrize("text", ["now", "2026-01-31T12:00:00", "10min", "2026-02-30T00:00:00Z"])
def test_times_need_an_offset(text: str) -> None:
    with pytest.raises(InvalidValue, match=r"since: .* such as 2026-01-31T12:00:00Z"):
        selection_of(wire.GetJobLogsRequest(since=text))

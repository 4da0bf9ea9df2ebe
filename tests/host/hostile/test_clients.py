"""Hostile clients: whatever they send, in whatever order, they are told what is wrong with it, and nobody else notices.

The examples are the same in every run; ``JOBLET_TESTS=long`` tries more of them.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from attack import LONG, METHODS, MIB, TYPED, channel, clear, send, unharmed
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hosts import Host
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from joblet_wire import joblet_pb2

pytestmark = pytest.mark.only_on("bookworm", because="clients meet the daemon alone, and here the oldest gRPC")

ROLES = ("reader", "developer")
STREAMED = [name for name, method in METHODS.items() if method.client_streaming]
# What no reader may call.
CHANGING = frozenset(
    f"JobService/{method}"
    for method in (
        *("RunJob", "SubmitJob", "UpdateJob", "DownloadFiles", "WriteJobInput", "ExecJob", "StopJob", "CancelJob"),
        *("DeleteJob", "DeleteAllJobs", "RunWorkflow"),
    )
)
EXAMPLES = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=1000 if LONG else 30,
    phases=[Phase.explicit, Phase.generate],  # to make an example smaller takes hundreds of calls
    suppress_health_check=list(HealthCheck),
)

PREY = "prey"  # the name of somebody else's job
HOSTILE_TEXT = [
    *(PREY, PREY, PREY),
    *("", " ", "\0", "a\0b", "\n", "a\nb\r\n", "\x1b[2J", "../../etc/passwd", "/", "-", "--", "%n%s%i", "$(reboot)"),
    *("'; DROP TABLE jobs; --", "a" * 63, "a" * 64, "x" * 5000, "é" * 3000, "\u202e", "\U0010ffff", "9" * 5000),
    *("0-8191," * 200, "*-*-* *:*:*", "* * * * *", "1s", "-1", "1e400", "2026-02-31", "0", "all", "1=1", "A", "PATH"),
]
INTEGERS = [0, 1, -1, 2**31 - 1, -(2**31), 9999, 100, 101]
BYTES = [b"", b"\0", b"\xff\xfe", b"/etc/passwd", b"x" * 70_000]
KINDS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: st.sampled_from(HOSTILE_TEXT) | st.text(st.characters(codec="utf-8"), max_size=40),
    FieldDescriptor.TYPE_BYTES: st.sampled_from(BYTES) | st.binary(max_size=40),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_INT32: st.sampled_from(INTEGERS) | st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: st.sampled_from([0, 0o644, 0o120777, 2**32 - 1]) | st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: st.sampled_from([*INTEGERS, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1),
}


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Any:
    """A message of that type: some of its fields with any values of their types."""
    message = getattr(joblet_pb2, descriptor.name)()
    names = sorted(descriptor.fields_by_name)
    for name in draw(st.lists(st.sampled_from(names), max_size=5, unique=True)) if names and depth < 4 else []:
        field = descriptor.fields_by_name[name]
        value = draw(_value(field, depth))
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            getattr(message, name)[draw(KINDS[FieldDescriptor.TYPE_STRING])] = value
        elif hasattr(getattr(message, name), "append"):
            getattr(message, name).extend([value] * draw(st.integers(1, 3)))
        elif field.message_type is None:
            setattr(message, name, value)
        else:
            getattr(message, name).CopyFrom(value)
    return message


def _value(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is None:
        return KINDS[field.type]
    if field.message_type.GetOptions().map_entry:
        return KINDS[field.message_type.fields_by_name["value"].type]
    return messages(field.message_type, depth + 1)


# Unknown fields of all kinds, some that end too early, a field 1 as text that is not UTF-8, and nesting.
PIECES = st.sampled_from(
    [
        *(b"\x0a\x02\xff\xfe", b"\x12\x02\xc3\x28", b"\x12\xff\xff\xff\xff\x0f", b"\x0a\x7fabc", b"\x08\xff", b"\0"),
        *(b"\xfa\xff\x03\x03abc", b"\x9b\x06" * 200, b"\x0a\x05a\0b\nc", b"\x12\x04true", b"\xff" * 11),
        b"\x0b" * 5000,
        b"".join(b"\x0a" + bytes([127 - 2 * level]) for level in range(60)),
    ]
)
GARBAGE = st.binary(max_size=200) | st.lists(PIECES, max_size=6).map(b"".join)


@pytest.fixture(params=ROLES)
def attacker(host: Host, request: pytest.FixtureRequest) -> Iterator[tuple[str, grpc.Channel]]:
    prey = host.run(f"--name={PREY}", "echo", "left alone", node="maintainer")
    before = host.result(prey)
    with unharmed(host), channel(host, request.param) as through:
        yield request.param, through
        if request.param == "developer":
            clear(host, request.param)
        # Its empty directory is removed in its own time.
        assert {**host.status(prey), "filesKeptUntil": None} == {**before, "filesKeptUntil": None}
        assert host.log(prey) == b"left alone\n"
    assert host.rnx("job", "delete", prey).returncode == 0


def test_any_message_to_every_call(attacker: tuple[str, grpc.Channel]) -> None:
    for name in METHODS:
        _any_message(name, *attacker)


def _any_message(name: str, role: str, through: grpc.Channel) -> None:
    method = METHODS[name]
    at_least, at_most = (0, 4) if method.client_streaming else (1, 1)

    @EXAMPLES
    @given(st.lists(messages(method.input_type), min_size=at_least, max_size=at_most))
    def attempt(requests: list[Any]) -> None:
        _answered(name, role, through, [message.SerializeToString() for message in requests])

    attempt()


def test_any_bytes_to_every_call(attacker: tuple[str, grpc.Channel]) -> None:
    for name in METHODS:
        _any_bytes(name, *attacker)


def _any_bytes(name: str, role: str, through: grpc.Channel) -> None:
    @EXAMPLES
    @given(messages(METHODS[name].input_type), st.integers(0, 300), st.lists(GARBAGE, min_size=1, max_size=3))
    def attempt(message: Any, place: int, garbage: list[bytes]) -> None:
        good = message.SerializeToString()
        _answered(name, role, through, [good[:place] + garbage[0] + good[place:], *garbage[1:]])

    attempt()


def _answered(name: str, role: str, through: grpc.Channel, requests: list[bytes]) -> None:
    """What comes back is an answer, or says what is wrong; and a reader changes nothing."""
    code, text = send(through, name, requests)
    assert code in TYPED, (name, code, text, requests)
    assert (code is grpc.StatusCode.OK) == (text == ""), (name, code, text)
    assert role != "reader" or name not in CHANGING or code is grpc.StatusCode.PERMISSION_DENIED, name


@pytest.mark.parametrize("name", STREAMED)
def test_streams_without_a_beginning(host: Host, name: str) -> None:
    kind = METHODS[name].input_type
    parts = [
        getattr(joblet_pb2, kind.name)(**{field.name: value}).SerializeToString()
        for field in kind.fields
        if (value := {field.TYPE_BYTES: b"x" * 1000, field.TYPE_BOOL: True, field.TYPE_INT32: 9}.get(field.type))
    ]
    with unharmed(host), channel(host, "developer") as through:
        for requests in ([], [b""], *([part] for part in parts), parts, parts[::-1], parts * 200):
            code, text = send(through, name, requests)
            assert code in TYPED - {grpc.StatusCode.OK}, (code, text, requests[:5])
            assert text


@pytest.mark.parametrize("name", STREAMED)
def test_streams_that_never_end(host: Host, name: str) -> None:
    """Half-open ones, which say nothing or begin and stop, and one that goes on and on."""
    over = threading.Event()
    first = {"JobService/SubmitJob": joblet_pb2.SubmitJobRequest(job=joblet_pb2.RunJobRequest(command="true"))}
    beginning = first.get(name, getattr(joblet_pb2, METHODS[name].input_type.name)()).SerializeToString()
    junk = {
        "JobService/SubmitJob": joblet_pb2.SubmitJobRequest(data=b"x" * 10_000),
        "JobService/WriteJobInput": joblet_pb2.WriteJobInputRequest(data=b"x" * 10_000),
        "JobService/ExecJob": joblet_pb2.ExecJobRequest(stdin=b"x" * 10_000),
    }[name].SerializeToString()

    def stuck(*requests: bytes) -> Iterator[bytes]:
        yield from requests
        over.wait(60)

    def endless() -> Iterator[bytes]:
        yield beginning
        while not over.is_set():
            yield junk

    with unharmed(host, growth=128 * MIB), channel(host, "developer") as through:
        sources = [*(stuck() for _ in range(20)), *(stuck(beginning) for _ in range(20)), endless()]
        calls = [through.stream_stream(f"/joblet.{name}")(source, timeout=60) for source in sources]
        done = host.rnx("job", "run", "--wait", "echo", "meanwhile", node="maintainer")
        assert (done.returncode, done.stdout) == (0, "meanwhile\n"), done.stderr
        for call in calls:
            call.cancel()
        over.set()
        for call in calls:
            assert call.code() in TYPED | {grpc.StatusCode.CANCELLED}, call.details()
    clear(host, "developer")


def test_a_stream_of_requests_where_one_is_expected(host: Host) -> None:
    with unharmed(host), channel(host, "reader") as through:
        for requests in ([], [b""] * 2, [b""] * 1000):
            code, _ = send(through, "JobService/ListJobs", requests)
            assert code is (grpc.StatusCode.OK if requests else grpc.StatusCode.INVALID_ARGUMENT)


def test_requests_as_large_as_possible(host: Host) -> None:
    """One identity's are read two at a time, so that they cannot fill the memory."""
    large = b"\x0a" + b"\x80\x80\x80\x30"  # field 1, 96 MiB
    large += b"a" * (96 * MIB)
    with unharmed(host, growth=700 * MIB), channel(host, "reader") as through:
        ask = through.unary_unary("/joblet.JobService/GetJobStatus")
        calls = [ask.future(large, timeout=60) for _ in range(8)]
        for call in calls:
            assert call.code() is grpc.StatusCode.INVALID_ARGUMENT, call.details()
            assert "at most 64 KiB" in call.details()
        code, text = send(through, "JobService/GetJobStatus", [bytes(128 * MIB + 1)])
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED, text
        # Not of those who may not call it at all: they are asked first.
        code, text = send(through, "JobService/RunJob", [large])
        assert code is grpc.StatusCode.PERMISSION_DENIED, text


def test_calls_that_never_say_what_they_want(host: Host) -> None:
    over = threading.Event()

    def nothing() -> Iterator[bytes]:
        over.wait(60)
        yield from ()

    with unharmed(host, growth=128 * MIB), channel(host, "reader") as through, channel(host, "reader") as other:
        # Each has a thread here.
        calls = [through.stream_stream("/joblet.JobService/ListJobs")(nothing(), timeout=50) for _ in range(200)]
        done = host.rnx("job", "list", node="maintainer")
        assert done.returncode == 0, done.stderr
        # They are in the way of those who have the same certificate, for as long as one is waited for.
        assert send(other, "JobService/ListJobs", [b""], 2)[0] is grpc.StatusCode.DEADLINE_EXCEEDED
        for call in calls:
            call.cancel()
        over.set()
        assert send(other, "JobService/ListJobs", [b""])[0] is grpc.StatusCode.OK


def test_headers(host: Host) -> None:
    with unharmed(host), channel(host, "reader") as through:
        for metadata in (
            [("x", "y" * MIB)],
            [(f"x-{number}", "y" * 100) for number in range(2000)],
            [("x-bin", bytes(range(256)) * 100)],
        ):
            code, _ = send(through, "JobService/ListJobs", [b""], metadata=metadata)
            assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL)
    # On another connection: who floods one may find it closed.
    with unharmed(host), channel(host, "reader") as through:
        assert send(through, "JobService/ListJobs", [b""])[0] is grpc.StatusCode.OK
        for unknown in ("JobService/Nothing", "Nothing/Nothing", "JobService/RunJob/x", ""):
            assert send(through, unknown, [b""])[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_status_that_many_ask_for_is_worked_out_once(host: Host) -> None:
    """The next runs of a repeating job are systemd-analyze's to tell, a process for each question."""
    job = host.run("--schedule=Mon..Fri 09:00", "true")
    request = joblet_pb2.GetJobStatusRequest(uuid=job).SerializeToString()
    with unharmed(host), channel(host, "reader") as through:
        ask = through.unary_unary(
            "/joblet.JobService/GetJobStatus", response_deserializer=joblet_pb2.GetJobStatusResponse.FromString
        )
        answers = [call.result() for call in [ask.future(request, timeout=60) for _ in range(1000)]]
        runs = {tuple(answer.next_runs) for answer in answers}
    assert len(runs) == 1
    moments = [datetime.datetime.fromisoformat(run) for run in runs.pop()]
    assert len(moments) == 3
    assert moments == sorted(moments)
    assert host.rnx("job", "cancel", job).returncode == 0

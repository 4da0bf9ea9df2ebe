"""``job run --schedule`` and its kin: what is sent, in whose time zone, and what is printed of the answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from joblet_wire.joblet_pb2 import GetJobStatusResponse, RunJobRequest

from .conftest import Rnx
from .fakes import JOB_ID, FakeJobs, Server

WEEKDAYS = "Mon..Fri 09:00"


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def sent(jobs: FakeJobs) -> tuple[str, str]:
    (request,) = jobs.seen(RunJobRequest)
    return request.schedule, request.time_zone


@pytest.mark.parametrize(
    ("text", "schedule", "zone"),
    [
        ("1hour", "1hour", ""),
        (" 2h 30m ", "2h 30m", ""),
        ("2026-12-24 18:00", "2026-12-24T18:00:00+01:00", ""),
        ("2026-07-24T18:00:30", "2026-07-24T18:00:30+02:00", ""),
        ("2026-12-24", "2026-12-24T00:00:00+01:00", ""),
        ("2026-10-25 02:30", "2026-10-25T02:30:00+02:00", ""),  # there twice: the first
        ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z", ""),
        ("2026-12-24 18:00 -0500", "2026-12-24 18:00 -0500", ""),
        (WEEKDAYS, WEEKDAYS, "Europe/Berlin"),
        ("*/15 9-17 * * 1-5", "*/15 9-17 * * 1-5", "Europe/Berlin"),
        ("@daily", "@daily", "Europe/Berlin"),
        ("2026-12-24 18:00 Asia/Tokyo", "2026-12-24 18:00 Asia/Tokyo", "Europe/Berlin"),
    ],
)
def test_what_is_sent(server: Server, jobs: FakeJobs, run_rnx: Rnx, text: str, schedule: str, zone: str) -> None:
    assert run_rnx("job", "run", "--schedule", text, "true").err == ""
    assert sent(jobs) == (schedule, zone)


def test_hour_that_clocks_skip(jobs: FakeJobs, run_rnx: Rnx) -> None:
    result = run_rnx("job", "run", "--schedule=2026-03-29 02:30", "true")
    assert result.code == 2
    assert "clocks are put forward then" in result.err


def test_number_needs_a_unit(run_rnx: Rnx) -> None:
    result = run_rnx("job", "run", "--schedule=5", "true")
    assert result.code == 2
    assert "--schedule" in result.err
    assert "5min" in result.err


@pytest.mark.parametrize(
    ("variable", "link", "file", "zone"),
    [
        (":Asia/Tokyo", None, None, "Asia/Tokyo"),
        ("", None, None, "UTC"),
        ("/usr/share/zoneinfo/America/New_York", None, None, "America/New_York"),
        (None, "/usr/share/zoneinfo/America/New_York", "Asia/Tokyo\n", "America/New_York"),
        (None, "../usr/share/zoneinfo/Etc/UTC", None, "Etc/UTC"),
        (None, None, "Asia/Tokyo\n", "Asia/Tokyo"),
    ],
)
def test_zone_of_this_machine(
    server: Server,
    jobs: FakeJobs,
    run_rnx: Rnx,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    link: str | None,
    file: str | None,
    zone: str,
) -> None:
    monkeypatch.setattr("rnx.schedule.LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr("rnx.schedule.TIMEZONE", tmp_path / "timezone")
    monkeypatch.delenv("TZ")
    if variable is not None:
        monkeypatch.setenv("TZ", variable)
    if link:
        (tmp_path / "localtime").symlink_to(link)
    if file:
        (tmp_path / "timezone").write_text(file)
    assert run_rnx("job", "run", "--schedule=daily", "true").err == ""
    assert sent(jobs) == ("daily", zone)


@pytest.mark.parametrize("variable", ["<+03>-3", "CET-1CEST,M3.5.0,M10.5.0/3", None])
def test_zone_without_a_name_is_told(
    server: Server,
    jobs: FakeJobs,
    run_rnx: Rnx,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
) -> None:
    monkeypatch.setattr("rnx.schedule.LOCALTIME", tmp_path / "localtime")
    monkeypatch.setattr("rnx.schedule.TIMEZONE", tmp_path / "timezone")
    monkeypatch.delenv("TZ")
    if variable is not None:
        monkeypatch.setenv("TZ", variable)
    assert "the schedule is taken in the node's" in run_rnx("job", "run", "--schedule=daily", "true").err
    assert sent(jobs) == ("daily", "")


def test_text(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.scheduled_time = "2026-12-24T17:00:00Z"
    options = "--schedule=1hour --priority=5 --retries=2 --retry-delay=10s --timeout=90 --max-disk=500MB"
    assert run_rnx("job", "run", *options.split(), "true").text.splitlines() == [
        f"ID: {JOB_ID}",
        "Status: SCHEDULED",
        "Command: true",
        "Schedule: 1hour",
        "Scheduled: 2026-12-24 18:00:00",
        "Max Runtime: 1 min 30 s",
        "Max Disk: 500 MB",
        "Priority: 5",
        "Retries: 2",
        "Retry Delay: 10 s",
    ]


def test_json(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.scheduled_time = "2026-12-24T17:00:00Z"
    answer = json.loads(run_rnx("--json", "job", "run", f"--schedule={WEEKDAYS}", "--retries=1", "true").out)
    expected = {
        "status": "SCHEDULED",
        "schedule": WEEKDAYS,
        "time_zone": "Europe/Berlin",
        "scheduled_time": "2026-12-24T17:00:00Z",
        "retries": 1,
        "max_runtime_ms": 0,
    }
    assert {key: answer[key] for key in expected} == expected


def test_waiting_for_one_run(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.answers = {JOB_ID: [GetJobStatusResponse(uuid=JOB_ID, status="COMPLETED")]}
    assert run_rnx("job", "run", "--wait", "--schedule=1s", "true").code == 0


@pytest.mark.parametrize("text", [WEEKDAYS, "0 9 * * *"])
def test_waiting_for_what_repeats(server: Server, jobs: FakeJobs, run_rnx: Rnx, text: str) -> None:
    result = run_rnx("job", "run", "--wait", "--schedule", text, "true")
    assert (result.code, jobs.requests) == (2, [])
    assert "repeats" in result.err
    assert "leave --wait out" in result.err


def test_delay_without_retries(server: Server, jobs: FakeJobs, run_rnx: Rnx) -> None:
    result = run_rnx("job", "run", "--retry-delay=5s", "true")
    assert (result.code, jobs.requests) == (2, [])
    assert "--retries" in result.err

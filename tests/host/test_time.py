"""Time: limits that end a job, schedules that start one, over restarts of the daemon and the host."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hosts import Host, until


def runs_of(host: Host, parent: str) -> list[dict[str, Any]]:
    """The jobs that a repeating one has started, the oldest first."""
    jobs = json.loads(host.rnx("--json", "job", "list").stdout)
    return [job for job in jobs if job["parent"] == parent]


def ids(host: Host) -> list[str]:
    """All jobs."""
    return [job["id"] for job in json.loads(host.rnx("--json", "job", "list").stdout)]


def test_a_time_limit_ends_the_job(host: Host) -> None:
    done = host.rnx("job", "run", "--wait", "--timeout=3s", "sh", "-c", "echo begun; sleep 300; echo never")
    assert (done.returncode, done.stdout) == (124, "begun\n")
    assert "TIMEOUT" in done.stderr
    # What a program does on SIGTERM is part of the job, its exit code is not.
    polite = host.run("--max-runtime=3", "sh", "-c", "trap 'echo saved; exit 0' TERM; sleep 300 & wait")
    status = host.result(polite)
    assert (status["status"], status["exitCode"], status["reason"]) == ("TIMEOUT", 124, "timeout")
    assert host.log(polite) == b"saved\n"
    # A stop is no time-out, though a limit is set.
    stopped = host.run("--timeout=1h", "sleep", "300")
    host.running(stopped)
    host.rnx("job", "stop", stopped)
    assert host.status(stopped)["status"] == "STOPPED"


def test_a_time_limit_holds_without_the_daemon(host: Host) -> None:
    job = host.run("--timeout=8s", "sleep", "300")
    host.running(job)
    with host.daemon_killed():
        until(lambda: host.exec("systemctl", "is-active", host.unit(job), check=False).stdout.strip() != "active")
    assert (host.result(job)["status"], host.status(job)["exitCode"]) == ("TIMEOUT", 124)


def test_a_job_starts_at_its_time(host: Host) -> None:
    jobs = {}
    for form in ("6s", "RFC 3339"):
        due = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=6)
        when = due.isoformat(timespec="seconds") if form == "RFC 3339" else form
        reply = json.loads(host.rnx("--json", "job", "run", f"--schedule={when}", "date", "+%s.%N").stdout)
        assert reply["status"] == "SCHEDULED"
        jobs[reply["job_uuid"]] = int(due.timestamp())  # the second's beginning, when none is given more exactly
        if form == "RFC 3339":
            told = datetime.datetime.fromisoformat(host.status(reply["job_uuid"])["scheduledTime"])
            assert told == due.replace(microsecond=0)
    for job, due_sec in jobs.items():
        assert host.result(job)["status"] == "COMPLETED"
        # Not before its time.
        assert float(host.log(job)) >= due_sec


def test_a_schedule_survives_a_killed_daemon_and_runs_once(host: Host) -> None:
    # What is as long as this word is in the store alone as long as the job waits.
    words = ["sh", "-c", "echo run >>runs; cat runs; echo ${#1}; exit 3", "sh", "x" * 100_000]
    job = host.run("--schedule=2s", "--retries=1", "--retry-delay=1s", *words)
    assert host.status(job)["args"] == words[1:]
    with host.daemon_killed():
        host.exec("sleep", "3")
    assert host.result(job)["reason"] == "exit-code 3"
    assert host.log(job) == b"run\n100000\nrun\nrun\n100000\n"


def test_a_missed_time_is_skipped_where_configured(host: Host) -> None:
    with host.configured("jobs: {missed_schedules: skip}"):
        job = host.run("--schedule=10s", "echo", "late")
        due = datetime.datetime.fromisoformat(host.status(job)["scheduledTime"])
        with host.daemon_killed():
            until(lambda: (datetime.datetime.now(datetime.UTC) - due).total_seconds() > 12)
        status = host.result(job)
    assert status["status"] == "CANCELED"
    assert status["reason"] == "missed: the daemon was not there at its time"
    assert host.log(job) == b""


@pytest.mark.parametrize("schedule", ["*-*-* *:*:0/2", "Mon..Sun *:*:0/2"])
def test_a_repeating_schedule_starts_a_job_each_time(host: Host, schedule: str, tmp_path: Any) -> None:
    (tmp_path / "data").write_text("uploaded")
    words = ["--name=ticker", f"--schedule={schedule}", "--upload=data"]
    parent = host.run(*words, "sh", "-c", "cat data; test ! -e once; touch once", cwd=tmp_path)
    status = host.status(parent)
    assert status["status"] == "SCHEDULED"
    assert len(status["nextRuns"]) == 3
    until(lambda: len([run for run in runs_of(host, parent) if run["status"] == "COMPLETED"]) >= 2)
    # Each run has the uploads as they came, and nothing of the run before.
    for run in runs_of(host, parent)[:2]:
        assert host.log(run["id"]) == b"uploaded"
    assert host.rnx("job", "cancel", parent).returncode == 0
    assert host.status(parent)["status"] == "CANCELED"
    number = len(runs_of(host, parent))
    host.exec("sleep", "4")
    assert len(runs_of(host, parent)) == number


def test_a_run_that_still_goes_on_is_not_started_again(host: Host) -> None:
    parent = host.run("--schedule=*-*-* *:*:*", "sleep", "300")
    until(lambda: "skipped: the run before it had not ended" in host.status(parent)["reason"])
    (run,) = runs_of(host, parent)
    host.rnx("job", "cancel", parent)
    assert host.rnx("job", "stop", run["id"]).returncode == 0


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("5", "a number needs a unit"),
        ("2020-01-01 10:00", "a time in the future"),
        ("61 * * * *", "0 to 59"),
        ("Mon..Blurb 09:00", "a calendar expression"),
        ("2001-01-01..2001-02-02", "expected"),
        ("0s", "more than 0"),
    ],
)
def test_a_bad_schedule_starts_nothing(host: Host, schedule: str, said: str) -> None:
    before = ids(host)
    done = host.rnx("job", "run", f"--schedule={schedule}", "true")
    assert done.returncode == 2
    assert said in done.stderr
    assert ids(host) == before


def test_cancel(host: Host) -> None:
    job = host.run("--schedule=1hour", "true")
    done = host.rnx("job", "cancel", job)
    assert (done.returncode, host.status(job)["status"]) == (0, "CANCELED")
    assert host.log(job) == b""
    again = host.rnx("job", "cancel", job)
    assert again.returncode == 1
    assert "it is CANCELED" in again.stderr
    running = host.run("sleep", "300")
    host.running(running)
    refused = host.rnx("job", "cancel", running)
    assert refused.returncode == 1
    assert f"rnx job stop {running}" in refused.stderr
    host.rnx("job", "stop", running)


def test_schedules_survive_a_reboot(own_host: Host) -> None:
    host = own_host
    later = host.run("--schedule=40s", "echo", "after the reboot")
    often = host.run("--schedule=*-*-* *:*:0/5", "true")
    host.reboot()
    before = len(runs_of(host, often))
    until(lambda: len(runs_of(host, often)) > before)
    assert host.log(later) == b"after the reboot\n"
    assert host.result(later)["status"] == "COMPLETED"

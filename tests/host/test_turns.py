"""Turns: priority, fairness, a bounded number at work, further attempts; and what becomes of jobs afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hosts import Host, until


def start_order(host: Host, jobs: Sequence[str]) -> list[str]:
    """The jobs in the order in which they started."""
    return sorted(jobs, key=lambda job: host.result(job)["startTime"])


def test_priority_and_the_place_in_the_queue(host: Host) -> None:
    with host.configured("jobs: {max_running: 1}"):
        first = host.run("sleep", "300")
        host.running(first)
        jobs = {name: host.run(f"--priority={value}", "true") for name, value in (("low", -5), ("mid", 0), ("high", 9))}
        places = {name: host.status(job)["queuePosition"] for name, job in jobs.items()}
        assert places == {"high": 1, "mid": 2, "low": 3}
        assert "Queue Position: 1" in host.rnx("job", "status", jobs["high"]).stdout
        assert host.rnx("job", "update", jobs["low"], "--priority=50").returncode == 0
        assert host.status(jobs["low"])["queuePosition"] == 1
        host.rnx("job", "stop", first)
        assert start_order(host, list(jobs.values())) == [jobs["low"], jobs["high"], jobs["mid"]]


def test_identities_take_turns(host: Host) -> None:
    with host.configured("jobs: {max_running: 1}"):
        first = host.run("sleep", "300")
        host.running(first)
        flood = [host.run("--priority=100", "true", node="developer") for _ in range(4)]
        modest = host.run("--priority=-100", "true", node="maintainer")
        assert host.status(modest)["queuePosition"] <= 2
        host.rnx("job", "stop", first)
        assert modest in start_order(host, [*flood, modest])[:2]


def test_no_more_at_work_than_configured_after_a_restart_too(host: Host) -> None:
    with host.configured("jobs: {max_running: 2}"):
        running = [host.run("sleep", "300") for _ in range(2)]
        for job in running:
            host.running(job)
        third = host.run("true")
        with host.daemon_killed():
            pass
        assert host.status(third)["status"] == "PENDING"
        host.rnx("job", "stop", running[0])
        assert host.result(third)["status"] == "COMPLETED"
        host.rnx("job", "stop", running[1])


COUNT = "echo attempt >>attempts; wc -l <attempts; test $(wc -l <attempts) -ge 3"


def test_failures_are_tried_again(host: Host) -> None:
    job = host.run("--retries=5", "--retry-delay=1s", "sh", "-c", COUNT)
    # A follower sees all attempts as one log.
    assert host.log(job) == b"1\n2\n3\n"
    status = host.result(job)
    assert (status["status"], status["attempt"]) == ("COMPLETED", 3)
    hopeless = host.run("--retries=1", "--retry-delay=1s", "sh", "-c", "echo no; exit 7")
    status = host.result(hopeless)
    assert (status["status"], status["exitCode"], status["attempt"]) == ("FAILED", 7, 2)
    assert host.log(hopeless) == b"no\nno\n"


def test_attempts_go_on_over_a_killed_daemon(host: Host) -> None:
    job = host.run("--retries=3", "--retry-delay=5s", "sh", "-c", COUNT)

    def waits() -> str | None:
        status = host.status(job)
        return str(status["reason"]) if status["status"] == "SCHEDULED" else None

    assert until(waits).startswith("attempt 1 of 4: exit-code 1")
    with host.daemon_killed():
        pass
    assert host.log(job) == b"1\n2\n3\n"
    assert host.result(job)["status"] == "COMPLETED"


def test_a_stop_ends_all_attempts(host: Host) -> None:
    job = host.run("--retries=100", "--retry-delay=1s", "sh", "-c", "sleep 300")
    host.running(job)
    host.rnx("job", "stop", job)
    waiting = host.run("--retries=100", "--retry-delay=1h", "false")
    until(lambda: host.status(waiting)["status"] == "SCHEDULED")
    assert host.rnx("job", "stop", waiting).returncode == 0
    for stopped in (job, waiting):
        assert host.status(stopped)["status"] == "STOPPED"
    assert host.status(job)["attempt"] == 1


def test_names_lead_to_jobs(host: Host) -> None:
    assert host.rnx("job", "run", "--name=solo", "--wait", "echo", "hello").returncode == 0
    assert host.rnx("job", "log", "solo").stdout == "hello\n"
    again = host.run("--name=solo", "sleep", "300")
    # Of several, the one that has not ended is meant.
    assert host.rnx("job", "stop", "solo").returncode == 0
    assert host.status(again)["status"] == "STOPPED"
    unclear = host.rnx("job", "log", "solo")
    assert unclear.returncode == 2
    assert "Several jobs are called 'solo'" in unclear.stderr
    assert again in unclear.stderr
    unknown = host.rnx("job", "status", "nobody")
    assert unknown.returncode == 3
    assert "There is no job 'nobody'" in unknown.stderr


def test_nobody_makes_the_names_of_others_unclear(host: Host) -> None:
    own = host.run("--name=shared", "sleep", "300", node="developer")
    other = host.run("--name=shared", "sleep", "300", node="maintainer")
    assert host.rnx("job", "stop", "shared", node="developer").returncode == 0
    assert host.status(own)["status"] == "STOPPED"
    assert host.rnx("job", "stop", other).returncode == 0


@pytest.mark.parametrize("command", ["delete", "cancel", "stop"])
def test_a_developer_cannot_touch_the_jobs_of_others(host: Host, command: str) -> None:
    job = host.run("sleep", "300", node="maintainer")
    denied = host.rnx("job", command, job, node="developer")
    assert denied.returncode == 4
    assert "belongs to 'maintainer'" in denied.stderr
    host.rnx("job", "stop", job)


def test_delete(host: Host) -> None:
    job = host.run("sleep", "300")
    host.running(job)
    refused = host.rnx("job", "delete", job)
    assert refused.returncode == 1
    assert "has not ended" in refused.stderr
    host.rnx("job", "stop", job)
    assert host.rnx("job", "delete", job).returncode == 0
    assert host.rnx("job", "status", job).returncode == 3
    assert host.rnx("job", "log", job).returncode == 3
    assert host.exec("find", "/var/lib/joblet", "-name", f"*{job}*").stdout == ""


def test_delete_all_takes_what_has_ended_and_is_ones_own(host: Host) -> None:
    ended, other = host.run("true", node="developer"), host.run("true", node="maintainer")
    for job in (ended, other):
        host.result(job)
    running = host.run("sleep", "300", node="developer")
    done = host.rnx("job", "delete-all", "--yes", node="developer")
    assert done.returncode == 0
    left = {job["id"] for job in json.loads(host.rnx("--json", "job", "list").stdout)}
    assert ended not in left
    assert {running, other} <= left
    host.rnx("job", "stop", running)


def ended_or_forgotten(host: Host, job: str) -> bool:
    done = host.rnx("--json", "job", "status", job)
    return done.returncode == 3 or bool(json.loads(done.stdout)["endTime"])


def test_the_oldest_are_forgotten(host: Host) -> None:
    with host.configured("jobs: {keep_jobs: 3}"):
        jobs = [host.run("true") for _ in range(5)]
        for job in jobs:
            until(lambda job=job: ended_or_forgotten(host, job))
    with host.configured("jobs: {keep_jobs: 3}"):
        left = [job["id"] for job in json.loads(host.rnx("--json", "job", "list").stdout) if job["end_time"]]
        assert len(left) == 3
        assert set(left) <= set(jobs)

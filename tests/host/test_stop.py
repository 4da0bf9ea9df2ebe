"""Stopping: at once where the program lets it, after the grace period where it does not, never half."""

from __future__ import annotations

import json

import pytest
from hosts import Host, until
from test_access import node, stub

from joblet_wire import joblet_pb2


def took(host: Host, job: str) -> float:
    """For how many seconds PID 1 has stopped it, by its own log: what the client takes does not count."""
    host.exec("journalctl", "--sync")
    lines = host.exec("journalctl", "_PID=1", f"UNIT={host.unit(job)}", "--output=json").stdout.splitlines()
    said = [(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, entry["MESSAGE"]) for entry in map(json.loads, lines)]
    return float(said[-1][0] - next(when for when, message in said if message.startswith("Stopping ")))


@pytest.mark.parametrize(
    "command",
    [
        ["sleep", "300"],
        ["sh", "-c", "sleep 300 & sleep 300 & wait"],
        ["sh", "-c", "sleep 300; echo never"],
        ["sh", "-c", "(setsid sleep 300 &) ; (nohup sleep 300 &) ; sleep 300"],
    ],
    ids=["program", "shell with children", "shell in the foreground", "daemons"],
)
def test_what_dies_of_sigterm(host: Host, command: list[str]) -> None:
    job = host.run(*command)
    host.running(job)
    assert host.rnx("job", "stop", job).returncode == 0
    # Below the grace period of 10 s: nothing had to be killed.
    assert took(host, job) < 9
    status = host.status(job)
    assert (status["status"], status["exitCode"]) == ("STOPPED", 143)
    assert host.exec("systemctl", "list-units", "--all", "--no-legend", host.unit(job)).stdout == ""


def test_what_ignores_sigterm_is_killed_and_its_output_kept(host: Host) -> None:
    job = host.run(
        "python3",
        "-uc",
        "import signal,time\nsignal.signal(15, lambda *_: print('no'))\nprint('up')\nwhile 1: time.sleep(1)",
    )
    until(lambda: host.rnx_bytes("job", "log", "--no-follow", job).stdout == b"up\n")
    assert host.rnx("job", "stop", job).returncode == 0
    assert took(host, job) > 9
    status = host.status(job)
    assert (status["status"], status["exitCode"]) == ("STOPPED", 137)
    assert host.log(job) == b"up\nno\n"


def test_a_program_may_end_in_its_own_way(host: Host) -> None:
    job = host.run(
        "sh", "-c", "trap 'echo saving; sleep 1; echo saved; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    )
    until(lambda: host.rnx_bytes("job", "log", "--no-follow", job).stdout == b"up\n")
    assert host.rnx("job", "stop", job).returncode == 0
    assert host.log(job) == b"up\nsaving\nsaved\n"
    assert host.status(job)["status"] == "STOPPED"


def test_a_job_that_has_ended_cannot_be_stopped(host: Host) -> None:
    job = host.run("true")
    host.result(job)
    done = host.rnx("job", "stop", job)
    assert done.returncode == 1
    assert "ended already" in done.stderr


def test_stop_before_the_start(host: Host) -> None:
    """A job that waits in the queue is stopped without ever being started."""
    reached = node(host)
    request = joblet_pb2.RunJobRequest(command="sleep", args=["300"])
    with host.configured("jobs: {max_running: 10}"):
        service = stub(host, reached["key"].encode(), reached["cert"].encode())
        started = [service.RunJob.future(request, timeout=120) for _ in range(40)]
        ids = [call.result().job_uuid for call in started]

        def listed() -> list[joblet_pb2.Job]:
            jobs = service.ListJobs(joblet_pb2.EmptyRequest(), timeout=60).jobs
            return [job for job in jobs if job.uuid in ids]

        until(lambda: any(job.status == "RUNNING" for job in listed()))
        stopped = [service.StopJob.future(joblet_pb2.StopJobRequest(uuid=job), timeout=120) for job in ids]
        assert {call.result().status for call in stopped} == {"STOPPED"}
        # Some ran by then, the last ones not.
        assert {job.reason for job in listed()} == {"stopped", "stopped before it started"}
    assert host.exec("systemctl", "list-units", "--all", "--no-legend", *map(host.unit, ids)).stdout == ""


def test_a_stop_is_not_forgotten_by_a_killed_daemon(host: Host) -> None:
    job = host.run(
        "python3", "-uc", "import signal,time\nsignal.signal(15, signal.SIG_IGN)\nprint('up')\nwhile 1: time.sleep(1)"
    )
    until(lambda: host.rnx_bytes("job", "log", "--no-follow", job).stdout == b"up\n")
    stopping = host.popen("job", "stop", job)
    until(lambda: host.status(job)["status"] == "STOPPING")
    host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service")
    assert host.result(job)["status"] == "STOPPED"
    stopping.communicate(timeout=60)

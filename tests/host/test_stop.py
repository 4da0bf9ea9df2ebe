"""Stopping: at once where the program lets it, after the grace period where it does not, never half."""

from __future__ import annotations

import time

import pytest
from hosts import Host, until
from test_access import node, stub

from joblet_wire import joblet_pb2


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
    began = time.monotonic()
    assert host.rnx("job", "stop", job).returncode == 0
    # Far below the grace period of 10 s: nothing had to be killed.
    assert time.monotonic() - began < 8
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
    began = time.monotonic()
    assert host.rnx("job", "stop", job).returncode == 0
    assert 9 < time.monotonic() - began < 25
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
    service = stub(host, reached["key"].encode(), reached["cert"].encode())
    request = joblet_pb2.RunJobRequest(command="sleep", args=["100"])
    started = [service.RunJob.future(request, timeout=60) for _ in range(40)]
    ids = [call.result().job_uuid for call in started]
    stopped = [service.StopJob.future(joblet_pb2.StopJobRequest(uuid=job), timeout=60) for job in ids]
    assert {call.result().status for call in stopped} == {"STOPPED"}
    listed = service.ListJobs(joblet_pb2.EmptyRequest(), timeout=30).jobs
    # Some ran by then, the last ones not.
    assert {job.reason for job in listed if job.uuid in ids} == {"stopped", "stopped before it started"}
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

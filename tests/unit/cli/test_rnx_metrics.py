"""job metrics, job top and monitor against a node."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import termios
import time

import pytest

from joblet_wire.joblet_pb2 import (
    CPUMetrics,
    DiskMetrics,
    GetJobMetricsRequest,
    GetJobStatusResponse,
    JobMetricsEvent,
    JobSample,
    MemoryMetrics,
    ProcessInfo,
    ProcessMetrics,
    RunningJob,
    StreamMetricsRequest,
    SystemMetricsResponse,
    SystemStatusResponse,
    TopJobsRequest,
    TopJobsResponse,
)

from .conftest import Rnx, start_rnx
from .fakes import JOB_ID, OTHER_ID, FakeJobs, Server

NSEC = 1_000_000_000
START = 1_735_786_800
HOSTILE = "evil\x1b[2J\x1b]0;pwned\x07\n"


def event(second: int, *, final: bool = False, **values: float) -> JobMetricsEvent:
    sample = JobSample(**values)  # type: ignore[arg-type]
    return JobMetricsEvent(timestamp=(START + second) * NSEC, job_uuid=JOB_ID, sample=sample, final=final)


PAST = [
    event(0, cpu_percent=50.0, cpu_usec=500_000, memory_bytes=3 << 20, tasks=2, cpu_pressure=1.5),
    event(5, cpu_percent=100.0, cpu_usec=65_500_000, memory_bytes=0, tasks=2, io_read_bytes=2048, io_write_bytes=0),
]
TOTALS = event(9, final=True, cpu_percent=70.0, cpu_usec=66_000_000, memory_peak_bytes=3 << 20, tasks_peak=4)


def job(jobs: FakeJobs, status: str) -> None:
    jobs.answers = {JOB_ID: [GetJobStatusResponse(uuid=JOB_ID, status=status)]}


@pytest.mark.usefixtures("server")
class TestJobMetrics:
    def test_of_a_job_that_has_ended(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        job(jobs, "COMPLETED")
        jobs.past = [*PAST, TOTALS]
        result = run_rnx("job", "metrics", JOB_ID[:8])
        assert result.code == 0, result.err
        head, first, second, blank, *totals = result.text.splitlines()
        assert head.split() == ["TIME", "CPU", "CPU", "TIME", *head.split()[4:]]
        assert first.split()[1:] == ["50.0%", "0:00.50", "3.0M", "-", "-", "2", "-", "-", "2/-/-"]
        assert second.split()[1:] == ["100.0%", "1:05.50", "0B", "2.0K", "0B", "2", "-", "-", "-"]
        assert blank == ""
        assert totals == ["CPU Time: 1 min 6 s (70.0% of one core)", "Peak Memory: 3.0 MB", "Peak Tasks: 4"]
        [request] = jobs.seen(GetJobMetricsRequest)
        assert (request.job_uuid, request.limit, request.start_time, request.end_time) == (JOB_ID, 20, 0, 0)

    def test_json_leaves_out_what_is_not_accounted_for(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        job(jobs, "COMPLETED")
        jobs.past = [*PAST, TOTALS]
        told = json.loads(run_rnx("job", "metrics", "--json", JOB_ID).text)
        assert (told["uuid"], told["status"]) == (JOB_ID, "COMPLETED")
        assert told["samples"][0] == {
            "time": "2025-01-02T03:00:00.000Z",
            "cpuPercent": 50.0,
            "cpuUsec": 500_000,
            "memoryBytes": 3 << 20,
            "tasks": 2,
            "cpuPressure": 1.5,
        }
        assert told["samples"][1]["memoryBytes"] == 0
        assert told["totals"]["cpuUsec"] == 66_000_000
        assert jobs.seen(GetJobMetricsRequest)[0].limit == 0

    def test_a_part_of_the_time(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        job(jobs, "RUNNING")
        jobs.past = PAST
        options = ["--since=2025-01-02T03:00:00Z", "--until=2025-01-02 04:00:00+01:00", "--limit=7"]
        assert run_rnx("job", "metrics", *options, JOB_ID).code == 0
        [request] = jobs.seen(GetJobMetricsRequest)
        assert (request.start_time, request.end_time, request.limit) == (START * NSEC, START * NSEC, 7)
        run_rnx("job", "metrics", "--since=10min", JOB_ID)
        ago = time.time() - jobs.seen(GetJobMetricsRequest)[1].start_time / NSEC
        assert 595 < ago < 660

    @pytest.mark.parametrize("option", ["--since=yesterday", "--until=2025-13-01", "--limit=0", "--since="])
    def test_what_is_no_time(self, option: str, run_rnx: Rnx) -> None:
        result = run_rnx("job", "metrics", option, JOB_ID)
        assert result.code == 2
        assert option.partition("=")[0] in result.err

    def test_until_does_not_go_with_follow(self, run_rnx: Rnx) -> None:
        assert run_rnx("job", "metrics", "--follow", "--until=1min", JOB_ID).code == 2

    def test_follow_goes_on_behind_what_is_kept_and_over_a_broken_connection(
        self, jobs: FakeJobs, run_rnx: Rnx
    ) -> None:
        job(jobs, "RUNNING")
        jobs.past, jobs.breaks = PAST, 1
        jobs.live = [PAST[1], event(6, cpu_percent=1.0), event(7, cpu_percent=2.0), TOTALS]
        result = run_rnx("job", "metrics", "--follow", "--json", JOB_ID)
        assert result.code == 0, result.err
        told = [json.loads(line) for line in result.text.splitlines()]
        assert [entry["time"][17:19] for entry in told] == ["00", "05", "06", "07", "09"]
        assert [entry.get("final", False) for entry in told] == [False] * 4 + [True]

    def test_an_older_node(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        job(jobs, "RUNNING")
        jobs.past = [JobMetricsEvent(timestamp=START * NSEC, cpu_percent=12.5, memory_bytes=1 << 20)]
        told = json.loads(run_rnx("job", "metrics", "--json", JOB_ID).text)
        assert told["samples"][0]["cpuPercent"] == 12.5
        assert told["samples"][0]["memoryBytes"] == 1 << 20

    def test_a_job_without_readings(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        job(jobs, "PENDING")
        result = run_rnx("job", "metrics", JOB_ID)
        assert (result.code, result.text) == (0, "")
        assert "it is PENDING" in result.err


def running(jobs: FakeJobs) -> None:
    jobs.top = [
        TopJobsResponse(
            timestamp="2025-01-02T04:00:00Z",
            jobs=[
                RunningJob(
                    uuid=JOB_ID,
                    name="spin",
                    owner="alice",
                    status="RUNNING",
                    start_time="2025-01-02T03:00:00Z",
                    command="sh -c :",
                    sample=JobSample(cpu_percent=99.0, cpu_usec=3_600_000_000, memory_bytes=1 << 20, tasks=1),
                ),
                RunningJob(
                    uuid=OTHER_ID,
                    owner="bob",
                    status="RUNNING",
                    start_time="2025-01-02T03:59:30Z",
                    command=HOSTILE,
                    sample=JobSample(cpu_percent=1.0, cpu_usec=10, memory_bytes=1 << 30, tasks=5),
                ),
                RunningJob(uuid="new", owner="bob", start_time="2025-01-02T04:00:00Z", command="true"),
            ],
            omitted=2,
        )
    ]


@pytest.mark.usefixtures("server")
class TestTop:
    def test_a_pipe_gets_it_once(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        running(jobs)
        result = run_rnx("job", "top")
        assert result.code == 0, result.err
        head, first, second, third, more = result.text.splitlines()
        assert head.split()[:3] == ["ID", "OWNER", "CPU"]
        assert first.split() == [
            *(JOB_ID, "alice", "99.0%", "1.0M", "-", "-", "1", "1:00:00", "1h00m", "spin:", "sh", "-c", ":"),
        ]
        assert second.split()[:2] == [OTHER_ID, "bob"]
        assert third.split()[:9] == ["new", "bob", *["-"] * 6, "0s"]
        assert more == "… and 2 more"
        assert "\x1b" not in result.text
        assert jobs.seen(TopJobsRequest) == [TopJobsRequest(interval_seconds=1, once=True)]

    @pytest.mark.parametrize(
        ("sort", "first"), [("memory", OTHER_ID), ("cpu", JOB_ID), ("owner", JOB_ID), ("tasks", OTHER_ID)]
    )
    def test_sorted(self, jobs: FakeJobs, run_rnx: Rnx, sort: str, first: str) -> None:
        running(jobs)
        assert run_rnx("job", "top", f"--sort={sort}").text.splitlines()[1].startswith(first)

    def test_json(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        running(jobs)
        first, _, new = json.loads(run_rnx("job", "top", "--json").text)
        assert first["uuid"] == JOB_ID
        assert first["sample"]["cpuPercent"] == 99.0
        assert "ioReadBytes" not in first["sample"]
        assert new["sample"] is None


def on_a_terminal(*arguments: str, rows: int, columns: int) -> tuple[int, str]:
    """What rnx draws until it is interrupted, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = start_rnx(*arguments, stdout=theirs)
    os.close(theirs)
    drawn = b""
    while b"\x1b[J" not in drawn and select.select([ours], [], [], 30)[0]:
        drawn += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    while select.select([ours], [], [], 30)[0]:
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the last one has closed it
            break
    os.close(ours)
    _, err = process.communicate(timeout=30)
    assert b"Traceback" not in err
    return process.returncode, drawn.decode()


class TestLive:
    @pytest.fixture(autouse=True)
    def _terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        for size in ("LINES", "COLUMNS"):  # which would say how large it is, in its place
            monkeypatch.delenv(size, raising=False)

    @pytest.mark.usefixtures("server")
    def test_top_is_drawn_in_place_and_leaves_the_terminal_as_it_was(self, jobs: FakeJobs) -> None:
        running(jobs)
        jobs.top *= 3
        jobs.stays = True
        code, drawn = on_a_terminal("job", "top", rows=6, columns=60)
        assert code == 0
        assert drawn.startswith("\x1b[?1049h")
        assert drawn.endswith("\x1b[?7h\x1b[?25h\x1b[?1049l")
        frame = drawn.split("\x1b[H")[1].split("\x1b[J")[0]
        lines = frame.split("\r\n")
        assert len(lines) == 6  # never more than there is room for
        assert "more lines" in lines[-1]
        # What a job calls itself moves no cursor.
        assert set(re.findall(r"\x1b\[?[^\w]*\w", frame)) == {"\x1b[K"}

    def test_watch(self, server: Server) -> None:
        server.host.readings = [SystemMetricsResponse(cpu=CPUMetrics(cores=4, usage_percent=12.5))] * 2
        server.host.stays = True
        code, drawn = on_a_terminal("monitor", "watch", "--filter=cpu", rows=24, columns=80)
        assert code == 0
        assert "CPU: 12.5% of 4 cores" in drawn


READING = {
    "cpu": CPUMetrics(cores=2, usage_percent=50.0, user_time=40.0, load_average=[1, 2, 3], per_core_usage=[30, 70]),
    "memory": MemoryMetrics(total_bytes=8 << 30, used_bytes=2 << 30, usage_percent=25.0, available_bytes=6 << 30),
    "disks": [
        DiskMetrics(device="/dev/vda", mount_point="/", filesystem="ext4", total_bytes=1 << 40, usage_percent=50)
    ],
    "processes": ProcessMetrics(
        total_processes=3,
        running_processes=1,
        top_by_cpu=[ProcessInfo(pid=7, name=HOSTILE, cpu_percent=99.0, memory_bytes=1 << 20, status="running")],
    ),
}


class TestMonitor:
    def test_status(self, server: Server, run_rnx: Rnx) -> None:
        server.host.status = SystemStatusResponse(available=True, **READING)  # type: ignore[arg-type]
        server.host.status.host.hostname = "build1"
        server.host.status.server_version.version = "9.9"
        result = run_rnx("monitor", "status")
        assert result.code == 0, result.err
        lines = result.text.splitlines()
        assert "Host: build1" in lines
        assert "CPU: 50.0% of 2 cores (40.0% user, 0.0% system, 0.0% waiting for I/O, 0.0% stolen)" in lines
        assert "Memory: 2.0 GB of 8.0 GB used (25.0%), 6.0 GB available" in lines
        assert any(line.split()[:3] == ["/", "/dev/vda", "ext4"] for line in lines)
        assert "\x1b" not in result.text
        assert any("evil\\x1b[2J" in line for line in lines)
        assert lines[-1].startswith("Server: joblet 9.9")

    def test_parts_of_the_status(self, server: Server, run_rnx: Rnx) -> None:
        server.host.status = SystemStatusResponse(available=True, **READING)  # type: ignore[arg-type]
        assert "CPU" not in run_rnx("monitor", "status", "--filter=memory").text
        told = json.loads(run_rnx("monitor", "status", "--json", "--filter=cpu", "--filter=disk").text)
        assert set(told) == {"timestamp", "available", "cpu", "disks"}
        assert told["cpu"]["loadAverage"] == [1, 2, 3]
        assert told["disks"][0]["mountPoint"] == "/"

    def test_top_on_a_pipe_is_printed_once(self, server: Server, run_rnx: Rnx) -> None:
        server.host.readings = [SystemMetricsResponse(**READING)] * 3  # type: ignore[arg-type]
        result = run_rnx("monitor", "top")
        assert result.text.count("CPU: 50.0%") == 1
        assert list(server.host.requests[0].metric_types) == ["host", "cpu", "memory", "io", "process"]

    def test_watch_goes_on(self, server: Server, run_rnx: Rnx) -> None:
        server.host.readings = [SystemMetricsResponse(cpu=READING["cpu"])] * 3  # type: ignore[arg-type]
        result = run_rnx("monitor", "watch", "--filter=cpu,memory", "--interval=5")
        assert result.text.count("CPU: 50.0%") == 3
        request = StreamMetricsRequest(interval_seconds=5, metric_types=["cpu", "memory"])
        assert server.host.requests == [request]
        lines = run_rnx("monitor", "watch", "--json", "--filter=cpu").text.splitlines()
        assert [json.loads(line)["cpu"]["cores"] for line in lines] == [2, 2, 2]

    @pytest.mark.parametrize("options", [(), ("--json",)])
    def test_interrupted_where_nothing_is_drawn(self, server: Server, options: tuple[str, ...]) -> None:
        server.host.readings = [SystemMetricsResponse(cpu=READING["cpu"])]  # type: ignore[arg-type]
        server.host.stays = True
        process = start_rnx("monitor", "watch", "--filter=cpu", *options)
        assert process.stdout
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, b"rnx: interrupted\n")

    @pytest.mark.parametrize("arguments", [["--filter=gpu"], ["--interval=0"], ["--interval=61"]])
    def test_what_is_refused(self, run_rnx: Rnx, arguments: list[str]) -> None:
        result = run_rnx("monitor", "watch", *arguments)
        assert result.code == 2
        assert arguments[0].partition("=")[0] in result.err

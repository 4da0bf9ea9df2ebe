"""What jobs and hosts use is seen, kept with the job, and harms nobody."""

from __future__ import annotations

import http.client
import json
import ssl
import tempfile
from typing import Any

import grpc
import pytest
from clients import node
from hosts import CHANNEL_OPTIONS, FINAL, Host, until
from prometheus_client.parser import text_string_to_metric_families

from joblet_wire import joblet_pb2 as wire
from joblet_wire import joblet_pb2_grpc

# A second of CPU time, a kilobyte to itself, and then some time in which it does nothing.
WORK = """
import socket, sys, time
while time.process_time() < 1: pass
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("127.0.0.1", 0))
ear.sendto(bytes(1000), ear.getsockname())
time.sleep(float(sys.argv[1]))
"""
SAMPLES = "/var/lib/joblet/samples.db"
HOSTILE = "\x1b[2J\x1b]0;pwned\x07"


def stub(host: Host) -> tuple[grpc.Channel, Any]:
    """A connection, and JobService on it."""
    reached = node(host)
    credentials = grpc.ssl_channel_credentials(*(reached[part].encode() for part in ("ca", "key", "cert")))
    channel = grpc.secure_channel(reached["address"], credentials, CHANNEL_OPTIONS)
    return channel, joblet_pb2_grpc.JobServiceStub(channel)


def told(host: Host, job: str, *options: str) -> dict[str, Any]:
    """``rnx job metrics --json``."""
    done = host.rnx("--json", "job", "metrics", *options, job)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def on_disk(host: Host, job: str) -> int:
    """How many jobs with that id there are in the file."""
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
    script += "print(*db.execute('SELECT count(*) FROM jobs WHERE id = ?', sys.argv[2:]).fetchone())"
    return int(host.exec("python3", "-c", script, SAMPLES, job).stdout)


def get(host: Host, path: str, accept: str = "*/*") -> tuple[int, str]:
    """An answer of the HTTP interface to a reader, to its end."""
    reached = node(host, "reader")
    context = ssl.create_default_context(cadata=reached["ca"])
    context.check_hostname = False  # it is reached by its address
    with tempfile.NamedTemporaryFile("w") as pair:
        pair.write(reached["cert"] + reached["key"])
        pair.flush()
        context.load_cert_chain(pair.name)
    address = reached["address"].rpartition(":")[0]
    connection = http.client.HTTPSConnection(address, 50052, context=context, timeout=120)
    try:
        connection.request("GET", path, headers={"Accept": accept})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_from_its_start_to_its_deletion(host: Host) -> None:
    job = host.run("python3", "-c", WORK, "3")
    channel, service = stub(host)
    with channel:
        # Before it runs, to its end.
        followed = list(service.StreamJobMetrics(wire.StreamJobMetricsRequest(job_uuid=job), timeout=60))
    *samples, end = followed
    assert end.final
    assert [sample.final for sample in samples] == [False] * len(samples)
    assert len(samples) >= 3
    assert max(sample.sample.cpu_percent for sample in samples) > 10
    assert all(sample.sample.tasks >= 1 for sample in samples)
    for used in (samples[-1].sample, end.sample):
        assert used.cpu_usec >= 1_000_000
        assert used.net_received_bytes >= 1000
        assert used.net_sent_bytes >= 1000
    # The kernel counts at least what the job itself does.
    times = [sample.timestamp for sample in samples]
    assert times == sorted(set(times))

    kept = told(host, job)
    assert len(kept["samples"]) == len(samples)
    assert kept["totals"]["cpuUsec"] == end.sample.cpu_usec == host.status(job)["cpuUsec"]
    assert kept["totals"]["tasksPeak"] >= 1
    assert kept["totals"]["netSentBytes"] == host.status(job)["netSentBytes"]
    memory = "memory" in host.exec("cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split()
    assert ("memoryBytes" in kept["samples"][0]) == memory  # nothing is told where nothing is counted
    assert kept["totals"]["memoryPeakBytes"] > 1 << 20  # which joblet-init knows in any case
    assert told(host, job, "--limit=1")["samples"] == kept["samples"][-1:]
    until_first = told(host, job, f"--until={kept['samples'][0]['time']}")
    assert len(until_first["samples"]) <= 1
    text = host.rnx("job", "metrics", "--follow", job).stdout
    assert text.splitlines()[0].split()[0] == "TIME"
    assert "CPU Time: " in text

    assert on_disk(host, job) in (0, 1)  # written by now, or in half a minute
    assert host.rnx("job", "delete", job).returncode == 0
    assert host.rnx("job", "metrics", job).returncode == 3
    host.exec("systemctl", "restart", "joblet.service")  # which writes what is to be written
    assert on_disk(host, job) == 0


def test_a_job_too_short_to_be_seen_has_totals(host: Host) -> None:
    for _ in range(5):  # the sampler's turn, every 5 s, may come in the middle of one
        job = host.run("true")
        host.result(job)
        kept = told(host, job)
        if not kept["samples"]:
            break
    assert kept["samples"] == []
    assert kept["totals"]["cpuUsec"] > 0
    assert (kept["totals"]["netReceivedBytes"], kept["totals"]["netSentBytes"]) == (0, 0)
    channel, service = stub(host)
    with channel:
        [event] = service.StreamJobMetrics(wire.StreamJobMetricsRequest(job_uuid=job), timeout=120)
    assert event.final


def test_samples_outlast_the_daemon(host: Host) -> None:
    job = host.run("python3", "-c", WORK, "300")
    first = until(lambda: told(host, job)["samples"])[0]
    host.exec("systemctl", "restart", "joblet.service")
    assert told(host, job)["samples"][0] == first
    with host.daemon_killed():
        pass
    known = len(told(host, job)["samples"])
    assert known >= 1  # what was written before the restart
    # The next one takes the job over and goes on.
    later = until(lambda: [one for one in told(host, job)["samples"][known:] if one["cpuUsec"] >= 1_000_000])
    host.rnx("job", "stop", job)
    assert told(host, job)["totals"]["cpuUsec"] >= later[-1]["cpuUsec"]


def test_a_full_disk_costs_samples_and_no_jobs(host: Host) -> None:
    full = "mkdir -p /run/full && mount -t tmpfs -o size=16k,mode=700 tmpfs /run/full && cp -a {0} /run/kept.db && "
    full += "ln -sf /run/full/samples.db {0} && {{ cat /dev/zero >/run/full/zeros || true; }}"
    host.exec("systemctl", "stop", "joblet.service")
    try:
        host.exec("sh", "-c", full.format(SAMPLES))
        host.exec("systemctl", "start", "joblet.service")
        job = host.run("sh", "-c", "sleep 2; echo done")
        # There are readings as long as they are in memory.
        until(lambda: told(host, job)["samples"])
        assert host.result(job)["status"] == "COMPLETED"
        assert host.log(job) == b"done\n"
        assert told(host, job)["totals"]["cpuUsec"] > 0
        said = "samples of jobs are lost meanwhile; jobs are not affected"
        until(lambda: said in host.exec("journalctl", "--boot", "-u", "joblet.service", "-o", "cat").stdout)
    finally:
        back = f"umount /run/full; rm {SAMPLES}; mv /run/kept.db {SAMPLES}"
        host.exec("systemctl", "stop", "joblet.service")
        host.exec("sh", "-c", back)
        host.exec("systemctl", "start", "joblet.service")


def test_running_jobs_at_a_glance(host: Host) -> None:
    job = host.run("--name=seen", "sh", "-c", f"printf '{HOSTILE}'; sleep 300")
    host.running(job)

    def seen() -> dict[str, Any] | None:
        rows: list[dict[str, Any]] = json.loads(host.rnx("--json", "job", "top").stdout)
        # The first sample may be of joblet-init alone.
        return next((row for row in rows if row["uuid"] == job and row["sample"] and row["sample"]["tasks"] > 1), None)

    row = until(seen)
    assert (row["name"], row["owner"], row["status"]) == ("seen", "admin", "RUNNING")
    table = host.rnx("job", "top", "--sort=name").stdout
    [line] = [line for line in table.splitlines() if line.startswith(job)]
    assert "seen: sh -c" in line
    assert "\x1b" not in table
    host.rnx("job", "stop", job)
    assert job not in host.rnx("job", "top").stdout


def test_the_host_and_what_a_reader_may_see_of_it(host: Host) -> None:
    # A job that gives its process a name for terminals, and a secret on its command line.
    rename = f"open('/proc/self/comm', 'w').write({HOSTILE!r})\nwhile True: pass"
    job = host.run("python3", "-c", rename, "--password=hunter2")
    host.running(job)
    until(lambda: told(host, job)["samples"])
    shown = host.rnx("monitor", "status", node="reader")
    assert shown.returncode == 0, shown.stderr
    assert f"Host: {host.name}" in shown.stdout
    assert "\x1b" not in shown.stdout
    status = json.loads(host.rnx("--json", "monitor", "status", node="reader").stdout)
    assert status["host"]["nodeId"] == host.exec("cat", "/etc/machine-id").stdout.strip()
    assert status["cpu"]["cores"] == len(status["cpu"]["perCoreUsage"])
    assert "python3" in status["processes"]["topByCpu"][0]["command"]
    assert "hunter2" not in json.dumps(status["processes"])
    assert all("/var/lib/joblet/jobs" not in disk["mountPoint"] for disk in status.get("disks", []))
    lines = host.rnx("--json", "monitor", "top", "--filter=memory", node="reader").stdout
    assert set(json.loads(lines)) == {"timestamp", "memory"}
    host.rnx("job", "stop", job)


def test_prometheus(host: Host) -> None:
    before = _series(host)
    job = host.run("--name=scraped", "sleep", "300")
    host.running(job)

    def scraped() -> dict[tuple[str, str], float] | None:
        found = _series(host)
        return found if ("joblet_job_cpu_seconds_total", job) in found else None

    series = until(scraped)
    assert series["joblet_job_starts_total", ""] >= before["joblet_job_starts_total", ""] + 1
    assert series["joblet_jobs", "RUNNING"] >= 1
    host.rnx("job", "stop", job)
    after = _series(host)
    assert not any(label == job for _, label in after)
    assert after["joblet_job_ends_total", "STOPPED"] == before["joblet_job_ends_total", "STOPPED"] + 1


def _series(host: Host) -> dict[tuple[str, str], float]:
    """What Prometheus would take in, by name and the label that matters."""
    code, text = get(host, "/metrics")
    assert code == 200
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            label = next((sample.labels[key] for key in ("job", "state", "outcome") if key in sample.labels), "")
            found[sample.name, label] = sample.value
    return found


def test_over_http(host: Host) -> None:
    job = host.run("python3", "-c", WORK, "1")
    code, text = get(host, f"/v1/jobs/{job}/metrics", "text/event-stream")
    *samples, end = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    assert code == 200
    assert len(samples) >= 1
    assert all(sample["cpuUsec"] > 0 for sample in samples)
    assert (end["status"], end["exitCode"]) == ("COMPLETED", 0)
    assert end["totals"]["cpuUsec"] >= 1_000_000
    code, text = get(host, f"/v1/jobs/{job[:8]}/metrics")
    assert code == 200
    assert json.loads(text)["totals"]["cpuUsec"] >= 1_000_000
    assert json.loads(text)["samples"] == told(host, job)["samples"]
    code, text = get(host, "/v1/host?parts=cpu,disk")
    assert (code, set(json.loads(text))) == (200, {"time", "cpu", "disks"})
    for path, field in [
        ("/v1/host?parts=gpu", "gpu"),
        (f"/v1/jobs/{job}/metrics?limit=0", "limit"),
        (f"/v1/jobs/{job}/metrics?since=yesterday", "since"),
        ("/metrics?name=x", "name"),
    ]:
        code, text = get(host, path)
        assert code == 400, path
        assert field in json.loads(text)["detail"]
    assert get(host, "/v1/jobs/no-such-job/metrics")[0] == 404


def test_streams_of_readings_are_bounded(host: Host) -> None:
    """A reader can have some; one more is an error that says so, and others are served all the same."""
    job = host.run("sleep", "300")
    host.running(job)
    reached = node(host, "reader")
    credentials = grpc.ssl_channel_credentials(*(reached[part].encode() for part in ("ca", "key", "cert")))
    with grpc.secure_channel(reached["address"], credentials, CHANNEL_OPTIONS) as channel:
        service = joblet_pb2_grpc.JobServiceStub(channel)
        streams = [service.TopJobs(wire.TopJobsRequest(interval_seconds=60)) for _ in range(33)]
        with pytest.raises(grpc.RpcError) as caught:
            list(map(next, streams))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "32 of one identity" in str(caught.value.details())
        assert host.rnx("job", "top").returncode == 0
    host.rnx("job", "stop", job)
    assert host.status(job)["status"] in FINAL

"""A job that fills the disk of the host, on one that is small enough for that."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import grpc
import pytest
from attack import channel
from hosts import Host, until

from joblet_wire import joblet_pb2_grpc
from joblet_wire.joblet_pb2 import FileUpload, RunJobRequest, SubmitJobRequest

STATE = "/var/lib/joblet"
# The daemon's directory on a file system of its own: the machine's is not to be full.
SMALL_DISK = f"""
systemctl stop joblet.socket joblet.service
truncate --size=600M /var/small.img
mkfs.ext4 -q -m 0 /var/small.img
cp -a {STATE} /var/copy
mount -o loop /var/small.img {STATE}
cp -a /var/copy/. {STATE}
rmdir {STATE}/lost+found
systemctl start joblet.socket joblet.service
"""
# As fast as a disk that this one is a model of, which has more to spare.
FILL = """
import os, time
with open("/work/fill", "wb") as file:
    while True:
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        time.sleep(0.05)
"""
# What others take: all but 20 MB.
BALLAST = f"fallocate -l $(($(df --output=avail -B1 {STATE} | tail -1) - 20000000)) {STATE}/ballast"
TICK = "echo precious >file; while date >tick && cat file >/dev/null; do sleep 0.1; done; echo broken"


@pytest.mark.only_on("trixie", "a full disk is the same whatever the systemd")
def test_who_fills_the_disk_of_the_host_ends_and_nobody_else(own_host: Host) -> None:
    host = own_host
    host.exec("sh", "-ec", SMALL_DISK)
    other = host.run("sh", "-c", TICK, node="developer")
    kept = host.run("sh", "-c", "echo result >file", node="developer")
    waiting = host.run("--schedule=1h", f"--upload={__file__}", "true", node="developer")
    uploaded = host.run("sh", "-c", "head -c 150000000 /dev/zero >file")
    host.result(kept)
    host.result(uploaded)
    hog = host.run("--max-disk=100000", "--retries=5", "python3", "-u", "-c", FILL)
    status = host.result(hog, 240)
    assert (status["status"], status["exitCode"]) == ("FAILED", 137)
    assert status["reason"].startswith("disk-full: the host's disk had less than 5")
    # Of the client that takes most the largest went, which the job was in the end; until then there was room for both.
    assert host.rnx("job", "download", uploaded, "file", "-").returncode == 0
    # What the others have is as it was, and there is room for new jobs.
    assert host.rnx_bytes("job", "run", "--wait", "sh", "-c", "echo well >file; cat file").stdout == b"well\n"
    assert host.rnx("job", "download", kept, "file", "-").stdout == "result\n"
    assert host.status(other)["status"] == "RUNNING"
    assert host.log_so_far(other) == b""
    assert host.status(waiting)["status"] == "SCHEDULED"
    free = host.exec("df", "--output=avail", "-BM", STATE).stdout.split()[-1]
    assert int(free.rstrip("M")) > 100
    until(lambda: hog not in host.exec("ls", f"{STATE}/jobs").stdout)
    for job in (other, waiting):
        assert host.rnx("job", "stop", job).returncode == 0
    assert host.rnx("job", "delete", uploaded).returncode == 0
    # A disk that others fill takes no job's files; new jobs wait, and say what for.
    host.exec("sh", "-c", BALLAST)
    late = host.run("echo", "at last")
    until(lambda: "The disk of the host has" in host.status(late)["reason"])
    assert host.status(late)["status"] == "PENDING"
    assert json.loads(host.rnx("--json", "job", "status", kept).stdout)["status"] == "COMPLETED"
    host.exec("rm", f"{STATE}/ballast")
    assert host.log(late) == b"at last\n"
    assert (host.status(late)["status"], host.status(late)["reason"]) == ("COMPLETED", "")


@pytest.mark.only_on("trixie", "a full disk is the same whatever the systemd")
def test_an_upload_gives_way_though_no_job_runs(own_host: Host) -> None:
    """The disk gets full by others while it is on its way, and slow."""
    host = own_host
    host.exec("sh", "-ec", SMALL_DISK)
    goes_on = threading.Event()

    def messages() -> Iterator[SubmitJobRequest]:
        yield SubmitJobRequest(job=RunJobRequest(command="true"))
        yield SubmitJobRequest(file=FileUpload(path="file", mode=0o644))
        for _ in range(200):
            yield SubmitJobRequest(data=bytes(1 << 20))
        goes_on.wait(60)
        yield SubmitJobRequest(data=bytes(1 << 20))
        yield SubmitJobRequest(end=True)

    def used() -> int:
        host.exec("sync")
        return int(host.exec("df", "--output=used", "-BM", STATE).stdout.split()[-1].rstrip("M"))

    with channel(host, "default") as through:
        call = joblet_pb2_grpc.JobServiceStub(through).SubmitJob.future(messages(), timeout=120)
        until(lambda: used() > 200)
        host.exec("sh", "-c", BALLAST)
        until(lambda: used() < 500)
        goes_on.set()
        with pytest.raises(grpc.RpcError) as caught:
            call.result()
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "had to give up their room" in caught.value.details()
    until(lambda: host.exec("ls", f"{STATE}/jobs").stdout == "")
    host.exec("rm", f"{STATE}/ballast")
    assert host.rnx_bytes("job", "run", "--wait", "echo", "well").stdout == b"well\n"

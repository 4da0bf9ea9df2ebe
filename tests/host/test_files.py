"""/work is bounded, uploads and downloads are whole or nothing, and nothing of them is left behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from hosts import LOOP_DEVICES, MOUNTED_IMAGES, Host, until
from test_access import node, stub

from joblet_wire.joblet_pb2 import DownloadFilesRequest, FileUpload, RunJobRequest, SubmitJobRequest

MIB = 1 << 20


def service(host: Host, name: str = "default") -> Any:
    reached = node(host, name)
    return stub(host, reached["key"].encode(), reached["cert"].encode())


def run(host: Host, script: str, max_disk: int = 0) -> str:
    """Run a Python script as a job with a /work of so many MB."""
    request = RunJobRequest(command="python3", args=["-c", script], max_disk=max_disk)
    return str(service(host).RunJob(request, timeout=120).job_uuid)


def traces(host: Host) -> str:
    """What may be there of files only while jobs run or something is uploaded."""
    descriptors = (
        "ls -l /proc/$(systemctl show -P MainPID joblet.service)/fd | grep -e /dev/loop -e 'joblet/jobs' -e '> /$'"
    )
    uploads = "ls -d /var/lib/joblet/jobs/.[uc]* 2>/dev/null"
    return host.exec("sh", "-c", f"{MOUNTED_IMAGES}; {LOOP_DEVICES}; {descriptors}; {uploads}; true").stdout


def jobs(host: Host) -> int:
    return len(json.loads(host.rnx("--json", "job", "list").stdout))


@pytest.fixture(autouse=True)
def _nothing_left(host: Host) -> Iterator[None]:
    """Every test leaves the host without a mount, a loop device or a half upload."""
    yield
    until(lambda: traces(host) == "")


# --- the size of /work

FILL = """
import errno, os
def fill(step):
    try:
        step()
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
def bytes_():
    with open("f", "wb", buffering=0) as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))
def inodes():
    for number in range(100_000):
        open(f"d/{number}", "w").close()
fill(bytes_)
print(os.path.getsize("f") >> 20)
os.truncate("f", 0)
os.mkdir("d")
fill(inodes)
print(len(os.listdir("d")))
space = os.statvfs(".")
print(space.f_blocks * space.f_frsize >> 20)
"""


def test_a_full_work_is_the_jobs_own_affair(host: Host) -> None:
    other = host.run("sh", "-c", "until test -e go; do echo line >>file || exit 1; sleep 0.05; done; echo well")
    host.running(other)
    out = host.log(run(host, FILL, max_disk=20)).decode().split()
    assert (out[0], out[2]) == ("ENOSPC", "ENOSPC")
    assert 18 <= int(out[1]) <= 20
    assert 1000 < int(out[3]) < 10_000
    assert 18 <= int(out[4]) <= 20
    host.exec("touch", f"/var/lib/joblet/jobs/{other}/work/go")
    assert host.log(other) == b"well\n"


def test_the_default_size_and_what_is_in_a_new_one(host: Host) -> None:
    out = host.log(host.run("sh", "-c", "ls -A; df -BM --output=size . | tail -n1; stat -c '%a %U' ."))
    size, mode = out.decode().splitlines()
    assert 950 <= int(size.strip().rstrip("M")) <= 1024
    assert mode == "700 joblet-admin"


def test_more_than_is_allowed(host: Host) -> None:
    before = jobs(host)
    with pytest.raises(grpc.RpcError) as caught:
        run(host, "", max_disk=1 << 30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "max_disk" in caught.value.details()
    assert jobs(host) == before


def test_where_no_loop_device_can_be_had(host: Host) -> None:
    """Then the size is a limit that cannot be enforced, like others."""
    host.exec("mv", "/dev/loop-control", "/dev/loop-control.away")
    try:
        with host.configured("jobs: {unenforced_limits: refuse}"):
            done = host.rnx("job", "run", "true")
            assert done.returncode != 0
            assert "max_disk cannot be enforced" in done.stderr
            assert "/dev/loop-control" in done.stderr
            findings = json.loads(host.exec("jobletd", "doctor", "--json", check=False).stdout)
            assert next(finding for finding in findings if finding["guarantee"] == "max_disk")["holds"] is False
        with host.configured("jobs: {unenforced_limits: warn}"):
            job = host.run("sh", "-c", "echo kept >f; rm -f g; stat -c %U .")
            assert host.log(job) == b"joblet-admin\n"
            request = RunJobRequest(command="true", max_disk=5)
            assert "max_disk cannot be enforced" in service(host).RunJob(request, timeout=120).notices[0]
            host.result(job)
            assert host.rnx("job", "download", job, "f", "-").stdout == "kept\n"
    finally:
        host.exec("mv", "/dev/loop-control.away", "/dev/loop-control")
        host.exec("systemctl", "restart", "joblet.service")


# --- uploads


def high_water_mb(host: Host) -> int:
    """The most memory that the daemon has ever had."""
    pid = host.exec("systemctl", "show", "-P", "MainPID", "joblet.service").stdout.strip()
    return int(host.exec("grep", "VmHWM", f"/proc/{pid}/status").stdout.split()[1]) >> 10


@pytest.mark.only_on("bookworm", because="the daemon alone reads and writes these files")
def test_a_large_upload_in_bounded_memory(host: Host, tmp_path: Path) -> None:
    host.exec("systemctl", "restart", "joblet.service")
    until(lambda: host.rnx("job", "list").returncode == 0)
    before = high_water_mb(host)
    digest = hashlib.sha256()
    with open(tmp_path / "big", "wb") as file:
        for _ in range(300):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
    job = host.run(f"--upload={tmp_path / 'big'}", "sha256sum", "big")
    assert host.log(job).decode().split()[0] == digest.hexdigest()
    assert high_water_mb(host) - before < 64
    done = host.rnx("job", "download", job, "big", str(tmp_path / "back"))
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256((tmp_path / "back").read_bytes()).hexdigest() == digest.hexdigest()
    assert high_water_mb(host) - before < 64


JOB = SubmitJobRequest(job=RunJobRequest(command="true", max_disk=4))
GOOD = SubmitJobRequest(file=FileUpload(path="good", content=b"x", mode=0o644))
MEGABYTE = SubmitJobRequest(data=b"x" * MIB)
END = SubmitJobRequest(end=True)


@pytest.mark.only_on("bookworm", because="the daemon alone reads and writes these files")
@pytest.mark.parametrize(
    ("messages", "code", "words"),
    [
        ((JOB, GOOD, SubmitJobRequest(file=FileUpload(path="../x")), END), "INVALID_ARGUMENT", "'../x'"),
        ((JOB, GOOD, SubmitJobRequest(file=FileUpload(path="good/x")), END), "INVALID_ARGUMENT", "good/x"),
        ((JOB, GOOD, GOOD, END), "INVALID_ARGUMENT", "each path once"),
        ((JOB, GOOD, MEGABYTE), "INVALID_ARGUMENT", "end in the last message"),
        ((JOB, GOOD, *[MEGABYTE] * 8, END), "RESOURCE_EXHAUSTED", "4 MB and"),
        ((JOB, GOOD, *[MEGABYTE] * 8, END), "RESOURCE_EXHAUSTED", "--max-disk"),
        ((GOOD, END), "INVALID_ARGUMENT", "job in the first message"),
    ],
)
def test_a_bad_upload_starts_nothing(host: Host, messages: tuple[SubmitJobRequest, ...], code: str, words: str) -> None:
    before = jobs(host)
    with pytest.raises(grpc.RpcError) as caught:
        service(host).SubmitJob(iter(messages), timeout=120)
    assert caught.value.code().name == code
    assert words in caught.value.details()
    assert jobs(host) == before
    assert traces(host) == ""


def test_an_upload_that_breaks_off(host: Host) -> None:
    """The client cancels, and in the second round is killed, with some of the upload written."""
    before = jobs(host)
    goes_on = threading.Event()

    def half() -> Iterator[SubmitJobRequest]:
        yield JOB
        yield GOOD
        yield MEGABYTE
        yield MEGABYTE
        goes_on.wait(30)
        yield END

    call = service(host).SubmitJob.future(half())
    until(lambda: ".upload" in traces(host))
    call.cancel()
    until(lambda: traces(host) == "")
    goes_on.set()
    assert jobs(host) == before


def test_a_client_that_is_killed(host: Host, tmp_path: Path) -> None:
    before = jobs(host)
    with open(tmp_path / "big", "wb") as file:
        file.truncate(900 * MIB)
    client = host.popen("job", "run", f"--upload={tmp_path / 'big'}", "true")
    until(lambda: ".upload" in traces(host))
    client.send_signal(signal.SIGKILL)
    client.communicate()
    until(lambda: traces(host) == "")
    assert jobs(host) == before


def test_a_daemon_that_is_killed_during_an_upload(host: Host, tmp_path: Path) -> None:
    before = jobs(host)
    with open(tmp_path / "big", "wb") as file:
        file.truncate(900 * MIB)
    client = host.popen("job", "run", f"--upload={tmp_path / 'big'}", "true")
    until(lambda: ".upload" in traces(host))
    host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service")
    _, err = client.communicate(timeout=60)
    assert client.returncode != 0
    assert b"Traceback" not in err
    until(lambda: host.rnx("job", "list").returncode == 0)
    assert traces(host) == ""
    assert jobs(host) == before


# --- downloads

MAKE = r"""
mkdir -p out/sub/empty && echo one >out/one && printf 'two\0\377' >out/sub/two && chmod 750 out/sub/two
ln -s sub/two out/link && ln -s /etc/passwd out/absolute && ln -s ../../../etc/passwd out/up
ln out/one out/hard && mkfifo out/pipe && touch "out/$(printf 'bad\377')" "out/$(printf 'new\nline\033[2J')"
truncate -s 4T out/sparse
"""


def test_a_tree(host: Host, tmp_path: Path) -> None:
    job = host.run("sh", "-c", MAKE + "exit 7")
    assert host.result(job)["exitCode"] == 7
    done = host.rnx("--json", "job", "download", job, "/work/out", str(tmp_path / "here"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    here = tmp_path / "here"
    found = {str(path.relative_to(here)) for path in here.rglob("*")}
    assert found == {"one", "hard", "sub", "sub/two", "sub/empty", "link", "new\nline\x1b[2J"}
    assert answer["files"] == len(found) + 1
    assert (here / "link").read_bytes() == (here / "sub/two").read_bytes() == b"two\0\xff"
    assert stat.S_IMODE((here / "sub/two").stat().st_mode) == 0o750
    told = "\n".join(answer["skipped"])
    for name, why in (
        ("absolute", "outside"),
        ("up", "outside"),
        ("pipe", "a FIFO"),
        (r"bad\udcff", "not UTF-8"),
        ("sparse", "more than /work"),
    ):
        assert any(f"'{name}'" in line and why in line for line in told.splitlines()), (name, told)
    assert "\x1b" not in done.stderr


def test_a_file(host: Host, tmp_path: Path) -> None:
    job = host.run("sh", "-c", MAKE)
    host.result(job)
    assert host.rnx_bytes("job", "download", job, "out/sub/two", "-").stdout == b"two\0\xff"
    assert host.rnx_bytes("job", "download", job, "out/link", "-").stdout == b"two\0\xff"
    assert host.rnx("job", "download", job, "out/one", cwd=tmp_path).returncode == 0
    assert (tmp_path / "one").read_text() == "one\n"
    (tmp_path / "one").write_text("mine")
    done = host.rnx("job", "download", job, "out/one", cwd=tmp_path)
    assert done.returncode == 1
    assert "one exists already; --force" in done.stderr
    assert (tmp_path / "one").read_text() == "mine"
    assert host.rnx("job", "download", "--force", job, "out/one", cwd=tmp_path).returncode == 0
    assert (tmp_path / "one").read_text() == "one\n"
    for path, code in (("out/absolute", 2), ("out/up", 2), ("../../etc/passwd", 2), ("out/pipe", 2), ("none", 3)):
        done = host.rnx("job", "download", job, path, "-")
        assert (done.returncode, done.stdout) == (code, ""), path


def test_whose_files(host: Host) -> None:
    theirs = host.run("sh", "-c", "echo theirs >f", node="developer")
    ours = host.run("sh", "-c", "echo ours >f")
    for job in (theirs, ours):
        host.result(job)

    def download(job: str, name: str) -> tuple[int, str]:
        done = host.rnx("job", "download", job, "f", "-", node=name)
        return done.returncode, done.stdout

    assert download(theirs, "developer") == (0, "theirs\n")
    assert download(ours, "developer") == (4, "")
    assert download(theirs, "reader") == (4, "")
    assert download(theirs, "maintainer") == (0, "theirs\n")


RACE = """
import os, sys
os.mkdir("d"); os.mkdir("real")
for name in ("d/passwd", "real/passwd", "f"):
    with open(name, "w") as file:
        file.write("harmless\\n")
print("ready", flush=True)
while True:
    os.rename("d", "d.away"); os.symlink("/etc", "d"); os.unlink("d"); os.symlink("../../../../../etc", "d")
    os.unlink("d"); os.rename("d.away", "d")
    os.rename("f", "f.away"); os.symlink("/etc/passwd", "f"); os.unlink("f"); os.mkfifo("f"); os.unlink("f")
    os.rename("f.away", "f")
"""


@pytest.mark.only_on("bookworm", because="the daemon alone reads and writes these files")
def test_a_job_that_swaps_files_for_links_while_they_are_read(host: Host, tmp_path: Path) -> None:
    job = host.run("python3", "-c", RACE)
    until(lambda: host.rnx_bytes("job", "log", "--no-follow", job).stdout == b"ready\n")
    calls = service(host)
    read, refused = set(), []
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for path in ("", "d", "d/passwd", "f"):
            answers = calls.DownloadFiles(DownloadFilesRequest(uuid=job, path=path), timeout=120)
            try:
                read |= {answer.data for answer in answers}
            except grpc.RpcError as error:
                refused.append(error)
    assert read == {b"", b"harmless\n"}
    assert {error.code().name for error in refused} <= {"NOT_FOUND", "INVALID_ARGUMENT"}, refused
    done = host.rnx("job", "download", job, "real", str(tmp_path / "real"))
    assert (done.returncode, (tmp_path / "real/passwd").read_text()) == (0, "harmless\n"), done.stderr
    host.rnx("job", "stop", job)


def test_output_comes_back_also_of_a_job_that_failed(host: Host, tmp_path: Path) -> None:
    words = ("--wait", "--output=out:results", "--output=log.txt:log.txt")
    done = host.rnx("job", "run", *words, "sh", "-c", f"{MAKE} echo log >log.txt; exit 9", cwd=tmp_path)
    assert done.returncode == 9, done.stderr
    assert (tmp_path / "results/one").read_text() == "one\n"
    assert (tmp_path / "log.txt").read_text() == "log\n"
    done = host.rnx("job", "run", "--wait", "--output=nothing:x", "sh", "-c", "echo >y", cwd=tmp_path)
    assert done.returncode == 3
    assert "There is no 'nothing' in /work" in done.stderr
    done = host.rnx("job", "run", "--wait", "--output=nothing:x", "sh", "-c", "exit 6", cwd=tmp_path)
    assert done.returncode == 6
    before = jobs(host)
    assert host.rnx("job", "run", "--output=a:b", "true").returncode == 2
    assert host.rnx("job", "run", "--wait", "--output=out:log.txt", "true", cwd=tmp_path).returncode == 2
    assert jobs(host) == before


# --- kept files


@pytest.mark.only_on("bookworm", because="the daemon alone reads and writes these files")
def test_files_are_kept_and_then_removed(host: Host) -> None:
    with host.configured("jobs: {keep_files: 4s}"):
        job = host.run("sh", "-c", "echo kept >f")
        empty = host.run("true")
        for ended in (job, empty):
            host.result(ended)
        assert host.rnx("job", "download", job, "f", "-").stdout == "kept\n"
        assert host.status(job)["filesKeptUntil"].endswith("Z")
        host.exec("systemctl", "restart", "joblet.service")
        until(lambda: host.status(job)["filesKeptUntil"] is None)
        until(lambda: host.status(empty)["filesKeptUntil"] is None)
        assert not {job, empty} & set(host.exec("ls", "/var/lib/joblet/jobs").stdout.split())
        done = host.rnx("job", "download", job, "f", "-")
        assert done.returncode == 3
        assert "they were removed" in done.stderr
    with host.configured("jobs: {keep_files: 0}"):
        job = host.run("sh", "-c", "echo gone >f")
        host.result(job)
        until(lambda: job not in host.exec("ls", "/var/lib/joblet/jobs").stdout)


def test_a_daemon_that_is_killed_while_a_job_runs(host: Host) -> None:
    waits = "until test -e go; do sleep 0.1; done; echo after >>f"
    goes_on, ends = (host.run("sh", "-c", f"echo before >f; {waits}") for _ in range(2))
    for job in (goes_on, ends):
        host.running(job)
    with host.daemon_killed():
        host.exec("touch", f"/var/lib/joblet/jobs/{ends}/work/go")
        until(lambda: host.exec("systemctl", "is-active", host.unit(ends), check=False).stdout.strip() != "active")
    until(lambda: host.rnx("job", "list").returncode == 0)
    assert host.rnx("job", "download", goes_on, "f", "-").stdout == "before\n"
    host.exec("touch", f"/var/lib/joblet/jobs/{goes_on}/work/go")
    for job in (goes_on, ends):
        assert host.result(job)["status"] == "COMPLETED"
        assert host.rnx("job", "download", job, "f", "-").stdout == "before\nafter\n"


@pytest.mark.only_on("bookworm", because="the daemon alone reads and writes these files")
def test_a_job_that_waits_holds_no_mount(host: Host) -> None:
    """Uploads are in an image that is mounted when the job's turn has come, also after a restart."""
    with host.configured("jobs: {starts_in_flight: 1}"):
        calls = service(host)
        requests = [
            RunJobRequest(command="cat", args=["good"], uploads=[FileUpload(path="good", content=b"%d" % number)])
            for number in range(16)
        ]
        submitted = [call.result().job_uuid for call in [calls.RunJob.future(one, timeout=60) for one in requests]]
        with host.daemon_killed():
            mounted = host.exec("cat", "/proc/mounts").stdout
            waiting = [job for job in submitted if f"{job}/work" not in mounted]
            there = host.exec("ls", "/var/lib/joblet/jobs").stdout.split()
        assert set(submitted) <= set(there)
        assert waiting
        for number, job in enumerate(submitted):
            assert host.log(job) == b"%d" % number
            assert host.result(job)["status"] == "COMPLETED"

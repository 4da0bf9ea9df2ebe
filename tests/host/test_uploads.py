"""Uploads are right or refused, and a refusal starts nothing."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import grpc
import pytest
from hosts import Host, until
from test_access import node, stub

from joblet_wire import joblet_pb2


def count(host: Host) -> int:
    return len(json.loads(host.rnx("--json", "job", "list").stdout))


@pytest.mark.parametrize(
    ("path", "content", "mode", "is_directory"),
    [
        ("../x", b"", 0o644, False),
        ("/etc/passwd", b"", 0o644, False),
        ("a/../../x", b"", 0o644, False),
        ("link", b"/etc/shadow", stat.S_IFLNK | 0o777, False),
        ("link", b"../../x", stat.S_IFLNK | 0o777, False),
        ("device", b"", stat.S_IFBLK | 0o600, False),
        ("pipe", b"", stat.S_IFIFO | 0o600, False),
        ("x" * 300, b"", 0o644, False),
    ],
)
def test_refused_by_the_daemon_whatever_the_client(
    host: Host, path: str, content: bytes, mode: int, is_directory: bool
) -> None:
    reached = node(host)
    before = count(host)
    upload = joblet_pb2.FileUpload(path=path, content=content, mode=mode, is_directory=is_directory)
    good = joblet_pb2.FileUpload(path="good", content=b"x", mode=0o644)
    with pytest.raises(grpc.RpcError) as caught:
        stub(host, reached["key"].encode(), reached["cert"].encode()).RunJob(
            joblet_pb2.RunJobRequest(command="true", uploads=[good, upload]), timeout=60
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "uploads" in caught.value.details()
    assert count(host) == before
    known = {job["id"] for job in json.loads(host.rnx("--json", "job", "list").stdout)}
    assert set(host.exec("ls", "/var/lib/joblet/jobs").stdout.split()) <= known


def test_refused_by_the_client_before_anything_is_sent(host: Host, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc/shadow")
    os.mkfifo(tmp_path / "pipe")
    before = count(host)
    for words in ([f"--upload-dir={tmp_path}"], [f"--upload={tmp_path / 'pipe'}"], ["--upload=no-such-file"]):
        done = host.rnx("job", "run", *words, "true")
        assert done.returncode == 2, words
        assert "Traceback" not in done.stderr
    assert count(host) == before


def test_files_and_directories_land_with_their_modes(host: Host, tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "sub" / "empty").mkdir(parents=True)
    (project / "run.sh").write_text("#!/bin/sh\necho ran in $PWD\n")
    (project / "run.sh").chmod(0o750)
    (project / "sub" / "data").write_bytes(b"\0\xff\n")
    (project / "link").symlink_to("sub/data")
    (tmp_path / "single.txt").write_text("one\n")
    script = (
        "./run.sh && cat single.txt && cmp link sub/data && cd project && ./run.sh && "
        "stat -c '%n %a %U' run.sh sub/data sub/empty && touch sub/mine"
    )
    job = host.run("--upload-dir=project", "--upload=single.txt", "sh", "-c", script, cwd=tmp_path)
    assert host.result(job)["status"] == "COMPLETED", host.rnx("job", "log", job)
    out = host.log(job).decode().splitlines()
    assert out[:3] == ["ran in /work", "one", "ran in /work/project"]
    assert out[3] == "run.sh 750 joblet-admin"
    assert out[4].startswith("sub/data 644 ")
    assert out[5].startswith("sub/empty 755 ")


def test_ten_thousand_files(host: Host, tmp_path: Path) -> None:
    many = tmp_path / "many"
    for directory in range(100):
        (many / f"{directory}").mkdir(parents=True)
        for file in range(100):
            (many / f"{directory}" / f"{file}").write_text(f"{directory} {file}")
    job = host.run(f"--upload-dir={many}", "sh", "-c", "find . -type f | wc -l; cat 99/99")
    assert host.log(job) == b"10000\n99 99"


def test_an_empty_work_directory_goes_with_the_job(host: Host) -> None:
    job = host.run("sh", "-c", "mkdir -p a/b; rm -r a; echo made")
    host.result(job)
    assert host.log(job) == b"made\n"
    until(lambda: job not in host.exec("ls", "/var/lib/joblet/jobs").stdout)

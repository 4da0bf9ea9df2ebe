"""What is uploaded and how, and what is refused before anything is sent."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rnx import uploads
from rnx.uploads import INLINE_LIMIT

from .conftest import Rnx, unprivileged
from .fakes import FakeJobs, Server

REGULAR, DIRECTORY, SYMLINK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK


def write(path: Path, data: bytes = b"", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.fixture(params=["stream", "one message"])
def sent(
    request: pytest.FixtureRequest, server: Server, jobs: FakeJobs, run_rnx: Rnx
) -> Callable[..., list[tuple[str, int, bytes]]]:
    """Runs a job with the given options and returns what was uploaded: path, mode and content."""

    jobs.streams = request.param == "stream"

    def run(*options: str) -> list[tuple[str, int, bytes]]:
        result = run_rnx("job", "run", *options, "prog")
        assert (result.code, result.err) == (0, "")
        uploads = jobs.requests[-1].uploads
        assert all(upload.is_directory == stat.S_ISDIR(upload.mode) for upload in uploads)
        return [(upload.path, upload.mode, upload.content) for upload in uploads]

    return run


Sent = Callable[..., list[tuple[str, int, bytes]]]


def test_files(sent: Sent, tmp_path: Path) -> None:
    write(tmp_path / "data.csv", b"a,b\n\x00\xff")
    write(tmp_path / "deep/down/run.sh", b"#!/bin/sh\n", 0o4755)
    write(tmp_path / "empty", b"", 0o600)
    os.symlink("data.csv", tmp_path / "link.csv")
    assert sent("--upload=data.csv", "--upload", "deep/down/run.sh", "--upload=empty", "--upload=./link.csv") == [
        ("data.csv", REGULAR | 0o644, b"a,b\n\x00\xff"),
        ("run.sh", REGULAR | 0o755, b"#!/bin/sh\n"),
        ("empty", REGULAR | 0o600, b""),
        ("link.csv", REGULAR | 0o644, b"a,b\n\x00\xff"),
    ]


def test_a_directory(sent: Sent, tmp_path: Path) -> None:
    top = tmp_path / "project"
    write(top / "src/main.py", b"main")
    write(top / "b", b"b", 0o700)
    write(top / ".hidden", b"h")
    write(top / "Ünï", b"u")
    (top / "empty").mkdir(mode=0o750)
    os.symlink("../b", top / "src/link")
    os.symlink("not/there", top / "dangling")
    os.symlink("src", top / "to-directory")
    os.symlink(".", top / "to-top")
    expected = [
        (".hidden", REGULAR | 0o644, b"h"),
        ("b", REGULAR | 0o700, b"b"),
        ("dangling", SYMLINK | 0o777, b"not/there"),
        ("empty", DIRECTORY | 0o750, b""),
        ("src", DIRECTORY | 0o755, b""),
        ("src/link", SYMLINK | 0o777, b"../b"),
        ("src/main.py", REGULAR | 0o644, b"main"),
        ("to-directory", SYMLINK | 0o777, b"src"),
        ("to-top", SYMLINK | 0o777, b"."),
        ("Ünï", REGULAR | 0o644, b"u"),
        ("project", SYMLINK | 0o777, b"."),
    ]
    assert sent("--upload-dir=project") == expected
    assert sent("--upload-dir", str(top) + "/") == expected


def test_a_directory_with_an_entry_of_its_own_name(sent: Sent, tmp_path: Path) -> None:
    write(tmp_path / "app/app/x", b"x")
    assert sent("--upload-dir=app") == [("app", DIRECTORY | 0o755, b""), ("app/x", REGULAR | 0o644, b"x")]


def test_the_current_directory(sent: Sent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "here/f")
    monkeypatch.chdir(tmp_path / "here")
    assert [path for path, _, _ in sent("--upload-dir=.")] == ["f", "here"]


def test_directories_are_merged(sent: Sent, tmp_path: Path) -> None:
    write(tmp_path / "one/lib/a")
    write(tmp_path / "two/lib/b")
    paths = [path for path, _, _ in sent("--upload-dir=one", "--upload-dir=two")]
    assert paths == ["lib", "lib/a", "one", "lib/b", "two"]


def test_many_files(sent: Sent, tmp_path: Path) -> None:
    for number in range(700):
        write(tmp_path / f"many/{number % 7}/{number:05}", b"%d" % number)
    uploads = sent("--upload-dir=many")
    assert len(uploads) == 700 + 7 + 1
    assert all(int(path.split("/")[1]) == int(content) for path, mode, content in uploads if stat.S_ISREG(mode))


def test_many_directories_inside_of_each_other(sent: Sent, tmp_path: Path) -> None:
    os.makedirs("/".join(["d"] * 250))
    for _ in range(4):  # the paths of 1000 names at once are too long for some calls
        below = Path("d").rename("x")
        os.makedirs("/".join(["d"] * 250))
        below.rename("/".join(["d"] * 251))
    try:
        paths = [path for path, _, _ in sent("--upload-dir=d")]
    finally:
        subprocess.run(["rm", "-r", "d"], check=True)  # deeper than Python's own way goes
    assert paths == ["/".join(["d"] * depth) for depth in range(1, 1250)]


class TestRefused:
    @pytest.fixture
    def refused(self, server: Server, jobs: FakeJobs, run_rnx: Rnx) -> Callable[..., str]:
        """Runs a job with options that must be refused, and returns the message."""

        def run(*options: str) -> str:
            result = run_rnx("job", "run", *options, "prog")
            assert (result.code, jobs.requests, result.out) == (2, [], b"")
            assert result.err.count("\n") == 1
            return result.err

        return run

    @pytest.mark.parametrize(
        ("link", "target"),
        [
            ("out", "../secret"),
            ("out", "/etc/passwd"),
            ("sub/out", "../../secret"),
            ("out", "sub/../../d-sibling/x"),
            ("out", ".."),
            ("sub/out", "up/../../secret"),
        ],
    )
    def test_symlinks_out(self, link: str, target: str, tmp_path: Path, refused: Callable[..., str]) -> None:
        (tmp_path / "d/sub").mkdir(parents=True)
        (tmp_path / "d/sub/up").symlink_to("..")
        (tmp_path / "d" / link).symlink_to(target)
        message = refused("--upload-dir=d")
        assert f"d/{link} is a symlink to {target}, which lies outside of the uploaded directory." in message

    def test_an_absolute_symlink_would_not_be_right_in_the_job(
        self, tmp_path: Path, refused: Callable[..., str]
    ) -> None:
        write(tmp_path / "d/f")
        (tmp_path / "d/link").symlink_to(tmp_path / "d/f")
        assert "d/link is a symlink to" in refused("--upload-dir=d")

    def test_what_is_no_file(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        (tmp_path / "d").mkdir()
        os.mkfifo(tmp_path / "d/pipe")
        assert "d/pipe is a FIFO" in refused("--upload-dir=d")
        assert "d/pipe is a FIFO" in refused("--upload=d/pipe")
        assert "/dev/null is a character device" in refused("--upload=/dev/null")
        (tmp_path / "d/pipe").unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("d/socket")
            assert "d/socket is a socket" in refused("--upload-dir=d")

    def test_what_is_not_there(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        write(tmp_path / "f")
        assert "cannot read nothing: No such file or directory" in refused("--upload=nothing")
        assert "cannot read nothing: No such file or directory" in refused("--upload-dir=nothing")
        assert "f is not a directory; --upload uploads a file" in refused("--upload-dir=f")
        (tmp_path / "d").mkdir()
        assert "d is a directory; --upload-dir uploads one" in refused("--upload=d")

    def test_the_same_path_twice(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        write(tmp_path / "a/f")
        write(tmp_path / "b/f")
        write(tmp_path / "c/b/x")
        assert "a/f and b/f would both be uploaded to /work/f." in refused("--upload=a/f", "--upload=b/f")
        assert "a/f and b/f would both be uploaded to /work/f." in refused("--upload-dir=a", "--upload-dir=b")
        assert "c/b and b would both be uploaded to /work/b." in refused("--upload-dir=c", "--upload-dir=b")

    def test_names_that_are_no_text(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        write(tmp_path / "d/bad\udcff")
        assert "its name is not UTF-8" in refused("--upload-dir=d")

    def test_more_than_an_older_node_takes(self, tmp_path: Path, refused: Callable[..., str], jobs: FakeJobs) -> None:
        jobs.streams = False
        (tmp_path / "d").mkdir()
        for name, size in (("big", INLINE_LIMIT - 100), ("small", 90)):
            with open(tmp_path / "d" / name, "wb") as file:
                file.truncate(size)
        message = refused("--upload-dir=d")
        assert "more than the 120.0 MB that one job takes on this node" in message
        assert "the largest file is d/big" in message

    def test_unreadable(self, tmp_path: Path, refused: Callable[..., str]) -> None:
        write(tmp_path / "d/f", mode=0)
        (tmp_path / "e").mkdir(mode=0)
        with unprivileged():
            assert "cannot read d/f: Permission denied" in refused("--upload-dir=d")
            assert "cannot read d/f: Permission denied" in refused("--upload=d/f")
            assert "cannot read e: Permission denied" in refused("--upload-dir=e")

    @pytest.mark.parametrize(
        ("now", "message"), [(b"123", "f is growing while it is uploaded"), (b"1", "f became shorter while it was")]
    )
    def test_a_file_that_changes(
        self, now: bytes, message: str, tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "f", b"12")
        collect = uploads.collect

        def collect_and_change(files: list[str], directories: list[str]) -> list[uploads.Entry]:
            entries = collect(files, directories)
            write(tmp_path / "f", now)
            return entries

        monkeypatch.setattr(uploads, "collect", collect_and_change)
        assert message in refused("--upload=f")

    def test_by_the_node_in_the_middle(self, tmp_path: Path, refused: Callable[..., str], jobs: FakeJobs) -> None:
        jobs.refuse_file = "b"
        for name in "abc":
            write(tmp_path / "d" / name, b"x" * (1 << 20))
        assert refused("--upload-dir=d") == "rnx: uploads: 'b' is not accepted.\n"


def test_large_files_travel_in_pieces(server: Server, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    data = os.urandom(5 << 20)
    write(tmp_path / "big", data)
    result = run_rnx("job", "run", "--upload=big", "prog")
    assert (result.code, result.err) == (0, "")
    assert "Uploads: 1 file, 5.0 MB" in result.text
    assert jobs.requests[-1].uploads[0].content == data
    assert jobs.largest_message < 512 << 10

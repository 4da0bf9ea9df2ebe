"""``job download`` and ``job run --output``: what the node sends lands where it should, and nowhere else."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from joblet_wire.joblet_pb2 import (
    DownloadFilesRequest,
    DownloadFilesResponse,
    DownloadTotal,
    FileUpload,
    GetJobStatusResponse,
)
from rnx import progress

from .conftest import Rnx
from .fakes import JOB_ID, FakeJobs, Server

FILE, DIRECTORY, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


def entry(path: str, mode: int, content: bytes = b"") -> DownloadFilesResponse:
    return DownloadFilesResponse(entry=FileUpload(path=path, mode=mode, content=content))


def data(content: bytes) -> DownloadFilesResponse:
    return DownloadFilesResponse(data=content)


def notice(text: str) -> DownloadFilesResponse:
    return DownloadFilesResponse(notice=text)


def total(files: int = 1, size: int = 1) -> DownloadFilesResponse:
    return DownloadFilesResponse(total=DownloadTotal(files=files, bytes=size))


TOP = entry("", DIRECTORY)
ONE = [total(), entry("", FILE), data(b"one\0"), data(b"\xff")]
TREE = [
    *(total(7, 5), TOP, entry("sub", stat.S_IFDIR | 0o555), entry("sub/run", stat.S_IFREG | 0o4755), data(b"x")),
    *(entry("sub/run2", FILE), entry("link", LINK, b"sub/run"), entry("sub/up", LINK, b"../link")),
    *(entry("deep/er/f", FILE), data(b"1234"), notice("'pipe' is left out: it is a FIFO.")),
]


@pytest.fixture(autouse=True)
def _node(server: Server, jobs: FakeJobs) -> None:
    """Every test talks to the node."""
    jobs.answers = {JOB_ID: [GetJobStatusResponse(uuid=JOB_ID, name="report", status="COMPLETED")]}


def test_a_file(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    jobs.files = ONE
    result = run_rnx("job", "download", JOB_ID[:8], "/work/out/one")
    assert (result.code, result.text, result.err) == (0, "one: 1 file, 5 bytes\n", "")
    assert (tmp_path / "one").read_bytes() == b"one\0\xff"
    assert jobs.seen(DownloadFilesRequest) == [DownloadFilesRequest(uuid=JOB_ID, path="/work/out/one")]
    (tmp_path / "d").mkdir()
    for local, there in (("d", "d/one"), ("d/", "d/one"), ("other", "other"), ("d/other", "d/other")):
        assert run_rnx("job", "download", "--force", JOB_ID, "one", local).code == 0
        assert (tmp_path / there).read_bytes() == b"one\0\xff"


def test_a_file_to_stdout(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    jobs.files = ONE
    result = run_rnx("job", "download", JOB_ID, "one", "-")
    assert (result.code, result.out, result.err) == (0, b"one\0\xff", "")
    assert run_rnx("job", "download", JOB_ID, "one", "-", "--json").code == 2
    jobs.files = TREE
    result = run_rnx("job", "download", JOB_ID, "d", "-")
    assert (result.code, result.out) == (1, b"")
    assert "this is a directory" in result.err


def test_a_tree(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    jobs.files = TREE
    old = os.umask(0o027)
    try:
        result = run_rnx("--json", "job", "download", "report", "d")
    finally:
        os.umask(old)
    assert result.code == 0
    assert json.loads(result.text) == {
        "job_uuid": JOB_ID,
        "path": "d",
        "local": "d",
        "files": 7,
        "bytes": 5,
        "skipped": ["'pipe' is left out: it is a FIFO."],
    }
    assert result.err == "note: 'pipe' is left out: it is a FIFO.\n"
    top = tmp_path / "d"
    assert {str(path.relative_to(top)) for path in top.rglob("*")} == {
        *("sub", "sub/run", "sub/run2", "sub/up", "link", "deep", "deep/er", "deep/er/f"),
    }
    assert (top / "sub/up").read_bytes() == b"x"
    assert stat.S_IMODE((top / "sub/run").stat().st_mode) == 0o750
    assert stat.S_IMODE((top / "sub").stat().st_mode) == 0o750
    assert (top / "deep/er/f").read_bytes() == b"1234"


def test_all_of_work(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    jobs.files = [total(), TOP, entry("f", FILE)]
    assert run_rnx("job", "download", JOB_ID, "/work").code == 0
    assert (tmp_path / "work/f").exists()
    assert run_rnx("job", "download", JOB_ID, ".", "a/b/c").code == 0
    assert (tmp_path / "a/b/c/f").exists()


def test_existing_files(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    jobs.files = [total(), TOP, entry("f", FILE), data(b"new"), entry("l", LINK, b"f")]
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("mine")
    (tmp_path / "d/other").write_text("stays")
    result = run_rnx("job", "download", JOB_ID, "d")
    assert (result.code, result.err) == (1, "rnx: d/f exists already; --force replaces files that do.\n")
    assert (tmp_path / "d/f").read_text() == "mine"
    assert run_rnx("job", "download", "--force", JOB_ID, "d").code == 0
    assert run_rnx("job", "download", "--force", JOB_ID, "d").code == 0
    assert (tmp_path / "d/l").read_text() == "new"
    assert (tmp_path / "d/other").read_text() == "stays"
    jobs.files = [total(), TOP, entry("l", LINK, b"f")]
    assert run_rnx("job", "download", JOB_ID, "d").code == 1


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a//x", ".", "a/.", "a\0b", "x" * 256, ""])
def test_names_that_lead_out(path: str, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    for mode in (FILE, DIRECTORY, LINK):
        jobs.files = [total(), TOP, entry(path, mode, b"y" if mode == LINK else b""), data(b"evil")]
        result = run_rnx("job", "download", JOB_ID, "d", "in/here")
        assert result.code == 1
        assert "is not accepted" in result.err
        assert list((tmp_path / "in").rglob("*")) == [tmp_path / "in/here"]


@pytest.mark.parametrize("target", [b"/etc/passwd", b"..", b"../x", b"a/../../x", b"a/..", b"", b"a\0b"])
def test_links_that_lead_out(target: bytes, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    jobs.files = [total(), TOP, entry("l", LINK, target), entry("f", FILE)]
    result = run_rnx("job", "download", JOB_ID, "d")
    assert result.code == 0
    assert "note: 'l' is left out: it is a symlink to" in result.err
    assert os.listdir(tmp_path / "d") == ["f"]


def test_nothing_is_written_through_a_link(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    """Neither one that comes first, nor one that was here before."""
    (tmp_path / "outside").mkdir()
    jobs.files = [total(), TOP, entry("l", LINK, b"d"), entry("l/f", FILE), data(b"evil"), entry("d", DIRECTORY)]
    result = run_rnx("job", "download", "--force", JOB_ID, "a")
    assert "l" in result.err
    assert not (tmp_path / "a/d/f").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/l").symlink_to(tmp_path / "outside")
    for force in ([], ["--force"]):
        result = run_rnx("job", "download", *force, JOB_ID, "b")
        assert result.code == 1
        assert "b/l is needed as a directory" in result.err
    (tmp_path / "b/l").unlink()
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "b/f").symlink_to(tmp_path / "secret")
    jobs.files = [total(), TOP, entry("f", FILE), data(b"new")]
    assert run_rnx("job", "download", JOB_ID, "b").code == 1
    assert run_rnx("job", "download", "--force", JOB_ID, "b").code == 0
    assert (tmp_path / "b/f").read_text() == "new"
    assert (tmp_path / "secret").read_text() == "mine"
    assert os.listdir(tmp_path / "outside") == []


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "did not say how much"),
        ([TOP], "did not say how much"),
        ([total(), data(b"x")], "data that belongs to no file"),
        ([total(), TOP, data(b"x")], "data that belongs to no file"),
        ([total(), TOP, entry("l", LINK, b"f"), data(b"x")], "data that belongs to no file"),
        ([total(), entry("x", FILE)], "before what was asked for"),
    ],
)
def test_a_node_out_of_its_mind(
    messages: list[DownloadFilesResponse], words: str, jobs: FakeJobs, run_rnx: Rnx
) -> None:
    jobs.files = messages
    result = run_rnx("job", "download", JOB_ID, "d")
    assert result.code == 1
    assert words in result.err


def test_a_download_that_fails_leaves_no_half_file(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    jobs.files = [total(), TOP, entry("whole", FILE), data(b"x"), entry("half", FILE), data(b"x"), entry("../x", FILE)]
    result = run_rnx("job", "download", JOB_ID, "d")
    assert result.code == 1
    assert "'../x', which is not accepted; the download ends here." in result.err
    assert sorted(os.listdir(tmp_path / "d")) == ["half", "whole"]  # both have come to their end
    jobs.files = [total(), TOP, entry("half", FILE), data(b"x"), total(), TOP]
    assert run_rnx("job", "download", JOB_ID, "e").code == 1
    assert os.listdir(tmp_path / "e") == ["half"]


@pytest.mark.parametrize("directory", [False, True])
def test_a_full_disk_is_told_with_the_file(
    directory: bool, jobs: FakeJobs, run_rnx: Rnx, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("rnx.receive.os.write", full)
    jobs.files = [total(2, 1), TOP, entry("file", FILE), data(b"x")] if directory else ONE
    result = run_rnx("job", "download", JOB_ID, "out")
    assert result.code == 1
    shown, stays = ("out/file", " What came before it is in out.") if directory else ("out", "")
    assert result.err == f"rnx: cannot write {shown}: No space left on device.{stays}\n"


def test_failures(jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
    for code, exit_code in (
        (grpc.StatusCode.NOT_FOUND, 3),
        (grpc.StatusCode.PERMISSION_DENIED, 4),
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
    ):
        jobs.failure = (code, "Because.")
        result = run_rnx("job", "download", JOB_ID, "x")
        assert (result.code, result.err) == (exit_code, "rnx: Because.\n")
    jobs.failure = None
    jobs.files = ONE
    assert "no-such-dir" in run_rnx("job", "download", JOB_ID, "x", "no-such-dir/f").err
    jobs.breaks = 1
    assert run_rnx("job", "download", JOB_ID, "x").code == 0


def test_hostile_text_does_not_reach_the_terminal(jobs: FakeJobs, run_rnx: Rnx) -> None:
    jobs.files = [total(), TOP, notice("\x1b[2Jcleared"), entry("\x1b[2J", LINK, b"/\x1b")]
    result = run_rnx("job", "download", JOB_ID, "d")
    assert result.code == 0
    assert b"\x1b" not in result.out + result.err_bytes


class TestOutput:
    def ended(self, jobs: FakeJobs, exit_code: int) -> None:
        status = "FAILED" if exit_code else "COMPLETED"
        answer = GetJobStatusResponse(uuid=JOB_ID, status=status, exit_code=exit_code, reason=f"exit-code {exit_code}")
        jobs.answers[JOB_ID] = [answer]

    @pytest.mark.parametrize("exit_code", [0, 7])
    def test_comes_back(self, exit_code: int, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
        self.ended(jobs, exit_code)
        jobs.files = ONE
        result = run_rnx("job", "run", "--wait", "--output=out/one:here", "--output", "a:b", "prog")
        assert result.code == exit_code
        assert result.out == b""
        assert "note: out/one is in here: 1 file, 5 bytes\n" in result.err
        assert [request.path for request in jobs.seen(DownloadFilesRequest)] == ["out/one", "a"]
        assert (tmp_path / "here").read_bytes() == (tmp_path / "b").read_bytes() == b"one\0\xff"

    @pytest.mark.parametrize(("exit_code", "code"), [(0, 1), (7, 7)])
    def test_the_jobs_own_code_comes_first(self, exit_code: int, code: int, jobs: FakeJobs, run_rnx: Rnx) -> None:
        self.ended(jobs, exit_code)
        jobs.files = [total(), data(b"x")]
        result = run_rnx("job", "run", "--wait", "--output=a:here", "prog")
        assert result.code == code
        assert "rnx: --output a:here: the node sent data" in result.err

    def test_where_nothing_can_be_written(self, jobs: FakeJobs, run_rnx: Rnx) -> None:
        self.ended(jobs, 0)
        jobs.files = ONE
        result = run_rnx("job", "run", "--wait", "--output=a:nowhere/b", "prog")
        assert result.code == 1
        assert "rnx: --output a:nowhere/b: No such file or directory: nowhere\n" in result.err

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--output=a:b"], "--output needs --wait"),
            (["--wait", "--output=a"], "expected PATH:LOCAL"),
            (["--wait", "--output=:b"], "expected PATH:LOCAL"),
            (["--wait", "--output=a:-"], "expected PATH:LOCAL"),
            (["--wait", "--output=a:there"], "there exists already"),
        ],
    )
    def test_refused(self, options: list[str], words: str, jobs: FakeJobs, run_rnx: Rnx, tmp_path: Path) -> None:
        (tmp_path / "there").touch()
        result = run_rnx("job", "run", *options, "prog")
        assert (result.code, jobs.requests) == (2, [])
        assert words in result.err


def test_progress_is_for_terminals_and_for_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import sys, time; from rnx import progress; progress.PATIENCE = float(sys.argv[1])\n"
        "with progress.Progress('Uploading', 4) as bar:\n"
        "    for _ in range(4): time.sleep(0.02); bar.add(1)\n"
    )

    def on_a_terminal(patience: str) -> str:
        ours, theirs = pty.openpty()
        env = {**os.environ, "PYTHONPATH": str(Path(progress.__file__).parent.parent), "TERM": "xterm"}
        subprocess.run([sys.executable, "-c", script, patience], stderr=theirs, env=env, check=True)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: there was no more
            while piece := os.read(ours, 4096):
                shown += piece
        os.close(ours)
        return shown.decode()

    assert on_a_terminal("60") == ""
    assert "Uploading" in on_a_terminal("0.01")
    assert "100%" in on_a_terminal("0.01")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with progress.Progress("Uploading", 4) as bar:
        bar.add(4)
    assert capsys.readouterr().err == ""

"""Uploads are checked as a whole before anything is written, and land exactly as sent."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblet_systemd.errors import InvalidValue
from joblet_systemd.files import uploads, work
from joblet_systemd.files.uploads import Kind, Upload, parse

LINK = stat.S_IFLNK | 0o777
GO_DIR, GO_SYMLINK, GO_DEVICE = 1 << 31, 1 << 27, 1 << 26


@pytest.mark.parametrize(
    ("path", "mode", "is_directory"),
    [
        ("../x", 0o644, False),
        ("/etc/passwd", 0o644, False),
        ("a/../../x", 0o644, False),
        ("a/./b", 0o644, False),
        ("a//b", 0o644, False),
        ("", 0o644, False),
        (".", 0o755, True),
        ("..", 0o755, True),
        ("a\0b", 0o644, False),
        ("x" * 256, 0o644, False),
        ("x/" * 2048 + "x", 0o644, False),
        ("dev", stat.S_IFBLK | 0o600, False),
        ("dev", stat.S_IFCHR | 0o600, False),
        ("pipe", stat.S_IFIFO | 0o600, False),
        ("sock", stat.S_IFSOCK | 0o600, False),
        ("dev", GO_DEVICE | 0o600, False),
        ("both", LINK, True),
    ],
)
def test_refused(path: str, mode: int, is_directory: bool) -> None:
    with pytest.raises(InvalidValue, match="uploads"):
        parse(path, b"", mode, is_directory)


@pytest.mark.parametrize(
    ("path", "target", "fits"),
    [
        ("l", b"file", True),
        ("l", b".", True),
        ("a/l", b"../file", True),
        ("a/b/l", b"../../x/y", True),
        ("l", b"..", False),
        ("l", b"/etc/passwd", False),
        ("a/l", b"../../x", False),
        ("l", b"a/../../x", False),
        ("l", b"a/..", False),
        ("l", b"", False),
        ("l", b"a\0b", False),
        ("l", b"x" * 5000, False),
    ],
)
def test_links_stay_inside(path: str, target: bytes, fits: bool) -> None:
    if fits:
        assert parse(path, target, LINK, False).kind is Kind.SYMLINK
    else:
        with pytest.raises(InvalidValue, match="link"):
            parse(path, target, LINK, False)


@given(st.integers(0, 2**32 - 1))
def test_no_mode_gives_more_than_permission_bits(mode: int) -> None:
    try:
        upload = parse("x", b"y", mode, False)
    except InvalidValue:
        return
    assert 0 < upload.permissions <= 0o777


@given(st.text(max_size=60), st.binary(max_size=40))
def test_whatever_is_accepted_stays_inside(path: str, target: bytes) -> None:
    root = "/work"
    try:
        upload = parse(path, target, LINK, False)
    except InvalidValue:
        return
    where = os.path.normpath(os.path.join(root, upload.path))
    assert where.startswith(root + "/")
    led = os.path.normpath(os.path.join(os.path.dirname(os.fsencode(where)), target))
    assert led == root.encode() or led.startswith(root.encode() + b"/")


def test_modes_of_older_clients() -> None:
    assert parse("d", b"", GO_DIR | 0o755, True).kind is Kind.DIRECTORY
    # They follow links themselves, and send what is there under the mode of the link.
    assert parse("l", b"/etc/passwd", GO_SYMLINK | 0o777, False).kind is Kind.FILE
    assert parse("f", b"", 0, False).permissions == 0o644
    assert parse("d/", b"", 0, True) == Upload("d", b"", 0o755, Kind.DIRECTORY)


def test_uploads_must_fit_together() -> None:
    file = parse("a", b"", 0o644, False)
    with pytest.raises(InvalidValue, match="each path once"):
        uploads.check([file, file])
    for mode in (0o644, LINK):
        with pytest.raises(InvalidValue, match="parent 'a'"):
            uploads.check([parse("a", b"x", mode, False), parse("a/b", b"", 0o644, False)])


def test_names_are_the_first_components() -> None:
    assert uploads.names([parse(path, b"", 0o644, False) for path in ("d/x", "d/y", "f")]) == ("d", "f")


@pytest.fixture
def dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> work.WorkDirs:
    here = type("Entry", (), {"pw_uid": os.getuid(), "pw_gid": os.getgid()})()
    monkeypatch.setattr(work, "lookup", lambda account: here)
    made = work.WorkDirs(tmp_path / "jobs")
    made.prepare()
    return made


def test_files_land_as_sent(dirs: work.WorkDirs) -> None:
    files = [
        parse("run.sh", b"#!/bin/sh\n", stat.S_IFREG | 0o750, False),
        parse("deep/er/data", b"\0\xff", 0o600, False),
        parse("closed", b"", stat.S_IFDIR | 0o555, True),
        parse("closed/inside", b"in", 0o444, False),
        parse("empty", b"", 0o700, True),
        parse("link", b"deep/er", LINK, False),
    ]
    dirs.create("j", "joblet-x", files)
    root = dirs.path("j")
    assert (root / "run.sh").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o750
    assert (root / "link" / "data").read_bytes() == b"\0\xff"
    assert stat.S_IMODE((root / "closed").stat().st_mode) == 0o555
    assert (root / "closed" / "inside").read_bytes() == b"in"
    assert list((root / "empty").iterdir()) == []
    assert stat.S_IMODE(root.parent.stat().st_mode) == stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_failure_leaves_nothing(dirs: work.WorkDirs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(work.Exhausted, match="No space left"):
        dirs.create("j", "joblet-x", [parse("f", b"x", 0o644, False)])
    assert dirs.ids() == []


def test_removal_of_what_a_hostile_job_left(dirs: work.WorkDirs, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "kept").touch()
    dirs.create("j", "joblet-x", [])
    root = dirs.path("j")
    (root / "out").symlink_to(treasure)
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):  # deeper than Python recurses and than PATH_MAX reaches
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    dirs.remove("j")
    assert dirs.ids() == []
    assert (treasure / "kept").exists()
    dirs.remove("j")  # again: nothing there, no error

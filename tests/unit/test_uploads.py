"""Uploads are checked one by one and against what is there, and land exactly as sent."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblet_systemd.errors import InvalidValue
from joblet_systemd.files.uploads import Kind, Upload, parse
from joblet_systemd.files.writer import Writer

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
        ("x/" * 256 + "x", 0o644, False),
        ("dev", stat.S_IFBLK | 0o600, False),
        ("dev", stat.S_IFCHR | 0o600, False),
        ("pipe", stat.S_IFIFO | 0o600, False),
        ("sock", stat.S_IFSOCK | 0o600, False),
        ("dev", GO_DEVICE | 0o600, False),
        ("link", GO_SYMLINK | 0o777, False),
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
    assert parse("f", b"", 0, False).permissions == 0o644
    assert parse("d/", b"", 0, True) == Upload("d", b"", 0o755, Kind.DIRECTORY)


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top").mkdir()
    return tmp_path / "top"


@pytest.fixture
def writer(top: Path) -> Iterator[Writer]:
    fd = os.open(top, os.O_RDONLY)
    made = Writer(fd, os.getuid(), os.getgid())
    yield made
    made.close()
    os.close(fd)


def test_uploads_must_fit_together(writer: Writer, top: Path) -> None:
    writer.add(parse("a", b"first", 0o644, False))
    for mode in (0o644, LINK):
        with pytest.raises(InvalidValue, match="each path once"):
            writer.add(parse("a", b"x", mode, False))
    with pytest.raises(InvalidValue, match=r"'a/b'.*parents are directories"):
        writer.add(parse("a/b", b"", 0o644, False))
    with pytest.raises(InvalidValue, match="parents are directories"):
        writer.add(parse("a", b"", 0o755, True))
    assert (top / "a").read_bytes() == b"first"


def test_nothing_is_written_through_a_link(writer: Writer, top: Path) -> None:
    (top / "real").mkdir()
    writer.add(parse("link", b"real", LINK, False))
    for mode, is_directory in ((0o644, False), (LINK, False), (0o755, True)):
        with pytest.raises(InvalidValue, match="parents are directories"):
            writer.add(parse("link/x", b"real", mode, is_directory))
    with pytest.raises(InvalidValue, match="each path once"):
        writer.add(parse("link", b"x", 0o644, False))
    assert list((top / "real").iterdir()) == []


def test_data_belongs_to_the_file_before_it(writer: Writer, top: Path) -> None:
    with pytest.raises(InvalidValue, match="behind a file only"):
        writer.append(b"x")
    writer.add(parse("f", b"1", 0o600, False))
    writer.append(b"2")
    writer.append(b"3")
    writer.add(parse("d", b"", 0o755, True))
    with pytest.raises(InvalidValue, match="behind a file only"):
        writer.append(b"x")
    assert (top / "f").read_bytes() == b"123"


def test_too_many(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblet_systemd.files.writer.MAX_UPLOADS", 2)
    writer.add(parse("a", b"", 0o644, False))
    writer.add(parse("b", b"", 0o644, False))
    with pytest.raises(InvalidValue, match="at most 2 files"):
        writer.add(parse("c", b"", 0o644, False))


def test_names_are_the_first_components(writer: Writer) -> None:
    for path in ("d/x", "d/y", "f"):
        writer.add(parse(path, b"", 0o644, False))
    assert list(writer.names) == ["d", "f"]


def test_files_land_as_sent(writer: Writer, top: Path) -> None:
    for upload in (
        parse("run.sh", b"#!/bin/sh\n", stat.S_IFREG | 0o750, False),
        parse("deep/er/data", b"\0\xff", 0o600, False),
        parse("closed/inside", b"in", 0o444, False),
        parse("closed", b"", stat.S_IFDIR | 0o555, True),
        parse("empty", b"", 0o700, True),
        parse("link", b"deep/er", LINK, False),
    ):
        writer.add(upload)
    assert (top / "run.sh").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((top / "run.sh").stat().st_mode) == 0o750
    assert (top / "link" / "data").read_bytes() == b"\0\xff"
    assert stat.S_IMODE((top / "deep").stat().st_mode) == 0o755
    assert stat.S_IMODE((top / "closed").stat().st_mode) == 0o555
    assert (top / "closed" / "inside").read_bytes() == b"in"
    assert list((top / "empty").iterdir()) == []

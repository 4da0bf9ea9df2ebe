"""Reading a /work that a hostile job has made, and goes on changing."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from joblet_systemd.errors import InvalidValue, JobletError, NotFound
from joblet_systemd.files import reader
from joblet_systemd.files.reader import Entry, Notice, Part, Reader, clean

from .descriptors import assert_none_new, descriptors


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def read(work: Path, path: str = ".") -> list[Part]:
    fd = os.open(work, os.O_RDONLY)
    before = descriptors()
    opened = Reader(fd, clean(path))
    try:
        return list(opened.parts())
    finally:
        opened.close()
        assert_none_new(before)
        os.close(fd)


def files(parts: list[Part]) -> dict[str, bytes | None]:
    """What was read by path; None for a directory."""
    found: dict[str, bytes | None] = {}
    path = ""
    for part in parts:
        if isinstance(part, Entry):
            path = part.path
            found[path] = b"" if stat.S_ISREG(part.mode) else None
            if stat.S_ISLNK(part.mode):
                found[path] = b"-> " + part.target
        elif isinstance(part, bytes):
            found[path] = (found[path] or b"") + part
    return found


def notices(parts: list[Part]) -> list[str]:
    return sorted(part.text for part in parts if isinstance(part, Notice))


def test_a_file_and_a_tree(work: Path) -> None:
    (work / "d/empty").mkdir(parents=True)
    (work / "d/big").write_bytes(b"x" * (reader.CHUNK_BYTES * 2 + 1))
    (work / "d/big").chmod(0o640)
    (work / "d/none").touch()
    (work / "d/link").symlink_to("/etc/passwd")
    parts = read(work, "/work/d/big")
    assert parts[0] == Entry("", stat.S_IFREG | 0o640)
    assert files(parts) == {"": b"x" * (reader.CHUNK_BYTES * 2 + 1)}
    tree: dict[str, bytes | None] = {"d": None, "d/empty": None, "d/none": b"", "d/link": b"-> /etc/passwd"}
    assert files(read(work)) == {"": None, "d/big": files(parts)[""], **tree}
    assert set(files(read(work, "d"))) == {"", "big", "empty", "none", "link"}


def test_the_total(work: Path) -> None:
    (work / "d").mkdir()
    (work / "d/f").write_bytes(b"12345")
    os.mkfifo(work / "d/p")
    fd = os.open(work, os.O_RDONLY)
    for path, total in ((".", (3, 5)), ("d", (2, 5)), ("d/f", (1, 5))):
        opened = Reader(fd, path)
        assert opened.measure() == total
        opened.close()
    os.close(fd)


@pytest.mark.parametrize("path", ["..", "../secret", "d/../../secret", "/etc/passwd", "/", "/workx", "a\0b"])
def test_paths_outside(path: str) -> None:
    with pytest.raises(InvalidValue, match="path below /work"):
        clean(path)


def test_paths() -> None:
    assert [clean(path) for path in ("", ".", "/work", "/work/", "a//b/", "./a", "/work/./a")] == [
        *(".", ".", ".", "."),
        *("a/b", "a", "a"),
    ]


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../secret", "d/../../secret", "/", "/work/../secret", "out2", "d/up/../../../secret"]
)
def test_links_that_lead_out(work: Path, target: str) -> None:
    (work / "d").mkdir()
    (work / "d/up").symlink_to("..")
    (work / "out").symlink_to(target)
    (work / "out2").symlink_to("../secret")
    with pytest.raises(InvalidValue, match="without links that lead out of /work"):
        read(work, "out")
    with pytest.raises(InvalidValue, match="without links that lead out of /work"):
        read(work, "out/secret")


def test_links_inside_are_followed_in_the_path(work: Path) -> None:
    (work / "d/e").mkdir(parents=True)
    (work / "d/f").write_text("found")
    (work / "project").symlink_to(".")
    (work / "absolute").symlink_to("/work/d")
    (work / "d/e/up").symlink_to("../../project/d/f")
    for path in ("project/d/f", "project/project/d/f", "absolute/f", "d/e/up", "absolute/e/up"):
        assert files(read(work, path)) == {"": b"found"}


def test_links_in_circles(work: Path) -> None:
    (work / "a").symlink_to("b")
    (work / "b").symlink_to("a")
    with pytest.raises(InvalidValue, match="Too many levels"):
        read(work, "a")


def test_no_more_descriptors_than_a_path_may_have_names(work: Path) -> None:
    deep = "/".join(["d"] * reader.MAX_DEPTH)
    (work / deep).mkdir(parents=True)
    assert files(read(work, deep)) == {"": None}
    with pytest.raises(InvalidValue, match="at most 256 names"):
        clean(deep + "/d")
    # A job makes links that lead from the end of one such way to the begin of the next.
    (work / deep / "on").symlink_to("/work/" + deep + "/e")
    (work / deep / "e").mkdir()
    (work / "far").symlink_to(deep)
    (work / deep / "down").symlink_to("e")
    before = descriptors()
    for path in ("far/e", "far/down", "far/on"):
        fd = os.open(work, os.O_RDONLY)
        with pytest.raises(InvalidValue, match="no more than 256 directories inside of each other"):
            Reader(fd, path)
        os.close(fd)
    assert_none_new(before)


def test_what_is_not_there(work: Path) -> None:
    (work / "f").touch()
    for path in ("nothing", "f/x", "nothing/x"):
        with pytest.raises(NotFound, match=f"no '{path}' in /work"):
            read(work, path)


def test_what_is_no_file(work: Path) -> None:
    os.mkfifo(work / "pipe")
    with pytest.raises(InvalidValue, match="not a FIFO"):
        read(work, "pipe")
    parts = read(work)
    assert files(parts) == {"": None}
    assert notices(parts) == ["'pipe' is left out: it is a FIFO."]


def test_names_that_are_no_text(work: Path) -> None:
    (work / "bad\udcff").write_text("x")
    parts = read(work)
    assert files(parts) == {"": None}
    assert notices(parts) == [r"'bad\udcff' is left out: its name is not UTF-8."]


def test_a_sparse_file_larger_than_the_disk(work: Path) -> None:
    with open(work / "huge", "wb") as file:
        file.truncate(8 << 40)
    (work / "small").write_text("x")
    parts = read(work)
    assert files(parts) == {"": None, "small": b"x"}
    assert notices(parts) == [f"'huge' is left out: it claims {8 << 40} bytes, more than /work can hold."]


def test_a_tree_without_end(work: Path) -> None:
    here = os.open(work, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        parts = read(work)
    finally:
        # pytest's own way to remove old directories recurses into them.
        subprocess.run(["rm", "-rf", work / "d"], check=True)
    assert len(files(parts)) == reader.MAX_DEPTH
    assert notices(parts)[0].endswith("it is more than 256 directories deep.")


def stepwise(work: Path) -> Iterator[Part]:
    fd = os.open(work, os.O_RDONLY)
    opened = Reader(fd, ".")
    yield from opened.parts()
    opened.close()
    os.close(fd)


def test_a_file_that_grows_or_shrinks(work: Path) -> None:
    (work / "f").write_bytes(b"x" * (reader.CHUNK_BYTES + 10))
    parts = stepwise(work)
    seen = [next(parts) for _ in range(3)]
    with open(work / "f", "ab") as file:
        file.write(b"y" * (10 << 20))
    assert files(seen + list(parts)) == {"": None, "f": b"x" * (reader.CHUNK_BYTES + 10)}
    (work / "f").write_bytes(b"x" * (reader.CHUNK_BYTES * 3))
    parts = stepwise(work)
    seen = [next(parts) for _ in range(3)]
    os.truncate(work / "f", reader.CHUNK_BYTES)
    assert notices(seen + list(parts)) == ["'f' became shorter while it was read."]


def test_what_is_replaced_by_a_link_between_look_and_step(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race that matters: a file or directory becomes a link to the outside after it was looked at."""
    (work / "d").mkdir()
    (work / "d/f").write_text("harmless")
    (work / "f").write_text("harmless")
    plain_open = os.open

    def swap_first(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if dir_fd is not None and path in ("d", "f"):
            os.rename(work / path, work / f"{path}.old")
            (work / path).symlink_to("../secret" if path == "f" else "..")
        return plain_open(path, flags, mode, dir_fd=dir_fd)

    fd = os.open(work, os.O_RDONLY)
    opened = Reader(fd, ".")
    monkeypatch.setattr(reader.os, "open", swap_first)
    found = files(list(opened.parts()))
    monkeypatch.undo()
    opened.close()
    assert b"secret" not in found.values()
    assert not any("secret" in path for path in found)
    for path in ("d/f", "f"):
        (work / path.split("/")[0]).unlink()
        os.rename(work / f"{path[0]}.old", work / path[0])
        with monkeypatch.context() as patched:
            patched.setattr(reader.os, "open", swap_first)
            with pytest.raises((InvalidValue, NotFound)):
                Reader(fd, path)
    os.close(fd)


def test_a_damaged_file_system(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "d").mkdir()
    fd = os.open(work, os.O_RDONLY)
    opened = Reader(fd, ".")

    def fail(*_: object) -> object:
        raise OSError(errno.EUCLEAN, os.strerror(errno.EUCLEAN))

    monkeypatch.setattr(reader.os, "scandir", fail)
    for look in (opened.measure, lambda: list(opened.parts())):
        with pytest.raises(JobletError, match=r"^The files cannot be read: Structure needs cleaning\."):
            look()
    opened.close()
    os.close(fd)


def test_a_disk_that_fails(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "f").write_text("x")

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(reader.os, "read", fail)
    with pytest.raises(JobletError, match=r"cannot be read.*Input/output error"):
        read(work)

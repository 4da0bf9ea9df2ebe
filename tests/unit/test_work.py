"""Work directories: bounded by a file system of their own, there while they are needed, gone without a trace.

Most of it mounts images and so needs root and a loop device.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from joblet_systemd.api import download
from joblet_systemd.config import JobsConfig, Unenforced
from joblet_systemd.errors import Exhausted, InvalidValue, JobletError, NotFound, Unsupported
from joblet_systemd.files import image, loop, staging, terminals, work
from joblet_systemd.files import mounts as mounts_module
from joblet_systemd.files.staging import Staging
from joblet_systemd.files.uploads import parse
from joblet_systemd.files.work import WorkDirs
from joblet_systemd.model import Limits
from joblet_systemd.quantities import Size

MIB = 1 << 20
UID = 12345  # of the account that jobs here run under
SMALL = Limits(disk_bytes=2 * MIB)


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    here = type("Entry", (), {"pw_uid": UID, "pw_gid": UID})()
    for module in (work, staging):
        monkeypatch.setattr(module, "lookup", lambda account: here)


@pytest.fixture
def dirs(tmp_path: Path) -> Iterator[WorkDirs]:
    made = WorkDirs(tmp_path / "jobs", JobsConfig(work_size=Size(8 * MIB)))
    made.prepare()
    if os.geteuid() != 0 or made.why_unbounded:
        pytest.skip(f"images cannot be mounted here: {made.why_unbounded or 'not root'}")
    yield made
    for name in os.listdir(tmp_path / "jobs"):
        made.remove(name)
    assert mounts(tmp_path) == []
    assert loops(tmp_path) == []


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkDirs:
    """Where no image can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root: directories are given to other accounts")
    monkeypatch.setattr(loop, "CONTROL", "/dev/no-such-device")
    made = WorkDirs(tmp_path / "jobs", JobsConfig(Unenforced.WARN))
    made.prepare()
    return made


def mounts(below: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if line.split()[4].startswith(f"{below}/")]


def loops(below: Path) -> list[str]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [text for text in (file.read_text().strip() for file in files) if text.startswith(f"{below}/")]


def test_jobs_do_not_wait_for_each_other(tmp_path: Path) -> None:
    made = WorkDirs(tmp_path, JobsConfig())
    with made._lock("a"):
        for number in range(200):
            lock = made._lock(f"{number}")
            assert lock.acquire(blocking=False)
            lock.release()
        del lock
        assert not made._lock("a").acquire(blocking=False)
        assert list(made._locks) == ["a"]
    assert made._lock("a").acquire(blocking=False)


def test_a_new_one(dirs: WorkDirs) -> None:
    dirs.mount("j", "joblet-x", Limits())
    there = dirs.path("j")
    assert list(there.iterdir()) == []  # no lost+found
    status = there.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (UID, UID, 0o700)
    assert stat.S_IMODE(there.parent.stat().st_mode) == 0o700
    flags = os.statvfs(there).f_flag
    assert flags & os.ST_NOSUID
    assert flags & os.ST_NODEV
    dirs.mount("j", "joblet-x", Limits())  # again: it is there
    assert mounts(there.parent.parent) == [str(there)]


def fill(file: Path, mib: int) -> None:
    with open(file, "wb", buffering=0) as opened:
        for _ in range(16 * mib):
            opened.write(b"x" * (MIB // 16))


@pytest.mark.parametrize("size", [1, 2, 100])
def test_its_size_binds(dirs: WorkDirs, size: int) -> None:
    dirs.mount("j", "joblet-x", Limits(disk_bytes=size * MIB))
    file = dirs.path("j") / "f"
    with pytest.raises(OSError, match="No space left"):
        fill(file, size + 1)
    assert file.stat().st_size > size * MIB * 0.9


def test_files_outlive_an_unmount(dirs: WorkDirs) -> None:
    dirs.mount("j", "joblet-x", Limits())
    (dirs.path("j") / "lost+found").mkdir()
    (dirs.path("j") / "f").write_text("kept")
    dirs.unmount("j")
    assert list(dirs.path("j").iterdir()) == []
    dirs.mount("j", "joblet-x", Limits())
    assert sorted(entry.name for entry in dirs.path("j").iterdir()) == ["f", "lost+found"]


def test_the_end(dirs: WorkDirs, tmp_path: Path) -> None:
    for name in ("empty", "filled", "unwanted"):
        dirs.mount(name, "joblet-x", SMALL)
        if name != "empty":
            (dirs.path(name) / "f").write_text(name)
    assert not dirs.finish("empty", keep=True)
    assert dirs.finish("filled", keep=True)
    assert not dirs.finish("unwanted", keep=False)
    assert dirs.ids() == ["filled"]
    assert mounts(tmp_path) == []
    assert dirs.finish("filled", keep=True)  # again, unmounted: it is not taken for empty
    with dirs.opened("filled") as fd:
        assert os.listdir(fd) == ["f"]
        assert mounts(tmp_path) == []
        with pytest.raises(OSError, match="Read-only"):
            os.mkdir("d", dir_fd=fd)
        with dirs.opened("filled") as other:
            assert os.listdir(other) == ["f"]
        dirs.remove("filled")
    with pytest.raises(NotFound), dirs.opened("filled"):
        pass


def test_who_reads_what_is_removed_does_not_keep_its_room(dirs: WorkDirs) -> None:
    """A client may read as slowly as it likes; what it holds would be nobody's when the disk gets full."""
    dirs.mount("j", "joblet-x", Limits(disk_bytes=64 * MIB))
    fill(dirs.path("j") / "f", 20)
    assert dirs.finish("j", keep=True)
    there = os.open(dirs.path("j").parent / "work.img", os.O_RDONLY)
    assert os.fstat(there).st_blocks * 512 > 20 * MIB
    messages = download._messages(dirs, "j", ".")
    while not next(messages).data:
        pass
    dirs.remove("j")
    assert os.fstat(there).st_blocks == 0
    with pytest.raises(NotFound, match="removed while they were read"):
        list(messages)
    os.close(there)


def test_the_end_with_what_cannot_be_read(dirs: WorkDirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dirs.mount("j", "joblet-x", SMALL)

    def refuse(path: Path) -> Iterator[os.DirEntry[str]]:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        assert dirs.finish("j", keep=True)
    assert mounts(tmp_path) == []
    assert dirs.ids() == ["j"]


def test_the_end_while_somebody_reads(dirs: WorkDirs, tmp_path: Path) -> None:
    dirs.mount("j", "joblet-x", SMALL)
    (dirs.path("j") / "f").write_text("x" * 100_000)
    with dirs.opened("j") as fd:
        assert dirs.finish("j", keep=True)
        assert mounts(tmp_path) == []
        with dirs.opened("j") as other, open(os.open("f", os.O_RDONLY, dir_fd=other)) as file:
            assert len(file.read()) == 100_000
        assert os.listdir(fd) == ["f"]


def test_removal_does_not_depend_on_what_is_in_it(dirs: WorkDirs, tmp_path: Path) -> None:
    dirs.mount("j", "joblet-x", Limits())
    (tmp_path / "treasure").mkdir()
    (dirs.path("j") / "out").symlink_to(tmp_path / "treasure")
    for number in range(500):
        (dirs.path("j") / f"{number}").mkdir()
    dirs.remove("j")
    assert dirs.ids() == []
    assert (tmp_path / "treasure").exists()
    dirs.remove("j")  # again: nothing there, no error


def test_what_is_removed_is_not_written_out_before(dirs: WorkDirs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take its time, and room on a disk that may have none."""
    written = []
    detach = mounts_module.detach

    def look(target: Path) -> None:
        detach(target)
        written.append((target.parent / "work.img").stat().st_blocks * 512)

    dirs.mount("j", "joblet-x", Limits(disk_bytes=64 * MIB))
    fill(dirs.path("j") / "f", 20)
    monkeypatch.setattr(mounts_module, "detach", look)
    dirs.remove("j")
    assert [size > 10 * MIB for size in written] == [False]


def test_a_daemon_that_was_killed_while_it_made_one(dirs: WorkDirs, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "chown", killed)
        with pytest.raises(KeyboardInterrupt):
            dirs.mount("j", "joblet-x", SMALL)
    dirs.mount("j", "joblet-x", SMALL)
    assert dirs.path("j").stat().st_uid == UID
    assert len(mounts(dirs.path("j").parent)) == 1


def test_a_failure_leaves_nothing_mounted(dirs: WorkDirs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "chown", full)
    with pytest.raises(Exhausted, match="No space left"):
        dirs.mount("j", "joblet-x", SMALL)
    assert mounts(tmp_path) == []


def test_uploads(dirs: WorkDirs, tmp_path: Path) -> None:
    staged = Staging(dirs, "joblet-x", SMALL)
    staged.begin()
    assert dirs.ids() == []  # no job's yet
    staged.write([parse("d/f", b"one ", 0o640, False), b"two", parse("x", b"", 0o755, True)])
    staged.complete()
    assert staged.names == ("d", "x")
    assert mounts(tmp_path) == []
    staged.take_in()
    staged.discard()
    assert dirs.ids() == [staged.job_id]
    dirs.mount(staged.job_id, "joblet-x", SMALL)
    file = dirs.path(staged.job_id) / "d" / "f"
    assert file.read_bytes() == b"one two"
    assert (file.stat().st_uid, file.parent.stat().st_uid) == (UID, UID)
    assert os.statvfs(file).f_blocks * os.statvfs(file).f_frsize <= 2 * MIB


def test_uploads_end_at_the_size_of_work(dirs: WorkDirs, tmp_path: Path) -> None:
    staged = Staging(dirs, "joblet-x", SMALL)
    staged.begin()
    with pytest.raises(Exhausted, match=r"do not fit into /work, which takes 2 MB and \d+ files.*--max-disk"):
        staged.write([parse("f", b"x" * 3 * MIB, 0o644, False)])
    staged.discard()
    assert os.listdir(tmp_path / "jobs") == [f".template-{8 * MIB}"]


def test_uploads_leave_the_disk_some_room(dirs: WorkDirs, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = Staging(dirs, "joblet-x", SMALL)
    staged.begin()
    monkeypatch.setattr(dirs, "free_bytes", lambda: 100 * MIB)
    with pytest.raises(Exhausted, match="100 MB left"):
        staged.write([parse("f", b"x", 0o644, False)])
    staged.discard()
    with pytest.raises(Exhausted, match="100 MB left"):
        Staging(dirs, "joblet-x", SMALL).begin()


def test_leftovers_of_a_killed_daemon(dirs: WorkDirs, tmp_path: Path) -> None:
    staged = Staging(dirs, "joblet-x", SMALL)
    staged.begin()
    staged.write([parse("f", b"x", 0o644, False)])
    staged._close()  # as the kernel does
    dirs.mount("j", "joblet-x", SMALL)
    again = WorkDirs(tmp_path / "jobs", JobsConfig(work_size=Size(4 * MIB)))
    again.prepare()
    assert sorted(os.listdir(tmp_path / "jobs")) == [f".template-{4 * MIB}", "j"]
    assert again.mounted(["j", "k"]) == ["j"]


def test_a_copy_of_the_uploads(dirs: WorkDirs) -> None:
    staged = Staging(dirs, "joblet-x", SMALL)
    staged.begin()
    staged.write([parse("f", b"x", 0o644, False)])
    staged.complete()
    staged.take_in()
    dirs.copy(staged.job_id, "run")
    dirs.copy("without uploads", "other")
    assert sorted(dirs.ids()) == sorted([staged.job_id, "run"])
    dirs.mount("run", "joblet-x", SMALL)
    assert (dirs.path("run") / "f").read_bytes() == b"x"


def test_where_sizes_cannot_be_enforced(plain: WorkDirs, tmp_path: Path) -> None:
    assert plain.why_unbounded == (
        "no file system in a file can be mounted: /dev/no-such-device: No such file or directory"
    )
    assert plain.check(Limits()) == []
    assert plain.check(SMALL) == [f"max_disk cannot be enforced: {plain.why_unbounded}."]
    refusing = WorkDirs(tmp_path / "other", JobsConfig())
    refusing.prepare()
    with pytest.raises(Unsupported, match=r"max_disk cannot be enforced.*no-such-device.*unenforced_limits: warn"):
        refusing.check(Limits())


def test_a_plain_directory(plain: WorkDirs, tmp_path: Path) -> None:
    staged = Staging(plain, "joblet-x", Limits())
    staged.begin()
    staged.write([parse("f", b"x", 0o644, False)])
    staged.complete()
    staged.take_in()
    job = staged.job_id
    plain.copy(job, "run")
    assert (plain.path("run") / "f").stat().st_uid == UID
    plain.remove("run")
    plain.mount(job, "joblet-x", Limits())
    assert (plain.path(job) / "f").stat().st_uid == UID
    assert plain.path(job).stat().st_uid == UID
    assert plain.finish(job, keep=True)
    with plain.opened(job) as fd:
        assert os.listdir(fd) == ["f"]
    plain.mount("empty", "joblet-x", Limits())
    assert not plain.finish("empty", keep=True)
    here = os.open(plain.path(job), os.O_RDONLY)
    for _ in range(3000):  # deeper than Python recurses and than PATH_MAX reaches
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    plain.remove(job)
    assert plain.ids() == []


def test_no_mkfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "SBIN", str(tmp_path))
    assert image.why_not(tmp_path) == "There is no mkfs.ext4 on this host. Install e2fsprogs"


def test_more_than_is_allowed(tmp_path: Path) -> None:
    dirs = WorkDirs(tmp_path, JobsConfig(max_work_size=Size(2 << 30)))
    dirs.check(Limits(disk_bytes=2 << 30))
    with pytest.raises(InvalidValue, match=r"max_disk: '2049 MB'.*at most 2048 MB.*jobs.max_work_size"):
        dirs.check(Limits(disk_bytes=2049 * MIB))


def test_others_take_the_free_loop_device(dirs: WorkDirs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image.make(tmp_path / "one", MIB)
    image.make(tmp_path / "two", MIB)
    with loop.attached(tmp_path / "one") as taken:
        number = int(taken.removeprefix("/dev/loop"))
        answers = iter([number, number])
        ioctl = loop.fcntl.ioctl

        def first_the_taken_one(fd: int, request: int, *rest: bytes) -> object:
            answer = next(answers, None) if request == loop._CTL_GET_FREE else None
            return ioctl(fd, request, *rest) if answer is None else answer

        monkeypatch.setattr(loop.fcntl, "ioctl", first_the_taken_one)
        with loop.attached(tmp_path / "two") as other:
            assert other != taken
        monkeypatch.setattr(loop, "RACES_LOST", 2)
        answers = iter([number, number])
        with pytest.raises(JobletError, match="Every loop device"), loop.attached(tmp_path / "two"):
            pass


def test_a_probe_that_a_killed_daemon_left_mounted_goes(dirs: WorkDirs, tmp_path: Path) -> None:
    probe = tmp_path / "jobs" / ".probe-left"
    (probe / "work").mkdir(parents=True)
    image.make(probe / "image", MIB)
    image.mount(probe / "image", probe / "work")
    dirs.prepare()
    assert not probe.exists()
    assert dirs.why_unbounded == ""


def test_on_a_full_disk_nobody_can_tell_whether_sizes_are_enforced(dirs: WorkDirs, tmp_path: Path) -> None:
    disk = tmp_path / "jobs" / "disk"
    (disk / "work").mkdir(parents=True)
    image.make(disk / "image", 4 * MIB)
    image.mount(disk / "image", disk / "work")
    with open(disk / "work" / "ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    with pytest.raises(Exhausted, match="no space left"):
        image.why_not(disk / "work")


def test_terminals_of_a_job_are_bounded_and_gone_with_it(dirs: WorkDirs, tmp_path: Path) -> None:
    dirs.mount("job", "alice", SMALL)
    dirs.mount_terminals("job")
    dirs.mount_terminals("job")  # of an attempt before this one
    pairs = []
    with contextlib.suppress(OSError):
        while len(pairs) < 100:
            pairs.append(dirs.open_terminal("job"))
    try:
        assert len(pairs) == terminals.share(JobsConfig().max_running) <= 64
        assert sorted(os.listdir(dirs.terminals("job")))[:2] == ["0", "1"]
        assert os.fstat(pairs[0][1]).st_dev == dirs.terminals("job").stat().st_dev != Path("/dev/pts").stat().st_dev
        os.write(pairs[0][1], b"shown")
        assert os.read(pairs[0][0], 100) == b"shown"
        assert dirs.mounted(["job", "other"]) == ["job"]
        dirs.unmount("job")
        assert (mounts(tmp_path), sorted(os.listdir(tmp_path / "jobs" / "job"))) == ([], ["work", "work.img"])
    finally:
        for fd in [fd for both in pairs for fd in both]:
            os.close(fd)
    # One that was started by a version in which jobs had the host's.
    for fd in dirs.open_terminal("job"):
        assert os.fstat(fd).st_rdev != 0
        os.close(fd)
    dirs.mount_terminals("job")
    dirs.remove("job")


def test_terminals_of_a_job_with_a_plain_directory_end_with_it(plain: WorkDirs, tmp_path: Path) -> None:
    plain.mount("job", "alice", Limits())
    plain.mount_terminals("job")
    (plain.path("job") / "result").touch()
    assert plain.finish("job", keep=True)
    assert mounts(tmp_path) == []


def test_all_jobs_together_leave_the_host_its_terminals() -> None:
    most, reserve = (int(Path(f"/proc/sys/kernel/pty/{name}").read_text()) for name in ("max", "reserve"))
    assert terminals.share(256) * 256 <= most - reserve
    assert terminals.share(1) == min(64, most - reserve)
    assert terminals.share(1_000_000) == 1


def test_a_job_that_is_cut_off_takes_no_room_and_writes_nothing(dirs: WorkDirs) -> None:
    """Whatever it has in memory, mapped and open; others go on."""
    for name in ("hog", "other"):
        dirs.mount(name, "alice", Limits(disk_bytes=64 * MIB))
    open_file = os.open(dirs.path("hog") / "file", os.O_RDWR | os.O_CREAT)
    os.write(open_file, b"x" * (20 * MIB))
    os.fsync(open_file)
    os.write(open_file, b"y" * (20 * MIB))  # in memory only
    assert dirs.sizes()["hog"] > 20 * MIB
    dirs.cut_off("hog")
    assert dirs.sizes()["hog"] == 0
    with pytest.raises(OSError, match="Input/output error"):
        os.write(open_file, b"z" * MIB)
    with pytest.raises(OSError, match="Input/output error"):
        (dirs.path("hog") / "more").touch()
    os.sync()
    assert dirs.sizes()["hog"] < MIB
    assert not dirs.finish("hog", keep=False)
    os.close(open_file)
    assert [name for name in dirs.ids() if not name.startswith(".")] == ["other"]
    (dirs.path("other") / "file").write_bytes(b"x" * MIB)
    dirs.cut_off("hog")  # gone already


def test_uploads_that_are_cut_off_become_no_job(dirs: WorkDirs) -> None:
    """Whether that is while they are written, or before a job takes them in."""
    for complete in (False, True):
        staged = Staging(dirs, "joblet-x", Limits(disk_bytes=64 * MIB))
        staged.begin()
        [name] = dirs.uploads
        assert dirs.uploads[name] == "joblet-x"
        staged.write([parse("f", b"x" * (20 * MIB), 0o644, False)])
        if complete:
            staged.complete()
        else:
            mounts_module.sync(staged._root)
        assert dirs.sizes()[name] > 20 * MIB
        dirs.cut_off(name)
        assert dirs.sizes()[name] == 0
        if not complete:
            with pytest.raises(Exhausted, match="had to give up"):
                staged.write([b"y" * MIB])
            with contextlib.suppress(Exhausted):  # there is nothing to be written, some kernels say
                staged.complete()
        with pytest.raises(Exhausted, match="had to give up"):
            staged.take_in()
        staged.discard()
        assert dirs.uploads == {}
    assert dirs.ids() == []


def test_nothing_is_begun_on_a_disk_that_is_nearly_full(
    dirs: WorkDirs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of a small disk is enough, the configured number on a large one."""
    space = os.statvfs(dirs.path("x").parents[1])
    assert dirs.reserve_bytes() == min(1 << 30, space.f_blocks * space.f_frsize // 10)
    monkeypatch.setattr(dirs, "free_bytes", lambda: dirs.reserve_bytes() - 1)
    assert dirs.spare_bytes() == -1
    with pytest.raises(Exhausted, match=r"The disk of the host has \d+ MB left, and jobs leave it \d+ MB\."):
        dirs.mount("job", "alice", SMALL)
    assert dirs.ids() == []
    (tmp_path / "jobs" / "uploads").mkdir()
    with pytest.raises(Exhausted, match="jobs leave it"):
        dirs.copy("uploads", "run")


def test_a_copy_that_cannot_be_made_whole_is_none(
    tmp_path: Path, dirs: WorkDirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails is no hole up to the end."""
    staged = Staging(dirs, "joblet-x", SMALL)
    staged.begin()
    staged.write([parse("f", b"x" * MIB, 0o644, False)])
    staged.complete()
    staged.take_in()

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(image.os, "lseek", fail)
    with pytest.raises(JobletError, match="Input/output error"):
        dirs.copy(staged.job_id, "copy")
    assert dirs.ids() == [staged.job_id]

"""What is read from the files of a control group: everything there is, and nothing where there is no account."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from joblet_systemd.metrics import cgroup
from joblet_systemd.metrics.sample import as_json

from .groups import make


def test_all_that_the_kernel_counts(tmp_path: Path) -> None:
    sample = cgroup.read(make(tmp_path / "group"))
    assert sample is not None
    told = as_json(sample)
    del told["time"]
    assert told == {
        "cpuUsec": 2_500_000,
        "cpuThrottledUsec": 700_000,
        "memoryBytes": 1 << 20,
        "memoryPeakBytes": 2 << 20,
        "ioReadBytes": 5096,
        "ioWriteBytes": 8192,
        "tasks": 3,
        "tasksPeak": 9,
        "cpuPressure": 12.5,
        "memoryPressure": 0.0,
        "ioPressure": 0.25,
    }


def test_what_no_controller_counts_is_absent_and_not_zero(tmp_path: Path) -> None:
    group = make(tmp_path / "group", cpu_stat="usage_usec 17\nuser_usec 17\nsystem_usec 0\n")
    kept = ("cpu.stat", "cgroup.threads", "cpu.pressure")
    for file in group.iterdir():
        if file.name not in kept:
            file.unlink()
    sample = cgroup.read(group)
    assert sample is not None
    # The tasks are counted one by one then.
    assert set(as_json(sample)) == {"time", "cpuUsec", "tasks", "cpuPressure"}
    assert (sample.cpu_usec, sample.tasks) == (17, 2)


def test_io_of_a_job_that_has_done_none_is_zero(tmp_path: Path) -> None:
    sample = cgroup.read(make(tmp_path / "group", io_stat=""))
    assert sample is not None
    assert (sample.io_read_bytes, sample.io_write_bytes) == (0, 0)


def test_a_group_that_is_gone(tmp_path: Path) -> None:
    assert cgroup.read(tmp_path / "none") is None
    assert cgroup.read(make(tmp_path / "going", cpu_stat=None)) is None


@pytest.mark.parametrize("content", [b"", b"some\n", b"full avg10=1.00\n", b"\n\n"])
def test_pressure_that_says_nothing(content: bytes) -> None:
    assert cgroup.some_avg10(content) is None


def test_a_long_file_is_read_to_its_end(tmp_path: Path) -> None:
    devices = "".join(f"253:{number} rbytes=1 wbytes=2 rios=1 wios=1 dbytes=0 dios=0\n" for number in range(5000))
    sample = cgroup.read(make(tmp_path / "group", io_stat=devices))
    assert sample is not None
    assert (sample.io_read_bytes, sample.io_write_bytes) == (5000, 10_000)


def test_where_the_groups_of_a_slice_are() -> None:
    assert cgroup.directory("joblet-jobs.slice") == Path("/sys/fs/cgroup/joblet.slice/joblet-jobs.slice")


def test_without_a_free_descriptor_a_reading_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    group = make(tmp_path / "group")
    monkeypatch.setattr(os, "open", refuse)
    assert cgroup.read(group) is None

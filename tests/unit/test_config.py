"""The daemon's configuration file: what is accepted, what is refused and how that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from joblet_systemd.config import Config, JobsConfig, Unenforced, load
from joblet_systemd.errors import InvalidValue, JobletError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "joblet-config.yml"
    path.write_text('version: "3.0"\n')
    return path


def drop_in(file: Path, name: str, text: str) -> Path:
    made = file.with_suffix(".d") / name
    made.parent.mkdir(exist_ok=True)
    made.write_text(text)
    return made


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "version: '3.0'\n", "jobs:\n", "jobs: {}\n", "jobs:\n  stop_grace:\n"]
)
def test_defaults(file: Path, text: str) -> None:
    file.write_text(text)
    assert load(file) == Config()


def test_values(file: Path) -> None:
    file.write_text("jobs:\n  unenforced_limits: warn\n  stop_grace: 2\n  starts_in_flight: 8\n  max_pending: 5\n")
    assert load(file).jobs == JobsConfig(Unenforced.WARN, 2.0, 8, max_pending=5)
    assert isinstance(load(file).jobs.stop_grace, float)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512 << 20), ("512MB", 512 << 20), ("1.5 GiB", 3 << 29), ("2g", 2 << 30), ("'1024'", 1 << 30)],
)
def test_sizes(file: Path, text: str, size: int) -> None:
    file.write_text(f"jobs: {{work_size: {text}}}")
    assert load(file).jobs.work_size == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("1.5", 1.5), ("2h30m", 9000), ("1 day", 86400), ("2days", 172800), ("1w 1s", 604801)],
)
def test_durations(file: Path, text: str, seconds: float) -> None:
    file.write_text(f"jobs: {{keep_files: {text}}}")
    assert load(file).jobs.keep_files == seconds


def test_drop_ins_win_key_by_key_in_the_order_of_their_names(file: Path) -> None:
    file.write_text("jobs:\n  stop_grace: 1\n  max_pending: 1\n  starts_in_flight: 1\n")
    drop_in(file, "20.yml", "jobs:\n  stop_grace: 3\n")
    drop_in(file, "10.yml", "jobs:\n  stop_grace: 2\n  max_pending: 2\n")
    drop_in(file, "30.yml", "jobs:\n")
    drop_in(file, "90.conf", "not: ours\n")
    assert load(file).jobs == JobsConfig(stop_grace=3.0, max_pending=2, starts_in_flight=1)


@pytest.mark.parametrize(
    ("text", "key", "value", "accepted"),
    [
        ("version: '2.0'", "version", "'2.0'", '"3.0"'),
        ("version: 3.0", "version", "3.0", "'3.0'"),
        ("job: {}", "job", "{}", "jobs, version"),
        ("jobs: 5", "jobs", "5", "keys and values"),
        ("jobs: []", "jobs", "[]", "keys and values"),
        ("jobs: {stop_grce: 5}", "jobs.stop_grce", "5", "stop_grace"),
        ("jobs: {stop_grce: }", "jobs.stop_grce", "None", "stop_grace"),
        ("jobs: {max_log: 100KB}", "jobs.max_log", "'102400 bytes'", "1MB to 16TB"),
        ("jobs: {stop_grace: soon}", "jobs.stop_grace", "'soon'", "10.0"),
        ("jobs: {stop_grace: 0}", "jobs.stop_grace", "0.0", "0.1 to 3600"),
        ("jobs: {stop_grace: .nan}", "jobs.stop_grace", "nan", "0.1 to 3600"),
        ("jobs: {stop_grace: true}", "jobs.stop_grace", "True", "10.0"),
        ("jobs: {starts_in_flight: 65}", "jobs.starts_in_flight", "65", "1 to 64"),
        ("jobs: {starts_in_flight: 2.5}", "jobs.starts_in_flight", "2.5", "4"),
        ("jobs: {max_running: 0}", "jobs.max_running", "0", "1 to 10000"),
        ("jobs: {missed_schedules: later}", "jobs.missed_schedules", "'later'", "run or skip"),
        ("jobs: {retry_delay: 0.5}", "jobs.retry_delay", "0.5", "1 to 3600"),
        ("jobs: {keep_days: -1}", "jobs.keep_days", "-1.0", "0 to 3650"),
        ("jobs: {keep_jobs: 1.5}", "jobs.keep_jobs", "1.5", "100000"),
        ("jobs: {max_pending: -1}", "jobs.max_pending", "-1", "1 to 1000000"),
        ("jobs: {work_size: 1XB}", "jobs.work_size", "'1XB'", "512MB, 2GB"),
        ("jobs: {work_size: true}", "jobs.work_size", "True", "512MB, 2GB"),
        ("jobs: {work_size: 0.5}", "jobs.work_size", "'524288 bytes'", "1MB to jobs.max_work_size"),
        ("jobs: {work_size: 2GB, max_work_size: 1GB}", "jobs.work_size", "'2147483648 bytes'", "jobs.max_work_size"),
        ("jobs: {max_work_size: 17TB}", "jobs.max_work_size", "'18691697672192 bytes'", "16TB"),
        ("jobs: {keep_files: soon}", "jobs.keep_files", "'soon'", "2h30m"),
        ("jobs: {keep_files: -1}", "jobs.keep_files", "-1", "2h30m"),
        ("jobs: {keep_files: 1 day ago}", "jobs.keep_files", "'1 day ago'", "2h30m"),
        ("jobs: {unenforced_limits: ignore}", "jobs.unenforced_limits", "'ignore'", "refuse or warn"),
        ("jobs: {unenforced_limits: [warn]}", "jobs.unenforced_limits", "['warn']", "refuse or warn"),
    ],
)
def test_errors_name_the_key_the_value_and_what_is_accepted(
    file: Path, text: str, key: str, value: str, accepted: str
) -> None:
    file.write_text(text)
    with pytest.raises(InvalidValue) as caught:
        load(file)
    assert caught.value.field == key
    assert caught.value.message.startswith(f"{file}: {key}: {value} is not accepted")
    assert accepted in caught.value.message
    assert caught.value.exit_code == 2


def test_errors_name_the_file_that_counts(file: Path) -> None:
    file.write_text("jobs: {max_running: 1, work_size: 2GB}\n")
    drop_in(file, "10.yml", "jobs: {max_running: many}\n")
    culprit = drop_in(file, "20.yml", "jobs: {max_running: more}\n")
    drop_in(file, "30.yml", "jobs: {max_pending: 1}\n")
    with pytest.raises(InvalidValue) as caught:
        load(file)
    assert caught.value.message.startswith(f"{culprit}: jobs.max_running: 'more' is not accepted")

    # What is not in any file cannot be blamed on one.
    file.write_text("jobs: {max_work_size: 100MB}\n")
    culprit.unlink()
    drop_in(file, "10.yml", "jobs: {}\n")
    with pytest.raises(InvalidValue) as caught:
        load(file)
    assert caught.value.message.startswith("jobs.work_size: '1073741824 bytes' is not accepted")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(JobletError, match=r"no configuration file .*missing\.yml") as caught:
        load(tmp_path / "missing.yml")
    assert "jobletd setup" in caught.value.hint


@pytest.mark.parametrize("content", [b"jobs: [", b"\xff\xfe", b"- a\n- b\n", b"jobs: !!python/object:os.system {}"])
def test_errors_name_the_file(file: Path, content: bytes) -> None:
    drop_in(file, "50-mine.yml", "")
    (file.with_suffix(".d") / "50-mine.yml").write_bytes(content)
    with pytest.raises(JobletError, match=r"50-mine\.yml"):
        load(file)

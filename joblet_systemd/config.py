"""The daemon's configuration: ``joblet-config.yml`` and the drop-ins of ``joblet-config.d/*.yml``.

Later files win, key by key, in the order of their names, as with systemd's own drop-ins.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .errors import InvalidValue, JobletError
from .quantities import Duration, Size

CONFIG_FILE = Path("/etc/joblet/joblet-config.yml")
PKI_DIR = Path("/etc/joblet/pki")
STATE_DIR = Path("/var/lib/joblet")
RUNTIME_DIR = Path("/run/joblet")
WORK_SIZE = Size(1 << 30)
MAX_WORK_SIZE = Size(100 << 30)
KEEP_FILES = Duration(86_400)
KEEP_FREE = Size(1 << 30)
MAX_LOG = Size(1 << 30)


class Unenforced(enum.StrEnum):
    """What to do with a limit that this host cannot enforce."""

    REFUSE = "refuse"
    WARN = "warn"


class Missed(enum.StrEnum):
    """What to do with a job whose time went by while the daemon was not there."""

    RUN = "run"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class JobsConfig:
    """The section ``jobs``.

    ``stop_grace`` is in seconds, between SIGTERM and SIGKILL. ``starts_in_flight`` is how many jobs
    PID 1 is asked to start at once; it is single-threaded, and about four keep it busy.
    ``max_running`` bounds the jobs at work, ``max_pending`` those that wait for them. A failed job's next
    attempt comes after ``retry_delay`` seconds, each later one after twice as long. Finished jobs are
    remembered for ``keep_days`` days, and ``keep_jobs`` of them at most; their files stay for ``keep_files``.
    ``work_size`` is that of /work for jobs that ask for no other, ``max_work_size`` the most they may ask for.
    ``keep_free`` is how much of the disk all of them together leave free. ``max_log`` is how much of the journal a
    job may fill in a day.
    """

    unenforced_limits: Unenforced = Unenforced.REFUSE
    stop_grace: float = 10.0
    starts_in_flight: int = 4
    max_running: int = 256
    max_pending: int = 10_000
    missed_schedules: Missed = Missed.RUN
    retry_delay: float = 10.0
    keep_jobs: int = 100_000
    keep_days: float = 30.0
    keep_files: Duration = KEEP_FILES
    work_size: Size = WORK_SIZE
    max_work_size: Size = MAX_WORK_SIZE
    keep_free: Size = KEEP_FREE
    max_log: Size = MAX_LOG

    def __post_init__(self) -> None:
        _within("jobs.stop_grace", self.stop_grace, 0.1, 3600)
        _within("jobs.starts_in_flight", self.starts_in_flight, 1, 64)
        _within("jobs.max_running", self.max_running, 1, 10_000)
        _within("jobs.max_pending", self.max_pending, 1, 1_000_000)
        _within("jobs.retry_delay", self.retry_delay, 1, 3600)
        _within("jobs.keep_jobs", self.keep_jobs, 0, 1_000_000)
        _within("jobs.keep_days", self.keep_days, 0, 3650)
        _within("jobs.keep_files", self.keep_files, 0, 3650 * 86_400)
        if not 1 << 20 <= self.max_work_size <= 1 << 44:  # the largest file on the usual ext4
            raise InvalidValue("jobs.max_work_size", f"{self.max_work_size} bytes", "1MB to 16TB")
        if not 1 << 20 <= self.work_size <= self.max_work_size:
            raise InvalidValue("jobs.work_size", f"{self.work_size} bytes", "1MB to jobs.max_work_size")
        if not self.keep_free <= 1 << 44:
            raise InvalidValue("jobs.keep_free", f"{self.keep_free} bytes", "0 to 16TB")
        if not 1 << 20 <= self.max_log <= 1 << 44:
            raise InvalidValue("jobs.max_log", f"{self.max_log} bytes", "1MB to 16TB")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration; ``version`` is that of the file format."""

    version: str = "3.0"
    jobs: JobsConfig = field(default_factory=JobsConfig)

    def __post_init__(self) -> None:
        if self.version != "3.0":
            raise InvalidValue("version", self.version, '"3.0"')


def load(path: Path = CONFIG_FILE) -> Config:
    """Read ``path`` and its drop-ins. Raises JobletError naming file, key and value."""
    merged: dict[str, Any] = {}
    documents: list[tuple[Path, Mapping[str, Any]]] = []
    for file in [path, *sorted(path.with_suffix(".d").glob("*.yml"))]:
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise JobletError(
                f"There is no configuration file {file}.",
                hint="Run 'jobletd setup' to make one.",
            ) from None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise JobletError(f"{file} cannot be read: {error}") from error
        if document is None:
            continue
        if not isinstance(document, dict):
            raise JobletError(f"{file}: the file must hold keys and values, not {type(document).__name__}.")
        documents.append((file, document))
        _merge(merged, document)
    try:
        built: Config = _build(Config, merged, "")
    except InvalidValue as error:
        # The last file that has the key, for that one counts; none may, when another key does not go with its default.
        for file, document in reversed(documents):
            if _holds(document, error.field.split(".")):
                error.message = f"{file}: {error.message}"
                break
        raise
    return built


def _holds(document: Any, keys: list[str]) -> bool:
    if not keys:
        return True
    return isinstance(document, dict) and keys[0] in document and _holds(document[keys[0]], keys[1:])


def _merge(into: dict[str, Any], document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is not None or key not in into:
            into[key] = value


def _build(kind: type[Any], document: Mapping[str, Any], prefix: str) -> Any:
    known = {entry.name: entry for entry in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in document.items():
        where = f"{prefix}{key}"
        if key not in known:
            raise InvalidValue(where, value, f"one of the keys {', '.join(sorted(known))}")
        if value is None:  # a section with all of its keys in comments
            continue
        values[key] = _convert(known[key].default, known[key].default_factory, value, where)
    return kind(**values)


def _convert(default: Any, factory: Any, value: Any, where: str) -> Any:
    if factory is not dataclasses.MISSING:
        if not isinstance(value, dict):
            raise InvalidValue(where, value, "keys and values")
        return _build(factory, value, f"{where}.")
    if isinstance(default, enum.StrEnum):
        accepted = [str(member) for member in type(default)]
        if value not in accepted:
            raise InvalidValue(where, value, " or ".join(accepted))
        return type(default)(value)
    if isinstance(default, (Size, Duration)):
        try:
            return type(default).parse(value)
        except ValueError:
            raise InvalidValue(where, value, default.accepted) from None
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise InvalidValue(where, value, f"a value such as {default!r}")
    return value


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise InvalidValue(name, value, f"{low} to {high}")

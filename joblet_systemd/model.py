"""Jobs as values: what was asked for, what state it is in, how it ended. No I/O."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from .errors import InvalidValue

USEC_PER_SEC = 1_000_000


class State(enum.StrEnum):
    """The states of a job, named as the wire names them."""

    PENDING = "PENDING"
    SCHEDULED = "SCHEDULED"
    INITIALIZING = "INITIALIZING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    CANCELED = "CANCELED"
    TIMEOUT = "TIMEOUT"

    @property
    def final(self) -> bool:
        """Whether a job in this state has ended for good."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({State.COMPLETED, State.FAILED, State.STOPPED, State.CANCELED, State.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a job may use. ``None`` means no limit of its own.

    ``cpu_percent`` is in percent of one core (400 = four cores), ``cpu_cores`` a cpuset such as
    ``0-3,5``, ``memory_bytes`` the hard limit, ``io_bytes_per_sec`` applies to each direction,
    ``disk_bytes`` to /work, ``runtime_usec`` to each attempt.
    """

    cpu_percent: int | None = None
    cpu_cores: str | None = None
    memory_bytes: int | None = None
    io_bytes_per_sec: int | None = None
    disk_bytes: int | None = None
    runtime_usec: int | None = None

    def __post_init__(self) -> None:
        _at_least("max_cpu", self.cpu_percent, 1, "a positive percentage of one core")
        _at_least("max_memory", self.memory_bytes, 1 << 20, "at least 1 MB")
        _at_least("max_io_bps", self.io_bytes_per_sec, 1, "a positive number of bytes per second")
        _at_least("max_disk", self.disk_bytes, 1 << 20, "at least 1 MB")
        _at_least("max_runtime", self.runtime_usec, 1000, "at least a millisecond")
        if self.cpu_cores is not None:
            parse_cpuset(self.cpu_cores)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What the user asked to be run, and when.

    ``secrets`` are the names of secret variables; their values are never part of a spec. ``priority``:
    higher starts first. A failed job gets up to ``retries`` more attempts, the first after
    ``retry_delay_usec``, each later one after twice the time of the one before. ``schedule`` is as the
    user wrote it, empty for now; ``calendar`` what it means where it repeats: systemd's expressions, in
    ``time_zone``, and each run is a job of its own. ``interactive``: standard input comes from clients.
    """

    command: str
    args: tuple[str, ...] = ()
    name: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    secrets: tuple[str, ...] = ()
    priority: int = 0
    retries: int = 0
    retry_delay_usec: int = 0
    schedule: str = ""
    time_zone: str = ""
    calendar: tuple[str, ...] = ()
    interactive: bool = False

    @property
    def argv(self) -> tuple[str, ...]:
        """The command line, the program first."""
        return (self.command, *self.args)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the last attempt of a job used in all, from its unit's accounting; ``None`` where the host keeps no account.

    ``tasks_peak`` is the most tasks it was seen with, ``None`` for a job that was too short to be seen.
    """

    cpu_usec: int | None = None
    memory_peak_bytes: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    net_received_bytes: int | None = None
    net_sent_bytes: int | None = None
    tasks_peak: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the store knows it. Times are microseconds since the Unix epoch.

    ``owner`` is the client identity (certificate CN), ``account`` the Unix account its processes run
    as, ``boot_id`` the boot that ran it, ``parent`` the repeating job whose schedule started it.
    ``attempt`` counts starts, 0 before the first; the entries of the current one have sequence numbers
    above ``seq_base``, and once the job has ended none has. ``due_usec`` is when a SCHEDULED job, or the
    next attempt, is to start. ``files_kept``: /work is still there. ``omitted`` names what is long and was left
    out in memory: the store has it.
    ``exit_code`` follows shell custom: 128 + N for signal N, 124 for a time-out; before the end it is that of the last
    attempt.
    """

    id: str
    spec: JobSpec
    owner: str
    account: str
    state: State
    submitted_usec: int
    started_usec: int | None = None
    ended_usec: int | None = None
    exit_code: int | None = None
    reason: str = ""
    stop_requested: bool = False
    boot_id: str = ""
    uploads: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    parent: str = ""
    attempt: int = 0
    seq_base: int = 0
    due_usec: int | None = None
    files_kept: bool = True
    omitted: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The name of the job's systemd unit."""
        return f"{UNIT_PREFIX}{self.id}.service"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the identity's name, and whether it may act on the jobs of others."""

    name: str
    others: bool


UNIT_PREFIX = "joblet-job-"
UNIT_PATTERN = f"{UNIT_PREFIX}*.service"


def job_id_of_unit(unit: str) -> str | None:
    """The job id in a unit name, or ``None`` when the unit is none of ours."""
    if unit.startswith(UNIT_PREFIX) and unit.endswith(".service"):
        return unit[len(UNIT_PREFIX) : -len(".service")]
    return None


def shortened(text: str, most: int) -> str:
    """The text, or as many characters of its beginning, the last of them an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


# What is left of a command that is too long: a job without any would be of little use to a reader.
SHOWN = 60


def details(job: Job) -> dict[str, Iterable[str]]:
    """What of a job may be long, as words, by name."""
    spec = job.spec
    return {
        "command": (spec.command,),
        "args": spec.args,
        "environment": (part for item in spec.environment.items() for part in item),
        "secrets": spec.secrets,
        "uploads": job.uploads,
    }


def without(job: Job, names: Collection[str]) -> Job:
    """The job without those of its ``details``, but for the beginning of its command."""
    spec = dataclasses.replace(
        job.spec,
        command=shortened(job.spec.command, SHOWN) if "command" in names else job.spec.command,
        args=() if "args" in names else job.spec.args,
        environment={} if "environment" in names else job.spec.environment,
        secrets=() if "secrets" in names else job.spec.secrets,
    )
    return dataclasses.replace(job, spec=spec, uploads=() if "uploads" in names else job.uploads)


MAX_CPUS = 8192
MAX_CPUSET = 2000


def parse_cpuset(text: str) -> frozenset[int]:
    """The CPUs of a list such as ``0-3,5`` (cpuset(7), "List format").

    Raises InvalidValue for anything else.
    """
    accepted = "CPU numbers and ranges such as 0-3 or 0,2,4"
    if len(text) > MAX_CPUSET:
        raise InvalidValue("cpu_cores", text, f"{accepted}, {MAX_CPUSET} characters at most")
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or not part.isascii():
            raise InvalidValue("cpu_cores", text, accepted)
        low, high = int(first), int(last) if dash else int(first)
        if low > high or high >= MAX_CPUS:
            raise InvalidValue("cpu_cores", text, accepted)
        cpus.update(range(low, high + 1))
    return frozenset(cpus)


def _at_least(name: str, value: int | None, minimum: int, accepted: str) -> None:
    if value is not None and value < minimum:
        raise InvalidValue(name, value, accepted)

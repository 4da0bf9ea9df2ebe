"""What joblet-init writes to the journal, as values. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes that a command wrote, exactly. ``stream`` is ``stdout`` or ``stderr``."""

    unit: str
    seq: int
    realtime_usec: int
    stream: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """joblet-init's last word: the raw ``wait_status`` (wait(2)), or why nothing ran.

    ``exec_errno`` is that of a failed execvp, else 0; ``error`` is joblet-init's own failure, else
    empty. ``stopped``: the job was told to stop from outside. ``cpu_usec`` and ``max_rss_bytes`` come
    from getrusage(2) of the command and its children. ``log_bytes``: what its output took of the job's share
    of the log.
    """

    unit: str
    seq: int
    realtime_usec: int
    wait_status: int
    exec_errno: int
    error: str
    stopped: bool
    cpu_usec: int
    max_rss_bytes: int
    log_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """joblet-init's first word: it runs and is about to start the command."""

    unit: str
    seq: int
    realtime_usec: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """Output that is lost, in its place between other entries; who has this has all up to entry ``seq``.

    ``reason`` is ``limit`` where joblet-init dropped it because the job had used up its share of the log: then
    ``bytes`` and ``lines`` (ends of lines) tell how much. It is ``journal`` where ``entries`` that were written are
    not in the journal: removed by journald to make room, or lost.
    """

    unit: str
    seq: int
    realtime_usec: int
    reason: str
    entries: int = 0
    bytes: int = 0
    lines: int = 0


Entry = Output | Exit | Start | Dropped

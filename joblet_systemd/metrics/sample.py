"""One reading of what a job uses, as a value; and which of many to keep. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

# More of one job are thinned out to half as many, evenly over its time.
MAX_KEPT = 720


@dataclass(frozen=True, slots=True)
class Sample:
    """What a job had used by ``time_usec``, microseconds since the epoch; ``None`` where the host keeps no account.

    ``cpu_percent`` is of one core, since the sample before. Counters of bytes and microseconds, and the peaks,
    are totals since the start of the attempt. The pressures are the shares of the last ten seconds, in percent,
    in which some of the job's tasks waited (``some avg10``, Documentation/accounting/psi.rst).
    """

    time_usec: int
    cpu_percent: float | None = None
    cpu_usec: int | None = None
    cpu_throttled_usec: int | None = None
    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    tasks: int | None = None
    tasks_peak: int | None = None
    net_received_bytes: int | None = None
    net_sent_bytes: int | None = None
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    io_pressure: float | None = None

    def since(self, earlier: Sample, elapsed_usec: int) -> Sample:
        """The same sample with the CPU share since an earlier one."""
        if self.cpu_usec is None or earlier.cpu_usec is None or elapsed_usec <= 0:
            return self
        used = self.cpu_usec - earlier.cpu_usec
        if used < 0:  # another attempt has begun in between
            return self
        return dataclasses.replace(self, cpu_percent=round(100 * used / elapsed_usec, 2))


VALUES = tuple(field.name for field in dataclasses.fields(Sample) if field.name != "time_usec")


def as_json(sample: Sample) -> dict[str, Any]:
    """A sample as an object of JSON; a key is absent where the host keeps no account."""
    values = {camel(name): getattr(sample, name) for name in VALUES}
    return {
        "time": rfc3339(sample.time_usec),
        **{key: value for key, value in values.items() if value is not None},
    }


def rfc3339(usec: int) -> str:
    """``2025-01-31T12:00:00.123Z``."""
    moment = datetime.datetime.fromtimestamp(usec / 1_000_000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def camel(name: str) -> str:
    """``cpu_usec`` as ``cpuUsec``."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def with_shares(samples: Iterable[Sample]) -> list[Sample]:
    """Samples, the oldest first, each with the CPU share since the one before, whatever was left out in between."""
    result: list[Sample] = []
    previous: Sample | None = None
    for sample in samples:
        result.append(sample if previous is None else sample.since(previous, sample.time_usec - previous.time_usec))
        previous = sample
    return result


def spaced(times: Iterable[int], step_usec: int, after: int | None = None) -> list[int]:
    """Of ascending times those that are at least a step apart, and so from ``after``."""
    kept: list[int] = []
    for time in times:
        if after is None or time - after >= step_usec:
            kept.append(time)
            after = time
    return kept


def step_for(times: Sequence[int]) -> int:
    """The step by which ``spaced`` leaves about half of what may be kept of those times."""
    return max(1, (times[-1] - times[0]) * 2 // MAX_KEPT)

"""What Prometheus is told (https://prometheus.io/docs/instrumenting/exposition_formats/); docs/metrics.md lists it.

All names begin with ``joblet_``, units are base units. Every running job has series of its own, so there are only
so many at a time, and they end with the job: what is to be kept of jobs is in the series of all.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from .. import __version__
from ..model import FINAL_STATES, State
from .facts import Facts
from .sample import Sample

# Running jobs with series of their own: those that started last beyond it have none.
MAX_JOBS = 500
LABELS = ("job", "name", "owner")
LIVE_STATES = tuple(state for state in State if state not in FINAL_STATES)
USEC = 1_000_000


@dataclass(frozen=True, slots=True)
class PerJob:
    """A metric of every running job; ``value`` is None where the host keeps no account."""

    name: str
    help: str
    kind: type[CounterMetricFamily | GaugeMetricFamily]
    value: Callable[[Sample], float | None]


def _seconds(usec: int | None) -> float | None:
    return None if usec is None else usec / USEC


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


PER_JOB = (
    PerJob(
        "joblet_job_cpu_seconds",
        "CPU time that a running job has used since its start.",
        CounterMetricFamily,
        lambda sample: _seconds(sample.cpu_usec),
    ),
    PerJob(
        "joblet_job_cpu_throttled_seconds",
        "Time for which its CPU limit has held a running job up.",
        CounterMetricFamily,
        lambda sample: _seconds(sample.cpu_throttled_usec),
    ),
    PerJob(
        "joblet_job_memory_bytes",
        "Memory of a running job, its part of the page cache included.",
        GaugeMetricFamily,
        lambda sample: sample.memory_bytes,
    ),
    PerJob(
        "joblet_job_memory_peak_bytes",
        "The most memory that a running job has had.",
        GaugeMetricFamily,
        lambda sample: sample.memory_peak_bytes,
    ),
    PerJob(
        "joblet_job_io_read_bytes",
        "Bytes that a running job has read from block devices.",
        CounterMetricFamily,
        lambda sample: sample.io_read_bytes,
    ),
    PerJob(
        "joblet_job_io_written_bytes",
        "Bytes that a running job has written to block devices.",
        CounterMetricFamily,
        lambda sample: sample.io_write_bytes,
    ),
    PerJob(
        "joblet_job_network_received_bytes",
        "Bytes of IP packets that a running job has received, those from itself included.",
        CounterMetricFamily,
        lambda sample: sample.net_received_bytes,
    ),
    PerJob(
        "joblet_job_network_sent_bytes",
        "Bytes of IP packets that a running job has sent, those to itself included.",
        CounterMetricFamily,
        lambda sample: sample.net_sent_bytes,
    ),
    PerJob(
        "joblet_job_tasks",
        "Processes and threads of a running job.",
        GaugeMetricFamily,
        lambda sample: sample.tasks,
    ),
    PerJob(
        "joblet_job_cpu_pressure_ratio",
        "Share of the last 10 s in which some task of a running job waited for a CPU.",
        GaugeMetricFamily,
        lambda sample: _ratio(sample.cpu_pressure),
    ),
    PerJob(
        "joblet_job_memory_pressure_ratio",
        "Share of the last 10 s in which some task of a running job waited for memory.",
        GaugeMetricFamily,
        lambda sample: _ratio(sample.memory_pressure),
    ),
    PerJob(
        "joblet_job_io_pressure_ratio",
        "Share of the last 10 s in which some task of a running job waited for I/O.",
        GaugeMetricFamily,
        lambda sample: _ratio(sample.io_pressure),
    ),
)


def exposition(facts: Facts) -> tuple[str, bytes]:
    """The text that is scraped, after its content type. Takes some milliseconds with hundreds of jobs."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(namespace="joblet", registry=registry)
    registry.register(_Collector(facts))
    return CONTENT_TYPE_LATEST, generate_latest(registry)


class _Collector:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def describe(self) -> Iterable[Any]:
        """Nothing: names of ours do not collide."""
        return ()

    def collect(self) -> Iterator[Any]:
        """All families."""
        yield from _of_all(self._facts)
        yield from _of_each(self._facts)


def _of_all(facts: Facts) -> Iterator[Any]:
    yield _family(
        GaugeMetricFamily,
        "joblet_build_info",
        "Always 1; the versions are in the labels.",
        ("version", "python"),
        {(__version__, platform.python_version()): 1},
    )
    states = Counter(job.state for job in facts.jobs)
    yield _family(
        GaugeMetricFamily,
        "joblet_jobs",
        "Jobs that have not ended, by state.",
        ("state",),
        {(state,): states[state] for state in LIVE_STATES},
    )
    yield _family(GaugeMetricFamily, "joblet_jobs_stored", "Jobs that are remembered.", (), {(): facts.stored})
    yield _family(GaugeMetricFamily, "joblet_jobs_queued", "Jobs that wait for their turn.", (), {(): facts.queued})
    yield _family(CounterMetricFamily, "joblet_job_starts", "Attempts to start a job.", (), {(): facts.counts.starts})
    yield _family(
        CounterMetricFamily,
        "joblet_job_ends",
        "Jobs that have ended, by outcome.",
        ("outcome",),
        {(state,): facts.counts.ends[state] for state in sorted(FINAL_STATES)},
    )
    yield _family(
        GaugeMetricFamily, "joblet_log_followers", "Clients that follow a log.", (), {(): facts.log_followers}
    )
    yield _family(
        CounterMetricFamily,
        "joblet_log_dropped",
        "Reports of lost output to readers of logs: the job's limit was reached, or the journal has lost it.",
        ("reason",),
        {(reason,): facts.log_dropped.get(reason, 0) for reason in ("limit", "journal")},
    )


def _of_each(facts: Facts) -> Iterator[Any]:
    running = sorted((job for job in facts.jobs if job.id in facts.samples), key=lambda job: job.started_usec or 0)
    for metric in PER_JOB:
        values: dict[tuple[str, ...], float] = {}
        for job in running[:MAX_JOBS]:
            value = metric.value(facts.samples[job.id])
            if value is not None:
                values[job.id, job.spec.name, job.owner] = value
        yield _family(metric.kind, metric.name, metric.help, LABELS, values)
    omitted = max(0, len(running) - MAX_JOBS)
    yield _family(
        GaugeMetricFamily,
        "joblet_jobs_without_series",
        f"Running jobs beyond {MAX_JOBS}, which have no series of their own.",
        (),
        {(): omitted},
    )


def _family(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    text: str,
    labels: Sequence[str],
    values: Mapping[tuple[str, ...], float],
) -> Any:
    family = kind(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric([str(word) for word in key], value)
    return family

"""What Prometheus is told: what its parser understands, what the documentation lists, and what a job cannot break."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from joblet_systemd.metrics.counts import Counts
from joblet_systemd.metrics.facts import Facts
from joblet_systemd.metrics.prometheus import MAX_JOBS, PER_JOB, exposition
from joblet_systemd.metrics.sample import Sample
from joblet_systemd.model import Job, JobSpec, State

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
WHOLE = Sample(1, 50.0, 2_500_000, 1_000_000, 1, 2, 3, 4, 5, 6, 7, 8, 25.0, 50.0, 100.0)


def job(number: int, *, name: str = "", owner: str = "alice", state: State = State.RUNNING) -> Job:
    return Job(f"job-{number}", JobSpec("true", name=name), owner, "joblet-alice", state, 1, started_usec=number)


def told(jobs: list[Job], samples: dict[str, Sample], counts: Counts | None = None) -> dict[str, Any]:
    """The families by name, as Prometheus reads them."""
    facts = Facts(jobs, samples, counts or Counts([]), 7, 2, 3, {"limit": 4})
    text = exposition(facts)[1].decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Any], name: str, **labels: str) -> float:
    [found] = [
        sample.value
        for family in families.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return float(found)


def test_base_units() -> None:
    families = told([job(1)], {"job-1": WHOLE})
    assert value(families, "joblet_job_cpu_seconds_total", job="job-1") == 2.5
    assert value(families, "joblet_job_cpu_throttled_seconds_total") == 1.0
    assert value(families, "joblet_job_memory_bytes") == 1
    assert value(families, "joblet_job_network_received_bytes_total", job="job-1") == 7
    assert value(families, "joblet_job_network_sent_bytes_total") == 8
    assert value(families, "joblet_job_io_pressure_ratio") == 1.0
    assert value(families, "joblet_jobs", state="RUNNING") == 1
    assert value(families, "joblet_jobs", state="PENDING") == 0
    assert value(families, "joblet_jobs_stored") == 7
    assert value(families, "joblet_jobs_queued") == 2
    assert value(families, "joblet_log_followers") == 3
    assert value(families, "joblet_log_dropped_total", reason="limit") == 4
    assert value(families, "joblet_process_resident_memory_bytes") > 1 << 20


def test_the_documentation_lists_all_names_and_no_others() -> None:
    rows = re.findall(r"^\| `(joblet_\w+)` \| (\w+) \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    documented = {name: kind for name, kind, _ in rows}
    families = told([job(1)], {"job-1": WHOLE})
    exposed = {sample.name: family.type for family in families.values() for sample in family.samples}
    assert documented == exposed
    labels = {name: set(re.findall(r"`(\w+)`", text)) for name, _, text in rows if "the same" not in text}
    for family in families.values():
        assert family.documentation, family.name
        for sample in family.samples:
            assert set(sample.labels) == labels.get(sample.name, {"job", "name", "owner"}), sample.name


def test_what_the_host_does_not_account_for_has_no_series() -> None:
    families = told([job(1)], {"job-1": Sample(1, cpu_usec=0)})
    assert value(families, "joblet_job_cpu_seconds_total", job="job-1") == 0
    assert families["joblet_job_memory_bytes"].samples == []


def test_labels_cannot_break_out() -> None:
    hostile = 'x"} 1\njoblet_jobs{state="RUNNING"} 1e9\n# \\'
    families = told([job(1, name=hostile, owner=hostile)], {"job-1": WHOLE})
    assert value(families, "joblet_jobs", state="RUNNING") == 1
    [sample] = families["joblet_job_tasks"].samples
    assert sample.labels == {"job": "job-1", "name": hostile, "owner": hostile}


def test_the_number_of_series_is_bounded() -> None:
    jobs = [job(number) for number in range(MAX_JOBS + 17)]
    families = told(jobs, {one.id: WHOLE for one in jobs})
    assert value(families, "joblet_jobs_without_series") == 17
    shown = {sample.labels["job"] for sample in families["joblet_job_tasks"].samples}
    # Those that started first stay: a series that comes and goes is of no use.
    assert shown == {f"job-{number}" for number in range(MAX_JOBS)}
    series = sum(len(family.samples) for family in families.values())
    assert series < MAX_JOBS * len(PER_JOB) + 100


def test_starts_and_ends_are_counted_once() -> None:
    adopted = dataclasses.replace(job(1, state=State.INITIALIZING), attempt=1)
    counts = Counts([adopted])
    for state, attempt in [
        *((State.INITIALIZING, 1), (State.RUNNING, 1), (State.SCHEDULED, 1)),
        *(
            (State.INITIALIZING, 2),
            (State.INITIALIZING, 2),
            (State.RUNNING, 2),
            (State.STOPPING, 2),
            (State.STOPPED, 2),
        ),
    ]:
        counts.changed(dataclasses.replace(adopted, state=state, attempt=attempt))
    for state in (State.PENDING, State.INITIALIZING, State.RUNNING, State.COMPLETED):
        counts.changed(dataclasses.replace(job(2, state=state), attempt=1))
    families = told([], {}, counts)
    assert value(families, "joblet_job_starts_total") == 2
    assert value(families, "joblet_job_ends_total", outcome="STOPPED") == 1
    assert value(families, "joblet_job_ends_total", outcome="COMPLETED") == 1
    assert value(families, "joblet_job_ends_total", outcome="FAILED") == 0

"""What is an excuse for a job and what is none; needs no host."""

from __future__ import annotations

import math

from driver import Track
from kinds import COMPLETED, Output, Plan
from verdicts import LOST_SIGHT, STARTED, STARTING, of_job, of_sight, starts_at_reexecutions

from joblet_wire import joblet_pb2 as wire


def entry(second: float, message: str, job: str = "", message_id: str = "") -> dict[str, str]:
    """One of PID 1's entries in the journal."""
    fields = {"__MONOTONIC_TIMESTAMP": str(round(second * 1_000_000)), "MESSAGE": message}
    return fields | ({"UNIT": f"joblet-job-{job}.service", "MESSAGE_ID": message_id} if job else {})


def test_which_jobs_were_being_started_at_a_reexecution() -> None:
    def start(job: str, begun: float, over: float = math.inf) -> list[dict[str, str]]:
        later = [] if over is math.inf else [entry(over, "Started it.", job, STARTED)]
        return [entry(begun, "Starting it...", job, STARTING), *later]

    entries = [
        *(*start("long before", 1, 1.1), *start("slow", 2), *start("just before", 9, 9.5), *start("meanwhile", 9.9)),
        entry(10, "Reexecuting."),
        entry(10.1, "Started it.", "slow", STARTED),
        *(*start("after", 10.2, 10.3), entry(11, "Reloading.")),
        entry(60, "Reexecuting."),
    ]
    assert starts_at_reexecutions(sorted(entries, key=lambda each: int(each["__MONOTONIC_TIMESTAMP"]))) == [
        {"slow", "just before", "meanwhile"},
        set(),
    ]


def lost(job: str) -> Track:
    request = wire.RunJobRequest(command="true", name=job)
    plan = Plan(0, "quick", "default", request, COMPLETED, Output(b"out\n"))
    status = wire.GetJobStatusResponse(uuid=job, status="FAILED", exit_code=143, reason=f"{LOST_SIGHT}, as it may")
    return Track(plan, job, status=status)


def test_a_lost_job_is_excused_where_it_was_being_started_only() -> None:
    assert of_job(lost("a"), {"a", "b"}) == []
    (end, output) = of_job(lost("a"), {"b"})
    assert "a (a): ended as ('FAILED', 143, 'start-failed: systemd lost sight of the job, as it may')" in end
    assert "stream 1 as stored" in output


def test_more_lost_jobs_than_are_started_at_once_are_no_accident() -> None:
    tracks = [lost(name) for name in "abcde"]
    assert of_sight(tracks[:4], [set("abcd"), {"e"}]) == []
    assert of_sight(tracks, [set("abcd"), {"e"}]) == []
    (fault,) = of_sight(tracks, [set("abcde"), set()])
    assert "lost sight of 5 jobs at once" in fault

"""Readings for clients of gRPC."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from joblet_systemd.api import metrics
from joblet_systemd.api.metrics import MetricsService
from joblet_systemd.api.server import Caller
from joblet_systemd.errors import Exhausted
from joblet_systemd.identity import Identity, Role
from joblet_systemd.metrics.sample import Sample
from joblet_systemd.model import Actor, Job, JobSpec, State
from joblet_wire import joblet_pb2 as wire

JOB = Job("job-1", JobSpec("true"), "alice", "joblet-alice", State.RUNNING, 1)


class Fakes:
    """A job, and what is kept of it."""

    @property
    def book(self) -> Fakes:
        return self

    def get(self, reference: str, caller: Actor) -> Job:
        return JOB

    async def history(self, job_id: str, *bounds: int | None) -> list[Sample]:
        return [Sample(number) for number in range(720)]


def test_readings_that_are_not_taken_hold_their_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MAX_PER_IDENTITY", 1)
    monkeypatch.setattr(metrics, "PATIENCE_SEC", 0.05)

    async def play() -> None:
        fakes: Any = Fakes()
        service = MetricsService(fakes, fakes, fakes)
        request, caller = wire.GetJobMetricsRequest(job_uuid="job-1"), Caller(Identity("alice", Role.READER))
        slow = cast(Any, service.get_job(request, caller))
        await anext(slow)
        with pytest.raises(Exhausted):
            await anext(service.get_job(request, caller))
        await slow.aclose()
        assert len([event async for event in service.get_job(request, caller)]) == 720

    asyncio.run(asyncio.wait_for(play(), 20))

"""A storm: jobs of all kinds, and a host to which everything happens meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import disturbances
import verdicts
from disturbances import Disturbance
from driver import Clients, Track, say
from hosts import FINAL, Host, until
from kinds import plan

from joblet_wire import joblet_pb2 as wire

# A job may be in its last retry or its grace period when the storm is over, or wait behind all others.
CALM_SEC = 240.0
TELL_SEC = 10.0
SETTLE_SEC = 60.0
# PID 1 is what stops and ends units; its last words tell which and when.
SYSTEMD_SAYS = ("journalctl", "--output=short-precise", "--no-pager", "--lines=1500", "_PID=1")
RUNS_SEC = 90.0


@dataclass(frozen=True)
class Size:
    """How big a storm is. ``clock``: the host has one of its own, which is moved."""

    jobs: int
    kills: int
    seconds: float
    clock: bool = False


def run(host: Host, seed: int, size: Size) -> list[str]:
    """Raise a storm; what was wrong after it."""
    disturbances.prepare(host, clock=size.clock)
    until(lambda: host.rnx("job", "list").returncode == 0, 120)
    return asyncio.run(_Storm(host, seed, size).run())


class _Storm:
    def __init__(self, host: Host, seed: int, size: Size) -> None:
        self._host = host
        self._size = size
        self._tracks = [Track(plan) for plan in plan(seed, size.jobs, size.seconds)]
        self._timeline = disturbances.timeline(seed, size.kills, size.seconds, clock=size.clock)
        self._began = 0.0
        self._log: list[str] = []

    async def run(self) -> list[str]:
        self._began = time.monotonic()
        clients = Clients(self._host)
        lives = [asyncio.create_task(clients.live(track, self._began)) for track in self._tracks]
        teller = asyncio.create_task(self._tell())
        try:
            await asyncio.gather(*(self._disturb(disturbance) for disturbance in self._timeline))
            await asyncio.to_thread(disturbances.calm, self._host)
            self._note("calm")
            clients.over.set()
            _, late = await asyncio.wait(lives, timeout=CALM_SEC)
            self._note(f"{len(late)} jobs have not come to an end")
            return await self._judge(clients, lives)
        finally:
            teller.cancel()
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, teller, return_exceptions=True)
            await clients.close()

    async def _disturb(self, disturbance: Disturbance) -> None:
        await asyncio.sleep(max(0.0, self._began + disturbance.at_sec - time.monotonic()))
        self._note(f"{disturbance.what} {disturbance.amount or ''}".strip())
        await asyncio.to_thread(disturbances.do, self._host, disturbance)

    async def _settled(self, clients: Clients) -> list[wire.Job]:
        """All jobs, when the last runs of repeating ones, which nobody follows, have ended, or after RUNS_SEC."""
        deadline = time.monotonic() + RUNS_SEC
        while True:
            jobs = await clients.list_jobs()
            if all(job.status in FINAL for job in jobs) or time.monotonic() > deadline:
                return jobs
            await asyncio.sleep(1)

    async def _judge(self, clients: Clients, lives: list[asyncio.Task[None]]) -> list[str]:
        starts = await asyncio.to_thread(verdicts.starting, self._host)
        starting = set().union(*starts)
        faults = verdicts.of_sight(self._tracks, starts)
        for track, life in zip(self._tracks, lives, strict=True):
            if life.done() and (error := life.exception()):
                faults.append(f"{track.plan.name} ({track.job}): {error!r}")
            else:
                faults += verdicts.of_job(track, starting)
        said = await self._tell_of(faults)
        jobs = await self._settled(clients)
        faults += verdicts.of_names([track.plan for track in self._tracks], jobs)
        repeating = [track for track in self._tracks if track.plan.kind == "repeating" and track.job]
        if not self._size.clock:
            faults += await asyncio.to_thread(verdicts.of_schedules, self._host, repeating, starting)
        faults += await self._left_over()
        if not said:
            await self._tell_of(faults)
        # What is kept of jobs that have ended goes with them.
        await clients.delete_all()
        return faults or await self._left_over()

    async def _tell_of(self, faults: list[str]) -> bool:
        """Say at once what is wrong, if anything is, should what follows fail as well; and what PID 1 says to it."""
        if faults:
            said = await asyncio.to_thread(self._host.exec, *SYSTEMD_SAYS)
            self._note("\n".join([*faults, f"what systemd says:\n{said.stdout}"]))
        return bool(faults)

    async def _left_over(self) -> list[str]:
        """What follows a job's end, taking its /work out of use for one, is done a moment later."""
        deadline = time.monotonic() + SETTLE_SEC
        while left := await asyncio.to_thread(verdicts.of_host, self._host):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(1)
        return left

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TELL_SEC)
            stages = Counter(track.stage for track in self._tracks)
            breaks = sum(track.breaks for track in self._tracks)
            self._note(f"{', '.join(f'{count} {stage}' for stage, count in stages.items())}; {breaks} broken calls")

    def _note(self, text: str) -> None:
        say(f"{self._host.name} {time.monotonic() - self._began:6.1f} s: {text}")

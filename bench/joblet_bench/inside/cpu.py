"""Who uses the CPU while jobs start and end, and while the bare loop starts units."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from ..tables import Table
from . import daemon
from .bare import Units, Watch, start_all
from .scale import Scale, tell

SERVICES = ("dbus", "systemd-logind", "systemd-journald", "systemd-journald@joblet", "systemd-udevd")
MKFS = Path("/usr/sbin/mkfs.ext4")
JOB, PLAIN, UNIT = "a job, ms", "one whose /work is a directory, ms", "the bare loop, ms"


class Account:
    """The CPU seconds of what a job's start and end keep busy, by what that is."""

    def __init__(self) -> None:
        # The process, and whether the time of its children that have ended is meant.
        self._known = {
            "PID 1's executor, joblet-init, the command": (1, True),
            "PID 1": (1, False),
            "jobletd": (daemon.pid(), False),
            "who asks: a gRPC client, or the bare loop": (os.getpid(), False),
        }
        for unit in SERVICES:
            process = int(daemon.systemctl("show", "--property=MainPID", "--value", f"{unit}.service") or 0)
            if process:
                self._known[unit] = (process, False)

    def _now(self) -> dict[str, float]:
        return {
            name: daemon.cpu_seconds(process, children=children) for name, (process, children) in self._known.items()
        }

    @contextlib.asynccontextmanager
    async def added_to(self, sums: defaultdict[str, float]) -> AsyncIterator[None]:
        """Add what each uses in the block."""
        before = self._now()
        yield
        for name, seconds in self._now().items():
            sums[name] += seconds - before[name]


async def measure(scale: Scale) -> Table:
    """Jobs and units in turn; then jobs whose /work is a plain directory, which costs no mount."""
    number = scale.batch * scale.pairs
    tell(f"{number} jobs, as many units, and as many jobs without a file system of their own, {scale.batch} at a time")
    sums: dict[str, defaultdict[str, float]] = {what: defaultdict(float) for what in (JOB, PLAIN, UNIT)}
    async with Units.prepared() as units, Watch.opened() as watch:
        with daemon.connected() as service:
            await jobs(service, watch, scale.batch)
            account = Account()
            for _ in range(scale.pairs):
                async with account.added_to(sums[JOB]):
                    await jobs(service, watch, scale.batch)
                with units.make(scale.batch, ["true"]) as made:
                    async with account.added_to(sums[UNIT]):
                        await start_all(watch, made)
        with plain_directories(), daemon.connected() as service:
            await jobs(service, watch, scale.batch)
            account = Account()
            for _ in range(scale.pairs):
                async with account.added_to(sums[PLAIN]):
                    await jobs(service, watch, scale.batch)
    rows = [(name, *(f"{by[name] * 1000 / number:.2f}" for by in sums.values())) for name in sums[JOB]]
    rows.append(("in all", *(f"{sum(by.values()) * 1000 / number:.2f}" for by in sums.values())))
    return Table(
        "CPU of one start and end of true, by process",
        ("process", *sums),
        tuple(rows),
        "By /proc/PID/stat. What the kernel does in threads of its own is left out. Whoever asks watches the bus, too, "
        "to know when PID 1 has forgotten a unit. The second column is of a daemon without mkfs.ext4.",
    )


async def jobs(service: Any, watch: Watch, number: int) -> None:
    """Run so many jobs and wait until PID 1 has forgotten the last one."""
    made = await asyncio.to_thread(daemon.run_all, service, number, ["true"])
    await watch.all_gone([f"joblet-job-{job}.service" for job in made])


@contextlib.contextmanager
def plain_directories() -> Iterator[None]:
    """Have the daemon do as on a host where no file system in a file can be made."""
    away = MKFS.with_name("mkfs.ext4.joblet-bench")
    MKFS.rename(away)
    try:
        daemon.systemctl("restart", "joblet.service")
        yield
    finally:
        away.rename(MKFS)
        daemon.systemctl("restart", "joblet.service")

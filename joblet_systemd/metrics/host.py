"""What the host is and uses: for MonitoringService, ``/v1/host`` and ``rnx monitor``.

A reading is taken once for all who ask at the same time, and never so often that it takes a tenth of a core.
Nothing is read while nobody asks, and what reads it is loaded when somebody does for the first time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .readers import Readers

# What a client may ask for, and the field it is in.
PARTS = {
    "host": "host",
    "cpu": "cpu",
    "memory": "memory",
    "disk": "disks",
    "network": "networks",
    "io": "io",
    "process": "processes",
    "cloud": "cloud",
}
# Shares and rates are those since the reading before: without one not older than that, two are taken.
RATED = frozenset({"cpu", "network", "io", "process"})
STALE_SEC = 15.0
FIRST_SEC = 0.5
FRESH_SEC = 0.9
COST_FACTOR = 10


@dataclass(slots=True)
class _Reading:
    taken_at: float
    cost: float
    value: Any
    alone: bool  # shares and rates are missing: it is the first of two


class HostReadings:
    """Readings of this host; file systems mounted below ``jobs`` are those of jobs and left out."""

    def __init__(self, node_id: str, jobs: Path) -> None:
        self._node_id = node_id
        self._jobs = jobs
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="host")
        self._readings: dict[str, _Reading] = {}
        self._readers: Readers | None = None

    async def read(self, parts: Collection[str] = tuple(PARTS), interval: float = 0.0) -> dict[str, Any]:
        """The named parts, by the field each is in; all of them without names.

        ``interval`` is how many seconds ago the caller has asked before, if he does so again and again.
        """
        loop = asyncio.get_running_loop()
        stale = max(STALE_SEC, 2 * interval)
        if await loop.run_in_executor(self._thread, self._begin, parts, stale):
            await asyncio.sleep(FIRST_SEC)
        return await loop.run_in_executor(self._thread, self._read, parts)

    def close(self) -> None:
        """Take no more readings."""
        self._thread.shutdown(wait=False)

    # --- in the thread

    def _begin(self, parts: Collection[str], stale_sec: float) -> bool:
        """Take a first reading of what needs two; whether the second one is to come."""
        now = time.monotonic()
        known = self._readings
        stale = [part for part in RATED & {*parts} if part not in known or now - known[part].taken_at > stale_sec]
        for part in stale:
            self._take(part, alone=True)
        return any(known[part].alone for part in RATED & {*parts})

    def _read(self, parts: Collection[str]) -> dict[str, Any]:
        now = time.monotonic()
        for part in parts:
            known = self._readings.get(part)
            if known is None or known.alone or now - known.taken_at > max(FRESH_SEC, COST_FACTOR * known.cost):
                self._take(part)
        return {PARTS[part]: self._readings[part].value for part in parts}

    def _take(self, part: str, *, alone: bool = False) -> None:
        if self._readers is None:
            from .readers import Readers  # noqa: PLC0415 (psutil takes a megabyte, and few ask)

            self._readers = Readers(self._node_id, self._jobs)
        began = time.monotonic()
        value = self._readers.read(part)
        ended = time.monotonic()
        self._readings[part] = _Reading(ended, ended - began, value, alone)

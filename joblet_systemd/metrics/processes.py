"""The processes of the host: how many there are in which state, and those that use the most.

Every reader may see this, so of a process it tells the name and the program's file and never the arguments,
which may hold what is nobody else's business (``mysql --password=…``). Nor is a file what the process
says it is, as its first argument would be.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from .cloud import content
from .sample import rfc3339

SHOWN = 10
ATTRIBUTES = ("ppid", "status", "cpu_times", "memory_info", "num_threads", "create_time")
STATES = {
    psutil.STATUS_RUNNING: "running_processes",
    psutil.STATUS_STOPPED: "stopped_processes",
    psutil.STATUS_TRACING_STOP: "stopped_processes",
    psutil.STATUS_ZOMBIE: "zombie_processes",
}


class Processes:
    """Readings of all processes; their CPU shares are those since the reading before."""

    def __init__(self) -> None:
        self._before: dict[tuple[int, float], float] = {}
        self._read_at = 0.0

    def read(self) -> Mapping[str, Any]:
        """The fields of ProcessMetrics. Takes about 0.1 ms for each process."""
        now = time.monotonic()
        elapsed, self._read_at = now - self._read_at, now
        seconds: dict[tuple[int, float], float] = {}
        states: Counter[str] = Counter()
        threads = 0
        found = []
        for process in psutil.process_iter(ATTRIBUTES):
            facts = process.info
            if facts["cpu_times"] is None or facts["memory_info"] is None:
                continue  # gone meanwhile
            key = (process.pid, facts["create_time"])
            seconds[key] = facts["cpu_times"].user + facts["cpu_times"].system
            share = 100 * (seconds[key] - self._before[key]) / elapsed if key in self._before and elapsed > 0 else 0.0
            states[STATES.get(facts["status"], "sleeping_processes")] += 1
            threads += facts["num_threads"] or 0
            found.append((share, facts["memory_info"].rss, process))
        self._before = seconds
        total = psutil.virtual_memory().total
        by_cpu = sorted(found, key=lambda entry: entry[0], reverse=True)[:SHOWN]
        by_memory = sorted(found, key=lambda entry: entry[1], reverse=True)[:SHOWN]
        return {
            "total_processes": len(found),
            **{field: states[field] for field in {*STATES.values(), "sleeping_processes"}},
            "total_threads": threads,
            "top_by_cpu": _told(by_cpu, total),
            "top_by_memory": _told(by_memory, total),
        }


def _told(entries: Iterable[tuple[float, int, psutil.Process]], total_memory: int) -> list[dict[str, Any]]:
    return [
        {
            "pid": process.pid,
            "ppid": process.info["ppid"] or 0,
            "name": content(Path(f"/proc/{process.pid}/comm")),
            "command": plain(_file(process)),
            "cpu_percent": round(share, 1),
            "memory_percent": round(100 * memory / total_memory, 1) if total_memory else 0.0,
            "memory_bytes": memory,
            "status": process.info["status"],
            "start_time": rfc3339(round(process.info["create_time"] * 1_000_000)),
        }
        for share, memory, process in entries
    ]


def _file(process: psutil.Process) -> str:
    """The file of the program; empty for a thread of the kernel, or when the process is gone."""
    try:
        return str(process.exe())
    except (psutil.Error, OSError):
        return ""


def plain(text: str) -> str:
    """Without what is no text or moves a terminal's cursor: processes choose their names themselves."""
    # Names that are no UTF-8 have their bytes in surrogates, which are not printable.
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

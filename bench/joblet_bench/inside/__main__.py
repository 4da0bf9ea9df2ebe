"""One row, on the measured host: ``python3 -m joblet_bench.inside ROW [--quick]`` prints a line of JSON per finding."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator

from ..figures import Finding
from . import growth, logs, memory, starts, whole
from .bare import Units
from .scale import FULL, QUICK, Scale


async def _units_for(scale: Scale) -> list[Finding]:
    async with Units.prepared() as units:
        return list(whole.measure(units, scale))


ROWS: dict[str, Callable[[Scale], Iterator[Finding]]] = {
    "share": starts.share,
    "rate": starts.rate,
    "whole": lambda scale: iter(asyncio.run(_units_for(scale))),
    "latency": logs.latency,
    "throughput": logs.throughput,
    "memory": memory.measure,
    "growth": growth.measure,
}


def main() -> None:
    """Measure one row."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    for finding in ROWS[options.row](QUICK if options.quick else FULL):
        print(json.dumps(finding.to_json()), flush=True)


if __name__ == "__main__":
    main()

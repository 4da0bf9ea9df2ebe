"""What the parts of a job's sandbox cost PID 1 and its executor: units of the bare loop with some of it left out."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..tables import Table
from . import daemon
from .bare import Units, Watch, start_all
from .scale import Scale, tell

# What is left out, by the names of unit properties: nothing that joblet-init insists on.
FILTERS = ("RestrictAddressFamilies", "RestrictNamespaces", "RestrictSUIDSGID", "RestrictRealtime", "LockPersonality")
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "SystemCallFilter=": ("SystemCallFilter", "SystemCallErrorNumber"),
    "SystemCallArchitectures=": ("SystemCallArchitectures",),
    "Restrict...=, LockPersonality=": FILTERS,
    "ProtectKernelTunables=": ("ProtectKernelTunables",),
    "InaccessiblePaths=, ReadOnlyPaths=": ("InaccessiblePaths", "ReadOnlyPaths"),
    "PrivateDevices=": ("PrivateDevices",),
}
MORE_MOUNTS = 200


async def measure(scale: Scale) -> Table:
    """The CPU of each variant, in turn."""
    rounds, number = max(2, scale.pairs // 2), scale.batch
    tell(f"{rounds} rounds of {number} units with each of {len(LEFT_OUT)} things left out")
    spent = dict.fromkeys(LEFT_OUT, 0.0)
    async with Units.prepared() as units, Watch.opened() as watch:
        for _ in range(rounds):
            for what in LEFT_OUT:
                spent[what] += await _once(units, watch, number, what)
        with mounts(MORE_MOUNTS):
            time.sleep(2)  # PID 1 looks at them
            crowded = sum([await _once(units, watch, number, "nothing") for _ in range(rounds)])
    each = {what: seconds * 1000 / rounds / number for what, seconds in spent.items()}
    whole, among = each["nothing"], crowded * 1000 / rounds / number
    rows = [(what, f"{took:.1f}", f"{whole - took:.1f}" if LEFT_OUT[what] else "") for what, took in each.items()]
    rows.append((f"nothing, with {MORE_MOUNTS} more mounts on the host", f"{among:.1f}", f"{whole - among:.1f}"))
    return Table(
        "CPU of PID 1 and its children for a unit of the bare loop",
        ("left out", "ms", "saved"),
        tuple(rows),
        f"By /proc/PID/stat, {rounds * number} units each, in turn.",
    )


async def _once(units: Units, watch: Watch, number: int, what: str) -> float:
    with units.make(number, ["true"]) as made:
        some = {name: [one for one in properties if one[0] not in LEFT_OUT[what]] for name, properties in made.items()}
        before = _seconds()
        await start_all(watch, some)
        return _seconds() - before


def _seconds() -> float:
    return daemon.cpu_seconds(1) + daemon.cpu_seconds(1, children=True)


@contextlib.contextmanager
def mounts(number: int) -> Iterator[None]:
    """That many more mounts on this host."""
    with tempfile.TemporaryDirectory(dir="/run", prefix="joblet-bench-") as scratch:
        made: list[Path] = []
        try:
            for one in range(number):
                target = Path(scratch, str(one))
                target.mkdir()
                subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", target], check=True)
                made.append(target)
            yield
        finally:
            for target in made:
                subprocess.run(["umount", target], check=True)

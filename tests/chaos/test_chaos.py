"""Everything at once: at the end every job has its true result and its whole log, and nothing is left over."""

from __future__ import annotations

import pytest
import storm
from driver import say
from hosts import Host
from storm import Size

SIZES = {"short": Size(40, 10, 50), "long": Size(200, 50, 300)}
VM_SIZES = {"short": Size(10, 3, 80, clock=True), "long": Size(60, 15, 900, clock=True)}


def test_nothing_is_lost_in_a_storm(storm_host: Host, seed: int, request: pytest.FixtureRequest) -> None:
    in_vm = request.node.callspec.params["storm_host"] == "vm"
    size = (VM_SIZES if in_vm else SIZES)[request.config.getoption("--storm")]
    say(f"{storm_host.name}: {size}; JOBLET_CHAOS_SEED={seed} repeats it")
    faults = storm.run(storm_host, seed, size)
    assert not faults, f"JOBLET_CHAOS_SEED={seed} on {storm_host.name}:\n" + "\n".join(faults)

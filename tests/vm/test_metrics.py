"""With all controllers there is an account of everything: what a job does is what is told of it."""

from __future__ import annotations

import json
from typing import Any

from hosts import Host, until

MB = 1 << 20
# 24 MB of memory, 8 MB written to the disk, three more processes, and then all the CPU it can get.
WORK = """
import os, time
data = bytearray(os.urandom(MB := 1 << 20) * 24)
with open("file", "wb") as file:
    for _ in range(8):
        file.write(data[:MB])
    file.flush()
    os.fsync(file.fileno())
for _ in range(3):
    if os.fork() == 0:
        time.sleep(600)
print("working", flush=True)
while True:
    pass
"""


def test_memory_io_tasks_and_throttling(vm: Host) -> None:
    job = vm.run("--max-cpu=20%", "--max-memory=200", "python3", "-c", WORK)
    until(lambda: vm.log_so_far(job) == b"working\n", 120)
    known = len(told(vm, job)["samples"])
    used = until(lambda: told(vm, job)["samples"][known + 1 :], 120)[-1]
    assert 24 * MB < used["memoryBytes"] <= used["memoryPeakBytes"] <= 200 * MB
    assert used["ioWriteBytes"] >= 8 * MB
    assert used["tasks"] >= 4
    assert used["cpuThrottledUsec"] > 0
    assert used["cpuPercent"] < 40
    row = next(row for row in json.loads(vm.rnx("--json", "job", "top").stdout) if row["uuid"] == job)
    assert (row["maxCpu"], row["maxMemory"]) == (20, 200)
    assert row["sample"]["memoryBytes"] > 24 * MB
    vm.rnx("job", "stop", job)
    totals = told(vm, job)["totals"]
    status = vm.status(job)
    for key in ("cpuUsec", "memoryPeakBytes", "ioWriteBytes", "tasksPeak", "netReceivedBytes"):
        assert totals[key] == status[key] is not None, key
    assert totals["ioWriteBytes"] >= 8 * MB
    assert totals["tasksPeak"] >= 4
    assert totals["memoryPeakBytes"] > 24 * MB


def told(vm: Host, job: str) -> dict[str, Any]:
    """``rnx job metrics --json``."""
    done = vm.rnx("--json", "job", "metrics", job)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

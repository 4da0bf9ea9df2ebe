"""Limits bind: asked for through rnx, seen from inside the job and in the unit's own accounting."""

from __future__ import annotations

import json

from hosts import Host


def test_doctor_sees_every_limit_enforced(vm: Host) -> None:
    findings = json.loads(vm.exec("jobletd", "doctor", "--json").stdout)
    assert [finding["guarantee"] for finding in findings if not finding["holds"]] == []


def test_memory(vm: Host) -> None:
    job = vm.run(
        "--max-memory=64", "python3", "-c", "print('begun', flush=True); x = bytearray(200 << 20); print('never')"
    )
    status = vm.result(job, 120)
    assert (status["status"], status["reason"], status["exitCode"]) == ("FAILED", "oom-kill", 137)
    assert vm.log(job) == b"begun\n"
    assert status["memoryPeakBytes"] <= 64 << 20


SPIN = """
import time
def used():
    return int(open("/sys/fs/cgroup/cpu.stat").readline().split()[1]) / 1e6
began, before = time.monotonic(), used()
while time.monotonic() < began + 6: pass
print((used() - before) / (time.monotonic() - began))
"""


def test_cpu_quota(vm: Host) -> None:
    """Measured over 6 s from the accounting of the job's own control group."""
    share = float(vm.log(vm.run("--max-cpu=30%", "python3", "-c", SPIN)))
    assert 0.27 < share < 0.33


def test_cpu_cores(vm: Host) -> None:
    assert vm.log(vm.run("--cpu-cores=1", "sh", "-c", "nproc; grep Cpus_allowed_list /proc/self/status")) == (
        b"1\nCpus_allowed_list:\t1\n"
    )


def test_io_limits_reach_the_control_group(vm: Host) -> None:
    job = vm.run("--max-iobps=1000000", "sleep", "60")
    vm.running(job)
    group = vm.exec("systemctl", "show", "-P", "ControlGroup", vm.unit(job)).stdout.strip()
    limit = vm.exec("cat", f"/sys/fs/cgroup{group}/io.max").stdout
    vm.rnx("job", "stop", job)
    assert "rbps=1000000 wbps=1000000" in limit

"""Limits bind: asked for through rnx, seen from inside the job and in the unit's own accounting.

The machine is slow, and how slow changes: what is measured here takes some seconds, and is a ratio.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
from hosts import Host, compiled, until

from joblet_lab.host import running

FIRST, AS_OTHERS = -20, 0  # nice(1)
PROGRAMS = Path(__file__).parent / "programs"
MB = 1 << 20


def cgroup(vm: Host, job: str) -> str:
    """The directory of the job's control group."""
    return "/sys/fs/cgroup" + vm.exec("systemctl", "show", "-P", "ControlGroup", vm.unit(job)).stdout.strip()


def test_doctor_sees_every_limit_enforced(vm: Host) -> None:
    findings = json.loads(vm.exec("jobletd", "doctor", "--json").stdout)
    assert [finding["guarantee"] for finding in findings if not finding["holds"]] == []


# --- CPU


def undisturbed(vm: Host, seconds: float) -> None:
    """What else runs on this machine takes nearly no CPU from the virtual one for so long.

    Not for as long as something takes: whoever waited for that would have to wait for a CPU as well, and all others
    with him.
    """
    pid = running(vm.name).pid
    _prefer(pid, FIRST)
    try:
        time.sleep(seconds)
    finally:
        _prefer(pid, AS_OTHERS)


def _prefer(pid: int, nice: int) -> None:
    # Where the kernel groups processes by session, priorities count among those of one session (sched(7)).
    group = Path(f"/proc/{pid}/autogroup")
    if group.exists():
        group.write_text(f"{nice}\n")
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended, as those do that QEMU has for its disks
            os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)


# Looks at the accounting of a control group each second until told to stop: when it did, CPU time in us, when it had.
LOOK = """
cd "$1"
until test -e /run/looked; do
    read before rest </proc/uptime
    read name used <cpu.stat
    read after rest </proc/uptime
    echo $before $used $after
    sleep 1
done >/run/looks
"""


def cpu_share(vm: Host, job: str) -> float:
    """How many CPUs the job has, at the most over 5 s, of which there are some in which nobody disturbs it."""
    vm.exec("rm", "-f", "/run/looked")
    vm.exec("systemd-run", "--quiet", "--collect", "--unit=look", "sh", "-c", LOOK, "sh", cgroup(vm, job))
    undisturbed(vm, 12)
    vm.exec("touch", "/run/looked")
    until(lambda: vm.exec("systemctl", "is-active", "look.service", check=False).returncode != 0)
    lines = vm.exec("cat", "/run/looks").stdout.splitlines()
    looks = [tuple(float(word) for word in line.split()) for line in lines]
    return max(
        (used_then - used) / 1e6 / (after - before)
        for before, used, _ in looks
        for _, used_then, after in looks
        if after - before >= 5
    )


@pytest.mark.parametrize("percent", [50, 150])
def test_cpu_quota(vm: Host, percent: int, tmp_path: Path) -> None:
    """Within 10 %, of a program that would take both CPUs."""
    job = vm.run(f"--max-cpu={percent}%", f"--upload={compiled(PROGRAMS / 'spin.c', tmp_path)}", "./spin")
    until(lambda: vm.log_so_far(job) == b"spinning\n")
    share = cpu_share(vm, job)
    vm.rnx("job", "stop", job)
    assert 0.9 < share / (percent / 100) < 1.1


def test_limits_of_a_running_job_are_changed(vm: Host, tmp_path: Path) -> None:
    job = vm.run("--max-memory=100", f"--upload={compiled(PROGRAMS / 'spin.c', tmp_path)}", "./spin")
    until(lambda: vm.log_so_far(job) == b"spinning\n")
    done = vm.rnx("job", "update", job, "--max-cpu=50%", "--max-memory=80", "--cpu-cores=1", "--max-iobps=1MB")
    assert done.returncode == 0, done.stderr
    assert 0.9 < cpu_share(vm, job) / 0.5 < 1.1
    limits = vm.exec("sh", "-c", f"cd {cgroup(vm, job)}; cat memory.max cpuset.cpus.effective io.max").stdout.split()
    assert limits[:2] == [str(80 * MB), "1"]
    assert {f"rbps={MB}", f"wbps={MB}"} <= set(limits)
    status = vm.status(job)
    assert (status["maxCpu"], status["maxMemory"], status["cpuCores"]) == (50, 80, "1")
    # And taken away.
    assert vm.rnx("job", "update", job, "--max-cpu=none", "--max-memory=none", "--cpu-cores=none").returncode == 0
    assert vm.exec("cat", f"{cgroup(vm, job)}/memory.max").stdout == "max\n"
    assert cpu_share(vm, job) > 1.2  # both CPUs are its own again
    vm.rnx("job", "stop", job)


def test_cpu_cores(vm: Host) -> None:
    seen = vm.log(
        vm.run("--cpu-cores=1", "sh", "-c", "nproc; grep Cpus_allowed_list /proc/self/status; taskset -c 0 nproc")
    )
    # What lies outside of its cores it cannot even ask for.
    assert seen == b"1\nCpus_allowed_list:\t1\n"


# --- memory


def test_memory(vm: Host, tmp_path: Path) -> None:
    """A job that wants more than its limit ends, and so does one whose child does."""
    eat = f"--upload={compiled(PROGRAMS / 'eat.c', tmp_path)}"
    for words in (["./eat", "200"], ["./eat", "200", "child"]):
        job = vm.run("--max-memory=64", eat, *words)
        status = vm.result(job, 120)
        assert (status["status"], status["reason"], status["exitCode"]) == ("FAILED", "oom-kill", 137), words
        assert vm.log(job) == b"begun\n"
        assert status["memoryPeakBytes"] <= 64 * MB


def test_files_in_memory_count(vm: Host) -> None:
    """What is in /dev/shm, /tmp and /var/tmp is the job's memory."""
    for directory in ("/dev/shm", "/tmp", "/var/tmp"):
        fill = f"head -c 40M /dev/zero >{directory}/a; echo fits; head -c 40M /dev/zero >{directory}/b && echo never"
        job = vm.run("--max-memory=64", "sh", "-c", fill)
        status = vm.result(job, 120)
        assert (status["status"], status["reason"]) == ("FAILED", "oom-kill"), directory
        assert vm.log(job) == b"fits\n"


def test_no_swap(vm: Host) -> None:
    job = vm.run("--max-memory=64", "sleep", "600")
    vm.running(job)
    limits = vm.exec("sh", "-c", f"cd {cgroup(vm, job)}; cat memory.max memory.swap.max").stdout.split()
    vm.rnx("job", "stop", job)
    assert limits == [str(64 * MB), "0"]


def test_a_job_without_a_limit_does_not_take_the_host_along(vm: Host, unharmed: None, tmp_path: Path) -> None:
    """It wants more than there is. All jobs together have less than the host, so it is a job that goes."""
    bystander = vm.run("sh", "-c", "echo begun; sleep 300")
    until(lambda: vm.log_so_far(bystander) == b"begun\n")
    job = vm.run(f"--upload={compiled(PROGRAMS / 'eat.c', tmp_path)}", "./eat", "8000")
    status = vm.result(job, 120)
    assert (status["status"], status["reason"]) == ("FAILED", "oom-kill")
    assert vm.status(bystander)["status"] == "RUNNING"
    vm.rnx("job", "stop", bystander)
    # The host itself was never short of memory.
    assert "constraint=CONSTRAINT_NONE" not in vm.exec("journalctl", "--dmesg", "--output=cat").stdout


# --- I/O

RATE = 4_000_000
PIECE, PIECES = 409_600, 60
DISK = f"""
up() {{ read -r now rest </proc/uptime; echo "$now"; }}
up; dd if=/dev/zero of=file bs={PIECE} count={PIECES} oflag=direct status=none
up; dd if=file of=/dev/null bs={PIECE} iflag=direct status=none
up
"""


def test_disk_bandwidth(vm: Host) -> None:
    """Within 20 %, writing and reading past the cache, on whatever device is below /work."""
    job = vm.run(f"--max-iobps={RATE}", "sh", "-c", DISK)
    began, written, read = (float(line) for line in vm.log(job).split())
    amount = PIECE * PIECES
    assert 0.8 < amount / (written - began) / RATE < 1.2
    assert 0.8 < amount / (read - written) / RATE < 1.2
    status = vm.result(job)
    assert status["status"] == "COMPLETED"


# --- tasks


def test_a_bomb_of_processes_and_one_of_threads(vm: Host, unharmed: None, tmp_path: Path) -> None:
    """They end inside the limit of tasks, and meanwhile others work."""
    upload = f"--upload={compiled(PROGRAMS / 'bomb.c', tmp_path)}"
    for kind in ("processes", "threads"):
        bomb = vm.run(upload, "./bomb", kind)
        until(lambda bomb=bomb: b"made" in vm.log_so_far(bomb), 240)
        counted = vm.log_so_far(bomb).decode().split()
        assert 4000 < int(counted[0]) < 4096, kind
        assert counted[-1] == "EAGAIN"
        assert vm.log(vm.run("echo", "well")) == b"well\n"
        vm.rnx("job", "stop", bomb)
        assert vm.result(bomb)["status"] == "STOPPED"


def test_the_classic(vm: Host, unharmed: None) -> None:
    """The shell's own fork bomb, which never stops trying: others work, and it can be stopped."""
    bomb = vm.run("bash", "-c", ":(){ :|:& };:; sleep 300")
    group = cgroup(vm, bomb)
    until(lambda: int(vm.exec("cat", f"{group}/pids.peak").stdout) > 500, 180)
    assert bomb in vm.rnx("--json", "job", "list").stdout
    assert vm.log(vm.run("echo", "well")) == b"well\n"
    assert vm.rnx("job", "stop", bomb).returncode == 0
    assert vm.result(bomb)["status"] == "STOPPED"

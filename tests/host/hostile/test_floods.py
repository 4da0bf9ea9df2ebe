"""Jobs that take all they can get. Each is bounded by itself: where this runs there may be no limits to bind.

What a control group bounds (memory, tasks, CPU time) is tested where there is one, in the virtual machine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from hosts import Host, compiled, until

from .attempts import PROGRAMS, report

LINES = 100_000
NUMBERS = hashlib.sha256(b"".join(b"%d\n" % number for number in range(1, LINES + 1))).hexdigest()


def test_a_flood_of_output_does_not_hold_up_the_output_of_others(host: Host) -> None:
    """The other's follower has its last line, and all before it, while the flood goes on."""
    flood = host.run("timeout", "50", "yes", "a flood of output, line after line, as fast as they can be written")
    until(lambda: host.status(flood)["status"] == "RUNNING")
    try:
        other = host.run("sh", "-c", "for i in $(seq 1 20); do echo $i; sleep 0.1; done")
        assert host.log(other) == b"".join(b"%d\n" % number for number in range(1, 21))
        assert host.result(other)["status"] == "COMPLETED"
        assert host.status(flood)["status"] == "RUNNING"
    finally:
        host.rnx("job", "stop", flood)
    assert host.result(flood)["status"] == "STOPPED"


def test_descriptors_and_pipes_that_are_used_up_are_its_own(host: Host) -> None:
    job = host.run(f"--upload={PROGRAMS / 'descriptors.py'}", "python3", "descriptors.py")
    until(lambda: b"held\n" in host.log_so_far(job))
    try:
        # Pipes of the same client's jobs are small now; their output is whole all the same.
        other = host.run("seq", "1", str(LINES))
        assert hashlib.sha256(host.log(other)).hexdigest() == NUMBERS
    finally:
        host.rnx("job", "stop", job)
    assert host.log(job) == b"Too many open files True\nheld\n"
    assert host.result(job)["status"] == "STOPPED"


def test_temporary_file_systems_end_at_their_bounds(host: Host) -> None:
    """Full of bytes or of files is ENOSPC for the job, and nothing to others: each has its own."""
    filled = report(host, "fill.py")
    for directory in ("/tmp", "/var/tmp", "/dev/shm"):
        # The last piece of 1 MB fits in part.
        assert filled[f"{directory} MB"][0] in (511, 512, 513)
        assert filled[f"{directory} MB"][1] == "ENOSPC"
    assert filled["/tmp files"][1] == "ENOSPC"
    assert filled["/tmp files"][0] < 205_000
    assert set(filled["inodes"]) == {204_800}


def test_zombies_go_with_the_job_and_orphans_at_once(host: Host) -> None:
    job = host.run(f"--upload={PROGRAMS / 'zombies.py'}", "python3", "zombies.py")
    assert host.log(job) == b"300 0\n"
    assert host.result(job)["status"] == "COMPLETED"
    account = "joblet-admin"
    assert "zombies.py" not in host.exec("ps", "-u", account, "-o", "args", check=False).stdout


def test_a_program_that_ignores_every_signal_is_ended(host: Host, tmp_path: Path) -> None:
    """It blocks and ignores all there are, stops itself now and then, and has children that do the same."""
    program = compiled(PROGRAMS / "deaf.c", tmp_path)
    job = host.run(f"--upload={program}", "./deaf")
    until(lambda: host.log_so_far(job) == b"deaf\n")
    assert host.rnx("job", "stop", job).returncode == 0
    status = host.status(job)
    assert (status["status"], status["exitCode"]) == ("STOPPED", 137)
    assert host.exec("pgrep", "-x", "deaf", check=False).stdout == ""

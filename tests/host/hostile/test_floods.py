"""Jobs that take all they can get. Each is bounded by itself: where this runs there may be no limits to bind.

What a control group bounds (memory, tasks, CPU time) is tested where there is one, in the virtual machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from pathlib import Path

from hosts import Host, compiled, until

from .attempts import PROGRAMS, report

LINES = 100_000
NUMBERS = hashlib.sha256(b"".join(b"%d\n" % number for number in range(1, LINES + 1))).hexdigest()


def test_a_flood_of_output_does_not_hold_up_the_output_of_others(host: Host) -> None:
    """The other's follower has its last line, and all before it, while the flood goes on."""
    flood = host.run("timeout", "600", "yes", "a flood of output, line after line, as fast as they can be written")
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


def on_a_terminal(host: Host, *words: str) -> tuple[int, bytes]:
    """The client on a terminal: its exit code, and what it wrote."""
    ours, its = os.openpty()
    with contextlib.closing(os.fdopen(ours, "rb", buffering=0)) as screen:
        process = subprocess.Popen(host.rnx_argv(*words), stdin=its, stdout=its, stderr=its, start_new_session=True)
        os.close(its)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while data := screen.read(1000):
                seen += data
        return process.wait(60), seen


def test_terminals_are_its_own_and_bounded(host: Host) -> None:
    """Who takes all it gets leaves them to the host, to other jobs, and to who looks after them."""
    hog = host.run(f"--upload={PROGRAMS / 'terminals.py'}", "python3", "terminals.py")
    other = host.run("sleep", "600")
    try:
        until(lambda: host.log_so_far(hog).endswith(b"\n"))
        taken, why, last = host.log_so_far(hog).decode().split()
        assert (int(taken), why, last) == (12, "ENOSPC", "/dev/pts/11")  # of kernel.pty.max, max_running takes each
        assert host.exec("ls", "/dev/pts").stdout.split() == ["ptmx"]
        host.running(other)
        code, seen = on_a_terminal(host, "job", "exec", other, "--", "sh", "-c", "tty; ls /dev/pts; echo to >$(tty)")
        assert (code, seen.split()) == (0, [b"/dev/pts/0", b"0", b"ptmx", b"to"])
        code, seen = on_a_terminal(host, "job", "exec", hog, "--", "tty")
        assert (code, b"There are no terminals left for the command: No space left on device." in seen) == (1, True)
        # It has them for itself: programs that need one work.
        shown = host.log(host.run("python3", "-c", "import pty; pty.spawn(['tty'])"))
        assert shown == b"/dev/pts/0\r\n"
    finally:
        for job in (hog, other):
            host.rnx("job", "stop", job)
    until(lambda: not any(job in host.exec("cat", "/proc/mounts").stdout for job in (hog, other)))


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

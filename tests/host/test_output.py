"""Bytes in are bytes out, all of them, once, for those who look afterwards and for those who follow."""

from __future__ import annotations

import base64
import hashlib
import json
import random

from hosts import Host, until

MILLION = 1_000_000
NUMBERS = hashlib.sha256(b"".join(b"%d\n" % number for number in range(1, MILLION + 1))).hexdigest()


def test_a_million_lines_at_full_speed(host: Host) -> None:
    job = host.run("sh", "-c", f"sleep 1; seq 1 {MILLION}")
    follower = host.popen("job", "log", job)
    out, err = follower.communicate(timeout=120)
    assert follower.returncode == 0, err.decode()
    assert (out.count(b"\n"), hashlib.sha256(out).hexdigest()) == (MILLION, NUMBERS)
    assert hashlib.sha256(host.log(job)).hexdigest() == NUMBERS


AWKWARD = (
    b"\n\n blank lines and trailing blanks \t \n",
    b"carriage\rreturn\r\n",
    b"NUL \0 inside\n\0\n",
    b"\xff\xfe invalid \xc3\x28 UTF-8 \x80\n",
    b"x" * 1_000_000 + b"\n",
    b"MESSAGE=forged\nPRIORITY=0\n\nMESSAGE\n\x05\0\0\0\0\0\0\0hello\n",
    b"\x1b[31mred\x1b[0m <3>prefixed\n",
    "ünïcödé \u2028 separators \x85\n".encode(),
    b"no final newline",
)


def test_awkward_bytes_survive(host: Host) -> None:
    text = base64.b64encode(b"".join(AWKWARD[:4] + AWKWARD[5:])).decode()
    script = "import base64,sys; sys.stdout.buffer.write(base64.b64decode(sys.argv[1]))"
    job = host.run("python3", "-c", script, text)
    assert host.log(job) == b"".join(AWKWARD[:4] + AWKWARD[5:])


def test_a_line_of_a_megabyte(host: Host) -> None:
    job = host.run("python3", "-c", "print('x' * 1_000_000); print('y' * 1_000_000, end='')")
    assert host.log(job) == b"x" * 1_000_000 + b"\n" + b"y" * 1_000_000


def test_random_bytes_in_random_pieces(host: Host) -> None:
    seed = random.randrange(1 << 30)
    script = (
        "import os,random,sys,time\n"
        "r = random.Random(int(sys.argv[1]))\n"
        "for _ in range(400):\n"
        "    os.write(1, r.randbytes(r.choice([1, 10, 100, 40_000])))\n"
        "    if r.random() < 0.1: time.sleep(r.random() / 50)\n"
    )
    generator = random.Random(seed)
    expected = b""
    for _ in range(400):
        expected += generator.randbytes(generator.choice([1, 10, 100, 40_000]))
        if generator.random() < 0.1:
            generator.random()
    job = host.run("python3", "-c", script, str(seed))
    assert host.log(job) == expected, f"seed {seed}"


def test_the_two_streams_stay_apart(host: Host) -> None:
    job = host.run("sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; done")
    host.result(job)
    done = host.rnx_bytes("job", "log", job)
    assert done.stdout == b"out 1\nout 2\nout 3\n"
    assert done.stderr == b"err 1\nerr 2\nerr 3\n"


def test_a_follower_from_before_the_start_and_one_from_the_middle(host: Host) -> None:
    job = host.run("sh", "-c", "for i in $(seq 1 30); do echo $i; sleep 0.1; done")
    early = host.popen("job", "log", job)
    until(lambda: b"5\n" in host.rnx_bytes("job", "log", "--no-follow", job).stdout)
    late = host.popen("job", "log", job)
    expected = b"".join(b"%d\n" % number for number in range(1, 31))
    for follower in (early, late):
        assert follower.communicate(timeout=60)[0] == expected


def test_a_follower_killed_and_one_slow_cost_the_others_nothing(host: Host) -> None:
    job = host.run("sh", "-c", "until test -e go; do sleep 0.1; done; seq 1 300000")
    gone, slow, well = (host.popen("job", "log", job) for _ in range(3))
    host.running(job)
    gone.kill()
    gone.communicate()
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
    expected = b"".join(b"%d\n" % number for number in range(1, 300_001))
    assert well.communicate(timeout=60)[0] == expected
    assert slow.communicate(timeout=60)[0] == expected  # not read from until now


def test_output_is_live(host: Host) -> None:
    follower = host.popen("job", "run", "--name=live", "--wait", "sh", "-c", "echo first; sleep 300")
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"first\n"
    assert host.rnx("job", "stop", "live").returncode == 0
    follower.communicate(timeout=60)
    assert follower.returncode == 143


FORGE = """
import contextlib, ctypes, os, socket
for path in ("/run/systemd/journal/socket", "/run/systemd/journal/stdout", "/run/systemd/journal/dev-log", "/dev/log",
             "/run/systemd/journal.joblet/socket", "/run/systemd/notify", "/run/dbus/system_bus_socket"):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_UNIX, kind) as s, contextlib.suppress(OSError):
            s.connect(path)
            s.send(b"MESSAGE=forged\\nJOBLET_SEQ=999\\nJOBLET_RECORD=exit\\nJOBLET_WAIT_STATUS=0\\n")
            print("reached", path)
for pid in ("1", "self"):
    for fd in range(0, 64):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if "socket" in target:
                print("has", pid, fd, target)
with contextlib.suppress(OSError):
    pidfd = os.pidfd_open(1)
    for fd in range(0, 64):
        got = ctypes.CDLL(None, use_errno=True).syscall(438, pidfd, fd, 0)
        if got >= 0:
            print("stole", fd)
print("done")
raise SystemExit(9)
"""


def test_a_job_cannot_forge_entries_or_its_own_end(host: Host) -> None:
    since = host.journal_end()
    job = host.run("python3", "-c", FORGE)
    assert host.result(job)["exitCode"] == 9
    assert host.log(job) == b"done\n"
    entries = host.exec("journalctl", "--namespace=joblet", "--output=json", "-u", host.unit(job)).stdout
    records = [json.loads(line) for line in entries.splitlines()]
    assert sum("JOBLET_RECORD" in entry for entry in records) == 2
    assert not [entry for entry in records if entry.get("MESSAGE") == "forged"]
    host.exec("journalctl", "--sync")
    system = host.exec("journalctl", "--output=cat", f"--after-cursor={since}").stdout
    assert "forged" not in system

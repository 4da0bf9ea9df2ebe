"""Bytes in, bytes out; one line per entry when quiet, few entries under load."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from harness import ENTRY_MAX, Run, Start, python, wait_until

CASES = {
    "nothing": b"",
    "one line": b"hello\n",
    "no final newline": b"hello\nworld",
    "blank lines": b"\n\na\n\n\n",
    "trailing blanks": b"a  \n\t\n b \t \n   ",
    "carriage returns": b"10%\r20%\r\nend\r",
    "NUL": b"\0a\0\n\0\n\0",
    "invalid UTF-8": b"\xff\xfe\xc3\n\xe2\x82\n" + bytes(range(256)),
    "looks like the protocol": b"PRIORITY=0\nMESSAGE\n\x03\0\0\0\0\0\0\0abc\nJOBLET_RECORD=exit\n",
    "1 MB in one line": b"x" * 1_000_000 + b"\n",
    "1 MB without newline": b"y" * 1_000_000,
    "1 MB of newlines": b"\n" * 1_000_000,
    "an entry less one": b"z" * (ENTRY_MAX - 1) + b"\n",
    "exactly an entry": b"z" * ENTRY_MAX + b"\n",
    "an entry and one": b"z" * (ENTRY_MAX + 1) + b"\n",
    "an entry, no newline": b"z" * ENTRY_MAX,
    "two entries": (b"z" * ENTRY_MAX + b"\n") * 2,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_bytes_in_bytes_out(run: Run, place: Path, case: str, stream: str) -> None:
    (place / "bytes").write_bytes(CASES[case])
    result = run("sh", "-c", f"cat {place}/bytes" + (" >&2" if stream == "stderr" else ""))
    assert result.code == 0
    assert (result.stdout, result.stderr) == ((CASES[case], b"") if stream == "stdout" else (b"", CASES[case]))


WRITER = """
import os, random, sys, time
rng = random.Random({seed})
made = [b"", b""]
for _ in range({writes}):
    size = rng.choice((0, 1, 2, 5, 80, 80, 80, 700, 4096, 5000, 40000, 70000))
    data = bytearray(rng.randbytes(size))
    for _ in range(rng.choice((0, 1, 1, 5, size // 20))):
        if data:
            data[rng.randrange(len(data))] = 10
    if rng.random() < 0.5:
        data += b"\\n"
    which = rng.choice((0, 0, 1))
    made[which] += data
    view = memoryview(data)
    while view:
        view = view[os.write(which + 1, view):]
    if rng.random() < 0.1:
        time.sleep(rng.choice((0, 0.001, 0.004, 0.012, 0.03)))
for which in (0, 1):
    with open(f"{place}/made-{{which}}", "wb") as file:
        file.write(made[which])
"""


@pytest.mark.parametrize("seed", range(3))
def test_random_writes_on_both_streams(run: Run, place: Path, tier: str, seed: int) -> None:
    result = run(*python(WRITER.format(seed=seed, writes=300, place=place)), tier=tier)
    assert result.code == 0
    assert result.stdout == (place / "made-0").read_bytes()
    assert result.stderr == (place / "made-1").read_bytes()


def test_both_streams_at_full_speed(run: Run) -> None:
    result = run("sh", "-c", "seq 300000 & seq 300000 >&2 & wait")
    expected = b"".join(b"%d\n" % n for n in range(1, 300001))
    assert result.stdout == expected
    assert result.stderr == expected


def test_packets_are_not_cut(run: Run) -> None:
    """pipe(2), O_DIRECT: a read with too small a buffer throws the rest of a packet away."""
    program = """
import fcntl, os
fcntl.fcntl(1, fcntl.F_SETFL, os.O_DIRECT | os.O_WRONLY)
for n in range(200):
    os.write(1, b"%d" % (n % 10) * 4095 + b"\\n")
"""
    assert run(*python(program)).stdout == b"".join(b"%d" % (n % 10) * 4095 + b"\n" for n in range(200))


def test_one_entry_per_line_when_quiet(run: Run) -> None:
    result = run("sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.03; done; printf 'a\\n\\nb\\nc\\n'")
    assert [entry["MESSAGE"] for entry in result.lines] == [b"line %d" % i for i in range(1, 6)] + [
        b"a",
        b"",
        b"b",
        b"c",
    ]
    assert {entry["JOBLET_EOL"] for entry in result.lines} == {b"1"}


def test_quiet_again_after_a_burst(run: Run) -> None:
    result = run("sh", "-c", "seq 100000; sleep 0.2; echo one; echo two; sleep 0.1; echo three")
    assert [entry["MESSAGE"] for entry in result.lines[-3:]] == [b"one", b"two", b"three"]
    assert len(result.lines) < 2000


def test_few_entries_under_load(run: Run, tier: str) -> None:
    result = run("seq", "1000000", tier=tier)
    assert result.stdout == b"".join(b"%d\n" % n for n in range(1, 1000001))
    # 6.9 MB are 211 full entries; a loaded machine makes pauses, in which what is there is sent.
    assert len(result.lines) < 5000


def test_few_entries_for_an_unbuffered_writer(run: Run) -> None:
    program = "import os\nfor n in range(50000): os.write(1, b'a line\\n')"
    result = run(*python(program))
    assert result.stdout == b"a line\n" * 50000
    assert len(result.lines) < 5000


def test_steady_lines_are_timely_under_load(run: Run) -> None:
    """What was collected is sent while the command runs, not when it ends."""
    program = """
import os, time
end = time.monotonic() + 0.5
while time.monotonic() < end:
    os.write(1, b"%.6f\\n" % time.monotonic() * 5)
    time.sleep(0.0005)
"""
    result = run(*python(program))
    late = [entry.time - float(entry["MESSAGE"].split(b"\n")[0]) for entry in result.lines]
    assert sorted(late)[len(late) // 2] < 0.25


def test_an_incomplete_line_is_sent_soon(start: Start, place: Path) -> None:
    flag = place / "answered"
    flag.unlink(missing_ok=True)
    job = start("sh", "-c", f"printf 'name? '; while ! [ -e {flag} ]; do sleep 0.01; done; echo Ada")
    job.ready(b"name? ")
    flag.touch()
    result = job.result()
    assert result.stdout == b"name? Ada\n"
    assert [entry["JOBLET_EOL"] for entry in result.lines] == [b"0", b"1"]


def test_lines_keep_their_order_across_streams(run: Run) -> None:
    result = run("sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.05; echo $i >&2; sleep 0.05; done")
    assert [(entry["JOBLET_STREAM"], entry["MESSAGE"]) for entry in result.lines] == [
        (stream, b"%d" % i) for i in range(1, 5) for stream in (b"stdout", b"stderr")
    ]


def test_a_closed_stdout_is_not_the_end(run: Run) -> None:
    result = run("sh", "-c", "echo first; exec >&-; sleep 0.1; echo second >&2; exec 2>&-; sleep 0.1; exit 4")
    assert (result.stdout, result.stderr, result.code) == (b"first\n", b"second\n", 4)


def test_dev_stdout_can_be_opened(run: Run, tier: str) -> None:
    result = run("sh", "-c", "echo a > /dev/stdout; echo b > /dev/stderr", tier=tier)
    assert (result.stdout, result.stderr) == (b"a\n", b"b\n")


def test_identifier(run: Run) -> None:
    assert {entry["SYSLOG_IDENTIFIER"] for entry in run("/bin/true").entries} == {b"true"}
    named = run("true", options=("--ident=my job\n\xff=x",))
    assert {entry["SYSLOG_IDENTIFIER"] for entry in named.entries} <= {b"my_job___x", b"my_job____x"}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in run("true", options=("--ident=",)).entries} == {b"job"}


def test_start_record(run: Run) -> None:
    result = run("true", "a b", "ü" * 500)
    message = result.entries[0]["MESSAGE"]
    assert message.startswith("Starting true a b üüü".encode())
    assert message.decode().endswith("ü…")
    assert len(message) < 300
    assert result.entries[0]["PRIORITY"] == b"7"
    assert run("sh", "-c", "").entries[0]["MESSAGE"] == b"Starting sh -c "


def test_start_record_comes_before_the_command_runs(start: Start, place: Path) -> None:
    flag = place / "ran"
    flag.unlink(missing_ok=True)
    job = start("sh", "-c", f"touch {flag}; sleep 30")
    wait_until(flag.exists)
    ran = time.monotonic()
    job.journal.wait_for(len)
    assert job.journal.entries[0].record == "start"
    assert job.journal.entries[0].time <= ran + 1

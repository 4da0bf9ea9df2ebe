"""Output: how late a line is at an idle follower, and what a flood of lines costs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from joblet_systemd.unit import LOG_NAMESPACE, SLICE

from ..figures import Budget, Finding, Spread, percentile
from . import daemon
from .scale import Scale, tell

LATENCY = Budget("p50 ≤ 25 ms", 25.0)
EXACT = Budget("0", 0)

# Prints the time, by a clock that all processes of the host share, now and then and never in step with anybody.
TICKER = """
import random, sys, time
for number in range({lines}):
    time.sleep(random.uniform(0.06, 0.16))
    sys.stdout.write(f"tick {{time.clock_gettime(time.CLOCK_MONOTONIC):.6f}}\\n")
    sys.stdout.flush()
"""
TICK = re.compile(rb"tick ([0-9.]+)\n")


class Follower:
    """A program that prints the lines; how many milliseconds after they were written they come out of it."""

    def __init__(self, argv: list[str]) -> None:
        self.late: list[float] = []
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        while data := os.read(fd, 1 << 16):
            now = time.clock_gettime(time.CLOCK_MONOTONIC)
            self.late += [(now - float(written)) * 1000 for written in TICK.findall(data)]

    def end(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()
        self._thread.join()


def latency(scale: Scale) -> Iterator[Finding]:
    """``rnx job log`` and ``journalctl -f`` follow the same job, which writes little."""
    with daemon.connected() as service:
        job = daemon.run_all(service, 1, ["python3", "-c", TICKER.format(lines=scale.lines)])[0]
        unit = f"joblet-job-{job}.service"
        tell(f"{scale.lines} lines in {scale.lines * 0.11:.0f} s")
        journalctl = ["journalctl", f"--namespace={LOG_NAMESPACE}", "-f", "-o", "cat", "-u", unit]
        followers = [Follower(["rnx", "job", "log", job]), Follower(journalctl)]
        # With a thousand lines still to come both are there long before the end; what was before is left out.
        daemon.until(lambda: daemon.states(service)[job] == "COMPLETED", 0.5)
        time.sleep(1)
        for follower in followers:
            follower.end()
    # What had been written before they followed came all at once.
    ours, theirs = (follower.late[-scale.lines * 3 // 4 :] for follower in followers)
    beside = Spread.of(theirs)
    yield Finding("log latency, idle", "journalctl -f, p50", "ms", beside)
    yield Finding("log latency, idle", "journalctl -f, p95", "ms", _single(percentile(theirs, 95)))
    figure = Spread.of(ours)
    yield Finding(
        "log latency, idle",
        "rnx job log, p50",
        "ms",
        figure,
        beside="journalctl -f",
        ratio=_single(figure.median / beside.median),
        budget=LATENCY.text,
        met=LATENCY.met(figure.median),
    )
    yield Finding("log latency, idle", "rnx job log, p95", "ms", _single(percentile(ours, 95)))


def _single(value: float) -> Spread:
    return Spread(value, value, value, 1)


def throughput(scale: Scale) -> Iterator[Finding]:
    """The same lines through joblet-init and through journald's own stdout transport, in the same namespace."""
    ours: dict[str, list[float]] = {"rate": [], "bytes": [], "missing": []}
    theirs: dict[str, list[float]] = {"rate": [], "bytes": []}
    few = scale.flood_lines // 4  # that transport is slow
    for number in range(max(2, scale.pairs // 2)):
        tell(f"round {number + 1}: {scale.flood_lines} lines")
        seconds, used, missing = _ours(scale.flood_lines)
        _add(ours, seconds, used, scale.flood_lines)
        ours["missing"].append(missing)
        _add(theirs, *_theirs(few), few)
    row = "log throughput, one job"
    yield Finding(row, "journald's stdout transport", "lines/s", Spread.of(theirs["rate"]))
    ratio = Spread.of_ratios(ours["rate"], theirs["rate"])
    yield Finding(row, "a job's output, stored and read back", "lines/s", Spread.of(ours["rate"]), "that", ratio)
    yield Finding(row, "journald's stdout transport, on disk", "B/line", Spread.of(theirs["bytes"]))
    ratio = Spread.of_ratios(ours["bytes"], theirs["bytes"])
    yield Finding(row, "a job's output, on disk", "B/line", Spread.of(ours["bytes"]), "that", ratio)
    lost = Spread.of(ours["missing"])
    yield Finding(row, "lines lost or changed", "", lost, budget=EXACT.text, met=EXACT.met(lost.high))


def _add(to: dict[str, list[float]], seconds: float, used: int, lines: int) -> None:
    to["rate"].append(lines / seconds)
    to["bytes"].append(used / lines)


def _ours(lines: int) -> tuple[float, int, int]:
    before = disk_bytes()
    begun = time.monotonic()
    done = subprocess.run(["rnx", "job", "run", "--wait", "seq", str(lines)], capture_output=True, check=True)
    seconds = time.monotonic() - begun
    output = done.stdout
    wanted = b"".join(b"%d\n" % number for number in range(1, lines + 1))
    same = hashlib.sha256(output).digest() == hashlib.sha256(wanted).digest()
    lost = 0 if same else max(1, abs(lines - output.count(b"\n")))
    return seconds, _settled() - before, lost


def _theirs(lines: int) -> tuple[float, int]:
    before = disk_bytes()
    begun = time.monotonic()
    properties = [f"--property=LogNamespace={LOG_NAMESPACE}", f"--slice={SLICE}"]
    subprocess.run(["systemd-run", "--quiet", "--wait", "--collect", *properties, "seq", str(lines)], check=True)
    subprocess.run(["journalctl", f"--namespace={LOG_NAMESPACE}", "--sync"], check=True)
    return time.monotonic() - begun, _settled() - before


def _settled() -> int:
    subprocess.run(["journalctl", f"--namespace={LOG_NAMESPACE}", "--sync"], check=True)
    return disk_bytes()


# struct Header of a journal file: tail_object_offset, behind which there is nothing yet but what was allocated ahead
# (https://systemd.io/JOURNAL_FILE_FORMAT/).
TAIL = struct.Struct("<136xQ")


def disk_bytes() -> int:
    """What is in use of the journal files of the namespace."""
    used = 0
    machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    for file in Path("/var/log/journal", f"{machine}.{LOG_NAMESPACE}").glob("*.journal"):
        with contextlib.suppress(FileNotFoundError), file.open("rb") as opened:
            used += TAIL.unpack(opened.read(TAIL.size))[0]
    return used

"""The command line: a host, rows, a table."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import report, tables
from .figures import Finding
from .tables import Table

PROJECT = Path(__file__).resolve().parents[2]
LAB = str(PROJECT / "tests/lab/lab")
RESULTS = PROJECT / "bench/RESULTS.md"
PROFILE = PROJECT / "bench/PROFILE.md"
PY_SPY = PROJECT / ".venv/bin/py-spy"
NAME = "bench"
ON_HOST = "/srv/joblet-bench"
PEERS = ("podman", "crun", "runc", "bubblewrap")
ROWS = {
    "share": "the daemon's share of a job's start",
    "rate": "starts per second",
    "whole": "one command from start to end, beside systemd-run, podman, crun, runc and bwrap",
    "latency": "how late a line is at a follower",
    "throughput": "a flood of lines",
    "memory": "the daemon's memory and CPU",
    "growth": "with a great many stored jobs",
}
ROW_SEC = 240
PROFILE_SEC = 400

DESCRIBE = """
. /etc/os-release; echo "system|$PRETTY_NAME, Linux $(uname -r)"
echo "systemd|$(systemctl --version | head -n1)"
echo "controllers|$(cat /sys/fs/cgroup/cgroup.controllers)"
echo "CPU|$(nproc) x $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n1)"
echo "memory|$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo)"
echo "/var|$(findmnt -n -o FSTYPE -T /var/lib)"
packages="joblet podman crun runc bubblewrap python3-grpcio"
echo "packages|$(dpkg-query -Wf '${Package} ${Version}  ' $packages 2>/dev/null)"
"""

# One by one, since a suite may lack one of them.
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
exec >/dev/null 2>&1
apt-get update -qq
for package; do apt-get install -qqy --no-install-recommends "$package"; done
true
"""


class Failed(Exception):
    """Something that there is no going on without."""


def tell(text: str) -> None:
    """Say what is under way."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def lab(*words: str, stdin: bytes | None = None, seconds: float = 900) -> str:
    """Run the lab's command; what it prints. Its standard error, with the progress of the rows, goes to ours."""
    try:
        done = subprocess.run([LAB, *words], input=stdin, stdout=subprocess.PIPE, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise Failed(f"'lab {' '.join(words)}' did not end within {seconds:.0f} s") from None
    if done.returncode != 0:
        raise Failed(f"'lab {' '.join(words)}' ended with {done.returncode}")
    return done.stdout.decode()


@contextlib.contextmanager
def host(options: argparse.Namespace) -> Iterator[str]:
    """The name of a host that is up, this run's own unless one was given."""
    if options.host:
        yield options.host
        return
    tell(f"a Debian {options.suite} host is booted with our packages")
    lab("down", NAME)
    lab("up", NAME, "--suite", options.suite)
    try:
        yield NAME
    finally:
        if options.keep:
            tell(f"the host stays; 'tests/lab/lab down {NAME}' takes it down")
        else:
            lab("down", NAME)


def prepare(name: str, rows: Iterable[str]) -> None:
    """Bring the measurements to the host, and the peers from its Debian mirror. What cannot be had is told later."""
    files = subprocess.run(
        ["tar", "-C", str(PROJECT / "bench"), "--exclude=__pycache__", "-c", "joblet_bench"],
        check=True,
        stdout=subprocess.PIPE,
    )
    lab("exec", name, "--", "mkdir", "-p", ON_HOST)
    lab("exec", name, "--", "tar", "-x", "-C", ON_HOST, stdin=files.stdout)
    if "whole" not in rows:
        return
    if lab("exec", name, "--", "sh", "-c", f"dpkg-query -W {' '.join(PEERS)} >/dev/null 2>&1 || echo missing"):
        tell(f"{', '.join(PEERS)} are installed on it")
        lab("exec", name, "--", "sh", "-c", INSTALL, "sh", *PEERS)


def inside(name: str, seconds: int, quick: bool, *words: str) -> str:
    """What a module of the package prints on the host."""
    command = ["env", "-C", ON_HOST, f"PYTHONPATH={ON_HOST}", "python3", "-m", *words, *(["--quick"] if quick else [])]
    # The time limit is inside: what is left of a row must not disturb the next one.
    return lab(
        *("exec", name, "--", "timeout", "--signal=INT", "--kill-after=20", str(seconds), *command),
        seconds=seconds + 60,
    )


def measure(name: str, row: str, quick: bool) -> list[Finding]:
    """The findings of one row; why there are none, if it failed."""
    tell(f"{row}: {ROWS[row]}")
    try:
        output = inside(name, ROW_SEC, quick, "joblet_bench.inside", row)
    except Failed as failure:
        tell(f"{row}: {failure}")
        return [Finding(ROWS[row], "all of it", why_not="it failed; what it said is on standard error")]
    return [Finding.from_json(json.loads(line)) for line in output.splitlines()]


def profile(name: str, quick: bool) -> list[Table]:
    """Where time and memory go."""
    tell("where the time goes: rnx's start-up, the CPU of a start by process, the daemon's by part, its memory")
    if not PY_SPY.exists():
        raise Failed(f"{PY_SPY.relative_to(PROJECT)} is missing; 'make deps' installs it")
    with PY_SPY.open("rb") as program:
        there = f"{ON_HOST}/py-spy"
        lab("exec", name, "--", "install", "-m", "755", "/dev/stdin", there, stdin=program.read())
    output = inside(name, PROFILE_SEC, quick, "joblet_bench.inside.profile", there)
    return [Table.from_json(values) for values in json.loads(output)]


def describe(name: str) -> list[tuple[str, str]]:
    """What host that is."""
    known: list[tuple[str, str]] = [("date", datetime.date.today().isoformat())]
    for line in lab("exec", name, "--", "sh", "-c", DESCRIBE).splitlines():
        what, _, value = line.partition("|")
        known.append((what, " ".join(value.split()) or "none"))
    commit = subprocess.run(
        ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True, check=False
    )
    return [*known, ("commit", commit.stdout.strip() or "unknown")]


def main() -> int:
    """Measure; 0 when every row was measured, whatever it says."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__, allow_abbrev=False)
    parser.add_argument("--suite", default="trixie", help="the Debian suite of the host (default: trixie)")
    parser.add_argument("--host", metavar="NAME", help="measure on this host of the lab, which is up")
    parser.add_argument("--keep", action="store_true", help="leave the host up")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--only", metavar="ROW", action="append", choices=ROWS, help="only this row; may be repeated")
    what.add_argument("--profile", action="store_true", help="tell where time and memory go, not how much it is")
    parser.add_argument("--quick", action="store_true", help="a few measurements of each, to see that it works")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: needs root; run it with sudo")
    begun = time.monotonic()
    findings: list[Finding] = []
    found: list[Table] = []
    try:
        with host(options) as name:
            rows = [] if options.profile else options.only or list(ROWS)
            prepare(name, rows)
            known = describe(name)
            for row in rows:
                findings += measure(name, row, options.quick)
            if options.profile:
                found = profile(name, options.quick)
    except Failed as failure:
        sys.exit(f"bench: {failure}")
    tell(f"done in {time.monotonic() - begun:.0f} s")
    if options.profile:
        return _show_profile(found, known, options)
    if options.json:
        print(json.dumps({"host": dict(known), "findings": [finding.to_json() for finding in findings]}, indent=1))
    else:
        print("".join(f"{what}: {value}\n" for what, value in known))
        print(report.text(findings), end="")
    if not options.quick and not options.only:
        RESULTS.write_text(report.markdown(findings, known), encoding="utf-8")
        tell(f"{RESULTS.relative_to(PROJECT)} is written")
    return 1 if any(finding.what == "all of it" for finding in findings) else 0


def _show_profile(found: list[Table], known: list[tuple[str, str]], options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps({"host": dict(known), "tables": [table.to_json() for table in found]}, indent=1))
    else:
        print(tables.text(found), end="")
    if not options.quick:
        PROFILE.write_text(tables.markdown(found, known), encoding="utf-8")
        tell(f"{PROFILE.relative_to(PROJECT)} is written")
    return 0

"""The benchmark's arithmetic and tables, and that its command line knows the rows there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from joblet_bench import report, tables
from joblet_bench.figures import Budget, Finding, Spread, percentile
from joblet_bench.imports import by_package
from joblet_bench.inside.heard import Heard
from joblet_bench.main import ROWS
from joblet_bench.stacks import profile
from joblet_bench.tables import Table

PROJECT = Path(__file__).resolve().parents[2]


def test_a_spread_is_median_and_quartiles() -> None:
    assert Spread.of([4, 1, 3, 2, 5]) == Spread(3, 2, 4, 5)
    assert Spread.of([7.0]) == Spread(7.0, 7.0, 7.0, 1)
    with pytest.raises(ValueError, match="nothing"):
        Spread.of([])


def test_ratios_are_taken_pair_by_pair() -> None:
    # The machine became ten times slower in the middle; the ratio does not notice.
    assert Spread.of_ratios([2, 2, 20, 20], [1, 1, 10, 10]) == Spread(2, 2, 2, 4)
    with pytest.raises(ValueError, match="zip"):
        Spread.of_ratios([1, 2], [1])


def test_percentiles() -> None:
    assert percentile(list(range(101)), 95) == 95
    assert percentile([3.0], 95) == 3.0


@pytest.mark.parametrize(
    ("value", "least", "met"), [(5, False, True), (5.1, False, False), (5, True, True), (4, True, False)]
)
def test_budgets(value: float, least: bool, met: bool) -> None:
    assert Budget("5", 5, least).met(value) is met


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1 234"), (-3.21, "-3.21")],
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert report.number(value) == shown


FINDINGS = [
    Finding("starts", "ours", "ms", Spread(12, 10, 15, 9), "theirs", Spread(1.2, 1.1, 1.4, 9), "≤ 1.5", True),
    Finding("starts", "slow", "ms", Spread(99, 98, 100, 9), "", None, "≤ 5 ms", False, note="busy"),
    Finding("starts", "a peer", budget="< 1", why_not="no | here"),
    Finding("memory", "idle", "MB", Spread(60, 60, 60, 1)),
]


def test_the_table_says_what_was_met_missed_and_not_measured() -> None:
    lines = report.text(FINDINGS).splitlines()
    assert lines[0] == "starts"
    ours, slow, peer = lines[2:5]
    assert re.search(r"ours +12\.0 ms +10\.0 \.\. 15\.0 +9 +theirs +1\.20 \(1\.10 \.\. 1\.40\) +≤ 1\.5 +met$", ours)
    assert slow.endswith("MISSED; busy")
    assert re.search(r"a peer +not measured +< 1 +no / here$", peer)
    assert "60.0 MB" in lines[-1]


def test_the_page_has_tables_that_are_tables() -> None:
    page = report.markdown(FINDINGS, [("system", "Debian")])
    assert "| system | Debian |" in page
    tables = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") > 3]
    assert len(tables) == 6
    assert {line.count("|") for line in tables} == {len(report.HEAD) + 1}


def test_findings_travel_as_json() -> None:
    assert [Finding.from_json(json.loads(json.dumps(finding.to_json()))) for finding in FINDINGS] == FINDINGS


def test_what_is_heard_may_come_in_pieces() -> None:
    heard = Heard()
    for moment, data in enumerate(
        (b"\1..joblet-job-", b"aaaa.ser", b"vice..joblet-job-bbbb.service", b"joblet-job-aaaa.service")
    ):
        heard.add(float(moment), data)
    assert heard.moment_of(b"joblet-job-aaaa.service") == 2.0
    assert heard.moment_of(b"joblet-job-bbbb.service") == 2.0
    assert heard.moment_of(b"joblet-job-cccc.service") is None
    assert heard.moment_of(b"joblet") == 0.0


def test_the_rows_are_those_that_the_host_knows() -> None:
    # Not imported: what runs on the host needs systemd-python, which is nowhere else.
    there = (PROJECT / "bench/joblet_bench/inside/__main__.py").read_text(encoding="utf-8")
    assert re.findall(r'^    "(\w+)": ', there, re.MULTILINE) == list(ROWS)
    described = (PROJECT / "docs/benchmarks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE) == list(ROWS)


def test_help() -> None:
    done = subprocess.run([sys.executable, PROJECT / "bench/run", "--help"], capture_output=True, text=True, check=True)
    for option in ("--suite", "--host", "--only", "--quick", "--json", "--keep", "--profile"):
        assert option in done.stdout


IMPORTS = """\
import time: self [us] | cumulative | imported package
import time:       200 |        200 |   _io
import time:      1500 |       1700 | click.core
import time:       500 |       2200 |   click
ID: import time is not what this line is about
import time:       250 |        250 | yaml._yaml
import time:        50 |         50 |     _yaml
"""


def test_imports_by_package() -> None:
    assert by_package(IMPORTS) == {"click": 2.0, "PyYAML": 0.3, "Python's library": 0.2}


PACKAGES = "/usr/lib/python3/dist-packages"
LOOP = "thread (7): MainThread;run (/usr/lib/python3.13/asyncio/runners.py:118)"
SAMPLES = f"""\
{LOOP};update (/x/joblet_systemd/store.py:12);0x7f83 (/usr/lib/x86_64-linux-gnu/libc.so.6) 6
{LOOP};EpollSelector.select (/usr/lib/python3.13/selectors.py:9);epoll_wait (/usr/lib/x86_64-linux-gnu/libc.so.6) 90
{LOOP};Handle._run (/usr/lib/python3.13/asyncio/events.py:8);0x7f99 ({PACKAGES}/dbus_fast/unmarshaller.cpython-313.so) 2
thread (8): mounts_0;_worker (/usr/lib/python3.13/concurrent/futures/thread.py:9);mount (/joblet_systemd/files/m.py:3) 4
thread (8): mounts_0;_worker (/usr/lib/python3.13/concurrent/futures/thread.py:90) 400
thread (9): mounts_1;_worker (/usr/lib/python3.13/concurrent/futures/thread.py:90) 400
"""


def test_the_cpu_of_threads_is_spread_over_the_parts_their_samples_are_in() -> None:
    found = profile(SAMPLES)
    assert found.total == 12
    spent = found.spread({7: 8.0, 8: 1.0, 9: 0.5, 10: 0.25})
    assert spent == {
        "the store": 6.0,
        "D-Bus: calls to PID 1, its answers and signals": 2.0,
        "/work: image, loop device, mount, removal": 1.0,
        "work handed to threads": 0.5,  # it did nothing else
        "gRPC: TLS, HTTP/2, calls": 0.25,  # not Python's
    }
    assert found.busiest("the store") == ["update (store.py)"]
    assert found.busiest("D-Bus: calls to PID 1, its answers and signals") == ["unmarshaller"]


@pytest.mark.parametrize("line", ["no number", "frame (a.py:1) 3", "thread (1): x 3", "thread (1): x;a (b.py:1) -3"])
def test_what_is_no_sample_is_not_taken_for_one(line: str) -> None:
    with pytest.raises(ValueError, match="no stack"):
        profile(line)


TABLE = Table("who", ("process", "ms"), (("PID 1", "7.50"), ("a | b", "12.00")), "By the kernel.")


def test_tables_of_a_profile() -> None:
    assert tables.text([TABLE]).splitlines() == [
        "who",
        "  process     ms",
        "  PID 1     7.50",
        "  a | b    12.00",
        "  By the kernel.",
    ]
    page = tables.markdown([TABLE], [("system", "Debian")])
    assert "## Who\n\n| process | ms |\n|---|---:|\n| PID 1 | 7.50 |\n| a / b | 12.00 |\n\nBy the kernel.\n" in page
    assert "| system | Debian |" in page
    assert Table.from_json(json.loads(json.dumps(TABLE.to_json()))) == TABLE

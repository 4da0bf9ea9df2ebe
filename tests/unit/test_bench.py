"""The benchmark's arithmetic and tables, and that its command line knows the rows there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from joblet_bench import report
from joblet_bench.figures import Budget, Finding, Spread, percentile
from joblet_bench.inside.heard import Heard
from joblet_bench.main import ROWS

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
    for option in ("--suite", "--host", "--only", "--quick", "--json", "--keep"):
        assert option in done.stdout

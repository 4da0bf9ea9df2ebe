"""A job that writes more than its share of the log: it is not held up, and what was dropped is told exactly."""

from __future__ import annotations

from pathlib import Path

from harness import Entry, Result, Run, Start, python, wait_until

ENTRY_COST = 500


def dropped(result: Result) -> list[Entry]:
    return [entry for entry in result.entries if entry.record == "dropped"]


def told(result: Result, what: str) -> int:
    return sum(int(entry[f"JOBLET_DROPPED_{what}"]) for entry in dropped(result))


def cost(entries: list[Entry]) -> int:
    return sum(len(entry["MESSAGE"]) + ENTRY_COST for entry in entries)


def test_a_flood_beyond_the_share(run: Run, tier: str) -> None:
    expected = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    result = run("seq", "1000000", tier=tier, options=("--log-share=200000:86400:0",))
    assert result.code == 0
    assert 100_000 < len(result.stdout) < 200_000
    assert expected.startswith(result.stdout)
    assert told(result, "BYTES") == len(expected) - len(result.stdout)
    assert told(result, "LINES") == 1_000_000 - result.stdout.count(b"\n")
    assert int(result.exit["JOBLET_LOG_BYTES"]) == cost(result.lines) <= 200_000
    # One at once, one at the end; what comes between is seconds apart.
    assert 1 <= len(dropped(result)) <= 3
    assert result.entries[-2].record == "dropped"
    assert b"lines" in result.entries[-2]["MESSAGE"]


def test_within_the_share_nothing_is_dropped(run: Run) -> None:
    result = run("sh", "-c", "echo out; echo err >&2", options=("--log-share=1008:86400:0",))
    assert (result.stdout, result.stderr, dropped(result)) == (b"out\n", b"err\n", [])
    assert result.exit["JOBLET_LOG_BYTES"] == b"1006"


def test_no_share_is_no_limit(run: Run) -> None:
    assert dropped(run("seq", "100000")) == []


def test_what_earlier_attempts_used_counts(run: Run) -> None:
    result = run("sh", "-c", "echo a; sleep 0.1; echo b", options=("--log-share=2000:86400:1200",))
    assert result.stdout == b"a\n"
    assert (told(result, "BYTES"), told(result, "LINES")) == (2, 1)
    assert result.exit["JOBLET_LOG_BYTES"] == b"1701"


def test_both_streams_and_bytes_without_an_end(run: Run) -> None:
    script = "import os\nfor i in range(100): os.write(1 + i % 2, b'x' * 5000)\nos.write(1, b'\\n\\nend')"
    result = run(*python(script), options=("--log-share=200000:86400:0",))
    stored = len(result.stdout) + len(result.stderr)
    assert 0 < stored < 200_000
    assert told(result, "BYTES") == 500_005 - stored
    assert told(result, "LINES") == 2


def test_every_period_has_a_share_of_its_own(start: Start) -> None:
    script = "echo 1; sleep 0.2; echo 2; echo 3; sleep 1.5; echo 4; sleep 0.2"
    job = start("sh", "-c", script, options=("--log-share=600:1:0",))
    result = job.result()
    assert result.stdout == b"1\n4\n"
    kinds = [entry.record or entry["MESSAGE"].decode() for entry in result.entries]
    assert [kind for kind in kinds if kind != "dropped"] == ["start", "1", "4", "exit"]
    assert set(kinds[2:-2]) == {"dropped"}
    assert (told(result, "BYTES"), told(result, "LINES")) == (4, 2)


SCRIPT = r"""
import os, pathlib, time
os.write(1, b"x" * 30000 + b"\n")
while not os.path.exists("{place}/go"):
    time.sleep(0.02)
os.write(1, b"y" * 5_000_000)
pathlib.Path("{place}/written").touch()
"""


def test_a_stuck_journald_does_not_hold_up_a_job_beyond_its_share(start: Start, place: Path) -> None:
    job = start(*python(SCRIPT.format(place=place)), options=("--log-share=31000:86400:0",))
    job.journal.wait_for(lambda entries: len(entries) == 2)
    job.journal.fill()
    (place / "go").touch()
    wait_until((place / "written").exists)
    job.journal.resume()
    result = job.result()
    assert result.code == 0
    assert told(result, "BYTES") == 5_000_000

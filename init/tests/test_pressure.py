"""A journald that is slow, stuck, or gone."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, Job, Start, Stuck, cpu_seconds, python, wait_until

# Writes 8 MB and keeps score in a file.
FLOOD = """
import os
score = os.open("{place}/score", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
for n in range(2000):
    data = memoryview(b"%07d\\n" % n * 512)
    while data:
        data = data[os.write(1, data):]
    os.pwrite(score, b"%d" % n, 0)
"""
FLOOD_OUTPUT = b"".join(b"%07d\n" % n * 512 for n in range(2000))


def stalled(job: Job, score: Path) -> None:
    """Wait until the job has been stopped by back-pressure."""
    wait_until(lambda: score.exists() and score.read_text())
    seen, since = "", time.monotonic()

    def still() -> bool:
        nonlocal seen, since
        if score.read_text() != seen:
            seen, since = score.read_text(), time.monotonic()
        return time.monotonic() - since > 0.3

    wait_until(still)
    assert int(seen) < 1990


@pytest.fixture
def score(place: Path) -> Iterator[Path]:
    yield place / "score"
    (place / "score").unlink(missing_ok=True)


def test_a_full_queue_holds_the_job_and_loses_nothing(start: Start, place: Path, score: Path, tier: str) -> None:
    job = start(*python(FLOOD.format(place=place)), tier=tier, pause_at=20)
    stalled(job, score)
    before = cpu_seconds(job.init_pid)
    time.sleep(0.5)
    assert cpu_seconds(job.init_pid) - before <= 0.05  # it waits, it does not spin
    job.journal.resume()
    result = job.result()
    assert result.code == 0
    assert result.stdout == FLOOD_OUTPUT


def test_stop_works_while_the_queue_is_full(start: Start, place: Path, score: Path) -> None:
    job = start(*python(FLOOD.format(place=place)), pause_at=20)
    stalled(job, score)
    init = job.init_pid
    job.stop()
    children = Path(f"/proc/{init}/task/{init}/children")
    wait_until(lambda: not children.read_text())  # the command is gone, its output and the exit record are not yet
    assert job.process.poll() is None
    job.journal.resume()
    result = job.result()
    assert result.code == 128 + signal.SIGTERM
    assert FLOOD_OUTPUT.startswith(result.stdout)
    assert len(result.stdout) > 100_000


def test_the_last_datagram_is_a_separator(start: Start, tier: str) -> None:
    """When journald takes it, it is done with the exit record: it has looked up the sender's unit."""
    job = start("true", tier=tier)
    assert job.result().exit.record == "exit"
    assert job.journal.last == b"\n"


def test_leaves_only_when_journald_has_read_everything(start: Start, tier: str) -> None:
    """journald reads /proc/PID of the sender when it reads the entry."""
    job = start("sh", "-c", "echo last words", tier=tier, pause_at=1)
    job.journal.wait_for(lambda entries: entries)
    time.sleep(1.0)
    assert job.process.poll() is None
    job.send(signal.SIGTERM)  # too late to matter, and no reason to hurry
    time.sleep(0.1)
    assert job.process.poll() is None
    job.journal.resume()
    result = job.result()
    assert result.code == 0
    assert result.stdout.endswith(b"last words\n")
    assert "JOBLET_STOPPED" not in result.exit


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_journald_that_is_gone(start: Start, place: Path, score: Path, when: str) -> None:
    job = start("sh", "-c", f"echo ready; sleep 0.3; seq 200000; echo done > {score}; exit 7")
    job.ready()
    if when == "meanwhile":
        job.journal.wait_for(lambda entries: len(entries) > 20)
    job.journal.close()
    begin = time.monotonic()
    assert job.code() == 7
    assert score.read_text() == "done\n"
    assert time.monotonic() - begin < 8  # nothing to wait for


def test_a_journald_that_goes_while_the_queue_is_full(start: Start, place: Path, score: Path) -> None:
    job = start(*python(FLOOD.format(place=place)), pause_at=20)
    stalled(job, score)
    job.journal.close()
    assert job.code() == 0
    assert score.read_text() == "1999"


def test_a_stuck_journald_does_not_hold_an_ended_job_forever(stuck: Stuck) -> None:
    assert stuck.job.code() == 0
    stuck.thread.join()
    assert 5 < stuck.seconds < PATIENCE - 2

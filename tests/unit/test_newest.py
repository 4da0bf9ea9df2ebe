"""ListJobs with a limit: the newest jobs, without a look at all the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from joblet_systemd.api import messages
from joblet_systemd.errors import InvalidValue
from joblet_systemd.model import Job, JobSpec, State
from joblet_systemd.store import Store
from joblet_wire import joblet_pb2 as wire


@pytest.mark.parametrize(
    ("request_", "numbers"),
    [
        (wire.EmptyRequest(limit=3), [7, 8, 9]),
        (wire.EmptyRequest(limit=2, states=["RUNNING"]), [6, 9]),
        (wire.EmptyRequest(limit=1000, states=["RUNNING", "COMPLETED"]), list(range(10))),
        (wire.EmptyRequest(limit=1000, states=["FAILED"]), []),
    ],
)
def test_the_oldest_of_them_comes_first(request_: wire.EmptyRequest, numbers: list[int], tmp_path: Path) -> None:
    store = Store(tmp_path / "joblet.db")
    for number in range(10):
        state = State.COMPLETED if number % 3 else State.RUNNING
        store.add(Job(f"{number:08d}", JobSpec("true"), "alice", "a", state, number))
    assert [int(job.id) for job in store.newest(*messages.newest_of(request_))] == numbers
    store.close()


def test_without_a_limit_it_is_all() -> None:
    assert messages.newest_of(wire.EmptyRequest()) == (0, frozenset())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"limit": -1}, "limit: -1 is not accepted; expected 0 for all jobs, or 1 to 1000"),
        ({"limit": 1001}, "limit: 1001 is not accepted"),
        ({"limit": 1, "states": ["running"]}, "states: 'running' is not accepted; expected one of PENDING, "),
        ({"states": ["RUNNING"]}, "states: 'RUNNING' is not accepted; expected none without a limit"),
    ],
)
def test_what_is_not_accepted(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        messages.newest_of(wire.EmptyRequest(**fields))

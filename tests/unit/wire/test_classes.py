"""The classes of messages are made when they are first named, each once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from joblet_wire import joblet_pb2

# In a process of its own: which classes there are already depends on what has run before.
AT_ONCE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from joblet_wire import joblet_pb2

assert "SystemMetricsResponse" not in vars(joblet_pb2)
sys.setswitchinterval(1e-6)
together = Barrier(8)

def named():
    together.wait()
    return [getattr(joblet_pb2, name) for name in ("SystemMetricsResponse", "CPUMetrics", "Jobs", "Job")]

with ThreadPoolExecutor(8) as pool:
    found = [work.result() for work in [pool.submit(named) for _ in range(8)]]
assert all(classes == found[0] for classes in found)
whole, part, jobs, job = found[0]
whole(cpu=part(cores=2)).cpu.MergeFrom(part(cores=3))
assert type(whole().cpu) is part
jobs(jobs=[job(uuid="a")]).jobs.append(job())
assert "RunJobRequest" not in vars(joblet_pb2)
"""


def test_threads_that_name_a_message_at_once_get_the_same_class() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_message_has_a_class_that_is_made_once() -> None:
    names = list(joblet_pb2.DESCRIPTOR.message_types_by_name)
    assert len(names) > 100
    for name in names:
        assert getattr(joblet_pb2, name) is getattr(joblet_pb2, name)
        assert getattr(joblet_pb2, name)().SerializeToString() == b""


def test_what_is_no_message_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match=r"joblet_wire\.joblet_pb2.*'RunJobs'"):
        _ = joblet_pb2.RunJobs  # type: ignore[attr-defined]

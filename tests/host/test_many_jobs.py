"""The list of a great many jobs, which every reader may ask for as often as he likes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from attack import LONG, MIB, channel, prompt, send, unharmed
from hosts import Host, until

from joblet_wire import joblet_pb2

pytestmark = pytest.mark.only_on("bookworm", because="lists come from the store")

# Copies of a finished job, with ids of their own, made and removed while the daemon is not there.
FILL = """
import sqlite3, sys, uuid
db = sqlite3.connect("/var/lib/joblet/joblet.db")
if sys.argv[2:]:
    columns = [row[1] for row in db.execute("PRAGMA table_info(jobs)") if row[1] not in ("number", "id")]
    names = ", ".join(columns)
    db.executemany(
        f"INSERT INTO jobs (id, {names}) SELECT ?, {names} FROM jobs WHERE id = ?",
        ((f"ffffffff{str(uuid.uuid4())[8:]}", sys.argv[1]) for _ in range(int(sys.argv[2]))),
    )
else:
    db.execute("DELETE FROM jobs WHERE id >= 'ffffffff' AND id <> ?", (sys.argv[1],))
db.commit()
"""


@pytest.fixture
def many_jobs(host: Host) -> Iterator[int]:
    number = 90_000 if LONG else 10_000
    job = host.run("echo", "one of many")
    host.result(job)

    def fill(*words: str) -> None:
        host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
        host.exec("python3", "-c", FILL, job, *words)
        host.exec("systemctl", "start", "joblet.service")
        until(lambda: host.rnx("job", "status", job).returncode == 0)

    fill(str(number))
    try:
        yield number
    finally:
        fill()


def test_many_lists_of_many_jobs(host: Host, many_jobs: int) -> None:
    # Eight at a time of one identity, of some 200 bytes for each job.
    with unharmed(host, growth=64 * MIB + 8 * 400 * many_jobs), channel(host, "reader") as through:
        ask = through.unary_unary("/joblet.JobService/ListJobs")
        calls = [ask.future(b"", timeout=120) for _ in range(24)]
        prompt(host)
        for call in calls:
            assert len(joblet_pb2.Jobs.FromString(call.result()).jobs) >= many_jobs
        # Nor do those cost much who ask and do not take the answer.
        stuck = channel(host, "reader", ("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0))
        with stuck:
            for _ in range(200):
                stuck.unary_stream("/joblet.JobService/ListJobs")(b"", timeout=60)
            prompt(host)
    assert send_one(host) is grpc.StatusCode.OK


def test_the_newest_of_many_jobs(host: Host, many_jobs: int) -> None:
    [job] = json.loads(host.rnx("--json", "job", "list", "--status=COMPLETED", "--limit=1").stdout)
    last = host.run("true")
    host.result(last)
    newest = json.loads(host.rnx("--json", "job", "list", "--limit=2").stdout)
    assert [row["id"] for row in newest] == [job["id"], last]


def send_one(host: Host) -> grpc.StatusCode:
    with channel(host, "reader") as through:
        return send(through, "JobService/ListJobs", [b""], 60)[0]

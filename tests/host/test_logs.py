"""Parts of logs, lines of logs, logs of several jobs, logs that were cut short: from a user's seat."""

from __future__ import annotations

import datetime
import json
import subprocess
from typing import Any

import pytest
from calls import jobs
from hosts import Host, until

from joblet_wire import joblet_pb2 as wire

# A job under load, whose lines are hundreds to an entry, then a quiet one in whose lines two streams take turns.
MIXED = (
    "seq 1 1000; sleep 1.1; echo middle; sleep 1.1;"
    " printf 'out '; sleep 0.5; echo error >&2; sleep 0.5; echo rest; printf last"
)


@pytest.fixture(scope="module")
def mixed(host: Host) -> str:
    job = host.run("--name=mixed", "sh", "-c", MIXED)
    host.result(job)
    return job


def objects(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def log(host: Host, job: str, *options: str) -> tuple[bytes, bytes]:
    done = host.rnx_bytes("job", "log", *options, job)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    ("options", "out", "err"),
    [
        ("--tail=1", "last", ""),
        ("--tail=2", "out rest\nlast", ""),
        ("-n 3", "out rest\nlast", "error\n"),
        ("--tail=5", "1000\nmiddle\nout rest\nlast", "error\n"),
        ("--tail=0", "", ""),
        ("--tail=3 --stdout", "middle\nout rest\nlast", ""),
        ("--tail=3 --stderr", "", "error\n"),
        ("--stderr", "", "error\n"),
        ("--grep ^99[89]$|^er", "998\n999\n", "error\n"),
        ("--tail=2 --grep out", "out rest\n", ""),
    ],
)
def test_parts_by_lines_and_streams(options: str, out: str, err: str, mixed: str, host: Host) -> None:
    for more in ("--follow", "--no-follow"):
        assert log(host, mixed, *options.split(), more) == (out.encode(), err.encode())


def test_more_lines_than_there_are(mixed: str, host: Host) -> None:
    assert log(host, mixed, "--tail=100000") == log(host, mixed)


def test_parts_by_time(mixed: str, host: Host) -> None:
    whole = objects(host.rnx_bytes("--json", "job", "log", mixed).stdout)
    (middle,) = [entry["time"] for entry in whole if entry.get("text") == "middle"]
    moment = datetime.datetime.fromisoformat(middle)
    later, earlier = (str(moment + datetime.timedelta(microseconds=by)) for by in (1, -1))
    assert log(host, mixed, "--since", middle, "--until", middle)[0] == b"middle\n"
    assert log(host, mixed, "--since", later)[0] == b"out rest\nlast"
    assert log(host, mixed, "--until", earlier, "--tail=1")[0] == b"1000\n"
    assert log(host, mixed, "--since", "10min ago", "--tail=1")[0] == b"last"
    assert log(host, mixed, "--until", "1h")[0] == b""
    stamped = log(host, mixed, "--timestamps", "--since", middle, "--tail=3", "--stdout")[0].splitlines()
    assert [line.split(b" ", 1)[1] for line in stamped] == [b"middle", b"out rest", b"last"]
    assert abs(datetime.datetime.fromisoformat(stamped[0].split()[0].decode()) - moment) < datetime.timedelta(seconds=1)


def test_json_cursors_lead_on_from_every_line(mixed: str, host: Host) -> None:
    whole = objects(host.rnx_bytes("--json", "job", "log", mixed).stdout)
    *lines, end = whole
    assert [entry["text"] for entry in lines if entry["stream"] == "stdout"][:1000] == [str(n) for n in range(1, 1001)]
    assert end["end"] == {"status": "COMPLETED", "exitCode": 0, "reason": ""}
    for number in (0, 3, 500, 998, 999, 1000, len(lines) - 1):
        behind = host.rnx_bytes("--json", "job", "log", "--cursor", whole[number]["cursor"], mixed)
        assert objects(behind.stdout) == whole[number + 1 :]
    assert objects(host.rnx_bytes("--json", "job", "log", f"--cursor={end['cursor']}", mixed).stdout) == [end]


def rest(follower: subprocess.Popen[bytes]) -> bytes:
    """What comes behind the lines that were read already: communicate() would lose what is in their buffer."""
    assert follower.stdout is not None
    with follower:
        return follower.stdout.read()


def test_the_last_lines_and_then_what_comes(host: Host) -> None:
    job = host.run("sh", "-c", "seq 1 100; until test -e go; do sleep 0.1; done; echo on")
    until(lambda: b"100\n" in host.log_so_far(job))
    follower = host.popen("job", "log", "--tail=2", job)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"99\n"
    with jobs(host) as service:
        no_lines = service.GetJobLogs(wire.GetJobLogsRequest(uuid=job, tail=0))
        assert next(no_lines).payload == b""
        host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
        assert b"".join(chunk.payload for chunk in no_lines) == b"on\n"
    assert rest(follower) == b"100\non\n"


def test_what_others_write_to_the_namespace_is_nothing_to_followers(host: Host) -> None:
    """Its socket is open to everybody on the host, and one entry of a stranger's could end all following."""
    forged = "b'MESSAGE=a stranger\\nJOBLET_STREAM=stdout\\nJOBLET_SEQ=' + b'9' * 5000 + b'\\n'"
    script = "import socket; to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
    script += f"to.connect('/run/systemd/journal.joblet/socket'); to.send({forged})"
    stored = "journalctl --namespace=joblet --lines=100 --output=cat | grep --text --line-regexp 'a stranger'"
    job = host.run("sh", "-c", "echo begun; until test -e go; do sleep 0.1; done; echo on; exec sleep 300")
    until(lambda: b"begun" in host.log_so_far(job))
    with jobs(host) as service:
        following = service.GetJobLogs(wire.GetJobLogsRequest(uuid=job, cursor="end"), timeout=120)
        assert next(following).payload == b""
        host.exec("systemd-run", "--quiet", "--wait", "--uid=nobody", "python3", "-c", script)
        until(lambda: host.exec("sh", "-c", stored, check=False).stdout)
        host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
        assert next(following).payload == b"on\n"
    host.rnx("job", "stop", job)


def test_several_jobs_at_once(host: Host) -> None:
    script = "for i in $(seq 1 20); do echo $0 $i; sleep 0.05; done; echo $0 error >&2; exit 3"
    named = {name: host.run(f"--name={name}", "sh", "-c", script, name) for name in ("one", "three")}
    done = host.rnx_bytes("job", "log", *named.values())
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    for name in named:
        assert [line for line in lines if line.split()[0] == name] == [
            f"{name:5} | {name} {number}" for number in range(1, 21)
        ]
    assert sorted(done.stderr.decode().splitlines()) == ["one   | one error", "three | three error"]
    unknown = host.rnx("job", "log", named["one"], "nobody-knows-it")
    assert (unknown.returncode, unknown.stdout) == (3, "")


def test_lines_are_whole_over_a_killed_daemon(host: Host) -> None:
    waits = "if test $i = 30; then until test -e go; do sleep 0.05; done; fi"
    job = host.run("sh", "-c", f"for i in $(seq 1 60); do printf 'line '; sleep 0.05; echo $i; {waits}; done")
    host.running(job)
    followers = [host.popen(*words, job) for words in (("job", "log", "-t"), ("--json", "job", "log"), ("job", "log"))]
    begun = [follower.stdout.readline() for follower in followers if follower.stdout]  # they follow
    until(lambda: b"line 10\n" in host.log_so_far(job))
    host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service")
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
    rests = [rest(follower) for follower in followers]
    stamped, as_json, plain = (first + rest for first, rest in zip(begun, rests, strict=True))
    expected = [f"line {number}" for number in range(1, 61)]
    assert [line.split(b" ", 1)[1].decode() for line in stamped.splitlines()] == expected
    assert [entry["text"] for entry in objects(as_json)[:-1]] == expected
    assert plain.decode().splitlines() == expected


def test_a_follower_from_before_the_start(host: Host) -> None:
    job = host.run("--schedule=3s", "sh", "-c", "echo begun; sleep 0.5; echo ended >&2")
    followers = [host.popen("job", "log", *words, job) for words in ((), ("-t",), ("--tail=1", "--stderr"))]
    (out, err), stamped, last = (follower.communicate(timeout=60) for follower in followers)
    assert (out, err) == (b"begun\n", b"ended\n")
    assert stamped[0].endswith(b" begun\n")
    assert last == (b"", b"ended\n")


def test_a_follower_of_a_job_that_never_starts(host: Host) -> None:
    job = host.run("--schedule=1h", "echo", "never")
    follower = host.popen("job", "log", job)
    with jobs(host) as service:
        stream = service.GetJobLogs(wire.GetJobLogsRequest(uuid=job, cursor="end"))
        assert next(stream).payload == b""  # so long that the other is there as well, most likely
        host.rnx("job", "cancel", job).check_returncode()
        assert list(stream) == []
    assert follower.communicate(timeout=60) == (b"", b"")
    assert follower.returncode == 0


def test_a_job_that_is_deleted_while_followed(host: Host) -> None:
    job = host.run("seq", "1", "300000")
    host.result(job)
    slow = host.popen("job", "log", job)
    assert slow.stdout is not None
    assert slow.stdout.readline() == b"1\n"
    host.rnx("job", "delete", job).check_returncode()
    assert slow.stderr is not None
    with slow:
        left, told = slow.stdout.read(), slow.stderr.read()
    assert (slow.returncode, left.count(b"\n"), left[-7:]) == (0, 299_999, b"300000\n")
    assert f"job {job} was deleted meanwhile".encode() in told
    gone = host.rnx("job", "log", job)
    assert (gone.returncode, gone.stdout) == (3, "")
    assert f"There is no job '{job}'" in gone.stderr


# --- the bound

FLOOD = f"yes {'x' * 99} | head -c 30000000; echo the end"


def dropped(out: bytes) -> list[dict[str, Any]]:
    return [entry["dropped"] for entry in objects(out) if "dropped" in entry]


def test_a_flood_beyond_the_share_is_dropped_and_told_exactly(host: Host) -> None:
    with host.configured("jobs: {max_log: 2MB}\n"):
        quiet = host.run("sh", "-c", "sleep 2; echo quiet")
        job = host.run("sh", "-c", FLOOD)
        follower = host.popen("--json", "job", "log", job)
        assert host.result(job)["exitCode"] == 0  # not held up
        live, err = follower.communicate(timeout=60)
        stored = host.rnx_bytes("--json", "job", "log", job)
        assert live == stored.stdout
        assert b"dropped here: the job had used up its share of the log" in err
        kept = host.log(job)
        assert 1_000_000 < len(kept) <= 2 << 20
        told = dropped(live)
        assert sum(entry["bytes"] for entry in told) == 30_000_008 - len(kept)
        assert sum(entry["lines"] for entry in told) == 300_001 - kept.count(b"\n")
        # On from the last that was told of there is the end alone.
        cursor = next(entry["cursor"] for entry in reversed(objects(live)) if "dropped" in entry)
        assert dropped(host.rnx_bytes("--json", "job", "log", f"--cursor={cursor}", job).stdout) == []
        # A client of another make gets the job's bytes and nothing else.
        with jobs(host) as service:
            assert b"".join(chunk.payload for chunk in service.GetJobLogs(wire.GetJobLogsRequest(uuid=job))) == kept
        assert host.log(quiet) == b"quiet\n"


def test_attempts_have_one_share_and_a_killed_daemon_changes_nothing(host: Host) -> None:
    script = "head -c 600000 /dev/zero | tr '\\0' x; echo; until test -e go; do sleep 0.1; done; rm go; exit 1"
    with host.configured("jobs: {max_log: 1MB}\n"):
        job = host.run("--retries=1", "--retry-delay=1s", "sh", "-c", script)
        go = f"/var/lib/joblet/jobs/{job}/work/go"
        until(lambda: len(host.log_so_far(job)) >= 600_001)
        host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service")
        host.exec("touch", go)
        until(lambda: host.status(job).get("attempt") == 2)
        until(lambda: dropped(host.rnx_bytes("--json", "job", "log", "--no-follow", job).stdout))
        host.exec("touch", go)
        host.result(job)
        whole = host.rnx_bytes("--json", "job", "log", job).stdout
    kept = len(host.log(job))
    assert 900_000 < kept <= 1 << 20
    assert sum(entry["bytes"] for entry in dropped(whole)) == 1_200_002 - kept


def journalctl(host: Host, *words: str) -> None:
    host.exec("journalctl", "--namespace=joblet", *words)


def test_what_journald_has_removed_is_told(host: Host) -> None:
    old = host.run("seq", "1", "20000")
    host.result(old)
    script = "seq 1 20000; until test -e go; do sleep 0.1; done; seq 1 5; until test -e on; do sleep 0.1; done; echo on"
    job = host.run("sh", "-c", script)
    until(lambda: b"\n20000\n" in host.log_so_far(job))
    journalctl(host, "--rotate")
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/go")
    until(lambda: host.log_so_far(job).endswith(b"\n5\n"))
    # Between two looks of a follower, who is told of what it has not seen: nothing.
    follower = host.popen("job", "log", "--tail=1", job)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"5\n"
    journalctl(host, "--vacuum-files=1")
    host.exec("touch", f"/var/lib/joblet/jobs/{job}/work/on")
    host.result(job)
    assert rest(follower) == b"on\n"
    out, err = log(host, job)
    assert out == b"1\n2\n3\n4\n5\non\n"
    assert b"of the log are missing here: removed to make room" in err
    (entry,) = dropped(host.rnx_bytes("--json", "job", "log", job).stdout)
    assert entry["reason"] == "journal"
    assert entry["entries"] > 0
    # Of the other there is nothing left at all.
    assert log(host, old)[0] == b""
    (entry,) = dropped(host.rnx_bytes("--json", "job", "log", "--no-follow", old).stdout)
    assert entry["entries"] > 0
    assert dropped(host.rnx_bytes("--json", "job", "log", "--tail=0", old).stdout) == [entry]


def test_the_total_is_journalds_to_bound(host: Host) -> None:
    """As docs/output.md has it."""
    drop_in = "/etc/systemd/journald@joblet.conf.d/60-size.conf"
    settings = "[Journal]\\nSystemMaxUse=24M\\nSystemKeepFree=1M\\n"
    commands = (
        f"mkdir -p {drop_in.rpartition('/')[0]} && printf '{settings}' >{drop_in}"
        " && systemctl restart systemd-journald@joblet.service"
    )
    host.exec("sh", "-c", commands)
    try:
        job = host.run("python3", "-c", "import os\nfor _ in range(1500): print(os.urandom(20000).hex())")
        out, err = log(host, job)
        assert out.endswith(b"\n")
        assert b"of the log are missing here" in err + log(host, job)[1]
        used = int(host.exec("sh", "-c", "du -sb --apparent-size /var/log/journal/*.joblet | cut -f1").stdout)
        assert used <= 40 << 20
    finally:
        host.exec("sh", "-c", f"rm {drop_in}; systemctl restart systemd-journald@joblet.service")

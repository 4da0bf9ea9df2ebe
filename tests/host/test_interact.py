"""Reaching into jobs that run: standard input, attach, and commands executed beside theirs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import random
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import grpc
import pytest
from calls import jobs
from hosts import Host, until

from joblet_wire import joblet_pb2 as wire


def rnx(host: Host, *words: str, stdin: bytes = b"", node: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(host.rnx_argv(*words, node=node), input=stdin, capture_output=True, timeout=120, check=False)


def start(host: Host, *words: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(host.rnx_argv(*words), stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.fixture
def job(host: Host) -> Iterator[str]:
    """A job that sleeps."""
    job = host.run("sh", "-c", "echo ready; exec sleep 300")
    host.running(job)
    yield job
    host.rnx("job", "stop", job)


def executed(host: Host, job: str, *words: str, **options: bytes) -> bytes:
    done = rnx(host, "job", "exec", job, "--", *words, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def processes(host: Host, job: str, text: str) -> list[str]:
    """The host's processes in the job's control group whose command line has that text."""
    script = f"for pid in $(cat /sys/fs/cgroup$(systemctl show -P ControlGroup {host.unit(job)})/cgroup.procs); do " + (
        "tr '\\0' ' ' < /proc/$pid/cmdline; echo; done"
    )
    return [line for line in host.exec("sh", "-c", script, check=False).stdout.splitlines() if text in line]


# --- standard input


@pytest.mark.parametrize("data", [b"", b"x", b"a\nb", bytes(range(256)) * 3])
def test_input_arrives_byte_for_byte_and_ends(host: Host, data: bytes) -> None:
    done = rnx(host, "job", "run", "--stdin", "cat", stdin=data)
    assert (done.returncode, done.stdout) == (0, data), done.stderr


def test_ten_megabytes_of_input(host: Host) -> None:
    data = random.Random(5).randbytes(10 << 20)
    done = rnx(host, "job", "run", "-i", "sha256sum", stdin=data)
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest(), done.stderr


def test_a_job_that_does_not_read_all(host: Host) -> None:
    done = rnx(host, "job", "run", "-i", "sh", "-c", "head -c 3; exit 5", stdin=b"abcdef" * 100_000)
    assert (done.returncode, done.stdout) == (5, b"abc")


def test_the_status_says_that_a_job_reads_input(host: Host, job: str) -> None:
    with jobs(host) as stub:
        assert not stub.GetJobStatus(wire.GetJobStatusRequest(uuid=job)).interactive
        with pytest.raises(grpc.RpcError) as caught:
            stub.WriteJobInput(iter([wire.WriteJobInputRequest(uuid=job, data=b"x")]))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "--stdin" in caught.value.details()


@pytest.fixture
def interactive(host: Host) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A job that reads lines, and the rnx that runs it."""
    client = start(host, "job", "run", "-i", "sh", "-c", "while read line; do echo got $line; done; echo end; exit 3")
    assert client.stderr
    job = client.stderr.readline().split()[1].decode()
    yield job, client
    host.rnx("job", "stop", job)
    client.kill()
    client.communicate()


def say(client: subprocess.Popen[bytes], line: bytes) -> None:
    assert client.stdin
    client.stdin.write(line + b"\n")
    client.stdin.flush()


def test_input_goes_on_after_the_daemon_was_killed(
    host: Host, interactive: tuple[str, subprocess.Popen[bytes]]
) -> None:
    job, client = interactive
    assert client.stdout
    say(client, b"one")
    assert client.stdout.readline() == b"got one\n"
    with host.daemon_killed():
        pass
    say(client, b"two")
    assert client.stdout.readline() == b"got two\n"
    out, _ = client.communicate(timeout=60)
    assert (out, client.returncode) == (b"end\n", 3)
    assert host.result(job)["exitCode"] == 3


def test_attach_takes_over_input_and_output(host: Host, interactive: tuple[str, subprocess.Popen[bytes]]) -> None:
    job, client = interactive
    assert client.stdout
    say(client, b"one")
    assert client.stdout.readline() == b"got one\n"
    client.send_signal(signal.SIGINT)
    assert client.wait(60) == 130
    assert host.status(job)["status"] == "RUNNING"
    attached = rnx(host, "job", "attach", job, stdin=b"two\nthree\n")
    assert (attached.stdout, attached.returncode) == (b"got two\ngot three\nend\n", 3), attached.stderr
    assert host.log(job) == b"got one\ngot two\ngot three\nend\n"


def test_attach_detaches_on_interrupt_and_needs_a_job_that_runs(host: Host) -> None:
    job = host.run("sh", "-c", "i=0; while echo $i; do i=$((i + 1)); sleep 0.2; done")
    until(lambda: b"\n3\n" in host.log_so_far(job))
    attached = start(host, "job", "attach", job)
    assert attached.stdout
    assert int(attached.stdout.readline()) > 3  # nothing of the output from before
    attached.send_signal(signal.SIGINT)
    _, err = attached.communicate(timeout=60)
    assert attached.returncode == 130
    assert b"detached; the job goes on" in err
    assert host.status(job)["status"] == "RUNNING"
    host.rnx("job", "stop", job)
    again = rnx(host, "job", "attach", job)
    assert again.returncode == 1
    assert b"has ended" in again.stderr


# --- commands beside the job's


def test_output_errors_input_and_exit_code(host: Host, job: str) -> None:
    done = rnx(host, "job", "exec", job, "--", "sh", "-c", "cat; echo error >&2; exit 7", stdin=b"in\0put")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\0put", b"error\n")


def test_ten_megabytes_there_and_back(host: Host, job: str) -> None:
    data = random.Random(6).randbytes(10 << 20)
    assert executed(host, job, "cat", stdin=data) == data


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("no-such-program",), 127, b"no such file"),
        (("/etc/passwd",), 126, b"permission denied"),
        (("sh", "-c", "kill -SEGV $$"), 139, b"SIGSEGV"),
        (("sh", "-c", "exit 255"), 255, b""),
    ],
)
def test_how_a_command_ends(host: Host, job: str, words: tuple[str, ...], code: int, told: bytes) -> None:
    done = rnx(host, "job", "exec", job, *words)
    assert (done.returncode, done.stdout) == (code, b"")
    assert told in done.stderr


LOOK = (
    "id; for kind in cgroup ipc mnt net pid user uts; do readlink /proc/$0/ns/$kind; done; "
    "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/$0/status; "
    "cat /proc/$0/cgroup /proc/$0/oom_score_adj; "
    "cat /proc/$0/environ | tr '\\0' '\\n' | grep -v -E '^(_|PWD|OLDPWD)=' | sort; pwd"
)


def test_it_is_confined_as_the_job_is(host: Host) -> None:
    job = host.run("-e", "OF_JOB=1", "sh", "-c", 'sh -c "$1" self; echo looked >&2; exec sleep 300', "sh", LOOK)
    host.running(job)
    own = until(lambda: host.rnx_bytes("job", "log", "--no-follow", job).stdout)
    until(lambda: b"looked" in host.rnx_bytes("job", "log", "--no-follow", job).stderr)
    own = host.rnx_bytes("job", "log", "--no-follow", job).stdout
    assert executed(host, job, "sh", "-c", LOOK, "self") == own
    text = own.decode()
    assert "joblet-admin" in text.splitlines()[0]
    assert "Seccomp:\t2" in text
    assert "NoNewPrivs:\t1" in text
    assert all(set(line.split()[1]) == {"0"} for line in text.splitlines() if line.startswith("Cap"))
    assert "OF_JOB=1" in text
    host_side = host.exec("sh", "-c", "readlink /proc/1/ns/pid /proc/1/ns/mnt /proc/1/ns/net /proc/1/ns/ipc").stdout
    assert not set(host_side.split()) & set(text.split())
    host.rnx("job", "stop", job)


def test_variables_of_its_own(host: Host, job: str) -> None:
    done = rnx(host, "job", "exec", "-e", "A=b c", job, "--", "sh", "-c", 'echo "$A"')
    assert done.stdout == b"b c\n"
    refused = rnx(host, "job", "exec", "-e", "JOBLET_JOB_ID=x", job, "true")
    assert refused.returncode == 2
    begin = wire.ExecJobRequest(start=wire.ExecStart(uuid=job, command="true", environment={"NOTIFY_SOCKET": "x"}))
    with jobs(host) as stub, pytest.raises(grpc.RpcError) as caught:
        list(stub.ExecJob(iter([begin])))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_signals_are_passed_on(host: Host, job: str) -> None:
    script = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    client = start(host, "job", "exec", job, "--", "sh", "-c", script)
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(signal.SIGINT)
    out, _ = client.communicate(timeout=60)
    assert (out, client.returncode) == (b"interrupted\n", 9)


class Terminal:
    """rnx on a terminal."""

    def __init__(self, host: Host, *words: str) -> None:
        self.master, self._slave = os.openpty()
        self.resize(30, 100)
        self.before = termios.tcgetattr(self._slave)
        self.process = subprocess.Popen(
            host.rnx_argv(*words),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def until(self, text: bytes) -> None:
        while text not in self.seen:
            assert select.select([self.master], [], [], 60)[0], self.seen
            self.seen += os.read(self.master, 1000)

    @property
    def after(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)


def test_a_terminal(host: Host, job: str) -> None:
    with contextlib.closing(Terminal(host, "job", "exec", job, "--", "sh")) as terminal:
        terminal.until(b"$ ")
        terminal.type(b"tty; stty size; echo TERM is $TERM; test -w $(tty) && echo mine > /dev/stdout\r")
        terminal.until(b"/dev/pts/")
        terminal.until(b"\n30 100")
        terminal.until(b"TERM is xterm-256color")
        terminal.until(b"\nmine")
        terminal.resize(40, 120)
        terminal.process.send_signal(signal.SIGWINCH)
        # It takes its way; and what is typed comes back as it is typed.
        terminal.type(b"until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo re''sized\r")
        terminal.until(b"resized")
        terminal.type(b"sleep 100\r")
        terminal.until(b"sleep 100\r\n")
        until(lambda: processes(host, job, "sleep 100"))
        terminal.type(b"\x03")  # for the command there, not for rnx here
        terminal.type(b"echo after $?\r")
        terminal.until(b"after 130")
        terminal.type(b"exit 6\r")
        assert terminal.process.wait(60) == 6
        assert terminal.after == terminal.before


def test_the_terminal_is_restored_whatever_happens(host: Host, job: str) -> None:
    with contextlib.closing(Terminal(host, "job", "exec", job, "--", "sh", "-c", "echo ready; sleep 200")) as terminal:
        terminal.until(b"ready")
        assert terminal.after != terminal.before
        terminal.process.terminate()
        assert terminal.process.wait(60) == 128 + signal.SIGTERM
        assert terminal.after == terminal.before
        until(lambda: not processes(host, job, "sleep 200"))


# --- who may, and when


def test_only_jobs_of_ones_own(host: Host, job: str) -> None:
    denied = rnx(host, "job", "exec", job, "true", node="developer")
    assert denied.returncode == 4
    assert b"belongs to 'admin'" in denied.stderr
    assert rnx(host, "job", "exec", job, "true", node="reader").returncode == 4
    assert rnx(host, "job", "exec", job, "true", node="maintainer").returncode == 0
    interactive = start(host, "job", "run", "-i", "cat")
    assert interactive.stderr
    his = interactive.stderr.readline().split()[1].decode()
    host.running(his)
    with jobs(host, "developer") as stub, pytest.raises(grpc.RpcError) as caught:
        stub.WriteJobInput(iter([wire.WriteJobInputRequest(uuid=his, data=b"x")]))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert interactive.communicate(timeout=60)[0] == b""
    audit = host.exec("journalctl", "--output=cat", "-u", "joblet.service").stdout
    assert f"who=developer what=JobService/ExecJob job={job} outcome=PERMISSION_DENIED" in audit
    assert f"who=maintainer what=JobService/ExecJob job={job} outcome=done" in audit


def test_jobs_that_do_not_run(host: Host) -> None:
    job = host.run("true")
    host.result(job)
    done = rnx(host, "job", "exec", job, "true")
    assert done.returncode == 1
    assert b"has ended already (COMPLETED)" in done.stderr
    assert rnx(host, "job", "exec", "00000000", "true").returncode == 3


def test_the_sockets_go_with_their_jobs(host: Host, job: str) -> None:
    listed = host.exec("ls", "-la", "/run/joblet/control").stdout
    assert job in listed
    assert listed.splitlines()[1].startswith("drwx------")
    host.rnx("job", "stop", job)
    until(lambda: job not in host.exec("ls", "/run/joblet/control").stdout)
    left = "11111111-2222-4333-8444-555555555555"
    with host.daemon_killed():
        host.exec("touch", f"/run/joblet/control/{left}", f"/var/lib/joblet/secrets/{left}")
    until(lambda: host.rnx("job", "list").returncode == 0)
    assert left not in host.exec("ls", "/run/joblet/control", "/var/lib/joblet/secrets").stdout


# --- when something goes away


FOREVER = "echo ready; while :; do sleep 7; done"


def test_a_command_ends_with_its_client_or_the_daemon(host: Host, job: str) -> None:
    for ignoring in ("", "trap '' HUP INT TERM; "):
        client = start(host, "job", "exec", job, "--", "sh", "-c", ignoring + FOREVER)
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        until(lambda: processes(host, job, "sleep 7"))
        client.kill()
        client.communicate()
        until(lambda: not processes(host, job, "sleep 7"))
    client = start(host, "job", "exec", job, "--", "sh", "-c", FOREVER)
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    with host.daemon_killed():
        until(lambda: not processes(host, job, "sleep 7"))
        assert processes(host, job, "sleep 300")
    assert client.communicate(timeout=60)[0] == b""
    assert client.returncode == 5
    assert host.status(job)["status"] == "RUNNING"
    assert executed(host, job, "echo", "again") == b"again\n"


def test_a_command_ends_with_its_job(host: Host) -> None:
    job = host.run("sleep", "300")
    host.running(job)
    client = start(host, "job", "exec", job, "--", "sh", "-c", "trap '' TERM HUP; " + FOREVER)
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    host.rnx("job", "stop", job)
    client.communicate(timeout=60)
    assert client.returncode == 128 + signal.SIGKILL


def test_a_command_that_leaves_its_pipes_to_others(host: Host, job: str) -> None:
    """Who stays behind keeps nobody waiting, and what the command itself wrote is all there."""
    out = executed(host, job, "sh", "-c", "sleep 60 & seq 10000")
    assert out == b"".join(b"%d\n" % number for number in range(1, 10001))


def test_a_command_that_does_not_read_and_one_that_floods(host: Host, job: str) -> None:
    data = b"x" * (4 << 20)
    assert rnx(host, "job", "exec", job, "--", "sh", "-c", "sleep 1; exit 4", stdin=data).returncode == 4
    client = start(host, "job", "exec", job, "--", "yes")
    assert client.stdout
    client.stdout.read(1000)
    before = memory(host)
    time.sleep(2)  # nobody reads on
    assert memory(host) - before < 20_000
    client.kill()
    client.communicate()
    until(lambda: not processes(host, job, "yes"))


def memory(host: Host) -> int:
    """The daemon's, in KiB."""
    script = "grep VmRSS /proc/$(systemctl show -P MainPID joblet.service)/status"
    return int(host.exec("sh", "-c", script).stdout.split()[1])


def descriptors(host: Host) -> int:
    return len(host.exec("sh", "-c", "ls /proc/$(systemctl show -P MainPID joblet.service)/fd").stdout.split())


def test_too_many_at_once(host: Host, job: str) -> None:
    before = descriptors(host)
    with jobs(host) as stub:
        begin = wire.ExecJobRequest(start=wire.ExecStart(uuid=job, command="sh", args=["-c", "echo ready; cat"]))
        ends = [Requests(begin) for _ in range(40)]
        calls = [stub.ExecJob(end) for end in ends]
        answers, refusals = [], []
        for call in calls:
            try:
                answers.append(next(call).stdout)
            except grpc.RpcError as error:
                refusals.append(error)
        assert answers == [b"ready\n"] * 16
        assert {error.code() for error in refusals} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert all("commands and inputs in jobs at the moment" in error.details() for error in refusals)
        for call, end in zip(calls, ends, strict=True):
            call.cancel()
            end.stop()
        until(lambda: not processes(host, job, "cat"))
    until(lambda: descriptors(host) <= before)
    assert executed(host, job, "echo", "again") == b"again\n"


class Requests:
    """A stream of requests that stays open behind the first ones."""

    def __init__(self, *first: object) -> None:
        self._first = list(first)
        self._stop = False

    def stop(self) -> None:
        self._stop = True

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> object:
        if self._first:
            return self._first.pop(0)
        while not self._stop:
            time.sleep(0.05)
        raise StopIteration


@pytest.mark.only_on("forky", because="the daemon refuses them")
def test_streams_that_make_no_sense(host: Host, job: str) -> None:
    before = descriptors(host)
    # It does not end with its input, before what is wrong is read.
    begin = wire.ExecJobRequest(start=wire.ExecStart(uuid=job, command="sleep", args=["4711"]))
    bad = [
        [],
        [wire.ExecJobRequest()],
        [wire.ExecJobRequest(stdin=b"x")],
        [wire.ExecJobRequest(start=wire.ExecStart(uuid=job))],
        [wire.ExecJobRequest(start=wire.ExecStart(uuid=job, command="a\0b"))],
        [wire.ExecJobRequest(start=wire.ExecStart(uuid=job, command="true", args=["x" * 70_000]))],
        [wire.ExecJobRequest(start=wire.ExecStart(uuid=job, command="true", args=["x"] * 5000))],
        [wire.ExecJobRequest(start=wire.ExecStart(uuid=job, command="true", terminal=wire.TerminalSize(rows=-1)))],
        [begin, begin],
        [begin, wire.ExecJobRequest()],
        [begin, wire.ExecJobRequest(signal=0)],
        [begin, wire.ExecJobRequest(signal=1000)],
        [begin, wire.ExecJobRequest(stdin=b"x" * ((1 << 20) + 1))],
        [begin, wire.ExecJobRequest(end_of_stdin=True), wire.ExecJobRequest(stdin=b"x"), begin],
    ]
    silent = Requests()
    with jobs(host) as stub:
        half_open = stub.ExecJob(silent)  # says nothing, for as long as the daemon waits for it
        for requests in bad:
            with pytest.raises(grpc.RpcError) as caught:
                list(stub.ExecJob(iter(requests), timeout=120))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (requests, caught.value)
        for first in ([], [wire.WriteJobInputRequest(data=b"x")]):
            with pytest.raises(grpc.RpcError) as caught:
                stub.WriteJobInput(iter(first), timeout=120)
            assert caught.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        with pytest.raises(grpc.RpcError) as caught:
            next(half_open)
        assert "a first message, within 30 s" in caught.value.details()
        silent.stop()
    until(lambda: not processes(host, job, "sleep 4711"))
    until(lambda: descriptors(host) <= before)


STARVE = """
import resource, sys, time
for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
    resource.prlimit(1, limit, (0, 0))
print("ready", flush=True)
time.sleep(300)
"""


def test_a_job_that_starves_its_init(host: Host) -> None:
    job = host.run("python3", "-c", STARVE)
    until(lambda: b"ready" in host.rnx_bytes("job", "log", "--no-follow", job).stdout)
    done = rnx(host, "job", "exec", job, "true")
    assert done.returncode == 1
    assert b"joblet-init" in done.stderr
    assert host.rnx("job", "stop", job).returncode == 0

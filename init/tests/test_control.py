"""The daemon's way into a job that runs: its standard input, and commands executed beside its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import termios
import time
from errno import EACCES, EAGAIN, EBUSY, EINVAL, EMFILE, EMSGSIZE, ENOENT, ENOTTY, ENXIO, EPIPE, ESRCH
from pathlib import Path

import pytest
from harness import ENVIRONMENT, UID, Job, Start, cpu_seconds, execution, python, wait_until

STAY = ("sh", "-c", "echo ready; exec sleep 60")


@pytest.fixture
def job(start: Start, control: Path, tier: str) -> Job:
    """A job that sleeps."""
    job = start(*STAY, tier=tier, control=control)
    job.ready()
    return job


def processes(job: Job) -> list[str]:
    """The command lines of all of a job's processes, joblet-init aside."""
    found = []
    for pid in Path(f"/proc/{job.init_pid}/task/{job.init_pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended just now
            found.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip())
    return found


def open_files(job: Job) -> int:
    return len(os.listdir(f"/proc/{job.init_pid}/fd"))


# --- standard input ---


def stdin_of(job: Job) -> int:
    with job.connect() as connection:
        connection.send(b"I")
        answer, fds = connection.answer_with_fds()
    assert answer == ("R", 0)
    assert len(fds) == 1
    os.set_blocking(fds[0], True)  # for the test; the daemon does not
    return fds[0]


def end_input(job: Job) -> tuple[str, int] | None:
    with job.connect() as connection:
        return connection.ask(b"Z")


def test_input_reaches_the_command_and_ends(start: Start, control: Path, tier: str) -> None:
    job = start("sh", "-c", "cat; echo end", tier=tier, control=control, options=("--stdin",))
    for part in (b"one\n", b"two\n"):
        fd = stdin_of(job)
        os.write(fd, part)
        os.close(fd)  # as a daemon that was killed: no end of file for the job
        job.ready(part)
    time.sleep(0.1)
    assert job.process.poll() is None
    fd = stdin_of(job)
    assert end_input(job) == ("R", 0)
    os.write(fd, b"three\n")
    os.close(fd)
    assert job.result().stdout == b"one\ntwo\nthree\nend\n"


def test_ended_input_is_not_opened_again(start: Start, control: Path) -> None:
    job = start(*STAY, control=control, options=("--stdin",))
    assert end_input(job) == ("R", 0)
    assert end_input(job) == ("R", EPIPE)
    with job.connect() as connection:
        assert connection.ask(b"I") == ("R", EPIPE)


def test_a_job_without_stdin_has_none(job: Job) -> None:
    for request in (b"I", b"Z"):
        with job.connect() as connection:
            assert connection.ask(request) == ("R", ENXIO)
            assert connection.answer() is None


def test_the_command_reads_the_null_device_beside_a_control_socket(start: Start, control: Path, tier: str) -> None:
    program = "import os\nfor fd in range(99):\n try: print(fd, os.readlink(f'/proc/self/fd/{fd}').split(':')[0])\n"
    job = start(*python(program + " except OSError: pass"), tier=tier, control=control)
    lines = job.result().stdout.splitlines()
    assert lines[:3] == [b"0 /dev/null", b"1 pipe", b"2 pipe"]
    assert not [line for line in lines if b"socket" in line]


def test_stdin_without_a_control_socket_is_an_error(start: Start) -> None:
    result = start("true", options=("--stdin",)).result()
    assert (result.code, result.error) == (125, "internal: --stdin without a control socket")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_other_sockets_are_no_control_socket(start: Start, kind: int) -> None:
    """As anything else that is found as fd 0, they end there."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours, theirs:
        result = start("readlink", "/proc/self/fd/0", stdin=theirs).result()
    assert (result.code, result.stdout) == (0, b"/dev/null\n")


# --- commands beside the job's ---


def test_an_executed_command(job: Job) -> None:
    executed = job.execute("sh", "-c", "cat; echo error >&2; exit 3")
    executed.stdin.write(b"in\0put")
    assert executed.result() == (b"in\0put", b"error\n", [("W", 3 << 8)])
    assert job.process.poll() is None


def test_it_is_confined_as_the_job_is(job: Job) -> None:
    script = "for kind in pid mnt user net ipc uts cgroup; do readlink /proc/{}/ns/$kind; done; " + (
        "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp)' /proc/{}/status; pwd; umask; cat /proc/{}/oom_score_adj"
    )
    ours = job.execute("sh", "-c", script.replace("{}", "self")).result()[0]
    # The job's command, seen from beside it: the oldest child of pid 1.
    theirs = job.execute("sh", "-c", script.replace("{}", "$(cut -d' ' -f1 /proc/1/task/1/children)")).result()[0]
    assert ours == theirs
    assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}".encode() in ours
    assert ours.endswith(b"\n500\n")
    assert b"NoNewPrivs:\t1" in ours
    if job.tier == "own":
        assert b"Seccomp:\t2" in ours
    text = job.execute("cat", "/proc/self/status").result()[0].decode()
    masks = [line.split()[1] for line in text.splitlines() if line.startswith(("SigBlk:", "SigIgn:", "SigCgt:"))]
    assert {int(mask, 16) for mask in masks} == {0}


def test_it_leads_a_session_and_has_three_descriptors(job: Job) -> None:
    program = (
        "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0), os.getppid(), os.listdir('/proc/self/fd'))"
    )
    assert job.execute(*python(program)).result()[0] == b"True 1 ['0', '1', '2', '3']\n"  # 3 is the directory


def test_its_environment_is_the_job_s_and_more(start: Start, control: Path) -> None:
    job = start(*STAY, control=control, env={"OF_JOB": "1", "BOTH": "job"})
    out = job.execute("env", environment=["EXTRA=a b=c", "BOTH=exec", "EMPTY="]).result()[0].decode().splitlines()
    assert {"OF_JOB=1", "EXTRA=a b=c", "BOTH=exec", "EMPTY=", f"PATH={ENVIRONMENT['PATH']}"} <= set(out)
    assert "BOTH=job" not in out


def test_arguments_arrive_as_they_are(job: Job) -> None:
    out = job.execute("printf", "<%s>", "", "a b", "$HOME", "--", "ü", "").result()[0].decode()
    assert out == "<><a b><$HOME><--><ü><>"


@pytest.mark.parametrize(("command", "error", "code"), [("no-such-program", ENOENT, 127), ("/etc/passwd", EACCES, 126)])
def test_what_cannot_be_executed(job: Job, command: str, error: int, code: int) -> None:
    assert job.execute(command).result()[2] == [("F", error), ("W", code << 8)]


def test_a_terminal(job: Job) -> None:
    executed = job.execute("sh", "-c", "tty; stty size; read line; echo got $line", terminal=True)
    fcntl.ioctl(executed.master.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    executed.master.write(b"word\n")
    seen = b""
    while b"got word" not in seen:
        seen += executed.master.read(1000)
    assert executed.answers() == [("W", 0)]


def test_a_terminal_is_the_controlling_one(job: Job) -> None:
    executed = job.execute(
        "sh", "-c", "trap 'exit 4' INT; : < /dev/tty && echo ready; while :; do sleep 0.01; done", terminal=True
    )
    assert b"ready" in executed.master.read(1000)
    executed.master.write(b"\x03")
    assert executed.answers() == [("W", 4 << 8)]


def test_signals_reach_the_process_group(job: Job) -> None:
    executed = job.execute("sh", "-c", "trap 'echo got it; exit 5' USR1; sleep 60 & sleep 0.1; echo ready; wait; wait")
    assert executed.line() == b"ready\n"
    executed.connection.send(b"S" + bytes([signal.SIGUSR1]))
    assert executed.result() == (b"got it\n", b"", [("W", 5 << 8)])
    wait_until(lambda: not [name for name in processes(job) if "sleep 60 &" in name])


def test_a_closed_connection_hangs_up(job: Job) -> None:
    executed = job.execute("sh", "-c", "trap 'echo hung up; exit' HUP; echo ready; while :; do sleep 0.01; done")
    assert executed.line() == b"ready\n"
    executed.connection.socket.close()
    assert executed.stdout.read(100) == b"hung up\n"
    wait_until(lambda: processes(job) == ["sleep 60"])


def test_who_ignores_that_is_killed(job: Job) -> None:
    executed = job.execute("sh", "-c", "trap '' HUP; (while :; do sleep 1; done) & echo ready; wait")
    assert executed.line() == b"ready\n"
    executed.connection.socket.close()
    assert executed.stdout.read(100) == b""  # end of file: nobody is left that holds the pipe
    wait_until(lambda: processes(job) == ["sleep 60"])


def test_executed_commands_end_with_the_job(start: Start, control: Path, tier: str) -> None:
    job = start("sh", "-c", "echo ready; sleep 0.5; exit 6", tier=tier, control=control)
    executed = job.execute("sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done")
    assert executed.result()[2] == [("W", signal.SIGKILL)]
    assert job.result().code == 6


def test_an_executed_command_does_not_end_the_job_or_its_output(start: Start, control: Path, tier: str) -> None:
    job = start("sh", "-c", "echo ready; sleep 0.5; echo done", tier=tier, control=control)
    job.ready()
    assert job.execute("sh", "-c", "exit 9").result()[2] == [("W", 9 << 8)]
    result = job.result()
    assert (result.code, result.stdout) == (0, b"ready\ndone\n")


def test_a_stop_reaches_executed_commands(job: Job) -> None:
    executed = job.execute("sh", "-c", "echo ready; sleep 60")
    assert executed.line() == b"ready\n"
    job.stop()
    assert executed.result()[2] == [("W", signal.SIGTERM)]
    assert job.result().code == 128 + signal.SIGTERM


def test_nothing_is_executed_when_the_end_has_begun(start: Start, control: Path, tier: str) -> None:
    job = start("sh", "-c", "trap '' TERM; echo ready; sleep 60", tier=tier, control=control, options=("--grace=3",))
    job.ready()
    job.stop()
    time.sleep(0.1)
    assert job.execute("true").result()[2] == [("R", ESRCH)]
    job.result()


def test_many_at_once_and_one_after_the_other(job: Job) -> None:
    before = open_files(job)
    for _ in range(4):
        together = [job.execute("cat") for _ in range(20)]
        for number, executed in enumerate(together):
            executed.stdin.write(b"%d" % number)
        for number, executed in enumerate(together):
            assert executed.result() == (b"%d" % number, b"", [("W", 0)])
    wait_until(lambda: open_files(job) == before)


# --- a hostile job, a confused daemon ---


def test_too_many_connections(job: Job) -> None:
    held = [job.connect() for _ in range(32)]
    for connection in held[:31]:
        assert connection.ask(b"?") == ("R", EINVAL)  # taken, and refused
    held += [job.connect() for _ in range(40)]
    answers = []
    for connection in held[31:]:
        connection.socket.settimeout(0.05)
        try:
            answers.append(connection.answer())
        except TimeoutError:
            answers.append("waits")
    assert answers.count("waits") == 32
    assert answers.count(("R", EBUSY)) == len(answers) - 32
    for connection in held:
        connection.socket.close()
    wait_until(lambda: job.execute("echo", "again").result()[0] == b"again\n")


def bad_requests() -> list[bytes]:
    good = execution(["true"], ["A=b"])
    return [
        *(b"?", b"\0", b"X", b"X\0\1\0", b"X\0\0\0true\0", b"X\0\1\0true", b"X\0\1\0\0", b"X\2\1\0true\0"),
        *(b"X\0\2\0true\0", b"X\0\xff\xfftrue\0", good + b"NOEQUALS\0", good + b"=x\0", good + b"\0"),
        *(b"I ", b"Z ", b"S", b"S\1", b"S\0", b"S\xff", b"S\x0f\x0f"),
    ]


def test_requests_that_make_no_sense(job: Job) -> None:
    before = open_files(job)
    with open("/dev/null") as null:
        for request in bad_requests():
            for count in (0, 1, 2, 3, 4, 50):
                with job.connect() as connection:
                    connection.send(request, [null.fileno()] * count)
                    assert connection.answer() == ("R", EINVAL), (request, count)
                    assert connection.answer() is None
    wait_until(lambda: open_files(job) == before)
    wait_until(lambda: processes(job) == ["sleep 60"])


def test_the_wrong_number_of_descriptors(job: Job) -> None:
    before = open_files(job)
    with open("/dev/null") as null:
        for terminal, right in ((False, 3), (True, 1)):
            for count in {0, 1, 2, 3, 4, 5, 200} - {right}:
                with job.connect() as connection:
                    request = execution(["true"], terminal=terminal)
                    assert connection.ask(request, [null.fileno()] * count) == ("R", EINVAL), (terminal, count)
        with job.connect() as connection:
            connection.send(execution(["true"], terminal=True), [null.fileno()])
            answers = dict(iter(connection.answer, None))
            assert answers == {"R": 0, "F": ENOTTY, "W": 126 << 8}  # the null device is no terminal
    wait_until(lambda: open_files(job) == before)


def test_messages_that_are_too_long(job: Job) -> None:
    before = open_files(job)
    longest = execution(["true", "x" * 65000])
    fits = longest + b"A=" + b"y" * (65536 - len(longest) - 3) + b"\0"
    many = execution(["true", *["x"] * 4096])
    with open("/dev/null") as null:
        for request, answer in ((fits, ("R", 0)), (fits + b"B=\0", ("R", EMSGSIZE)), (many, ("R", EMSGSIZE))):
            with job.connect() as connection:
                assert connection.ask(request, [null.fileno()] * 3) == answer
    wait_until(lambda: open_files(job) == before)


def test_a_second_command_on_one_connection(job: Job) -> None:
    executed = job.execute("sh", "-c", "echo ready; sleep 60")
    assert executed.line() == b"ready\n"
    with open("/dev/null") as null:
        executed.connection.send(execution(["true"]), [null.fileno()] * 3)
    assert executed.result()[2] == [("R", EINVAL)]  # and is hung up on
    wait_until(lambda: processes(job) == ["sleep 60"])


def test_connections_that_say_nothing(job: Job) -> None:
    before = open_files(job)
    for _ in range(100):
        job.connect().socket.close()
    with job.connect() as connection:
        connection.send(b"")
        assert connection.answer() is None
    wait_until(lambda: open_files(job) == before)


LIMITED = """
import os, resource, sys
for limit in sys.argv[2:]:
    resource.prlimit(1, getattr(resource, limit), (int(sys.argv[1]), int(sys.argv[1])))
os.write(1, b"ready\\n")
os.read(0, 1)
"""


@pytest.mark.parametrize("files", [0, 6, 12])
def test_init_without_room_for_descriptors(start: Start, control: Path, tier: str, files: int) -> None:
    """No answer, or an error; no busy loop, and the job goes on and ends as it would."""
    job = start(*python(LIMITED), str(files), "RLIMIT_NOFILE", tier=tier, control=control, options=("--stdin",))
    job.ready()
    pipes = [os.pipe() for _ in range(3)]
    connections = [job.connect() for _ in range(3)]
    for connection in connections:
        connection.send(execution(["true"]), [end for pipe in pipes for end in pipe][:3])
    before = cpu_seconds(job.init_pid)
    time.sleep(0.6)
    assert cpu_seconds(job.init_pid) - before <= 0.05
    for connection in connections:
        connection.socket.settimeout(0.01)
        try:
            answer = connection.answer()
        except TimeoutError:
            continue
        assert answer in (("R", EMFILE), ("R", EAGAIN), ("R", 0), None)
    for fd in (end for pipe in pipes for end in pipe):
        os.close(fd)
    job.stop()
    assert job.result().code == 128 + signal.SIGTERM


def test_init_without_room_for_processes(start: Start, control: Path, tier: str) -> None:
    program = LIMITED.replace("os.read(0, 1)", "import time; time.sleep(60)")
    job = start(*python(program), "0", "RLIMIT_NPROC", tier=tier, control=control)
    job.ready()
    before = open_files(job)
    for _ in range(50):
        assert job.execute("true").result() == (b"", b"", [("R", EAGAIN)])
    wait_until(lambda: open_files(job) == before)


def test_the_control_socket_is_out_of_the_job_s_reach(start: Start, control: Path, tier: str) -> None:
    """Whatever an executed command and the job's own find of it: nothing."""
    program = """
import os
for pid in filter(str.isdecimal, os.listdir("/proc")):
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if "socket" in target:
                print(pid, fd, target)
    except OSError:
        pass
print("looked")
"""
    job = start(*STAY, tier=tier, control=control, options=("--stdin",))
    job.ready()
    with job.connect():
        assert job.execute(*python(program)).result()[0] == b"looked\n"


# --- attempts, secrets ---


@pytest.mark.parametrize("first", [1, 2, 4711, 10**18])
def test_numbers_begin_where_the_last_attempt_ended(start: Start, tier: str, first: int) -> None:
    result = start("sh", "-c", "echo a; echo b", tier=tier, options=(f"--first-seq={first}",)).result(first_seq=first)
    assert result.stdout == b"a\nb\n"
    assert int(result.exit["JOBLET_SEQ"]) == first + len(result.entries) - 1


@pytest.mark.parametrize("text", ["", "0", "-1", "1x", "1.5", str(10**18 + 1)])
def test_first_seq_is_a_number(start: Start, text: str) -> None:
    job = start("true", options=(f"--first-seq={text}",))
    assert job.process.wait(30) == 2
    assert b"not a number from 1 to" in job.stderr()


@pytest.fixture
def credentials(place: Path) -> Path:
    """A credentials directory as systemd makes it."""
    directory = place / "credentials"
    directory.mkdir(exist_ok=True)
    (directory / "environment").unlink(missing_ok=True)
    return directory


@pytest.mark.parametrize("end", [b"", b"\0"])
def test_secrets_become_variables(start: Start, tier: str, credentials: Path, control: Path, end: bytes) -> None:
    (credentials / "environment").write_bytes(b"TOKEN=a=b\nc\xff\0EMPTY=\0HOME=/secret" + end)
    env = {"CREDENTIALS_DIRECTORY": str(credentials), "HOME": "/work"}
    job = start("sh", "-c", "env -0; echo; echo ready; sleep 60", tier=tier, env=env, control=control)
    job.ready()
    for out in (output_of(job), job.execute("env", "-0").result()[0]):
        assert {b"TOKEN=a=b\nc\xff", b"EMPTY=", b"HOME=/secret"} <= set(out.split(b"\0"))
        assert b"CREDENTIALS_DIRECTORY" not in out
    job.stop()
    assert b"a=b" not in b"".join(b"".join(entry.values()) for entry in job.result().entries if entry.record)


def output_of(job: Job) -> bytes:
    return b"".join(entry.data for entry in job.journal.entries if not entry.record)


@pytest.mark.parametrize("content", [b"NOVALUE", b"A=1\0\0B=2", b"=secret", b"A=1\0secret"])
def test_malformed_secrets_are_an_error_that_does_not_tell_them(
    start: Start, credentials: Path, content: bytes
) -> None:
    (credentials / "environment").write_bytes(content)
    result = start("true", env={"CREDENTIALS_DIRECTORY": str(credentials)}).result()
    assert (result.code, result.error) == (125, "internal: the secret variables are not in the form KEY=VALUE")


def test_missing_secrets_are_an_error(start: Start, credentials: Path) -> None:
    result = start("true", env={"CREDENTIALS_DIRECTORY": str(credentials)}).result()
    assert result.error == "internal: cannot read the secret variables: No such file or directory"

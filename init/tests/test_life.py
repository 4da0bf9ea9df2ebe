"""How jobs end: by themselves, by signals, by a stop; and what becomes of their processes."""

from __future__ import annotations

import os
import platform
import signal
import socket
import time
from pathlib import Path

import pytest
from harness import GID, PATIENCE, UID, Run, Start, descendants, python, wait_until


@pytest.mark.parametrize("code", [0, 1, 3, 124, 255])
def test_exit_code(run: Run, tier: str, code: int) -> None:
    result = run("sh", "-c", f"exit {code}", tier=tier)
    assert result.code == code
    assert result.status == code << 8
    assert result.exit["MESSAGE"] == b"Exited with code %d" % code
    assert result.exit["PRIORITY"] == (b"5" if code else b"6")
    assert result.exit["JOBLET_EXEC_ERRNO"] == b"0"
    assert "JOBLET_ERROR" not in result.exit
    assert "JOBLET_STOPPED" not in result.exit


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_killed_by_a_signal(run: Run, tier: str, number: signal.Signals) -> None:
    result = run("sh", "-c", f"ulimit -c 0; kill -{number} $$", tier=tier)
    assert result.code == 128 + number
    assert result.status == number
    assert result.exit["MESSAGE"] == f"Killed by signal {number.name}".encode()
    assert result.exit["PRIORITY"] == b"4"
    assert "JOBLET_STOPPED" not in result.exit


def test_killed_by_a_realtime_signal(run: Run) -> None:
    assert run("sh", "-c", "kill -40 $$").exit["MESSAGE"] == b"Killed by signal 40"


def test_a_restarted_unit_does_not_run_its_job_again(run: Run, place: Path, tier: str) -> None:
    """systemd gives it the same socket."""
    (place / "count").unlink(missing_ok=True)
    script = f"echo x >>{place}/count; cat {place}/count; exit 3"
    result = run(
        "sh", "-c", script, tier=tier, wrapper=("sh", "-c", '"$@" && exit 9; test $? -eq 3 || exit 8; "$@"', "sh")
    )
    assert (result.stdout, result.status, result.code) == (b"x\n", 3 << 8, 0)


def test_words_that_come_encoded(run: Run, tier: str) -> None:
    """As where systemd does not get ``$`` and ``;`` back from the file that it keeps of a unit."""
    words = ("sh", "-c", 'printf "<%s>" "\1{0}" "\1@"\2 exit 3', "\1\2\3\1\3\2\3\3\3", "", "a b")
    result = run(*words, options=("--encoded",), tier=tier)
    assert (result.stdout, result.code) == (b"<$;\1\2\3\3><><a b>", 3)
    assert run("printf", "%s", "a\1b\2\3$;", tier=tier).stdout == b"a\1b\2\3$;"


ENOENT = (127, 2, b"Could not start: No such file or directory")
EACCES = (126, 13, b"Could not start: Permission denied")
COMMANDS = {
    "no-such-command-anywhere": ENOENT,
    "/no/such/path": ENOENT,
    "": ENOENT,
    "{place}/plain/x": (127, 20, b"Could not start: Not a directory"),
    "{place}/plain": EACCES,
    "{place}": EACCES,
    "{place}/interpreter": ENOENT,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_failed_exec(run: Run, place: Path, tier: str, command: str) -> None:
    (place / "plain").write_text("echo hello\n")
    (place / "interpreter").write_text("#!/nonexistent/interpreter\n")
    (place / "interpreter").chmod(0o755)
    code, number, message = COMMANDS[command]
    result = run(command.format(place=place), "argument", tier=tier)
    assert result.code == code
    assert result.status == code << 8
    assert result.exit["JOBLET_EXEC_ERRNO"] == b"%d" % number
    assert result.exit["MESSAGE"] == message
    assert result.exit["PRIORITY"] == b"4"
    assert "JOBLET_ERROR" not in result.exit
    assert result.lines == []


def test_command_is_found_by_path_of_its_environment(run: Run, place: Path) -> None:
    (place / "bin").mkdir(exist_ok=True)
    (place / "bin" / "only-here").write_text("#!/bin/sh\necho found\n")
    (place / "bin" / "only-here").chmod(0o755)
    assert run("only-here", env={"PATH": f"/nowhere:{place}/bin:/bin"}).stdout == b"found\n"
    assert run("only-here").code == 127


def test_usage_of_all_processes_is_counted(run: Run) -> None:
    program = "import time\nx = b'x' * 50_000_000\nwhile time.process_time() < 0.3: pass"
    result = run("sh", "-c", '"$@" & wait; :', "sh", *python(program))
    assert 250_000 < int(result.exit["JOBLET_CPU_USEC"]) < 10_000_000
    assert 50_000 < int(result.exit["JOBLET_MAXRSS_KIB"]) < 500_000


# --- stop ---


def test_stop(start: Start, tier: str) -> None:
    job = start("sh", "-c", "echo ready; exec sleep 60", tier=tier)
    job.ready()
    begin = time.monotonic()
    job.stop()
    result = job.result()
    assert time.monotonic() - begin < 8  # at once, not after the grace period
    assert result.code == 128 + signal.SIGTERM
    assert result.status == signal.SIGTERM
    assert result.exit["JOBLET_STOPPED"] == b"1"


def test_a_job_may_end_as_it_likes_when_stopped(start: Start, tier: str) -> None:
    job = start(
        "sh",
        "-c",
        "trap 'echo saving; sleep 0.3; echo saved; exit 7' TERM; echo ready; while :; do sleep 0.01; done",
        tier=tier,
    )
    job.ready()
    job.stop()
    time.sleep(0.05)
    job.send(signal.SIGTERM)  # a second one changes nothing
    result = job.result()
    assert result.code == 7
    assert result.stdout == b"ready\nsaving\nsaved\n"
    assert result.exit["JOBLET_STOPPED"] == b"1"


def test_stop_before_the_command_was_started(start: Start, tier: str) -> None:
    """systemd signals the processes that there are: joblet-init, which waits to write its start record."""
    job = start("sleep", "60", tier=tier, full=True)
    wait_until(lambda: Path(f"/proc/{job.init_pid}/comm").read_text() == "joblet-init\n")
    time.sleep(0.2)
    assert job.journal.entries == []
    begin = time.monotonic()
    job.stop()
    job.journal.resume()
    result = job.result()
    assert time.monotonic() - begin < 8
    assert result.status == signal.SIGTERM
    assert result.exit["JOBLET_STOPPED"] == b"1"


def test_systemds_signal_may_reach_the_command_first(start: Start, tier: str) -> None:
    job = start(*python(SAVING_CHILD), tier=tier)
    job.ready()
    main = job.main_pid
    for pid in (*descendants(main), main):
        os.kill(pid, signal.SIGTERM)
    result = job.result()
    assert result.stdout == b"ready\nchild saved\n"
    assert result.exit["JOBLET_STOPPED"] == b"1"


@pytest.mark.parametrize("grace", ["0", "0.5"])
def test_grace(start: Start, tier: str, grace: str) -> None:
    job = start(
        "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done", tier=tier, options=(f"--grace={grace}",)
    )
    job.ready()
    begin = time.monotonic()
    job.stop()
    result = job.result()
    assert float(grace) <= time.monotonic() - begin < float(grace) + 8
    assert result.status == signal.SIGKILL
    assert result.code == 128 + signal.SIGKILL


SAVING_CHILD = """
import os, signal, time
if os.fork() == 0:
    def save(*_):
        time.sleep(0.5)
        os.write(1, b"child saved\\n")
        os._exit(0)
    signal.signal(signal.SIGTERM, save)
    os.write(1, b"ready\\n")
    while True:
        time.sleep(0.01)  # not signal.pause(): a signal just before it would wait for the next one
while True:
    time.sleep(1)
"""


def test_stop_waits_for_a_child_that_saves_its_state(start: Start, tier: str) -> None:
    job = start(*python(SAVING_CHILD), tier=tier)
    job.ready()
    job.stop()  # the command itself dies of it at once
    result = job.result()
    assert result.stdout == b"ready\nchild saved\n"
    assert result.code == 128 + signal.SIGTERM


def test_stop_reaches_stopped_processes(start: Start) -> None:
    job = start("sh", "-c", "trap 'echo woken; exit 0' TERM; echo ready; kill -STOP $$; sleep 60")
    job.ready()
    wait_until(lambda: "State:\tT" in status(job.init_pid))
    job.stop()
    result = job.result()
    assert result.stdout == b"ready\nwoken\n"


def status(init: int) -> str:
    children = Path(f"/proc/{init}/task/{init}/children").read_text().split()
    return "".join(Path(f"/proc/{child}/status").read_text() for child in children)


def test_a_stopped_command_is_not_an_ended_one(start: Start) -> None:
    job = start("sh", "-c", "echo ready; kill -STOP $$; echo continued")
    job.ready()
    wait_until(lambda: "State:\tT" in status(job.init_pid))
    time.sleep(0.1)
    assert job.process.poll() is None
    job.send(signal.SIGCONT)
    assert job.result().stdout == b"ready\ncontinued\n"


def test_the_job_cannot_pretend_to_be_stopped_from_outside(run: Run, tier: str) -> None:
    result = run("sh", "-c", "trap 'exit 5' TERM; kill -TERM 1; while :; do sleep 0.01; done", tier=tier)
    assert result.code == 5  # it is a stop, but nobody's from outside
    assert "JOBLET_STOPPED" not in result.exit
    # rt_sigqueueinfo(2) with a made-up sender: pid 0 and a code that is not SI_USER.
    forged = """
import ctypes, os, signal, struct, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(6))
for code in (0, -1, -6, 0x80):
    info = struct.pack("iiixxxxii", signal.SIGTERM, 0, code, 0, 0).ljust(128, b"\\0")
    ctypes.CDLL(None).syscall({number}, 1, signal.SIGTERM, info)
while True:
    time.sleep(0.01)
"""
    number = {"x86_64": 129, "aarch64": 138}[platform.machine()]
    result = run(*python(forged.format(number=number)), tier=tier)
    assert "JOBLET_STOPPED" not in result.exit
    assert result.code == 6


# --- signals ---


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGRTMIN + 3,
    ],
)
def test_signals_are_passed_on(start: Start, tier: str, number: int) -> None:
    program = f"""
import os, signal, time
def handle(number, _):
    os.write(1, b"got %d\\n" % number)
    os._exit(0)
signal.signal({int(number)}, handle)
os.write(1, b"ready\\n")
while True:
    time.sleep(0.01)  # not signal.pause(), see above
"""
    job = start(*python(program), tier=tier)
    job.ready()
    job.send(number)
    result = job.result()
    assert result.stdout == b"ready\ngot %d\n" % number
    assert result.code == 0


def test_signals_go_to_the_command_s_process_group_only(start: Start) -> None:
    program = """
import os, signal, time
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"got it\\n"))
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"WRONG\\n"))
    os.write(1, b"ready\\n")
    time.sleep(60)
time.sleep(0.6)
"""
    job = start(*python(program))
    job.ready()
    job.send(signal.SIGUSR1)
    assert job.result().stdout == b"ready\ngot it\n"


def test_the_job_cannot_kill_its_init(run: Run, tier: str) -> None:
    numbers = [n for n in range(1, 65) if n not in (signal.SIGTERM, 32, 33)]
    program = f"""
import os, signal
for number in {[int(n) for n in numbers]}:
    if number not in (9, 19):
        signal.signal(number, signal.SIG_IGN)
for number in {[int(n) for n in numbers]} * 100:
    os.kill(1, number)
print("alive", flush=True)
os._exit(3)
"""
    result = run(*python(program), tier=tier)
    assert (result.stdout, result.code) == (b"alive\n", 3)


def test_a_killed_outer_process_takes_the_job_along(start: Start) -> None:
    job = start("sleep", "60", tier="own")
    inner = job.init_pid
    job.journal.wait_for(len)
    wait_until(lambda: status(inner))
    job.process.kill()
    wait_until(lambda: not Path(f"/proc/{inner}").exists())


# --- what a command leaves behind ---


def test_the_rest_dies_with_the_command(run: Run, tier: str) -> None:
    begin = time.monotonic()
    result = run(
        "sh", "-c", "trap '' TERM HUP; (sleep 60; echo WRONG) & setsid sleep 60 & echo done; exit 2", tier=tier
    )
    assert time.monotonic() - begin < 8
    assert (result.stdout, result.code) == (b"done\n", 2)


def test_orphans_are_reaped(start: Start) -> None:
    program = """
import os, time
for _ in range(1000):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
for _ in range(1000):
    os.wait()
os.write(1, b"ready\\n")
time.sleep(60)
"""
    job = start(*python(program))
    job.ready()
    children = Path(f"/proc/{job.init_pid}/task/{job.init_pid}/children")
    wait_until(lambda: len(children.read_text().split()) == 1)
    job.stop()
    assert job.result().code == 128 + signal.SIGTERM


def test_thousands_of_children(run: Run, tier: str) -> None:
    program = """
import os, signal
for _ in range(1000):
    if os.fork() == 0:
        signal.pause()
os.write(1, b"enough\\n")
os._exit(0)
"""
    result = run(*python(program), tier=tier)
    assert (result.stdout, result.code) == (b"enough\n", 0)


def test_zombies_that_nobody_waits_for(start: Start) -> None:
    program = """
import os, signal
for _ in range(1000):
    if os.fork() == 0:
        os._exit(0)
os.write(1, b"ready\\n")
signal.pause()
"""
    job = start(*python(program))
    job.ready()
    job.stop()
    assert job.result().code == 128 + signal.SIGTERM


def test_a_fork_bomb_ends_with_the_command(run: Run) -> None:
    program = """
import os, resource, threading, time
resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))
parent = os.getpid()
if os.fork() == 0:
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.001)
time.sleep(0.5)
os._exit(1)
"""
    assert run(*python(program)).code == 1


def test_a_pipe_passed_to_somebody_outside(start: Start, place: Path) -> None:
    """Two jobs may share a volume, and so a socket. End of file never comes then."""
    path = place / "shared"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
        os.chown(path, UID, GID)
        server.listen()
        server.settimeout(PATIENCE)
        program = f"""
import os, socket
other = socket.socket(socket.AF_UNIX)
other.connect({str(path)!r})
socket.send_fds(other, [b"x"], [1, 2])
other.recv(1)
os.write(1, b"last words\\n")
"""
        job = start(*python(program))
        with server.accept()[0] as connection:
            _, fds, _, _ = socket.recv_fds(connection, 1, 2)
            connection.send(b"x")
        result = job.result()
        assert (result.stdout, result.code) == (b"last words\n", 0)
        for fd in fds:
            os.close(fd)

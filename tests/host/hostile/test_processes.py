"""What a job can do to processes: to those of others nothing, to its own init nothing that it gains by."""

from __future__ import annotations

from pathlib import Path

from hosts import Host, compiled, until

from .attempts import PROGRAMS, Table, surprises

# struct iovec: eight bytes at address 0.
VECTOR = {"hex": "00000000000000000800000000000000"}

# ProtectProc=invisible hides what is not dumpable altogether, where PID 1 makes the namespace.
HIDDEN = "EACCES EPERM ENOENT"

ON_INIT: Table = {
    "ptrace attach": ((101, 16, 1, 0, 0), "EPERM"),
    "ptrace seize": ((101, 0x4206, 1, 0, 0), "EPERM"),
    "process_vm_readv": ((310, 1, VECTOR, 1, VECTOR, 1, 0), "EPERM"),
    "process_vm_writev": ((311, 1, VECTOR, 1, VECTOR, 1, 0), "EPERM"),
    "pidfd_getfd": ((438, {"fd": "/proc/1"}, 1, 0), HIDDEN),
    "kcmp": ((312, 1, 1, 0, 0, 0), "EPERM"),
    "process_madvise": ((440, {"fd": "/proc/1"}, VECTOR, 1, 4, 0), f"{HIDDEN} EBADF EINVAL"),
    "get_robust_list": ((274, 1, {"zeros": 8}, {"zeros": 8}), "EPERM"),
    "move_pages": ((279, 1, 0, 0, 0, {"zeros": 8}, 0), "EPERM"),
    "migrate_pages": ((256, 1, 8, {"zeros": 8}, {"zeros": 8}), "EPERM"),
    "its limit of descriptors raised": ((302, 1, 7, {"hex": "0000001000000000" * 2}, 0), "EPERM"),
    **{
        f"open /proc/1/{name}": ((2, f"/proc/1/{name}", mode), HIDDEN)
        for name, mode in (
            *(("mem", 2), ("environ", 0), ("maps", 0), ("auxv", 0), ("syscall", 0), ("stack", 0), ("pagemap", 0)),
            *(("fd", 0), ("root/etc", 0), ("cwd/x", 0), ("fd/1", 1), ("map_files", 0), ("ns/mnt", 0), ("io", 0)),
            *(("oom_score_adj", 1), ("clear_refs", 1), ("coredump_filter", 1)),
        )
    },
}


def test_its_init_is_out_of_reach(host: Host, tmp_path: Path) -> None:
    assert surprises(host, ON_INIT, tmp_path) == {}


ASSAULT = """
import os, resource, signal
signals = signal.valid_signals() - {signal.SIGTERM}
for sig in signals - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(sig, signal.SIG_IGN)  # its init passes them back
for sig in signals:
    for _ in range(20):
        os.kill(1, sig)
for name in dir(resource):
    if name.startswith("RLIMIT_") and name != "RLIMIT_CPU":
        try:
            resource.prlimit(1, getattr(resource, name), (0, 0))
        except (OSError, ValueError) as error:
            print(name, error, flush=True)
os.sched_setaffinity(1, {min(os.sched_getaffinity(0))})
os.setpriority(os.PRIO_PROCESS, 1, 19)
os.system("sleep 0.1; echo a child")
print("all of the output", flush=True)
os._exit(7)
"""


def test_an_assault_on_its_init_changes_nothing(host: Host) -> None:
    """A process may send signals to its init and lower its limits: it has the same uid. Nothing comes of it."""
    job = host.run("python3", "-c", ASSAULT)
    assert host.log(job) == b"a child\nall of the output\n"
    status = host.result(job)
    assert (status["status"], status["reason"]) == ("FAILED", "exit-code 7")


def test_who_ends_its_init_ends_itself(host: Host) -> None:
    """The one thing that ends a pid 1 from inside is the kernel's own SIGKILL, for CPU time that is used up."""
    script = (
        "import resource, time\n"
        "print('before', flush=True); time.sleep(0.5)\n"
        "resource.prlimit(1, resource.RLIMIT_CPU, (0, 0))\n"
        "while True: print('x', flush=True)\n"
    )
    job = host.run("python3", "-c", script)
    status = host.result(job)
    assert (status["status"], status["exitCode"]) == ("FAILED", 137)
    # Where joblet-init makes the namespace, its outer process hands on the code and cannot tell the two apart.
    assert status["reason"] in ("signal SIGKILL", "exit-code 137")
    assert host.log(job).startswith(b"before\n")


KILL_EVERYBODY = """
import os
killed = []
for pid in [*range(-1, -5000, -1), *range(2, 5000)]:
    if pid in (os.getpid(), -1) or pid == -os.getpgid(0):
        continue
    try:
        os.kill(pid, 9)
        killed.append(pid)
    except ProcessLookupError:
        pass
print(killed)
"""


def test_nobody_else_is_there_to_be_killed(host: Host) -> None:
    assert host.log(host.run("python3", "-c", KILL_EVERYBODY)) == b"[]\n"


def test_no_system_calls_by_other_tables(host: Host, tmp_path: Path) -> None:
    """The same calls have other numbers for 32-bit and x32 programs, which no filter of 64-bit numbers knows."""
    program = compiled(PROGRAMS / "foreign_abi.c", tmp_path)
    job = host.run(f"--upload={program}", "./foreign_abi")
    refused = [b"int 0x80: SIGSYS", b"syscall: works"]
    assert [line for line in host.log(job).splitlines() if line not in (b"x32: SIGSYS", b"x32: refused")] == refused


def test_what_the_kernel_counts_per_user_is_not_counted_for_root(host: Host) -> None:
    """inotify instances, queued signals and the like: a job may use up its client's, not the host's."""
    held = hoarder(host)
    # Of what the job has taken all; few, for other hosts on this machine have root's allowance, too.
    count = (
        "import ctypes, signal; libc = ctypes.CDLL(None); signal.pthread_sigmask(0, [40]); "
        "print(sum(libc.inotify_init1(0) >= 0 for _ in range(10)), "
        "sum(libc.sigqueue(ctypes.c_int(__import__('os').getpid()), 40, ctypes.c_void_p(1)) == 0 for _ in range(10)))"
    )
    try:
        assert host.exec("python3", "-c", count).stdout == "10 10\n"
    finally:
        host.rnx("job", "stop", held)


def hoarder(host: Host) -> str:
    """A job that has taken all there is per user, and keeps it."""
    job = host.run(f"--upload={PROGRAMS / 'hoard.py'}", "python3", "hoard.py")
    until(lambda: b"held\n" in host.log_so_far(job))
    return job

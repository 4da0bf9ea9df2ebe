"""What the command can see and do: of joblet-init nothing, of the host nothing."""

from __future__ import annotations

import json
import os
import platform
import signal
import stat
import subprocess
import uuid
from pathlib import Path

import pytest
from harness import GID, UID, Run, Start, python, wait_until

KINDS = ("pid", "user", "mnt", "cgroup", "ipc", "net", "uts")


def inode(kind: str) -> int:
    return os.stat(f"/proc/self/ns/{kind}").st_ino


# --- what the command starts with ---


def test_the_command_has_three_descriptors(run: Run, tier: str) -> None:
    program = """
import os
for fd in range(4096):
    try:
        os.fstat(fd)
    except OSError:
        continue
    target = os.readlink(f"/proc/self/fd/{fd}")
    print(fd, target.split(":")[0], "nonblocking" if not os.get_blocking(fd) else "")
"""
    assert run(*python(program), tier=tier).stdout == b"0 /dev/null \n1 pipe \n2 pipe \n"


def test_descriptors_that_were_passed_to_init_end_there(run: Run, tier: str) -> None:
    wrapper = ("sh", "-c", 'exec "$@" 3< /etc/passwd 7< /etc/passwd', "sh")
    result = run("sh", "-c", "cat <&3; cat <&7", tier=tier, wrapper=wrapper)
    assert result.stdout == b""
    assert b"Bad file descriptor" in result.stderr


def test_signals_are_as_in_a_fresh_login(run: Run, tier: str) -> None:
    text = run("cat", "/proc/self/status", tier=tier).stdout.decode()
    masks = dict(line.split() for line in text.splitlines() if line.startswith(("SigBlk:", "SigIgn:", "SigCgt:")))
    assert {int(mask, 16) for mask in masks.values()} == {0}


def test_the_command_leads_a_session_of_its_own(run: Run, tier: str) -> None:
    program = "import os; print(os.getpid() == os.getsid(0) == os.getpgid(0), os.getppid())"
    assert run(*python(program), tier=tier).stdout == b"True 1\n"


def test_environment(run: Run, tier: str) -> None:
    gone = [
        "SYSTEMD_EXEC_PID",
        "MEMORY_PRESSURE_WATCH",
        "MEMORY_PRESSURE_WRITE",
        "NOTIFY_SOCKET",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
        "JOURNAL_STREAM",
    ]
    kept = ["INVOCATION_ID", "HOME", "LISTEN_ADDRESS", "X_NOTIFY_SOCKET", "EMPTY"]
    environment = dict.fromkeys(gone + kept, "value") | {"EMPTY": "", "MULTI": "a\nb=c"}
    out = run("env", "-0", tier=tier, env=environment).stdout.decode().split("\0")
    names = {line.split("=")[0] for line in out}
    assert not names & set(gone)
    assert set(kept) <= names
    assert "MULTI=a\nb=c" in out
    assert "EMPTY=" in out


def test_oom_killer_prefers_the_job(run: Run, tier: str) -> None:
    before = Path("/proc/self/oom_score_adj").read_text()
    assert run("cat", "/proc/self/oom_score_adj", tier=tier).stdout == b"500\n"
    assert run("cat", "/proc/1/oom_score_adj", tier=tier).stdout == before.encode()


def test_stdin_is_the_null_device(run: Run) -> None:
    result = run("sh", "-c", "cat; stat -Lc %t:%T /proc/self/fd/0")
    assert result.stdout == b"1:3\n"


def test_arguments_arrive_as_they_are(run: Run, tier: str) -> None:
    arguments = ["", "$HOME", "a b", "--", "-x", "%s%n", "\n", "ü"]
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    assert json.loads(run(*python(program), *arguments, tier=tier).stdout) == arguments


# --- joblet-init is out of reach ---


PRIVATE_FILES = """
import os
for name in ("fd", "environ", "maps", "mem", "io", "cwd", "root", "exe", "fdinfo", "map_files", "ns/pid", "syscall",
             "stack", "auxv", "oom_score_adj", "comm", "clear_refs", "fd/1", "fd/3", "fd/4", "task/1/fd/1", "cmdline"):
    path = "/proc/1/" + name
    for flags in (os.O_RDONLY, os.O_WRONLY):
        try:
            fd = os.open(path, flags)
            data = os.read(fd, 10) if flags == os.O_RDONLY and name not in ("fd", "fdinfo", "map_files") else b"!"
            if data:
                print(flags, name)
        except OSError:
            pass
    try:
        os.readlink(path)
        print("link", name)
    except OSError:
        pass
"""


def test_init_s_files_in_proc_are_closed(run: Run, tier: str) -> None:
    # Harmless and open for everyone's processes: proc(5). comm is written by threads of the same process only.
    harmless = {"0 comm", "0 cmdline", "0 oom_score_adj"}
    assert set(run(*python(PRIVATE_FILES), tier=tier).stdout.decode().splitlines()) == harmless


ATTACKS = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    print(name, "worked" if result >= 0 else ctypes.get_errno())
NUMBERS = {numbers}
buffer = ctypes.create_string_buffer(64)
class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
local = iovec(ctypes.addressof(buffer), 16)
remote = iovec(0x400000, 16)
call("ptrace attach", NUMBERS["ptrace"], 16, 1, 0, 0)
call("ptrace seize", NUMBERS["ptrace"], 0x4206, 1, 0, 0)
call("process_vm_readv", NUMBERS["process_vm_readv"], 1, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
call("process_vm_writev", NUMBERS["process_vm_writev"], 1, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
call("kcmp", NUMBERS["kcmp"], 1, os.getpid(), 0, 1, 1)
pidfd = os.pidfd_open(1)
for fd in range(8):
    call("pidfd_getfd", 438, pidfd, fd, 0)
"""
NUMBERS = {
    "x86_64": {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312},
    "aarch64": {"ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272},
}[platform.machine()]


def test_init_cannot_be_traced_or_robbed(run: Run, tier: str) -> None:
    result = run(*python(ATTACKS.format(numbers=NUMBERS)), tier=tier)
    lines = result.stdout.decode().splitlines()
    assert len(lines) == 13, result.stderr
    assert {line.rpartition(" ")[2] for line in lines} == {"1"}, lines  # EPERM


def test_init_s_limits_do_not_matter(run: Run, tier: str) -> None:
    """prlimit(2) wants the same uid only. joblet-init opens nothing that it needs once the command runs."""
    program = """
import resource
for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_STACK,
              resource.RLIMIT_DATA, resource.RLIMIT_SIGPENDING, resource.RLIMIT_AS):
    resource.prlimit(1, limit, (0, 0))
print("x" * 100000)
"""
    result = run(*python(program), tier=tier)
    assert (result.stdout, result.code, result.stderr) == (b"x" * 100000 + b"\n", 0, b"")


# --- what must be isolated is ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_namespace_of_the_host_is_refused(run: Run, place: Path, tier: str, kind: str) -> None:
    made = {"systemd": {"pid", "mnt"}, "own": {"pid", "mnt", "user"}}[tier]
    flag = place / "ran"
    flag.unlink(missing_ok=True)
    result = run("touch", str(flag), tier=tier, options=(f"--host-ns={kind}:{inode(kind)}",))
    if kind in made:
        assert (result.code, result.error) == (0, "")
        return
    assert result.code == 125
    assert result.status == 125 << 8
    assert result.error == f"isolation-failed: {kind} namespace is the host's"
    assert result.exit["MESSAGE"] == f"Could not start: isolation-failed: {kind} namespace is the host's".encode()
    assert result.exit["PRIORITY"] == b"4"
    assert not flag.exists()


def test_several_namespaces_are_compared(run: Run) -> None:
    options = [f"--host-ns=pid:{inode('pid')},mnt:{inode('mnt')},uts:{inode('uts')},user:1"]
    assert run("true", options=tuple(options)).error == "isolation-failed: uts namespace is the host's"
    options = ["--host-ns=pid:9,user:1,ipc:2,net:3,mnt:4,uts:5,cgroup:6"]
    assert run("true", options=tuple(options)).code == 0


def test_refuses_to_be_anything_but_the_first_process(run: Run, place: Path) -> None:
    flag = place / "ran"
    flag.unlink(missing_ok=True)
    result = run("touch", str(flag), tier="none")
    assert result.code == 125
    assert result.error == "isolation-failed: not the first process of a pid namespace"
    assert not flag.exists()


def test_sees_only_its_own_processes(run: Run, tier: str) -> None:
    program = "import os; print(sorted(int(n) for n in os.listdir('/proc') if n.isdecimal()), os.getpid())"
    assert run(*python(program), tier=tier).stdout == b"[1, 2] 2\n"


# --- namespaces made by joblet-init itself ---


def test_own_namespaces(run: Run) -> None:
    program = f"import os\nfor kind in {KINDS}: print(kind, os.stat('/proc/self/ns/' + kind).st_ino)"
    made = dict(line.split() for line in run(*python(program), tier="own").stdout.decode().splitlines())
    assert {kind for kind in KINDS if int(made[kind]) != inode(kind)} == {"pid", "user", "mnt"}


def test_ids_are_unchanged(run: Run, place: Path) -> None:
    result = run(
        "sh",
        "-c",
        f"id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; touch {place}/o",
        tier="own",
    )
    assert result.stdout.split() == f"{UID} {GID} {UID} {UID} 1 {GID} {GID} 1 deny".encode().split()
    assert ((place / "o").stat().st_uid, (place / "o").stat().st_gid) == (UID, GID)


@pytest.mark.parametrize("pid", ["1", "self"])
def test_no_capabilities(run: Run, pid: str) -> None:
    lines = (
        run("grep", "-E", "^(Cap|NoNewPrivs|Seccomp:)", f"/proc/{pid}/status", tier="own").stdout.decode().splitlines()
    )
    values = {name: int(value, 16) for name, value in (line.split(":") for line in lines)}
    assert values == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0, "NoNewPrivs": 1, "Seccomp": 2}


def test_the_outer_process_keeps_nothing(start: Start) -> None:
    job = start("sleep", "60", tier="own")
    job.journal.wait_for(len)
    status = Path(f"/proc/{job.process.pid}/status")
    wait_until(lambda: "Seccomp:\t2" in status.read_text())
    values = [line.split() for line in status.read_text().splitlines() if line.startswith("Cap")]
    assert {int(value, 16) for _, value in values} == {0}
    sockets = [fd for fd in Path(f"/proc/{job.process.pid}/fd").iterdir() if fd.name not in "012"]
    assert not any(os.readlink(fd).startswith("socket") for fd in sockets)
    assert stat.S_IMODE(os.stat(f"/proc/{job.process.pid}/fd").st_mode) == 0o500
    assert os.stat(f"/proc/{job.process.pid}/fd").st_uid == 0  # not dumpable


SYSCALLS = {  # name: (x86-64, arm64, arguments)
    "unshare user": (272, 97, (0x10000000,)),
    "unshare mnt": (272, 97, (0x00020000,)),
    "unshare nothing": (272, 97, (0,)),
    "setns": (308, 268, (0, 0)),
    "mount": (165, 40, (0, 0, 0, 0, 0)),
    "umount2": (166, 39, (0, 0)),
    "pivot_root": (155, 41, (0, 0)),
    "chroot": (161, 51, (0,)),
    "open_tree": (428, 428, (-100, 0, 1)),
    "move_mount": (429, 429, (0, 0, 0, 0, 0)),
    "fsopen": (430, 430, (0, 0)),
    "fsconfig": (431, 431, (0, 0, 0, 0, 0)),
    "fsmount": (432, 432, (0, 0, 0)),
    "fspick": (433, 433, (-100, 0, 0)),
    "mount_setattr": (442, 442, (-100, 0, 0, 0, 0)),
    "open_tree_attr": (467, 467, (-100, 0, 1, 0, 0)),
    **{
        f"clone {flag:#x}": (56, 220, (flag | signal.SIGCHLD, 0, 0, 0, 0))
        for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x7E020000)
    },
    "clone with junk above": (56, 220, (0x10000000 | signal.SIGCHLD | 1 << 40, 0, 0, 0, 0)),
    "clone3": (435, 435, (0, 0)),
}


def test_the_door_is_closed(run: Run) -> None:
    column = ["x86_64", "aarch64"].index(platform.machine())
    calls = {name: (row[column], row[2]) for name, row in SYSCALLS.items()}
    program = f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for name, (number, arguments) in {calls!r}.items():
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(value) for value in arguments])
    if result == 0 and name.startswith("clone "):
        os._exit(99)
    print(name, ctypes.get_errno() if result < 0 else "worked", sep=": ")
"""
    result = run(*python(program), tier="own")
    assert result.code == 0
    expected = [f"{name}: {38 if name == 'clone3' else 1}" for name in SYSCALLS]  # ENOSYS, EPERM
    assert result.stdout.decode().splitlines() == expected


@pytest.mark.parametrize(
    "command",
    [
        "unshare -U true",
        "unshare -Urm true",
        "unshare -m true",
        "unshare -p --fork true",
        "mount -t tmpfs none /mnt",
        "umount /proc",
        "umount -l /sys/fs/cgroup",
        "mount -o remount,rw,bind /proc/sys",
        "nsenter -t 1 -m true",
        "chroot / true",
        "echo 5 > /proc/sys/user/max_user_namespaces",
        "echo x > /proc/sys/kernel/core_pattern",
    ],
)
def test_nothing_opens_it_again(run: Run, command: str) -> None:
    result = run("sh", "-c", command, tier="own")
    assert result.code not in (0, 127), result.stderr


def test_threads_and_children_still_work(run: Run) -> None:
    program = """
import subprocess, sys, threading
thread = threading.Thread(target=lambda: print("thread", flush=True))
thread.start()
thread.join()
print(subprocess.run(["echo", "child"], capture_output=True, text=True).stdout, end="")
"""
    assert run(*python(program), tier="own").stdout == b"thread\nchild\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other tables of x86-64")
@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("b8 14 00 00 00 cd 80", -signal.SIGSYS),  # mov eax, 20; int 0x80: getpid of i386
        ("b8 27 00 00 40 0f 05", -1),  # mov eax, 0x40000027; syscall: getpid of x32, EPERM
    ],
)
def test_foreign_system_calls(run: Run, code: str, end: int) -> None:
    program = f"""
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex("{code} c3"))
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
print(function(), flush=True)
"""
    result = run("sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *python(program), tier="own")
    if end == -signal.SIGSYS:
        assert result.status & 0x7F == signal.SIGSYS
    else:
        assert result.stdout in (b"-1\n", b"-38\n")  # the kernel may have been built without x32


def test_proc_is_fresh_and_guarded(run: Run) -> None:
    program = """
import os
mounts = [line.split() for line in open("/proc/self/mounts")]
top = [fields for fields in mounts if fields[1] == "/proc"][-1]
print(top[2], *sorted(set(top[3].split(",")) & {"nosuid", "nodev", "noexec"}))
for path in ("/proc/sys", "/proc/irq", "/proc/sysrq-trigger", "/proc/fs"):
    if os.path.exists(path):
        print(path, bool(os.statvfs(path).f_flag & os.ST_RDONLY))
for path in ("/proc/kcore", "/proc/kmsg", "/proc/kallsyms", "/proc/timer_list", "/proc/keys"):
    if os.path.exists(path):
        print(path, open(path, "rb").read())
print(open("/proc/sys/user/max_user_namespaces").read())
"""
    result = run(*python(program), tier="own")
    lines = result.stdout.decode().splitlines()
    assert result.stderr == b""
    assert lines[0] == "proc nodev noexec nosuid"
    assert all(line.endswith((" True", " b''")) for line in lines[1:-2]), lines
    assert lines[-2] == "0"


def test_cgroups_are_hidden(run: Run) -> None:
    program = """
import os
if os.path.isdir("/sys/fs/cgroup"):
    print(os.listdir("/sys/fs/cgroup"), bool(os.statvfs("/sys/fs/cgroup").f_flag & os.ST_RDONLY))
"""
    lines = run(*python(program), tier="own").stdout.decode().splitlines()
    assert lines in (["[] True"], [])


def test_a_covered_proc_is_reported(run: Run) -> None:
    """mount_too_revealing(): with something mounted over a part of the only /proc there may be no new one."""
    script = 'mount -t tmpfs none /proc/fs && exec "$@"'
    result = run("true", tier="own", wrapper=("unshare", "--mount", "--", "sh", "-c", script, "sh"))
    if result.code == 0:
        pytest.skip("another /proc in this mount namespace is in full view")
    assert result.code == 125
    assert result.error.startswith("isolation-failed: cannot mount a /proc of the job's own: Operation not permitted")


# --- usage ---

JOB = "--job=5f1c9a52-7d6e-4c0e-9d43-0b7c5a3f2e11"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--"],
        ["--", "true"],
        [JOB],
        [JOB, "--"],
        [JOB, "true"],
        [JOB, "--nonsense", "--", "true"],
        ["--job=", "--", "true"],
        ["--job=5f1c9a52-7d6e-4c0e-9d43-0b7c5a3f2e1\n", "--", "true"],
        *(
            [JOB, f"--grace={value}", "--", "true"]
            for value in ("", "-1", "1e3", "1.5x", "x", "99999999999999999999", "nan")
        ),
        *(
            [JOB, f"--host-ns={value}", "--", "true"]
            for value in (
                "",
                "pid",
                "pid:",
                "pid:x",
                "pid:1,",
                "nope:1",
                "pid:99999999999",
                ":1",
                "../pid:1",
                "pid:1;user:2",
                ",".join(["pid:1"] * 9),
            )
        ),
    ],
)
def test_wrong_usage(init: Path, arguments: list[str]) -> None:
    done = subprocess.run([init, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"joblet-init: ")
    assert b"Usage:" in done.stderr
    assert done.stdout == b""


def test_stdout_must_be_a_journal_socket(init: Path) -> None:
    done = subprocess.run([init, JOB, "--", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 125
    assert b"not a connected AF_UNIX datagram socket" in done.stderr


def test_private_and_bounded_scratch_space(run: Run) -> None:
    """Where joblet-init makes the namespaces, systemd's PrivateTmp= would be as large as the disk."""
    script = "for d in /tmp /var/tmp; do touch $d/$1 && ls -A $d && stat -f -c '%T %b*%S' $d; done"
    name = f"joblet-{uuid.uuid4()}"
    result = run("sh", "-c", script, "sh", name, tier="own")
    bounded = f"{name}\ntmpfs {(512 << 20) // 4096}*4096\n"
    assert result.stdout.decode() == bounded * 2
    assert not Path("/tmp", name).exists()

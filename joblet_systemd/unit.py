"""What a job is to systemd: from JobSpec and host to the properties of a transient unit. Pure.

Every property stands in a table beside the reason it is there. Property names and D-Bus types:
org.freedesktop.systemd1(5); meanings: systemd.exec(5), systemd.service(5), systemd.resource-control(5).
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .model import Job, JobSpec, Limits, parse_cpuset

SLICE = "joblet-jobs.slice"
LOG_NAMESPACE = "joblet"
INIT_IN_JOB = "/joblet-init"
WORK_IN_JOB = "/work"
SECRETS_CREDENTIAL = "environment"  # the name that joblet-init looks for
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

OLDEST_SYSTEMD = 252
START_TIMEOUT_USEC = 60_000_000
# joblet-init ends a job itself when the grace period is over, so that the last output and the exit
# record are kept; systemd's SIGKILL is for a joblet-init that no longer can.
KILL_MARGIN_USEC = 5_000_000
MAX_TASKS = 4096
INFINITY = 2**64 - 1
SHARE_SECONDS = 86_400  # a job that writes little may do so for years
# Between the host's services (0 and less) and what joblet-init gives the command (500), proc(5).
OOM_SCORE = 250
# As short as it can be, for there are limits (execve(2)). joblet-init decodes it.
ENCODED = str.maketrans({"$": "\1", ";": "\2", "\1": "\3\1", "\2": "\3\2", "\3": "\3\3"})
SCRATCH_OPTIONS = "mode=1777,size=512M,nr_inodes=200k,nosuid,nodev"

# Linux uapi, linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000


class Tier(enum.Enum):
    """How the process namespace is made: by PID 1, or by joblet-init where PID 1 cannot."""

    SYSTEMD = "systemd"
    INIT = "joblet-init"


@dataclass(frozen=True, slots=True)
class Host:
    """What this host's PID 1 and kernel offer, learnt once at start-up.

    ``properties`` are the service properties PID 1 knows, ``controllers`` the cgroup v2 controllers
    at its root, ``cpus`` the CPUs online, ``namespaces`` the inode numbers of the host's own
    namespaces by kind (namespaces(7)), ``etc`` the paths below /etc that programs in /usr need.
    """

    systemd_version: int
    properties: frozenset[str]
    controllers: frozenset[str]
    cpus: frozenset[int]
    namespaces: Mapping[str, int]
    etc: tuple[str, ...]

    @property
    def tier(self) -> Tier:
        """Who makes the process namespace here."""
        return Tier.SYSTEMD if "PrivatePIDs" in self.properties else Tier.INIT


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the host the job's files are, as absolute paths.

    ``root`` is the skeleton of its root, ``empty`` an empty directory, ``etc`` the job's own /etc,
    ``work`` its work directory, ``terminals`` its /dev/pts and ``init`` the joblet-init binary.
    ``log_fd`` is the journal socket that becomes its output, ``control_fd`` the listening one by which
    the daemon reaches joblet-init, ``secrets`` the encrypted file of its secret variables.
    """

    root: str
    empty: str
    etc: str
    work: str
    terminals: str
    init: str
    log_fd: int
    control_fd: int
    secrets: str


@dataclass(frozen=True, slots=True)
class LogShare:
    """How many bytes of the journal a job may fill in a day that it runs; ``used`` of them by earlier attempts."""

    size: int
    used: int = 0


@dataclass(frozen=True, slots=True)
class Property:
    """One unit property: ``signature`` is its D-Bus type, ``why`` the reason it is set."""

    name: str
    signature: str
    value: Any
    why: str


def unenforced(limits: Limits, host: Host) -> list[str]:
    """The limits asked for that this host has no cgroup controller for, as one sentence each."""
    wanted = {
        "max_cpu": ("cpu", limits.cpu_percent),
        "cpu_cores": ("cpuset", limits.cpu_cores),
        "max_memory": ("memory", limits.memory_bytes),
        "max_io_bps": ("io", limits.io_bytes_per_sec),
    }
    return [
        f"{name} cannot be enforced: this host has no cgroup v2 {controller} controller."
        for name, (controller, value) in wanted.items()
        if value is not None and controller not in host.controllers
    ]


def properties(job: Job, host: Host, place: Place, *, stop_grace: float, share: LogShare) -> list[Property]:
    """All properties of the job's unit, in the order in which they are sent to PID 1."""
    return [
        *_life(job, host, stop_grace, share),
        *_root(job, host, place),
        *_namespaces(host),
        *_rights(job, host),
        *_accounting(),
        *_limits(job.spec.limits, place.work),
        *_logs(job, place),
    ]


def _life(job: Job, host: Host, stop_grace: float, share: LogShare) -> Iterable[Property]:
    grace_usec = round(stop_grace * 1_000_000)
    argv = init_argv(job, host, stop_grace, share)
    yield Property("Description", "s", description(job.spec, job.owner), "what systemctl status shows")
    yield Property("Slice", "s", SLICE, "an administrator caps all jobs together there")
    yield Property("Type", "s", "exec", "the start succeeds when joblet-init runs, not when it was forked")
    yield _command(argv, host)
    # By 'systemctl restart', of its slice for one, or needrestart(1): what is stopped has ended, and its /work goes.
    yield Property("StartLimitIntervalUSec", "t", INFINITY, "for good")
    yield Property("StartLimitBurst", "u", 1, "a restart ends the job and does not run it again")
    yield Property("AddRef", "b", True, "the ended unit stays readable until its result is stored")
    # Not "mixed": 257 sometimes takes the first process of PrivatePIDs= for a stranger ("not our child") and
    # then does not wait for it between SIGTERM and SIGKILL. It does wait for the rest of the control group.
    yield Property("KillMode", "s", "control-group", "SIGTERM to every process, SIGKILL to those that stay")
    yield Property("TimeoutStartUSec", "t", START_TIMEOUT_USEC, "a start that hangs ends")
    yield Property("TimeoutStopUSec", "t", grace_usec + KILL_MARGIN_USEC, "a stop that hangs ends")
    # Raised by PID 1 it is a floor: no process of the job can lower its own below. joblet-init raises the command's.
    yield Property("OOMScoreAdjust", "i", OOM_SCORE, "when memory is short a job goes, not the host's services")
    # With "kill" the kernel would take joblet-init along and with it the last output.
    yield Property("OOMPolicy", "s", "stop", "running out of memory ends the whole job, output kept")


def _command(argv: Sequence[str], host: Host) -> Property:
    why = "joblet-init runs the command"
    if _reads_what_it_writes(host):
        # Without no-env-expand systemd would replace $WORD in the user's arguments.
        return Property("ExecStartEx", "a(sasas)", [[INIT_IN_JOB, list(argv), ["no-env-expand"]]], why)
    return Property("ExecStart", "a(sasb)", [[INIT_IN_JOB, list(argv), False]], why)


def _reads_what_it_writes(host: Host) -> bool:
    """Whether PID 1 gets a unit's command back from the file that it keeps of it, for when it is reloaded.

    252 writes ``ExecStartEx=``, does not know that when it reads it, and is left with a unit of no command, whose load
    state is ``bad-setting``. Of ``ExecStart=`` it gets every character back but ``$`` and ``;``. 257 does it right.
    """
    return host.tier is Tier.SYSTEMD


def init_argv(job: Job, host: Host, stop_grace: float, share: LogShare) -> tuple[str, ...]:
    """The command line of joblet-init, the job's command last."""
    # A user namespace is what joblet-init makes the others in, one of control groups what PID 1 alone makes.
    shared = "cgroup" if host.tier is Tier.INIT else "user"
    promised = sorted(kind for kind in host.namespaces if kind != shared)
    namespaces = ",".join(f"{kind}:{host.namespaces[kind]}" for kind in promised)
    options = [f"--job={job.id}", f"--grace={stop_grace:g}", f"--host-ns={namespaces}"]
    options.append(f"--log-share={share.size}:{SHARE_SECONDS}:{share.used}")
    if host.tier is Tier.INIT:
        options.append("--make-namespaces")
    if job.seq_base:
        options.append(f"--first-seq={job.seq_base + 1}")
    if job.spec.interactive:
        options.append("--stdin")
    words = job.spec.argv
    if not _reads_what_it_writes(host):
        words = tuple(word.translate(ENCODED) for word in words)
        if words != job.spec.argv:
            options.append("--encoded")
    return (INIT_IN_JOB, *options, "--", *words)


def _root(job: Job, host: Host, place: Place) -> Iterable[Property]:
    read_only = [
        _bind("/usr", "/usr"),
        _bind(place.init, INIT_IN_JOB),
        _bind(place.etc, "/etc"),
        *(_bind(path, path, optional=True) for path in host.etc),
        # LogNamespace= brings journald's sockets into the job; connecting to them must fail.
        _bind(place.empty, "/run/systemd/journal"),
    ]
    # 252's /run in a RootDirectory= is writable by everybody.
    scratch = [["/dev/shm", SCRATCH_OPTIONS], ["/run", "mode=755,size=1M,nosuid,nodev"]]
    if host.tier is Tier.SYSTEMD:
        # Instead of PrivateTmp=, which has no bounds and would win.
        scratch += [["/tmp", SCRATCH_OPTIONS], ["/var/tmp", SCRATCH_OPTIONS]]
    else:
        yield Property("PrivateTmp", "b", True, "seen by systemd-analyze; joblet-init mounts bounded ones over it")
    yield Property("RootDirectory", "s", place.root, "the job sees nothing of the host but what is bound here")
    yield Property("MountAPIVFS", "b", True, "/proc, /sys and /dev")
    yield Property("BindReadOnlyPaths", "a(ssbt)", read_only, "programs of the host, an /etc of its own")
    writable = [_bind(place.work, WORK_IN_JOB), _bind(place.terminals, "/dev/pts")]
    yield Property("BindPaths", "a(ssbt)", writable, "the job's work directory, and terminals of its own")
    yield Property("TemporaryFileSystem", "a(ss)", scratch, "private and bounded /tmp and shared memory")
    yield Property("WorkingDirectory", "s", WORK_IN_JOB, "where uploads land and relative paths point")
    yield Property("Environment", "as", environment(job), "PATH, HOME and the user's variables")
    if job.spec.secrets:
        credentials = [[SECRETS_CREDENTIAL, place.secrets]]
        yield Property("LoadCredentialEncrypted", "a(ss)", credentials, "secret variables, for joblet-init to set")
    yield Property("ProtectSystem", "s", "strict", "all that is not bound writable is read-only")
    yield Property("ProtectHome", "s", "yes", "no home directories, whatever the runtime brings")
    yield Property("UMask", "u", 0o077, "files are the job's alone")


def environment(job: Job) -> list[str]:
    """``NAME=value`` for each variable: ours first, the user's win."""
    values = {
        "PATH": DEFAULT_PATH,
        "HOME": WORK_IN_JOB,
        "LANG": "C.UTF-8",
        "USER": job.account,
        "LOGNAME": job.account,
        "SHELL": "/bin/sh",
        "JOBLET_JOB_ID": job.id,
        **job.spec.environment,
    }
    return [f"{name}={value}" for name, value in values.items()]


# Linux uapi, linux/socket.h: plain numbers, since that is what D-Bus sends.
AF_INET, AF_INET6 = 2, 10
# Address family, address, length of the prefix.
EVERY_ADDRESS = [[AF_INET, bytes(4), 0], [AF_INET6, bytes(16), 0]]
LOOPBACK_ADDRESSES = [[AF_INET, bytes([127, 0, 0, 0]), 8], [AF_INET6, bytes(15) + b"\1", 128]]


# No PrivateUsers=: PID 1 makes that namespace as root, and whatever the kernel counts per user is then counted for root
# as well (namespaces(7), "/proc/sys/user"). A job that took 128 inotify instances left none to root: the daemon could
# follow no journal any more. Signals queued by a job left no room for root's, either.
def _namespaces(host: Host) -> Iterable[Property]:
    if host.tier is Tier.SYSTEMD:
        yield Property("PrivatePIDs", "s", "yes", "sees and signals only its own processes")
    yield Property("PrivateIPC", "b", True, "no System V or POSIX queues of others")
    yield Property("PrivateNetwork", "b", True, "loopback only")
    yield Property("IPAddressDeny", "a(iayu)", EVERY_ADDRESS, "a second lock: should it ever see another interface")
    yield Property("IPAddressAllow", "a(iayu)", LOOPBACK_ADDRESSES, "it talks to itself")
    yield Property("ProtectHostname", "b", True, "cannot rename the host")
    if "ProtectControlGroupsEx" in host.properties:
        yield Property("ProtectControlGroupsEx", "s", "strict", "sees its own control group alone, read-only")
    else:
        yield Property("ProtectControlGroups", "b", True, "control groups are read-only")
    yield Property("ProtectProc", "s", "invisible", "no processes of other users in /proc")
    yield Property("KeyringMode", "s", "private", "no keys of others")
    yield Property("RemoveIPC", "b", True, "nothing of the identity's IPC objects stays")


NAMESPACES_OF_INIT = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS
SYSCALLS_OF_INIT = ("mount", "umount2", "unshare")
# In @system-service, but of use to attackers only: kernel code with a long record of escapes.
SYSCALLS_DENIED = ("@keyring", "io_uring_enter", "io_uring_register", "io_uring_setup", "userfaultfd")

# What the Protect...= below leave of /proc, proc(5); "-" if there, "+" in the job's root (systemd.exec(5)).
PROC_HIDDEN = ["-+/proc/key-users", "-+/proc/keys"]
PROC_READ_ONLY = ["-+/proc/pressure"]


def _rights(job: Job, host: Host) -> Iterable[Property]:
    by_init = host.tier is Tier.INIT
    allowed = ["@system-service", *(SYSCALLS_OF_INIT if by_init else ())]
    yield Property("User", "s", job.account, "an account of the client identity, never root")
    yield Property("Group", "s", job.account, "the group of that account alone")
    yield Property("NoNewPrivileges", "b", True, "set-user-ID files have no effect")
    yield Property("CapabilityBoundingSet", "t", 0, "no capabilities, now or later")
    yield Property("AmbientCapabilities", "t", 0, "none are handed down")
    yield Property("SystemCallFilter", "(bas)", [True, allowed], "ordinary system calls only")
    yield Property("SystemCallFilter", "(bas)", [False, list(SYSCALLS_DENIED)], "less of the kernel to attack")
    yield Property("SystemCallErrorNumber", "i", errno.EPERM, "a denied call fails, the job goes on")
    yield Property("SystemCallArchitectures", "as", ["native"], "no second system call table")
    yield Property("RestrictAddressFamilies", "(bas)", [True, ["AF_UNIX", "AF_INET", "AF_INET6"]], "IP and local")
    yield Property(
        "RestrictNamespaces",
        "t",
        # Of none PID 1 makes all when it is reloaded: it writes an empty value, and reads it so. A start that waits
        # meanwhile has joblet-init's filter alone.
        NAMESPACES_OF_INIT if by_init else 0,
        "joblet-init makes some and then closes the door" if by_init else "no namespaces of its own",
    )
    yield Property("RestrictSUIDSGID", "b", True, "makes no set-user-ID files")
    yield Property("RestrictRealtime", "b", True, "cannot starve the host by real-time scheduling")
    yield Property("LockPersonality", "b", True, "no old execution domains")
    yield Property("PrivateDevices", "b", True, "null, zero, random and terminals, no hardware")
    yield Property("ProtectKernelTunables", "b", True, "/proc/sys and /sys are read-only")
    yield Property("ProtectKernelModules", "b", True, "no module loading")
    yield Property("ProtectKernelLogs", "b", True, "no kernel log")
    if not by_init:  # which covers them itself: it could not mount a new /proc over one that is covered in part
        yield Property("InaccessiblePaths", "as", PROC_HIDDEN, "nobody's keys are listed")
        yield Property("ReadOnlyPaths", "as", PROC_READ_ONLY, "anybody may write there, to set triggers")
    yield Property("ProtectClock", "b", True, "cannot set the clock")
    yield Property("LimitCORE", "t", 0, "a crash writes no core file of untrusted size")


def _accounting() -> Iterable[Property]:
    yield Property("CPUAccounting", "b", True, "the result tells the CPU time")
    yield Property("MemoryAccounting", "b", True, "the result tells the peak memory")
    yield Property("IOAccounting", "b", True, "the result tells the bytes read and written")
    yield Property("IPAccounting", "b", True, "the result tells the bytes received and sent")
    yield Property("TasksMax", "t", MAX_TASKS, "a fork bomb ends in the job")
    yield Property("MemorySwapMax", "t", 0, "swap must not stretch the memory limit")


def _limits(limits: Limits, work: str) -> Iterable[Property]:
    """The limits that are set. ``work`` is the host's path of /work."""
    if limits.runtime_usec is not None:
        yield Property("RuntimeMaxUSec", "t", limits.runtime_usec, "max_runtime")
    yield from changed_limits(Limits(), limits, work)


def changed_limits(old: Limits, new: Limits, work: str) -> Iterable[Property]:
    """What turns the ``old`` limits of control groups into the ``new`` ones; PID 1 takes it for running units, too."""
    if new.cpu_percent != old.cpu_percent:
        quota = INFINITY if new.cpu_percent is None else new.cpu_percent * 10_000
        yield Property("CPUQuotaPerSecUSec", "t", quota, "max_cpu")
    if new.cpu_cores != old.cpu_cores:
        cores = b"" if new.cpu_cores is None else cpu_mask(parse_cpuset(new.cpu_cores))
        yield Property("AllowedCPUs", "ay", cores, "cpu_cores")
    if new.memory_bytes != old.memory_bytes:
        # No MemoryHigh= below it: without swap there is nothing to reclaim, and the kernel's throttling kept a job
        # that wanted too much hanging for minutes before it was killed.
        memory = INFINITY if new.memory_bytes is None else new.memory_bytes
        yield Property("MemoryMax", "t", memory, "max_memory")
    if new.io_bytes_per_sec != old.io_bytes_per_sec:
        # systemd finds the block device that backs the path.
        rate = [[work, INFINITY if new.io_bytes_per_sec is None else new.io_bytes_per_sec]]
        yield Property("IOReadBandwidthMax", "a(st)", rate, "max_io_bps")
        yield Property("IOWriteBandwidthMax", "a(st)", rate, "max_io_bps")


def _logs(job: Job, place: Place) -> Iterable[Property]:
    yield Property("LogNamespace", "s", LOG_NAMESPACE, "systemctl status finds the job's lines")
    yield Property("StandardInputFileDescriptor", "h", place.control_fd, "joblet-init's ear for the daemon")
    yield Property("StandardOutputFileDescriptor", "h", place.log_fd, "joblet-init's way to the journal")
    yield Property("StandardError", "s", "null", "the command gets pipes of joblet-init's instead")
    yield Property("LogExtraFields", "aay", [f"JOBLET_OWNER={job.owner}".encode()], "for journalctl JOBLET_OWNER=…")


def cpu_mask(cpus: Iterable[int]) -> bytes:
    """A CPU set as PID 1 takes it: bit N of the little-endian byte string is CPU N."""
    mask = sum(1 << cpu for cpu in set(cpus))
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def description(spec: JobSpec, owner: str) -> str:
    """One line that tells an administrator what the unit is."""
    command = " ".join(spec.argv)
    line = "".join(character if character.isprintable() else " " for character in command)
    shown = line if len(line) <= 60 else line[:57] + "..."
    title = f"{spec.name}: {shown}" if spec.name else shown
    # With a backslash at its end it would go on in the next line of the file that PID 1 keeps of the unit.
    return f"Joblet job of {owner}: {title}".rstrip("\\")


def _bind(source: str, target: str, *, optional: bool = False) -> list[Any]:
    """One entry of Bind(ReadOnly)Paths: source, target, ignore if missing, MS_REC."""
    return [source, target, optional, 0x4000]

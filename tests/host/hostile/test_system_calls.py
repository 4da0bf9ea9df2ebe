"""System calls that are no business of a job's: refused, whatever the arguments.

Where the filter refuses a call, its arguments do not matter, and the outcome is EPERM. Where it cannot, since good
programs need the call too, the arguments are such that it would work for somebody with more rights.
"""

from __future__ import annotations

from pathlib import Path

from hosts import Host

from .attempts import Call, Table, surprises

# Linux uapi, linux/sched.h
NEW = {
    "time": 0x00000080,
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
SIGCHLD = 17
OWN = "/proc/self/ns"


def clone3(flags: int) -> Call:
    """clone3(2): struct clone_args begins with the flags and has the exit signal as its fifth member."""
    fields = (flags, 0, 0, 0, SIGCHLD, 0, 0, 0)
    return (435, {"hex": b"".join(field.to_bytes(8, "little") for field in fields).hex()}, 64)


NAMESPACES: Table = {
    **{f"unshare {kind}": ((272, flag), "EPERM") for kind, flag in NEW.items()},
    "unshare user and mount": ((272, NEW["user"] | NEW["mount"]), "EPERM"),
    # CLONE_NEWTIME has no meaning in clone(2): its bit belongs to the exit signal.
    **{f"clone {kind}": ((56, flag | SIGCHLD, 0, 0, 0, 0), "EPERM") for kind, flag in NEW.items() if kind != "time"},
    "clone user and net": ((56, NEW["user"] | NEW["net"] | SIGCHLD, 0, 0, 0, 0), "EPERM"),
    # Its flags are out of the filter's reach. glibc falls back to clone(2) after ENOSYS.
    **{f"clone3 {kind}": (clone3(flag), "ENOSYS") for kind, flag in NEW.items()},
    "clone3 into a cgroup": (clone3(0x200000000), "ENOSYS"),
    **{f"setns {kind}": ((308, {"fd": f"{OWN}/{kind}"}, 0), "EPERM") for kind in ("mnt", "user", "pid", "net", "uts")},
    "setns user by flag": ((308, {"fd": f"{OWN}/user"}, NEW["user"]), "EPERM"),
}

MOUNTS: Table = {
    "mount tmpfs": ((165, "none", "/tmp", "tmpfs", 0, 0), "EPERM"),
    "bind mount": ((165, "/usr", "/tmp", 0, 0x1000, 0), "EPERM"),
    "remount writable": ((165, 0, "/usr", 0, 0x20 | 0x1000, 0), "EPERM"),
    "change propagation": ((165, 0, "/", 0, 0x100000 | 0x4000, 0), "EPERM"),
    "mount proc": ((165, "proc", "/work", "proc", 0, 0), "EPERM"),
    "umount proc": ((166, "/proc", 2), "EPERM"),
    "umount the journal's cover": ((166, "/run/systemd/journal", 2), "EPERM"),
    "umount scratch": ((166, "/tmp", 2), "EPERM"),
    "pivot_root": ((155, "/work", "/work"), "EPERM"),
    "chroot": ((161, "/work"), "EPERM"),
    "fsopen": ((430, "tmpfs", 0), "EPERM"),
    "fsconfig": ((431, 0, 6, 0, 0, 0), "EPERM"),
    "fsmount": ((432, 0, 0, 0), "EPERM"),
    "fspick": ((433, -100, "/tmp", 0), "EPERM"),
    "open_tree": ((428, -100, "/usr", 1), "EPERM"),
    "open_tree without a copy": ((428, -100, "/usr", 0), "EPERM"),
    "move_mount": ((429, -100, "/tmp", -100, "/work", 0), "EPERM"),
    "mount_setattr": ((442, -100, "/usr", 0, {"zeros": 32}, 32), "EPERM"),
    "open_tree_attr": ((467, -100, "/usr", 0, {"zeros": 32}, 32), "EPERM ENOSYS"),
    "swapon": ((167, "/work/attempts.py", 0), "EPERM"),
    "swapoff": ((168, "/work/attempts.py"), "EPERM"),
    "quotactl": ((179, 0x80000100, "/dev/null", 0, {"zeros": 128}), "EPERM"),
    "open_by_handle_at": ((304, {"fd": "/usr"}, {"hex": "08000000010000000000000000000000"}, 0), "EPERM"),
    "fanotify_init": ((300, 0, 0), "EPERM"),
}

KERNEL: Table = {
    "bpf map": ((321, 0, {"hex": "02000000040000000400000001000000" + "00" * 56}, 72), "EPERM"),
    "bpf program": ((321, 5, {"zeros": 128}, 128), "EPERM"),
    "perf_event_open": ((298, {"zeros": 128}, 0, -1, -1, 0), "EPERM"),
    "io_uring_setup": ((425, 8, {"zeros": 120}), "EPERM"),
    "io_uring_enter": ((426, 0, 1, 0, 0, 0, 0), "EPERM"),
    "io_uring_register": ((427, 0, 0, 0, 0), "EPERM"),
    "userfaultfd": ((323, 1), "EPERM"),
    "init_module": ((175, {"zeros": 64}, 64, ""), "EPERM"),
    "finit_module": ((313, {"fd": "/work/attempts.py"}, "", 0), "EPERM"),
    "delete_module": ((176, "loop", 0x800), "EPERM"),
    "kexec_load": ((246, 0, 0, 0, 0), "EPERM"),
    "kexec_file_load": ((320, 0, 0, 0, 0, 0), "EPERM"),
    "reboot": ((169, 0xFEE1DEAD, 0x28121969, 0x01234567, 0), "EPERM"),
    "reboot by Ctrl-Alt-Del": ((169, 0xFEE1DEAD, 0x28121969, 0x89ABCDEF, 0), "EPERM"),
    "syslog": ((103, 3, {"zeros": 64}, 64), "EPERM"),
    "acct": ((163, "/work/acct"), "EPERM"),
    "iopl": ((172, 3), "EPERM"),
    "ioperm": ((173, 0x80, 1, 1), "EPERM"),
    "modify_ldt": ((154, 0, {"zeros": 64}, 64), "EPERM"),
    "vhangup": ((153,), "EPERM"),
    "settimeofday": ((164, {"zeros": 16}, 0), "EPERM"),
    "clock_settime": ((227, 0, {"zeros": 16}), "EPERM"),
    "adjtimex": ((159, {"hex": "01000000" + "00" * 204}), "EPERM"),
    "clock_adjtime": ((305, 0, {"hex": "01000000" + "00" * 204}), "EPERM"),
    "sethostname": ((170, "mine", 4), "EPERM"),
    "setdomainname": ((171, "mine", 4), "EPERM"),
    "lookup_dcookie": ((212, 1, {"zeros": 64}, 64), "EPERM"),
    "uselib": ((134, "/usr/lib/x"), "EPERM ENOSYS"),
    "add_key": ((248, "user", "joblet", "x", 1, -3), "EPERM"),
    "request_key": ((249, "user", "joblet", "", -3), "EPERM"),
    "keyctl, a new session": ((250, 1, 0), "EPERM"),
    "keyctl, the user's ring": ((250, 0, -4, 1), "EPERM"),
    "personality for READ_IMPLIES_EXEC": ((135, 0x0400000), "EPERM"),
    "personality without randomization": ((135, 0x0040000), "EPERM"),
}

RIGHTS: Table = {
    "setuid": ((105, 0), "EPERM EINVAL"),
    "setgid": ((106, 0), "EPERM EINVAL"),
    "setreuid": ((113, 0, 0), "EPERM EINVAL"),
    "setresuid": ((117, 0, 0, 0), "EPERM EINVAL"),
    "setresgid": ((119, 0, 0, 0), "EPERM EINVAL"),
    "setgroups": ((116, 1, {"zeros": 4}), "EPERM EINVAL"),
    "all capabilities": ((126, {"hex": "2205082000000000"}, {"hex": "ff" * 12 + "00" * 12}), "EPERM"),
    "an ambient capability": ((157, 47, 2, 21, 0, 0), "EPERM"),
    "privileges after all": ((157, 38, 0, 0, 0, 0), "EINVAL"),
    "no filter any more": ((157, 22, 0, 0, 0, 0), "EINVAL"),
    "securebits": ((157, 28, 0x2F, 0, 0), "EPERM"),
    "mknod, a block device": ((133, "/work/disk", 0o60600, 0x0800), "EPERM"),
    "mknod, /dev/mem": ((133, "/work/mem", 0o20600, 0x0101), "EPERM"),
    "chmod u+s": ((90, "/work/attempts.py", 0o4755), "EPERM"),
    "chmod g+s": ((90, "/work/attempts.py", 0o2755), "EPERM"),
    "fchmodat2 u+s": ((452, -100, "/work/attempts.py", 0o4755, 0), "EPERM ENOSYS"),
    "a new set-user-ID file": ((85, "/work/s", 0o4755), "EPERM"),
    "openat2, a set-user-ID file": (
        (437, -100, "/work/s2", {"hex": "4100000000000000ed09000000000000" + "00" * 8}, 24),
        "EPERM ENOSYS",
    ),
    "a capability on a file": (
        (188, "/work/attempts.py", "security.capability", {"hex": "0100000200002000000000000000000000000000"}, 20, 0),
        "EPERM",
    ),
    "a trusted attribute": ((188, "/work/attempts.py", "trusted.x", "y", 1, 0), "EPERM"),
    "chown to root": ((92, "/work/attempts.py", 0, 0), "EPERM EINVAL"),
    "immutable": ((16, {"fd": "/work/attempts.py"}, 0x40086602, {"hex": "1000000000000000"}), "EPERM"),
    "append-only": ((16, {"fd": "/work/attempts.py"}, 0x40086602, {"hex": "2000000000000000"}), "EPERM"),
    "real time": ((144, 0, 1, {"hex": "01000000"}), "EPERM"),
    "real time by sched_setattr": (
        (314, 0, {"hex": "3000000001000000" + "00" * 12 + "01000000" + "00" * 24}, 0),
        "EPERM",
    ),
    "deadline scheduling": (
        (314, 0, {"hex": "3000000006000000" + "00" * 16 + "000010000000000000002000000000000000200000000000"}, 0),
        "EPERM",
    ),
    "a better nice value": ((141, 0, 0, -20), "EACCES"),
    "real-time I/O": ((251, 1, 0, 1 << 13), "EPERM"),
    "a higher limit of descriptors": ((160, 7, {"hex": "00000001000000000000000100000000"}), "EPERM"),
    "core files": ((160, 4, {"hex": "ff" * 16}), "EPERM"),
}

SOCKET = 41
SOCKETS: Table = {
    "raw IP": ((SOCKET, 2, 3, 1), "EPERM"),
    "raw IPv6": ((SOCKET, 10, 3, 58), "EPERM"),
    "packet": ((SOCKET, 17, 3, 0x0300), "EAFNOSUPPORT"),
    "old packet": ((SOCKET, 2, 10, 0x0300), "EPERM EINVAL ESOCKTNOSUPPORT"),
    "route netlink": ((SOCKET, 16, 3, 0), "EAFNOSUPPORT"),
    "netfilter netlink": ((SOCKET, 16, 3, 12), "EAFNOSUPPORT"),
    "uevent netlink": ((SOCKET, 16, 3, 15), "EAFNOSUPPORT"),
    "audit netlink": ((SOCKET, 16, 3, 9), "EAFNOSUPPORT"),
    **{
        name: ((SOCKET, family, kind, 0), "EAFNOSUPPORT")
        for name, family, kind in (
            *(("AX.25", 3, 5), ("IPX", 4, 2), ("X.25", 9, 5), ("key management", 15, 3), ("RDS", 21, 5)),
            *(("LLC", 26, 1), ("CAN", 29, 3), ("TIPC", 30, 1), ("Bluetooth", 31, 3), ("kernel ciphers", 38, 5)),
            *(("NFC", 39, 3), ("virtual machines", 40, 1), ("KCM", 41, 2), ("SMC", 43, 1), ("XDP", 44, 3)),
        )
    },
    # RestrictAddressFamilies= does not see socketpair(2); no family but AF_UNIX and AF_TIPC has it.
    "TIPC pair": ((53, 30, 5, 0, {"zeros": 8}), "EAFNOSUPPORT EOPNOTSUPP EPROTONOSUPPORT"),
}


def test_refused(host: Host, tmp_path: Path) -> None:
    assert surprises(host, NAMESPACES | MOUNTS | KERNEL | RIGHTS | SOCKETS, tmp_path) == {}

"""Environment variables of jobs: what their names may be, and which of them are not the user's to set."""

from __future__ import annotations

import re

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
NAME_ACCEPTED = "a name of letters, digits and _, not beginning with a digit"

# Joblet's own, and what systemd tells a service about itself (systemd.exec(5), sd_listen_fds(3), sd_notify(3)):
# programs act on them, and from a user they would be wrong. Not all of LISTEN_*: programs have their LISTEN_ADDR.
RESERVED = frozenset(
    {
        *("CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", "MANAGERPID", "NOTIFY_SOCKET"),
        *("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"),
        *("MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "WATCHDOG_PID", "WATCHDOG_USEC"),
    }
)
RESERVED_PREFIXES = ("JOBLET_", "SYSTEMD_")
RESERVED_ACCEPTED = "another name: this one is set by Joblet or systemd"


def is_reserved(name: str) -> bool:
    """Whether a variable of this name is Joblet's or systemd's to set."""
    return name in RESERVED or name.startswith(RESERVED_PREFIXES)

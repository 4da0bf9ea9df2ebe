"""The Unix accounts that jobs run as, one for each client identity that may run any."""

from __future__ import annotations

import pwd
import subprocess

from .errors import JobletError
from .identity import Identity


def ensure(identity: Identity) -> bool:
    """Make the account of ``identity`` unless there is one already; returns whether it was made.

    systemd-sysusers (sysusers.d(5)) takes a free system uid, locks the password, writes passwd, group
    and their shadows atomically under the lock that useradd takes too, and is there wherever systemd
    is. Raises JobletError when it fails.
    """
    if _exists(identity.account):
        return False
    line = f'u {identity.account} - "Joblet jobs of {identity.name}" / /usr/sbin/nologin'
    try:
        done = subprocess.run(
            ["systemd-sysusers", "--inline", line], check=False, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise JobletError(f"systemd-sysusers cannot be run: {error.strerror}.") from error
    if done.returncode != 0 or not _exists(identity.account):
        raise JobletError(
            f"The account {identity.account} could not be made: {done.stderr.strip() or 'no reason given'}",
            hint="Is /etc writable, and /etc/passwd not locked by another program?",
        )
    return True


def _exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True

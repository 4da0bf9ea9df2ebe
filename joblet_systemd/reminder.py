"""Reminds of certificates that are going to end: in the daemon's log, at its start and every day."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from . import programs
from .errors import JobletError

log = logging.getLogger("joblet")

DAY_SEC = 86_400.0
LOOK_SEC = 600.0


async def remind(etc: Path) -> None:
    """Log what ends soon, now and every day, as long as this runs."""
    while True:
        try:
            for line in await _look(etc):
                log.warning("%s", line)
        except JobletError as error:
            log.error("the certificates cannot be looked through: %s", error)
        await asyncio.sleep(DAY_SEC)


async def _look(etc: Path) -> list[str]:
    """What ``expiry`` says. Raises JobletError when it says nothing."""
    # A process of its own: it reads every certificate there is, and what it needs for that would stay in the daemon's
    # memory, 7 MB.
    command = [sys.executable, "-I", "-m", f"{__package__}.expiry", str(etc)]
    try:
        done = await programs.run(*command, seconds=LOOK_SEC)
    except TimeoutError as error:  # an OSError, too
        raise JobletError(f"it took longer than {LOOK_SEC:.0f} s.") from error
    except OSError as error:
        raise JobletError(f"{command[0]} cannot be run: {error.strerror}.") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise JobletError(last or f"it ended with {done.returncode}.")
    return done.stdout.decode(errors="replace").splitlines()

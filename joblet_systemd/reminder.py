"""Reminds of certificates that are going to end: in the daemon's log, at its start and every day."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

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
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=null, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise JobletError(f"{command[0]} cannot be run: {error.strerror}.") from error
    try:
        async with asyncio.timeout(LOOK_SEC):
            lines, complaint = await process.communicate()
    except TimeoutError as error:
        raise JobletError(f"it took longer than {LOOK_SEC:.0f} s.") from error
    finally:
        if process.returncode is None:  # it is too slow, or the daemon ends
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise JobletError(last or f"it ended with {process.returncode}.")
    return lines.decode(errors="replace").splitlines()

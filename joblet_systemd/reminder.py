"""Reminds of certificates that are going to end: in the daemon's log, at its start and every day."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from pathlib import Path

log = logging.getLogger("joblet")

DAY_SEC = 86_400.0


async def remind(etc: Path) -> None:
    """Log what ends soon, now and every day, as long as this runs."""
    while True:
        await _look(etc)
        await asyncio.sleep(DAY_SEC)


async def _look(etc: Path) -> None:
    # A process of its own: it reads every certificate there is, and what it needs for that would stay in the daemon's
    # memory, 7 MB, until the next day.
    command = [sys.executable, "-I", "-m", f"{__package__}.expiry", str(etc)]
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        log.error("the certificates cannot be looked through: %s cannot be run: %s", command[0], error.strerror)
        return
    try:
        lines, complaint = await process.communicate()
    finally:
        if process.returncode is None:  # the daemon ends
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    for line in lines.decode(errors="replace").splitlines():
        log.warning("%s", line)
    if process.returncode:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        log.error("the certificates cannot be looked through: exit code %d, %s", process.returncode, last)

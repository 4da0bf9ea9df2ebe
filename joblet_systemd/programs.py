"""Other programs, run to their end without holding up anybody."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import PIPE
from subprocess import CompletedProcess


async def run(*command: str, content: bytes = b"", seconds: float, umask: int = -1) -> CompletedProcess[bytes]:
    """What a program says that gets ``content`` to read. It is killed when the caller is cancelled.

    Raises OSError when it cannot be run, and TimeoutError after so many seconds, when it is killed as well.
    """
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, umask=umask, cwd="/")
    try:
        async with asyncio.timeout(seconds):
            out, complaint = await process.communicate(content)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return CompletedProcess(command, process.returncode or 0, out, complaint)

"""The open descriptors of this process, among which other tests' threads may close some of theirs at any time."""

from __future__ import annotations

import contextlib
import os
import time


def descriptors() -> set[tuple[str, str]]:
    """The number of each, and what it is of."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile, as that of this very directory
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return found


def assert_none_new(before: set[tuple[str, str]]) -> None:
    """All that has been opened since is closed, or is in a moment, by a thread of the test's."""
    deadline = time.monotonic() + 30
    while new := descriptors() - before:
        assert time.monotonic() < deadline, new
        time.sleep(0.01)

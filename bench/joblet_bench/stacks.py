"""Samples of the daemon's stacks, as ``py-spy record --format raw --threads`` writes them, by part of the daemon."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# The parts of the daemon by what a frame's text has in it. The innermost frame that is known tells, by the first part
# that fits.
PARTS: dict[str, tuple[str, ...]] = {
    "D-Bus: calls to PID 1, its answers and signals": ("dbus_fast/", "systemd/manager.py"),
    "the store": ("joblet_systemd/store.py", "sqlite3"),
    "/work: image, loop device, mount, removal": ("joblet_systemd/files/", "/shutil.py"),
    "the journal: a job's records": ("systemd/journal.py", "systemd/_reader"),
    "the unit's properties": ("joblet_systemd/unit.py",),
    "the audit": ("joblet_systemd/audit.py", "/logging/"),
    "connections relayed to gRPC": ("api/listener.py",),
    "gRPC: TLS, HTTP/2, calls": ("joblet_systemd/api/", "joblet_systemd/pki.py", "grpc", "protobuf", "joblet_wire/"),
    "metrics": ("joblet_systemd/metrics/",),
    "control sockets and secrets": ("jobs/control.py", "systemd/credentials.py"),
    "the life of jobs: queue, states": ("joblet_systemd/jobs/", "joblet_systemd/model.py"),
    "work handed to threads": ("concurrent/futures/", "/threading.py", "asyncio/threads.py"),
    "the event loop": ("asyncio/", "/selectors.py"),
}
NATIVE = "gRPC: TLS, HTTP/2, calls"  # whose threads have no Python in them, so that py-spy does not see them
IDLE = "work handed to threads"
OTHER = "other"

THREAD = re.compile(r"thread \((\d+)\): .*")
FRAME = re.compile(r"(.+) \((?:.*/)?([^/:]+?)(?:\.cpython[^:/]*)?(?::\d+)?\)")
PYTHON = re.compile(r"\.py(:\d+)?\)$")
# Where threads wait for something to do; a sample there says nothing of what the thread does with its CPU.
WAITING = ("EpollSelector.select (", "_worker (", "Thread.run (")


@dataclass
class Profile:
    """How many samples of threads that did something there are: by thread and part, and by part and function."""

    threads: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    functions: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(samples.total() for samples in self.threads.values())

    def spread(self, seconds: Mapping[int, float]) -> dict[str, float]:
        """The CPU seconds of threads by part, by the shares that the parts have in each thread's samples."""
        spent: defaultdict[str, float] = defaultdict(float)
        for thread, used in seconds.items():
            samples = self.threads.get(thread)
            if samples is None:
                spent[NATIVE] += used
            elif not samples:
                spent[IDLE] += used
            else:
                for part, number in samples.items():
                    spent[part] += used * number / samples.total()
        return dict(sorted(spent.items(), key=lambda item: -item[1]))

    def busiest(self, part: str, number: int = 3) -> list[str]:
        """The functions of a part with the most samples."""
        return [function for function, _ in self.functions[part].most_common(number)]


def profile(raw: str) -> Profile:
    """The samples of a file: on each line a thread and its frames from the outside in, ``;`` between, and a number.

    Raises ValueError for anything else.
    """
    found = Profile()
    for line in raw.splitlines():
        stack, _, number = line.rpartition(" ")
        name, *frames = stack.split(";")
        thread = THREAD.fullmatch(name)
        if not thread or not frames or not number.isdecimal():
            raise ValueError(f"this is no stack with a number of samples: {line[:200]!r}")
        samples = found.threads[int(thread[1])]
        if not _waits(frames):
            part, function = part_of(frames)
            samples[part] += int(number)
            found.functions[part][function] += int(number)
    return found


def part_of(frames: Sequence[str]) -> tuple[str, str]:
    """The part that a stack is in, and the function that tells so."""
    for frame in reversed(frames):
        for part, signs in PARTS.items():
            if any(sign in frame for sign in signs):
                return part, _function(frame)
    return OTHER, _function(frames[-1])


def _waits(frames: Sequence[str]) -> bool:
    innermost = next((frame for frame in reversed(frames) if PYTHON.search(frame)), "")
    return innermost.startswith(WAITING)


def _function(frame: str) -> str:
    """``execute (store.py)`` for a frame of ``execute (/usr/lib/.../store.py:12)``; of a library its name only."""
    found = FRAME.fullmatch(frame)
    if not found:
        return frame
    return found[2] if found[1].startswith("0x") else f"{found[1]} ({found[2]})"

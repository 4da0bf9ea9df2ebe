"""The kinds of jobs of a storm: each with what is asked for, what a client does to it, and what must come of it.

Every job writes text that is known beforehand, so that a byte too many or too few anywhere is seen.
"""

from __future__ import annotations

import hashlib
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from joblet_wire import joblet_pb2 as wire

OWNERS = ("default", "maintainer", "developer")  # nodes of the client's configuration: three identities
REPEATS = "*-*-* *:*:0/2"
REPEATS_SEC = 2


@dataclass(frozen=True)
class End:
    """How a job may end."""

    status: str
    exit_code: int
    reason: str


@dataclass(frozen=True)
class Output:
    """What a job writes to one stream: ``whole`` if it comes to its end, else a part of it that ends between lines.

    ``last`` is what it writes when it is told to stop, with ``%d`` for the number of lines before it.
    """

    whole: bytes = b""
    partial: bool = False
    last: bytes = b""

    def fault(self, seen: bytes) -> str:
        """What is wrong with these bytes; empty when nothing is."""
        if seen == self.whole:
            return ""
        if not self.partial:
            return _difference(self.whole, seen)
        lines = seen.splitlines(keepends=True)
        if self.last and lines and not self.whole.startswith(seen):
            lines.pop()
        begun = b"".join(lines)
        if not self.whole.startswith(begun) or not begun.endswith((b"\n", b"")):
            return _difference(self.whole, begun)
        rest = seen[len(begun) :]
        if rest and rest != self.last % len(lines):
            return f"ends with {rest[:80]!r} after {len(lines)} lines"
        return ""


@dataclass(frozen=True)
class Plan:
    """One job of a storm. ``start_sec`` is when it is submitted, ``act_sec`` how long after that ``act`` is done."""

    number: int
    kind: str
    owner: str
    request: wire.RunJobRequest
    ends: tuple[End, ...]
    out: Output
    err: Output = field(default_factory=Output)
    start_sec: float = 0.0
    act: str = ""
    act_sec: float = 0.0
    attempts: int = 1
    streamed: bool = False
    lines: int = 0  # of input
    writes: bool = False  # to its /work, on whose success its end depends
    files: dict[str, bytes] = field(default_factory=dict)  # what is in /work at the end

    @property
    def name(self) -> str:
        """The job's name, of which there is one."""
        return self.request.name


COMPLETED = (End("COMPLETED", 0, ""),)
STOPPED_EARLY = End("STOPPED", 0, "stopped before it started")


def numbered(count: int, text: str = "line") -> bytes:
    """``count`` lines with their numbers from 1."""
    return b"".join(b"%s %d\n" % (text.encode(), number) for number in range(1, count + 1))


Draft = dict[str, object]


class Draw(random.Random):
    """What a job is drawn from, in a storm of so many seconds."""

    def __init__(self, seed: str, storm_sec: float) -> None:
        super().__init__(seed)
        self.storm_sec = storm_sec


def _sh(script: str, *arguments: str) -> dict[str, object]:
    return {"command": "sh", "args": ["-c", script, "sh", *arguments]}


def _py(script: str, *arguments: str) -> dict[str, object]:
    return {"command": "python3", "args": ["-I", "-c", script, *arguments]}


def quick(draw: Draw, name: str) -> Draft:
    return {**_sh('echo "$1"', name), "ends": COMPLETED, "out": Output(name.encode() + b"\n")}


def exit_code(draw: Draw, name: str) -> Draft:
    code = draw.randint(1, 255)
    script = f"echo out; echo err >&2; exit {code}"
    return {
        **_sh(script),
        "ends": (End("FAILED", code, f"exit-code {code}"),),
        "out": Output(b"out\n"),
        "err": Output(b"err\n"),
    }


def own_signal(draw: Draw, name: str) -> Draft:
    chosen = draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP, signal.SIGUSR1])
    script = f"echo before; kill -{chosen.name.removeprefix('SIG')} $$; sleep 5; echo after"
    return {
        **_sh(script),
        "ends": (End("FAILED", 128 + chosen, f"signal {chosen.name}"),),
        "out": Output(b"before\n"),
    }


def missing(draw: Draw, name: str) -> Draft:
    command = f"/no/such/{name}"
    reason = f"exec-failed: {command}: no such file or directory"
    return {"command": command, "args": [], "ends": (End("FAILED", 127, reason),), "out": Output()}


FLOOD = """
import sys
count, width = map(int, sys.argv[1:])
for number in range(count):
    print(number, "x" * (number % width))
"""


def flood(draw: Draw, name: str) -> Draft:
    count, width = draw.randint(5_000, 40_000), draw.randint(2, 150)
    whole = "".join(f"{number} {'x' * (number % width)}\n" for number in range(count)).encode()
    return {**_py(FLOOD, str(count), str(width)), "ends": COMPLETED, "out": Output(whole)}


BYTES = """
import os, random, sys
draw = random.Random(int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    os.write(1, draw.randbytes(draw.randint(1, 3000)))
"""


def any_bytes(draw: Draw, name: str) -> Draft:
    seed, writes = draw.randrange(2**31), draw.randint(1, 300)
    inner = random.Random(seed)
    whole = b"".join(inner.randbytes(inner.randint(1, 3000)) for _ in range(writes))
    return {**_py(BYTES, str(seed), str(writes)), "ends": COMPLETED, "out": Output(whole)}


def trickle(draw: Draw, name: str) -> Draft:
    pause, code = draw.choice([0.05, 0.1, 0.2]), draw.choice([0, 0, 9])
    count = int(draw.uniform(2, draw.storm_sec / 3) / pause)
    script = f"for i in $(seq 1 {count}); do echo line $i; sleep {pause}; done; exit {code}"
    ends = COMPLETED if code == 0 else (End("FAILED", code, f"exit-code {code}"),)
    return {**_sh(script), "ends": ends, "out": Output(numbered(count))}


BOTH = """
import sys, time
for number in range(1, int(sys.argv[1]) + 1):
    print("line", number, flush=True)
    print("error", number, file=sys.stderr, flush=True)
    time.sleep(float(sys.argv[2]))
"""


def both_streams(draw: Draw, name: str) -> Draft:
    pause = draw.choice([0.01, 0.02, 0.1])
    count = int(draw.uniform(1, draw.storm_sec / 3) / pause)
    return {
        **_py(BOTH, str(count), str(pause)),
        "ends": COMPLETED,
        "out": Output(numbered(count)),
        "err": Output(numbered(count, "error")),
    }


def timeout(draw: Draw, name: str) -> Draft:
    script = "i=0; while sleep 0.1; do i=$((i + 1)); echo line $i; done"
    return {
        **_sh(script),
        "max_runtime_ms": round(draw.uniform(1500, draw.storm_sec * 200)),
        "ends": (End("TIMEOUT", 124, "timeout"),),
        "out": Output(numbered(5000), partial=True),
    }


# Written over in place, which needs no room; the file system of a /work may have become read-only all the same.
ATTEMPT = "n=$(($(cat attempts) + 1)); echo $n 1<>attempts; echo attempt $n; "
FULL = (b"Read-only file system", b"No space left", b"I/O error")
ATTEMPTS = [wire.FileUpload(path="attempts", content=b"0\n", mode=0o600)]


def third_time(draw: Draw, name: str) -> Draft:
    return {
        **_sh(ATTEMPT + 'sleep "$1"; test $n -ge 3', draw.choice(["0", "0.5", "2"])),
        "uploads": ATTEMPTS,
        "retries": draw.randint(2, 5),
        "retry_delay_ms": draw.choice([1000, 2000]),
        "ends": COMPLETED,
        "out": Output(numbered(3, "attempt")),
        "attempts": 3,
        "writes": True,
    }


def hopeless(draw: Draw, name: str) -> Draft:
    retries, code = draw.randint(1, 3), draw.randint(1, 200)
    return {
        **_sh(f"echo in vain; exit {code}"),
        "retries": retries,
        "retry_delay_ms": 1000,
        "ends": (End("FAILED", code, f"exit-code {code}"),),
        "out": Output(b"in vain\n" * (retries + 1)),
        "attempts": retries + 1,
    }


def scheduled(draw: Draw, name: str) -> Draft:
    return {
        **_sh("echo ran"),
        "schedule": f"{draw.randint(1, round(draw.storm_sec / 2))}s",
        "ends": COMPLETED,
        "out": Output(b"ran\n"),
    }


def repeating(draw: Draw, name: str) -> Draft:
    """Its runs are looked at by verdicts.py."""
    return {
        **_sh("echo ran"),
        "schedule": REPEATS,
        "time_zone": "UTC",
        "ends": (End("CANCELED", 0, "canceled"),),
        "out": Output(),
        "act": "cancel at the end",
    }


TOLD = """
import signal, sys, time
number = 0
def told(*_):
    print("told after", number, flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, told)
while True:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    print("line", number + 1, flush=True)
    number += 1
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    time.sleep(0.05)
"""


def stopped(draw: Draw, name: str) -> Draft:
    """What it says when it is told is the last of its log; a stop before it can say that much ends it by signal."""
    return {
        **_py(TOLD),
        "ends": (End("STOPPED", 3, "stopped"), End("STOPPED", 143, "stopped"), STOPPED_EARLY),
        "out": Output(numbered(20_000), partial=True, last=b"told after %d\n"),
        "act": "stop",
        "act_sec": draw.uniform(0, draw.storm_sec / 4),
    }


def stubborn(draw: Draw, name: str) -> Draft:
    """It takes the whole grace period, in which the daemon may be killed."""
    return {
        **_sh("trap '' TERM; echo deaf; while :; do sleep 1; done"),
        "ends": (End("STOPPED", 137, "stopped"), End("STOPPED", 143, "stopped"), STOPPED_EARLY),
        "out": Output(b"deaf\n", partial=True),
        "act": "stop",
        "act_sec": draw.uniform(0.5, 4),
    }


def canceled(draw: Draw, name: str) -> Draft:
    return {
        **_sh("echo never"),
        "schedule": draw.choice(["1h", "2days", "*-02-29 03:33"]),
        "ends": (End("CANCELED", 0, "canceled"),),
        "out": Output(),
        "act": "cancel",
        "act_sec": draw.uniform(0, 6),
    }


def updated(draw: Draw, name: str) -> Draft:
    """Its priority is changed while it waits for its time."""
    return {
        **_sh("echo ran"),
        "schedule": "12s",
        "ends": COMPLETED,
        "out": Output(b"ran\n"),
        "act": "update",
        "act_sec": draw.uniform(0, 5),
    }


def updated_running(draw: Draw, name: str) -> Draft:
    """The limit of its CPU time is changed while it runs."""
    return {
        **_sh("for i in $(seq 1 60); do echo line $i; sleep 0.1; done"),
        "ends": COMPLETED,
        "out": Output(numbered(60)),
        "act": "update cpu",
        "act_sec": draw.uniform(0, 3),
    }


def uploads(draw: Draw, name: str) -> Draft:
    files = {f"data/{number}": draw.randbytes(draw.randint(0, 100_000)) for number in range(draw.randint(1, 8))}
    return _checks(files, draw.choice(["0", "1"]))


def streamed_uploads(draw: Draw, name: str) -> Draft:
    """These take a while to come, in which the daemon may be killed."""
    files = {f"data/{number}": draw.randbytes(draw.randint(0, 900_000)) for number in range(draw.randint(2, 8))}
    return {**_checks(files, draw.choice(["0", "1"])), "streamed": True}


def _checks(files: dict[str, bytes], pause: str) -> Draft:
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in files.items()).encode()
    return {
        **_sh('sleep "$1"; sha256sum -c SUMS', pause),
        "uploads": [
            *(wire.FileUpload(path=path, content=content, mode=0o644) for path, content in files.items()),
            wire.FileUpload(path="SUMS", content=sums, mode=0o600),
        ],
        "ends": COMPLETED,
        "out": Output("".join(f"{path}: OK\n" for path in files).encode()),
        "files": {**files, "SUMS": sums},
    }


def secret(draw: Draw, name: str) -> Draft:
    value = f"{name} {draw.getrandbits(200)}"
    return {
        **_sh('sleep "$1"; printf %s "$TOKEN" | sha256sum', draw.choice(["0", "2"])),
        "secret_environment": {"TOKEN": value},
        "ends": COMPLETED,
        "out": Output(hashlib.sha256(value.encode()).hexdigest().encode() + b"  -\n"),
    }


LISTEN = """
import sys
last = 0
for line in sys.stdin:
    number = int(line)
    if number == 0:
        break
    if number > last:
        last = number
        print("line", number, flush=True)
"""


def reads_input(draw: Draw, name: str) -> Draft:
    """Its client sends a line again when the call broke, so the job passes over those that it has."""
    count = draw.randint(5, 40)
    return {
        **_py(LISTEN),
        "interactive": True,
        "ends": COMPLETED,
        "out": Output(numbered(count)),
        "act": "input",
        "lines": count,
    }


def entered(draw: Draw, name: str) -> Draft:
    """A command is executed beside its own."""
    count = int(draw.storm_sec)
    return {
        **_sh(f"for i in $(seq 1 {count}); do echo line $i; sleep 0.2; done"),
        "ends": COMPLETED,
        "out": Output(numbered(count)),
        "act": "exec",
        "act_sec": draw.uniform(0, draw.storm_sec / 10),
    }


def leaves_children(draw: Draw, name: str) -> Draft:
    script = "setsid sleep 4000 & for i in 1 2 3; do (sleep 5000 & ); done; echo left"
    return {**_sh(script), "ends": COMPLETED, "out": Output(b"left\n")}


# How often each comes in a hundred.
KINDS: dict[Callable[[Draw, str], Draft], int] = {
    quick: 12,
    exit_code: 8,
    own_signal: 7,
    missing: 3,
    flood: 6,
    any_bytes: 5,
    trickle: 12,
    both_streams: 5,
    timeout: 6,
    third_time: 6,
    hopeless: 3,
    scheduled: 8,
    repeating: 2,
    stopped: 6,
    stubborn: 1,
    canceled: 4,
    updated: 3,
    updated_running: 2,
    uploads: 4,
    streamed_uploads: 4,
    leaves_children: 3,
    secret: 3,
    reads_input: 4,
    entered: 3,
}
OURS = ("ends", "out", "err", "act", "act_sec", "attempts", "streamed", "files", "lines", "writes")


def plan(seed: int, count: int, seconds: float) -> list[Plan]:
    """``count`` jobs for a storm of so long: one of each kind, and the rest as KINDS says; in order."""
    draw = random.Random(f"{seed}/jobs")
    kinds = list(KINDS)[:count]
    kinds += draw.choices(list(KINDS), list(KINDS.values()), k=count - len(kinds))
    draw.shuffle(kinds)
    # A third of them come at once, for a queue.
    starts = sorted(max(0.0, draw.uniform(-0.4, 0.9)) * seconds for _ in kinds)
    return [
        _plan(seed, number, kind, start, seconds)
        for number, (kind, start) in enumerate(zip(kinds, starts, strict=True))
    ]


def _plan(seed: int, number: int, kind: Callable[[Draw, str], Draft], start: float, seconds: float) -> Plan:
    draw = Draw(f"{seed}/job {number}", seconds)
    name = f"{kind.__name__}-{number}"
    draft = kind(draw, name)
    ours = {key: draft.pop(key) for key in OURS if key in draft}
    request = wire.RunJobRequest(name=name, priority=draw.randint(-5, 5), **draft)
    return Plan(number, kind.__name__, draw.choice(OWNERS), request, start_sec=start, **ours)


def _difference(wanted: bytes, seen: bytes) -> str:
    at = next((at for at, (a, b) in enumerate(zip(wanted, seen, strict=False)) if a != b), min(len(wanted), len(seen)))
    return (
        f"{len(seen)} bytes instead of {len(wanted)}; from byte {at} on {seen[at : at + 60]!r} "
        f"instead of {wanted[at : at + 60]!r}"
    )

"""What every other module needs: the error, the lab's directories, its locks, and running programs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

LAB_DIR = Path(os.environ.get("JOBLET_LAB_DIR", "/var/cache/joblet-lab")).absolute()
ROOTS, IMAGES, HOSTS, LOCKS = (LAB_DIR / part for part in ("roots", "images", "hosts", "locks"))
PROJECT = Path(__file__).resolve().parents[3]

# One lock for what all labs of a machine share, whatever their directory: subnets and the forwarding switch.
MACHINE_LOCK = Path("/run/joblet-lab.lock")

QUIET_SECONDS = 2.0  # a step that takes longer says so
REMIND_SECONDS = 20.0  # and repeats itself as often


class LabError(Exception):
    """What went wrong and how to mend it, in one line; `detail` (a log's tail) is printed before it."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP: unwinds through every clean-up on the way out."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def say(message: str) -> None:
    """Progress goes to stderr: stdout belongs to the result."""
    print(f"lab: {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str, *, announce: bool = False) -> Iterator[None]:
    """Speak of a piece of work once it takes longer than `QUIET_SECONDS` (or at once), and say how long it took."""
    started = time.monotonic()
    done = threading.Event()
    spoken = announce

    def remind() -> None:
        nonlocal spoken
        if not announce:
            if done.wait(QUIET_SECONDS):
                return
            say(f"{what} …")
            spoken = True
        while not done.wait(REMIND_SECONDS):
            say(f"{what} … {time.monotonic() - started:.0f} s")

    if announce:
        say(f"{what} …")
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
        finished = True
    except BaseException:
        finished = False
        raise
    finally:
        done.set()
        reminder.join()
        if spoken and finished:
            say(f"{what}: {time.monotonic() - started:.1f} s")


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    check: bool = True,
    fix: str = "",
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; a failure is a LabError that carries its output and, if given, the way out.

    With stdin=None it reads nothing: no program run by the lab may wait for a terminal.
    """
    try:
        done = subprocess.run(
            [str(arg) for arg in argv],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed{'; ' + fix if fix else ''}") from error
    if check and done.returncode != 0:
        lines = done.stdout.strip().splitlines() or [f"exit code {done.returncode}"]
        detail = "\n".join(lines[-15:]) if len(lines) > 1 else ""
        raise LabError(f"{Path(str(argv[0])).name} failed: {lines[-1]}{'; ' + fix if fix else ''}", detail)
    return done


def contained(argv: Sequence[str | Path]) -> list[str]:
    """Wrap a command that mounts and starts things: it and all it made vanish when it ends, or when the lab dies."""
    wrap = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
    return [*wrap, "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--", *map(str, argv)]


@contextlib.contextmanager
def locked(name: str | Path, waiting_for: str = "") -> Iterator[None]:
    """Hold an exclusive lock; say what is waited for when another lab holds it."""
    path = name if isinstance(name, Path) else LOCKS / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"waiting for another lab ({waiting_for or path.stem})"):
                fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def remove_tree(path: Path) -> None:
    """Delete a directory of ours, never through a mount point."""
    if not path.exists() and not path.is_symlink():
        return
    inside = f"{path}/"
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m == str(path) or m.startswith(inside)), reverse=True):
        run(["umount", "--lazy", mount])
    run(["rm", "-rf", "--one-file-system", "--", path])


def tail(path: Path, lines: int = 80) -> str:
    """Return the last lines of a log that may hold anything, or nothing."""
    try:
        text = path.read_bytes()[-65536:].decode(errors="replace")
    except OSError:
        return ""
    return "\n".join("".join(c for c in line if c.isprintable() or c == "\t") for line in text.splitlines()[-lines:])

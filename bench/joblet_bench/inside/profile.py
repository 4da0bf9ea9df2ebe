"""Where time and memory go, on the measured host: ``python3 -m joblet_bench.inside.profile PY_SPY`` prints JSON.

Tables: what rnx does before its first byte, who uses the CPU while jobs start and end, what the daemon does with its
part, what the sandbox costs, and what the daemon's memory is taken by.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from ..figures import Spread
from ..imports import by_package
from ..stacks import profile
from ..tables import Table
from . import cpu, daemon, resident, sandbox
from .bare import Watch
from .resident import PYTHON
from .scale import FULL, QUICK, Scale, tell

RATE_HZ = 200

# What rnx does on its way to the first byte, step by step. A row is the difference to the one before.
HEAD = "import gc, os, sys; gc.set_threshold(50_000)\n"
STEPS = {
    "Python itself": "",
    "click": "import click\n",
    "rnx: its commands, their options read": (
        "from rnx.main import root\n"
        "import rnx.jobrun\n"
        "rnx.jobrun.run.make_context('run', ['--wait', 'true'], obj=rnx.command.Settings())\n"
    ),
    "PyYAML": "import yaml\n",
    "the configuration read": "from rnx.config import load\nnode = load(None).select(None)\n",
    "gRPC": (
        "os.environ.setdefault('GRPC_VERBOSITY', 'NONE')\nfrom rnx.sparing import put_off\n"
        "with put_off('asyncio', 'grpc.aio'):\n    import grpc\n"
    ),
    "protobuf": "from google.protobuf.internal import builder\nfrom google.protobuf import descriptor_pool\n",
    "the generated code": "from joblet_wire import joblet_pb2, joblet_pb2_grpc\n",
    "rnx: what uses gRPC": "import rnx.connection, rnx.follow\n",
}
END = "sys.stdout.flush(); os._exit(0)\n"


def startup(job: str, scale: Scale) -> Iterator[Table]:
    """What a process takes that does the first steps of rnx only, and what its imports take."""
    programs: dict[str, list[str]] = {}
    code = HEAD
    for step, more in STEPS.items():
        code += more
        programs[step] = [*PYTHON, "-c", code + END, job]
    programs |= {
        "options read, TLS, one call: 'rnx job status'": ["rnx", "job", "status", job],
        "three calls instead: all of 'rnx job run --wait'": ["rnx", "job", "run", "--wait", "true"],
    }
    wall: dict[str, list[float]] = {name: [] for name in programs}
    used: dict[str, list[float]] = {name: [] for name in programs}
    rounds = scale.rounds * 2
    tell(f"{rounds} rounds of {len(programs)} processes")
    for _ in range(rounds):
        for name, argv in programs.items():
            taken, spent = once(argv)
            wall[name].append(taken)
            used[name].append(spent)
    rows, before = [], 0.0
    for name in programs:
        now = Spread.of(used[name]).low
        rows.append((name, f"{now - before:.1f}", f"{now:.1f}", f"{Spread.of(wall[name]).low:.1f}"))
        before = now
    yield Table(
        "Steps of rnx job run --wait true",
        ("step", "CPU, ms", "CPU from the start, ms", "with waiting, ms"),
        tuple(rows),
        f"Lower quartiles of {rounds} processes each, in turn, which do the first steps only; a step is the difference "
        "to the one before. The last two are rnx itself, which connects while it loads the generated code.",
    )
    yield imports(rounds)


def imports(rounds: int) -> Table:
    """What the imports of one call take."""
    command = [*PYTHON, "-X", "importtime", "/usr/bin/rnx", "job", "run", "--wait", "true"]
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        for name, spent in by_package(told).items():
            found.setdefault(name, []).append(spent)
    least = sorted(((Spread.of(spent).low, name) for name, spent in found.items()), reverse=True)
    return Table(
        "Its imports, by package",
        ("package", "ms"),
        tuple((name, f"{spent:.1f}") for spent, name in least),
        f"Lower quartiles of {rounds} runs of `python3 -X importtime`, whose own work makes every module slower.",
    )


def once(argv: list[str]) -> tuple[float, float]:
    """Run a program; the milliseconds until its end, and of CPU. Raises RuntimeError when it fails."""
    begun = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode:
        raise RuntimeError(f"{argv[:4]} ended with {process.returncode}: {said.decode(errors='replace')[-500:]}")
    return taken * 1000, (usage.ru_utime + usage.ru_stime) * 1000


# --- what the daemon does


def threads(process: int) -> dict[int, float]:
    """The CPU seconds of each thread of a process so far, of those that there are still (proc_pid_schedstat)."""
    seconds = {}
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            seconds[int(task.name)] = int((task / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    return seconds


async def parts(py_spy: str, scale: Scale) -> Table:
    """The daemon's CPU for a job, by part: that of its threads by the kernel's count, the shares by samples."""
    process, number = daemon.pid(), scale.batch * scale.pairs
    tell(f"{number} jobs without and {2 * number} with samples of the daemon's stacks")
    async with Watch.opened() as watch:
        with daemon.connected() as service, tempfile.TemporaryDirectory() as scratch:
            await cpu.jobs(service, watch, scale.batch)
            before = threads(process)
            for _ in range(scale.pairs):
                await cpu.jobs(service, watch, scale.batch)
            seconds = {thread: spent - before.get(thread, 0.0) for thread, spent in threads(process).items()}
            async with sampled(py_spy, process, Path(scratch, "stacks")) as file:
                for _ in range(scale.pairs * 2):
                    await cpu.jobs(service, watch, scale.batch)
            found = profile(file.read_text(encoding="utf-8"))
    each = {part: spent * 1000 / number for part, spent in found.spread(seconds).items()}
    whole = sum(each.values())
    rows = [
        (part, f"{spent:.2f}", f"{100 * spent / whole:.0f} %", ", ".join(found.busiest(part)))
        for part, spent in each.items()
    ]
    rows.append(("in all", f"{whole:.2f}", "100 %", ""))
    return Table(
        "The daemon's CPU for one job, by part",
        ("part", "ms", "share", "most of it in"),
        tuple(rows),
        "Of each thread by the kernel's count (schedstat) without a profiler, spread over the parts as that thread's "
        f"samples are in a run with py-spy, {found.total} in all; those of waiting threads are left out.",
    )


@contextlib.asynccontextmanager
async def sampled(py_spy: str, process: int, file: Path) -> AsyncIterator[Path]:
    """Samples of the stacks of a process for as long as the block lasts; they are in the file behind it."""
    command = [py_spy, "record", "--pid", str(process), "--rate", str(RATE_HZ), "--format", "raw", "--threads"]
    command += ["--native", "--full-filenames", "--duration", "600", "--output", str(file)]
    recorder = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.sleep(1)
        yield file
    finally:
        with contextlib.suppress(ProcessLookupError):
            recorder.send_signal(signal.SIGINT)
        said = (await recorder.communicate())[1]
    if not file.exists():
        raise RuntimeError(f"py-spy made no file: {said.decode(errors='replace')[-500:]}")


async def measured(py_spy: str, scale: Scale) -> list[Table]:
    """All tables."""
    with daemon.connected() as service:
        [job] = daemon.run_all(service, 1, ["true"])
        daemon.until(lambda: daemon.states(service)[job] == "COMPLETED")
    times = [*startup(job, scale), await cpu.measure(scale), await parts(py_spy, scale), await sandbox.measure(scale)]
    return [*times, resident.measure()]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("py_spy")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    tables = asyncio.run(measured(options.py_spy, QUICK if options.quick else FULL))
    print(json.dumps([table.to_json() for table in tables]))


if __name__ == "__main__":
    main()

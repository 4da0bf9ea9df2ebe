"""Tables of what a hostile job tries, run inside one; and the outcomes compared with what should come of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hosts import Host

PROGRAMS = Path(__file__).parent / "programs"

# A system call: its number on x86-64, then its arguments as programs/attempts.py takes them.
Call = tuple[Any, ...]
# By what is tried: the call, and all outcomes that are as they should be, separated by blanks.
Table = dict[str, tuple[Call, str]]


def report(host: Host, program: str, *arguments: str, uploads: tuple[Path, ...] = (), node: str = "") -> Any:
    """Run a program of ours as a job; the JSON that it prints."""
    files = [f"--upload={path}" for path in (PROGRAMS / program, *uploads)]
    job = host.run(*files, "python3", program, *arguments, node=node)
    out = host.rnx_bytes("job", "log", job)
    status = host.result(job)
    assert status["status"] == "COMPLETED", f"{program}: {status['reason']}\n{out.stderr.decode()}"
    return json.loads(out.stdout)


def surprises(host: Host, table: Table, directory: Path) -> dict[str, str]:
    """Try everything in a table; what ended otherwise than it should."""
    calls = directory / "calls.json"
    calls.write_text(json.dumps({name: call for name, (call, _) in table.items()}))
    outcomes = report(host, "attempts.py", "calls.json", uploads=(calls,))
    return {
        name: f"{outcomes[name]}, not {expected}"
        for name, (_, expected) in table.items()
        if outcomes[name] not in expected.split()
    }

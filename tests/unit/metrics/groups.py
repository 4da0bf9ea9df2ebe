"""Control groups as directories of files, for tests."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\nnr_throttled 3\nthrottled_usec 700000\n",
    "memory.current": "1048576\n",
    "memory.peak": "2097152\n",
    "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n7:1 \n7:0 rbytes=1000 wbytes=0 rios=1\n",
    "pids.current": "3\n",
    "pids.peak": "9\n",
    "cgroup.threads": "1\n2\n",
    "cpu.pressure": "some avg10=12.50 avg60=1.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "io.pressure": "some avg10=0.25 avg60=0.00 avg300=0.00 total=1\n",
}


def make(group: Path, **files: str | None) -> Path:
    """A group with all controllers; ``files`` replace those above, ``_`` standing for a dot, and None removes one."""
    group.mkdir(parents=True, exist_ok=True)
    changed = {name.replace("_", "."): content for name, content in files.items()}
    for name, content in {**FILES, **changed}.items():
        if content is None:
            (group / name).unlink(missing_ok=True)
        else:
            (group / name).write_text(content)
    return group

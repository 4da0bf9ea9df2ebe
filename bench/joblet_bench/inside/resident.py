"""What the daemon's memory is taken by: what it loads, library by library, and what comes with its first clients."""

from __future__ import annotations

import contextlib
import subprocess
import time

from joblet_wire import joblet_pb2

from ..tables import Table
from . import daemon
from .memory import LINGER_SEC
from .scale import tell

MB = 1_000_000
PYTHON = ("/usr/bin/python3", "-I")  # as the programs of the packages are run

# What the daemon imports, each time with all that is before it. A row is the difference to the one before.
STEPS = {
    "Python itself": "",
    "of its library: asyncio, ssl, sqlite3": "import asyncio, ssl, sqlite3\n",
    "PyYAML": "import yaml\n",
    "dbus-fast": "import dbus_fast.aio\n",
    "pyasn1": "import pyasn1.codec.der.decoder\n",
    "gRPC": "import grpc.aio\n",
    "protobuf": "from google.protobuf import descriptor_pb2\nfrom google.protobuf.internal import builder\n",
    "the generated code": "from joblet_wire import joblet_pb2\n",
    "the daemon's modules": "import joblet_systemd.main, joblet_systemd.daemon\n",
    "aiohttp, the gateway's modules": "import joblet_systemd.http.parts\n",
    "psutil, once the host's state is asked for": "import joblet_systemd.metrics.readers\n",
    "prometheus-client, once it is scraped": "import joblet_systemd.metrics.prometheus\n",
}
ENVIRONMENT = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/dev/null"}  # as joblet.service
KINDS = ("VmRSS", "RssAnon")
SAY = f"""
for line in open("/proc/self/status"):
    name, _, value = line.partition(":")
    if name in {KINDS}:
        print(name, int(value.split()[0]) * 1024)
"""


def measure() -> Table:
    """Processes that load the same as the daemon, then the daemon itself."""
    rows: list[tuple[str, ...]] = []
    before, code = 0.0, ""
    for step, more in STEPS.items():
        code += more
        command = [*PYTHON, "-c", code + SAY]
        said = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
        sizes = dict(line.split() for line in said.splitlines())
        whole, own = (int(sizes[kind]) / MB for kind in KINDS)
        rows.append((step, f"{whole - before:.1f}", f"{whole:.1f}", f"{own:.1f}"))
        before = whole
    tell(f"the daemon itself, idle: three times {LINGER_SEC + 5} s")
    rows += [(what, "", *(f"{size:.1f}" for size in sizes)) for what, sizes in _daemon().items()]
    return Table(
        "The daemon's memory, by what it loads",
        ("step", "MB", "from the start, MB", "of it no file's pages, MB"),
        tuple(rows),
        "Resident memory of a process that has imported so much, a step is the difference to the one before; then "
        f"the daemon's, {LINGER_SEC} s after its last client. Pages of files (programs, libraries) are counted "
        "where they are used, though the kernel has them once and drops them when memory is short.",
    )


def _daemon() -> dict[str, tuple[float, ...]]:
    daemon.systemctl("restart", "joblet.service")
    process = daemon.pid()

    def rested() -> tuple[float, ...]:
        time.sleep(LINGER_SEC + 5)
        return tuple(daemon.resident_bytes(process, kind) / MB for kind in KINDS)

    found = {"the daemon, just started": rested()}
    with daemon.connected() as service:
        service.ListJobs(joblet_pb2.EmptyRequest(), timeout=daemon.PATIENCE_SEC)
    found["after a gRPC client"] = rested()
    with contextlib.closing(daemon.gateway()) as connection:
        daemon.first_page(connection)
    found["after an HTTP client"] = rested()
    return found

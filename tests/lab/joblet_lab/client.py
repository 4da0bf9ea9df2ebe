"""The client from outside: the checkout's rnx with the host's own client configuration, pointed at the host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .base import PROJECT, LabError
from .host import Host

PORT = 50051
REMOTE_CONFIG = "/etc/joblet/rnx-config.yml"
ADDRESS = re.compile(r"^(\s*(?:-\s+)?address:\s*)(\"[^\"]*\"|'[^']*'|[^\s#]+)", re.MULTILINE)


def fetch_config(host: Host, exec_argv: list[str]) -> Path:
    """Fetch the host's client configuration with `exec_argv`; return the path of the copy for use from outside."""
    done = subprocess.run(exec_argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        if not host.debs:
            raise LabError(f"host {host.name} is a plain one, without our package; build it and boot the host anew")
        message = f"no {REMOTE_CONFIG} on {host.name}; see: lab exec {host.name} -- systemctl --failed"
        raise LabError(message, done.stderr.strip())
    text, count = ADDRESS.subn(rf'\g<1>"{host.address}:{PORT}"', done.stdout)
    if not count:
        raise LabError(f"{REMOTE_CONFIG} on {host.name} names no node address; look at: jobletd setup")
    copy = host.directory / "rnx-config.yml"
    new = copy.with_suffix(f".{os.getpid()}")
    new.touch(mode=0o600)
    new.write_text(text)
    new.rename(copy)
    return copy


def client_argv(config: Path, args: list[str]) -> tuple[list[str], dict[str, str]]:
    """Return the client's command and environment: the checkout's virtual environment, else its sources."""
    env = dict(os.environ)
    installed = PROJECT / ".venv" / "bin" / "rnx"
    if installed.exists():
        return [str(installed), f"--config={config}", *args], env
    python = "python3" if sys.executable is None else sys.executable
    paths = [str(PROJECT / "cli"), str(PROJECT), *filter(None, [env.get("PYTHONPATH", "")])]
    env["PYTHONPATH"] = ":".join(paths)
    return [python, "-m", "rnx", f"--config={config}", *args], env

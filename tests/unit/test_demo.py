"""The demonstration leaves no host behind, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo" / "run"

LAB = """\
#!/bin/sh
echo "$@" >>"$0.log"
if [ "$1" = list ]; then echo '[]'; fi
"""

# The real thing but for what is shown, and for the host.
DRIVER = """\
import os, sys, time
from importlib import machinery, util
spec = util.spec_from_loader("demo", machinery.SourceFileLoader("demo", sys.argv[1]))
demo = sys.modules["demo"] = util.module_from_spec(spec)
spec.loader.exec_module(demo)
def demonstrate(options):
    with demo.booted("host", container=True, keep=False):
        while True:
            demo.tell("ready")
            time.sleep(0.01)
demo.LAB, demo.demonstrate, os.geteuid = sys.argv[2], demonstrate, lambda: 0
del sys.argv[1:]
demo.main()
"""


def reader_goes(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.close()


def terminated(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(("happens", "code"), [(reader_goes, 141), (terminated, 143)])
def test_the_host_goes(happens: Callable[[subprocess.Popen[str]], None], code: int, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.write_text(LAB)
    lab.chmod(0o755)
    argv = [sys.executable, "-B", "-c", DRIVER, str(DEMO), str(lab)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while process.stdout.readline() != "# ready\n":
            assert process.poll() is None, process.stderr.read()
        happens(process)
        if not process.stdout.closed:
            process.stdout.read()
        assert (process.stderr.read(), process.wait(30)) == ("", code)
    assert (tmp_path / "lab.log").read_text().splitlines()[-1] == "down host"

"""``jobletd``, the program. Errors become an exit code here and nowhere else."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from .errors import JobletError
from .privilege import must_be_root

INTERRUPTED = 130  # 128 + SIGINT, as shells count
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``jobletd`` with ``argv`` (the process's arguments by default); returns the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as in `jobletd ... >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (stays open to the end)
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except JobletError as error:
        _say(f"jobletd: {error.message}")
        if error.hint:
            _say(error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()  # whoever read it has gone
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL and not error.filename:
            _discard_output()
            _say(f"jobletd: the output cannot be written: {error.strerror}.")
            return 1
        if os.environ.get("JOBLET_DEBUG") == "1":
            traceback.print_exc()
        _say(f"jobletd: {type(error).__name__}: {' '.join(str(error).split())}")
        _say("This is a bug in jobletd; JOBLET_DEBUG=1 shows where it happened.")
        return 1
    return code


def _run(arguments: Sequence[str]) -> int:
    if list(arguments) == ["serve"]:
        # As joblet.service has it. Nothing is to be parsed, and click would stay in the daemon's memory, 2 MB.
        return serve(None)
    from . import commands  # noqa: PLC0415

    return commands.run(arguments)


def serve(listen: str | None) -> NoReturn:
    """Be the daemon, by the configuration there is, until SIGTERM. Raises JobletError when it cannot start."""
    must_be_root("serve")
    from . import config, daemon  # noqa: PLC0415 (grpc and D-Bus take a while to import)

    daemon.run(config.load(), listen)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _discard_output() -> None:
    """Give stdout a sink: Python flushes it once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""The command rnx: its root, and the one place where failures become messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import NoReturn

import click

from . import __version__, output
from .command import Group
from .errors import BROKEN_PIPE, FAILURE, INTERRUPTED, USAGE, RnxError, told

COMPLETE_VARIABLE = "_RNX_COMPLETE"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        click.echo(f"rnx {__version__}")
        context.exit()


@click.group(
    cls=Group,
    lazy={
        "job": "job:job",
        "monitor": "monitor:monitor",
        "dashboard": "dashboard:dashboard",
        "nodes": "nodes:nodes",
        "config-help": "nodes:config_help",
        "version": "about:version",
        "completion": "about:completion",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def root() -> None:
    """Run jobs on a Linux host, isolated and limited, and watch them.

    Exit codes: 0 done, 1 failure, 2 usage, 3 not found, 4 denied, 5 unreachable.
    """


def main() -> NoReturn:
    """The command rnx: run this process's command line and end the process.

    Taking the interpreter down in order costs another 30 ms once gRPC is loaded, and nothing of it is
    needed: the kernel closes what is open. What could not be written is not tried again either.
    """
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or FAILURE
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run a command line (without the program's name) and return the exit code."""
    _prepare_streams()
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        return _complete(instruction)
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as failure:
        message, code = _explained(failure)
        if message:
            output.error(message)
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        with root.make_context("rnx", list(arguments)) as context:
            root.invoke(context)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    return 0


def _explained(failure: Exception | KeyboardInterrupt) -> tuple[str, int]:
    """What to tell the user of a failure, and the exit code."""
    match failure:
        case RnxError():
            return str(failure), failure.exit_code
        case click.UsageError():
            command = failure.ctx.command_path if failure.ctx else "rnx"
            message = failure.format_message().rstrip(".")
            if isinstance(failure, click.NoSuchOption):  # which every version of click words in its own way
                message = f"No such option: {failure.option_name}"
                if failure.possibilities:
                    message += f". Did you mean {' or '.join(sorted(failure.possibilities))}?"
            return f"{message}{'' if message.endswith('?') else '.'} See '{command} --help'.", USAGE
        case UnicodeEncodeError():  # what gRPC, YAML and the like cannot take of an argument, see is_text
            return f"{failure.object!r} is not UTF-8, as names and paths on a node must be.", USAGE
        case KeyboardInterrupt():
            return "interrupted", INTERRUPTED
        case BrokenPipeError():  # the reader has gone, as in `rnx job log ID | head`
            return "", BROKEN_PIPE
        case OSError():
            # Without a name it is what was printed that has no room, as in `rnx job log ID >file`.
            where = "" if failure.filename else "cannot write the output: "
            return f"{where if failure.errno in FULL else ''}{told(failure)}", FAILURE
    if os.environ.get("RNX_DEBUG"):
        raise failure
    return f"{type(failure).__name__}: {failure}. RNX_DEBUG=1 in the environment shows where.", FAILURE


def _prepare_streams() -> None:
    """Make sure that printing never fails for want of a character, or of an open stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, as in `rnx ... >&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - stays open to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complete(instruction: str) -> int:
    """Offer words to a shell; none where anything fails, and nothing is said in the middle of somebody's typing."""
    from click.shell_completion import shell_complete  # noqa: PLC0415 - needed only when a shell asks

    if os.environ.get("RNX_DEBUG"):
        return shell_complete(root, {}, "rnx", COMPLETE_VARIABLE, instruction)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception, KeyboardInterrupt):
        return shell_complete(root, {}, "rnx", COMPLETE_VARIABLE, instruction)
    return 0

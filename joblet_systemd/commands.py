"""The commands of ``jobletd`` and their options.

Everything that takes long to import is imported by the command that needs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from . import __version__, main
from .cert import audited, cert, json_option, line, parse_address
from .privilege import must_be_root

if TYPE_CHECKING:
    from .setup import Step


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jobletd")
def cli() -> None:
    """Run jobs as transient systemd units; clients talk to this daemon with rnx."""


@cli.command()
@click.option(
    "--listen", metavar="ADDR:PORT", help="Listen here when not started by joblet.socket.  [default: 127.0.0.1:50051]"
)
def serve(listen: str | None) -> None:
    """Serve clients until SIGTERM; jobs go on without the daemon.

    joblet.service runs this; it needs systemd as PID 1.
    """
    main.serve(listen)


@cli.command()
@click.option(
    "--address",
    metavar="HOST[:PORT]",
    help="Where clients reach this host; goes into the server's certificate and a new rnx-config.yml."
    "  [default: 127.0.0.1:50051]",
)
@json_option
def setup(address: str | None, as_json: bool) -> None:
    """Make the keys and files that are missing in /etc/joblet.

    What is there is kept, so that this can be run at any time; joblet-setup.service does at first start.
    """
    must_be_root("setup")
    from . import setup as module  # noqa: PLC0415 (cryptography takes a while to import)

    steps = []
    reached = parse_address(address)
    with audited("setup") as done:
        for step in module.setup(reached):
            steps.append(step)
            if step.outcome in (module.Outcome.MADE, module.Outcome.RENEWED):
                done(f"{step.outcome} {step.subject}")
            if not as_json:
                click.echo(line(step))
    if as_json:
        click.echo(json.dumps({"steps": _steps_json(steps)}, indent=2))
    elif address is not None:
        click.echo("To let clients in there:  systemctl edit joblet.socket  (its head says how)")
        click.echo(f"To make one its key:      jobletd cert issue NAME --role ROLE --address {address}")


@cli.command()
@json_option
@click.option("--fix", is_flag=True, help="Instead, show what jobs that are gone have left here, and remove it.")
@click.option("--yes", is_flag=True, help="With --fix: remove it without asking.")
def doctor(as_json: bool, fix: bool, yes: bool) -> int:
    """Say what this host enforces of what Joblet promises, and how.

    Exit codes: 0 if all of it holds (with --fix: nothing is left over), 1 if something does not.
    """
    must_be_root("doctor")
    if yes and not fix:
        raise click.UsageError("--yes goes with --fix")
    from . import doctor as module  # noqa: PLC0415 (D-Bus takes a while to import)
    from . import leftovers  # noqa: PLC0415

    return leftovers.main(as_json=as_json, yes=yes) if fix else module.main(as_json=as_json)


cli.add_command(cert)


def run(arguments: Sequence[str]) -> int:
    """Run a command line; returns the exit code. Raises what the command raises, but what is wrong with the line."""
    try:
        result = cli.main(args=list(arguments), prog_name="jobletd", standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"jobletd: {_usage(error)}", err=True)
        return error.exit_code
    except click.Abort:
        return main.INTERRUPTED
    # Without standalone_mode click returns the code of --help and --version.
    return result if isinstance(result, int) else 0


def _usage(error: click.ClickException) -> str:
    """What is wrong with a command line, in one paragraph, and what tells more."""
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Option) and error.param.help:
        message += f": {error.param.help.rstrip('.')}"
    stop = "" if message.endswith("?") else "."  # "Did you mean ...?"
    return f"{message}{stop} See '{context.command_path if context else 'jobletd'} --help'."


def _steps_json(steps: Iterable[Step]) -> list[dict[str, str]]:
    return [{"subject": step.subject, "outcome": step.outcome, "note": step.note} for step in steps]

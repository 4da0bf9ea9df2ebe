"""``rnx version`` and ``rnx completion``."""

from __future__ import annotations

import platform

import click
from click.shell_completion import get_completion_class

from . import __version__, output
from .command import Command, Settings, pass_settings


@click.command("version", cls=Command)
@pass_settings
def version(settings: Settings) -> None:
    """Print the version of rnx."""
    if settings.json:
        output.print_json({"version": __version__, "python": platform.python_version()})
    else:
        print(f"rnx {__version__}")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@pass_settings
def completion(settings: Settings, shell: str) -> None:
    """Print what makes a shell complete rnx commands.

    For bash, put  eval "$(rnx completion bash)"  into ~/.bashrc.
    """
    if settings.json:
        raise click.UsageError("this is for a shell to read; there is no --json for it")
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three"
    # Not source(): that starts bash only to ask for its version.
    complete = kind(click.Group(), {}, "rnx", "_RNX_COMPLETE")
    print(complete.source_template % complete.source_vars())

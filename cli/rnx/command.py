"""What all commands share: the global options, and groups that load a command when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from . import complete
from .errors import USAGE, RnxError

# The commands, and options behind "--", of other versions of Joblet: what to say of those, and what to do
# instead, rather than "no such command", or a guess what else was meant.
NOT_YET = {
    "runtime": "runtimes yet: jobs have the programs of the node's /usr. Have what they need installed there, or bring"
    " it with --upload-dir.",
    "volume": "volumes yet: every job has a /work of its own. --upload and --upload-dir bring files in, --output and"
    " 'rnx job download' bring them back.",
    "network": "networks yet: jobs have a loopback interface only. Bring what they need with --upload.",
    "workflow": "workflows yet. 'rnx job run --wait' ends with the job's exit code, so that a script can run one job"
    " after the other.",
    "gpu": "GPUs for jobs yet. Leave --gpu out to run on the CPU.",
    "gpu-memory": "GPUs for jobs yet. Leave --gpu-memory out to run on the CPU.",
    "telematics": "telematics yet. 'rnx job metrics' shows what a job uses.",
}

# What other tools call some commands.
CALLED_ELSEWHERE = {"ls": "list", "ps": "list", "rm": "delete", "kill": "stop", "submit": "run", "show": "status"}


@dataclass
class Settings:
    """The global options; they may stand before or behind the name of a command."""

    config: str | None = None
    node: str | None = None
    json: bool = False


pass_settings = click.make_pass_decorator(Settings, ensure=True)


def _remember(context: click.Context, parameter: click.Parameter, value: str | bool | None) -> None:
    settings = context.ensure_object(Settings)
    if value == "":
        # A variable that is not set, in a script: any other node would be the wrong one.
        accepted = str(parameter.metavar).lower()  # a file, a name
        raise click.BadParameter(f"'' is not accepted; expected a {accepted}, or leave the option out.")
    if value and parameter.name:
        setattr(settings, parameter.name, value)


def _refuse_what_is_not_there_yet(word: str, context: click.Context) -> None:
    missing = NOT_YET.get(word.removeprefix("--"))
    if missing and not context.resilient_parsing:
        raise RnxError(f"Joblet on systemd does not have {missing}", USAGE)


def _global_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--config"], metavar="FILE", expose_value=False, callback=_remember, help="Use this configuration file."
        ),
        click.Option(
            ["--node"],
            metavar="NAME",
            expose_value=False,
            callback=_remember,
            shell_complete=complete.node,
            help="Talk to this node of the file.",
        ),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_remember, help="Print JSON."),
    ]


def lazily(target: str) -> Callable[[str], Any]:
    """``module:function`` of the package rnx, for the ``type`` of an option: imported when the option is given."""

    def convert(text: str) -> Any:
        return _imported(target)(text)

    return convert


class Number(click.IntRange):
    """A whole number within bounds; anything else is refused in the words of all options."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            bounds = f"{self.min} or more" if self.max is None else f"from {self.min} to {self.max}"
            raise click.BadParameter(f"{value!r} is not accepted; expected a whole number, {bounds}.") from None


class Command(click.Command):
    """A command that takes the global options besides its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _global_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _refuse_what_is_not_there_yet(error.option_name, ctx)
            raise


class Group(click.Group):
    """A group whose commands are imported when one is called, so that the others cost nothing.

    ``lazy`` maps the name of a command to ``module:attribute`` below the package rnx; ``hidden`` does
    so for names that work and are not listed.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, str], hidden: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.params += _global_options()
        self._listed = list(lazy)
        self._lazy = {**lazy, **(hidden or {})}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._listed

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self._lazy.get(cmd_name)
        if target is None:
            _refuse_what_is_not_there_yet(cmd_name, ctx)
            if not ctx.resilient_parsing and (meant := self._meant(ctx, cmd_name)):
                raise click.UsageError(f"No such command '{cmd_name}'. Did you mean '{meant}'?", ctx)
            return None
        command: click.Command = _imported(target)
        return command

    def _meant(self, ctx: click.Context, word: str) -> str | None:
        """The command that ``word`` likely stands for, here or in a group of this one: ``rnx job run`` for ``run``."""
        import difflib  # noqa: PLC0415 - for mistakes alone

        groups = [(ctx.command_path, self)]
        for name in self._listed:
            command = self.get_command(ctx, name)
            if isinstance(command, Group):
                groups.append((f"{ctx.command_path} {name}", command))
        word = CALLED_ELSEWHERE.get(word, word)
        for likeness in (1.0, 0.6):
            for path, group in groups:
                for name in difflib.get_close_matches(word, group._listed, 1, likeness):
                    return f"{path} {name}"
        return None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Answer a group without a command with its help, as an error, on every version of click."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)


def _imported(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(f"rnx.{module}"), attribute)


def is_text(text: str) -> bool:
    """Whether an argument or file name is UTF-8: Python has other bytes as lone surrogates (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

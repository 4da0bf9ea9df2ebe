"""The manual pages know every command and option that --help shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from joblet_systemd.commands import cli as jobletd
from joblet_systemd.setup import CONFIG_TEXT
from rnx.main import root as rnx

MAN = Path(__file__).parents[2] / "man"


def commands(group: click.Command, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """``group`` and all commands below it, with the words they are called by."""
    yield names, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, (*names, name))


def missing(page: str, group: click.Command) -> list[str]:
    """The words of the command line that ``page`` does not have as mdoc(7) macros."""
    text = (MAN / page).read_text()
    wanted = set()
    for names, command in commands(group, ()):
        if names:
            wanted.add(names[-1])
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                wanted.update(f"Fl {option[1:]}" for option in parameter.opts)
    return sorted(word for word in wanted if word not in text)


@pytest.mark.parametrize(("page", "group"), [("rnx.1", rnx), ("jobletd.8", jobletd)])
def test_the_manual_is_complete(page: str, group: click.Command) -> None:
    assert missing(page, group) == []


def test_the_manual_of_the_configuration_is_complete() -> None:

    text = (MAN / "joblet-config.yml.5").read_text()
    keys = [line.strip(" #").partition(":")[0] for line in CONFIG_TEXT.splitlines() if ":" in line and "# " not in line]
    assert "stop_grace" in keys
    assert [key for key in keys if f".It Cm {key}\n" not in text] == []

"""The variables that a job gets: from options and from files of ``KEY=VALUE`` lines.

A file's lines: empty ones and those that begin with ``#`` are skipped; ``export`` in front is too; a KEY
without ``=`` has the value it has here. In 'single quotes' everything stands for itself, in "double
quotes" a backslash takes the meaning from ``"``, ``\\``, ``$`` and ``` ` ``` and joins lines; a quoted value
may go over several lines. Nothing is expanded, and a ``#`` in a value is part of it. So far a POSIX
shell and systemd's EnvironmentFile= (systemd.exec(5)) agree, Docker but for the quotes.

No message has a value: it may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from joblet_wire.variables import NAME, NAME_ACCEPTED, RESERVED_ACCEPTED, is_reserved

MAX_FILE_BYTES = 1 << 20
_EXPORT = re.compile(r"export[ \t]+")
_ESCAPED = re.compile(r'\\(["\\$`\n])')
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t\r]*(?:\n|$)', re.DOTALL)
_SINGLE = re.compile(r"'([^']*)'[ \t\r]*(?:\n|$)")


@dataclass(frozen=True)
class Given:
    """Variables as the options give them, and the files named for more of their kind."""

    variables: Sequence[tuple[str, str]]
    files: Sequence[str]


def collect(plain: Given, secret: Given) -> tuple[dict[str, str], dict[str, str]]:
    """The plain and the secret variables. An option wins over a file, a later one over an earlier one.

    Raises click.UsageError for a file that cannot be read or understood, and for a name that is both.
    """
    environment, secrets = (
        {name: value for file in given.files for name, value in read(file)} | dict(given.variables)
        for given in (plain, secret)
    )
    twice = sorted(environment.keys() & secrets.keys())
    if twice:
        raise click.UsageError(f"the variable {twice[0]} is given as a plain and as a secret one; make it one of them")
    return environment, secrets


def read(file: str) -> Iterator[tuple[str, str]]:
    """The variables in a file, in their order."""
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise click.UsageError(f"{file}: larger than 1 MiB, which is more than a job's environment can be")
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: is not UTF-8") from None
    yield from parse(text, file)


def parse(text: str, file: str) -> Iterator[tuple[str, str]]:
    """The variables in a file's text."""
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].strip()
        where = f"{file}, line {text.count(chr(10), 0, position) + 1}"
        begin, position = position, end + 1
        if not line or line.startswith("#"):
            continue
        exported = _EXPORT.match(line)
        name, equals, value = line[exported.end() if exported else 0 :].partition("=")
        name = _checked(name.strip(), where)
        if not equals:
            if name not in os.environ:
                raise click.UsageError(f"{where}: {name} has no '=', and is not set here either")
            value = os.environ[name]
        elif value.lstrip()[:1] in ("'", '"'):
            value, position = _quoted(text, text.index("=", begin) + 1, f"{where}: {name}")
        else:
            value = value.strip()
        if "\0" in value:
            raise click.UsageError(f"{where}: the value of {name} has a NUL byte, which no variable can have")
        yield name, value


def _quoted(text: str, start: int, where: str) -> tuple[str, int]:
    """The quoted value behind ``start``, and where the next line begins."""
    while text[start] not in "'\"":
        start += 1
    double = text[start] == '"'
    match = (_DOUBLE if double else _SINGLE).match(text, start)
    if match is None:
        raise click.UsageError(
            f"{where}: the value begins with a quote; one like it must end it, and nothing may follow that on its line"
        )
    return _ESCAPED.sub(_unescaped, match[1]) if double else match[1], match.end()


def _unescaped(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def _checked(name: str, where: str) -> str:
    if not NAME.fullmatch(name):
        raise click.UsageError(f"{where}: expected KEY=VALUE, the key being {NAME_ACCEPTED}")
    if is_reserved(name):
        raise click.UsageError(f"{where}: {name} is not accepted; expected {RESERVED_ACCEPTED}.")
    return name

"""Tables of a profile, for a terminal and for PROFILE.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """Rows of text under a head, and how they came about."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Table:
        """The same from plain values."""
        rows = tuple(tuple(row) for row in values["rows"])
        return cls(values["title"], tuple(values["head"]), rows, values["note"])


def text(tables: Iterable[Table]) -> str:
    """For a terminal: columns, the numbers flush right."""
    lines = []
    for table in tables:
        lines += ["", table.title]
        cells = [table.head, *table.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(table.head))]
        for first, *others in cells:
            numbers = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
            lines.append("  " + "  ".join([first.ljust(widths[0]), *numbers]).rstrip())
        lines.append(f"  {table.note}")
    return "\n".join(lines[1:]) + "\n"


def markdown(tables: Iterable[Table], host: Sequence[tuple[str, str]]) -> str:
    """For PROFILE.md, with the host's description."""
    lines = [
        '# Results of `make bench BENCH="--profile"`',
        "",
        "What is measured and how: [docs/benchmarks.md](../docs/benchmarks.md#where-the-time-goes).",
        "",
    ]
    lines += ["| Host | |", "|---|---|", *(f"| {name} | {value} |" for name, value in host), ""]
    for table in tables:
        lines += [f"## {table.title[:1].upper()}{table.title[1:]}", "", f"| {' | '.join(table.head)} |"]
        lines.append("|---|" + "---:|" * (len(table.head) - 1))
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in table.rows]
        lines += ["", table.note, ""]
    return "\n".join(lines)

"""The table of what was found, for a terminal and for RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .figures import Finding, Spread

HEAD = ("what", "figure", "quartiles", "n", "beside", "ratio", "budget", "")


def number(value: float) -> str:
    """Three digits that matter, and no exponent."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}".replace(",", " ")


def cells(finding: Finding) -> tuple[str, ...]:
    """One line of the table."""
    if finding.figure is None:
        why_not = finding.why_not.replace("|", "/")  # which would be a column
        return (finding.what, "not measured", "", "", finding.beside, "", finding.budget, why_not)
    figure = finding.figure
    verdict = {True: "met", False: "MISSED", None: ""}[finding.met]
    return (
        finding.what,
        f"{number(figure.median)} {finding.unit}",
        _between(figure) if figure.number > 1 else "",
        str(figure.number) if figure.number > 1 else "",
        finding.beside,
        f"{number(finding.ratio.median)} ({_between(finding.ratio)})" if finding.ratio else "",
        finding.budget,
        "; ".join(filter(None, (verdict, finding.note))),
    )


def _between(spread: Spread) -> str:
    return f"{number(spread.low)} .. {number(spread.high)}"


def rows(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """The findings by their row, in order."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.row, []).append(finding)
    return found


def text(findings: Iterable[Finding]) -> str:
    """For a terminal: columns."""
    lines = []
    for row, members in rows(findings).items():
        lines.append(f"\n{row}")
        table = [HEAD, *map(cells, members)]
        widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
        lines += [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in table
        ]
    return "\n".join(lines).lstrip("\n") + "\n"


def markdown(findings: Iterable[Finding], host: Sequence[tuple[str, str]]) -> str:
    """For RESULTS.md, with the host's description."""
    lines = [
        "# Results of `make bench`",
        "",
        "What is measured and how: [docs/benchmarks.md](../docs/benchmarks.md).",
        "",
    ]
    lines += ["| Host | |", "|---|---|", *(f"| {name} | {value} |" for name, value in host), ""]
    for row, members in rows(findings).items():
        lines += [f"## {row[:1].upper()}{row[1:]}", "", f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
        lines += [f"| {' | '.join(cells(member))} |" for member in members]
        lines.append("")
    return "\n".join(lines)

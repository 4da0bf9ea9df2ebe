"""What rnx prints: lines, tables, JSON, notes, and signs of life."""

# ruff: noqa: PLC0415 - what few commands print with is imported by those

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TextIO

import click

PATIENCE = 2.0  # seconds before rnx says what it is waiting for
MB = 1 << 20

_COLOURS = {
    "COMPLETED": "green",
    "FAILED": "red",
    "TIMEOUT": "red",
    "RUNNING": "cyan",
    "STOPPED": "yellow",
    "CANCELED": "yellow",
}


def error(message: str) -> None:
    """Print a failure on stderr, in one paragraph."""
    _tell(f"rnx: {message}")


def note(message: str) -> None:
    """Print on stderr something that is worth knowing and no failure."""
    _tell(f"note: {message}")


def _tell(message: str) -> None:
    print(printable(" ".join(message.split())), file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """``text`` with everything escaped that could move a terminal's cursor or pose as other text.

    Names and commands come from other people.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def print_json(value: Any, stream: TextIO | None = None) -> None:
    """Print ``value`` as JSON, on stdout unless another stream is given."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False), file=stream, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], colour: int | None = None) -> None:
    """Print columns on stdout. An empty cell becomes ``-``, so that every row has the same words.

    ``colour`` is the column holding a job's status, if any. On a terminal the last column is cut.
    """
    import shutil

    cells = [list(head), *([printable(cell) or "-" for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head) - 1)]
    left = shutil.get_terminal_size().columns - sum(widths) - 2 * len(widths) if sys.stdout.isatty() else None
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        if colour is not None and colourful() and row[colour] in _COLOURS:
            padded[colour] = click.style(padded[colour], fg=_COLOURS[row[colour]])
        last = row[-1]
        if left is not None and len(last) > max(left, 10):
            last = last[: max(left, 10) - 1] + "…"
        print("  ".join([*padded, last]))


def colourful() -> bool:
    """Whether stdout is a terminal whose user likes colours (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write_all(stream: BinaryIO, data: bytes) -> None:
    """Write ``data`` and see it off. With PYTHONUNBUFFERED set, one write may take only a part."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]
    stream.flush()


@contextlib.contextmanager
def waiting(what: str, always: bool = False) -> Iterator[None]:
    """Say what rnx is waiting for if the body takes over two seconds.

    Only where a person sees it, on a terminal; ``always`` is for what belongs into a log as well.
    """
    if not always and not sys.stderr.isatty():
        yield
        return
    timer = threading.Timer(PATIENCE, note, [f"waiting for {what}"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def parsed_time(text: str) -> datetime.datetime | None:
    """An RFC 3339 time, or None for one that is empty or cannot be read."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def local_time(text: str) -> str:
    """An RFC 3339 time as a clock on this machine's wall shows it; what is no time stays as it is."""
    moment = parsed_time(text)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else text


def duration(seconds: float) -> str:
    """``3661.5`` as ``1 h 1 min 1 s``, and less than a minute with its fraction."""
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def files(count: int) -> str:
    """A number of files, some of which may be directories."""
    return "1 file" if count == 1 else f"{count} files and directories"


def size(count: int) -> str:
    """A number of bytes with a unit; 1 KB is 2^10 bytes, 1 MB 2^20."""
    value = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if value < 1024:
            return f"{count} byte{'' if count == 1 else 's'}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"

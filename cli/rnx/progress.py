"""A bar for transfers that take a while, on terminals only."""

from __future__ import annotations

import contextlib
import sys
import time
from types import TracebackType

import click

from .output import PATIENCE


class Progress:
    """Counts bytes of ``total``; shows a bar on stderr if that is a terminal and it takes over two seconds."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._seen = 0
        self._due = time.monotonic() + PATIENCE if sys.stderr.isatty() and total else None
        self._shown = contextlib.ExitStack()
        self._bar: click._termui_impl.ProgressBar[int] | None = None

    def __enter__(self) -> Progress:
        return self

    def add(self, count: int) -> None:
        """So many bytes more."""
        self._seen += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._due is not None and time.monotonic() > self._due:
            bar = click.progressbar(length=self._total, label=self._label, file=sys.stderr)
            self._bar = self._shown.enter_context(bar)
            self._bar.update(min(self._seen, self._total))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()

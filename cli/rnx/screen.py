"""A view that is drawn again and again in place, on terminals; and streams that outlive a broken connection."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from . import output
from .errors import Passing, RnxError

if TYPE_CHECKING:
    from .connection import Connection

ATTEMPTS = 10  # breaks in a row without an answer in between
# The other screen, no cursor, no wrapping: a line that is too long, or too wide after a resize, is cut.
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
HOME, CLEAR_LINE, CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

Answer = TypeVar("Answer")


def is_live() -> bool:
    """Whether stdout is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


class Screen:
    """The terminal while a view is on it; as it was, afterwards. Ctrl-C ends the view, and is no failure."""

    def __enter__(self) -> Screen:
        self._handlers = {number: signal.signal(number, _terminated) for number in (signal.SIGTERM, signal.SIGHUP)}
        self._write(ENTER)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._write(LEAVE)
        return kind is KeyboardInterrupt

    def draw(self, lines: Iterable[str]) -> None:
        """Show as many lines as there is room for."""
        rows = shutil.get_terminal_size().lines
        shown = list(lines)
        if len(shown) > rows:
            shown = [*shown[: rows - 1], f"… {len(shown) - rows + 1} more lines"]
        self._write(HOME + f"{CLEAR_LINE}\r\n".join(shown) + CLEAR_LINE + CLEAR_BELOW)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise RnxError("terminated", 128 + number)


def show(answers: Iterable[Answer], lines: Callable[[Answer], Iterable[str]]) -> None:
    """Draw each answer on a terminal; elsewhere print it, a blank line behind each."""
    if not is_live():
        for answer in answers:
            print("\n".join([*lines(answer), ""]), flush=True)
        return
    with Screen() as screen:
        for answer in answers:
            screen.draw(lines(answer))


def print_each(answers: Iterable[Answer], value: Callable[[Answer], Any]) -> None:
    """Print each answer as one line of JSON."""
    for answer in answers:
        print(json.dumps(value(answer), ensure_ascii=False), flush=True)


def received(connection: Connection, begin: Callable[[], Iterable[Answer]], what: str) -> Iterator[Answer]:
    """The answers of a stream; it is begun anew when the connection broke. Raises RnxError."""
    import grpc  # noqa: PLC0415 - not by --help

    from .connection import BROKEN  # noqa: PLC0415

    came, attempts = False, 0
    while True:
        stream = begin()
        try:
            answers = iter(stream)
            with output.waiting(what):
                first = next(answers, None)
            if first is None:
                return
            yield first
            came, attempts = True, 0
            yield from answers
            return
        except grpc.RpcError as error:
            attempts += 1
            if error.code() not in BROKEN or attempts > ATTEMPTS:
                raise connection.explained(error) from error
            if not came:
                found = connection.explained(error)
                if not isinstance(found, Passing):
                    raise found from error
            connection.reconnect(attempts)
        finally:
            stream.cancel()  # type: ignore[attr-defined]

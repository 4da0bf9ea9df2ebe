"""Logs printed line by line: as text, with the time and the job before it, or as JSON objects."""

from __future__ import annotations

import datetime
import functools
import json
import re
import sys
from collections.abc import Iterable
from typing import Any

from joblet_wire.joblet_pb2 import DataChunk, GetJobStatusResponse

from . import output
from .follow import FINAL, STDERR, told
from .lines import Assembler, Line, dropped_json, line_json, utc

_ENCODER = json.JSONEncoder(ensure_ascii=False)
_BACK = re.compile(rb"\r(?=[^\r])")  # not that of a line's end
_CONTROLS = re.compile("[\x80-\x9f]")  # to terminals some of them are the beginning of a command


class TextLog:
    """Prints the lines of one job in which ``pattern`` is found, behind ``prefix``: its stderr to stderr.

    Every line gets a newline, even if it had none: others may follow.
    """

    def __init__(self, prefix: bytes, pattern: re.Pattern[bytes] | None, timestamps: bool) -> None:
        self._prefix = prefix
        self._pattern = pattern
        self._timestamps = timestamps
        self._assembler = Assembler()

    def take(self, chunk: DataChunk) -> None:
        """Print what a chunk completes."""
        self._print(self._assembler.lines(chunk))
        if chunk.HasField("dropped"):
            output.note(self._prefix.decode() + told(chunk.dropped))

    def rest(self) -> None:
        """Print what is left when nothing more is to come."""
        self._print(self._assembler.rest())

    def _print(self, lines: Iterable[Line]) -> None:
        texts: dict[int, list[bytes]] = {}
        for line in lines:
            if self._pattern is None or self._pattern.search(line.data):
                start = self._prefix + (local_stamp(line.time_usec) if self._timestamps else b"")
                # A progress bar goes back to the beginning of its line, and over what is there.
                data = (b"\r" + start).join(_BACK.split(line.data))
                texts.setdefault(line.stream, []).append(b"%s%s\n" % (start, data))
        for stream, written in texts.items():
            output.write_all((sys.stderr if stream == STDERR else sys.stdout).buffer, b"".join(written))


class JsonLog:
    """Prints an object for every line of one job in which ``pattern`` is found, for what is missing, and at the end."""

    def __init__(self, uuid: str, cursor: str, pattern: re.Pattern[bytes] | None) -> None:
        self._uuid = uuid
        self._cursor = cursor
        self._pattern = pattern
        self._assembler = Assembler()

    def take(self, chunk: DataChunk) -> None:
        """Print what a chunk completes."""
        self._print(self._assembler.lines(chunk))
        self._cursor = chunk.cursor
        if chunk.HasField("dropped"):
            sys.stdout.flush()
            output.note(told(chunk.dropped))
            self._put({"time": utc(chunk.time_usec), "dropped": dropped_json(chunk.dropped)}, chunk.cursor)
            sys.stdout.flush()

    def rest(self) -> None:
        """Print what is left when nothing more is to come."""
        self._print(self._assembler.rest())

    def end(self, status: GetJobStatusResponse | None) -> None:
        """Print the end: what the job's status is then, None if it is no more, and where a later call can go on."""
        end = None
        if status is not None:
            code = status.exit_code if status.status in FINAL else None
            end = {"status": status.status, "exitCode": code, "reason": status.reason}
        self._put({"end": end}, self._cursor)
        sys.stdout.flush()

    def _print(self, lines: Iterable[Line]) -> None:
        for line in lines:
            if self._pattern is None or self._pattern.search(line.data):
                self._put(line_json(line), line.cursor)
        sys.stdout.flush()

    def _put(self, value: dict[str, Any], cursor: str) -> None:
        whole = {"job": self._uuid, **value, "cursor": cursor}
        text = _ENCODER.encode(whole)
        print(json.dumps(whole) if _CONTROLS.search(text) else text)


@functools.lru_cache(maxsize=1)  # under load many lines have one time
def local_stamp(usec: int) -> bytes:
    """``2026-01-31T13:00:00.123+01:00 ``, of this machine's zone."""
    moment = datetime.datetime.fromtimestamp(usec / 1_000_000).astimezone()
    return moment.isoformat(timespec="milliseconds").encode() + b" "

"""From the chunks of a log to its lines. No I/O."""

from __future__ import annotations

import base64
import datetime
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from joblet_wire.joblet_pb2 import DataChunk, DroppedOutput

STREAMS = {1: "stdout", 2: "stderr"}
LONGEST = 1 << 20  # bytes; a longer line comes in pieces of about that, and nothing has to hold it


@dataclass(frozen=True)
class Line:
    """A line without its newline; ``ended`` is whether it had one.

    ``time_usec`` is when its beginning was stored, in microseconds since the epoch, ``cursor`` where it ends.
    """

    stream: int
    time_usec: int
    cursor: str
    data: bytes
    ended: bool


class Assembler:
    """Puts the lines of one log together: they come in pieces, those of the two streams in turns."""

    def __init__(self) -> None:
        self._begun: dict[int, tuple[int, bytearray]] = {}
        self._cursor = ""

    def lines(self, chunk: DataChunk) -> Iterator[Line]:
        """The lines that end in a chunk, and those that can have no end any more."""
        if chunk.HasField("dropped"):
            yield from self.rest()
        self._cursor = chunk.cursor or self._cursor
        *ended, last = chunk.payload.split(b"\n")
        time_usec, data = self._begun.pop(chunk.stream, (chunk.time_usec, bytearray()))
        left = len(chunk.payload)
        for piece in ended:
            left -= len(piece) + 1
            # Behind all but the last bytes of the chunk, as the node understands it.
            cursor = f"{chunk.cursor}-{left}" if left else chunk.cursor
            yield Line(chunk.stream, time_usec, cursor, bytes(data + piece), ended=True)
            time_usec, data = chunk.time_usec, bytearray()
        data += last
        if len(data) >= LONGEST:
            yield Line(chunk.stream, time_usec, chunk.cursor, bytes(data), ended=False)
        elif data:
            self._begun[chunk.stream] = time_usec, data

    def rest(self) -> Iterator[Line]:
        """The lines that are still without an end, when nothing more is to come."""
        for stream, (time_usec, data) in self._begun.items():
            yield Line(stream, time_usec, self._cursor, bytes(data), ended=False)
        self._begun.clear()


def line_json(line: Line) -> dict[str, Any]:
    """A line as an object: ``text`` where it is UTF-8, else ``base64``."""
    value: dict[str, Any] = {"time": utc(line.time_usec), "stream": STREAMS.get(line.stream, "stdout")}
    try:
        value["text"] = line.data.decode()
    except UnicodeDecodeError:
        value["base64"] = base64.b64encode(line.data).decode()
    if not line.ended:
        value["unfinished"] = True
    return value


def dropped_json(dropped: DroppedOutput) -> dict[str, Any]:
    """What is missing as an object: why, and how much it was as far as is known."""
    if dropped.reason == "limit":
        return {"reason": dropped.reason, "bytes": dropped.bytes, "lines": dropped.lines}
    return {"reason": dropped.reason, "entries": dropped.entries}


@functools.lru_cache(maxsize=1)  # under load many lines have one time
def utc(usec: int) -> str:
    """``2026-01-31T12:00:00.123456Z``."""
    moment = datetime.datetime.fromtimestamp(usec / 1_000_000, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

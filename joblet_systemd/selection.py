"""Which part of a job's log a reader wants, and what of the log passes. No I/O.

joblet-init numbers a job's entries, so a place in a log is simply the number of the last entry before it, and a
number that is missing is an entry that was lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .systemd.entries import Dropped, Entry, Output

STREAMS = frozenset({"stdout", "stderr"})


@dataclass(frozen=True, slots=True)
class Cut:
    """What is of ``stream`` and before byte ``offset`` of entry ``seq``, from its end if negative, is left out."""

    stream: str
    seq: int
    offset: int


def latest(cuts: Iterable[Cut]) -> tuple[Cut, ...]:
    """Those cuts that leave out what any of them does.

    Of a stream these are one or two: offsets from the beginning and from the end of one entry, and nobody knows here
    which is the later place.
    """
    found: dict[tuple[str, bool], Cut] = {}
    for cut in sorted(cuts, key=lambda cut: (cut.seq, cut.offset)):
        found[cut.stream, cut.offset < 0] = cut
    last = {
        cut.stream: max(other.seq for other in found.values() if other.stream == cut.stream) for cut in found.values()
    }
    return tuple(cut for cut in found.values() if cut.seq == last[cut.stream])


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a job's log.

    It begins behind the entry of number ``after``, with the first entry stored at ``since_usec`` or later, and with
    the last ``tail`` lines that there are (None: with the first), whichever is the latest. It ends with the last entry
    stored up to ``until_usec``. Both times are in microseconds since the epoch. ``cuts`` is what became of ``tail``
    when it was looked up (``Logs.resolved``), and a place inside of an entry.
    """

    after: int = 0
    tail: int | None = None
    since_usec: int | None = None
    until_usec: int | None = None
    streams: frozenset[str] = STREAMS
    cuts: tuple[Cut, ...] = ()


class TailSearch:
    """Finds where the last lines begin, from entries that are shown to it from the newest back.

    The last lines are those that end last; a line that has no end yet is one of them. The two streams may be written
    to in turns, in the middle of lines: each has a beginning of its own, and no line is cut.
    """

    def __init__(self, tail: int, streams: frozenset[str]) -> None:
        self._left = tail
        self._streams = streams
        self._open: dict[str, int] = {}  # in the middle of a line that is wanted, since this entry at least
        self._cuts: dict[str, Cut] = {}

    @property
    def wanted(self) -> frozenset[str]:
        """The streams of which older entries can still tell something."""
        return frozenset(self._streams if self._left else self._open)

    def look(self, entry: Entry) -> None:
        """Take the next older entry."""
        if isinstance(entry, Output) and entry.stream in self.wanted:
            self._look(entry)
            if not self._left:
                for stream in self._streams - self._open.keys() - self._cuts.keys():
                    self._cuts[stream] = Cut(stream, entry.seq, 0)

    def _look(self, entry: Output) -> None:
        data, end = entry.data, len(entry.data)
        follower = self._open.get(entry.stream)
        self._open[entry.stream] = entry.seq
        if follower is None:
            self._left -= 1
            end -= data.endswith(b"\n")
        lines = data.count(b"\n", 0, end)
        if lines <= self._left:
            self._left -= lines
            return
        for _ in range(self._left + 1):
            end = data.rfind(b"\n", 0, end)
        self._left = 0
        del self._open[entry.stream]
        if follower is not None and end + 1 == len(data):
            # Not "at the end of this entry": the one in which the stream goes on may be a long way off.
            self._cuts[entry.stream] = Cut(entry.stream, follower, 0)
        else:
            self._cuts[entry.stream] = Cut(entry.stream, entry.seq, end + 1)

    def found(self) -> tuple[Cut, ...]:
        """Where the streams begin, when there are no older entries or none is wanted; nothing if that is the start."""
        if self._left:
            return ()
        return (*self._cuts.values(), *(Cut(stream, seq, 0) for stream, seq in self._open.items()))


class Window:
    """Lets pass what is selected, and tells of what is lost. ``after`` is the place reached, ``over`` its end."""

    def __init__(self, unit: str, selection: Selection) -> None:
        self.after = selection.after
        self.over = False
        self._unit = unit
        self._until_usec = selection.until_usec
        self._streams = selection.streams
        self._cuts = selection.cuts

    def continues_with(self, entries: Iterable[Entry]) -> bool:
        """Whether these entries follow upon the place reached, nothing missing."""
        fresh = [entry.seq for entry in entries if entry.seq > self.after]
        return fresh == list(range(self.after + 1, self.after + 1 + len(fresh)))

    def passed(self, entries: Iterable[Entry]) -> list[Output | Dropped]:
        """What is selected of the next entries, and what was lost between them, in order."""
        found: list[Output | Dropped] = []
        for entry in entries:
            if entry.seq <= self.after:
                continue
            found += self.lost(entry.seq - 1, entry.realtime_usec)
            if self._until_usec is not None and entry.realtime_usec > self._until_usec:
                self.over = True
                break
            self.after = entry.seq
            if isinstance(entry, Dropped):
                found.append(entry)
            elif isinstance(entry, Output) and entry.stream in self._streams:
                found += self._cut(entry)
        return found

    def lost(self, last: int, realtime_usec: int) -> list[Dropped]:
        """What is missing up to entry ``last``, before that time: nothing or one report. Goes behind it."""
        # The very first entry is joblet-init's start record and no output.
        missing = last - max(self.after, 1)
        self.after = max(self.after, last)
        if missing <= 0:
            return []
        return [Dropped(self._unit, last, realtime_usec, "journal", entries=missing)]

    def _cut(self, entry: Output) -> list[Output]:
        cuts = [cut for cut in self._cuts if cut.stream == entry.stream and cut.seq >= entry.seq]
        if not cuts:
            return [entry]
        left = (entry.data[cut.offset :] if cut.seq == entry.seq else b"" for cut in cuts)
        rest = min(left, key=len)
        return [Output(entry.unit, entry.seq, entry.realtime_usec, entry.stream, rest)] if rest else []

"""The last lines of a log, from pieces that two streams wrote in turns, are what a look at the whole would give."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from joblet_systemd.api.messages import cursor_of, place_of
from joblet_systemd.selection import STREAMS, Cut, Selection, TailSearch, Window
from joblet_systemd.systemd.entries import Entry, Output

UNIT = "joblet-job-x.service"
PIECES = st.lists(
    st.tuples(st.sampled_from(sorted(STREAMS)), st.text(alphabet="ab\n", min_size=1, max_size=6)), max_size=20
)


def entries_of(pieces: list[tuple[str, str]]) -> list[Output]:
    return [Output(UNIT, seq, 0, stream, text.encode()) for seq, (stream, text) in enumerate(pieces, start=2)]


def last_lines(entries: list[Output], tail: int, streams: frozenset[str]) -> dict[str, bytes]:
    """The same by brute force: every line with the place where it ends; one without an end ends where it breaks off."""
    lines: list[tuple[tuple[int, int], str, bytes]] = []
    for stream in streams:
        begun, place = b"", (0, 0)
        for entry in entries:
            if entry.stream != stream:
                continue
            for offset in range(len(entry.data)):
                begun += entry.data[offset : offset + 1]
                place = (entry.seq, offset)
                if begun.endswith(b"\n"):
                    lines.append((place, stream, begun))
                    begun = b""
        if begun:
            lines.append((place, stream, begun))
    chosen = sorted(lines)[-tail:]
    return {stream: b"".join(line for _, of, line in chosen if of == stream) for stream in streams}


def search(entries: list[Output], tail: int, streams: frozenset[str]) -> Selection:
    found, looked_at = TailSearch(tail, streams), list[Entry]()
    for entry in reversed(entries):
        if not found.wanted:
            break
        looked_at.append(entry)
        found.look(entry)
    cuts = found.found()
    return Selection(after=min((cut.seq for cut in cuts), default=1) - 1, streams=streams, cuts=cuts)


@given(PIECES, st.integers(1, 12), st.sampled_from([STREAMS, frozenset({"stderr"})]))
def test_the_last_lines(pieces: list[tuple[str, str]], tail: int, streams: frozenset[str]) -> None:
    entries = entries_of(pieces)
    window = Window(UNIT, search(entries, tail, streams))
    got = dict.fromkeys(streams, b"")
    for passed in window.passed(entries):
        assert isinstance(passed, Output)
        got[passed.stream] += passed.data
    assert got == last_lines(entries, tail, streams)


@given(PIECES, st.integers(1, 12))
def test_who_resumes_in_the_middle_of_the_last_lines_gets_the_rest_of_them(
    pieces: list[tuple[str, str]], tail: int
) -> None:
    entries = entries_of(pieces)
    selection = search(entries, tail, STREAMS)
    whole = Window(UNIT, selection).passed(entries)
    for number, found in enumerate(whole, start=1):
        after, cuts = place_of(cursor_of(found.seq, selection.cuts))
        assert Window(UNIT, Selection(after=after, cuts=cuts)).passed(entries) == whole[number:]


@given(PIECES, st.integers(1, 21), st.integers(1, 6), st.integers(1, 12))
def test_the_last_lines_behind_a_place_in_the_middle_of_an_entry(
    pieces: list[tuple[str, str]], seq: int, left: int, tail: int
) -> None:
    entries = entries_of(pieces)
    after, cuts = place_of(f"{seq}-{left}")
    found = search([entry for entry in entries if entry.seq > after], tail, STREAMS)
    both = Selection(after=max(after, found.after), cuts=(*found.cuts, *cuts))
    ways = []
    for selection in (both, found, Selection(after=after, cuts=cuts)):
        got = dict.fromkeys(STREAMS, b"")
        for passed in Window(UNIT, selection).passed(entry for entry in entries if entry.seq > after):
            if isinstance(passed, Output):
                got[passed.stream] += passed.data
        ways.append(got)
    # Whichever begins later.
    assert ways[0] == {stream: min(ways[1][stream], ways[2][stream], key=len) for stream in STREAMS}


def test_a_stream_that_was_silent_for_long_is_not_read_from_where_it_spoke_last() -> None:
    entries = entries_of([("stderr", "early\n"), *[("stdout", "x\n")] * 50, ("stderr", "late\n"), ("stdout", "y\n")])
    chosen = search(entries, 2, STREAMS)
    assert set(chosen.cuts) == {Cut("stderr", 53, 0), Cut("stdout", 54, 0)}
    assert chosen.after == 52

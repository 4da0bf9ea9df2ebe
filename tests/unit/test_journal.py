"""Finding entries in the journal, whatever numbers are asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import ClassVar

import pytest

MODULE = "joblet_systemd.systemd.journal"

UNIT = "joblet-job-1.service"


class Reader:
    """As systemd._reader._Reader, for the output of one unit with these numbers; counts what is read.

    The entries of ``foreign`` are there instead, if there are such; ``fields`` has the names of all that were read.
    """

    numbers: tuple[int, ...] = ()
    foreign: tuple[Mapping[str, str], ...] = ()
    fields: ClassVar[list[str]] = []
    reads = 0

    def __init__(self, namespace: str) -> None:
        self._wanted: str | None = None
        self._at = -1

    def fileno(self) -> int:
        return -1

    def has_persistent_files(self) -> bool:
        return True

    def process(self) -> int:
        return 0

    def flush_matches(self) -> None:
        self._wanted = None

    def add_match(self, match: str) -> None:
        name, _, value = match.partition("=")
        if name == "JOBLET_SEQ":
            self._wanted = value

    def seek_head(self) -> None:
        self._at = -1

    def seek_tail(self) -> None:
        self._at = len(self.foreign or self.numbers)

    def seek_cursor(self, cursor: str) -> None:
        self._at = int(cursor) - 1

    def _get_cursor(self) -> str:
        return str(self._at)

    def _step(self, by: int) -> bool:
        while 0 <= self._at + by < len(self.foreign or self.numbers):
            self._at += by
            if self._wanted is None or self._wanted == str(self.numbers[self._at]):
                Reader.reads += 1
                return True
        return False

    def _next(self) -> bool:
        return self._step(1)

    def _previous(self) -> bool:
        return self._step(-1)

    def _get_realtime(self) -> int:
        return 1

    def _get(self, name: str) -> bytes:
        Reader.fields.append(name)
        if self.foreign:
            return self.foreign[self._at][name].encode()
        fields = {"_SYSTEMD_UNIT": UNIT, "JOBLET_SEQ": str(self.numbers[self._at]), "JOBLET_STREAM": "stdout"}
        return fields[name].encode()


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, made with this reader: the real one is not installed where unit tests run."""
    package, raw = ModuleType("systemd"), ModuleType("systemd._reader")
    raw.__dict__["_Reader"] = Reader
    monkeypatch.setattr(Reader, "reads", 0)
    monkeypatch.setattr(Reader, "foreign", ())
    monkeypatch.setattr(Reader, "fields", [])
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "systemd", package)
        patched.setitem(sys.modules, "systemd._reader", raw)
        patched.delitem(sys.modules, MODULE, raising=False)
        yield importlib.import_module(MODULE)
        sys.modules.pop(MODULE)


def found(journal: ModuleType, numbers: tuple[int, ...], after: int) -> list[int]:
    Reader.numbers = numbers
    return [entry.seq for entry in journal.Journal("joblet").entries(UNIT, after)]


@pytest.mark.parametrize(("after", "seqs"), [(0, [2, 3, 5]), (1, [2, 3, 5]), (3, [5]), (4, [5]), (5, []), (6, [])])
def test_entries_behind_a_number_that_may_be_missing(journal: ModuleType, after: int, seqs: list[int]) -> None:
    assert found(journal, (2, 3, 5), after) == seqs


def test_a_number_from_the_future_costs_nothing(journal: ModuleType) -> None:
    assert found(journal, tuple(range(1, 1001)), 10**17) == []
    assert Reader.reads <= 2


def test_of_what_others_write_to_the_namespace_nothing_is_read(journal: ModuleType) -> None:
    entry = {"JOBLET_SEQ": "9" * 5000, "JOBLET_STREAM": "stdout", "MESSAGE": "x" * 1000}
    Reader.foreign = ({**entry, "_SYSTEMD_UNIT": "user@1000.service"}, {"MESSAGE": "from a unit that has gone"})
    opened = journal.Journal("joblet")
    opened._reader.seek_head()
    assert list(opened.news()) == []
    assert set(Reader.fields) == {"_SYSTEMD_UNIT"}


def test_numbers_that_are_none(journal: ModuleType) -> None:
    record = {"_SYSTEMD_UNIT": UNIT, "JOBLET_RECORD": "exit", "JOBLET_SEQ": "7", "JOBLET_WAIT_STATUS": "9" * 5000}
    Reader.foreign = ({**record, "JOBLET_SEQ": "9" * 5000}, record)
    opened = journal.Journal("joblet")
    opened._reader.seek_head()
    [entry] = opened.news()
    assert (entry.seq, entry.wait_status) == (7, 0)

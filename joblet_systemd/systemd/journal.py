"""journald's namespace ``joblet``: a socket to write to, entries to read, a barrier to wait for.

joblet-init writes the native protocol itself (systemd.journal-fields(7), "Native Journal Protocol");
here is the other end. ``entries`` has what it writes. journald adds the trusted
``_SYSTEMD_UNIT``, by which entries are found, so that nobody else's lines are taken for a job's.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

from systemd._reader import _Reader  # the raw reader: ten times faster than systemd.journal.Reader

from ..errors import SystemdError
from ..model import UNIT_PREFIX
from .entries import Dropped, Entry, Exit, Output, Start

MAX_DIGITS = 18  # of any number; more would be a foreign hand's, and int() takes only so many


def sockets(namespace: str) -> Path:
    """The directory of a journal namespace's sockets (systemd-journald.service(8))."""
    return Path(f"/run/systemd/journal.{namespace}")


def connect(namespace: str) -> socket.socket:
    """A datagram socket to the namespace's journald, to be given to a unit as its output."""
    path = sockets(namespace) / "socket"
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        stream.connect(str(path))
    except OSError as error:
        stream.close()
        raise SystemdError(
            f"The journal socket {path} cannot be connected: {error.strerror}.",
            hint=f"'systemctl start systemd-journald@{namespace}.socket' makes it.",
        ) from error
    return stream


async def synchronize(namespace: str, seconds: float) -> bool:
    """Wait until journald has stored all that was sent to it before; False when time ran out.

    io.systemd.Journal.Synchronize over varlink: a JSON object and a NUL byte each way.
    """
    path = sockets(namespace) / "io.systemd.journal"
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(str(path))
            try:
                writer.write(json.dumps({"method": "io.systemd.Journal.Synchronize"}).encode() + b"\0")
                await writer.drain()
                reply = json.loads((await reader.readuntil(b"\0"))[:-1])
            finally:
                writer.close()
    except TimeoutError:
        return False
    except (OSError, EOFError, ValueError) as error:
        raise SystemdError(f"journald did not synchronize: {error}.") from error
    if "error" in reply:
        raise SystemdError(f"journald did not synchronize: {reply['error']}.", name=str(reply["error"]))
    return True


class Journal:
    """A cursor over the namespace's entries. Not for use by two threads at a time.

    Opening maps all files of the namespace and costs milliseconds; keep one and call ``refresh``.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._open()

    def _open(self) -> None:
        self._reader = _Reader(namespace=self._namespace)
        self._reader.data_threshold = 0  # fields are never cut short (sd_journal_set_data_threshold(3))
        # Asking for the inotify descriptor makes process() notice new and rotated files.
        self._reader.fileno()

    def close(self) -> None:
        """Unmap the files."""
        self._reader.close()

    def refresh(self) -> None:
        """Take note of files that were made or rotated since (sd_journal_process(3))."""
        if self._reader.has_persistent_files() or self._reader.has_runtime_files():
            self._reader.process()
        else:
            # Opened before journald made the namespace's directory: 252 does not notice that one.
            self._reader.close()
            self._open()

    def entries(self, unit: str, after: int = 0) -> Iterator[Entry]:
        """The unit's entries with a sequence number above ``after``, in order."""
        self.refresh()
        cursor = self._cursor(unit, after) if after else None
        if after and cursor is None and self.newest(unit) <= after:
            return  # a number from the future: to look for it would be to read all there is
        self._reader.flush_matches()
        self._reader.add_match(f"_SYSTEMD_UNIT={unit}")
        if cursor is None:
            self._reader.seek_head()
        else:
            self._reader.seek_cursor(cursor)
        while self._reader._next():
            entry = self._entry()
            if entry is not None and entry.seq > after:
                yield entry

    def backwards(
        self, unit: str, before: int | None = None, until_usec: int | None = None, stream: str | None = None
    ) -> Iterator[Entry]:
        """The unit's entries, the newest first; those below number ``before``, up to a time, of one stream."""
        self.refresh()
        cursor = self._cursor(unit, before) if before is not None else None
        self._reader.flush_matches()
        self._reader.add_match(f"_SYSTEMD_UNIT={unit}")
        if stream is not None:
            self._reader.add_match(f"JOBLET_STREAM={stream}")
        if cursor is not None:
            self._reader.seek_cursor(cursor)
        elif until_usec is not None:
            self._reader.seek_realtime(until_usec)
        else:
            self._reader.seek_tail()
        while self._reader._previous():
            entry = self._entry()
            if entry is None or (before is not None and entry.seq >= before):
                continue
            if until_usec is None or entry.realtime_usec <= until_usec:
                yield entry

    def number_before(self, unit: str, usec: int) -> int:
        """The sequence number of the unit's last entry before that time, 0 when there is none."""
        return next((entry.seq for entry in self.backwards(unit, until_usec=usec - 1)), 0)

    def _cursor(self, unit: str, seq: int) -> str | None:
        """Where the unit's entry of that number is, None when it is not there. Leaves its own matches behind."""
        self._reader.flush_matches()
        self._reader.add_match(f"_SYSTEMD_UNIT={unit}")
        self._reader.add_match(f"JOBLET_SEQ={seq}")
        self._reader.seek_head()
        return self._reader._get_cursor() if self._reader._next() else None

    def record(self, unit: str, kind: str, after: int) -> Entry | None:
        """The unit's newest record of that kind, ``start`` or ``exit``, if it has a number above ``after``."""
        self.refresh()
        self._reader.flush_matches()
        self._reader.add_match(f"_SYSTEMD_UNIT={unit}")
        self._reader.add_match(f"JOBLET_RECORD={kind}")
        self._reader.seek_tail()
        entry = self._entry() if self._reader._previous() else None
        return entry if entry is not None and entry.seq > after else None

    def newest(self, unit: str) -> int:
        """The sequence number of the unit's newest entry, 0 when there is none."""
        return next((entry.seq for entry in self.backwards(unit)), 0)

    def seek_end(self) -> None:
        """Go behind the newest entry of all units: ``news`` gives what comes from now on."""
        self.refresh()
        self._reader.flush_matches()
        self._reader.seek_tail()
        if not self._reader._previous():
            # An empty journal: from its tail nothing would ever come (sd_journal_seek_tail(3)).
            self._reader.seek_head()

    def news(self) -> Iterator[Entry]:
        """The entries of all units since the last call or ``seek_end``."""
        self.refresh()
        while self._reader._next():
            entry = self._entry()
            if entry is not None:
                yield entry

    def _entry(self) -> Entry | None:
        # Everybody on the host may write to the namespace, as much as he likes: of that nothing but this is read.
        unit = self._text("_SYSTEMD_UNIT")
        if not unit.startswith(UNIT_PREFIX):
            return None
        seq = self._text("JOBLET_SEQ")
        if not _is_number(seq):
            return None  # not from joblet-init: systemd's own notes about the unit
        realtime = self._reader._get_realtime()
        stream = self._text("JOBLET_STREAM")
        if stream:
            end = b"\n" if self._bytes("JOBLET_EOL") == b"1" else b""
            return Output(unit, int(seq), realtime, stream, self._bytes("MESSAGE") + end)
        record = self._text("JOBLET_RECORD")
        if record == "start":
            return Start(unit, int(seq), realtime)
        if record == "dropped":
            lost = {"bytes": self._number("JOBLET_DROPPED_BYTES"), "lines": self._number("JOBLET_DROPPED_LINES")}
            return Dropped(unit, int(seq), realtime, "limit", **lost)
        return Exit(
            unit,
            int(seq),
            realtime,
            wait_status=self._number("JOBLET_WAIT_STATUS"),
            exec_errno=self._number("JOBLET_EXEC_ERRNO"),
            error=self._text("JOBLET_ERROR"),
            stopped=self._text("JOBLET_STOPPED") == "1",
            cpu_usec=self._number("JOBLET_CPU_USEC"),
            max_rss_bytes=self._number("JOBLET_MAXRSS_KIB") * 1024,
            log_bytes=self._number("JOBLET_LOG_BYTES"),
        )

    def _bytes(self, name: str) -> bytes:
        try:
            return bytes(self._reader._get(name))
        except KeyError:
            return b""

    def _text(self, name: str) -> str:
        return self._bytes(name).decode("utf-8", "replace")

    def _number(self, name: str) -> int:
        text = self._text(name)
        return int(text) if _is_number(text) else 0


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= MAX_DIGITS

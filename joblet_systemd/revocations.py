"""The list of revoked certificates, ``/etc/joblet/pki/revoked.json``: ``jobletd cert`` writes, the daemon obeys it.

It is no CRL of X.509: that would have to be signed, and the CA's key may be kept elsewhere on the day
on which a certificate must be shut out. Nor could gRPC in Python be given one. The file is root's, as
the keys beside it are.

An entry is for one certificate, by its serial number, or for all certificates of a name that are valid
from before a given moment: that reaches certificates as well of which nobody has kept a record.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import etcfiles
from .errors import Denied, JobletError, Unavailable
from .identity import CLOCK_SKEW, Leaf

log = logging.getLogger("joblet")

FILE = "revoked.json"
VERSION = 1
SERIAL_PATTERN = re.compile(r"[0-9a-f]{1,40}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One revocation; either ``serial`` or ``valid_from_before`` says which certificates of ``name``."""

    name: str
    revoked: datetime.datetime
    reason: str
    by: str
    serial: str = ""
    valid_from_before: datetime.datetime | None = None

    def covers(self, leaf: Leaf) -> bool:
        """Whether this entry revokes that certificate."""
        if self.valid_from_before is None:
            return self.serial == leaf.serial
        return self.name == leaf.identity.name and leaf.begin < self.valid_from_before


def now() -> datetime.datetime:
    """The time, in UTC and aware of it."""
    return datetime.datetime.now(datetime.UTC)


def all_until(name: str, now: datetime.datetime, reason: str, by: str) -> Entry:
    """The entry that revokes whatever was issued to ``name`` up to and with this second."""
    # A certificate's times are whole seconds, and it is valid from a little before it was made.
    second = now.replace(microsecond=0) + datetime.timedelta(seconds=1)
    return Entry(name, now, reason, by, valid_from_before=second - CLOCK_SKEW)


class Revocations:
    """Entries, in the order of their making, to be found by the certificate."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = tuple(entries)
        self._by_serial: dict[str, Entry] = {}
        self._by_name: dict[str, list[Entry]] = {}
        for entry in self.entries:
            if entry.serial:
                self._by_serial.setdefault(entry.serial, entry)
            else:
                self._by_name.setdefault(entry.name, []).append(entry)

    def find(self, leaf: Leaf) -> Entry | None:
        """The entry that revokes the certificate, if one does."""
        by_name = (entry for entry in self._by_name.get(leaf.identity.name, ()) if entry.covers(leaf))
        return self._by_serial.get(leaf.serial) or next(by_name, None)


def read(path: Path) -> Revocations:
    """What is in the file, nothing if there is no file. Raises JobletError when it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Revocations()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    return _parse(path, content)


def add(path: Path, entries: Iterable[Entry]) -> None:
    """Put entries to the file's; the caller holds the lock of the directory above it (etcfiles.locked)."""
    document = {"version": VERSION, "revoked": [_as_json(entry) for entry in [*read(path).entries, *entries]]}
    etcfiles.write(path, (json.dumps(document, indent=1) + "\n").encode(), 0o600)


def _parse(path: Path, content: bytes) -> Revocations:
    try:
        document = json.loads(content)
        version = document["version"]
        if version != VERSION:
            raise ValueError(f"version {version!r} is not {VERSION}, which this jobletd knows")
        return Revocations([_entry(item) for item in document["revoked"]])
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # json's and Unicode's are ValueErrors
        raise _damaged(path, f"{type(error).__name__}: {error}") from error


def _entry(item: dict[str, Any]) -> Entry:
    serial, before = item.get("serial", ""), item.get("valid_from_before")
    if (before is None) == (not serial) or not all(isinstance(item[key], str) for key in ("name", "reason", "by")):
        raise ValueError(f"an entry is not one: {item!r:.100}")
    if serial and not SERIAL_PATTERN.fullmatch(serial):
        raise ValueError(f"{serial!r:.60} is no serial number")
    moment = None if before is None else _time(before)
    return Entry(item["name"], _time(item["revoked"]), item["reason"], item["by"], serial, moment)


def _time(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def _as_json(entry: Entry) -> dict[str, str]:
    which = (
        {"serial": entry.serial}
        if entry.valid_from_before is None
        else {"valid_from_before": entry.valid_from_before.isoformat()}
    )
    return {
        "name": entry.name,
        **which,
        "revoked": entry.revoked.isoformat(timespec="seconds"),
        "reason": entry.reason,
        "by": entry.by,
    }


def _damaged(path: Path, why: str) -> JobletError:
    return JobletError(
        f"The list of revoked certificates {path} cannot be used: {why}.",
        hint="Until it can, clients are refused; jobs go on. Bring the file back from a backup. Without one, move it "
        "away, and at once revoke again what was revoked: 'jobletd cert list' shows what has been issued, and "
        "'journalctl JOBLET_AUDIT_WHAT=cert/revoke' what was revoked.",
    )


class Watched:
    """The list as the daemon sees it: read again when the file changes; damaged, it lets nobody in."""

    def __init__(self, path: Path, now: Callable[[], datetime.datetime]) -> None:
        self._path = path
        self._now = now
        self._seen: tuple[int, ...] | None = None
        self._listed: Revocations | None = Revocations()

    def check(self, leaf: Leaf) -> None:
        """Raises Denied for a certificate that is revoked or over, Unavailable when nobody can tell.

        A connection outlives both, so that this is asked for every call.
        """
        listed = self._current()
        if listed is None:
            raise Unavailable(
                "The list of revoked certificates of this host cannot be read, so that nobody is let in.",
                hint="'journalctl -u joblet' on the host tells why.",
            )
        self._check(leaf, listed)

    def over(self, leaf: Leaf) -> Denied | None:
        """Why a call of the certificate that was let in has to end now, if it has.

        While the list is damaged no such call ends: it had been let in by one that was not.
        """
        try:
            self._check(leaf, self._current() or Revocations())
        except Denied as error:
            return error
        return None

    def _check(self, leaf: Leaf, listed: Revocations) -> None:
        entry = listed.find(leaf)
        again = "'jobletd cert issue' on the host makes another, if its administrator wants that."
        if entry is not None:
            why = f": {entry.reason}" if entry.reason else ""
            raise Denied(
                f"The certificate of {leaf.identity.name!r} ({leaf.serial[:8]}) was revoked on "
                f"{entry.revoked:%Y-%m-%d}{why}.",
                hint=again,
            )
        if leaf.end <= self._now():
            raise Denied(
                f"The certificate of {leaf.identity.name!r} ({leaf.serial[:8]}) has expired.",
                hint="'jobletd cert renew' on the host makes another.",
            )

    def _current(self) -> Revocations | None:
        try:
            status = self._path.stat()
            seen: tuple[int, ...] = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        except FileNotFoundError:
            seen = ()
        except OSError as error:
            seen = (error.errno or -1,)
        if seen != self._seen:
            self._load()
            self._seen = seen
        return self._listed

    def _load(self) -> None:
        before = self._listed
        try:
            self._listed = read(self._path)
        except JobletError as error:
            self._listed = None
            log.error("%s", error)
            return
        if self._seen is not None:
            log.info("the list of revoked certificates has changed; entries: %d", len(self._listed.entries))
        if before and before.entries and not self._listed.entries:
            log.warning("no certificate is revoked any more: %s has no entries, or is gone", self._path)

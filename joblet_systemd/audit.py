"""Who did what: one line in the journal for every call that changes something and for every denial.

The same is in fields of the journal entry, which are what to search by: ``journalctl JOBLET_AUDIT_WHO=alice``.
Clients have a say in some of the values; each is one bounded word of harmless characters, but for the
outcome, which comes last.
"""

from __future__ import annotations

import logging
import os
import pwd
import re
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("joblet.audit")

MESSAGE_ID = "f7a1c0d25d0b4c1e9a55d9d3a6e0b8f4"
IDENTIFIER = "jobletd"
NOTICE, INFO = 5, 6  # syslog(3)
MAX_WORD = 100
MAX_OUTCOME = 500
NO_LOGIN = 0xFFFFFFFF  # (uid_t) -1: audit(8) knows of no login

# So many failures of one certificate in one minute are a line each. journald drops what comes too fast from a
# service, whosever it is: with calls that fail, at thousands a second, a client could hide what another one does.
MAX_FAILURES = 100
MINUTE = 60.0


class Failures:
    """How often each caller has failed in its current minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minutes: dict[str, tuple[float, int]] = {}

    def suffix(self, caller: str) -> str | None:
        """What to add to the line for one more failure of the caller; None for no line at all."""
        now = self._clock()
        begin, count = self._minutes.get(caller, (now, 0))
        left_out = ""
        if now - begin >= MINUTE:
            if count > MAX_FAILURES:
                left_out = f" ({count - MAX_FAILURES} before this one were left out)"
            begin, count = now, 0
        self._minutes[caller] = (begin, count + 1)
        if count + 1 == MAX_FAILURES:
            left_out += " (those that follow within the minute are left out)"
        return left_out if count < MAX_FAILURES else None


_failures = Failures()


def record(who: str, what: str, job: str, outcome: str, *, serial: str = "", notice: bool = False) -> None:
    """Log one call: whose, which, on which job, how it ended; ``serial`` is that of the caller's certificate.

    What is ``done`` is always logged, of failures a bounded number a minute.
    """
    if not outcome.startswith("done"):
        suffix = _failures.suffix(serial or who)
        if suffix is None:
            return
        outcome = outcome[: MAX_OUTCOME - len(suffix)] + suffix
    fields = {"WHO": word(who), "WHAT": word(what), "JOB": word(job), "OUTCOME": one_line(outcome)}
    text = " ".join(f"{name.lower()}={value}" for name, value in fields.items())
    if serial:
        fields["SERIAL"] = word(serial)
    log.log(logging.WARNING if notice else logging.INFO, "%s", text, extra={"audit": fields})


def word(text: str) -> str:
    """What a client or user says, as one word that no space, quote or '=' can make more of."""
    return re.sub(r"[^A-Za-z0-9._:/@-]", "?", text[:MAX_WORD]) or "-"


def one_line(text: str) -> str:
    """Text of a client's as one line of printable characters, bounded."""
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_OUTCOME])


def to_journal() -> None:
    """Send what is recorded to the journal, with its fields."""
    log.handlers = [_JournalHandler()]
    log.propagate = False
    log.setLevel(logging.INFO)


class _JournalHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from systemd import journal  # noqa: PLC0415 (not there where no daemon is installed)

        fields: dict[str, str] = record.__dict__["audit"]
        try:
            journal.send(
                f"joblet.audit: {record.getMessage()}",
                MESSAGE_ID=MESSAGE_ID,
                PRIORITY=NOTICE if record.levelno > logging.INFO else INFO,
                SYSLOG_IDENTIFIER=IDENTIFIER,
                # Or the library looks for its caller, and on the disk for the caller's source.
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName,
                **{f"JOBLET_AUDIT_{name}": value for name, value in fields.items()},
            )
        except OSError as error:
            # journald is down for a moment: standard error waits for it in PID 1's hands.
            logging.getLogger("joblet").warning("joblet.audit: %s (%s)", record.getMessage(), error)


def unix_user() -> str:
    """Who runs this command, as ``unix:NAME``: whoever logged in, whatever su or sudo made of him since."""
    uid = os.getuid()
    try:
        login = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        login = NO_LOGIN  # a kernel without audit
    if login != NO_LOGIN:
        uid = login
    elif os.environ.get("SUDO_UID", "").isdecimal():
        uid = int(os.environ["SUDO_UID"])  # root could set it, and is trusted
    try:
        return f"unix:{pwd.getpwuid(uid).pw_name}"
    except (KeyError, OverflowError):
        return f"unix:{uid}"

"""What goes wrong, and the exit codes it ends in."""

from __future__ import annotations

FAILURE = 1
USAGE = 2
NOT_FOUND = 3
DENIED = 4
UNREACHABLE = 5
TIMED_OUT = 124  # as timeout(1) has it
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it
BROKEN_PIPE = 141  # 128 + SIGPIPE

REPEAT_SECONDS = 5.0  # after what is Passing, something is begun again for so long


def told(failure: OSError) -> str:
    """``No such file or directory: out/x``, without the number that Python puts before it."""
    return f"{failure.strerror or failure}{f': {failure.filename}' if failure.filename else ''}"


class RnxError(Exception):
    """A failure that is told to the user in one paragraph; ``exit_code`` is what rnx then ends with."""

    def __init__(self, message: str, exit_code: int = FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Passing(RnxError):
    """A failure that may be over at the next attempt: the daemon is restarted, say."""

"""One error tree: each error knows its gRPC status, the process exit code and what to do about it.

Errors are raised where the fault is found, carry a sentence for the user, and are turned into a gRPC
status, an HTTP status or an exit code once, at the edge (``api.server``, ``http.edge`` and ``main``).
"""

from __future__ import annotations


class JobletError(Exception):
    """A failure that is explained to the user.

    ``grpc_status`` is the name of a ``grpc.StatusCode``; ``exit_code`` is what ``jobletd`` exits with;
    ``hint`` says what to do, as a full sentence, and may be empty.
    """

    grpc_status = "INTERNAL"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class InvalidValue(JobletError):
    """A field of a request or of the configuration is not acceptable."""

    grpc_status = "INVALID_ARGUMENT"
    exit_code = 2

    def __init__(self, field: str, value: object, accepted: str, *, hint: str = "") -> None:
        shown = repr(value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        self._rest = f"{shown} is not accepted; expected {accepted}."
        super().__init__(f"{field}: {self._rest}", hint=hint)
        self.field = field

    def called(self, field: str) -> InvalidValue:
        """The same of a field that has another name where the caller speaks of it."""
        self.field = field
        self.message = f"{field}: {self._rest}"
        return self


class NotFound(JobletError):
    """No such job, or whatever else was named."""

    grpc_status = "NOT_FOUND"
    exit_code = 3


class Ambiguous(JobletError):
    """A name or prefix that fits several things."""

    grpc_status = "INVALID_ARGUMENT"
    exit_code = 2


class Denied(JobletError):
    """The caller's certificate does not allow this."""

    grpc_status = "PERMISSION_DENIED"
    exit_code = 4


class WrongState(JobletError):
    """The job is not in a state in which this can be done."""

    grpc_status = "FAILED_PRECONDITION"


class Unsupported(JobletError):
    """This host cannot keep the promise that was asked for."""

    grpc_status = "FAILED_PRECONDITION"


class Unimplemented(JobletError):
    """The contract has it, this version does not."""

    grpc_status = "UNIMPLEMENTED"


class Exhausted(JobletError):
    """A queue, a quota or the disk is full."""

    grpc_status = "RESOURCE_EXHAUSTED"


class Unavailable(JobletError):
    """Nothing can be said for now; what is amiss is the host's, and not the caller's."""

    grpc_status = "UNAVAILABLE"


class TooSlow(JobletError):
    """A client that does not keep up with what it has begun."""

    grpc_status = "ABORTED"


class SystemdError(JobletError):
    """PID 1 or journald refused, failed or went away.

    ``name`` is the D-Bus or varlink error name, for example ``org.freedesktop.systemd1.NoSuchUnit``.
    """

    def __init__(self, message: str, *, name: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.name = name


class BusLost(SystemdError):
    """The connection to PID 1 broke, so what it did with the last calls is not known."""

    grpc_status = "UNAVAILABLE"


class NotSent(BusLost):
    """There was no connection to PID 1, and it knows nothing of the call."""

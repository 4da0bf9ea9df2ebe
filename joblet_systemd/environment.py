"""The variables that a user gives a job or a command in it: names, values and sizes that will do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from joblet_wire.variables import NAME, NAME_ACCEPTED, RESERVED_ACCEPTED, is_reserved

from .errors import InvalidValue

MAX_STRING_BYTES = (128 << 10) - 1  # execve(2): MAX_ARG_STRLEN, with its NUL byte
# All variables of a job. With its arguments (1 MiB at most) and what Joblet adds they stay below the 2 MiB that
# execve(2) takes in all, a quarter of the usual 8 MiB of stack; and below systemd's 1 MiB for credentials.
MAX_BYTES = 512 << 10
OVERHEAD = 9  # of each string there: its NUL byte and the pointer to it
MASK = "***"


def check(environment: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """Raises InvalidValue naming the variable, never with a secret value."""
    for field, variables in (("environment", environment), ("secret_environment", secrets)):
        for name, value in variables.items():
            if not NAME.fullmatch(name):
                raise InvalidValue(field, name, NAME_ACCEPTED)
            if is_reserved(name):
                raise InvalidValue(field, name, RESERVED_ACCEPTED)
            shown = value if field == "environment" else MASK
            if "\0" in value:
                raise InvalidValue(f"{field} {name}", shown, "a value without NUL bytes")
            if len(f"{name}={value}".encode()) > MAX_STRING_BYTES:
                raise InvalidValue(f"{field} {name}", shown, "a value under 128 KiB", hint="Upload a file instead.")
    twice = sorted(environment.keys() & secrets.keys())
    if twice:
        raise InvalidValue("secret_environment", twice[0], "names that are not in the plain environment as well")
    size = exec_size([f"{name}={value}" for name, value in (*environment.items(), *secrets.items())])
    if size > MAX_BYTES:
        raise InvalidValue(
            "environment",
            f"{size} bytes",
            f"variables of {MAX_BYTES >> 10} KiB in all, {OVERHEAD} bytes for each included",
            hint="Upload a file instead.",
        )


def exec_size(strings: Sequence[str]) -> int:
    """What strings cost of execve(2)'s limit for arguments and environment."""
    return sum(len(text.encode()) + OVERHEAD for text in strings)

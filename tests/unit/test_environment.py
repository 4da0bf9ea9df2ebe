"""Variables that a user gives: what is refused, by name, and never with a secret."""

from __future__ import annotations

import pytest

from joblet_systemd import environment
from joblet_systemd.errors import InvalidValue
from joblet_wire.variables import is_reserved

SECRET = "hunter2"


def test_ordinary_variables_are_accepted() -> None:
    environment.check(
        {"A": "", "PATH": "/x", "LD_PRELOAD": "x", "_a1": "ü\n", "LISTEN_ADDR": ":80", "MAIN": "x"}, {"TOKEN": SECRET}
    )


@pytest.mark.parametrize(
    "name",
    [
        *("JOBLET_JOB_ID", "JOBLET_X", "SYSTEMD_EXEC_PID", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS"),
        *("LISTEN_PID", "JOURNAL_STREAM", "INVOCATION_ID", "WATCHDOG_USEC", "MAINPID"),
    ],
)
def test_reserved_names(name: str) -> None:
    assert is_reserved(name)
    for plain, secret in (({name: SECRET}, {}), ({}, {name: SECRET})):
        with pytest.raises(InvalidValue, match="set by Joblet or systemd") as caught:
            environment.check(plain, secret)
        assert name in str(caught.value)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("secrets", "named"),
    [
        ({"": SECRET}, "secret_environment: ''"),
        ({"1A": SECRET}, "'1A'"),
        ({"A-B": SECRET}, "'A-B'"),
        ({"Ä": SECRET}, "'Ä'"),
        ({"A\n": SECRET}, "A"),
        ({"A": f"{SECRET}\0"}, "secret_environment A: '***'"),
        ({"A": SECRET * 20_000}, "secret_environment A: '***'"),
        ({"TWICE": SECRET}, "'TWICE'"),
        ({f"A{n}": SECRET * 10_000 for n in range(8)}, "variables of 512 KiB in all"),
        ({f"A{n}": "" for n in range(2_000)}, "2001 variables"),
    ],
)
def test_what_is_refused(secrets: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        environment.check({"TWICE": "x"}, secrets)
    assert named in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_bound_of_one_value_is_the_kernels() -> None:
    environment.check({"A": "x" * ((128 << 10) - 3)}, {})  # with "A=" and the NUL byte 128 KiB
    with pytest.raises(InvalidValue, match="128 KiB"):
        environment.check({"A": "x" * ((128 << 10) - 2)}, {})

"""What systemd-analyze is asked about calendar expressions, and how its answers are read.

The answers are those of systemd 252, 257 and 262; tests/host asks the real one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from joblet_systemd.errors import InvalidValue, SystemdError
from joblet_systemd.systemd import calendar

NOW = 1_772_949_600_700_000  # 2026-03-08T06:00:00.7Z

BERLIN_252 = """\
  Original form: Mon..Fri 09:00
Normalized form: Mon..Fri *-*-* 09:00:00
    Next elapse: Mon 2026-03-09 09:00:00 CET
       (in UTC): Mon 2026-03-09 08:00:00 UTC
       From now: 8 months 17 days ago
       Iter. #2: Tue 2026-03-10 09:00:00 CET
       (in UTC): Tue 2026-03-10 08:00:00 UTC
       From now: 8 months 16 days ago
"""
BERLIN_257 = BERLIN_252.replace("    Iter. #2", "Iteration #2")
UTC = """\
  Original form: daily
Normalized form: *-*-* 00:00:00
    Next elapse: Mon 2026-03-09 00:00:00 UTC
       From now: 8 months 18 days ago
"""
NEVER = """\
  Original form: *-02-30
Normalized form: *-02-30 00:00:00
    Next elapse: never
"""
HALVES = """\
  Original form: *:*:0/0.5
Normalized form: *-*-* *:*:00/0.500000
    Next elapse: Sun 2026-03-08 06:00:00 UTC
       From now: 8 months 18 days ago
"""

Answer = Callable[..., Path]


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Puts a program in the place of systemd-analyze that writes down how it was called."""

    def put(text: str, status: int = 0) -> Path:
        calls = tmp_path / "calls"
        program = tmp_path / "systemd-analyze"
        program.write_text(
            f"#!{sys.executable}\nimport os, sys\n"
            f"open({str(calls)!r}, 'a').write(repr((sys.argv[1:], os.environ.get('TZ'))) + '\\n')\n"
            f"sys.stdout.write({text!r})\nsys.exit({status})\n"
        )
        program.chmod(0o755)
        monkeypatch.setattr(calendar, "ANALYZE", str(program))
        return calls

    return put


@pytest.mark.parametrize("text", [BERLIN_252, BERLIN_257])
def test_moments_are_read_in_utc(answer: Answer, text: str) -> None:
    calls = answer(text)
    moments = asyncio.run(calendar.upcoming(["Mon..Fri 09:00"], "Europe/Berlin", NOW, 2))
    assert moments == (1_773_043_200_000_000, 1_773_129_600_000_000)
    arguments = ["--base-time=@1772949600", "--iterations=2", "calendar", "--", "Mon..Fri 09:00"]
    assert calls.read_text() == f"{(arguments, 'Europe/Berlin')!r}\n"


def test_moments_in_utc_are_told_once(answer: Answer) -> None:
    calls = answer(UTC)
    assert asyncio.run(calendar.next_elapse(["daily"], "", NOW)) == 1_773_014_400_000_000
    assert calls.read_text().endswith("None)\n"), "without a zone it is the host's, whatever TZ the daemon has"


def test_expressions_are_taken_together(answer: Answer) -> None:
    answer(BERLIN_257)
    moments = asyncio.run(calendar.upcoming(["Mon..Fri 09:00", "Mon..Fri 09:00"], "Europe/Berlin", NOW, 2))
    assert len(moments) == 2, "a moment in which two of them elapse is one"


def test_normalized_form(answer: Answer) -> None:
    answer(BERLIN_257)
    normalized = asyncio.run(calendar.normalize(["Mon..Fri 09:00"], "Europe/Berlin", NOW))
    assert normalized == ("Mon..Fri *-*-* 09:00:00",)


def test_expression_that_never_elapses_again(answer: Answer) -> None:
    answer(NEVER)
    assert asyncio.run(calendar.next_elapse(["*-02-30"], "", NOW)) is None
    with pytest.raises(InvalidValue, match=r"schedule: '\*-02-30' .* still to come"):
        asyncio.run(calendar.normalize(["*-02-30"], "", NOW))


def test_fractions_of_a_second_are_refused(answer: Answer) -> None:
    answer(HALVES)
    with pytest.raises(InvalidValue, match="whole seconds"):
        asyncio.run(calendar.normalize(["*:*:0/0.5"], "", NOW))


def test_what_systemd_refuses_is_explained(answer: Answer) -> None:
    answer("", status=1)
    with pytest.raises(InvalidValue, match=r"schedule: 'garbage' is not accepted; .*Mon..Fri 09:00"):
        asyncio.run(calendar.normalize(["garbage"], "", NOW))


def test_answer_that_is_not_understood_is_an_error_of_the_host(answer: Answer) -> None:
    answer("Hello\n")
    with pytest.raises(SystemdError, match="Hello"):
        asyncio.run(calendar.normalize(["daily"], "", NOW))


def test_missing_program_is_an_error_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar, "ANALYZE", "/nonexistent/systemd-analyze")
    with pytest.raises(SystemdError, match="No such file"):
        asyncio.run(calendar.normalize(["daily"], "", NOW))


def test_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "systemd-analyze"
    program.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 600\n")
    program.chmod(0o755)
    monkeypatch.setattr(calendar, "ANALYZE", str(program))
    monkeypatch.setattr(calendar, "ANALYZE_SEC", 2.0)
    with pytest.raises(SystemdError, match="simpler expression"):
        asyncio.run(calendar.normalize(["daily"], "", NOW))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("expression", ["", "x" * 257, "dai\nly", "daily\0", "täglich", "\x1b[2J"])
def test_hostile_text_reaches_no_program(answer: Answer, expression: str) -> None:
    calls = answer(UTC)
    with pytest.raises(InvalidValue, match="schedule"):
        asyncio.run(calendar.normalize([expression], "", NOW))
    assert not calls.exists()


@pytest.mark.parametrize("expression", ["--version", "-H evil", "$(touch x)", "a; b"])
def test_expression_is_one_argument_whatever_it_is(answer: Answer, expression: str) -> None:
    calls = answer("", status=1)
    with pytest.raises(InvalidValue, match="schedule"):
        asyncio.run(calendar.normalize([expression], "", NOW))
    assert f"'calendar', '--', {expression!r}]" in calls.read_text()


NO_ZONES = [
    "Nowhere/Land",
    "../../etc/passwd",
    "/etc/localtime",
    "Europe",
    "right/UTC",
    "posix/UTC",
    "UTC\0",
    "a" * 99,
    ":UTC",
    "CET-1CEST",
    "Europe/Berlin\n",
    "zone.tab",
    "Europe//Berlin",
]


@pytest.mark.parametrize("name", NO_ZONES)
def test_zone_that_is_none_is_refused(answer: Answer, name: str) -> None:
    calls = answer(UTC)
    with pytest.raises(InvalidValue, match="time_zone"):
        asyncio.run(calendar.next_elapse(["daily"], name, NOW))
    assert not calls.exists()


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_zone_of_the_host_is_taken(name: str) -> None:
    assert calendar.zone(name).key == name

"""cron's five fields as calendar expressions of systemd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from joblet_systemd.errors import InvalidValue
from joblet_systemd.jobs.cron import is_cron, translate


@pytest.mark.parametrize(
    ("text", "expressions"),
    [
        ("* * * * *", ["*-*-* *:*:00"]),
        ("0 9 * * *", ["*-*-* 09:00:00"]),
        ("*/15 9-17 * * 1-5", ["Mon..Fri *-*-* 09..17:00..45/15:00"]),
        ("*/7 * * * *", ["*-*-* *:00..56/7:00"]),
        ("5,10,40-42 */6 * * *", ["*-*-* 00..18/6:05,10,40..42:00"]),
        ("10-40/10 0,12 * * *", ["*-*-* 00,12:10..40/10:00"]),
        ("*/30 * * * *", ["*-*-* *:00,30:00"]),
        ("*/1 0-23 1-31 1-12 0-6", ["*-*-* *:*:00"]),
        ("0 0 1 JAN *", ["*-01-01 00:00:00"]),
        ("0 0 * jan-Mar,DEC *", ["*-01..03,12-* 00:00:00"]),
        ("0 0 * * 0", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * 7", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * SUN", ["Sun *-*-* 00:00:00"]),
        ("0 0 * * 5-7", ["Fri..Sun *-*-* 00:00:00"]),
        ("0 0 * * fri-sun", ["Fri..Sun *-*-* 00:00:00"]),
        ("0 0 * * 0-3", ["Mon..Wed,Sun *-*-* 00:00:00"]),
        ("0 0 * * 0-7", ["*-*-* 00:00:00"]),
        ("0 0 * * */2", ["Tue,Thu,Sat..Sun *-*-* 00:00:00"]),
        ("0 0 * * MON,WED,FRI", ["Mon,Wed,Fri *-*-* 00:00:00"]),
        # Both day fields restricted: either will do.
        ("30 4 1,15 * 5", ["*-*-01,15 04:30:00", "Fri *-*-* 04:30:00"]),
        ("0 12 13 6-8 FRI", ["*-06..08-13 12:00:00", "Fri *-06..08-* 12:00:00"]),
        # One of them begins with *: both must fit.
        ("0 0 */2 * 1", ["Mon *-*-01..31/2 00:00:00"]),
        ("0 0 1-7 * */7", ["Sun *-*-01..07 00:00:00"]),
        ("@hourly", ["*-*-* *:00:00"]),
        ("@Daily", ["*-*-* 00:00:00"]),
        ("@midnight", ["*-*-* 00:00:00"]),
        ("@weekly", ["Sun *-*-* 00:00:00"]),
        ("@monthly", ["*-*-01 00:00:00"]),
        ("@yearly", ["*-01-01 00:00:00"]),
        ("@annually", ["*-01-01 00:00:00"]),
        ("0\t0  * * *", ["*-*-* 00:00:00"]),
    ],
)
def test_translation(text: str, expressions: list[str]) -> None:
    assert is_cron(text)
    assert list(translate(text)) == expressions


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("60 * * * *", "0 to 59, lists, upward ranges, and steps such as */2 as the minute, not '60'"),
        ("* 24 * * *", "as the hour, not '24'"),
        ("* * 0 * *", "1 to 31"),
        ("* * 32 * *", "as the day of month, not '32'"),
        ("* * * 13 *", "1 to 12 or JAN to DEC"),
        ("* * * * 8", "0 to 7 or SUN to SAT"),
        ("* * * FOO *", "as the month, not 'FOO'"),
        ("JAN * * * *", "as the minute, not 'JAN'"),
        ("* * L * *", "as the day of month, not 'L'"),
        ("* * ? * *", "as the day of month, not '?'"),
        ("* * * * 5#3", "as the day of week, not '5#3'"),
        ("5/15 * * * *", "A step needs a range: 5-59/15."),
        ("*/0 * * * *", "as the minute, not '*/0'"),
        ("30-10 * * * *", "upward ranges"),
        ("1,,2 * * * *", "as the minute, not ''"),
        ("* * * * * *", "These are 6."),
        ("0 0 12 * * MON 2026", "These are 7."),
        ("@reboot", "@yearly"),
        ("@every 5m", "@yearly"),
    ],
)
def test_what_cron_would_not_take_is_explained(text: str, told: str) -> None:
    assert is_cron(text)
    with pytest.raises(InvalidValue) as caught:
        translate(text)
    assert caught.value.field == "schedule"
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["daily", "Mon..Fri 09:00", "*-*-* 04:00:00", "Mon *-*-* 00:00:00 Europe/Berlin"])
def test_what_is_for_systemd_is_not_for_cron(text: str) -> None:
    assert not is_cron(text)


@given(st.lists(st.from_regex(r"[-0-9*/,A-Za-z]{1,8}", fullmatch=True), min_size=5, max_size=6))
def test_no_fields_do_more_than_be_refused(words: list[str]) -> None:
    try:
        expressions = translate(" ".join(words))
    except InvalidValue as error:
        if error.field != "schedule":
            raise
    else:
        assert len(expressions) in (1, 2)
        assert all(len(expression) <= 256 for expression in expressions)

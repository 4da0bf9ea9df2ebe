"""Files of variables: what they may look like, and that errors never quote a value."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from rnx.envfile import Given, collect, parse

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# A=1\n\n   \n\t# B=2\n", {}),
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("A=1\r\nB='2'\r\n", {"A": "1", "B": "2"}),
        ("export A=1\nexport\tB=2\n", {"A": "1", "B": "2"}),
        ("export=1\nexported=2\n", {"export": "1", "exported": "2"}),
        ("  A = 1 \n", {"A": "1"}),
        ("A=\nB=''\nC=\"\"\n", {"A": "", "B": "", "C": ""}),
        ("A=b=c\n", {"A": "b=c"}),
        ("A=x # y\nB=#z\n", {"A": "x # y", "B": "#z"}),
        ('A=it\'s\nB=a "b"\n', {"A": "it's", "B": 'a "b"'}),
        ("A='$HOME \\n \"x\"'\n", {"A": '$HOME \\n "x"'}),
        ('A="\\"q\\" \\\\ \\$HOME \\` \\n"\n', {"A": '"q" \\ $HOME ` \\n'}),
        ('A="one\\\ntwo"\n', {"A": "onetwo"}),
        (
            "KEY='-----BEGIN-----\nabc=\n-----END-----\n'  \nB=1\n",
            {"KEY": "-----BEGIN-----\nabc=\n-----END-----\n", "B": "1"},
        ),
        ("A=1\nA=2\n", {"A": "2"}),
        ("A=ü\n", {"A": "ü"}),
        ("FROM_HERE\n", {"FROM_HERE": "here"}),
    ],
)
def test_what_a_file_may_have(text: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "here")
    assert dict(parse(text, "f")) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"A=1\n1B={SECRET}\n", "f, line 2: expected KEY=VALUE"),
        (f"={SECRET}\n", "f, line 1: expected KEY=VALUE"),
        (f"{SECRET} x\n", "f, line 1: expected KEY=VALUE"),
        ("NOT_SET_HERE\n", "f, line 1: NOT_SET_HERE has no '='"),
        (f"JOBLET_JOB_ID={SECRET}\n", "f, line 1: JOBLET_JOB_ID is not accepted"),
        (f"A='{SECRET}\nB=2\n", "f, line 1: A: the value begins with a quote"),
        (f'A="{SECRET}" x\n', "f, line 1: A: the value begins with a quote"),
        (f'A="{SECRET}\\"\n', "f, line 1: A: the value begins with a quote"),
        (f"M='a\nb'\nA={SECRET}\0\n", "f, line 3: the value of A has a NUL byte"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        dict(parse(text, "f"))
    assert told in str(caught.value)
    assert SECRET not in str(caught.value) or text.startswith(SECRET)


def test_options_win_and_later_files_too(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A=1\nB=1\nC=1\n")
    (tmp_path / "b").write_text("B=2\nC=2\n")
    plain = Given([("C", "3")], [str(tmp_path / "a"), str(tmp_path / "b")])
    assert collect(plain, Given([], [])) == ({"A": "1", "B": "2", "C": "3"}, {})
    assert collect(Given([], []), plain) == ({}, {"A": "1", "B": "2", "C": "3"})


def test_a_name_is_plain_or_secret(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"A={SECRET}\n")
    with pytest.raises(click.UsageError) as caught:
        collect(Given([("A", "x")], []), Given([], [str(tmp_path / "a")]))
    assert "A is given as a plain and as a secret one" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"), [(None, "No such file"), (b"A=\xff\n", "not UTF-8"), (b"#" * (2 << 20), "1 MiB")]
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes | None, told: str) -> None:
    file = tmp_path / "variables"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(click.UsageError) as caught:
        collect(Given([], [str(file)]), Given([], []))
    assert str(file) in str(caught.value)
    assert told in str(caught.value)

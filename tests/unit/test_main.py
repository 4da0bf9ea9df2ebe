"""The command line of the daemon: what it says, where to, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import yaml

from joblet_systemd import __version__, accounts, audit, certificates, config, setup
from joblet_systemd.cert import cert
from joblet_systemd.errors import JobletError
from joblet_systemd.main import main


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /etc/joblet, and the caller for root; no accounts are made."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    stand_in = {"etc": tmp_path / "joblet", "ensure_account": lambda identity: True}
    for function in (setup.setup, setup.issue, certificates.renew, certificates.renew_local, certificates.revoke):
        assert function.__kwdefaults__ is not None
        changed = {name: value for name, value in stand_in.items() if name in function.__kwdefaults__}
        monkeypatch.setattr(function, "__kwdefaults__", {**function.__kwdefaults__, **changed})
    monkeypatch.setattr(certificates.rows, "__defaults__", (tmp_path / "joblet", *certificates.rows.__defaults__[1:]))
    return tmp_path / "joblet"


@pytest.fixture(autouse=True)
def journal(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What is sent to the journal."""
    sent: list[dict[str, str]] = []
    module = SimpleNamespace(send=lambda message, **fields: sent.append({"MESSAGE": message, **fields}))
    monkeypatch.setitem(sys.modules, "systemd", SimpleNamespace(journal=module))
    for name, value in (("handlers", []), ("propagate", True), ("level", 0)):
        monkeypatch.setattr(audit.log, name, value)
    return sent


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"jobletd, version {__version__}\n"


@pytest.mark.parametrize(
    "command", [[], ["serve"], ["setup"], ["cert"], *(["cert", name] for name in cert.commands), ["doctor"]]
)
def test_help_needs_no_root(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main([*command, "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: jobletd")


@pytest.mark.parametrize(
    "command",
    [
        ["serve"],
        ["setup"],
        ["doctor"],
        ["cert", "issue", "a", "--role", "admin"],
        ["cert", "list"],
        ["cert", "revoke", "a"],
        ["cert", "renew", "a"],
    ],
)
def test_root_only(command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(command) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "must be run as root" in err
    assert "sudo jobletd" in err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["cert", "issue", "alice"], "--role"),
        (["cert", "issue", "alice", "--role", "root"], "role: 'root' is not accepted; expected reader"),
        (["cert", "issue", "Alice", "--role", "admin"], "name: 'Alice' is not accepted; expected 1 to 23"),
        (["cert", "issue", "alice", "--role", "admin", "--days", "0"], "--days"),
        (["cert", "issue", "alice", "--role", "admin", "--address", "a:b"], "address: 'a:b' is not accepted"),
        (["setup", "--address", ""], "address: '' is not accepted; expected HOST"),
    ],
)
def test_usage(command: list[str], said: str, etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert not etc.exists()


def test_a_usage_error_is_one_line_with_what_is_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    """As rnx has it."""
    assert main(["cert", "issue", "alice"]) == 2
    assert capsys.readouterr().err == (
        "jobletd: Missing option '--role': reader (or viewer), developer, maintainer or admin."
        " See 'jobletd cert issue --help'.\n"
    )
    assert main(["nonsense"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("jobletd: No such command 'nonsense'")
    assert err.endswith(" See 'jobletd --help'.\n")
    assert err.count("\n") == 1


def test_setup_and_issue(etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert all(line.startswith("made    ") for line in lines)
    assert main(["setup", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert {step["outcome"] for step in steps if step["subject"].startswith("/")} == {"kept"}

    assert main(["cert", "issue", "alice", "--role", "viewer"]) == 0
    assert list(yaml.safe_load(capsys.readouterr().out)["nodes"]) == ["default"]

    file = tmp_path / "alice.yml"
    assert main(["cert", "issue", "alice", "--role", "developer", "--days", "7", "-o", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{file}: alice, developer, valid to ")
    made, warning = err.splitlines()
    assert made == "made    account joblet-alice"
    assert warning.startswith("warning address 127.0.0.1:50051: is good on this host only")
    assert file.stat().st_mode & 0o7777 == 0o600
    before = file.read_bytes()
    assert main(["cert", "issue", "alice", "--role", "developer", "-o", str(file)]) == 1
    assert "not overwritten" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_issue_json(etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["setup"]) == 0
    capsys.readouterr()
    command = ["cert", "issue", "alice", "--role", "viewer", "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"name", "role", "serial", "expires", "config"}
    assert (report["name"], report["role"]) == ("alice", "reader")
    assert main([*command, "-o", str(tmp_path / "file")]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(tmp_path / "file")


def test_errors_have_their_hint_and_exit_code(
    etc: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["cert", "issue", "alice", "--role", "admin"]) == 1
    assert capsys.readouterr().err == f"jobletd: There is no {etc}/pki/ca.crt.\nRun 'jobletd setup' first.\n"

    def fail(*_: object) -> NoReturn:
        raise JobletError("All is lost.")

    monkeypatch.setattr(setup, "setup", fail)
    assert main(["setup"]) == 1
    assert capsys.readouterr().err == "jobletd: All is lost.\n"


@pytest.mark.parametrize("debug", ["", "1"])
def test_bugs(etc: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, debug: str) -> None:
    def fail(*_: object) -> NoReturn:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setenv("JOBLET_DEBUG", debug)
    monkeypatch.setattr(setup, "setup", fail)
    assert main(["setup"]) == 1
    err = capsys.readouterr().err
    assert "jobletd: ZeroDivisionError: by zero\n" in err
    assert "This is a bug" in err
    assert ("Traceback" in err) == bool(debug)


def test_interrupted(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "setup", interrupt)
    assert main(["setup"]) == 130


def test_serve_and_doctor_call_the_daemon(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[object] = []
    daemon = SimpleNamespace(run=lambda configuration, listen: called.append((configuration, listen)))

    def examine(*, as_json: bool) -> int:
        called.append(as_json)
        return 1

    doctor = SimpleNamespace(main=examine)
    monkeypatch.setitem(sys.modules, "joblet_systemd.daemon", daemon)
    monkeypatch.setattr("joblet_systemd.daemon", daemon, raising=False)
    monkeypatch.setitem(sys.modules, "joblet_systemd.doctor", doctor)
    monkeypatch.setattr("joblet_systemd.doctor", doctor, raising=False)
    monkeypatch.setattr(config, "load", config.Config)
    assert main(["serve", "--listen", "127.0.0.1:1"]) == 0
    assert main(["doctor", "--json"]) == 1
    assert called == [(config.Config(), "127.0.0.1:1"), True]


def help_into(stdout: int) -> tuple[int, bytes]:
    script = "import sys; from joblet_systemd.main import main; sys.exit(main(['--help']))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with os.fdopen(stdout, "wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=file, stderr=subprocess.PIPE, env=environment, check=False
        )
    return done.returncode, done.stderr


def test_a_reader_that_goes_away() -> None:
    """As in ``jobletd --help | head -1``: no traceback."""
    read, write = os.pipe()
    os.close(read)
    assert help_into(write) == (1, b"")


def test_a_full_disk_is_no_bug() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    assert help_into(full) == (1, b"jobletd: the output cannot be written: No space left on device.\n")


def test_closed_streams() -> None:
    script = "import sys; from joblet_systemd.main import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    shell = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", sys.executable, "-c", script]
    assert [subprocess.run([*shell, word], env=environment, check=False).returncode for word in ("--help", "no")] == [
        0,
        2,
    ]


def test_help_is_quick() -> None:
    """The command line alone imports neither gRPC nor cryptography."""
    script = "import sys, joblet_systemd.main; print([m for m in ('grpc', 'cryptography', 'yaml') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[]\n"


def test_accounts_are_ours() -> None:
    """What the tests above replace is what the commands use."""
    assert setup.setup.__kwdefaults__ == {"etc": Path("/etc/joblet"), "ensure_account": accounts.ensure}


# --- jobletd cert list, revoke, renew


@pytest.fixture
def alice(etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The serial number of a certificate that was issued to her."""
    assert main(["setup"]) == 0
    capsys.readouterr()
    assert main(["cert", "issue", "alice", "--role", "reader", "--json", "-o", str(tmp_path / "alice.yml")]) == 0
    return str(json.loads(capsys.readouterr().out)["serial"])


def test_list(alice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cert", "list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "ROLE", "SERIAL", "ISSUED", "EXPIRES", "STATUS", "REASON"]
    assert [line.split()[0] for line in lines] == ["admin", "alice", "developer", "maintainer", "reader"]
    assert lines[1].split()[:3] == ["alice", "reader", alice[:12]]
    assert "\x1b" not in "".join(lines), "colours are for terminals"
    assert main(["cert", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows[1]) == {
        *("name", "role", "serial", "fingerprint", "issued", "expires", "status", "local"),
        *("revoked", "reason", "revoked_by"),
    }
    assert rows[1]["serial"] == alice
    for wanted in ("--expired", "--revoked"):
        assert main(["cert", "list", "--json", wanted]) == 0
        assert json.loads(capsys.readouterr().out) == []


def test_revoke(alice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], journal: list[dict[str, str]]) -> None:
    assert main(["cert", "revoke", alice[:8], "--reason", "lost"]) == 0
    assert capsys.readouterr().out.startswith(f"revoked {alice}: alice, reader, valid to ")
    assert main(["cert", "revoke", alice]) == 1
    assert "is revoked already" in capsys.readouterr().err
    assert main(["cert", "list", "--revoked"]) == 0
    assert "lost" in capsys.readouterr().out
    assert main(["cert", "revoke", "bob"]) == 3
    assert main(["cert", "revoke", "reader", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (report["name"], report["all"], len(report["serials"])) == ("reader", True, 1)
    assert "jobletd cert renew --local" in err
    first, *told = [(entry["JOBLET_AUDIT_WHAT"], entry["JOBLET_AUDIT_OUTCOME"]) for entry in journal]
    assert first[0] == "setup"
    assert f"made {tmp_path}/joblet/pki/ca.key" in first[1]
    assert told[0] == ("cert/issue", f"done: alice reader {alice}")
    assert told[1] == ("cert/revoke", f"done: {alice} (1 on record): lost")
    assert told[2][1].startswith("failed: What is on record")
    assert told[3][1].startswith("failed: No certificate of 'bob' is on record.")
    assert told[4] == ("cert/revoke", "done: all reader (1 on record)")
    assert all(entry["JOBLET_AUDIT_WHO"].startswith("unix:") for entry in journal)


def test_renew(alice: str, etc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "new.yml"
    assert main(["cert", "renew", "alice", "--revoke-old", "-o", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{file}: alice, reader, valid to ")
    assert err.startswith(f"revoked {alice}, ")
    assert file.stat().st_mode & 0o7777 == 0o600
    issued = sorted((etc / "pki" / "issued").iterdir())
    assert main(["cert", "renew", "alice", "-o", str(file)]) == 1
    assert "not overwritten" in capsys.readouterr().err
    assert sorted((etc / "pki" / "issued").iterdir()) == issued, "nothing was issued"
    before = (etc / "rnx-config.yml").read_text()
    assert main(["cert", "renew", "--local", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == [
        *("admin", "maintainer", "developer", "reader")
    ]
    assert (etc / "rnx-config.yml").read_text() != before


@pytest.mark.parametrize(
    "words", [[], ["alice", "--local"], ["--local", "--role", "admin"], ["alice", "--role", "root"]]
)
def test_renew_usage(words: list[str], alice: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cert", "renew", *words]) == 2
    assert capsys.readouterr().out == ""


def test_a_failure_behind_the_issue_is_on_record(
    alice: str, monkeypatch: pytest.MonkeyPatch, journal: list[dict[str, str]]
) -> None:
    """The certificate exists, wherever its file has gone."""

    def fail(*_: object) -> NoReturn:
        raise JobletError("The disk is full.")

    monkeypatch.setattr(setup, "write_new", fail)
    assert main(["cert", "issue", "bob", "--role", "reader", "-o", "bob.yml"]) == 1
    outcome = journal[-1]["JOBLET_AUDIT_OUTCOME"]
    assert outcome.startswith("bob reader ")
    assert outcome.endswith("failed: The disk is full.")

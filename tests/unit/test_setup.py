"""Setup: what it makes, that it never breaks what is there, and that it can be cut off anywhere."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from joblet_systemd import accounts, config, etcfiles, keystore, pki, setup
from joblet_systemd.client_config import Address
from joblet_systemd.errors import InvalidValue, JobletError, WrongState
from joblet_systemd.identity import Identity, Role, leaf_of
from joblet_systemd.setup import Outcome, Step

FILES = {
    "joblet-config.yml": 0o644,
    "rnx-config.yml": 0o600,
    "pki/ca.crt": 0o644,
    "pki/ca.key": 0o600,
    "pki/server.crt": 0o644,
    "pki/server.key": 0o600,
}


class Accounts:
    """Stands for the host's accounts."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def ensure(self, identity: Identity) -> bool:
        if identity.account in self.made:
            return False
        self.made.append(identity.account)
        return True


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return tmp_path / "joblet"


@pytest.fixture
def users() -> Accounts:
    return Accounts()


def run(etc: Path, users: Accounts, address: str | None = None) -> list[Step]:
    return list(setup.setup((address and Address.parse(address)) or None, etc=etc, ensure_account=users.ensure))


def contents(etc: Path) -> dict[str, bytes]:
    """The files, but for the record of certificates."""
    files = {str(path.relative_to(etc)): path.read_bytes() for path in sorted(etc.rglob("*")) if path.is_file()}
    return {name: content for name, content in files.items() if not name.startswith("pki/issued/")}


def recorded(etc: Path) -> dict[str, Identity]:
    """Whose certificates are on record, by file."""
    return {file.name: leaf_of(file.read_bytes()).identity for file in sorted((etc / "pki" / "issued").glob("*.crt"))}


def outcomes(steps: list[Step]) -> dict[str, Outcome]:
    return {Path(step.subject).name: step.outcome for step in steps}


def nodes(etc: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((etc / "rnx-config.yml").read_text())
    assert document["version"] == "3.0"
    return dict(document["nodes"])


def verify(etc: Path, certificate: str, *options: str) -> None:
    ca = str(etc / "pki" / "ca.crt")
    subprocess.run(["openssl", "verify", "-x509_strict", *options, "-CAfile", ca, certificate], check=True)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_all_is_made_with_the_right_modes(etc: Path, users: Accounts, umask: int) -> None:
    before = os.umask(umask)
    try:
        steps = run(etc, users)
    finally:
        os.umask(before)
    assert {step.outcome for step in steps} == {Outcome.MADE}
    assert {name: (etc / name).stat().st_mode & 0o7777 for name in contents(etc)} == FILES
    assert etc.stat().st_mode & 0o7777 == 0o755
    assert (etc / "pki").stat().st_mode & 0o7777 == 0o700
    assert (etc / "pki" / "issued").stat().st_mode & 0o7777 == 0o700
    assert {identity.name for identity in recorded(etc).values()} == {"admin", "maintainer", "developer", "reader"}
    assert users.made == ["joblet-admin", "joblet-maintainer", "joblet-developer"]


def test_openssl_accepts_the_server(etc: Path, users: Accounts) -> None:
    run(etc, users, "joblet.example.org")
    for host in ("joblet", "localhost", "joblet.example.org", os.uname().nodename):
        verify(etc, str(etc / "pki" / "server.crt"), "-purpose", "sslserver", "-verify_hostname", host)
    for address in ("127.0.0.1", "::1"):
        verify(etc, str(etc / "pki" / "server.crt"), "-purpose", "sslserver", "-verify_ip", address)


def test_the_client_configuration(etc: Path, users: Accounts, tmp_path: Path) -> None:
    run(etc, users)
    found = nodes(etc)
    assert list(found) == ["default", "maintainer", "developer", "reader"]
    assert [name for name, node in found.items() if node.get("isDefault")] == ["default"]
    for name, node in found.items():
        assert node["address"] == "127.0.0.1:50051"
        assert node["ca"] == (etc / "pki" / "ca.crt").read_text()
        identity = leaf_of(node["cert"].encode()).identity
        assert str(identity.role) == identity.name == ("admin" if name == "default" else name)
        (tmp_path / "client.pem").write_text(node["cert"])
        verify(etc, str(tmp_path / "client.pem"), "-purpose", "sslclient")
        etcfiles.write(tmp_path / "client.key", node["key"].encode(), 0o600)
        assert keystore.read_key(tmp_path / "client.key") is not None


def test_the_shipped_configuration_is_the_default_one(etc: Path, users: Accounts) -> None:
    run(etc, users)
    file = etc / "joblet-config.yml"
    assert config.load(file) == config.Config()
    # Every value in a comment is the default indeed, and its key exists.
    file.write_text(re.sub(r"^  #(?=\w+:)", "  ", file.read_text(), flags=re.MULTILINE))
    assert config.load(file) == config.Config()
    assert set(yaml.safe_load(file.read_text())["jobs"]) == {
        field.name for field in dataclasses.fields(config.JobsConfig)
    }


def test_running_it_again_changes_nothing(etc: Path, users: Accounts) -> None:
    run(etc, users)
    before = contents(etc)
    steps = run(etc, users)
    assert {step.outcome for step in steps} == {Outcome.KEPT}
    assert contents(etc) == before


@pytest.mark.parametrize("missing", sorted(FILES))
def test_what_is_missing_is_made_and_the_rest_kept(etc: Path, users: Accounts, missing: str) -> None:
    run(etc, users)
    before = contents(etc)
    (etc / missing).unlink()
    if missing == "pki/ca.key":  # needed for nothing, so nothing is amiss
        assert {step.outcome for step in run(etc, users)} == {Outcome.KEPT}
        return
    steps = run(etc, users)
    after = contents(etc)
    assert set(after) == set(FILES)
    changed = {name for name in FILES if before[name] != after[name]}
    if missing == "joblet-config.yml":
        assert changed == set()
    elif missing == "pki/server.key":
        assert changed == {"pki/server.key", "pki/server.crt"}
        assert outcomes(steps)["server.crt"] is Outcome.RENEWED
    else:
        assert changed == {missing}
    verify(etc, str(etc / "pki" / "server.crt"))
    assert Outcome.WARNING not in {step.outcome for step in steps}


class Killed(BaseException):
    """The process ends here."""


def cut_off_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the process end in the middle of the write number ``count``, the temporary file left behind."""
    real, calls = etcfiles.write, iter(range(count))

    def write(path: Path, content: bytes, mode: int) -> None:
        if next(calls, None) is None:
            path.with_name(f".{path.name}.new").write_bytes(content[: len(content) // 2])
            raise Killed
        real(path, content, mode)

    monkeypatch.setattr(etcfiles, "write", write)


@pytest.mark.parametrize("count", range(len(FILES) + len(setup.NODES)))
def test_cut_off_and_run_again(etc: Path, users: Accounts, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    with monkeypatch.context() as patch:
        cut_off_at(patch, count)
        with pytest.raises(Killed):
            run(etc, users)
    assert "joblet-config.yml" not in contents(etc), "its presence says that all is done"
    kept = {name: content for name, content in contents(etc).items() if name in FILES}
    assert len(kept) + len(recorded(etc)) == count
    run(etc, users)
    assert set(contents(etc)) == set(FILES)
    given_out = [leaf_of(node["cert"].encode()).serial + ".crt" for node in nodes(etc).values()]
    assert set(given_out) <= set(recorded(etc))
    assert {name: contents(etc)[name] for name in kept} == kept
    assert {name: (etc / name).stat().st_mode & 0o7777 for name in FILES} == FILES
    verify(etc, str(etc / "pki" / "server.crt"))


def test_accounts_fail(etc: Path, users: Accounts) -> None:
    """No client configuration for accounts that do not exist; the next run makes both."""

    def fail(identity: Identity) -> bool:
        raise JobletError(f"no {identity.account}")

    with pytest.raises(JobletError, match="joblet-admin"):
        list(setup.setup(etc=etc, ensure_account=fail))
    assert not (etc / "rnx-config.yml").exists()
    run(etc, users)
    assert set(contents(etc)) == set(FILES)


def test_a_host_name_that_no_certificate_can_hold(etc: Path, users: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "rechner-k\u00f6ln")
    run(etc, users)
    assert {step.outcome for step in run(etc, users)} == {Outcome.KEPT}


def test_another_address_gets_into_the_certificate(etc: Path, users: Accounts) -> None:
    run(etc, users)
    before = contents(etc)
    steps = run(etc, users, "host.example.org:6000")
    assert outcomes(steps)["server.crt"] is Outcome.RENEWED
    assert {name for name, content in contents(etc).items() if content != before[name]} == {"pki/server.crt"}
    run(etc, users, "[2001:db8::7]")
    certificate = keystore.read_certificate(etc / "pki" / "server.crt")
    assert certificate is not None
    assert {"host.example.org", "2001:db8::7", "joblet", "127.0.0.1"} <= pki.names_of(certificate)


def test_the_address_gets_into_a_new_client_configuration(etc: Path, users: Accounts) -> None:
    run(etc, users, "[2001:db8::7]:6000")
    assert {node["address"] for node in nodes(etc).values()} == {"[2001:db8::7]:6000"}


def test_an_old_server_certificate_is_renewed(etc: Path, users: Accounts) -> None:
    run(etc, users)
    ca, key = keystore.signer(etc / "pki", "test"), keystore.read_key(etc / "pki" / "server.key")
    assert key is not None
    soon = pki.server_certificate(ca, key, ["joblet"], days=3)
    etcfiles.write(etc / "pki" / "server.crt", pki.certificate_pem(soon), 0o644)
    assert outcomes(run(etc, users))["server.crt"] is Outcome.RENEWED


def test_clients_of_another_ca_are_told_of(etc: Path, users: Accounts) -> None:
    run(etc, users)
    shutil.rmtree(etc / "pki")
    steps = run(etc, users)
    warnings = [step for step in steps if step.outcome is Outcome.WARNING]
    assert len(warnings) == 4
    assert all("another CA" in step.note and "move the file away" in step.note for step in warnings)


def test_clients_that_expire_are_told_of(etc: Path, users: Accounts) -> None:
    run(etc, users)
    issued = issue(etc, users, Identity("alice", Role.READER), days=3)
    (etc / "rnx-config.yml").write_bytes(issued.config)
    (warning,) = (step for step in run(etc, users) if step.outcome is Outcome.WARNING)
    assert warning.subject.endswith("rnx-config.yml: default")
    assert "valid to" in warning.note


def test_unreadable_files_are_not_replaced(etc: Path, users: Accounts) -> None:
    run(etc, users)
    for name in ("pki/server.key", "pki/server.crt", "pki/ca.crt", "rnx-config.yml"):
        whole = (etc / name).read_bytes()
        (etc / name).write_bytes(b"rubbish")
        with pytest.raises(JobletError, match=name):
            run(etc, users)
        assert (etc / name).read_bytes() == b"rubbish"
        (etc / name).write_bytes(whole)
    run(etc, users)


def test_a_ca_key_of_another_ca_signs_nothing(etc: Path, users: Accounts) -> None:
    run(etc, users)
    etcfiles.write(etc / "pki" / "ca.key", pki.key_pem(pki.new_key()), 0o600)
    with pytest.raises(JobletError, match="is not the key of"):
        issue(etc, users, Identity("alice", Role.READER))


# --- jobletd cert issue


def issue(etc: Path, users: Accounts, identity: Identity, **options: Any) -> setup.Issued:
    return setup.issue(identity, etc=etc, ensure_account=users.ensure, **options)


def test_issue(etc: Path, users: Accounts, tmp_path: Path) -> None:
    run(etc, users)
    issued = issue(etc, users, Identity("alice", Role.DEVELOPER))
    (node,) = yaml.safe_load(issued.config)["nodes"].values()
    assert leaf_of(node["cert"].encode()).identity == Identity("alice", Role.DEVELOPER)
    assert node["address"] == "127.0.0.1:50051"
    (tmp_path / "client.pem").write_text(node["cert"])
    verify(etc, str(tmp_path / "client.pem"), "-purpose", "sslclient")
    assert issued.steps[0] == Step("account joblet-alice", Outcome.MADE)
    assert "joblet-alice" in users.made


def test_a_reader_needs_no_account(etc: Path, users: Accounts) -> None:
    run(etc, users)
    assert issue(etc, users, Identity("bob", Role.READER), address=Address()).steps == ()
    assert "joblet-bob" not in users.made


def test_clients_get_the_address_of_setup(etc: Path, users: Accounts) -> None:
    run(etc, users, "host.example.org:6000")
    (node,) = yaml.safe_load(issue(etc, users, Identity("a", Role.READER)).config)["nodes"].values()
    assert node["address"] == "host.example.org:6000"
    (etc / "rnx-config.yml").unlink()
    (node,) = yaml.safe_load(issue(etc, users, Identity("a", Role.READER)).config)["nodes"].values()
    assert node["address"] == "127.0.0.1:50051"


def test_an_address_that_leads_a_client_to_itself(etc: Path, users: Accounts) -> None:
    run(etc, users)
    run(etc, users, "host.example.org")  # too late for what rnx-config.yml has already
    (warning,) = issue(etc, users, Identity("a", Role.READER)).steps
    assert (warning.subject, warning.outcome) == ("address 127.0.0.1:50051", Outcome.WARNING)
    assert "--address HOST" in warning.note


def test_an_address_that_the_server_is_not_for(etc: Path, users: Accounts) -> None:
    run(etc, users)
    issued = issue(etc, users, Identity("a", Role.READER), address=Address("other.example.org"))
    (warning,) = issued.steps
    assert warning.outcome is Outcome.WARNING
    assert "jobletd setup --address other.example.org:50051" in warning.note


def test_issue_before_setup(etc: Path, users: Accounts) -> None:
    with pytest.raises(WrongState) as caught:
        issue(etc, users, Identity("alice", Role.READER))
    assert "jobletd setup" in caught.value.hint
    assert users.made == []


def test_issue_without_the_ca_key(etc: Path, users: Accounts) -> None:
    run(etc, users)
    (etc / "pki" / "ca.key").unlink()
    with pytest.raises(WrongState, match=r"ca\.key is not there"):
        issue(etc, users, Identity("alice", Role.DEVELOPER))
    assert "joblet-alice" not in users.made


def test_write_new(tmp_path: Path) -> None:
    setup.write_new(tmp_path / "file", b"secret")
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o600
    with pytest.raises(WrongState, match="not overwritten"):
        setup.write_new(tmp_path / "file", b"other")
    assert (tmp_path / "file").read_bytes() == b"secret"
    with pytest.raises(JobletError, match="cannot be written"):
        setup.write_new(tmp_path / "missing" / "file", b"")


# --- addresses and accounts


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("host", "host", 50051, "host:50051"),
        ("a-1.example.org:1", "a-1.example.org", 1, "a-1.example.org:1"),
        ("10.0.0.1:65535", "10.0.0.1", 65535, "10.0.0.1:65535"),
        ("[::1]", "::1", 50051, "[::1]:50051"),
        ("[2001:db8::1]:80", "2001:db8::1", 80, "[2001:db8::1]:80"),
    ],
)
def test_addresses(text: str, host: str, port: int, shown: str) -> None:
    assert Address.parse(text) == Address(host, port)
    assert str(Address.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    ["", ":1", "host:", "host:0", "host:65536", "host:x", "host:1 ", "::1", "[::1", "[127.0.0.1]", "[]", "a b", "a/b",
     "-a", "a..b", "https://a", "a\n", "h:٣", "[fe80::1%eth0]", "x" * 64],
)  # fmt: skip
def test_addresses_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="HOST"):
        Address.parse(text)


@pytest.fixture
def sysusers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd-sysusers that notes its arguments and fails."""
    program = tmp_path / "systemd-sysusers"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/arguments\necho no room >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "arguments"


def test_accounts_are_made_by_sysusers(sysusers: Path) -> None:
    with pytest.raises(JobletError, match="joblet-nobody-here could not be made: no room"):
        accounts.ensure(Identity("nobody-here", Role.DEVELOPER))
    line = 'u joblet-nobody-here - "Joblet jobs of nobody-here" / /usr/sbin/nologin'
    assert sysusers.read_text().splitlines() == ["--inline", line]


def test_without_sysusers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobletError, match="systemd-sysusers cannot be run"):
        accounts.ensure(Identity("nobody-here", Role.DEVELOPER))

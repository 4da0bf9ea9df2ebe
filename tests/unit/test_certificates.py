"""What becomes of certificates: on record, revoked, renewed; and a list of revocations that is damaged."""

from __future__ import annotations

import datetime
import json
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from joblet_systemd import certificates, etcfiles, expiry, keystore, pki, registry, revocations, setup
from joblet_systemd.certificates import Row, Status
from joblet_systemd.errors import Ambiguous, Denied, InvalidValue, JobletError, NotFound, Unavailable, WrongState
from joblet_systemd.identity import NAME_PATTERN, Identity, Leaf, Role, leaf_of
from joblet_systemd.pki import Credential
from joblet_systemd.revocations import Watched

ALICE = Identity("alice", Role.DEVELOPER)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A complete /etc/joblet."""
    list(setup.setup(etc=tmp_path / "joblet", ensure_account=lambda identity: False))
    return tmp_path / "joblet"


def issue(etc: Path, identity: Identity = ALICE, days: int = 365) -> Leaf:
    issued = setup.issue(identity, days=days, etc=etc, ensure_account=lambda identity: False)
    (node,) = yaml.safe_load(issued.config)["nodes"].values()
    leaf = leaf_of(node["cert"].encode())
    assert leaf.serial == issued.serial
    return leaf


def expired(etc: Path, identity: Identity) -> None:
    credential = pki.client_credential(keystore.signer(etc / "pki", "a test"), identity, days=0)
    registry.record(etc / "pki", credential.certificate)


def rows(etc: Path, name: str = "alice") -> list[Row]:
    return [row for row in certificates.rows(etc) if row.leaf.identity.name == name]


def revoke(etc: Path, which: str, **options: Any) -> certificates.Revoked:
    return certificates.revoke(
        which, **{"reason": "", "by": "unix:root", "etc": etc, "sleep": lambda _: None, **options}
    )


def watched(etc: Path) -> Watched:
    return Watched(etc / "pki" / revocations.FILE, revocations.now)


def local_nodes(etc: Path) -> dict[str, dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = yaml.safe_load((etc / "rnx-config.yml").read_text())["nodes"]
    return nodes


# --- the record


def test_every_certificate_is_on_record(etc: Path) -> None:
    leaf = issue(etc)
    assert [row.leaf for row in rows(etc)] == [leaf]
    assert {row.leaf.identity.name for row in certificates.rows(etc)} == {
        *("admin", "maintainer", "developer", "reader", "alice")
    }
    assert [row.leaf.identity.name for row in certificates.rows(etc) if row.local] == [
        *("admin", "developer", "maintainer", "reader")
    ]


def test_those_of_an_older_setup_are_listed(etc: Path) -> None:
    for file in (etc / "pki" / "issued").iterdir():
        file.unlink()
    (etc / "pki" / "issued").rmdir()
    assert {row.leaf.identity.name for row in certificates.rows(etc)} == {"admin", "maintainer", "developer", "reader"}


def test_issued_at_once_none_is_lost(etc: Path) -> None:
    names = [f"ci-{number}" for number in range(12)]
    threads = [threading.Thread(target=issue, args=(etc, Identity(name, Role.READER))) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row.leaf.identity.name for row in certificates.rows(etc)} >= set(names)


def test_statuses(etc: Path) -> None:
    issue(etc)
    issue(etc, days=29)
    expired(etc, ALICE)
    revoked = issue(etc)
    revoke(etc, revoked.serial, reason="lost")
    assert sorted(row.status for row in rows(etc)) == ["expired", "expiring", "revoked", "valid"]
    (gone,) = (row.as_json() for row in rows(etc) if row.status is Status.REVOKED)
    assert (gone["reason"], gone["revoked_by"], gone["serial"]) == ("lost", "unix:root", revoked.serial)


def test_a_damaged_record_names_the_file(etc: Path) -> None:
    file = etc / "pki" / "issued" / "ab.crt"
    file.write_text("rubbish")
    with pytest.raises(JobletError, match=str(file)):
        certificates.rows(etc)


# --- revoke


def test_all_of_a_name(etc: Path) -> None:
    first, second, other = issue(etc), issue(etc), issue(etc, Identity("bob", Role.READER))
    listed = watched(etc)
    for leaf in (first, second, other):
        listed.check(leaf)
    revoked = revoke(etc, "alice", reason="lost her laptop")
    assert {row.leaf for row in revoked.known} == {first, second}
    for leaf in (first, second):
        with pytest.raises(Denied, match=r"was revoked on .*: lost her laptop"):
            listed.check(leaf)
    listed.check(other)


def test_of_a_name_those_nobody_knows_of_too(etc: Path) -> None:
    """An older jobletd issued it, and it is on no record."""
    issue(etc)
    unknown = pki.client_credential(keystore.signer(etc / "pki", "a test"), ALICE)
    revoke(etc, "alice")
    with pytest.raises(Denied, match="revoked"):
        watched(etc).check(pki.leaf(unknown.certificate))


def test_the_name_can_be_let_in_again(etc: Path) -> None:
    old = issue(etc)
    certificates.revoke("alice", reason="", by="unix:root", etc=etc)  # with the wait
    new = issue(etc)
    watched(etc).check(new)
    with pytest.raises(Denied):
        watched(etc).check(old)


def test_not_within_the_second_that_is_revoked(etc: Path) -> None:
    """As with a clock that was set back: better no certificate than one that is refused."""
    issue(etc)
    revoke(etc, "alice")
    with pytest.raises(WrongState, match="not yet over by this host's clock"):
        issue(etc)
    assert len(rows(etc)) == 1


def test_by_serial_number(etc: Path) -> None:
    first, second = issue(etc), issue(etc)
    revoked = revoke(etc, first.serial[:10])
    assert [row.leaf for row in revoked.known] == [first]
    watched(etc).check(second)
    with pytest.raises(WrongState, match="already"):
        revoke(etc, first.serial)


@pytest.mark.parametrize(
    ("which", "error", "said"),
    [
        ("bob", NotFound, "--unrecorded"),
        ("deadbeef00", NotFound, "No certificate of 'deadbeef00' is on record"),
        ("ab" * 20, NotFound, "--unrecorded"),
        ("Alice", InvalidValue, "a name"),
        ("../alice", InvalidValue, "a name"),
        ("", InvalidValue, "a name"),
    ],
)
def test_what_is_not_there(which: str, error: type[JobletError], said: str, etc: Path) -> None:
    issue(etc)
    with pytest.raises(error) as caught:
        revoke(etc, which)
    assert said in str(caught.value)
    assert not (etc / "pki" / revocations.FILE).exists()


def test_unrecorded(etc: Path) -> None:
    unknown = pki.leaf(pki.client_credential(keystore.signer(etc / "pki", "a test"), ALICE).certificate)
    revoke(etc, "alice", unrecorded=True)
    with pytest.raises(Denied):
        watched(etc).check(unknown)
    number = f"{'ab' * 20}"
    assert revoke(etc, number, unrecorded=True).entry.serial == number


def test_a_name_that_is_the_beginning_of_a_number(etc: Path) -> None:
    leaf = issue(etc)
    twin = leaf.serial[:9]
    if not NAME_PATTERN.fullmatch(twin):
        twin = "abcdef012"
        file = etc / "pki" / "issued" / f"{leaf.serial}.crt"
        file.unlink()
        signer, key = keystore.signer(etc / "pki", "a test"), pki.new_key()
        name = pki.client_credential(signer, ALICE).certificate.subject
        builder = pki._leaf(signer, name, key, 1, pki.ExtendedKeyUsageOID.CLIENT_AUTH)
        # serial_number() may be set once only.
        builder._serial_number = int(twin + "0" * 30, 16)
        registry.record(etc / "pki", builder.sign(signer.key, pki.hashes.SHA256()))
    issue(etc, Identity(twin, Role.READER))
    with pytest.raises(Ambiguous):
        revoke(etc, twin)


@pytest.mark.parametrize("reason", ["two\nlines", "\x1b[2J", "x" * 201])
def test_reasons_refused(reason: str, etc: Path) -> None:
    with pytest.raises(InvalidValue, match="--reason"):
        revoke(etc, "admin", reason=reason)


def test_revoking_needs_no_ca_key(etc: Path) -> None:
    (etc / "pki" / "ca.key").unlink()
    revoke(etc, "reader")
    assert [row.status for row in rows(etc, "reader")] == [Status.REVOKED]


# --- a list that is damaged


def valid_entry() -> dict[str, str]:
    return {"name": "alice", "serial": "ab", "revoked": "2026-01-01T00:00:00+00:00", "reason": "", "by": "unix:root"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"version": 1}',
        b'{"version": 2, "revoked": []}',
        b'{"version": 1, "revoked": {}}x',
        b'{"version": 1, "revoked": ["ab"]}',
        *(
            json.dumps({"version": 1, "revoked": [{**valid_entry(), **change}]}).encode()
            for change in (
                {"serial": "AB"},
                {"serial": ""},
                {"serial": 5},
                {"revoked": "yesterday"},
                {"revoked": "2026-01-01T00:00:00"},
                {"valid_from_before": "2026-01-01T00:00:00+00:00"},
                {"name": None},
            )
        ),
    ],
)
def test_a_damaged_list_lets_nobody_in(content: bytes, etc: Path) -> None:
    leaf = issue(etc)
    file = etc / "pki" / revocations.FILE
    file.write_bytes(content)
    listed = watched(etc)
    with pytest.raises(Unavailable, match="nobody is let in"):
        listed.check(leaf)
    assert listed.over(leaf) is None
    for command in (lambda: certificates.rows(etc), lambda: revoke(etc, "alice"), lambda: issue(etc)):
        with pytest.raises(JobletError, match=str(file)):
            command()
    assert file.read_bytes() == content, "not overwritten"
    file.unlink()
    listed.check(leaf)


def test_a_list_that_cannot_be_read(etc: Path) -> None:
    leaf = issue(etc)
    (etc / "pki" / revocations.FILE).mkdir()
    with pytest.raises(Unavailable):
        watched(etc).check(leaf)


def test_a_list_that_is_gone_is_told_of(etc: Path, caplog: pytest.LogCaptureFixture) -> None:
    leaf = issue(etc)
    revoke(etc, "alice")
    listed = watched(etc)
    with pytest.raises(Denied):
        listed.check(leaf)
    (etc / "pki" / revocations.FILE).unlink()
    listed.check(leaf)
    assert "no certificate is revoked any more" in caplog.text


# --- renew


def renew(etc: Path, name: str = "alice", **options: Any) -> tuple[certificates.Renewed, Leaf]:
    got: list[bytes] = []
    options = {"by": "unix:root", "etc": etc, "ensure_account": lambda identity: False, **options}
    renewed = certificates.renew(name, deliver=got.append, **options)
    (node,) = yaml.safe_load(got[0])["nodes"].values()
    return renewed, leaf_of(node["cert"].encode())


def test_renew(etc: Path) -> None:
    old = issue(etc, days=5)
    renewed, new = renew(etc)
    assert (new.identity, renewed.revoked) == (ALICE, ())
    assert new.end - revocations.now() > 364 * DAY
    for leaf in (old, new):
        watched(etc).check(leaf)


def test_renew_and_revoke_the_old(etc: Path) -> None:
    old, reader = issue(etc), issue(etc, Identity("alice", Role.READER))
    renewed, new = renew(etc, role=Role.DEVELOPER, revoke_old=True)
    assert renewed.revoked == [old]
    for leaf in (new, reader):
        watched(etc).check(leaf)
    with pytest.raises(Denied, match="replaced by a newer one"):
        watched(etc).check(old)


def test_the_old_stays_when_the_new_cannot_be_delivered(etc: Path) -> None:
    old = issue(etc)

    def fail(config: bytes) -> None:
        raise JobletError("no room")

    with pytest.raises(JobletError, match="no room"):
        certificates.renew(
            "alice", deliver=fail, revoke_old=True, by="", etc=etc, ensure_account=lambda identity: False
        )
    watched(etc).check(old)


def test_renew_what_has_expired(etc: Path) -> None:
    expired(etc, ALICE)
    assert renew(etc)[1].identity == ALICE


def test_what_is_not_renewed(etc: Path) -> None:
    with pytest.raises(NotFound, match="'bob'"):
        renew(etc, "bob")
    issue(etc)
    issue(etc, Identity("alice", Role.ADMIN))
    with pytest.raises(Ambiguous, match=r"developer and admin.*--role"):
        renew(etc)
    with pytest.raises(WrongState, match="no certificate of the role reader"):
        renew(etc, role=Role.READER)
    revoke(etc, "alice")
    with pytest.raises(WrongState, match=r"were revoked.*jobletd cert issue alice"):
        renew(etc)


def test_renew_local(etc: Path) -> None:
    file = etc / "rnx-config.yml"
    elsewhere = setup.issue(Identity("x", Role.ADMIN), etc=etc, ensure_account=lambda identity: False).config
    foreign = yaml.safe_load(elsewhere)["nodes"]["default"]
    key = pki.new_key()
    other_ca = Credential(pki.self_sign(key), key)
    foreign["cert"] = pki.certificate_pem(pki.client_credential(other_ca, ALICE).certificate).decode()
    file.write_text(f"{file.read_text()}  # mine\n  other: {json.dumps(foreign)}\n")
    before, text = local_nodes(etc), file.read_text()
    pairs = certificates.renew_local(by="unix:root", etc=etc)
    assert [(old.identity, new.identity) for old, new in pairs] == [(old.identity, old.identity) for old, _ in pairs]
    after = local_nodes(etc)
    assert list(after) == list(before)
    assert after["other"] == before["other"]
    assert "  # mine\n" in file.read_text()
    assert file.stat().st_mode & 0o7777 == 0o600
    for name in ("default", "maintainer", "developer", "reader"):
        assert after[name]["cert"] != before[name]["cert"]
        assert pki.belongs(
            pki.x509.load_pem_x509_certificate(after[name]["cert"].encode()), pki.parse_key(after[name]["key"].encode())
        )
        assert {key: after[name][key] for key in ("address", "ca")} == {
            key: before[name][key] for key in ("address", "ca")
        }
    changed = [line for line in file.read_text().splitlines() if line not in text.splitlines()]
    assert all("-" not in line for line in changed), "only base64 has changed"
    for old, new in pairs:
        watched(etc).check(old)
        watched(etc).check(new)


def test_renew_local_and_revoke_the_old(etc: Path) -> None:
    for old, new in certificates.renew_local(by="unix:root", revoke_old=True, etc=etc):
        watched(etc).check(new)
        with pytest.raises(Denied):
            watched(etc).check(old)
    assert not [step for step in setup.setup(etc=etc, ensure_account=lambda identity: False) if step.note]


def test_a_local_file_of_another_layout_is_not_touched(etc: Path) -> None:
    file = etc / "rnx-config.yml"
    file.write_text(json.dumps(yaml.safe_load(file.read_text())))
    before = file.read_bytes()
    with pytest.raises(JobletError, match="not laid out as"):
        certificates.renew_local(by="unix:root", etc=etc)
    assert file.read_bytes() == before


# --- what ends


def test_what_ends_soon(etc: Path) -> None:
    assert list(expiry.ending(etc, revocations.now())) == []
    issue(etc, days=12)
    issue(etc, Identity("bob", Role.READER), days=12)
    issue(etc, Identity("bob", Role.READER), days=300)
    issue(etc, Identity("carol", Role.READER), days=12)
    revoke(etc, "carol")
    (said,) = expiry.ending(etc, revocations.now())
    assert "the last certificate of alice (developer) ends on" in said
    assert "in 11 days: 'jobletd cert renew alice'" in said
    later = "\n".join(expiry.ending(etc, revocations.now() + 360 * DAY))
    assert "the last certificate of admin (admin) ends on" in later
    assert "'jobletd cert renew --local' makes another" in later


def test_the_ends_of_server_and_ca(etc: Path) -> None:
    ca = keystore.read_certificate(etc / "pki" / "ca.crt")
    assert ca is not None
    said = "\n".join(expiry.ending(etc, pki.expiry(ca) - 10 * DAY))
    assert "ca.crt ends on" in said
    assert "server.crt ends on" in said
    assert "has ended on" in "\n".join(expiry.ending(etc, pki.expiry(ca)))


def test_the_ca_is_signed_anew_in_time(etc: Path) -> None:
    """With the same key: what it signed stays good, by the old certificate of it and by the new one."""
    key = keystore.read_key(etc / "pki" / "ca.key")
    assert key is not None
    old = pki.self_sign(key, days=500)
    etcfiles.write(etc / "pki" / "ca.crt", pki.certificate_pem(old), 0o644)
    server_key = keystore.read_key(etc / "pki" / "server.key")
    assert server_key is not None
    server = pki.server_certificate(Credential(old, key), server_key, ["joblet"])
    etcfiles.write(etc / "pki" / "server.crt", pki.certificate_pem(server), 0o644)
    client = pki.client_credential(Credential(old, key), ALICE)

    outcomes = {
        Path(step.subject).name: step.outcome for step in setup.setup(etc=etc, ensure_account=lambda identity: False)
    }
    assert outcomes["ca.crt"] == outcomes["server.crt"] == "renewed"
    new = keystore.read_certificate(etc / "pki" / "ca.crt")
    renewed = keystore.read_certificate(etc / "pki" / "server.crt")
    assert new is not None
    assert renewed is not None
    assert pki.expiry(new) - revocations.now() > 3000 * DAY
    assert pki.expiry(renewed) == pki.expiry(new)
    for ca in (old, new):
        assert pki.issued_by(client.certificate, ca)
        assert pki.issued_by(renewed, ca)


def test_the_ca_cannot_be_signed_anew_without_its_key(etc: Path) -> None:
    key = keystore.read_key(etc / "pki" / "ca.key")
    assert key is not None
    etcfiles.write(etc / "pki" / "ca.crt", pki.certificate_pem(pki.self_sign(key, days=500)), 0o644)
    (etc / "pki" / "ca.key").unlink()
    steps = list(setup.setup(etc=etc, ensure_account=lambda identity: False))
    assert "bring ca.key back" in steps[0].note


@pytest.mark.parametrize("damaged", ["rnx-config.yml", "pki/issued/0a.crt", "pki/ca.crt"])
def test_damaged_records_keep_nobody_in(etc: Path, damaged: str) -> None:
    """A typo elsewhere is no reason to leave a stolen certificate valid."""
    stolen = issue(etc)
    (etc / damaged).write_text("nodes: [")
    told: list[JobletError] = []
    revoked = certificates.revoke("alice", reason="", by="root", on_damage=told.append, etc=etc, sleep=lambda _: None)
    assert [row.leaf for row in revoked.known] == [stolen]
    assert revocations.read(etc / "pki" / revocations.FILE).find(stolen) is not None
    assert [str(etc / damaged) in str(error) for error in told] == [True]
    with pytest.raises(JobletError, match=Path(damaged).name):
        certificates.rows(etc)

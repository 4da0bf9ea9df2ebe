"""Keys and certificates, checked by OpenSSL; who a client is, and who is nobody."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from joblet_systemd import pki
from joblet_systemd.identity import Identity, Role
from joblet_systemd.pki import Credential

OU, CN = NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME


@pytest.fixture(scope="module")
def ca() -> Credential:
    key = pki.new_key()
    return Credential(pki.self_sign(key), key)


def openssl_verify(tmp_path: Path, ca: x509.Certificate, leaf: x509.Certificate, *options: str) -> str:
    """What ``openssl verify`` says, in its strictest mode."""
    (tmp_path / "ca.pem").write_bytes(pki.certificate_pem(ca))
    (tmp_path / "leaf.pem").write_bytes(pki.certificate_pem(leaf))
    command = ["openssl", "verify", "-x509_strict", "-check_ss_sig", *options]
    files = ["-CAfile", str(tmp_path / "ca.pem"), str(tmp_path / "leaf.pem")]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_openssl_accepts_the_server_for_all_its_names(ca: Credential, tmp_path: Path) -> None:
    server = pki.server_certificate(ca, pki.new_key(), ["joblet", "localhost", "127.0.0.1", "::1"])
    for check in (["-verify_hostname", "joblet"], ["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"]):
        assert openssl_verify(tmp_path, ca.certificate, server, "-purpose", "sslserver", *check).endswith("OK\n")
    elsewhere = openssl_verify(tmp_path, ca.certificate, server, "-verify_hostname", "example.org")
    assert "hostname mismatch" in elsewhere
    assert pki.names_of(server) == {"joblet", "localhost", "127.0.0.1", "::1"}


def test_openssl_accepts_the_client_as_a_client_only(ca: Credential, tmp_path: Path) -> None:
    client = pki.client_credential(ca, Identity("alice", Role.DEVELOPER)).certificate
    assert openssl_verify(tmp_path, ca.certificate, client, "-purpose", "sslclient").endswith("OK\n")
    as_server = openssl_verify(tmp_path, ca.certificate, client, "-purpose", "sslserver")
    assert "unsuitable certificate purpose" in as_server or "unsupported certificate purpose" in as_server


def test_openssl_refuses_a_server_as_a_client_and_a_foreign_ca(ca: Credential, tmp_path: Path) -> None:
    server = pki.server_certificate(ca, pki.new_key(), ["joblet"])
    assert "purpose" in openssl_verify(tmp_path, ca.certificate, server, "-purpose", "sslclient")
    other = pki.self_sign(pki.new_key())
    assert "error" in openssl_verify(tmp_path, other, server)


def test_the_same_key_makes_the_same_issuer(ca: Credential, tmp_path: Path) -> None:
    """A lost ca.crt is made again without any client noticing."""
    client = pki.client_credential(ca, Identity("alice", Role.READER)).certificate
    again = pki.self_sign(ca.key)
    assert openssl_verify(tmp_path, again, client).endswith("OK\n")
    assert pki.issued_by(client, again)


def test_lifetimes(ca: Credential) -> None:
    def days(certificate: x509.Certificate) -> int:
        return round((pki.expiry(certificate) - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1))

    identity = Identity("alice", Role.READER)
    assert days(ca.certificate) == pki.CA_DAYS
    assert days(pki.client_credential(ca, identity).certificate) == pki.LEAF_DAYS
    assert days(pki.client_credential(ca, identity, days=7).certificate) == 7
    assert days(pki.client_credential(ca, identity, days=99_999).certificate) == pki.CA_DAYS, "not beyond its CA"


def test_expired_at_birth(ca: Credential, tmp_path: Path) -> None:
    expired = pki.client_credential(ca, Identity("alice", Role.READER), days=0).certificate
    assert "expired" in openssl_verify(tmp_path, ca.certificate, expired)


def test_serial_numbers_differ(ca: Credential) -> None:
    serials = {pki.client_credential(ca, Identity("alice", Role.READER)).certificate.serial_number for _ in range(5)}
    assert len(serials) == 5


def test_belongs_and_issued_by(ca: Credential) -> None:
    client = pki.client_credential(ca, Identity("alice", Role.READER))
    assert pki.belongs(client.certificate, client.key)
    assert not pki.belongs(client.certificate, ca.key)
    assert pki.issued_by(client.certificate, ca.certificate)
    assert not pki.issued_by(client.certificate, pki.self_sign(pki.new_key())), "same name, other key"
    assert not pki.issued_by(client.certificate, client.certificate)


def test_keys_survive_being_written(ca: Credential) -> None:
    assert pki.belongs(ca.certificate, pki.parse_key(pki.key_pem(ca.key)))


@pytest.mark.parametrize("kind", ["rsa", "encrypted", "rubbish"])
def test_keys_that_are_none_of_ours(kind: str) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    if kind == "rsa":
        key = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(encoding, form, serialization.NoEncryption())
    elif kind == "encrypted":
        secret = serialization.BestAvailableEncryption(b"secret")
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(encoding, form, secret)
    else:
        pem = b"rubbish"
    with pytest.raises(ValueError, match=r"key|PEM|password"):
        pki.parse_key(pem)

"""The files that the server shows itself with: used when they fit together, and said what is amiss else."""

from __future__ import annotations

import contextlib
import datetime
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from joblet_systemd import keystore, pki, revocations, setup
from joblet_systemd.api.tls import FILES, KeyFiles
from joblet_systemd.errors import JobletError
from joblet_systemd.http.tls import Contexts


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    list(setup.setup(etc=tmp_path, ensure_account=lambda identity: False))
    return tmp_path / "pki"


def encrypted() -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return pki.new_key().private_bytes(encoding, form, serialization.BestAvailableEncryption(b"secret"))


def test_what_setup_makes_fits(directory: Path) -> None:
    assert KeyFiles(directory).load() == tuple((directory / name).read_bytes() for name in FILES)


def test_text_around_the_certificates(directory: Path) -> None:
    """As 'openssl x509 -text' writes it."""
    for name in ("server.crt", "ca.crt"):
        pem = (directory / name).read_bytes()
        (directory / name).write_bytes("Certificate:\n    Data: Café\n".encode("latin-1") + pem + b"and more\n")
    KeyFiles(directory).load()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("server.key", b"nonsense", "no PEM, or encrypted"),
        ("server.key", b"", "no PEM, or encrypted"),
        ("server.key", encrypted(), "no PEM, or encrypted"),
        ("server.key", pki.key_pem(pki.new_key()), "KEY_VALUES_MISMATCH"),
        ("server.crt", b"nonsense", "no PEM, or encrypted"),
        ("server.crt", pki.certificate_pem(pki.self_sign(pki.new_key())), "KEY_VALUES_MISMATCH"),
        ("ca.crt", b"nonsense", "NO_CERTIFICATE_OR_CRL_FOUND"),
        # Of the same name, with another key: what a setup that was cut off leaves.
        ("ca.crt", pki.certificate_pem(pki.self_sign(pki.new_key())), "unable to get local issuer certificate"),
    ],
)
def test_what_does_not_fit(directory: Path, name: str, content: bytes, why: str) -> None:
    (directory / name).write_bytes(content)
    with pytest.raises(JobletError, match=rf"{name}.* in {directory} cannot be used: .*{why}") as caught:
        KeyFiles(directory).load()
    assert "'jobletd setup' says what is amiss" in caught.value.hint


@pytest.mark.parametrize("name", FILES)
def test_what_is_missing(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(JobletError, match=rf"{name} cannot be read: No such file"):
        KeyFiles(directory).load()


def test_the_end_of_a_certificate_is_left_to_its_clients(directory: Path) -> None:
    """The daemon starts, and they are told what is the matter."""
    key = keystore.read_key(directory / "server.key")
    assert key is not None
    over = pki.server_certificate(keystore.signer(directory, "a test"), key, ["joblet"], days=0)
    (directory / "server.crt").write_bytes(pki.certificate_pem(over))
    assert KeyFiles(directory).load()[1] == pki.certificate_pem(over)


def test_another_kind_of_key(directory: Path) -> None:
    """gRPC serves no Ed25519, 'jobletd setup' knows elliptic curves only."""
    for key in (rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()):
        ca = keystore.signer(directory, "a test")
        write(directory, key, [signed(key.public_key(), ca.key, ca.certificate.subject)])
        with pytest.raises(JobletError, match="not an elliptic-curve key"):
            KeyFiles(directory).load()


def test_authorities_of_others(directory: Path) -> None:
    """One that another has signed, with the chain or without; and one that does not say that it is one."""
    root, middle, key = pki.new_key(), pki.new_key(), pki.new_key()
    below = signed(middle.public_key(), root, named("root"), "middle", ca=True)
    leaf = signed(key.public_key(), middle, named("middle"))
    (directory / "ca.crt").write_bytes(pki.certificate_pem(below))
    for chain in ([leaf], [leaf, below]):
        write(directory, key, chain)
        KeyFiles(directory).load()
    (directory / "ca.crt").write_bytes(pki.certificate_pem(signed(root.public_key(), root, named("root"), "root")))
    write(directory, key, [signed(key.public_key(), root, named("root"))])
    KeyFiles(directory).load()
    write(directory, key, [leaf])
    with pytest.raises(JobletError, match="unable to get local issuer certificate"):
        KeyFiles(directory).load()


def test_http_takes_a_client_of_such_an_authority(directory: Path, tmp_path: Path) -> None:
    """As gRPC does, whose verification does not ask for the root."""
    root, middle, server, client = (pki.new_key() for _ in range(4))
    below = signed(middle.public_key(), root, named("root"), "middle", ca=True)
    (directory / "ca.crt").write_bytes(pki.certificate_pem(below))
    write(directory, server, [signed(server.public_key(), middle, named("middle"), valid=True)])
    (tmp_path / "client").mkdir()
    write(tmp_path / "client", client, [signed(client.public_key(), middle, named("middle"), "alice", valid=True)])
    asks = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asks.check_hostname, asks.verify_mode = False, ssl.CERT_NONE
    asks.load_cert_chain(tmp_path / "client" / "server.crt", tmp_path / "client" / "server.key")
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = asks.wrap_bio(down, up), Contexts(KeyFiles(directory)).newest().wrap_bio(up, down, server_side=True)
    for end in (*ends, ends[0]):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    ends[1].do_handshake()
    assert ends[1].getpeercert() is not None


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def signed(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey,
    by: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    name: str = "joblet",
    *,
    ca: bool = False,
    valid: bool = False,
) -> x509.Certificate:
    now = revocations.now()
    end = now + datetime.timedelta(days=1 if valid or ca else 0)
    builder = x509.CertificateBuilder(issuer, named(name), key, 1, now - datetime.timedelta(hours=1), end)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(by, hashes.SHA256())


def write(
    directory: Path,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey,
    chain: list[x509.Certificate],
) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (directory / "server.key").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    (directory / "server.crt").write_bytes(b"".join(map(pki.certificate_pem, chain)))


def test_what_openssl_is_told_of_versions_does_not_matter(directory: Path, tmp_path: Path) -> None:
    """gRPC does not read it."""
    file = tmp_path / "openssl.cnf"
    file.write_text(
        "openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nsystem_default = versions\n[versions]\n"
        "MaxProtocol = TLSv1.2\n"
    )
    code = f"""
import pathlib, ssl
from joblet_systemd.api.tls import KeyFiles
print(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).maximum_version.name)
KeyFiles(pathlib.Path({str(directory)!r})).load()
"""
    environment = {**os.environ, "OPENSSL_CONF": str(file)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "TLSv1_2\n"), done.stderr


def test_files_that_change_meanwhile(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = KeyFiles._read

    def replaced(path: Path) -> bytes:
        content = read(path)
        path.with_suffix(".new").write_bytes(content)
        path.with_suffix(".new").rename(path)
        return content

    monkeypatch.setattr(KeyFiles, "_read", staticmethod(replaced))
    with pytest.raises(JobletError, match="being replaced"):
        KeyFiles(directory).load()

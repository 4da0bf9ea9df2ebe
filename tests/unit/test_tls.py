"""The files that the server shows itself with: used when they fit together, and said what is amiss else."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from joblet_systemd import keystore, pki, setup
from joblet_systemd.api.tls import FILES, KeyFiles
from joblet_systemd.errors import JobletError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    list(setup.setup(etc=tmp_path, ensure_account=lambda identity: False))
    return tmp_path / "pki"


def encrypted() -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return pki.new_key().private_bytes(encoding, form, serialization.BestAvailableEncryption(b"secret"))


def test_what_setup_makes_fits(directory: Path) -> None:
    assert KeyFiles(directory).load() == tuple((directory / name).read_bytes() for name in FILES)


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

"""The record of the client certificates that this host's CA has issued: ``/etc/joblet/pki/issued``.

One file per certificate, its public part only, named by its serial number: two that are issued at once
cannot lose each other's, and name, role and times are what the certificate itself says. It is written
before the certificate is given out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from . import client_config, keystore, pki
from .errors import Denied, JobletError
from .pki import Leaf

DIRECTORY = "issued"
SUFFIX = ".crt"


def record(directory: Path, certificate: x509.Certificate) -> None:
    """Keep ``certificate`` on record below ``directory``, the one of the CA."""
    keystore.make_directory(directory / DIRECTORY, 0o700)
    file = directory / DIRECTORY / f"{pki.serial_of(certificate)}{SUFFIX}"
    keystore.write(file, pki.certificate_pem(certificate), 0o644)


def issued(directory: Path, clients: Path) -> dict[str, x509.Certificate]:
    """The certificates on record below ``directory`` by serial number, and this host's own in the file ``clients``.

    The latter are there without a record when an older jobletd made them. Raises JobletError naming the
    file when one cannot be read.
    """
    found: dict[str, x509.Certificate] = {}
    for file in sorted((directory / DIRECTORY).glob(f"*{SUFFIX}")):
        certificate = keystore.read_certificate(file)
        if certificate is not None:
            found[pki.serial_of(certificate)] = certificate
    for certificate in own(directory, clients):
        found.setdefault(pki.serial_of(certificate), certificate)
    return found


def own(directory: Path, clients: Path) -> Iterator[x509.Certificate]:
    """The certificates of this CA in this host's client configuration ``clients``."""
    ca = keystore.read_certificate(directory / "ca.crt")
    if ca is None or not clients.exists():
        return
    for node in client_config.read_nodes(clients).values():
        try:
            certificate = x509.load_pem_x509_certificate(str(node.get("cert")).encode())
        except ValueError:
            continue  # 'jobletd setup' warns of it
        if pki.issued_by(certificate, ca):
            yield certificate


def leaves(directory: Path, clients: Path) -> list[tuple[Leaf, x509.Certificate]]:
    """What ``issued`` finds, and what it says, by name and then by age.

    Raises JobletError for what is no client's certificate.
    """
    found = []
    for serial, certificate in issued(directory, clients).items():
        try:
            found.append((pki.leaf(certificate), certificate))
        except Denied as error:
            raise JobletError(
                f"The certificate {serial} on record in {directory / DIRECTORY} is no client's: {error.message}",
                hint="Move it away.",
            ) from error
    return sorted(found, key=lambda pair: (pair[0].identity.name, pair[0].begin, pair[0].serial))

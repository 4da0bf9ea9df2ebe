"""The record of the client certificates that this host's CA has issued: ``/etc/joblet/pki/issued``.

One file per certificate, its public part only, named by its serial number: two that are issued at once
cannot lose each other's, and name, role and times are what the certificate itself says. It is written
before the certificate is given out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from cryptography import x509

from . import client_config, etcfiles, keystore, pki
from .errors import Denied, JobletError
from .identity import Leaf

DIRECTORY = "issued"
SUFFIX = ".crt"

# Is given an error that names what cannot be read; if it returns, the rest is all there is.
OnDamage = Callable[[JobletError], None]


def record(directory: Path, certificate: x509.Certificate) -> None:
    """Keep ``certificate`` on record below ``directory``, the one of the CA."""
    etcfiles.make_directory(directory / DIRECTORY, 0o700)
    file = directory / DIRECTORY / f"{pki.serial_of(certificate)}{SUFFIX}"
    etcfiles.write(file, pki.certificate_pem(certificate), 0o644)


def refuse(damage: JobletError) -> NoReturn:
    """What to do about a file that is damaged: nothing is done before somebody has looked at it."""
    raise damage


def own(directory: Path, clients: Path, on_damage: OnDamage = refuse) -> list[x509.Certificate]:
    """The certificates of this CA in this host's client configuration ``clients``."""
    try:
        ca = keystore.read_certificate(directory / "ca.crt")
        nodes = client_config.read_nodes(clients) if ca is not None and clients.exists() else {}
    except JobletError as error:
        on_damage(error)
        return []
    found = []
    for node in nodes.values():
        try:
            certificate = x509.load_pem_x509_certificate(str(node.get("cert")).encode())
        except ValueError:
            continue  # 'jobletd setup' warns of it
        if ca is not None and pki.issued_by(certificate, ca):
            found.append(certificate)
    return found


def issued(
    directory: Path, own_ones: Iterable[x509.Certificate], on_damage: OnDamage = refuse
) -> dict[str, x509.Certificate]:
    """The certificates on record below ``directory`` by serial number, and this host's own, as ``own`` finds them.

    The latter are there without a record when an older jobletd made them.
    """
    found: dict[str, x509.Certificate] = {}
    for file in sorted((directory / DIRECTORY).glob(f"*{SUFFIX}")):
        try:
            certificate = keystore.read_certificate(file)
        except JobletError as error:
            on_damage(error)
            continue
        if certificate is not None:
            found[pki.serial_of(certificate)] = certificate
    for certificate in own_ones:
        found.setdefault(pki.serial_of(certificate), certificate)
    return found


def leaves(
    directory: Path, own_ones: Iterable[x509.Certificate], on_damage: OnDamage = refuse
) -> list[tuple[Leaf, x509.Certificate]]:
    """What ``issued`` finds, and what it says, by name and then by age."""
    found = []
    for serial, certificate in issued(directory, own_ones, on_damage).items():
        try:
            found.append((pki.leaf(certificate), certificate))
        except Denied as error:
            on_damage(
                JobletError(
                    f"The certificate {serial} on record in {directory / DIRECTORY} is no client's: {error.message}",
                    hint="Move it away.",
                )
            )
    return sorted(found, key=lambda pair: (pair[0].identity.name, pair[0].begin, pair[0].serial))

"""Keys and certificates: the CA, the server's certificate and the clients'.

No files and no clocks but the one that dates a certificate: ``setup`` decides what is made and where
it is kept. Every key is EC P-256, because TLS 1.3 negotiates ECDSA with it at a fraction of RSA's
cost. Works with cryptography 38 (Debian 12) and newer.

Extensions follow RFC 5280, section 4.2.1, and what OpenSSL's ``X509_V_FLAG_X509_STRICT`` insists on,
which Python 3.13 turns on by default: key identifiers in every certificate, keyUsage in the CA's.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .identity import CLOCK_SKEW, Identity, Leaf, check_name, leaf_of

CA_DAYS = 3650
LEAF_DAYS = 365


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def leaf(certificate: x509.Certificate) -> Leaf:
    """What a client's certificate says. Raises Denied as ``leaf_of`` does."""
    return leaf_of(certificate_pem(certificate))


def serial_of(certificate: x509.Certificate) -> str:
    """The serial number of ``certificate`` in hexadecimal."""
    return f"{certificate.serial_number:x}"


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 fingerprint of ``certificate``, as ``openssl x509 -fingerprint -sha256`` prints it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """``certificate`` as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """``key`` as PEM: PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def parse_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The EC private key in ``pem``; raises ValueError when it is none."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (TypeError, UnsupportedAlgorithm) as error:  # TypeError: it is encrypted
        raise ValueError(str(error)) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("it is not an elliptic-curve key")
    return key


def expiry(certificate: x509.Certificate) -> datetime.datetime:
    """When ``certificate`` ends, in UTC and aware of it."""
    # not_valid_after_utc came with cryptography 42, which deprecates the naive one.
    try:
        return certificate.not_valid_after_utc
    except AttributeError:
        return certificate.not_valid_after.replace(tzinfo=datetime.UTC)


def belongs(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bool:
    """Whether ``certificate`` is for ``key``."""
    # Keys themselves can be compared from cryptography 40 on only.
    identifier = x509.SubjectKeyIdentifier.from_public_key
    return identifier(certificate.public_key()) == identifier(key.public_key())


def issued_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether ``ca`` signed ``certificate``."""
    # Certificate.verify_directly_issued_by() needs cryptography 40.
    signer, algorithm = ca.public_key(), certificate.signature_hash_algorithm
    if certificate.issuer != ca.subject or algorithm is None or not isinstance(signer, ec.EllipticCurvePublicKey):
        return False
    try:
        signer.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """The host names and addresses that a server certificate is for."""
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(str(name.value) for name in san if isinstance(name, (x509.DNSName, x509.IPAddress)))


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh private key."""
    return ec.generate_private_key(ec.SECP256R1())


def self_sign(key: ec.EllipticCurvePrivateKey, *, days: int = CA_DAYS) -> x509.Certificate:
    """A CA of the given key. The same key gives the same issuer, so what it signed before stays valid."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Joblet CA")])
    builder = _builder(subject, subject, key.public_key(), _in_days(days)).add_extension(
        # Its certificates are leaves: it signs no further CA.
        x509.BasicConstraints(ca=True, path_length=0),
        critical=True,
    )
    return _key_usage(builder, certificates=True).sign(key, hashes.SHA256())


def server_certificate(
    ca: Credential, key: ec.EllipticCurvePrivateKey, names: Iterable[str], *, days: int = CA_DAYS
) -> x509.Certificate:
    """The server's certificate for ``names``: host names and IP addresses, the first one its CN.

    It lasts as long as the CA by default: both keys lie in the same directory of the same host, so an
    earlier end would protect nothing and break every client on its day.
    """
    san = [_general_name(name) for name in names]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(san[0].value))])
    builder = _leaf(ca, subject, key, days, ExtendedKeyUsageOID.SERVER_AUTH)
    builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    return builder.sign(ca.key, hashes.SHA256())


def client_credential(ca: Credential, identity: Identity, *, days: int = LEAF_DAYS) -> Credential:
    """A new key and certificate for a client. With ``days=0`` it has expired already, for tests."""
    key = new_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(identity.role)),
            x509.NameAttribute(NameOID.COMMON_NAME, check_name(identity.name)),
        ]
    )
    builder = _leaf(ca, subject, key, days, ExtendedKeyUsageOID.CLIENT_AUTH)
    return Credential(builder.sign(ca.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, end: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_in_days(0) - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _leaf(
    ca: Credential, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int, usage: x509.ObjectIdentifier
) -> x509.CertificateBuilder:
    # A certificate that outlives its CA would be refused for the CA's end, not its own: say the truth.
    end = min(_in_days(days), expiry(ca.certificate))
    builder = _builder(subject, ca.certificate.subject, key.public_key(), end)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    return _key_usage(builder.add_extension(issuer, critical=False), certificates=False)


def _key_usage(builder: x509.CertificateBuilder, *, certificates: bool) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.KeyUsage(
            digital_signature=not certificates,
            key_cert_sign=certificates,
            crl_sign=certificates,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        ),
        critical=True,
    )


def _in_days(days: int) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)


def _general_name(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

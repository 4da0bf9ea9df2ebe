"""Certificates as they are encoded: DER (X.690) in PEM, of which what is asked for is decoded and nothing else."""

from __future__ import annotations

import ssl
from typing import Any, NamedTuple

from pyasn1.codec.der import decoder
from pyasn1.error import PyAsn1Error
from pyasn1.type import univ

# What comes of bytes that are none, with one version of pyasn1 or another: PEM's and times' errors are ValueErrors, an
# OverflowError is a length's, and what is of another type than belongs in its place lacks something.
UNREADABLE = (PyAsn1Error, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)

SEQUENCE, SET = univ.SequenceOf(componentType=univ.Any()), univ.SetOf(componentType=univ.Any())

VERSION_TAG = b"\xa0"
PEM_BEGIN, PEM_END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Signed(NamedTuple):
    """Fields of a TBSCertificate (RFC 5280, section 4.1), encoded."""

    serial: bytes
    validity: bytes
    subject: bytes
    key: bytes


def signed(pem: bytes) -> Signed:
    """What is signed in the first certificate of ``pem``. Raises one of ``UNREADABLE`` when there is none.

    There may be text around it (RFC 7468, section 2), such as 'openssl x509 -text' writes.
    """
    certificate = pem[pem.index(PEM_BEGIN) : pem.index(PEM_END) + len(PEM_END)]
    fields = items(items(ssl.PEM_cert_to_DER_cert(certificate.decode()))[0])
    if fields[0][:1] == VERSION_TAG:  # certificates of version 1 do without
        del fields[0]
    serial, _, _, validity, subject, key = fields[:6]
    return Signed(serial, validity, subject, key)


def items(der: bytes, kind: Any = SEQUENCE) -> list[bytes]:
    """What is in a SEQUENCE, or a SET, each item as it is encoded."""
    return [bytes(item) for item in value(der, kind)]


def value(der: bytes, kind: Any = None) -> Any:
    """What ``der`` is, whatever it is or of the type ``kind``, and nothing behind it."""
    found, rest = decoder.decode(der, asn1Spec=kind)
    if rest:
        raise ValueError("there is more behind it")
    return found


def identifier(der: bytes) -> str:
    """An OBJECT IDENTIFIER, as in 2.5.4.3."""
    return str(value(der, univ.ObjectIdentifier()))


def integer(der: bytes) -> int:
    """An INTEGER."""
    return int(value(der, univ.Integer()))

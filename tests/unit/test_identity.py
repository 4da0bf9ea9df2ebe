"""Who a client is by its certificate, and who is nobody."""

from __future__ import annotations

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

from joblet_systemd import pki
from joblet_systemd.errors import Denied, InvalidValue
from joblet_systemd.identity import Identity, Role, check_name, leaf_of
from joblet_systemd.pki import Credential

OU, CN = NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME


@pytest.fixture(scope="module")
def ca() -> Credential:
    key = pki.new_key()
    return Credential(pki.self_sign(key), key)


NOW = datetime.datetime.now(datetime.UTC)
NAME = x509.Name([x509.NameAttribute(OU, "reader"), x509.NameAttribute(CN, "alice")])
KEY = pki.new_key()


def certificate(
    name: x509.Name, *, begin: datetime.datetime = NOW, end: datetime.datetime = NOW, serial: int = 1
) -> bytes:
    """One that we never issue."""
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), serial, begin, end)
    return pki.certificate_pem(builder.sign(KEY, hashes.SHA256()))


def with_subject(*attributes: tuple[x509.ObjectIdentifier, str]) -> bytes:
    return certificate(x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes]))


@pytest.mark.parametrize(
    ("unit", "role"),
    [
        ("reader", Role.READER),
        ("viewer", Role.READER),
        ("developer", Role.DEVELOPER),
        ("maintainer", Role.MAINTAINER),
        ("admin", Role.ADMIN),
    ],
)
def test_identity_of(unit: str, role: Role) -> None:
    assert leaf_of(with_subject((OU, unit), (CN, "alice"))).identity == Identity("alice", role)


def test_identity_of_what_we_issue(ca: Credential) -> None:
    for role in Role:
        identity = Identity("a-1", role)
        pem = pki.certificate_pem(pki.client_credential(ca, identity).certificate)
        assert leaf_of(pem).identity == identity


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ([], "no name (CN)"),
        ([(CN, "alice")], "no role (OU)"),
        ([(OU, "admin")], "no name (CN)"),
        ([(OU, "reader"), (OU, "admin"), (CN, "alice")], "2 of role (OU)"),
        ([(OU, "admin"), (OU, "admin"), (CN, "alice")], "2 of role (OU)"),
        ([(OU, "admin"), (CN, "alice"), (CN, "bob")], "2 of name (CN)"),
        ([(OU, "root"), (CN, "alice")], "role (OU) 'root' is unknown"),
        ([(OU, "Admin"), (CN, "alice")], "role (OU) 'Admin' is unknown"),
        ([(OU, "admin,reader"), (CN, "alice")], "is unknown"),
        ([(OU, "admin"), (CN, "../../etc")], "name (CN) '../../etc'"),
        ([(OU, "admin"), (CN, "Alice")], "name (CN) 'Alice'"),
    ],
)
def test_nobody(subject: list[tuple[x509.ObjectIdentifier, str]], said: str) -> None:
    with pytest.raises(Denied) as caught:
        leaf_of(with_subject(*subject))
    assert said in caught.value.message


def test_nobody_without_a_certificate() -> None:
    with pytest.raises(Denied):
        leaf_of(b"-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")


@pytest.mark.parametrize("name", ["a", "alice", "ci-runner-2", "a" * 23])
def test_names(name: str) -> None:
    assert check_name(name) == name
    account = Identity(name, Role.ADMIN).account
    assert account == f"joblet-{name}"
    assert len(account) <= 31


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "-a", "a_b", "a.b", "a/b", "a b", "a\n", "alice\n", "ä", "a" * 24, "\u0430"]
)
def test_names_refused(name: str, ca: Credential) -> None:
    with pytest.raises(InvalidValue, match="name"):
        check_name(name)
    with pytest.raises(InvalidValue):
        pki.client_credential(ca, Identity(name, Role.READER))


def test_roles_are_ordered() -> None:
    assert Role.READER < Role.DEVELOPER < Role.MAINTAINER < Role.ADMIN
    assert [role for role in Role if role.runs_jobs] == [Role.DEVELOPER, Role.MAINTAINER, Role.ADMIN]
    assert [str(role) for role in Role] == ["reader", "developer", "maintainer", "admin"]


# --- what is read, beside what cryptography reads


def read_by_cryptography(certificate: x509.Certificate) -> tuple[object, ...]:
    name, unit = (certificate.subject.get_attributes_for_oid(oid)[0].value for oid in (CN, OU))
    begin = certificate.not_valid_before_utc
    return name, unit, f"{certificate.serial_number:x}", begin, certificate.not_valid_after_utc


def read_by_us(pem: bytes) -> tuple[object, ...]:
    leaf = leaf_of(pem)
    return leaf.identity.name, str(leaf.identity.role), leaf.serial, leaf.begin, leaf.end


@pytest.mark.parametrize("years", [1, 30, 200])
def test_times_and_numbers(years: int) -> None:
    """From 2050 on times are of another type (RFC 5280, 4.1.2.5)."""
    begin = NOW.replace(microsecond=0)
    end = begin + datetime.timedelta(days=365 * years)
    for serial in (1, 127, 128, 2**159 - 1):
        pem = certificate(NAME, begin=begin, end=end, serial=serial)
        assert read_by_us(pem) == ("alice", "reader", f"{serial:x}", begin, end)


@pytest.mark.parametrize("year", [1950, 1968, 1969, 1999, 2049])
def test_years_of_two_digits(year: int) -> None:
    """A beginning that were read as later would be missed by a revocation of all that were issued until now."""
    begin, end = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2060, 1, 1, tzinfo=datetime.UTC)
    pem = certificate(NAME, begin=begin, end=end)
    assert read_by_us(pem)[3:] == (begin, end)


def test_fields_that_nobody_needs() -> None:
    """They may be of any kind, as the unique identifiers that RFC 5280 does not want (4.1.2.8)."""
    parsed = x509.load_pem_x509_certificate(with_subject((OU, "admin"), (CN, "alice")))
    signed = parsed.tbs_certificate_bytes
    der = parsed.public_bytes(Encoding.DER)
    more = sequence(contents(signed) + bytes.fromhex("8103000102"))
    pem = ssl.DER_cert_to_PEM_cert(sequence(more + contents(der).removeprefix(signed))).encode()
    assert read_by_us(pem)[:2] == ("alice", "admin")


def test_attributes_that_nobody_needs() -> None:
    other = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Caf\u00e9", x509.name._ASN1Type.T61String, _validate=False)
    assert read_by_us(certificate(x509.Name([other, *NAME])))[:2] == ("alice", "reader")
    together = x509.Name([x509.RelativeDistinguishedName([*NAME])])
    assert read_by_us(certificate(together))[:2] == ("alice", "reader")


def test_text_of_other_types() -> None:
    """OpenSSL and others make PrintableString, T61String and BMPString of what is UTF8String here."""
    for kind in (x509.name._ASN1Type.PrintableString, x509.name._ASN1Type.IA5String, x509.name._ASN1Type.BMPString):
        name = x509.Name([x509.NameAttribute(OU, "admin", kind), x509.NameAttribute(CN, "alice", kind)])
        assert read_by_us(certificate(name))[:2] == ("alice", "admin")


def contents(sequence: bytes) -> bytes:
    """Without its tag and its length (X.690, 8.1.3)."""
    return sequence[2 + (sequence[1] & 0x7F if sequence[1] & 0x80 else 0) :]


def sequence(content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return b"\x30" + (bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets) + content


def test_version_1() -> None:
    """Without the field of the version, before all others."""
    parsed = x509.load_pem_x509_certificate(with_subject((OU, "admin"), (CN, "alice")))
    signed = parsed.tbs_certificate_bytes
    version = bytes.fromhex("a003020102")
    fields = contents(signed)
    assert fields.startswith(version)
    der = parsed.public_bytes(Encoding.DER)
    old = sequence(fields.removeprefix(version)) + contents(der).removeprefix(signed)
    pem = ssl.DER_cert_to_PEM_cert(sequence(old)).encode()
    assert x509.load_pem_x509_certificate(pem).version is x509.Version.v1
    assert read_by_us(pem)[:2] == ("alice", "admin")


def test_nothing_comes_behind() -> None:
    der = ssl.PEM_cert_to_DER_cert(with_subject((OU, "admin"), (CN, "alice")).decode())
    with pytest.raises(Denied, match="cannot be read"):
        leaf_of(ssl.DER_cert_to_PEM_cert(der + b"\0").encode())


DER = ssl.PEM_cert_to_DER_cert(with_subject((OU, "admin"), (CN, "alice")).decode())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.binary(max_size=2), st.integers(0, 2)), max_size=3))
@example([(0, b"", 2)])
def test_damaged(changes: list[tuple[int, bytes, int]]) -> None:
    """Whatever the bytes are, there is a refusal, or an identity that cryptography finds in them as well."""
    damaged = bytearray(DER)
    for at, new, old in changes:
        damaged[at : at + old] = new
    pem = ssl.DER_cert_to_PEM_cert(bytes(damaged)).encode()
    try:
        found = read_by_us(pem)
    except Denied:
        return
    try:
        expected = read_by_cryptography(x509.load_pem_x509_certificate(pem))
    except (ValueError, x509.UnsupportedGeneralNameType, Warning):
        return  # it is stricter about what we do not look at
    assert found == expected


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_rubbish(der: bytes) -> None:
    with pytest.raises(Denied):
        leaf_of(ssl.DER_cert_to_PEM_cert(der).encode())


def test_deep() -> None:
    der = b""
    for _ in range(3000):
        der = sequence(der)
    with pytest.raises(Denied, match="cannot be read"):
        leaf_of(ssl.DER_cert_to_PEM_cert(der).encode())

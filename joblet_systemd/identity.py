"""Who a client is: what the certificate of a connection says, which TLS has verified.

The daemon reads certificates by pyasn1: cryptography, by which ``pki`` makes them, takes five times as much
memory, too much in a process that stays and needs three fields (RFC 5280, section 4.1) of each.
"""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyasn1.type import char, useful

from . import der
from .errors import Denied, InvalidValue

ACCOUNT_PREFIX = "joblet-"

# 7 characters of prefix and 23 of name stay below the 31 that systemd (valid_user_group_name() in
# strict mode) and utmp allow a login name; no upper case, so that no two identities differ by it only.
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,22}")
NAME_ACCEPTED = "1 to 23 of a-z, 0-9 and '-', a letter first"

# A certificate is valid from so long before it is made: a client whose clock is behind by less can use it at once.
CLOCK_SKEW = datetime.timedelta(hours=1)


# Attribute types of X.520.
COMMON_NAME, ORGANIZATIONAL_UNIT_NAME = OURS = "2.5.4.3", "2.5.4.11"


class Role(enum.IntEnum):
    """What a client may do; a higher role may do all that a lower one may."""

    READER = 1
    DEVELOPER = 2
    MAINTAINER = 3
    ADMIN = 4

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def runs_jobs(self) -> bool:
        """Whether this role may run jobs, and so needs a Unix account for them."""
        return self >= Role.DEVELOPER

    @classmethod
    def parse(cls, text: str) -> Role:
        """The role called ``text``; ``viewer`` is another name of the reader.

        Raises InvalidValue for any other word.
        """
        for role in cls:
            if text == str(role):
                return role
        if text == "viewer":
            return cls.READER
        raise InvalidValue("role", text, "reader (or viewer), developer, maintainer or admin")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is: the certificate's CN, and its role."""

    name: str
    role: Role

    @property
    def account(self) -> str:
        """The Unix account that this identity's jobs run as."""
        return ACCOUNT_PREFIX + self.name


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a client's certificate says: who it is, which certificate of the CA's, and when it is valid.

    ``serial`` is the serial number in hexadecimal, in lower case and without zeros in front.
    """

    identity: Identity
    serial: str
    begin: datetime.datetime
    end: datetime.datetime


def check_name(name: str) -> str:
    """``name`` if it can be an identity's; raises InvalidValue else."""
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidValue("name", name, NAME_ACCEPTED)
    return name


def leaf_of(pem: bytes) -> Leaf:
    """What the client's certificate ``pem`` says.

    Raises Denied when it is none, or has not exactly one CN and one OU, or they are no identity name and no role.
    """
    try:
        signed = der.signed(pem)
        serial = der.integer(signed.serial)
        begin, end = map(_moment, der.items(signed.validity))
        subject = list(_attributes(signed.subject))
    except der.UNREADABLE as error:
        raise Denied("The client certificate cannot be read.") from error
    return Leaf(_identity(subject), f"{serial:x}", begin, end)


def _attributes(subject: bytes) -> Iterator[tuple[str, str]]:
    """Types and values of those attributes that are ours."""
    for relative in der.items(subject):
        for attribute in der.items(relative, der.SET):
            kind, value = der.items(attribute)
            if (which := der.identifier(kind)) in OURS:
                yield which, _text(value)


def _moment(encoded: bytes) -> datetime.datetime:
    time = der.value(encoded)
    moment: datetime.datetime = time.asDateTime.astimezone(datetime.UTC)
    # Of two digits RFC 5280, 4.1.2.5.1, makes 1950 to 2049; pyasn1, as strptime(3), makes 1969 to 2068.
    if isinstance(time, useful.UTCTime) and moment.year >= 2050:
        return moment.replace(year=moment.year - 100)
    return moment


def _text(encoded: bytes) -> str:
    """What is no text is no name of ours."""
    value = der.value(encoded)
    return str(value) if isinstance(value, char.AbstractCharacterString) else ""


def _identity(subject: Sequence[tuple[str, str]]) -> Identity:
    name = _only(subject, COMMON_NAME, "name (CN)")
    unit = _only(subject, ORGANIZATIONAL_UNIT_NAME, "role (OU)")
    if not NAME_PATTERN.fullmatch(name):
        raise Denied(f"The client certificate's name (CN) {name!r} is none: expected {NAME_ACCEPTED}.")
    try:
        return Identity(name, Role.parse(unit))
    except InvalidValue:
        raise Denied(
            f"The client certificate's role (OU) {unit!r} is unknown:"
            " expected reader (or viewer), developer, maintainer or admin."
        ) from None


def _only(subject: Sequence[tuple[str, str]], kind: str, what: str) -> str:
    values = [value for one, value in subject if one == kind]
    if not values:
        raise Denied(f"The client certificate has no {what}.")
    if len(values) > 1:
        # Which of them to believe would be a guess, and a wrong guess a right given away.
        raise Denied(f"The client certificate has {len(values)} of {what}; exactly one is expected.")
    return values[0]

"""``jobletd cert list``, ``revoke`` and ``renew``: what becomes of client certificates after they were issued."""

from __future__ import annotations

import datetime
import enum
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from . import accounts, client_config, etcfiles, keystore, pki, registry, revocations, setup
from .client_config import Address
from .errors import Ambiguous, InvalidValue, NotFound, WrongState
from .identity import CLOCK_SKEW, NAME_ACCEPTED, NAME_PATTERN, Identity, Leaf, Role, check_name
from .registry import OnDamage
from .revocations import Entry

SHORTEST_SERIAL = 8
LONGEST_NAME = 23
MAX_REASON = 200


class Status(enum.StrEnum):
    """What a certificate is good for."""

    VALID = "valid"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Row:
    """A certificate on record, and what has become of it."""

    leaf: Leaf
    fingerprint: str
    status: Status
    revocation: Entry | None
    local: bool

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        gone = self.revocation
        return {
            "name": self.leaf.identity.name,
            "role": str(self.leaf.identity.role),
            "serial": self.leaf.serial,
            "fingerprint": self.fingerprint,
            "issued": _iso(self.leaf.begin + CLOCK_SKEW),
            "expires": _iso(self.leaf.end),
            "status": str(self.status),
            "local": self.local,
            "revoked": _iso(gone.revoked) if gone else None,
            "reason": gone.reason if gone else None,
            "revoked_by": gone.by if gone else None,
        }


def rows(etc: Path = setup.ETC, on_damage: OnDamage = registry.refuse) -> list[Row]:
    """What is on record, and this host's own certificates, by name and age."""
    directory, clients = etc / "pki", etc / "rnx-config.yml"
    revoked = revocations.read(directory / revocations.FILE)
    own = registry.own(directory, clients, on_damage)
    local = {pki.serial_of(certificate) for certificate in own}
    return [
        _row(leaf, certificate, revoked.find(leaf), leaf.serial in local)
        for leaf, certificate in registry.leaves(directory, own, on_damage)
    ]


def _row(leaf: Leaf, certificate: x509.Certificate, revocation: Entry | None, local: bool) -> Row:
    left = leaf.end - revocations.now()
    if revocation is not None:
        status = Status.REVOKED
    elif left <= datetime.timedelta():
        status = Status.EXPIRED
    else:
        status = Status.EXPIRING if left < setup.RENEW_BEFORE else Status.VALID
    return Row(leaf, pki.fingerprint(certificate), status, revocation, local)


# --- revoke


@dataclass(frozen=True, slots=True)
class Revoked:
    """What was revoked. ``known`` is what was on record of it and still good; ``entry`` is what the daemon obeys."""

    entry: Entry
    known: Sequence[Row]

    def __str__(self) -> str:
        """Who and which, for the audit."""
        which = self.entry.serial or f"all {self.entry.name}"
        return f"{which} ({len(self.known)} on record)"


def revoke(
    which: str,
    *,
    reason: str,
    by: str,
    unrecorded: bool = False,
    on_damage: OnDamage = registry.refuse,
    etc: Path = setup.ETC,
    sleep: Callable[[float], None] = time.sleep,
) -> Revoked:
    """Revoke all certificates of a name, or the one with a serial number (its first 8 digits will do).

    ``unrecorded`` accepts a name or whole serial number of which nothing is on record. ``on_damage`` may overlook
    records that cannot be read, so that a damaged file lets nobody stay in. Raises NotFound,
    Ambiguous, or WrongState for what is revoked already.
    """
    _check_reason(reason)
    with etcfiles.locked(etc):
        chosen, by_name = _choose(which, rows(etc, on_damage), unrecorded)
        good = [row for row in chosen if row.status is not Status.REVOKED]
        if chosen and not good and not unrecorded:
            raise WrongState(
                f"What is on record of {which!r} is revoked already.",
                hint="'jobletd cert list --revoked' shows when and why; --unrecorded revokes the name once more.",
            )
        now = revocations.now()
        if by_name:
            entry = revocations.all_until(which, now, reason, by)
        elif chosen:
            entry = Entry(chosen[0].leaf.identity.name, now, reason, by, serial=chosen[0].leaf.serial)
        else:
            entry = Entry("", now, reason, by, serial=which)
        revocations.add(etc / "pki" / revocations.FILE, [entry])
        if by_name:
            # The entry is good for this whole second. Nobody is issued a certificate before it is over.
            sleep(1 - now.microsecond / 1_000_000)
    return Revoked(entry, good)


def _choose(which: str, known: Sequence[Row], unrecorded: bool) -> tuple[Sequence[Row], bool]:
    """The rows that are meant, and whether it is by name."""
    named = [row for row in known if row.leaf.identity.name == which]
    is_serial = re.fullmatch(f"[0-9a-f]{{{SHORTEST_SERIAL},40}}", which) is not None
    numbered = [row for row in known if row.leaf.serial.startswith(which)] if is_serial else []
    if len(numbered) + bool(named) > 1:
        raise Ambiguous(
            f"{which!r} is the name or the beginning of the serial number of several.",
            hint="Give more digits of the serial number: 'jobletd cert list --json' shows all of them.",
        )
    if named or numbered:
        return named or numbered, bool(named)
    if is_serial and len(which) > LONGEST_NAME:
        if unrecorded:
            return (), False
    else:
        if not NAME_PATTERN.fullmatch(which) and not is_serial:
            raise InvalidValue("NAME", which, f"a name ({NAME_ACCEPTED}) or a serial number")
        if unrecorded:
            return (), True
    raise NotFound(
        f"No certificate of {which!r} is on record.",
        hint="'jobletd cert list' shows what is. For one that an older jobletd issued, add --unrecorded.",
    )


def _check_reason(reason: str) -> None:
    if not reason.isprintable() or len(reason) > MAX_REASON:
        raise InvalidValue("--reason", reason, f"one line of up to {MAX_REASON} printable characters")


# --- renew


@dataclass(frozen=True, slots=True)
class Renewed:
    """A fresh certificate, and the older ones of the identity that were revoked for it."""

    issued: setup.Issued
    revoked: Sequence[Leaf]


def renew(
    name: str,
    *,
    role: Role | None = None,
    days: int = pki.LEAF_DAYS,
    address: Address | None = None,
    deliver: Callable[[bytes], None],
    revoke_old: bool = False,
    by: str,
    etc: Path = setup.ETC,
    ensure_account: Callable[[Identity], bool] = accounts.ensure,
) -> Renewed:
    """Issue another certificate to an identity on record, with the role that it has.

    ``deliver`` gets the client configuration; only when it has it are the older ones revoked, if they are
    to be. Raises NotFound for an unknown name, WrongState when all of its certificates were revoked.
    """
    known = [row for row in rows(etc) if row.leaf.identity.name == check_name(name)]
    identity = Identity(name, _role(name, known, role))
    old = [row.leaf for row in known if row.leaf.identity == identity and _usable(row)]
    issued = setup.issue(identity, days=days, address=address, etc=etc, ensure_account=ensure_account)
    deliver(issued.config)
    return Renewed(issued, _revoke_replaced(old, by, etc) if revoke_old else ())


def _role(name: str, known: Sequence[Row], wanted: Role | None) -> Role:
    if not known:
        raise NotFound(
            f"No certificate of {name!r} is on record.", hint="'jobletd cert list' shows what is; 'issue' makes one."
        )
    roles = {row.leaf.identity.role for row in known if row.status is not Status.REVOKED}
    if not roles:
        raise WrongState(
            f"The certificates of {name!r} were revoked.",
            hint=f"To let that client in again: jobletd cert issue {name} --role ROLE",
        )
    if wanted is None and len(roles) > 1:
        listed = " and ".join(str(role) for role in sorted(roles))
        raise Ambiguous(f"{name!r} has certificates of the roles {listed}.", hint="Say which with --role.")
    if wanted is not None and wanted not in roles:
        raise WrongState(
            f"{name!r} has no certificate of the role {wanted} that could be renewed.",
            hint=f"To give it that role: jobletd cert issue {name} --role {wanted}",
        )
    return wanted or roles.pop()


def renew_local(
    *, revoke_old: bool = False, by: str, days: int = pki.LEAF_DAYS, etc: Path = setup.ETC
) -> list[tuple[Leaf, Leaf]]:
    """Put fresh certificates of this CA into this host's own rnx-config.yml; returns old and new, by node.

    Other nodes in it, and comments, stay. Raises WrongState when there is none of this CA's in it.
    """
    directory, clients = etc / "pki", etc / "rnx-config.yml"
    ca = keystore.signer(directory, clients)
    with etcfiles.locked(etc):
        if not clients.exists():
            raise WrongState(f"There is no {clients}.", hint="'jobletd setup' makes one.")
        changes = []
        for certificate in dict.fromkeys(registry.own(directory, clients)):  # a node may be there under two names
            registry.record(directory, certificate)  # one that is made by an older jobletd is on no record yet
            old = pki.leaf(certificate)
            changes.append((old, certificate, pki.client_credential(ca, old.identity, days=days)))
        if not changes:
            raise WrongState(
                f"{clients} has no certificate of this host's CA.",
                hint="Move it away, and 'jobletd setup' makes another.",
            )
        text = clients.read_text(encoding="utf-8")
        for _, certificate, credential in changes:
            text = client_config.replaced(text, clients, certificate, credential, ca.certificate)
            registry.record(directory, credential.certificate)
        etcfiles.write(clients, text.encode(), 0o600)
    pairs = [(old, pki.leaf(credential.certificate)) for old, _, credential in changes]
    if revoke_old:
        _revoke_replaced([old for old, _ in pairs], by, etc)
    return pairs


def _usable(row: Row) -> bool:
    return row.status in (Status.VALID, Status.EXPIRING)


def _revoke_replaced(old: Sequence[Leaf], by: str, etc: Path) -> Sequence[Leaf]:
    now = revocations.now()
    entries = [Entry(leaf.identity.name, now, "replaced by a newer one", by, serial=leaf.serial) for leaf in old]
    with etcfiles.locked(etc):
        revocations.add(etc / "pki" / revocations.FILE, entries)
    return old


def _iso(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

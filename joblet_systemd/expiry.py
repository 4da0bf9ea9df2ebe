"""What is going to end: ``python3 -m joblet_systemd.expiry /etc/joblet`` says it in lines; see ``reminder``."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from pathlib import Path

from . import keystore, pki, registry, revocations
from .errors import JobletError
from .identity import Identity, Leaf
from .revocations import now
from .setup import RENEW_BEFORE, RENEW_CA_BEFORE


def ending(etc: Path, at: datetime.datetime) -> Iterator[str]:
    """A sentence for each certificate that ends soon after ``at``, or has ended, and what to do."""
    directory = etc / "pki"
    limits = {
        "ca.crt": (RENEW_CA_BEFORE, "'jobletd setup' signs it anew; clients get it with their next certificate"),
        "server.crt": (RENEW_BEFORE, "'jobletd setup' signs it anew"),
    }
    for name, (limit, remedy) in limits.items():
        certificate = keystore.read_certificate(directory / name)
        if certificate is not None and pki.expiry(certificate) - at < limit:
            yield f"{directory / name} {_ends(pki.expiry(certificate), at)}: {remedy}"
    last: dict[Identity, Leaf] = {}
    own = registry.own(directory, etc / "rnx-config.yml")
    revoked = revocations.read(directory / revocations.FILE)
    for leaf, _ in registry.leaves(directory, own):
        if revoked.find(leaf) is None:
            last[leaf.identity] = max(leaf, last.get(leaf.identity, leaf), key=lambda one: one.end)
    local = {pki.serial_of(certificate) for certificate in own}
    for who, leaf in last.items():
        # Of one that has ended its client has taken notice already.
        if datetime.timedelta() < leaf.end - at < RENEW_BEFORE:
            which = "--local" if leaf.serial in local else who.name
            yield (
                f"the last certificate of {who.name} ({who.role}) {_ends(leaf.end, at)}:"
                f" 'jobletd cert renew {which}' makes another"
            )


def _ends(end: datetime.datetime, at: datetime.datetime) -> str:
    return f"has ended on {end:%Y-%m-%d}" if end <= at else f"ends on {end:%Y-%m-%d}, in {(end - at).days} days"


def main(etc: Path) -> None:
    """Print what ends soon, a line each."""
    try:
        for line in ending(etc, now()):
            print(line)
    except JobletError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

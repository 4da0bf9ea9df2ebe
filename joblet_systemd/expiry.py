"""What is going to end: the daemon says so in its log, at its start and every day."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Iterator
from pathlib import Path

from . import keystore, pki, registry, revocations
from .errors import JobletError
from .pki import Identity, Leaf
from .setup import RENEW_BEFORE, RENEW_CA_BEFORE

log = logging.getLogger("joblet")

DAY_SEC = 86_400.0


def now() -> datetime.datetime:
    """The time, in UTC and aware of it."""
    return datetime.datetime.now(datetime.UTC)


async def remind(etc: Path) -> None:
    """Log what ends soon, now and every day, as long as this runs."""
    while True:
        try:
            lines = await asyncio.to_thread(lambda: list(ending(etc, now())))
        except JobletError as error:
            lines = [f"the certificates cannot be looked through: {error}"]
        for line in lines:
            log.warning("%s", line)
        await asyncio.sleep(DAY_SEC)


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

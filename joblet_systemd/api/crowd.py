"""How many connections there are, in all and from one source: whoever can reach a port can connect."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Iterator

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 4096
MAX_FROM_ONE_SOURCE = 1024
QUIET_SEC = 10.0  # between two lines in the log of connections that are closed


class Crowd:
    """The connections of one port."""

    def __init__(self) -> None:
        self._sources: Counter[str] = Counter()
        self._refused = 0
        self._told_at = -QUIET_SEC

    @contextlib.contextmanager
    def join(self, peer: object) -> Iterator[bool]:
        """One more connection, by its peer's address as sockets have it; whether it may stay."""
        source = source_of(peer)
        self._sources[source] += 1
        try:
            fits = self._sources.total() <= MAX_CONNECTIONS and self._sources[source] <= MAX_FROM_ONE_SOURCE
            if not fits:
                self._tell(source)
            yield fits
        finally:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]

    def _tell(self, source: str) -> None:
        self._refused += 1
        now = time.monotonic()
        if now - self._told_at >= QUIET_SEC:
            log.warning(
                "%d connections, %d of them from %s; %d more were closed at once (at most %d, and %d from one source)",
                self._sources.total() - 1,
                self._sources[source] - 1,
                source,
                self._refused,
                MAX_CONNECTIONS,
                MAX_FROM_ONE_SOURCE,
            )
            self._told_at, self._refused = now, 0


def source_of(peer: object) -> str:
    """The address that a client has for itself: of IPv6 the network of 64 bits, all of which may be one machine's."""
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0]) if isinstance(peer, tuple) else None
    if not isinstance(address, ipaddress.IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))

"""Who is let in: from the certificate of a connection to an identity, for every call and while it lasts.

TLS looks at a certificate once, when a connection is made. Connections live for months, so that here
every call is asked again whether its certificate is revoked or over, and calls that last, such as those
of somebody who follows a job's output, are asked every two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from typing import Any

from ..errors import Denied
from ..identity import Leaf, leaf_of
from ..revocations import Watched
from .access import LEAST_ROLE

LOOK_SEC = 2.0


class Admission:
    """Admits calls by ``revoked``, and ends them when their certificate is not good any more."""

    def __init__(self, revoked: Watched) -> None:
        self._revoked = revoked
        self._calls: dict[asyncio.Timeout, Leaf] = {}
        self._busy = asyncio.Event()  # there are calls: an idle daemon has nothing to wake up for

    def admit(self, name: str, leaf: Leaf) -> None:
        """Raises Denied unless the certificate is good and its role may call the method ``name``."""
        self._revoked.check(leaf)
        least = LEAST_ROLE[name]
        if leaf.identity.role < least:
            raise Denied(
                f"{name.partition('/')[2]} needs the role {least}; "
                f"the certificate of {leaf.identity.name!r} has the role {leaf.identity.role}.",
                hint="Use a node of rnx-config.yml with that role (--node), or ask the host's administrator for one.",
            )

    @contextlib.asynccontextmanager
    async def while_good(self, leaf: Leaf) -> AsyncIterator[None]:
        """Run the block as long as the certificate is good; raises Denied when it is not any more."""
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._calls[scope] = leaf
                self._busy.set()
                try:
                    yield
                finally:
                    del self._calls[scope]
                    if not self._calls:
                        self._busy.clear()
        except TimeoutError:
            refusal = self._revoked.over(leaf) if scope.expired() else None
            if refusal is None:
                raise
            raise refusal from None

    async def watch(self) -> None:
        """End the calls whose certificates are not good any more, as long as this runs."""
        while True:
            await self._busy.wait()
            await asyncio.sleep(LOOK_SEC)
            for scope, leaf in list(self._calls.items()):
                if not scope.expired() and self._revoked.over(leaf) is not None:
                    scope.reschedule(asyncio.get_running_loop().time())


def leaf_in(context: Any) -> Leaf:
    """What the certificate of the call's connection says. Raises Denied when it says nothing of use."""
    pem = context.auth_context().get("x509_pem_cert", [b""])[0]
    return known_leaf(bytes(pem))


def known_leaf(pem: bytes) -> Leaf:
    """As ``leaf_of``, for a certificate that comes again with every call."""
    found = _known(pem)
    if isinstance(found, str):
        raise Denied(found)
    return found


@functools.lru_cache(maxsize=1024)
def _known(pem: bytes) -> Leaf | str:
    """What it says, or why it says nothing."""
    try:
        return leaf_of(pem)
    except Denied as error:
        return error.message

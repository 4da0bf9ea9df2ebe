"""TLS of the HTTP interface: 1.3 only, with a client certificate of this host's CA, by the newest files there are."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import logging
import ssl

from ..api.tls import KeyFiles
from ..errors import JobletError

log = logging.getLogger("joblet")

# What asyncio reads into, per connection: its 256 KiB would make 256 MB of a thousand connections that say nothing.
# A TLS record has 16 KiB at most.
asyncio.sslproto.SSLProtocol.max_size = 16 << 10


class Contexts:
    """The context for the next connection. Raises JobletError when the files cannot be used from the beginning."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self._seen = files.signature()
        files.load()
        self._context = self._make()

    def newest(self) -> ssl.SSLContext:
        """That of the newest files which fit together."""
        # A new one each time: in an old one the former CA would stay trusted.
        seen = self._files.signature()
        if seen != self._seen:
            self._seen = seen
            try:
                self._files.load()
                self._context = self._make()
                log.info("the HTTP interface has read its certificate again")
            except (JobletError, OSError) as error:  # an SSLError is one: the files may have changed in between
                log.warning("the certificates have changed and cannot be used, so that the former ones are: %s", error)
        return self._context

    def _make(self) -> ssl.SSLContext:
        key, certificate, ca = self._files.paths
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        # The CA of these files may be one that another CA has signed; gRPC takes it in the same way.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(ca)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        context.num_tickets = 0  # every connection shows its certificate anew
        return context


def peer_pem(transport: asyncio.BaseTransport) -> bytes:
    """The certificate of a connection's client, verified by TLS. Raises ConnectionResetError when it has gone."""
    connection = transport.get_extra_info("ssl_object")
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    if not der:
        raise ConnectionResetError("the client has gone")
    return ssl.DER_cert_to_PEM_cert(der).encode()

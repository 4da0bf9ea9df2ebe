"""The server's key and certificate, and the CA of its clients: read again when 'jobletd setup' has made others."""

from __future__ import annotations

import contextlib
import logging
import ssl
from pathlib import Path

import grpc

from .. import der
from ..errors import JobletError

log = logging.getLogger("joblet")

FILES = ("server.key", "server.crt", "ca.crt")

# id-ecPublicKey, RFC 5480: all keys are of this kind, and gRPC serves no Ed25519.
ELLIPTIC = "1.2.840.10045.2.1"

# Whether a certificate is good is for each client to say, its time (X509_VERIFY_PARAM_set_flags(3), ssl has no name for
# it) and all else, but for whose it is (X509_STORE_CTX_get_error(3)): one that this CA did not issue is of no use.
NO_CHECK_TIME = 0x200000
NOT_ISSUED = frozenset({2, 7, 18, 19, 20, 21, 29, 30, 31})


class KeyFiles:
    """The files of ``directory``, key, certificate and CA."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.paths = tuple(directory / name for name in FILES)

    def signature(self) -> tuple[object, ...]:
        """Another one whenever the files are others."""
        try:
            found = [path.stat() for path in self.paths]
        except OSError as error:
            return (error.errno,)
        return tuple((status.st_ino, status.st_mtime_ns, status.st_ctime_ns) for status in found)

    def load(self) -> tuple[bytes, bytes, bytes]:
        """What is in them. Raises JobletError when they are not there or do not belong together."""
        seen = self.signature()
        key, certificate, ca = (self._read(path) for path in self.paths)
        try:
            _try(*self.paths)
        except ssl.SSLError as error:
            known = (getattr(error, name, None) for name in ("verify_message", "reason"))
            why = next(filter(None, known), "one of them is no PEM, or encrypted")
            raise self._unusable(f"they are no key, certificate and CA that belong together ({why})") from error
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        if _kind(certificate) != ELLIPTIC:
            raise self._unusable("the key is not an elliptic-curve key")
        if self.signature() != seen:
            raise self._unusable("they are being replaced")
        return key, certificate, ca

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise JobletError(f"{path} cannot be read: {error.strerror}.", hint="'jobletd setup' makes it.") from error

    def _unusable(self, why: str) -> JobletError:
        return JobletError(
            f"{', '.join(FILES)} in {self._directory} cannot be used: {why}.",
            hint="'jobletd setup' says what is amiss and makes what is missing.",
        )


def _try(key: Path, certificate: Path, ca: Path) -> None:
    """Shake hands as server and client of the files, in memory; raises ssl.SSLError unless they belong together."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key, password=_refuse)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= NO_CHECK_TIME | ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC, the CA may be one of another CA
    client.load_verify_locations(ca)
    for context in (server, client):  # whatever /etc/ssl/openssl.cnf has: there is a single round
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks, answers = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for end in (asks, answers):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    try:
        asks.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in NOT_ISSUED:
            raise


def _refuse() -> bytes:
    """Instead of a question on the terminal."""
    raise ssl.SSLError("the key is encrypted")


def _kind(certificate: bytes) -> str:
    """Of the certificate's key, its OBJECT IDENTIFIER; none if the certificate is unreadable to us."""
    try:
        algorithm, _ = der.items(der.signed(certificate).key)
        return der.identifier(der.items(algorithm)[0])
    except der.UNREADABLE:
        return ""


class Keys:
    """The files of ``directory`` as gRPC wants them. Raises JobletError when they are not there or do not match.

    Bytes are kept, no object of gRPC's: as long as there is one of those, so are gRPC's threads.
    """

    def __init__(self, directory: Path) -> None:
        self._files = KeyFiles(directory)
        self._seen = self._files.signature()
        self._newest = self._files.load()

    def credentials(self) -> grpc.ServerCredentials:
        """What a server needs to present and to demand certificates, the newest for every connection."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(*self._newest),
            self._changed,  # type: ignore[arg-type] # None is as good, and saves making the same again
            require_client_authentication=True,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC, in a thread of its own, before every handshake; None keeps what there is."""
        seen = self._files.signature()
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            self._newest = self._files.load()
        except JobletError as error:
            # In the middle of a setup, say. New files will be seen; those that fit are served until then.
            log.warning("the certificates have changed and cannot be used, so that the former ones are: %s", error)
            return None
        log.info("the server's certificate was read again")
        return _configuration(*self._newest)


def _configuration(key: bytes, certificate: bytes, ca: bytes) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)

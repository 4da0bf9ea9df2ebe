"""The server's key and certificate, and the CA of its clients: read again when 'jobletd setup' has made others."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc
from cryptography import x509

from .. import pki
from ..errors import JobletError

log = logging.getLogger("joblet")

FILES = ("server.key", "server.crt", "ca.crt")


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
        key, certificate, ca = (self._read(path) for path in self.paths)
        try:
            parsed, authority = (x509.load_pem_x509_certificate(pem) for pem in (certificate, ca))
            fits = pki.belongs(parsed, pki.parse_key(key)) and pki.issued_by(parsed, authority)
        except ValueError as error:
            raise self._unusable(str(error)) from error
        if not fits:
            raise self._unusable("key, certificate and CA do not belong together")
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

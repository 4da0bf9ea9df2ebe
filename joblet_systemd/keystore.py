"""The directory /etc/joblet/pki: files that are there whole or not at all, and the CA among them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from . import pki
from .errors import JobletError, WrongState
from .pki import Credential


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make ``directory`` unless it is there, and keep every other setup out of it."""
    make_directory(directory, 0o755)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int) -> None:
    """Make the directory ``path`` with ``mode``, whatever the umask, unless it is there."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    except OSError as error:
        raise JobletError(f"The directory {path} cannot be made: {error.strerror}.") from error
    path.chmod(mode)


def write(path: Path, content: bytes, mode: int) -> None:
    """Make the file ``path``, or replace it: whole and on disk on return, never in part before.

    Raises JobletError when that fails.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)  # of a run that was killed
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        temporary.rename(path)
        # The new name is on disk only when its directory is; fsync(2).
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise JobletError(f"{path} cannot be written: {error.strerror}.") from error


def read_certificate(path: Path) -> x509.Certificate | None:
    """The certificate in ``path``, ``None`` if there is no such file; JobletError for anything else."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unusable(path, "certificate", error) from error


def read_key(path: Path) -> ec.EllipticCurvePrivateKey | None:
    """The private key in ``path``, ``None`` if there is no such file; JobletError for anything else."""
    try:
        return pki.parse_key(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unusable(path, "EC private key", error) from error


def _unusable(path: Path, what: str, error: Exception) -> JobletError:
    return JobletError(
        f"{path} cannot be used as {what}: {error}",
        hint="Bring the right file back; or move it away, and 'jobletd setup' makes another.",
    )


def signer(directory: Path, purpose: object) -> Credential:
    """The CA of ``directory``, to sign ``purpose`` with.

    Its key may be absent, since an administrator can keep it elsewhere once all is set up: WrongState.
    """
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    certificate, key = read_certificate(certificate_file), read_key(key_file)
    if certificate is None:
        raise WrongState(f"There is no {certificate_file}.", hint="Run 'jobletd setup' first.")
    if key is None:
        raise WrongState(
            f"{purpose} must be signed with the CA's key, and {key_file} is not there.",
            hint="Bring the key back for this command.",
        )
    if not pki.belongs(certificate, key):
        raise JobletError(
            f"{key_file} is not the key of {certificate_file}.",
            hint="Bring the right one back; or move both away and run 'jobletd setup' for a new CA,"
            " which every client then needs a new certificate from.",
        )
    return Credential(certificate, key)

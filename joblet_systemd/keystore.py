"""The keys and certificates in /etc/joblet/pki, the CA's among them."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from . import pki
from .errors import JobletError, WrongState
from .pki import Credential


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

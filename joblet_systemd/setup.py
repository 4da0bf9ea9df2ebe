"""``jobletd setup`` and ``jobletd cert issue``: the files of /etc/joblet.

Setup can be killed at any moment and run again: every file appears whole or not at all, what is there
is kept, what is missing is made from what is there, and ``joblet-config.yml`` comes last, so that its
presence says that all the rest has been made (``joblet-setup.service`` relies on it).
"""

from __future__ import annotations

import datetime
import enum
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from . import accounts, client_config, etcfiles, hostnames, keystore, pki, registry, revocations
from .client_config import Address, Node
from .config import CONFIG_FILE
from .errors import Denied, WrongState
from .identity import Identity, Role, check_name
from .revocations import Revocations

ETC = CONFIG_FILE.parent

RENEW_BEFORE = datetime.timedelta(days=30)

# The CA is signed anew, for the same key, while every client still has the time to get the new certificate
# of it the usual way, with its own next certificate. Until the old one ends, either of them will do.
RENEW_CA_BEFORE = datetime.timedelta(days=2 * pki.LEAF_DAYS)

# The node 'default' is the administrator's, as existing clients expect.
NODES = {"default": Role.ADMIN, "maintainer": Role.MAINTAINER, "developer": Role.DEVELOPER, "reader": Role.READER}

CONFIG_TEXT = """\
# The configuration of jobletd; see joblet-config.yml(5).
#
# The values in comments are the defaults. Files in joblet-config.d/*.yml are read after this one and
# win over it, key by key. Afterwards: systemctl restart joblet.service (running jobs do not notice).
version: "3.0"

jobs:
  # What becomes of a job with a limit that this host cannot enforce: refuse it, or warn and run it.
  #unenforced_limits: refuse

  # Seconds between a stop (SIGTERM) and the kill (SIGKILL).
  #stop_grace: 10

  # How many jobs systemd is asked to start at once.
  #starts_in_flight: 4

  # How many jobs may be at work at the same time; identities take turns.
  #max_running: 256

  # How many jobs of one identity may wait, for their time or their turn.
  #max_pending: 10000

  # A schedule's time that went by while the daemon was not there: run the job late, or skip that time.
  #missed_schedules: run

  # Seconds before the second attempt of a job with retries, doubled for each further one.
  #retry_delay: 10

  # Jobs that have ended are remembered for so many days, and so many of them at most.
  #keep_days: 30
  #keep_jobs: 100000

  # What is in /work can be downloaded for so long after the end of a job, then it is removed.
  #keep_files: 1 day

  # The size of /work of jobs that ask for no other, and the most that they may ask for.
  #work_size: 1GB
  #max_work_size: 100GB

  # All jobs together leave so much of the disk of /var/lib/joblet free, a tenth of it at most. When they take
  # more, the largest /work of the client that takes most is given up: files of an ended job, or a job.
  #keep_free: 1GB

  # How much of the journal a job may fill in a day; what it writes beyond is dropped, and readers are told.
  #max_log: 1GB
"""


class Outcome(enum.StrEnum):
    """What setup did about one thing."""

    MADE = "made"
    RENEWED = "renewed"
    KEPT = "kept"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of setup's report: a file or an account, what was done, and what is to be said of it."""

    subject: str
    outcome: Outcome
    note: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new client certificate with its configuration file."""

    identity: Identity
    serial: str
    expiry: datetime.datetime
    config: bytes
    steps: tuple[Step, ...]


def setup(
    address: Address | None = None, *, etc: Path = ETC, ensure_account: Callable[[Identity], bool] = accounts.ensure
) -> Iterator[Step]:
    """Complete what ``etc`` holds, yielding each step when it is done.

    ``address`` is where clients reach this host; it gets into the server's certificate and into a new
    client configuration. Raises JobletError when a file that is there is unusable or none can be made.
    """
    with etcfiles.locked(etc):
        yield from _complete_ca(etc / "pki")
        yield from _complete_server(etc / "pki", address)
        for identity in _identities().values():
            if identity.role.runs_jobs:
                yield _complete_account(identity, ensure_account)
        yield from _complete_clients(etc / "rnx-config.yml", etc / "pki", address or Address())
        yield _complete_config(etc / CONFIG_FILE.name)


def issue(
    identity: Identity,
    *,
    days: int = pki.LEAF_DAYS,
    address: Address | None = None,
    etc: Path = ETC,
    ensure_account: Callable[[Identity], bool] = accounts.ensure,
) -> Issued:
    """Make a certificate for ``identity``, and its account if it may run jobs.

    Without an ``address`` the client gets that of the default node in ``etc``/rnx-config.yml.
    Raises InvalidValue for a name that cannot be, WrongState before setup.
    """
    check_name(identity.name)
    ca = keystore.signer(etc / "pki", f"A certificate for {identity.name}")
    with etcfiles.locked(etc):
        credential = pki.client_credential(ca, identity, days=days)
        _refuse_revoked(etc / "pki", credential.certificate)
        steps = [_complete_account(identity, ensure_account)] if identity.role.runs_jobs else []
        registry.record(etc / "pki", credential.certificate)
    asked, address = address, address or _usual_address(etc / "rnx-config.yml")
    if asked is None and address.is_loopback:
        note = "is good on this host only: '--address HOST' is for a client that is elsewhere"
        steps.append(Step(f"address {address}", Outcome.WARNING, note))
    server_file = etc / "pki" / "server.crt"
    server = keystore.read_certificate(server_file)
    if server is not None and address.host not in pki.names_of(server):
        note = f"is not for {address.host}, which some clients insist on: run 'jobletd setup --address {address}'"
        steps.append(Step(str(server_file), Outcome.WARNING, note))
    config = client_config.render(address, ca.certificate, [Node("default", identity, credential)])
    certificate = credential.certificate
    return Issued(identity, pki.serial_of(certificate), pki.expiry(certificate), config, tuple(steps))


def _refuse_revoked(directory: Path, certificate: x509.Certificate) -> None:
    """A name is revoked up to a moment; a clock that was set back would issue what is revoked from the start."""
    leaf = pki.leaf(certificate)
    entry = revocations.read(directory / revocations.FILE).find(leaf)
    if entry is not None:
        raise WrongState(
            f"The certificates of {leaf.identity.name} are revoked up to {entry.revoked:%Y-%m-%d %H:%M:%S} UTC, "
            "which is not yet over by this host's clock.",
            hint="Is the clock right ('timedatectl')?",
        )


def write_new(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, readable to its owner only; WrongState if there is such a file."""
    refuse_existing(path)
    etcfiles.write(path, content, 0o600)


def refuse_existing(path: Path) -> None:
    """Raises WrongState if there is a file ``path``."""
    if path.exists():
        raise WrongState(f"{path} exists and is not overwritten.", hint="Name another file, or move it away.")


def _complete_ca(directory: Path) -> Iterator[Step]:
    """Make the CA's key and certificate unless there is a certificate: its key may be kept elsewhere."""
    etcfiles.make_directory(directory, 0o700)
    key_file, certificate_file = directory / "ca.key", directory / "ca.crt"
    old = keystore.read_certificate(certificate_file)
    if old is not None:
        yield _renewed_ca(directory, old)
        return
    key, step = _complete_key(key_file)
    yield step
    certificate = pki.self_sign(key)
    etcfiles.write(certificate_file, pki.certificate_pem(certificate), 0o644)
    yield Step(str(certificate_file), Outcome.MADE, _validity(certificate))


def _renewed_ca(directory: Path, old: x509.Certificate) -> Step:
    file = directory / "ca.crt"
    if pki.expiry(old) - revocations.now() > RENEW_CA_BEFORE:
        return Step(str(file), Outcome.KEPT)
    if not (directory / "ca.key").exists():
        return Step(str(file), Outcome.WARNING, f"{_validity(old)}; bring ca.key back and run 'jobletd setup' again")
    new = pki.self_sign(keystore.signer(directory, file).key)
    etcfiles.write(file, pki.certificate_pem(new), 0o644)
    note = f"the old one was {_validity(old)}; {_validity(new)}; clients get it with their next certificate"
    return Step(str(file), Outcome.RENEWED, note)


def _complete_server(directory: Path, address: Address | None) -> Iterator[Step]:
    """Make the server's key unless it is there, and its certificate unless one that will do is.

    The certificate alone is no secret, and clients know it by its CA and names only, so to sign
    another for the same key breaks nothing; that is done also when a name is to be added.
    """
    certificate_file = directory / "server.crt"
    ca = keystore.read_certificate(directory / "ca.crt")
    old = keystore.read_certificate(certificate_file)
    key, step = _complete_key(directory / "server.key")
    yield step

    host = hostnames.host_names()
    required = {"joblet", "localhost", "127.0.0.1", "::1"} | (host & {socket.gethostname()})
    if address is not None:
        required.add(address.host)
    if old is None:
        why = ""
    elif not pki.belongs(old, key) or ca is None or not pki.issued_by(old, ca):
        why = "the old one was of another key or CA; "
    elif pki.expiry(old) - revocations.now() < RENEW_CA_BEFORE and pki.expiry(ca) - pki.expiry(old) > RENEW_BEFORE:
        why = f"the old one was {_validity(old)}; "
    elif missing := required - pki.names_of(old):
        why = f"now for {', '.join(sorted(missing))} too; "
    else:
        yield Step(str(certificate_file), Outcome.KEPT)
        return
    # Names asked for earlier stay, whichever address is given this time.
    names = required | host | (pki.names_of(old) if old else set())
    signer = keystore.signer(directory, certificate_file)
    new = pki.server_certificate(signer, key, ["joblet", *sorted(names - {"joblet"})])
    etcfiles.write(certificate_file, pki.certificate_pem(new), 0o644)
    outcome = Outcome.RENEWED if old else Outcome.MADE
    yield Step(str(certificate_file), outcome, f"{why}{_validity(new)}")


def _complete_key(path: Path) -> tuple[ec.EllipticCurvePrivateKey, Step]:
    key = keystore.read_key(path)
    if key is not None:
        return key, Step(str(path), Outcome.KEPT)
    key = pki.new_key()
    etcfiles.write(path, pki.key_pem(key), 0o600)
    return key, Step(str(path), Outcome.MADE)


def _complete_config(path: Path) -> Step:
    if path.exists():
        return Step(str(path), Outcome.KEPT)
    etcfiles.write(path, CONFIG_TEXT.encode(), 0o644)
    return Step(str(path), Outcome.MADE)


def _complete_account(identity: Identity, ensure_account: Callable[[Identity], bool]) -> Step:
    made = ensure_account(identity)
    return Step(f"account {identity.account}", Outcome.MADE if made else Outcome.KEPT)


def _identities() -> dict[str, Identity]:
    return {node: Identity(str(role), role) for node, role in NODES.items()}


def _usual_address(clients: Path) -> Address:
    if not clients.exists():
        return Address()
    return client_config.address_of(client_config.read_nodes(clients).get("default", {})) or Address()


def _complete_clients(path: Path, directory: Path, address: Address) -> Iterator[Step]:
    """Make the client configuration of this host's administrators, a node per role, unless there is one."""
    if path.exists():
        yield Step(str(path), Outcome.KEPT)
        yield from _check_clients(path, directory)
        return
    ca = keystore.signer(directory, path)
    nodes = [Node(name, identity, pki.client_credential(ca, identity)) for name, identity in _identities().items()]
    for node in nodes:
        registry.record(directory, node.credential.certificate)
    etcfiles.write(path, client_config.render(address, ca.certificate, nodes), 0o600)
    yield Step(str(path), Outcome.MADE, f"nodes {', '.join(NODES)}, at {address}")


def _check_clients(path: Path, directory: Path) -> Iterator[Step]:
    """Warn of certificates in the file ``path`` that the server of this host refuses, or will soon."""
    ca = keystore.read_certificate(directory / "ca.crt")
    server = keystore.read_certificate(directory / "server.crt")
    assert ca is not None, "it is completed first"
    assert server is not None, "it is completed first"
    names = pki.names_of(server)
    revoked = revocations.read(directory / revocations.FILE)
    for name, node in client_config.read_nodes(path).items():
        if (address := client_config.address_of(node)) is None or address.host not in names:
            continue  # another host's
        problem = _problem(str(node.get("cert")).encode(), ca, revoked)
        if problem:
            note = f"its certificate {problem[0]}; {problem[1]}"
            yield Step(f"{path}: {name}", Outcome.WARNING, note)


def _problem(pem: bytes, ca: x509.Certificate, revoked: Revocations) -> tuple[str, str] | None:
    """What is wrong with a client's certificate, and what to do about it."""
    anew = "move the file away and run 'jobletd setup' for new ones"
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        leaf = pki.leaf(certificate)
    except ValueError:
        return "cannot be read", anew
    except Denied as error:
        return f"is no client's ({error.message})", anew
    if not pki.issued_by(certificate, ca):
        return "is of another CA", anew
    renew = "'jobletd cert renew --local' makes new ones"
    if revoked.find(leaf):
        return "is revoked", renew
    if leaf.end - revocations.now() < RENEW_BEFORE:
        return f"is only {_validity(certificate)}", renew
    return None


def _validity(certificate: x509.Certificate) -> str:
    return f"valid to {pki.expiry(certificate):%Y-%m-%d}"

"""The commands ``jobletd cert issue|list|revoke|renew``, and what they share with the others."""

# ruff: noqa: PLC0415 - cryptography takes a while to import, and --help and completion do without

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import audit
from .errors import JobletError
from .privilege import must_be_root

if TYPE_CHECKING:
    from .certificates import Row
    from .client_config import Address
    from .setup import Issued, Step

COLOURS = {"expiring": "yellow", "expired": "red", "revoked": "red"}
SHOWN_DIGITS = 12  # of a serial number; 8 are enough to name one

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
days_option = click.option(
    "--days", type=click.IntRange(1, 36500), default=365, show_default=True, help="How long it is valid."
)
address_option = click.option(
    "--address", metavar="HOST[:PORT]", help="Where this client reaches the host.  [default: as in rnx-config.yml]"
)
output_option = click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=str),
    default="-",
    help="The file to make, readable to its owner only.  [default: - (standard output)]",
)


@click.group()
def cert() -> None:
    """Certificates for clients."""


@cert.command("issue", short_help="Issue a client certificate.")
@click.argument("name")
@click.option("--role", required=True, metavar="ROLE", help="reader (or viewer), developer, maintainer or admin.")
@days_option
@address_option
@output_option
@json_option
def issue(name: str, role: str, days: int, address: str | None, output: str, as_json: bool) -> None:
    """Issue a certificate for the client NAME, as an rnx-config.yml with its key.

    Unless it is a reader's, the Unix account joblet-NAME is made too: NAME's jobs run as it.
    """
    must_be_root("cert issue")
    from . import setup
    from .identity import Identity, Role, check_name

    identity = Identity(check_name(name), Role.parse(role))
    reached, deliver = parse_address(address), _delivery(output)
    with audited("cert/issue") as done:
        issued = setup.issue(identity, days=days, address=reached)
        done(f"{name} {identity.role} {issued.serial}")
        deliver(issued.config)
    _report(issued, output, as_json)


@cert.command("list", short_help="List the certificates that were issued.")
@click.option("--expired", "wanted", flag_value="expired", help="Only those that have ended.")
@click.option("--revoked", "wanted", flag_value="revoked", help="Only those that were revoked.")
@json_option
def list_(wanted: str | None, as_json: bool) -> None:
    """List the client certificates that this host's CA has issued, and those in its own rnx-config.yml.

    What an older jobletd issued to others is not on record, and works all the same.
    """
    must_be_root("cert list")
    from . import certificates

    rows = [row for row in certificates.rows() if wanted is None or row.status == wanted]
    if as_json:
        click.echo(json.dumps([row.as_json() for row in rows], indent=2))
    else:
        _table(rows)


def _overlook(damage: JobletError) -> None:
    click.echo(f"jobletd: {damage.message} It is left out of what is on record.", err=True)


@cert.command("revoke", short_help="Shut clients out at once.")
@click.argument("which", metavar="NAME|SERIAL")
@click.option("--reason", default="", metavar="TEXT", help="Why; the client is told, too.")
@click.option("--unrecorded", is_flag=True, help="Also if none is on record: an older jobletd issued it.")
@json_option
def revoke(which: str, reason: str, unrecorded: bool, as_json: bool) -> None:
    """Revoke all certificates of the client NAME so far, or the one with the number SERIAL (8 digits will do).

    The daemon obeys at once: what the client asks for next is denied, what it follows ends within
    seconds. Its jobs go on.
    """
    must_be_root("cert revoke")
    from . import certificates

    with audited("cert/revoke") as done:
        revoked = certificates.revoke(
            which, reason=reason, by=audit.unix_user(), unrecorded=unrecorded, on_damage=_overlook
        )
        done(f"{revoked}{f': {reason}' if reason else ''}")
    if as_json:
        report = {
            "name": revoked.entry.name,
            "all": not revoked.entry.serial,
            "serials": [revoked.entry.serial] if revoked.entry.serial else [row.leaf.serial for row in revoked.known],
        }
        click.echo(json.dumps(report, indent=2))
    else:
        for row in revoked.known:
            who = row.leaf.identity
            click.echo(f"revoked {row.leaf.serial}: {who.name}, {who.role}, valid to {row.leaf.end:%Y-%m-%d}")
        if not revoked.entry.serial:
            click.echo(f"Every certificate that {revoked.entry.name} was issued until now is refused.")
        elif not revoked.known:
            click.echo(f"revoked {revoked.entry.serial}, which is not on record")
    if any(row.local for row in revoked.known):
        click.echo("rnx on this host used it; 'jobletd cert renew --local' makes new ones.", err=True)


@cert.command("renew", short_help="Issue a fresh certificate to a client.")
@click.argument("name", required=False)
@click.option("--local", is_flag=True, help="Those in /etc/joblet/rnx-config.yml, in place; without NAME.")
@click.option("--role", metavar="ROLE", help="Which, if NAME has certificates of several roles.")
@days_option
@address_option
@output_option
@click.option("--revoke-old", is_flag=True, help="Revoke what it replaces.")
@json_option
def renew(
    name: str | None,
    local: bool,
    role: str | None,
    days: int,
    address: str | None,
    output: str,
    revoke_old: bool,
    as_json: bool,
) -> None:
    """Issue a fresh certificate for the client NAME, with the role that it has, as an rnx-config.yml with its key.

    The old ones stay valid to their end, unless they are revoked.
    """
    must_be_root("cert renew")
    if local == (name is not None):
        raise click.UsageError("say either NAME or --local")
    from . import certificates
    from .identity import Role

    by = audit.unix_user()
    if name is None:
        if role or address or output != "-":
            raise click.UsageError("--local goes with --days, --revoke-old and --json only")
        with audited("cert/renew") as done:
            pairs = certificates.renew_local(revoke_old=revoke_old, by=by, days=days)
            done("local " + " ".join(f"{new.identity.name} {new.serial}" for _, new in pairs))
        if as_json:
            renewed = [{"name": new.identity.name, "old": old.serial, "serial": new.serial} for old, new in pairs]
            click.echo(json.dumps(renewed, indent=2))
        else:
            for _, new in pairs:
                click.echo(f"renewed {new.identity.name}, {new.identity.role}, valid to {new.end:%Y-%m-%d}")
        return
    wanted = None if role is None else Role.parse(role)
    reached, deliver = parse_address(address), _delivery(output)
    with audited("cert/renew") as done:
        result = certificates.renew(
            name,
            role=wanted,
            days=days,
            address=reached,
            deliver=deliver,
            revoke_old=revoke_old,
            by=by,
        )
        done(f"{name} {result.issued.identity.role} {result.issued.serial}")
    for leaf in result.revoked:
        click.echo(f"revoked {leaf.serial}, valid to {leaf.end:%Y-%m-%d}", err=True)
    _report(result.issued, output, as_json)


def parse_address(text: str | None) -> Address | None:
    """The value of ``--address``; raises InvalidValue."""
    from .client_config import Address

    return None if text is None else Address.parse(text)


def line(step: Step) -> str:
    """One step of setup, for people."""
    note = f": {step.note}" if step.note else ""
    return f"{step.outcome:8}{step.subject}{note}"


@contextlib.contextmanager
def audited(what: str) -> Iterator[Callable[[str], None]]:
    """Record what was done, if the block tells of anything, or that it failed."""
    audit.to_journal()
    told: list[str] = []
    try:
        yield told.append
    except BaseException as error:
        failure = str(error) if isinstance(error, JobletError) else type(error).__name__
        audit.record(audit.unix_user(), what, "", " ".join([*told, "failed:", failure]))
        raise
    if told:
        audit.record(audit.unix_user(), what, "", f"done: {' '.join(told)}")


def _delivery(output: str) -> Callable[[bytes], None]:
    """What puts a client configuration into the file ``output``; on standard output ``_report`` does."""
    from . import setup

    if output == "-":
        return lambda config: None
    path = Path(output)
    setup.refuse_existing(path)  # before anything is issued
    return lambda config: setup.write_new(path, config)


def _report(issued: Issued, output: str, as_json: bool) -> None:
    for step in issued.steps:
        click.echo(line(step), err=True)
    identity = issued.identity
    if as_json:
        report: dict[str, Any] = {
            "name": identity.name,
            "role": str(identity.role),
            "serial": issued.serial,
            "expires": issued.expiry.isoformat(timespec="seconds"),
        }
        report |= {"config": issued.config.decode()} if output == "-" else {"file": output}
        click.echo(json.dumps(report, indent=2))
    elif output == "-":
        click.echo(issued.config, nl=False)
    else:
        click.echo(f"{output}: {identity.name}, {identity.role}, valid to {issued.expiry:%Y-%m-%d}")


def _table(rows: Iterable[Row]) -> None:
    head = ("NAME", "ROLE", "SERIAL", "ISSUED", "EXPIRES", "STATUS", "REASON")
    cells = [head, *(_cells(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head) - 1)]
    colourful = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        status = row[5].partition(" ")[0]
        if colourful and status in COLOURS:
            padded[5] = click.style(padded[5], fg=COLOURS[status])
        click.echo("  ".join([*padded, row[-1]]).rstrip())


def _cells(row: Row) -> tuple[str, ...]:
    shown = row.as_json()
    status = f"revoked {shown['revoked'][:10]}" if shown["revoked"] else shown["status"]
    return (
        shown["name"],
        shown["role"],
        shown["serial"][:SHOWN_DIGITS],
        shown["issued"][:10],
        shown["expires"][:10],
        status,
        shown["reason"] or "-",
    )

"""The client's configuration file, ``rnx-config.yml``: written for a new client, read for a check."""

from __future__ import annotations

import ipaddress
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from . import pki
from .errors import InvalidValue, JobletError
from .identity import Identity

DEFAULT_PORT = 50051
MAX_PORT = 65535
HOST_PATTERN = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")
MAX_HOST = 253  # RFC 1035, 2.3.4, less the length bytes at either end


@dataclass(frozen=True, slots=True)
class Address:
    """Where clients reach the daemon: a host name or IP address, and a port."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    @property
    def is_loopback(self) -> bool:
        """Whether it leads from every machine to itself."""
        return self.host == "localhost" or (_is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """``HOST``, ``HOST:PORT``, ``[IPV6]`` or ``[IPV6]:PORT``; raises InvalidValue for others."""
        accepted = f"HOST or HOST:PORT, such as joblet.example.com:{DEFAULT_PORT} or [2001:db8::1]"
        if match := re.fullmatch(r"\[([^\]]*)\](?::([0-9]+))?", text):
            host, port = match.groups()
            valid = ":" in host and _is_ip(host)
        else:
            host, colon, number = text.partition(":")
            port = number if colon else None
            valid = _is_ip(host) or (HOST_PATTERN.fullmatch(host) is not None and len(host) <= MAX_HOST)
        if port is None:
            port = str(DEFAULT_PORT)
        if not valid or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) <= MAX_PORT:
            raise InvalidValue("address", text, accepted)
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class Node:
    """An entry of the file: a name, and the credential used under it."""

    name: str
    identity: Identity
    credential: pki.Credential


def render(address: Address, ca: x509.Certificate, nodes: Iterable[Node]) -> bytes:
    """The text of a configuration file; its first node is the default one."""
    parts = [HEADER]
    for number, node in enumerate(nodes):
        end = pki.expiry(node.credential.certificate)
        parts.append(
            f"  {node.name}:\n"
            f"    # {node.identity.name}, {node.identity.role}; valid to {end:%Y-%m-%d}\n"
            f'    address: "{address}"\n'
            + ("    isDefault: true\n" if number == 0 else "")
            + _block("cert", pki.certificate_pem(node.credential.certificate))
            + _block("key", pki.key_pem(node.credential.key))
            + _block("ca", pki.certificate_pem(ca))
        )
    return "".join(parts).encode()


HEADER = """\
# Joblet hosts, and the certificates to reach them with; see rnx-config.yml(5).
# There are private keys in this file: whoever can read it can run jobs.
version: "3.0"
nodes:
"""


def _block(key: str, pem: bytes) -> str:
    return f"    {key}: |\n" + textwrap.indent(pem.decode("ascii"), "      ")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a scope means something on this host only


def read_nodes(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """The nodes of an existing file, by name. Raises JobletError when it cannot be read or has none."""
    try:
        document = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise JobletError(f"{path} cannot be read: {error}") from error
    nodes: Any = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
        raise JobletError(f"{path} is not a client configuration: 'nodes' must map names to keys and values.")
    return nodes


def address_of(node: Mapping[str, Any]) -> Address | None:
    """The address in a node of an existing file, ``None`` if there is none that can be read."""
    try:
        return Address.parse(str(node.get("address")))
    except InvalidValue:
        return None


def replaced(text: str, path: Path, old: x509.Certificate, new: pki.Credential, ca: x509.Certificate) -> str:
    """The text of the file ``path`` with another credential, and this ``ca``, in every node that has ``old``.

    All else stays as it is, comments too. Raises JobletError where the file is not laid out as ``render`` does.
    """
    before = yaml.safe_load(text)
    wanted = yaml.safe_load(text)
    for name, node in before["nodes"].items():
        if _same(node.get("cert"), old):
            fresh = {
                "cert": pki.certificate_pem(new.certificate).decode(),
                "key": pki.key_pem(new.key).decode(),
                "ca": pki.certificate_pem(ca).decode(),
            }
            wanted["nodes"][name] |= fresh
            for key, pem in fresh.items():
                text = _swapped(text, str(node.get(key)), pem)
    end = f"{pki.expiry(new.certificate):%Y-%m-%d}"
    leaf = pki.leaf(new.certificate)
    comment = re.escape(f"# {leaf.identity.name}, {leaf.identity.role}; valid to ")
    text = re.sub(rf"(?m)^( *{comment})\d{{4}}-\d\d-\d\d$", rf"\g<1>{end}", text)
    if yaml.safe_load(text) != wanted:
        raise JobletError(
            f"{path} is not laid out as 'jobletd setup' writes it, so that no certificate in it can be renewed.",
            hint="Move it away, run 'jobletd setup', and put back into the new file what you had added.",
        )
    return text


def _same(pem: Any, certificate: x509.Certificate) -> bool:
    try:
        return x509.load_pem_x509_certificate(str(pem).encode()) == certificate
    except ValueError:
        return False


def _swapped(text: str, old: str, new: str) -> str:
    """``text`` with the PEM ``new`` where ``old`` stands, indented as that is."""
    lines = [re.escape(line) for line in old.strip().splitlines()]
    pattern = "(?m)^(?P<indent> *)" + "\n(?P=indent)".join(lines) + "$"
    return re.sub(pattern, lambda found: textwrap.indent(new.strip(), found["indent"]), text) if lines else text

"""The configuration file: where it is looked for, and the nodes in it."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from typing import Any

import yaml

from . import output
from .errors import USAGE, RnxError

FILE = "rnx-config.yml"
SYSTEM_DIRECTORIES = ("/etc/joblet", "/opt/joblet/config")
SERVER_NAME = "joblet"  # in the certificate of every node
GATEWAY_PORT = 50052
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]+):([0-9]{1,5})")


@dataclass(frozen=True)
class Node:
    """One node of the file; ``cert``, ``key`` and ``ca`` are PEM text, empty where the file has none.

    ``gateway`` is where its HTTP interface is reached, empty for the host of ``address`` with the usual port.
    """

    name: str
    address: str
    cert: str
    key: str
    ca: str
    node_id: str
    is_default: bool
    gateway: str = ""

    @property
    def reached_at(self) -> tuple[str, int]:
        """Host and port of the address, for a socket."""
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def is_loopback(self) -> bool:
        """Whether the address is this machine's own."""
        host, _ = self.reached_at
        return host in ("localhost", "::1") or host.startswith("127.")

    def at_gateway(self) -> Node:
        """The same node as reached by HTTP. Raises ConfigError when the file says nonsense about that."""
        if not self.gateway:
            return replace(self, address=f"{self.address.rpartition(':')[0]}:{GATEWAY_PORT}")
        if not ADDRESS.fullmatch(self.gateway):
            raise ConfigError(
                f"the gateway of node '{self.name}', '{self.gateway}', is not accepted; expected host:port."
            )
        return replace(self, address=self.gateway)


@dataclass(frozen=True)
class Config:
    """A file and its nodes, in its order."""

    path: str
    nodes: dict[str, Node]

    def default_name(self) -> str | None:
        """The node that is used without --node, or None when the file does not tell."""
        marked = [node.name for node in self.nodes.values() if node.is_default]
        if len(marked) > 1:
            raise ConfigError(f"{self.path}: several nodes have isDefault: {', '.join(marked)}. Keep one.")
        if marked:
            return marked[0]
        if "default" in self.nodes:
            return "default"
        return next(iter(self.nodes)) if len(self.nodes) == 1 else None

    def chosen_name(self, name: str | None) -> str | None:
        """That of the node called ``name``, which must be there; as ``default_name`` without one."""
        if name and name not in self.nodes:
            raise ConfigError(f"{self.path} has no node '{name}'; it has: {', '.join(self.nodes)}.")
        return name or self.default_name()

    def select(self, name: str | None) -> Node:
        """The node called ``name``, or the default one, with all that is needed to talk to it."""
        chosen = self.chosen_name(name)
        if chosen is None:
            known = ", ".join(self.nodes)
            raise ConfigError(f"{self.path} has several nodes and no default; say --node NAME, one of: {known}.")
        node = self.nodes[chosen]
        if not ADDRESS.fullmatch(node.address):
            raise ConfigError(
                f"{self.path}: the address of node '{chosen}', '{node.address}', is not accepted; expected host:port."
            )
        for field in ("cert", "key", "ca"):
            if "-----BEGIN" not in getattr(node, field):
                raise ConfigError(f"{self.path}: node '{chosen}' has no {field} in PEM form (-----BEGIN ...).")
        return node


class ConfigError(RnxError):
    """The configuration cannot be used; nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, USAGE)


def candidates(given: str | None = None) -> list[str]:
    """The files of which the first that exists is used; only the one that is ``given``, or in ``$RNX_CONFIG``."""
    given = given or os.environ.get("RNX_CONFIG")
    if given:
        return [given]
    directories = ["", "config", os.path.join(os.path.expanduser("~"), ".rnx"), *SYSTEM_DIRECTORIES]
    return [os.path.join(directory, FILE) for directory in directories]


def find(given: str | None = None) -> str | None:
    """The first of the candidates that is there, readable or not."""
    for path in candidates(given):
        try:
            os.stat(path)
        except PermissionError:
            return path  # to be refused with the reason, not passed over for another identity
        except OSError:
            continue
        return path
    return None


def load(given: str | None) -> Config:
    """The configuration of the file ``given``, or of the one that is found."""
    path = given or find()
    if path is None:
        tried = ", ".join(candidates())
        if os.environ.get("RNX_CONFIG"):
            raise ConfigError(f"cannot read {tried}, which is what RNX_CONFIG in the environment names: not there.")
        raise ConfigError(
            f"no configuration file found; tried {tried}. 'rnx config-help' tells how to get one, and what is in it."
        )
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except PermissionError:
        raise ConfigError(
            f"{path} may not be read by this user; it holds a private key. Run rnx as root, or have the node's"
            f" administrator make you a file of your own, to be ~/.rnx/{FILE}: 'jobletd cert issue NAME --role ROLE'."
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}.") from None
    config = Config(path, _nodes(path, text))
    if mode & stat.S_IROTH and any(node.key for node in config.nodes.values()):
        output.note(f"{path} holds a private key and everyone on this machine may read it; chmod 600 mends that.")
    return config


def _nodes(path: str, text: bytes) -> dict[str, Node]:
    try:
        # The loader in C is ten times as fast; not every build of PyYAML has it.
        document = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        # The message itself may quote the lines around, and those may be a key.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "no valid text"
        raise ConfigError(f"{path}{where}: not valid YAML: {problem}.") from None
    except Exception as error:
        # What the constructors of PyYAML stumble over, they let through: ValueError, KeyError, RecursionError ...
        raise ConfigError(f"{path}: a value in it is not what its form says: {error}.") from None
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, dict) or not nodes:
        raise ConfigError(f"{path} names no nodes. 'rnx config-help' tells what goes into it.")
    return {str(name): _node(path, str(name), fields) for name, fields in nodes.items()}


def _node(path: str, name: str, fields: Any) -> Node:
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}: node '{name}' is not a map of address, cert, key and ca.")
    texts = {field: fields.get(field) or "" for field in ("address", "cert", "key", "ca", "gateway")}
    for field, value in texts.items():
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {field} of node '{name}' is not text.")
    default = fields.get("isDefault") or False
    if not isinstance(default, bool):
        raise ConfigError(f"{path}: isDefault of node '{name}' is neither true nor false.")
    return Node(name, **texts, node_id=str(fields.get("nodeId") or ""), is_default=default)

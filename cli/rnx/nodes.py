"""``rnx nodes`` and ``rnx config-help``: the configuration file, seen from outside."""

from __future__ import annotations

import os

import click

from . import config, output
from .command import Command, Settings, pass_settings

EXAMPLE = """\
version: "3.0"
nodes:
  default:                        # used without --node
    address: "build1.example.org:50051"
    cert: |
      -----BEGIN CERTIFICATE-----
      ...
    key: |
      -----BEGIN PRIVATE KEY-----
      ...
    ca: |
      -----BEGIN CERTIFICATE-----
      ...
  gpu:                            # rnx --node gpu ...
    address: "10.0.0.7:50051"
    isDefault: false              # true makes it the one used without --node
    cert: ...
"""


@click.command("nodes", cls=Command)
@pass_settings
def nodes(settings: Settings) -> None:
    """List the nodes of the configuration file."""
    found = config.load(settings.config)
    chosen = found.chosen_name(settings.node)
    if settings.json:
        output.print_json(
            [
                {"name": node.name, "address": node.address, "node_id": node.node_id, "default": node.name == chosen}
                for node in found.nodes.values()
            ]
        )
        return
    rows = [
        (node.name, node.address, node.node_id, "yes" if node.name == chosen else "") for node in found.nodes.values()
    ]
    output.table(("NAME", "ADDRESS", "NODE ID", "DEFAULT"), rows)


@click.command("config-help", cls=Command)
@pass_settings
def config_help(settings: Settings) -> None:
    """Explain the configuration file, and show which is used."""
    used, candidates = config.find(settings.config), config.candidates(settings.config)
    if settings.json:
        output.print_json({"used": used, "tried": candidates})
        return
    print("rnx reads its nodes and keys from the first of these files that exists:\n")
    for path in candidates:
        print(f"  {path}{_remark(path) if path == used else ''}")
    if used is None:
        print("\nThere is none of them.")
    print(
        "\n$RNX_CONFIG names one file instead of these, and --config FILE comes before all."
        "\n\nOn the node, 'jobletd setup' makes /etc/joblet/rnx-config.yml, for root alone: it may do everything."
        "\nFor everybody else, 'jobletd cert issue NAME --role ROLE --address HOST --output FILE' makes a file there,"
        "\nwhich becomes ~/.rnx/rnx-config.yml of NAME, readable by that user alone."
        "\n\nThe node used is the one --node names, else the one with 'isDefault: true', else the one called"
        "\n'default', else the only one. An example:\n"
    )
    print(EXAMPLE, end="")


def _remark(used: str) -> str:
    readable = os.access(used, os.R_OK, effective_ids=True)
    return f"   <- used{'' if readable else ', but may not be read by this user'}"

"""``rnx nodes`` and ``rnx config-help``: the configuration file, seen from outside."""

from __future__ import annotations

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
    chosen = settings.node or found.default_name()
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
    """Explain the configuration file, and show which one is used here."""
    used, candidates = config.find(settings.config), config.candidates(settings.config)
    if settings.json:
        output.print_json({"used": used, "tried": candidates})
        return
    print("rnx reads its nodes and keys from the first of these files that exists:\n")
    for path in candidates:
        print(f"  {path}{'   <- used' if path == used else ''}")
    print(
        "\n$RNX_CONFIG names one file instead of these, and --config FILE comes before all."
        "\n\nOn the node, 'jobletd setup' writes one to /etc/joblet/rnx-config.yml; copy it to ~/.rnx/ of whoever"
        "\nshall run jobs, readable by that user alone. 'jobletd cert issue NAME --role ROLE' makes keys for others."
        "\n\nThe node used is the one --node names, else the one with 'isDefault: true', else the one called"
        "\n'default', else the only one. An example:\n"
    )
    print(EXAMPLE, end="")

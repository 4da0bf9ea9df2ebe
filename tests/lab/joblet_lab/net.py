"""A host's network: one link to the machine, a /30 of its own, and a way out through a firewall table of its own."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .base import MACHINE_LOCK, LabError, locked, run

POOL = ipaddress.IPv4Network(os.environ.get("JOBLET_LAB_SUBNET", "10.213.0.0/16"))
LINK_PREFIX = "jlab"  # with the eight digits of a host's id, below IFNAMSIZ (15)
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
FORWARDING_WAS_OFF = Path("/run/joblet-lab.ip_forward-was-off")


@dataclass(frozen=True)
class Network:
    """Addresses of the two ends of a host's link."""

    address: str
    gateway: str
    prefix: int = 30


def link_name(ident: str) -> str:
    """Name of the machine's end of a host's link."""
    return f"{LINK_PREFIX}{ident}"


def table_name(ident: str) -> str:
    """Name of the nftables table that is this host's alone."""
    return f"joblet_lab_{ident}"


def connect(ident: str, pid: int | None) -> Network:
    """Give a host its link: a veth pair into the network namespace of `pid`, or a tap device for a virtual machine."""
    link = link_name(ident)
    with locked(MACHINE_LOCK, "the network"):
        network = _free_subnet()
        if pid is None:
            run(["ip", "tuntap", "add", "dev", link, "mode", "tap"], fix="the kernel needs CONFIG_TUN and /dev/net/tun")
        else:
            run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(pid)])
        mtu = outer_mtu()
        _ip(
            f"addr add {network.gateway}/{network.prefix} dev {link}",
            f"link set {link} mtu {mtu} up",
        )
        if pid is not None:
            _ip(
                f"link set eth0 mtu {mtu}",
                f"addr add {network.address}/{network.prefix} dev eth0",
                "link set lo up",
                "link set eth0 up",
                f"route add default via {network.gateway}",
                namespace_of=pid,
            )
        _masquerade(ident, network)
        if FORWARDING.read_text().strip() == "0":
            FORWARDING_WAS_OFF.touch()
            FORWARDING.write_text("1\n")
    return network


def disconnect(ident: str) -> None:
    """Remove a host's link and table; with the last host the machine stops forwarding, if it did not before."""
    with locked(MACHINE_LOCK, "the network"):
        run(["ip", "link", "delete", link_name(ident)], check=False)
        table = table_name(ident)
        run(["nft", "-f", "-"], stdin=f"add table ip {table}\ndelete table ip {table}\n", check=False)
        if FORWARDING_WAS_OFF.exists() and not any(Path("/sys/class/net").glob(f"{LINK_PREFIX}????????")):
            FORWARDING.write_text("0\n")
            FORWARDING_WAS_OFF.unlink()


def _ip(*commands: str, namespace_of: int | None = None) -> None:
    enter = ["nsenter", f"--net=/proc/{namespace_of}/ns/net"] if namespace_of else []
    run([*enter, "ip", "-batch", "-"], stdin="\n".join(commands) + "\n")


def _free_subnet() -> Network:
    taken: list[ipaddress.IPv4Network] = []
    for link in json.loads(run(["ip", "-json", "-4", "addr"]).stdout or "[]"):
        for entry in link["addr_info"]:
            taken.append(ipaddress.IPv4Network(f"{entry['local']}/{entry['prefixlen']}", strict=False))
    for route in json.loads(run(["ip", "-json", "-4", "route"]).stdout or "[]"):
        with contextlib.suppress(ValueError):  # "default"
            taken.append(ipaddress.IPv4Network(route["dst"]))
    for subnet in POOL.subnets(new_prefix=30):
        if not any(subnet.overlaps(other) for other in taken):
            gateway, address = subnet.hosts()
            return Network(str(address), str(gateway))
    raise LabError(f"no free subnet in {POOL}: take hosts down, or set JOBLET_LAB_SUBNET to another network")


def outer_mtu() -> int:
    """Return the MTU towards the outside: larger packets from a host would have to be fragmented or get lost."""
    for route in json.loads(run(["ip", "-json", "-4", "route", "show", "default"]).stdout or "[]"):
        with contextlib.suppress(OSError, KeyError, ValueError):
            return int(Path(f"/sys/class/net/{route['dev']}/mtu").read_text())
    return 1500


def _masquerade(ident: str, network: Network) -> None:
    table = f"""
        table ip {table_name(ident)} {{
            chain out {{
                type nat hook postrouting priority srcnat
                ip saddr {network.address} oifname != "{link_name(ident)}" masquerade
            }}
        }}
    """
    run(["nft", "-f", "-"], stdin=table, fix="the kernel needs nftables with NAT")

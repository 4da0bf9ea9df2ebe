"""In which cloud this host is, by what its firmware says of itself (DMI): no network is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

DMI = Path("/sys/class/dmi/id")
HYPERVISOR = Path("/sys/hypervisor/type")
# The provider, by words in what the firmware calls vendor and product.
PROVIDERS = (
    ("amazon ec2", "aws"),
    ("google compute engine", "gcp"),
    ("digitalocean", "digitalocean"),
    ("hetzner", "hetzner"),
    ("alibaba cloud", "alibaba"),
    ("scaleway", "scaleway"),
    ("oraclecloud", "oracle"),
    ("openstack", "openstack"),
)
AZURE_CHASSIS = "7783-7084-3265-9085-8269-3286-77"  # of every virtual machine there
HYPERVISORS = (
    ("qemu", "kvm"),
    ("kvm", "kvm"),
    ("amazon ec2", "kvm"),
    ("google", "kvm"),
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("microsoft corporation", "hyper-v"),
    ("xen", "xen"),
)
LONGEST = 100


def read(dmi: Path = DMI, hypervisor: Path = HYPERVISOR) -> Mapping[str, str]:
    """The fields of CloudInfo that are known; those of a region are not, since only the network tells."""

    def fact(name: str) -> str:
        return content(dmi / name)

    words = " ".join(map(fact, ("sys_vendor", "product_name", "bios_vendor", "chassis_asset_tag"))).lower()
    provider = next((name for sign, name in PROVIDERS if sign in words), "")
    if AZURE_CHASSIS in words:
        provider = "azure"
    found = {
        "provider": provider,
        "hypervisor_type": content(hypervisor) or next((name for sign, name in HYPERVISORS if sign in words), ""),
    }
    if provider == "aws":
        found |= {"instance_id": fact("board_asset_tag"), "instance_type": fact("product_name")}
    elif provider:
        found["instance_id"] = fact("product_serial")
    return {key: value for key, value in found.items() if value}


def content(path: Path) -> str:
    """A file's line, shortened; empty when it is not there or not for us."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "".join(character for character in text if character.isprintable()).strip()[:LONGEST]

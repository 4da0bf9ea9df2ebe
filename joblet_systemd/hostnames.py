"""The names and addresses of this host, for the server's certificate."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from pathlib import Path

SIOCGIFADDR = 0x8915  # netdevice(7), linux/sockios.h
IPV6_ADDR_GLOBAL, IPV6_ADDR_LOOPBACK = 0x00, 0x10  # the scopes in /proc/net/if_inet6, net/ipv6.h


def host_names() -> set[str]:
    """The names and addresses that this host knows itself by, without asking the network.

    The qualified name is that of /etc/hosts, as with 'hostname --fqdn' on Debian: asking DNS would hold up
    the first boot of a host that has none yet.
    """
    own = socket.gethostname()
    names = {own}
    with contextlib.suppress(OSError):
        for line in Path("/etc/hosts").read_text(encoding="utf-8", errors="replace").splitlines():
            _, *words = line.partition("#")[0].split() or [""]
            if own in words:
                names.update(words)
    # A certificate can hold ASCII only; the kernel and /etc/hosts take anything.
    return {name for name in names if name.isascii()} | _addresses()


def _addresses() -> set[str]:
    """The host's addresses but for link-local ones, the first IPv4 one of each interface."""
    found: set[str] = set()
    with contextlib.suppress(OSError):  # there is no such file where IPv6 is off
        for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
            digits, _, _, scope, *_ = line.split()
            if int(scope, 16) in (IPV6_ADDR_GLOBAL, IPV6_ADDR_LOOPBACK):
                found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as query:
        for _, interface in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                reply = fcntl.ioctl(query, SIOCGIFADDR, struct.pack("256s", interface.encode()))
                found.add(socket.inet_ntoa(reply[20:24]))  # netdevice(7): ifr_name, then a sockaddr_in
    return found

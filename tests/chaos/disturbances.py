"""What is done to a host while jobs run, all of it inside that host.

The disk that is filled is one of the host's own, in a file; the clock is moved in a virtual machine only, as
containers have that of this machine.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from hosts import Host, until

STATE = "/var/lib/joblet"
DISK = "/var/chaos.img"
DISK_SIZE = "1500M"
BALLAST = f"{STATE}/ballast"

# The daemon's directory on a file system of its own, which can be full without the machine being so.
PREPARE = f"""
systemctl stop joblet.socket joblet.service
truncate --size={DISK_SIZE} {DISK}
mkfs.ext4 -q -m 0 {DISK}
mkdir /var/chaos
cp -a {STATE}/. /var/chaos
mount -o loop {DISK} {STATE}
rmdir {STATE}/lost+found
cp -a /var/chaos/. {STATE}
chmod 700 {STATE}
rm -r /var/chaos
systemctl start joblet.socket joblet.service
"""
# Two passes: the second takes what the first could not get in one piece.
FILL = f"""
free() {{ df --output=avail -B1 {STATE} | tail -n 1; }}
fallocate --length=$(free) {BALLAST} || :
for _ in 1 2 3; do
    left=$(free)
    [ "$left" -gt 4096 ] || break
    head -c "$left" /dev/zero >>{BALLAST} 2>/dev/null || :
done
"""


@dataclass(frozen=True)
class Disturbance:
    """Something to do ``at_sec`` after the beginning; ``seconds`` is how long it lasts, ``amount`` how much it is."""

    at_sec: float
    what: str
    seconds: float = 0.0
    amount: int = 0


def timeline(seed: int, kills: int, seconds: float, *, clock: bool) -> list[Disturbance]:
    """What comes when: ``kills`` of the daemon within ``seconds``, the other things less often; in order."""
    draw = random.Random(f"{seed}/disturbances")
    found = [Disturbance(draw.uniform(0, seconds), "kill the daemon") for _ in range(kills)]
    few = max(1, kills // 6)
    for what in ("kill the bus", "restart the bus", "restart the daemon", "re-execute PID 1", "reload PID 1"):
        found += [Disturbance(draw.uniform(0, seconds), what) for _ in range(few)]
    # One after the other, each with an end of its own.
    span = seconds / few
    for number in range(few):
        start = number * span + draw.uniform(0.1, 0.5) * span
        found.append(Disturbance(start, "fill the disk", seconds=draw.uniform(0.15, 0.3) * span))
    if clock:
        for number, amount in enumerate((300, -7, -4 * 3600, 600)):
            found.append(Disturbance((number + draw.uniform(0.3, 0.7)) * seconds / 4, "move the clock", amount=amount))
    return sorted(found, key=lambda disturbance: disturbance.at_sec)


def prepare(host: Host, *, clock: bool) -> None:
    """Give the host what the disturbances need."""
    host.exec("sh", "-ec", PREPARE)
    if clock:
        # Its certificates are valid from its first boot on: there must be room to set the clock back.
        _move_clock(host, Disturbance(0, "move the clock", amount=6 * 3600))


def do(host: Host, disturbance: Disturbance) -> None:
    """Do it; returns when it is over."""
    _ACTIONS[disturbance.what](host, disturbance)


def calm(host: Host) -> None:
    """Whatever was going on: there is space on the disk, and the daemon runs or will in a moment."""
    host.exec("rm", "-f", BALLAST)
    # PID 1 answers nobody while it re-executes itself.
    until(lambda: host.exec("systemctl", "start", "joblet.socket", check=False).returncode == 0)


def _kill_daemon(host: Host, _: Disturbance) -> None:
    # It may be dead already, between two lives; then nothing is there to be killed.
    host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "joblet.service", check=False)


def _restart_daemon(host: Host, _: Disturbance) -> None:
    # Its failure to come up, on a full disk for one, is seen by what becomes of the jobs.
    host.exec("systemctl", "restart", "joblet.service", check=False)


def _kill_bus(host: Host, _: Disturbance) -> None:
    host.exec("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "dbus.service", check=False)


def _restart_bus(host: Host, _: Disturbance) -> None:
    host.exec("systemctl", "restart", "dbus.service", check=False)


def _reexecute(host: Host, _: Disturbance) -> None:
    host.exec("systemctl", "daemon-reexec", check=False)


def _reload(host: Host, _: Disturbance) -> None:
    host.exec("systemctl", "daemon-reload", check=False)


def _fill_disk(host: Host, disturbance: Disturbance) -> None:
    host.exec("sh", "-c", FILL)
    time.sleep(disturbance.seconds)
    host.exec("rm", "-f", BALLAST)


def _move_clock(host: Host, disturbance: Disturbance) -> None:
    kind = host.exec("systemd-detect-virt").stdout.strip()
    assert kind in ("kvm", "qemu"), f"{host.name} ({kind}) has no clock of its own"
    host.exec("date", "--set", f"{disturbance.amount} seconds")


_ACTIONS: dict[str, Callable[[Host, Disturbance], None]] = {
    "kill the daemon": _kill_daemon,
    "restart the daemon": _restart_daemon,
    "kill the bus": _kill_bus,
    "restart the bus": _restart_bus,
    "re-execute PID 1": _reexecute,
    "reload PID 1": _reload,
    "fill the disk": _fill_disk,
    "move the clock": _move_clock,
}

"""What the daemon tells PID 1 about itself, and the sockets PID 1 hands to it (sd_notify(3), sd_listen_fds(3))."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from systemd import daemon


def ready() -> None:
    """The service is up."""
    daemon.notify("READY=1")


def stopping() -> None:
    """The service is on its way down."""
    daemon.notify("STOPPING=1")


def status(text: str) -> None:
    """The line that ``systemctl status`` shows."""
    daemon.notify(f"STATUS={text}")


async def feed_watchdog(chore: Callable[[], None]) -> None:
    """Tell PID 1 twice per WatchdogSec= that the event loop runs; returns at once without a watchdog.

    A short ``chore`` is done then as well, for which the process need not wake up another time.
    """
    usec = os.environ.get("WATCHDOG_USEC", "")
    if not usec.isdecimal() or int(usec) == 0:
        return
    while True:
        daemon.notify("WATCHDOG=1")
        chore()
        await asyncio.sleep(int(usec) / 2_000_000)


def listening_sockets() -> dict[str, list[socket.socket]]:
    """The sockets handed over by the names that their units give them (FileDescriptorName= in systemd.socket(5)).

    Empty when the daemon was not started by socket activation.
    """
    found: dict[str, list[socket.socket]] = {}
    for fd, name in daemon.listen_fds_with_names(unset_environment=True).items():
        found.setdefault(name, []).append(socket.socket(fileno=fd))
    return found

"""The lab's commands."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from . import client, container, vm
from .base import HOSTS, IMAGES, LAB_DIR, ROOTS, Interrupted, LabError, locked, remove_tree, say, step, tail
from .host import Host, check_name, down, load, load_all, mounted_from, running, teardown
from .machine import (
    CONTAINER_TOOLS,
    LIMITS,
    VM_TOOLS,
    install_tools,
    missing_capabilities,
    missing_controllers,
    need_root,
)
from .roots import DEFAULT_SUITE, SUITES, Recipe, build_image, build_many, find_debs, image_key, prune_images

BOOT_SECONDS = {"container": 90.0, "vm": 600.0}
POLL_SECONDS = {"container": 0.1, "vm": 1.0}


def exec_argv(host: Host, argv: list[str], *, tty: bool = False) -> list[str]:
    """Return the command that runs `argv` as root inside a host of either kind."""
    if host.kind == "vm":
        return vm.exec_argv(host, argv, tty=tty)
    return container.exec_argv(host, argv)


def inside(host: Host, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command inside and return what it printed, whatever its exit code."""
    command = exec_argv(host, list(argv))
    quiet = subprocess.DEVNULL
    return subprocess.run(command, stdin=quiet, capture_output=True, text=True, errors="replace", check=False)


# --- up ----------------------------------------------------------------------------------------------------------


def up(args: argparse.Namespace) -> int:
    """Boot a host, unless it runs."""
    name = check_name(args.name)
    kind = "vm" if args.vm else "container"
    install_tools(VM_TOOLS if args.vm else CONTAINER_TOOLS)
    with locked(f"host-{name}", f"host {name}"):
        host = load(name)
        if host is not None and host.state == "running":
            _already_up(host, args, kind)
        else:
            if (HOSTS / name).exists():
                say(f"removing what is left of an earlier {name}")
                teardown(name)
            host = _boot(name, kind, args)
    print_host(host)
    return 0


def _already_up(host: Host, args: argparse.Namespace, kind: str) -> None:
    wanted = (kind, args.suite or host.suite)
    if wanted != (host.kind, host.suite) and (args.vm or args.suite):
        raise LabError(f"{host.name} runs as {host.kind} with {host.suite}; take it down first: lab down {host.name}")
    recipe = Recipe(host.suite, vm=host.kind == "vm")
    debs = find_debs(args.debs, wanted=bool(host.debs))
    keys = [image_key(recipe, debs, overlay=overlay) for overlay in (True, False)]
    if debs and host.image not in keys:
        say(f"{host.name} runs older packages than there are now; for the new ones: lab down {host.name}, then lab up")


def _boot(name: str, kind: str, args: argparse.Namespace) -> Host:
    recipe = Recipe(args.suite or DEFAULT_SUITE, vm=args.vm)
    debs = find_debs(args.debs, wanted=not args.no_package)
    overlay = container.overlay_works(LAB_DIR)
    # The record comes first: it keeps others from deleting the image as unused.
    key = image_key(recipe, debs, overlay=overlay)
    host = Host(name=name, kind=kind, suite=recipe.suite, image=key, debs=[deb.name for deb in debs])
    try:
        host.save()
        prune_images(recipe, {other.image for other in load_all()})
        image = build_image(recipe, debs, overlay=overlay)
        host.image = image.key
        started = time.monotonic()
        with step(f"booting {name}", announce=args.vm):
            if args.vm:
                vm.boot(host, image, args.files, overlay=overlay)
            else:
                container.boot(host, image, args.files, overlay=overlay)
            _wait_until_up(host)
        host.boot_seconds = round(time.monotonic() - started, 1)
        _learn(host)
        host.up = True
        host.save()
    except BaseException:
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        teardown(name)
        raise
    return host


def _wait_until_up(host: Host) -> None:
    """Return when systemd has nothing left to start."""
    limit = float(os.environ.get("JOBLET_LAB_BOOT_SECONDS", BOOT_SECONDS[host.kind]))
    deadline = time.monotonic() + limit
    state = "not answering"
    while state not in {"running", "degraded"}:
        if not host.alive() or (host.kind == "vm" and vm.panicked(host)):
            raise LabError(f"{host.name} ended while booting; its console is above", tail(host.console))
        if time.monotonic() > deadline:
            jobs = inside(host, "systemctl", "list-jobs", "--no-pager").stdout if state == "starting" else ""
            message = f"{host.name} did not boot in {limit:.0f} s (systemd: {state}); its console is above"
            raise LabError(message, "\n".join(filter(None, [tail(host.console), jobs.strip()])))
        time.sleep(POLL_SECONDS[host.kind])
        if vm.answers(host) if host.kind == "vm" else container.leader(host):
            state = inside(host, "systemctl", "is-system-running").stdout.strip() or "not answering"


def _learn(host: Host) -> None:
    """Note what kind of host it became."""
    version = inside(host, "systemctl", "--version").stdout.splitlines()
    host.systemd = version[0].removeprefix("systemd ") if version else "unknown"
    present = inside(host, "cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split()
    host.controllers = sorted(set(present) & set(LIMITS))
    enforced = [LIMITS[name] for name in host.controllers]
    absent = [LIMITS[name] for name in LIMITS if name not in host.controllers]
    host.notes = [f"enforced: {', '.join(enforced) or 'none'}"]
    if absent:
        reason = missing_controllers(set(host.controllers)) if host.kind == "container" else "not in the VM's kernel"
        host.notes.append(f"not enforced: {', '.join(absent)} ({reason}; lab up --vm has them)")
    withheld = missing_capabilities() if host.kind == "container" else []
    if withheld:
        effect = " (rlimits cannot be raised)" if "CAP_SYS_RESOURCE" in withheld else ""
        host.notes.append(f"root lacks {', '.join(withheld)}, as on this machine{effect}")


def print_host(host: Host) -> None:
    """Print what there is to know about a host that is up."""
    state = inside(host, "systemctl", "is-system-running").stdout.strip()
    failed = inside(host, "systemctl", "list-units", "--failed", "--plain", "--no-legend", "--no-pager").stdout
    units = [line.split()[0] for line in failed.splitlines() if line.strip()]
    how = "container (systemd-nspawn)" if host.kind == "container" else f"VM (qemu, {host.acceleration})"
    print(f"{host.name}: {how}, Debian {host.suite}, systemd {host.systemd}")
    print(f"  state    {state}{': failed ' + ', '.join(units) if units else ''}; booted in {host.boot_seconds} s")
    print(f"  address  {host.address}")
    print(f"  package  {', '.join(host.debs) or 'none (a plain host)'}")
    print(f"  cgroups  v2; controllers: {' '.join(host.controllers) or 'none'}")
    for note in host.notes:
        print(f"  limits   {note}")


# --- the rest ----------------------------------------------------------------------------------------------------


def execute(args: argparse.Namespace) -> int:
    """Become a command inside the host."""
    host = running(args.name)
    tty = os.isatty(0) and os.isatty(1)
    argv = exec_argv(host, args.command, tty=tty)
    sys.stdout.flush()
    os.execvp(argv[0], argv)


def rnx(args: argparse.Namespace) -> int:
    """Become the client, talking to the host from outside."""
    host = running(args.name)
    config = client.fetch_config(host, exec_argv(host, ["cat", client.REMOTE_CONFIG]))
    argv, env = client.client_argv(config, args.command)
    os.execvpe(argv[0], argv, env)


def config(args: argparse.Namespace) -> int:
    """Print the path of a client configuration that reaches the host from outside."""
    host = running(args.name)
    print(client.fetch_config(host, exec_argv(host, ["cat", client.REMOTE_CONFIG])))
    return 0


def take_down(args: argparse.Namespace) -> int:
    """Take hosts down, whatever state they are in."""
    if args.all == bool(args.name):
        raise LabError("say which host to take down, or --all")
    for name in [host.name for host in load_all()] if args.all else [check_name(args.name)]:
        with step(f"taking {name} down"):
            existed = down(name)
        say(f"{name} is gone" if existed else f"there was no host {name}; nothing is left of it")
    return 0


def list_hosts(args: argparse.Namespace) -> int:
    """List this lab's hosts."""
    hosts = load_all()
    keys = ("name", "kind", "suite", "systemd", "address", "state", "debs", "controllers")
    rows = [{key: getattr(host, key) for key in keys} for host in hosts]
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    line = "{:<16} {:<10} {:<9} {:<28} {:<15} {}"
    print(line.format("NAME", "KIND", "SUITE", "SYSTEMD", "ADDRESS", "STATE"))
    for host in hosts:
        print(line.format(host.name, host.kind, host.suite, host.systemd or "-", host.address or "-", host.state))
    return 0


def console(args: argparse.Namespace) -> int:
    """Print what a host printed on its console."""
    host = load(args.name)
    if host is None:
        raise LabError(f"there is no host {args.name}; boot it with: lab up {args.name}")
    if host.console.exists():
        sys.stdout.flush()
        sys.stdout.buffer.write(host.console.read_bytes())
    return 0


def build(args: argparse.Namespace) -> int:
    """Build base roots ahead of time."""
    install_tools(VM_TOOLS if args.vm else CONTAINER_TOOLS)
    suites = args.suites or ([DEFAULT_SUITE] if args.vm else list(SUITES))
    build_many([Recipe(suite, vm=args.vm) for suite in suites], sys.argv[0])
    return 0


def purge_cache(_args: argparse.Namespace) -> int:
    """Delete roots and images."""
    hosts = load_all()  # those being made, too
    if hosts:
        raise LabError(f"in use by {', '.join(host.name for host in hosts)}; take them down first: lab down --all")
    for directory in (IMAGES, ROOTS):
        if mounted_from(directory):
            raise LabError(f"a host of another lab is made of {directory}; take it down first, with its JOBLET_LAB_DIR")
    for directory in (IMAGES, ROOTS):
        remove_tree(directory)
    say(f"{LAB_DIR} holds no roots and images any more")
    return 0


# --- the command line --------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Real systemd hosts on this machine.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    add = commands.add_parser("up", help="boot a host, unless it runs")
    add.add_argument("name", metavar="NAME")
    add.add_argument("--suite", choices=SUITES, help=f"Debian suite (default: {DEFAULT_SUITE})")
    add.add_argument("--vm", action="store_true", help="a virtual machine, with every cgroup controller")
    add.add_argument("--debs", metavar="DIR", type=Path, help="our packages (default: build/deb)")
    add.add_argument("--no-package", action="store_true", help="a plain host, without our packages")
    add.add_argument("--files", metavar="DIR", type=Path, help="lay this tree over the host's root before it boots")
    add.set_defaults(run=up)

    for word, handler, text in (
        ("exec", execute, "run a command as root inside: lab exec NAME -- CMD…"),
        ("rnx", rnx, "run the client against a host: lab rnx NAME -- ARGS…"),
    ):
        add = commands.add_parser(word, help=text)
        add.add_argument("name", metavar="NAME")
        add.add_argument("command", metavar="-- CMD…" if word == "exec" else "-- ARGS…", nargs=argparse.REMAINDER)
        add.set_defaults(run=handler)

    add = commands.add_parser("config", help="print the path of a client configuration for use from outside")
    add.add_argument("name", metavar="NAME")
    add.set_defaults(run=config)

    add = commands.add_parser("down", help="take a host down and remove every trace of it")
    add.add_argument("name", metavar="NAME", nargs="?")
    add.add_argument("--all", action="store_true", help="every host of this lab")
    add.set_defaults(run=take_down)

    add = commands.add_parser("list", help="list the hosts")
    add.add_argument("--json", action="store_true")
    add.set_defaults(run=list_hosts)

    add = commands.add_parser("console", help="print a host's console log")
    add.add_argument("name", metavar="NAME")
    add.set_defaults(run=console)

    add = commands.add_parser("build", help="build base roots ahead of time, in parallel")
    add.add_argument("suites", metavar="SUITE", nargs="*", choices=[*SUITES, []], help=f"of {', '.join(SUITES)}; all")
    add.add_argument("--vm", action="store_true", help="the virtual machine's root instead (default: trixie's)")
    add.set_defaults(run=build)

    commands.add_parser("purge-cache", help="delete all roots and images").set_defaults(run=purge_cache)
    return parser


def _interrupt(signum: int, _frame: FrameType | None) -> None:
    raise Interrupted(signum)


def main() -> int:
    """Run one command; the only place where errors become messages and exit codes."""
    args = _parser().parse_args()
    if getattr(args, "command", None) is not None:
        if args.command[:1] == ["--"]:
            del args.command[0]
        if not args.command and args.run is execute:
            args.command = ["bash", "-l"]
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        need_root()
        result: int = args.run(args)
        return result
    except LabError as error:
        if error.detail:
            print(error.detail, file=sys.stderr)
        say(f"error: {error}")
        return 1
    except Interrupted as interrupt:
        say("interrupted; nothing half-made is left")
        return 128 + interrupt.signum
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        say(f"error: {error.filename or 'the system'}: {error.strerror or error}; is the disk full?")
        return 1

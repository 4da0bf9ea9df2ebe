"""The README's commands are run as they are written there: whoever begins with Joblet begins with these."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest
from clients import node
from hosts import PROJECT, Host, until

pytestmark = pytest.mark.only_on("bookworm", because="what they do is tested everywhere")

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLONE = "/root/clone"
# What the host has been made with already.
DONE = ("apt install make python3", "make deb", "apt install ./build/deb/*.deb")
ELSEWHERE = "host.example.org"
EDITOR = rb"""#!/bin/sh
printf '[Socket]\nListenStream=\nListenStream=50051\n' >"$1"
"""


def commands(section: str) -> list[str]:
    """The commands in the code blocks of a section of the README, without the comments behind them."""
    parts = SECTION.split((PROJECT / "README.md").read_text(encoding="utf-8"))
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    joined = re.sub(r"\\\n\s*", " ", "".join(FENCED.findall(text)))
    return [re.sub(r"\s{3,}# .*", "", line) for line in joined.splitlines()]


def carried_out(host: Host, command: str, *statuses: int) -> str:
    """What a command prints that an administrator types. It ends with 0, or one of these."""
    done = host.exec("sh", "-c", f"cd {CLONE} && {command}", check=False)
    assert done.returncode in (statuses or (0,)), (command, done.stdout, done.stderr)
    return done.stdout


def test_from_the_first_job_to_a_client_on_another_machine(own_host: Host, tmp_path: Path) -> None:
    files = subprocess.run(["tar", "-c", "-C", PROJECT, "demo"], capture_output=True, check=True).stdout
    own_host.exec("sh", "-c", f"mkdir {CLONE} && tar -x -C {CLONE}", stdin=files)
    quick_start(own_host)
    from_another_machine(own_host, tmp_path)


def quick_start(host: Host) -> None:
    quick = commands("Quick start")
    assert quick[: len(DONE)] == list(DONE)
    said = {}
    for command in quick[len(DONE) :]:
        if "-f" in command.split():
            # It goes on until somebody presses Ctrl-C.
            said[command] = carried_out(host, f"timeout 1 {command}", 124)
        elif command == "jobletd doctor":
            said[command] = carried_out(host, command, 0, 1)  # in a container limits may be missing, which it says
        else:
            said[command] = carried_out(host, command)
        if "--name=ticker" in command:
            until(lambda: len(host.log_so_far("ticker").splitlines()) >= 2)

    def printed_by(beginning: str) -> str:
        (command,) = [command for command in said if command.startswith(beginning)]
        return said[command]

    summary = host.exec("cat", f"{CLONE}/summary.txt").stdout
    assert "2025-09" in summary
    assert printed_by("rnx job run --wait echo hello").endswith("hello\n")
    assert printed_by("rnx job run --max-cpu=50%").endswith(summary)
    assert "joblet-job-" in printed_by("systemctl status")
    assert re.search(r"\d\d:\d\d:\d\d", printed_by("journalctl"))
    assert re.search(r"RUNNING.*while sleep 1", printed_by("rnx job list"))
    assert re.search(r"\bps x\n", printed_by("rnx job exec"))
    assert "ok  a trial job runs isolated" in printed_by("jobletd doctor")
    assert printed_by("echo 3 1 2").endswith("1\n2\n3\n")
    assert len(printed_by("rnx job log --tail=10").splitlines()) >= 2
    assert "Server: joblet" in printed_by("rnx monitor status")


def from_another_machine(host: Host, tmp_path: Path) -> None:
    """The client is on the machine of the test, with the file as it was issued."""
    address, _, port = node(host)["address"].rpartition(":")
    # The lab has opened the socket already; here it is the README that does.
    host.exec("rm", "-r", "/etc/systemd/system/joblet.socket.d")
    host.exec("sh", "-c", "systemctl daemon-reload; systemctl restart joblet.socket joblet.service")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, int(port)), timeout=10)
    for command in commands("From another machine"):
        if command == "systemctl edit joblet.socket":
            # It opens an editor, on a terminal.
            host.exec("sh", "-c", "cat >/root/editor; chmod 755 /root/editor", stdin=EDITOR)
            carried_out(host, f"SYSTEMD_EDITOR=/root/editor script -qec '{command}' /dev/null")
        else:
            carried_out(host, command.replace(ELSEWHERE, address))
    config = tmp_path / "rnx-config.yml"
    config.touch(mode=0o600)
    config.write_text(host.exec("cat", f"{CLONE}/alice.yml").stdout)
    alice = Host(host.name, host.suite, config)
    assert alice.log(alice.run("whoami")) == b"joblet-alice\n"
    # As the text has it.
    assert "alice" in carried_out(host, "jobletd cert list")
    carried_out(host, "jobletd cert revoke alice")
    assert alice.rnx("job", "list").returncode == 4

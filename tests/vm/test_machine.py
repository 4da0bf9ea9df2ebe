"""The machine is what the lab says, and commands arrive in it as they were given."""

from __future__ import annotations

import subprocess

from hosts import LAB, Host


def lab(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([LAB, *words], input=stdin, capture_output=True, timeout=120, check=False)


def test_it_has_every_controller(vm: Host) -> None:
    told = lab("up", vm.name, "--suite", "trixie", "--vm").stdout.decode()  # it is up
    assert "controllers: cpu cpuset io memory pids" in told
    assert "not enforced" not in told


def test_commands_arrive_as_they_were_given(vm: Host) -> None:
    every_byte = bytes(range(256)) * 100
    assert lab("exec", vm.name, "--", "cat", stdin=every_byte).stdout == every_byte
    assert lab("exec", vm.name, "--", "sh", "-c", "exit 7").returncode == 7
    assert lab("exec", vm.name, "--", "printf", "%s|", "a b", "$HOME", "*", "").stdout == b"a b|$HOME|*||"


def test_it_finds_names_outside(vm: Host) -> None:
    assert lab("exec", vm.name, "--", "getent", "ahostsv4", "deb.debian.org").returncode == 0

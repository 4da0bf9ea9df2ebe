"""The lab tested on itself: hosts side by side, hosts that cannot boot, a lab that is killed; and nothing left of any.

Other hosts may run on the machine meanwhile, of other labs too: a trace is what bears the name of one of ours.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parent / "lab"
CACHE = Path(os.environ.get("JOBLET_LAB_DIR", "/var/cache/joblet-lab"))
BROKEN_INIT = "#!/bin/sh\necho this init does nothing today\nexit 3\n"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the lab needs root")


class Lab:
    """A lab in a directory of its own that shares the base roots of the machine's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = os.environ | {"JOBLET_LAB_DIR": str(directory)}
        self.network_namespaces: dict[str, str] = {}

    def start(self, *args: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([LAB, *args], env=self.env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def run(self, *args: str, stdin: bytes = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([LAB, *args], env=self.env | env, input=stdin, capture_output=True, check=False)

    def ok(self, *args: str, stdin: bytes = b"") -> str:
        done = self.run(*args, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def error(self, *args: str) -> str:
        """Run what must fail, and return the last line: the message. There is never a traceback."""
        done = self.run(*args)
        assert done.returncode == 1
        assert b"Traceback" not in done.stderr
        return done.stderr.decode().splitlines()[-1]

    def host(self, name: str) -> dict[str, object]:
        hosts: list[dict[str, object]] = json.loads(self.ok("list", "--json"))
        return next(host for host in hosts if host["name"] == name)

    def note_namespace(self, name: str) -> None:
        """Remember a host's network namespace, to find out later whether something still holds it."""
        pid = json.loads((self.directory / "hosts" / name / "state.json").read_text())["pid"]
        self.network_namespaces[os.readlink(f"/proc/{pid}/ns/net")] = name

    def traces(self, *names: str) -> list[str]:
        """Return everything on the machine that is there because of these hosts."""
        found: list[str] = []
        idents = [hashlib.sha256(os.fsencode(self.directory / "hosts" / name)).hexdigest()[:8] for name in names]
        marks = [*(str(self.directory / "hosts" / name) for name in names), *idents]

        def look(kind: str, text: str) -> None:
            found.extend(f"{kind}: {line[:200]}" for line in text.splitlines() if any(mark in line for mark in marks))

        look("link", subprocess.check_output(["ip", "-oneline", "link"], text=True))
        look("route", subprocess.check_output(["ip", "route"], text=True))
        look("firewall", subprocess.check_output(["nft", "list", "tables"], text=True))
        for path, directories, _ in os.walk("/sys/fs/cgroup"):
            look("cgroup", "\n".join(os.path.join(path, directory) for directory in directories))
        for path, directories, files in os.walk("/run"):
            look("file", "\n".join(os.path.join(path, name) for name in directories + files))
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                look(f"process {process.name}", (process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
                look(f"mount of {process.name}", (process / "mountinfo").read_text())
                if self.network_namespaces.get(os.readlink(process / "ns/net")) in names:
                    found.append(f"network namespace of {process.name}")
        hosts = self.directory / "hosts"
        found.extend(f"host: {path}" for path in hosts.iterdir() if path.name in names) if hosts.exists() else None
        return found

    def assert_gone(self, *names: str) -> None:
        """Check that nothing is left; the kernel may take a moment to bury a namespace."""
        deadline = time.monotonic() + 5
        while (left := self.traces(*names)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []


@pytest.fixture(scope="session")
def roots() -> Path:
    subprocess.run([LAB, "build", "trixie"], check=True)
    return CACHE / "roots"


@pytest.fixture
def lab(tmp_path: Path, roots: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab")
    lab.directory.mkdir()
    (lab.directory / "roots").symlink_to(roots)
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    before = forwarding.read_text()
    yield lab
    lab.ok("down", "--all")
    if (
        not list(Path("/sys/class/net").glob("jlab????????"))
        and not Path("/run/joblet-lab.ip_forward-was-off").exists()
    ):
        assert forwarding.read_text() in {before, "0\n"}


def loops_in_use() -> set[str]:
    return {path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")}


def broken_root(directory: Path) -> Path:
    init = directory / "usr/lib/systemd/systemd"
    init.parent.mkdir(parents=True)
    init.write_text(BROKEN_INIT)
    init.chmod(0o755)
    return directory


def test_two_hosts_side_by_side_leave_nothing(lab: Lab) -> None:
    starting = [lab.start("up", name, "--no-package") for name in ("one", "two")]
    for process in starting:
        output, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors
        assert "state    running" in output
        assert "systemd 257" in output
    one, two = lab.host("one"), lab.host("two")
    assert one["state"] == two["state"] == "running"
    assert one["address"] != two["address"]
    assert [lab.ok("exec", name, "--", "hostname") for name in ("one", "two")] == ["one\n", "two\n"]
    identities = {lab.ok("exec", name, "--", "cat", "/etc/machine-id") for name in ("one", "two")}
    assert len(identities) == 2

    again = lab.run("up", "one", "--no-package")
    assert again.returncode == 0
    assert b"state    running" in again.stdout

    for name in ("one", "two"):
        lab.note_namespace(name)
    assert lab.traces("one", "two")
    lab.ok("down", "one")
    lab.assert_gone("one")
    assert lab.ok("exec", "two", "--", "echo", "still here") == "still here\n"
    lab.ok("down", "--all")
    lab.assert_gone("one", "two")


def test_commands_inside(lab: Lab) -> None:
    lab.ok("up", "h", "--no-package")
    every_byte = bytes(range(256)) * 1000
    echoed = lab.run("exec", "h", "--", "cat", stdin=every_byte)
    assert echoed.stdout == every_byte
    assert lab.run("exec", "h", "--", "sh", "-c", "exit 7").returncode == 7
    assert lab.run("exec", "h", "--", "no-such-program").returncode == 127
    assert lab.ok("exec", "h", "--", "printf", "%s|", "a b", "$HOME", "*", "") == "a b|$HOME|*||"
    assert lab.ok("exec", "h", "--", "sh", "-c", "cat /proc/self/cgroup | grep ^0").strip() == "0::/lab-exec"
    assert lab.ok("exec", "h", "--", "pwd") == "/root\n"
    lab.ok("exec", "h", "--", "systemd-run", "--quiet", "--wait", "--property=PrivateUsers=yes", "true")
    lab.ok(
        "exec", "h", "--", "unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "true"
    )
    # The machine's clock is everybody's: CAP_SYS_TIME is the one that neither PID 1 nor a command may have.
    for process in ("1", "self"):
        status = lab.ok("exec", "h", "--", "sed", "-n", "s/^CapBnd:\t//p", f"/proc/{process}/status")
        assert not int(status, 16) & 1 << 25
    lab.ok("exec", "h", "--", "ip", "link", "add", "br0", "type", "bridge")
    lab.ok("exec", "h", "--", "nft", "add", "table", "ip", "mine")

    seen: list[bytes] = []

    def read(terminal: int) -> bytes:
        data = os.read(terminal, 4096)
        seen.append(data)
        return data

    os.environ["JOBLET_LAB_DIR"] = str(lab.directory)
    try:
        pty.spawn([str(LAB), "exec", "h", "--", "test", "-t", "0"], read)
        status = pty.spawn([str(LAB), "exec", "h", "--", "sh", "-c", "test -t 0 && test -t 1 && exit 9"], read)
    finally:
        os.environ["JOBLET_LAB_DIR"] = str(CACHE)
    assert os.waitstatus_to_exitcode(status) == 9


def test_network_in_and_out(lab: Lab) -> None:
    lab.ok("up", "h", "--no-package")
    serve = ["systemd-run", "--quiet", "--property=Type=exec", "python3", "-m", "http.server", "8000"]
    lab.ok("exec", "h", "--", *serve)
    page = b""
    for _ in range(50):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://{lab.host('h')['address']}:8000/etc/hostname", timeout=5) as reply:
                page = reply.read()
            break
        time.sleep(0.1)
    assert page == b"h\n"
    lab.ok("exec", "h", "--", "getent", "ahostsv4", "deb.debian.org")
    source = lab.ok("exec", "h", "--", "sed", "-n", "s/^deb \\([^ ]*\\).*/\\1/p", "/etc/apt/sources.list").split()[0]
    get = f"import urllib.request as r; print(r.urlopen('{source}/dists/trixie/InRelease').status)"
    assert lab.ok("exec", "h", "--", "python3", "-c", get) == "200\n"


def test_reboot_keeps_the_disk_and_the_address(lab: Lab) -> None:
    lab.ok("up", "h", "--no-package")
    address = lab.host("h")["address"]
    lab.ok("exec", "h", "--", "sh", "-c", "echo kept >/var/lib/kept; ip link add br0 type bridge")
    before = lab.ok("exec", "h", "--", "cat", "/proc/sys/kernel/random/boot_id")
    lab.run("exec", "h", "--", "systemctl", "reboot")
    deadline = time.monotonic() + 30
    after = before
    while after == before and time.monotonic() < deadline:
        time.sleep(0.2)
        after = lab.run("exec", "h", "--", "cat", "/proc/sys/kernel/random/boot_id").stdout.decode() or before
    assert after != before
    assert lab.ok("exec", "h", "--", "cat", "/var/lib/kept") == "kept\n"
    assert lab.host("h")["address"] == address
    assert "br0" not in lab.ok("exec", "h", "--", "ip", "link")
    lab.ok("down", "h")
    lab.assert_gone("h")


def test_loop_devices_work_and_are_freed(lab: Lab) -> None:
    lab.ok("up", "h", "--no-package")
    mark = uuid.uuid4().hex
    script = f"""
        set -e
        truncate -s 20M /var/lib/{mark}.ext4 /var/lib/{mark}.left /{mark}.overlay
        mkfs.ext4 -q /var/lib/{mark}.ext4
        mount -o loop /var/lib/{mark}.ext4 /mnt
        echo works >/mnt/file
        losetup --find /var/lib/{mark}.left
        losetup --find /{mark}.overlay
        cat /mnt/file
    """
    assert lab.ok("exec", "h", "--", "sh", "-c", script) == "works\n"
    assert len([path for path in loops_in_use() if mark in path]) == 3
    lab.ok("down", "h")
    assert [path for path in loops_in_use() if mark in path] == []
    lab.assert_gone("h")


def test_files_are_laid_over_the_root(lab: Lab, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    (extra / "etc").mkdir(parents=True)
    (extra / "etc/extra").write_text("extra\n")
    (extra / "sbin").mkdir()
    (extra / "sbin/extra").write_text("#!/bin/sh\necho through the link\n")
    (extra / "sbin/extra").chmod(0o755)
    lab.ok("up", "h", "--no-package", "--files", str(extra))
    assert lab.ok("exec", "h", "--", "cat", "/etc/extra") == "extra\n"
    assert lab.ok("exec", "h", "--", "extra") == "through the link\n"
    assert lab.ok("exec", "h", "--", "readlink", "/sbin") == "usr/sbin\n"


def test_a_failed_unit_is_named(lab: Lab, tmp_path: Path) -> None:
    units = tmp_path / "extra/etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "unlucky.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    (units / "multi-user.target.wants/unlucky.service").symlink_to("../unlucky.service")
    output = lab.ok("up", "h", "--no-package", "--files", str(tmp_path / "extra"))
    assert "degraded: failed unlucky.service" in output


def test_a_root_that_cannot_boot_shows_its_console(lab: Lab, tmp_path: Path) -> None:
    done = lab.run("up", "h", "--no-package", "--files", str(broken_root(tmp_path / "broken")))
    assert done.returncode == 1
    assert b"this init does nothing today" in done.stderr
    assert b"ended while booting" in done.stderr.splitlines()[-1]
    assert json.loads(lab.ok("list", "--json")) == []
    lab.assert_gone("h")


def test_a_boot_that_hangs_is_given_up(lab: Lab, tmp_path: Path) -> None:
    units = tmp_path / "extra/etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    (units / "endless.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n")
    (units / "multi-user.target.wants/endless.service").symlink_to("../endless.service")
    args = ("up", "h", "--no-package", "--files", str(tmp_path / "extra"))
    done = lab.run(*args, JOBLET_LAB_BOOT_SECONDS="4")
    assert done.returncode == 1
    assert b"endless.service" in done.stderr
    assert b"did not boot in 4 s" in done.stderr.splitlines()[-1]
    lab.assert_gone("h")


def half_way(lab: Lab, stage: str) -> subprocess.Popen[str]:
    """Start `lab up h` and return when it has come as far as the stage, or a little further."""
    here = lab.directory / "hosts/h"
    process = lab.start("up", "h", "--no-package")
    stages: dict[str, Callable[[], bool]] = {
        "a record": (here / "state.json").exists,
        "a process": (here / "console.log").exists,
        "a root": lambda: any((here / "var").glob("*")),
        "a network": lambda: '"address": "10.' in (here / "state.json").read_text(),
        "a boot": lambda: (here / "var/log/journal").is_dir() and any((here / "var/log/journal").iterdir()),
    }
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if stages[stage]():
                break
        time.sleep(0.001)
    return process


STAGES = ("a record", "a process", "a root", "a network", "a boot")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_up_cleans_up(lab: Lab, signum: int, stage: str) -> None:
    process = half_way(lab, stage)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signum, errors
    assert errors.splitlines()[-1] == "lab: interrupted; nothing half-made is left"
    assert "Traceback" not in errors
    lab.assert_gone("h")


@pytest.mark.parametrize("stage", STAGES)
def test_after_a_killed_up_the_next_one_works(lab: Lab, stage: str) -> None:
    process = half_way(lab, stage)
    process.kill()
    process.communicate(timeout=30)
    assert "state    running" in lab.ok("up", "h", "--no-package")
    lab.ok("down", "h")
    lab.assert_gone("h")


def test_down_after_a_killed_up(lab: Lab) -> None:
    process = half_way(lab, "a network")
    process.kill()
    process.communicate(timeout=30)
    lab.ok("down", "--all")
    lab.assert_gone("h")


def test_a_host_that_died_is_reported_and_replaced(lab: Lab) -> None:
    lab.ok("up", "h", "--no-package")
    lab.run("exec", "h", "--", "systemctl", "poweroff")
    deadline = time.monotonic() + 20
    while lab.host("h")["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert lab.host("h")["state"] == "dead"
    assert lab.error("exec", "h", "--", "true").endswith("boot it again with: lab up h")
    assert "state    running" in lab.ok("up", "h", "--no-package")


def test_two_ups_of_one_host_make_one(lab: Lab) -> None:
    both = [lab.start("up", "h", "--no-package") for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert len(json.loads(lab.ok("list", "--json"))) == 1


def test_messages_say_what_to_do(lab: Lab) -> None:
    assert "boot it with: lab up nobody" in lab.error("exec", "nobody", "--", "true")
    assert "boot it with: lab up nobody" in lab.error("rnx", "nobody", "--", "nodes")
    assert "is no host name" in lab.error("up", "../etc")
    assert "no .deb in /nowhere" in lab.error("up", "h", "--debs", "/nowhere")
    assert "--all" in lab.error("down")
    assert lab.run("up").returncode == 2
    lab.assert_gone("nobody", "h")
    lab.ok("up", "h", "--no-package")
    assert "lab down h" in lab.error("up", "h", "--suite", "bookworm")
    assert "a plain one" in lab.error("rnx", "h", "--", "nodes")
    assert "take them down first" in lab.error("purge-cache")


def test_a_package_that_does_not_install_is_reported(lab: Lab, tmp_path: Path) -> None:
    control = tmp_path / "deb/DEBIAN/control"
    control.parent.mkdir(parents=True)
    control.write_text(
        "Package: joblet\nVersion: 0\nArchitecture: all\nMaintainer: lab <lab@invalid>\n"
        "Depends: no-such-package-anywhere\nDescription: a test\n"
    )
    (tmp_path / "debs").mkdir()
    subprocess.run(["dpkg-deb", "--build", tmp_path / "deb", tmp_path / "debs"], check=True, stdout=subprocess.DEVNULL)
    done = lab.run("up", "h", "--debs", str(tmp_path / "debs"))
    assert done.returncode == 1
    assert b"no-such-package-anywhere" in done.stderr
    assert list((lab.directory / "images").iterdir()) == []
    lab.assert_gone("h")


def test_without_overlayfs_the_root_is_copied(lab: Lab) -> None:
    done = lab.run("up", "h", "--no-package", JOBLET_LAB_NO_OVERLAY="1")
    assert done.returncode == 0, done.stderr
    assert "overlay" not in lab.ok("exec", "h", "--", "findmnt", "--noheadings", "--output", "FSTYPE", "/")
    lab.ok("down", "h")
    lab.assert_gone("h")


def test_a_cache_in_use_by_another_lab_is_not_purged(lab: Lab, tmp_path: Path) -> None:
    lab.ok("up", "h", "--no-package")
    other = Lab(tmp_path / "other")
    other.directory.mkdir()
    (other.directory / "roots").symlink_to((lab.directory / "roots").resolve())
    assert "a host of another lab" in other.error("purge-cache")
    assert (other.directory / "roots").exists()


def test_a_lock_left_by_nobody_does_not_block(lab: Lab) -> None:
    (lab.directory / "locks").mkdir()
    lock = (lab.directory / "locks/host-h.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = lab.start("down", "h")
    time.sleep(0.5)
    assert process.poll() is None
    lock.close()
    process.communicate(timeout=10)
    assert process.returncode == 0


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no qemu here; lab up --vm would install it")
def test_a_vm_that_does_not_boot_says_so_and_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    """One that does: tests/vm/test_machine.py."""
    subprocess.run([LAB, "build", "--vm"], check=True)
    broken = lab.run("up", "v", "--vm", "--no-package", "--files", str(broken_root(tmp_path / "broken")))
    assert broken.returncode == 1
    assert b"this init does nothing today" in broken.stderr
    lab.assert_gone("v")

"""What of the host can be reached from inside a job: nothing that listens, nothing that can be written, no device."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hosts import Host, until

from .attempts import PROGRAMS, report

HARMLESS_DEVICES = {
    "/dev/null": "c 1:3",
    "/dev/zero": "c 1:5",
    "/dev/full": "c 1:7",
    "/dev/random": "c 1:8",
    "/dev/urandom": "c 1:9",
    "/dev/tty": "c 5:0",
    "/dev/ptmx": "c 5:2",
    "/dev/pts/ptmx": "c 5:2",
}


def listening(host: Host) -> dict[str, object]:
    """All that listens on the host, by path, abstract name or port."""
    paths = host.exec("find", "/run", "/var", "/tmp", "-type", "s").stdout.split()
    abstract = re.findall(r" (@\S+)$", host.exec("cat", "/proc/net/unix").stdout, re.MULTILINE)
    tcp = host.exec("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout
    ports = sorted(
        {int(port, 16) for port in re.findall(r"^ *\d+: [0-9A-F]+:([0-9A-F]{4}) \S+ 0A ", tcp, re.MULTILINE)}
    )
    address = host.exec("sh", "-c", "hostname -I || true").stdout.split()
    return {"paths": sorted({*paths, *abstract}), "ports": ports, "host": address[0] if address else "127.0.0.1"}


def test_no_socket_of_the_host_can_be_reached_and_nothing_forged(host: Host, tmp_path: Path) -> None:
    host.exec(
        "systemd-run",
        "--unit=lab-abstract",
        "python3",
        "-c",
        "import socket,time; s=socket.socket(socket.AF_UNIX); s.bind('\\0lab-abstract'); s.listen(); time.sleep(600)",
    )
    try:
        until(lambda: "@lab-abstract" in host.exec("cat", "/proc/net/unix").stdout)
        doors = listening(host)
        names = str(doors["paths"])
        for known in ("system_bus_socket", "/run/systemd/notify", "/run/systemd/private", "grpc.sock", "@lab-abstract"):
            assert known in names
        assert {50051, 50052} <= set(doors["ports"])  # type: ignore[call-overload]
        (tmp_path / "doors.json").write_text(json.dumps(doors))
        files = (f"--upload={PROGRAMS / 'knock.py'}", f"--upload={tmp_path / 'doors.json'}")
        job = host.run(*files, "python3", "knock.py", "doors.json")
        done = host.rnx_bytes("job", "log", job)
    finally:
        host.exec("systemctl", "stop", "lab-abstract.service")
    reached, descriptors, variables = (json.loads(line) for line in done.stderr.splitlines()[-3:])
    assert reached == []
    assert descriptors == ["/dev/null", "pipe", "pipe"]
    assert variables == []
    assert host.result(job)["status"] == "COMPLETED"
    # It was output and nothing else: as such it is there, byte for byte.
    assert b"MESSAGE=forged\nFORGED=1\n" in done.stdout
    assert b"FORGED\n\x01\0\0\0\0\0\0\x001\nMESSAGE\n" in done.stdout
    for where in ("--namespace=*", "--quiet"):
        assert host.exec("journalctl", where, "--output=cat", "FORGED=1", check=False).stdout == ""
    records = host.exec("journalctl", "--namespace=joblet", "--output=cat", f"JOBLET_JOB={job}", "JOBLET_RECORD=exit")
    assert records.stdout == "Exited with code 0\n"
    assert host.exec("systemctl", "show", "-P", "StatusText", "joblet.service").stdout != "forged\n"


def test_nothing_to_write_no_secrets_no_devices(host: Host) -> None:
    """Below /proc, /sys and /dev, by a look at everything that is there."""
    found = report(host, "walk.py")
    assert found["looked at"] > 500
    assert found["writable"] == []
    assert found["secrets"] == []
    assert found["kernel addresses"] is False
    assert {path: number for path, number in found["devices"].items() if HARMLESS_DEVICES.get(path) != number} == {}


CAPABLE = "/usr/local/bin/lab-capable"
ROOTLY = "/usr/local/bin/lab-rootly"


def test_files_that_give_rights_give_none(host: Host) -> None:
    """Set-user-ID, set-group-ID and file capabilities: an administrator's and those that come with the system."""
    host.exec("sh", "-c", f"cp /usr/bin/grep {CAPABLE}; cp /usr/bin/id {ROOTLY}; chmod 6755 {ROOTLY}")
    # struct vfs_cap_data, revision 2, effective: CAP_SYS_ADMIN and everything else of the first word.
    value = "bytes.fromhex('01000002ffffffff00000000ffffffff00000000')"
    host.exec("python3", "-c", f"import os; os.setxattr('{CAPABLE}', 'security.capability', {value})")
    try:
        script = (
            f"{CAPABLE} -E '^Cap(Prm|Eff)' /proc/self/status; {ROOTLY} -u; {ROOTLY} -g; id -u; id -g; su -c id; echo $?"
        )
        job = host.run("sh", "-c", script)
        permitted, effective, as_user, as_group, user, group, su = host.log(job).decode().splitlines()
    finally:
        host.exec("rm", CAPABLE, ROOTLY)
    assert permitted.split() == ["CapPrm:", "0" * 16]
    assert effective.split() == ["CapEff:", "0" * 16]
    assert (as_user, as_group) == (user, group)
    assert su != "0"


TERMINALS = """
import errno, fcntl, os, termios
for fd in range(3):
    try:
        fcntl.ioctl(fd, termios.TIOCSTI, b"x")
        print("pushed into", fd)
    except OSError as error:
        print(errno.errorcode[error.errno])
for path in ("/dev/tty", "/dev/console", "/dev/tty0", "/dev/ttyS0"):
    try:
        os.open(path, os.O_RDWR)
        print("opened", path)
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def test_there_is_no_terminal_to_type_on(host: Host) -> None:
    answers = host.log(host.run("python3", "-c", TERMINALS)).decode().split()
    assert answers[:3] == ["ENOTTY"] * 3
    assert answers[3] == "ENXIO"
    assert set(answers[4:]) <= {"ENOENT", "EACCES", "EPERM"}


def test_a_crash_leaves_nothing(host: Host) -> None:
    """No core file, neither in the job nor with a handler of the host's: core(5)."""
    before = host.exec("sh", "-c", "ls /var/lib/systemd/coredump 2>/dev/null || true").stdout
    job = host.run("sh", "-c", "ulimit -c unlimited; python3 -c 'import os; os.abort()'; ls /work; ulimit -c")
    assert host.log(job) == b"0\n"
    assert host.exec("sh", "-c", "ls /var/lib/systemd/coredump 2>/dev/null || true").stdout == before

"""``jobletd doctor --fix``: shows what is left over, then removes that and nothing else."""

from __future__ import annotations

import json
import uuid
from typing import Any

from hosts import Host

GONE = str(uuid.uuid4())
STRANGER = str(uuid.uuid4())
DIRECTORY = f"/var/lib/joblet/jobs/{GONE}"


def doctor(host: Host, *words: str) -> tuple[int, list[dict[str, Any]]]:
    done = host.exec("jobletd", "doctor", "--fix", "--json", *words, check=False)
    return done.returncode, json.loads(done.stdout)


def test_leftovers_are_shown_and_removed(host: Host) -> None:
    kept = host.run("sh", "-c", "echo result >file")
    running = host.run("sh", "-c", "echo precious >file; sleep 300")
    waiting = host.run("--schedule=1h", "--secret-env=TOKEN=x", "true")
    host.result(kept)
    host.running(running)
    made = [DIRECTORY, f"/run/joblet/control/{GONE}", f"/var/lib/joblet/secrets/{GONE}"]
    host.exec("sh", "-c", f"mkdir {made[0]}; echo x >{made[0]}/file; touch {made[1]} {made[2]}")
    # Units that nobody knows: one that failed, and one that goes on.
    host.exec("systemd-run", f"--unit={host.unit(GONE)}", "--quiet", "false")
    host.exec("systemd-run", f"--unit={host.unit(STRANGER)}", "--quiet", "sleep", "300")
    try:
        host.exec("sleep", "11")
        code, found = doctor(host)
        assert code == 1
        assert {one["what"] for one in found if one["removable"]} == {*made, host.unit(GONE)}
        assert [one["what"] for one in found if not one["removable"]] == [host.unit(STRANGER)]
        # Shown only, so far: nobody was there to ask.
        assert host.exec("ls", *made).returncode == 0
        code, _ = doctor(host, "--yes")
        assert code == 1  # there is something to look at still
        for path in made:
            assert host.exec("ls", path, check=False).returncode != 0
        assert host.exec("systemctl", "is-active", host.unit(STRANGER)).stdout.strip() == "active"
    finally:
        host.exec("systemctl", "stop", host.unit(STRANGER))
    assert doctor(host) == (0, [])
    plain = host.exec("jobletd", "doctor", "--fix")
    assert plain.stdout == "Nothing is left over.\n"
    # What is in use, or kept, has stayed.
    assert host.exec("cat", f"/var/lib/joblet/jobs/{running}/work/file").stdout == "precious\n"
    assert host.rnx("job", "download", kept, "file", "-").stdout == "result\n"
    assert host.exec("ls", f"/var/lib/joblet/secrets/{waiting}").returncode == 0
    for job in (running, waiting):
        assert host.rnx("job", "stop", job).returncode == 0


def test_a_daemon_that_does_not_start_after_a_boot(own_host: Host) -> None:
    """Both kinds of doctor are for that; and without a store nothing is touched."""
    host = own_host
    host.exec("systemctl", "stop", "joblet.service")
    host.exec("rm", "-r", "/run/joblet")
    host.exec("mkdir", "-p", "/var/lib/joblet/jobs/.upload-killed")
    try:
        found = {
            one["guarantee"]: one for one in json.loads(host.exec("jobletd", "doctor", "--json", check=False).stdout)
        }
        assert found["a trial job runs isolated"]["holds"], found
        assert found["the daemon runs"] == {
            "guarantee": "the daemon runs",
            "holds": False,
            "how": "joblet.service is inactive; 'journalctl -u joblet.service' says why",
        }
        assert host.exec("sh", "-c", "echo /run/joblet/trial-*").stdout == "/run/joblet/trial-*\n"
        assert "/run/joblet" not in host.exec("cat", "/proc/mounts").stdout
        host.exec("rm", "-r", "/run/joblet")
        assert [one["what"] for one in doctor(host, "--yes")[1]] == ["/var/lib/joblet/jobs/.upload-killed"]
        assert doctor(host) == (0, [])
    finally:
        host.exec("systemctl", "start", "joblet.service")
    host.rnx("job", "list")
    host.exec("sh", "-c", f"mkdir {DIRECTORY}")
    host.exec("systemctl", "stop", "joblet.socket", "joblet.service")
    host.exec("sh", "-c", "rm /var/lib/joblet/joblet.db*")
    done = host.exec("jobletd", "doctor", "--fix", "--yes", check=False)
    assert done.returncode == 1
    assert "There is no job store /var/lib/joblet/joblet.db" in done.stderr
    assert host.exec("ls", DIRECTORY).returncode == 0

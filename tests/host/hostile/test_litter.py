"""Whatever a job leaves in /work is removed with it, and nothing else is."""

from __future__ import annotations

import json

from hosts import Host, until

from .attempts import PROGRAMS

OUTSIDE = "/var/lib/lab-outside"
CANARY = f"{OUTSIDE}/canary"


def test_all_of_it_goes_and_nothing_else(host: Host) -> None:
    # By the shell itself: another program would get systemd's SIGTERM, too.
    keep = (
        "echo mine >file; trap 'read -r line <file; echo $line; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    )
    neighbour = host.run("sh", "-c", keep)
    until(lambda: host.log_so_far(neighbour) == b"ready\n")
    host.exec("sh", "-c", f"mkdir -m 777 {OUTSIDE}; echo alive >{CANARY}; chmod 666 {CANARY}")
    try:
        job = host.run(f"--upload={PROGRAMS / 'litter.py'}", "python3", "litter.py", OUTSIDE, CANARY)
        outcomes = json.loads(host.log(job))
        assert host.result(job)["status"] == "COMPLETED"
        assert host.rnx("job", "delete", job).returncode == 0
        until(lambda: job not in host.exec("ls", "/var/lib/joblet/jobs").stdout)
        assert host.exec("cat", CANARY).stdout == "alive\n"
        assert host.exec("find", "/var/lib/joblet", "-name", "deep").stdout == ""
    finally:
        host.exec("rm", "-r", OUTSIDE)
        host.rnx("job", "stop", neighbour)
    assert host.log(neighbour) == b"ready\nmine\n"
    assert {name: outcome for name, outcome in outcomes.items() if outcome == "done"} == {}
    assert "cannot be removed" not in host.exec("journalctl", "-u", "joblet.service", "--output=cat").stdout

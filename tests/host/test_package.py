"""The package on a host of its own: installed, removed, purged, and what doctor says."""

from __future__ import annotations

import json

import pytest
from hosts import Host, until

UNITS = ("joblet.service", "joblet.socket", "joblet-http.socket")


def test_the_life_of_the_package(own_host: Host) -> None:
    host = own_host
    # As installed: keys made by the first start, private, one role per node.
    assert host.exec("stat", "-c", "%a", "/etc/joblet/rnx-config.yml", "/etc/joblet/pki/ca.key").stdout == "600\n600\n"
    assert host.exec("rnx", "job", "run", "--wait", "echo", "inside").stdout == "inside\n"
    findings = json.loads(host.exec("jobletd", "doctor", "--json", check=False).stdout)
    found = {finding["guarantee"]: finding for finding in findings}
    assert found["a trial job runs isolated"]["holds"], found
    assert found["own processes only"]["holds"]
    assert found["the daemon runs"]["holds"]
    # Containers of the lab may have no controllers; doctor must then not claim limits.
    controllers = host.exec("cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split()
    assert found["max_memory"]["holds"] == ("memory" in controllers)

    job = host.run("sh", "-c", "echo precious >file; sleep 300")
    until(lambda: host.exec("cat", f"/var/lib/joblet/jobs/{job}/work/file", check=False).stdout == "precious\n")
    host.exec("apt-get", "-y", "remove", "joblet", "rnx", "joblet-init")
    assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
    assert host.exec("systemctl", "is-active", *UNITS, check=False).stdout == "inactive\n" * len(UNITS)
    host.exec("systemctl", "stop", host.unit(job))
    purged = host.exec("apt-get", "-y", "purge", "joblet", "rnx", "joblet-init")
    assert "/var/lib/joblet" in purged.stdout + purged.stderr
    left = host.exec("sh", "-c", "ls -d /etc/joblet /usr/lib/joblet /run/joblet /usr/bin/rnx 2>/dev/null || true")
    assert left.stdout == ""
    assert host.exec("ls", "/var/lib/joblet/joblet.db").returncode == 0
    # What it prints works, and takes no file by way of a mount; until then they are there.
    assert "/var/lib/joblet" not in host.exec("cat", "/proc/mounts").stdout
    image = f"/var/lib/joblet/jobs/{job}/work.img"
    assert host.exec("sh", "-ec", f"mount -o ro,loop {image} /mnt; cat /mnt/file; umount /mnt").stdout == "precious\n"
    host.exec("rm", "-r", "/var/lib/joblet")


@pytest.mark.only_on("trixie", "dpkg and the shell are the same whatever the systemd")
def test_a_purge_leaves_jobs_that_run_alone(own_host: Host) -> None:
    host = own_host
    job = host.run("sh", "-c", "sleep 5; echo alive >file; sleep 300")
    host.running(job)
    purged = host.exec("apt-get", "-y", "purge", "joblet", "rnx", "joblet-init")
    file = f"/var/lib/joblet/jobs/{job}/work/file"
    until(lambda: host.exec("cat", file, check=False).stdout == "alive\n")
    host.exec("systemctl", "stop", host.unit(job))
    unmount = 'umount $(grep -o "/var/lib/joblet/jobs/[^ ]*" /proc/mounts)'
    for command in (unmount, "rm -r /run/joblet", "rm -r /var/lib/joblet"):
        assert f"  {command} " in purged.stdout
        host.exec("sh", "-ec", command)

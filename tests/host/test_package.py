"""The package on a host of its own: installed, removed, purged, and what doctor says."""

from __future__ import annotations

import json

from hosts import Host

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
    # Containers of the lab may have no controllers; doctor must then not claim limits.
    controllers = host.exec("cat", "/sys/fs/cgroup/cgroup.controllers").stdout.split()
    assert found["max_memory"]["holds"] == ("memory" in controllers)

    job = host.run("sleep", "300")
    host.running(job)
    host.exec("apt-get", "-y", "remove", "joblet", "rnx", "joblet-init")
    assert host.exec("systemctl", "is-active", host.unit(job)).stdout.strip() == "active"
    assert host.exec("systemctl", "is-active", *UNITS, check=False).stdout == "inactive\n" * len(UNITS)
    host.exec("systemctl", "stop", host.unit(job))
    purged = host.exec("apt-get", "-y", "purge", "joblet", "rnx", "joblet-init")
    assert "/var/lib/joblet" in purged.stdout + purged.stderr
    left = host.exec("sh", "-c", "ls -d /etc/joblet /usr/lib/joblet /run/joblet /usr/bin/rnx 2>/dev/null || true")
    assert left.stdout == ""
    assert host.exec("ls", "/var/lib/joblet/joblet.db").returncode == 0

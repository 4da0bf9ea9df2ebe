"""What an administrator does to the units of jobs with systemd's own means, besides stopping them."""

from __future__ import annotations

import pytest
from hosts import Host, until

COUNT = "echo run >>runs; wc -l <runs; sleep 300"


@pytest.mark.parametrize("reload", [False, True], ids=["", "after a reload"])
@pytest.mark.parametrize("what", ["unit", "slice"])
def test_a_restart_ends_a_job_and_does_not_run_it_again(host: Host, what: str, reload: bool) -> None:
    """As needrestart(1) would do after an upgrade of what jobs use."""
    job = host.run("sh", "-c", COUNT)
    until(lambda: host.log_so_far(job) == b"1\n")
    if reload:
        host.exec("systemctl", "daemon-reload")
    host.exec("systemctl", "restart", host.unit(job) if what == "unit" else "joblet-jobs.slice", check=False)
    status = host.result(job)
    assert (status["status"], status["reason"]) == ("STOPPED", "stopped through systemd")
    until(lambda: host.exec("systemctl", "list-units", "--all", "--no-legend", host.unit(job)).stdout == "")
    host.exec("journalctl", "--namespace=joblet", "--sync")
    records = host.exec("journalctl", "--namespace=joblet", "--output=cat", f"JOBLET_JOB={job}").stdout.splitlines()
    assert records[-2:] == ["1", "Killed by signal SIGTERM"]
    assert host.rnx("job", "run", "--wait", "echo", "well").stdout == "well\n"


def test_a_restart_does_not_come_in_the_way_of_further_attempts(host: Host) -> None:
    job = host.run("--retries=2", "--retry-delay=1s", "sh", "-c", COUNT)
    for attempt in (1, 2):
        until(lambda attempt=attempt: host.log_so_far(job).split()[attempt - 1 :] == [b"%d" % attempt])
        host.exec("systemctl", "kill", "--signal=KILL", host.unit(job))
    until(lambda: host.log_so_far(job) == b"1\n2\n3\n")
    host.exec("systemctl", "restart", host.unit(job), check=False)
    status = host.result(job)
    assert (status["status"], status["attempt"]) == ("STOPPED", 3)

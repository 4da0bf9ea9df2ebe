"""What an administrator does to the units of jobs with systemd's own means, besides stopping them."""

from __future__ import annotations

import pytest
from hosts import Host, until

SLICE = "joblet-jobs.slice"
TICK = "i=0; while sleep 0.1; do i=$((i + 1)); echo $i; done"
COUNT = "echo run >>runs; wc -l <runs; sleep 300"


@pytest.mark.parametrize("reload", [False, True], ids=["", "after a reload"])
@pytest.mark.parametrize("what", ["unit", "slice"])
def test_a_restart_ends_a_job_and_does_not_run_it_again(host: Host, what: str, reload: bool) -> None:
    """As needrestart(1) would do after an upgrade of what jobs use."""
    job = host.run("sh", "-c", COUNT)
    until(lambda: host.log_so_far(job) == b"1\n")
    if reload:
        host.exec("systemctl", "daemon-reload")
    host.exec("systemctl", "restart", host.unit(job) if what == "unit" else SLICE, check=False)
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


def needs_the_freezer(host: Host, job: str) -> None:
    group = host.exec("systemctl", "show", "--value", "--property=ControlGroup", host.unit(job)).stdout.strip()
    if "cgroup.freeze" not in host.exec("ls", f"/sys/fs/cgroup{group}").stdout:
        pytest.skip("this host's control groups cannot be frozen")


def test_a_frozen_job_goes_on_when_it_is_thawed_and_can_be_stopped(host: Host) -> None:
    job = host.run("sh", "-c", TICK)
    until(lambda: host.log_so_far(job))
    needs_the_freezer(host, job)
    host.exec("systemctl", "freeze", host.unit(job))
    frozen = host.log_so_far(job)
    assert host.log_so_far(job) == frozen
    assert host.rnx("job", "status", job).returncode == 0
    host.exec("systemctl", "thaw", host.unit(job))
    until(lambda: len(host.log_so_far(job)) > len(frozen) + 3)
    host.exec("systemctl", "freeze", host.unit(job))
    assert host.rnx("job", "stop", job).returncode == 0
    assert host.status(job)["status"] == "STOPPED"


def test_all_jobs_wait_while_their_slice_is_frozen(host: Host) -> None:
    """Until 256 systemd starts what is frozen, and gives up after a minute; it stops it, too."""
    job = host.run("sh", "-c", TICK)
    until(lambda: host.log_so_far(job))
    needs_the_freezer(host, job)
    host.exec("systemctl", "freeze", SLICE)
    try:
        waiting = host.run("echo", "went on")
        stop = host.popen("job", "stop", job)
        if host.suite != "bookworm":
            until(lambda: "joblet-jobs.slice is frozen" in host.status(waiting)["reason"])
            until(lambda: host.status(job)["status"] == "STOPPING")
            assert stop.poll() is None
    finally:
        host.exec("systemctl", "thaw", SLICE)
    _, said = stop.communicate(timeout=60)
    assert stop.returncode == 0, said
    assert host.status(job)["status"] == "STOPPED"
    assert host.log(waiting) == b"went on\n"
    assert host.result(waiting)["attempt"] == 1


NEEDRESTART = """
our %nrconf = (override_rc => {qr(^dbus) => 0});
eval do { local(@ARGV, $/) = "/etc/needrestart/conf.d/joblet.conf"; <> };
die $@ if $@;
foreach my $unit (@ARGV) {
    my @matching = grep { $unit =~ /$_/ } keys %{$nrconf{override_rc}};
    print "$unit ", @matching ? $nrconf{override_rc}->{$matching[0]} : "restarted", "\\n";
}
"""


def test_needrestart_leaves_jobs_alone_unless_told_otherwise(host: Host) -> None:
    """Its file is read and used as needrestart(1) does, which is no part of the host."""
    job = "joblet-job-00000000-0000-4000-8000-000000000000.service"
    said = host.exec("perl", "-we", NEEDRESTART, job, "joblet.service")
    assert (said.stdout, said.stderr) == (f"{job} 0\njoblet.service restarted\n", "")

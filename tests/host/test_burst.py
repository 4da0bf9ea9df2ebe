"""Many at once: all of them run, none is lost, nothing is left behind."""

from __future__ import annotations

from hosts import Host, until
from test_access import node, stub

from joblet_wire import joblet_pb2

MANY = 300


def leftovers(host: Host) -> dict[str, str]:
    """What jobs use on a host, as far as it must be gone with them."""
    commands = {
        "units": "systemctl list-units --all --no-legend 'joblet-job-*'",
        "directories": "ls /var/lib/joblet/jobs",
        "control groups": "find /sys/fs/cgroup -name 'joblet-job-*'",
        "namespaces": "lsns --noheadings --output NS,COMMAND | grep joblet-init || true",
        "mounts": "grep -e joblet-job -e ' /var/lib/joblet' /proc/mounts || true",
        "loop devices": "grep -h /var/lib/joblet /sys/block/loop*/loop/backing_file || true",
        "run-time unit files": "ls /run/systemd/transient | grep joblet-job || true",
    }
    return {what: host.exec("sh", "-c", command).stdout.strip() for what, command in commands.items()}


def test_three_hundred_at_once(host: Host) -> None:
    kept = leftovers(host)["directories"]  # of tests before this one
    reached = node(host)
    service = stub(host, reached["key"].encode(), reached["cert"].encode())
    calls = [
        service.RunJob.future(joblet_pb2.RunJobRequest(command="sh", args=["-c", f"echo {number}"]), timeout=60)
        for number in range(MANY)
    ]
    jobs = [call.result().job_uuid for call in calls]
    assert len(set(jobs)) == MANY

    def states() -> dict[str, str]:
        listed = service.ListJobs(joblet_pb2.EmptyRequest(), timeout=30).jobs
        return {job.uuid: job.status for job in listed}

    until(lambda: all(states()[job] not in ("PENDING", "INITIALIZING", "RUNNING") for job in jobs), 240)
    found = states()
    assert [found[job] for job in jobs] == ["COMPLETED"] * MANY
    for number in (0, 1, MANY // 2, MANY - 1):
        assert host.log(jobs[number]) == b"%d\n" % number
    until(lambda: leftovers(host) == {**dict.fromkeys(leftovers(host), ""), "directories": kept}, 20)


def test_one_after_the_other(host: Host) -> None:
    """What a unit requires may have a start limit, which jobs in parallel do not reach."""
    for number in range(12):
        done = host.rnx("job", "run", "--wait", "echo", str(number))
        assert (done.returncode, done.stdout) == (0, f"{number}\n"), done.stderr

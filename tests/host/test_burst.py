"""Many at once: all of them run, none is lost, nothing is left behind."""

from __future__ import annotations

from hosts import FINAL, LOOP_DEVICES, MOUNTED_IMAGES, Host, until
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
        "mounts": "grep joblet-job /proc/mounts || true",
        "images": f"{MOUNTED_IMAGES} || true",
        "loop devices": LOOP_DEVICES,
        "run-time unit files": "ls /run/systemd/transient | grep joblet-job || true",
    }
    return {what: host.exec("sh", "-c", command).stdout.strip() for what, command in commands.items()}


def test_three_hundred_at_once(host: Host) -> None:
    kept = set(leftovers(host)["directories"].split())  # of tests before this one
    reached = node(host)
    service = stub(host, reached["key"].encode(), reached["cert"].encode())
    calls = [
        service.RunJob.future(joblet_pb2.RunJobRequest(command="sh", args=["-c", f"echo {number}"]), timeout=120)
        for number in range(MANY)
    ]
    jobs = [call.result().job_uuid for call in calls]
    assert len(set(jobs)) == MANY

    def ends() -> list[joblet_pb2.Job] | None:
        """What became of them, when all have ended."""
        listed = {job.uuid: job for job in service.ListJobs(joblet_pb2.EmptyRequest(), timeout=60).jobs}
        return [listed[job] for job in jobs] if all(listed[job].status in FINAL for job in jobs) else None

    assert not [job for job in until(ends, 240) if job.status != "COMPLETED"]
    for number in (0, 1, MANY // 2, MANY - 1):
        assert host.log(jobs[number]) == b"%d\n" % number

    def nothing_new() -> bool:
        left = leftovers(host)
        # Those of tests before this one may go meanwhile.
        directories = set(left.pop("directories").split())
        return not any(left.values()) and directories <= kept

    until(nothing_new)


def test_one_after_the_other(host: Host) -> None:
    """What a unit requires may have a start limit, which jobs in parallel do not reach."""
    for number in range(12):
        done = host.rnx("job", "run", "--wait", "echo", str(number))
        assert (done.returncode, done.stdout) == (0, f"{number}\n"), done.stderr

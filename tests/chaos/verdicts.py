"""What must be true after a storm: of every job, of every schedule, and of the host."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from driver import STDERR, Track
from hosts import FINAL, Host
from kinds import FULL, REPEATS_SEC, Plan

from joblet_wire import joblet_pb2 as wire

USEC = 1_000_000
LOST_SIGHT = "start-failed: systemd lost sight of the job"
LOSES_SIGHT_SINCE = 257  # systemd
# So many jobs at most are being started when PID 1 re-executes itself (jobs.starts_in_flight).
LOST_AT_ONCE = 4
# What PID 1 says of a start, and what it learns of the process that it has started, may change places.
AMISS_SEC = 2.0
# sd-messages.h: SD_MESSAGE_UNIT_STARTING, SD_MESSAGE_UNIT_STARTED
STARTING, STARTED = "7d4958e842da4a758f6c1cdc7b36dcc5", "39f53479d3a045ac8e11786248231fbf"
# A run comes within this time after its moment when the daemon is there.
PROMPT_SEC = 1.5
# What cannot be started, for the disk is full, is tried again so much later; what is missed meanwhile is not made up.
LATER_SEC = 7.0


def of_job(track: Track, starting: Collection[str]) -> list[str]:
    """What is wrong with one job's result or its log; ``starting`` are those that PID 1 may have lost sight of."""
    plan, status = track.plan, track.status
    if status is None:
        return [f"{plan.name} ({track.job or 'no id'}): {track.stage} and came to no end"]
    faults = [track.trouble] if track.trouble else []
    for stream, stored in track.stored.items():
        if (followed := track.followed[stream]) != stored:
            faults.append(f"stream {stream}: its follower got {len(followed)} bytes, {len(stored)} are stored")
    # It met the full disk, and says so itself: what becomes of it then depends on when that was. Or PID 1 has lost
    # sight of it while it re-executed itself, and that is told (docs/design-deviations.md).
    met_full_disk = plan.writes and any(word in track.stored[STDERR] for word in FULL)
    if met_full_disk or (_lost(track) and track.job in starting):
        return [f"{plan.name} ({track.job}): {fault}" for fault in faults]
    ends = [(end.status, end.exit_code, end.reason) for end in plan.ends]
    seen = (status.status, status.exit_code, status.reason)
    if seen not in ends:
        faults.append(f"ended as {seen} instead of {' or '.join(map(str, ends))}")
    if plan.attempts > 1 and status.attempt != plan.attempts:
        faults.append(f"took {status.attempt} attempts instead of {plan.attempts}")
    if plan.act.startswith("update") and track.acted == "done":
        changed = status.priority if plan.act == "update" else status.max_cpu
        if changed != 77:
            faults.append(f"was updated to 77, has {changed}")
    files = {path: content for path, content in track.files.items() if content or path in plan.files}
    if plan.files and files != plan.files:
        faults.append(f"its files are {sorted(files)}, or differ from those that were sent: {sorted(plan.files)}")
    for stream, wanted in ((1, plan.out), (STDERR, plan.err)):
        if fault := wanted.fault(bytes(track.stored[stream])):
            faults.append(f"stream {stream} as stored: {fault}")
    if status.status == "STOPPED" and plan.act == "stop" and track.acted == "":
        faults.append("was stopped before anybody asked for that")
    return [f"{plan.name} ({track.job}): {fault}" for fault in faults]


def _lost(track: Track) -> bool:
    return track.status is not None and track.status.reason.startswith(LOST_SIGHT)


def starting(host: Host) -> list[set[str]]:
    """For each re-execution of PID 1, the jobs that it was just starting; none where no harm comes of that."""
    version = int(host.exec("systemctl", "--version").stdout.split()[1])
    lines = host.exec("journalctl", "_PID=1", "-o", "json", "--no-pager").stdout.splitlines()
    return starts_at_reexecutions(map(json.loads, lines)) if version >= LOSES_SIGHT_SINCE else []


def starts_at_reexecutions(entries: Iterable[Mapping[str, object]]) -> list[set[str]]:
    """The same from PID 1's entries in the journal, in their order."""
    found = []
    begun: dict[str, float] = {}  # when their start was over; infinity while it goes on
    for entry in entries:
        when = int(str(entry["__MONOTONIC_TIMESTAMP"])) / USEC
        unit = re.fullmatch(r"joblet-job-(.+)\.service", str(entry.get("UNIT", "")))
        if unit and entry.get("MESSAGE_ID") == STARTING:
            begun[unit[1]] = math.inf
        elif unit and entry.get("MESSAGE_ID") == STARTED:
            begun[unit[1]] = when
        elif str(entry["MESSAGE"]).startswith("Reexecuting."):
            found.append({job for job, over in begun.items() if over >= when - AMISS_SEC})
            begun.clear()
    return found


def of_sight(tracks: Sequence[Track], starting: Sequence[Collection[str]]) -> list[str]:
    """PID 1 loses sight of few jobs at a time, if any."""
    lost = {track.job for track in tracks if _lost(track)}
    return [
        f"systemd lost sight of {len(lost & set(jobs))} jobs at once, which is more than it starts at once"
        for jobs in starting
        if len(lost & set(jobs)) > LOST_AT_ONCE
    ]


def of_names(plans: Sequence[Plan], jobs: Sequence[wire.Job]) -> list[str]:
    """Each submission made one job, whatever broke on the way, and nothing has not ended."""
    found = Counter(job.name for job in jobs if not job.parent)
    faults = [f"{found[plan.name]} jobs are called {plan.name}" for plan in plans if found[plan.name] != 1]
    return faults + [f"{job.name} ({job.uuid}) is still {job.status}" for job in jobs if job.status not in FINAL]


# --- schedules


@dataclass(frozen=True)
class Outage:
    """When the daemon was not serving, in seconds since the epoch."""

    since: float
    until: float


def outages(host: Host) -> list[Outage]:
    """From the daemon's journal: from each end of it to when the next one served."""
    lines = host.exec("journalctl", "-u", "joblet.service", "-o", "json", "--no-pager").stdout.splitlines()
    found, since = [], 0.0
    for entry in map(json.loads, lines):
        message, when = str(entry["MESSAGE"]), int(entry["__REALTIME_TIMESTAMP"]) / USEC
        if "serving; systemd" in message:
            found.append(Outage(since, when))
            since = math.inf
        elif re.search(r"stopping; jobs go on|joblet.service: Main process exited|^Stopping ", message):
            since = min(since, when)
    return found if since is math.inf else [*found, Outage(since, math.inf)]


def of_schedules(host: Host, parents: Sequence[Track], starting: Collection[str]) -> list[str]:
    """Each moment of a repeating schedule started one run at most, and one if the daemon was there and could.

    ``starting`` is as for ``of_job``.
    """
    down = outages(host)
    log = host.exec("journalctl", "-u", "joblet.service", "-o", "json", "--no-pager").stdout.splitlines()
    said = [(int(entry["__REALTIME_TIMESTAMP"]) / USEC, str(entry["MESSAGE"])) for entry in map(json.loads, log)]
    query = (
        "import json, sqlite3; d = sqlite3.connect('file:/var/lib/joblet/joblet.db?mode=ro', uri=True);"
        "print(json.dumps([*d.execute('SELECT parent, id, submitted_usec, ended_usec, state, reason FROM jobs')]))"
    )
    rows = json.loads(host.exec("python3", "-c", query).stdout)
    faults = []
    for track in parents:
        runs = [row for row in rows if row[0] == track.job]
        own = next(row for row in rows if row[1] == track.job)
        name = track.plan.name
        if own[3] is None:
            continue  # it has not ended, which of_names tells
        faults += [
            f"{name}: a run ended as {state}, {reason!r}"
            for _, run, _, _, state, reason in runs
            if state != "COMPLETED" and not (reason.startswith(LOST_SIGHT) and run in starting)
        ]
        moments = [math.floor(run[2] / USEC / REPEATS_SEC) for run in runs]
        faults += [f"{name}: {times} runs at {moment}" for moment, times in Counter(moments).items() if times > 1]
        excuses = [when for when, message in said if track.job in message and re.search("skipped|cannot", message)]
        for moment in range(math.ceil(own[2] / USEC / REPEATS_SEC), math.floor(own[3] / USEC / REPEATS_SEC) - 1):
            at = moment * REPEATS_SEC
            excused = any(when - REPEATS_SEC <= at <= when + LATER_SEC for when in excuses) or any(
                outage.since - 0.1 <= at + PROMPT_SEC and outage.until >= at for outage in down
            )
            if moment not in moments and not excused:
                faults.append(f"{name}: no run at {at}, though the daemon was there")
    return faults


# --- the host

# A command that prints one line for each thing that must not be there.
LEFTOVERS = {
    "units": "systemctl list-units --all --plain --no-legend 'joblet-job-*'",
    "drop-ins of units": "find /run/systemd/transient /run/systemd/system.control -path '*joblet-job-*' 2>/dev/null",
    "mounts": "grep -E 'joblet-job-|/joblet/jobs/' /proc/self/mountinfo",
    "processes": "ps -eo user:32=,pid=,args= | grep '^joblet-'",
    "processes in the slice": "cat $(find /sys/fs/cgroup/joblet.slice -name cgroup.procs) 2>/dev/null",
    "control sockets": "find /run/joblet/control -mindepth 1 2>/dev/null",
    "secrets": "find /var/lib/joblet/secrets -mindepth 1 2>/dev/null",
    "failed units": "systemctl list-units --failed --plain --no-legend",
    "faults in the daemon's log": "journalctl -u joblet.service -o cat --no-pager"
    " | grep -E -A30 'Traceback|never retrieved|a bug|background task failed'",
    "a damaged store": "python3 -c \"import sqlite3; d = sqlite3.connect('file:/var/lib/joblet/joblet.db?mode=ro',"
    " uri=True); print(*d.execute('PRAGMA integrity_check').fetchone())\" | grep -vx ok",
}


def of_host(host: Host) -> list[str]:
    """What is left over, beyond the files of jobs that are kept as configured."""
    faults = []
    for what, command in LEFTOVERS.items():
        lines = host.exec("sh", "-c", command, check=False).stdout.splitlines()
        faults += [f"left over, {what}: {line}" for line in lines[:40]]
    there = set(host.exec("ls", "-A", "/var/lib/joblet/jobs").stdout.split())
    query = (
        "import sqlite3; d = sqlite3.connect('file:/var/lib/joblet/joblet.db?mode=ro', uri=True);"
        "print(*[row[0] for row in d.execute('SELECT id FROM jobs WHERE files_kept')])"
    )
    kept = set(host.exec("python3", "-c", query).stdout.split())
    faults += [f"left over, files: {name}" for name in sorted(there - kept) if not name.startswith(".template-")]
    faults += [f"the files of {name} should have been kept" for name in sorted(kept - there)]
    devices = host.exec("losetup", "--list", "--noheadings", "--output=BACK-FILE").stdout.split()
    # Loop devices are the whole machine's: those of other hosts are not meant.
    faults += [f"left over, a loop device: {path}" for path in devices if any(name in path for name in there)]
    return faults

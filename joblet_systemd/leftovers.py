"""What jobs that are gone have left on this host: units, directories, mounts, control sockets, secret variables.

The daemon removes all this itself, at the end of a job or at its next start. This is for an administrator who
wants to see that, or whose daemon does not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from . import config as configuration
from .config import JobsConfig
from .errors import JobletError
from .files.work import WorkDirs
from .jobs.places import Places
from .model import UNIT_PATTERN, State, job_id_of_unit
from .store import Store
from .systemd.manager import ENDED, Manager

# What is younger may belong to a job that is being submitted at this moment.
SETTLED_SEC = 10.0
TRIAL_PREFIX = "trial-"
TRIAL_OVER_SEC = 120.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing: what it is, why nobody needs it, and what removes it; None where only a person can decide that."""

    what: str
    why: str
    remove: Callable[[], Awaitable[None]] | None


def main(*, as_json: bool, yes: bool) -> int:
    """Print what jobs that are gone have left, and remove it, asking first; 0 when nothing is left, else 1."""
    return asyncio.run(_main(as_json=as_json, yes=yes))


async def _main(*, as_json: bool, yes: bool) -> int:
    path = configuration.STATE_DIR / "joblet.db"
    if not path.exists():
        raise JobletError(
            f"There is no job store {path}, so nothing tells what is left over.",
            hint="'systemctl start joblet.service' makes one; if there was one, bring it back first.",
        )
    places = Places.of(configuration.RUNTIME_DIR, configuration.STATE_DIR, JobsConfig())
    async with contextlib.AsyncExitStack() as parts:
        manager = Manager(UNIT_PATTERN)
        await manager.connect()
        parts.push_async_callback(manager.close)
        store = Store(path)
        parts.callback(store.close)
        found = await find(manager, store, places)
        _show(found, as_json=as_json)
        removals = [one.remove for one in found if one.remove]
        if not removals or not (yes or _agreed(len(removals))):
            return 1 if found else 0
        removed, failed = await _remove_all(found, partial(find, manager, store, places))
    print(f"{removed} of {len(found)} are removed.", file=sys.stderr)
    return 1 if failed or len(found) > len(removals) else 0


async def _remove_all(found: list[Leftover], look: Callable[[], Awaitable[list[Leftover]]]) -> tuple[int, int]:
    """How many were removed, and how many could not be."""
    removed = failed = 0
    for one in found:
        if one.remove is None:
            continue
        try:
            # Once more each: since they were listed and agreed on, a job may have started that has use for it.
            if any(same.what == one.what and same.remove for same in await look()):
                await one.remove()
                removed += 1
        except JobletError as error:
            print(f"jobletd: {error}", file=sys.stderr)
            failed += 1
    return removed, failed


def _show(found: list[Leftover], *, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps([{"what": one.what, "why": one.why, "removable": bool(one.remove)} for one in found], indent=2)
        )
    elif not found:
        print("Nothing is left over.")
    else:
        for one in found:
            print(f"{'left' if one.remove else 'look'}  {one.what}: {one.why}")


def _agreed(number: int) -> bool:
    if not sys.stdin.isatty():
        print("jobletd: nothing is removed; --yes removes what can be.", file=sys.stderr)
        return False
    return click.confirm(f"Remove {number}?", err=True)


async def find(manager: Manager, store: Store, places: Places) -> list[Leftover]:
    """All leftovers. Raises JobletError when PID 1 or the store does not answer."""
    # In this order: a job is in the store before it has a unit, and its directory only moments before.
    directories = [job_id for job_id in places.work.ids() if _settled(places.work.path(job_id).parent)]
    files = [
        (job_id, kind, path)
        for kind, ids, directory in (
            ("control socket", places.controls.ids(), places.controls.path),
            ("secret variables", places.credentials.ids(), places.credentials.path),
        )
        for job_id in ids
        if _settled(path := directory(job_id))
    ]
    units = await manager.states()
    unfinished = {job.id: job.state for job in store.unfinished()}  # each may have megabytes besides
    active = {job_id_of_unit(name) for name, state in units.items() if state not in ENDED}
    needed = unfinished.keys() | active

    found = [*_trials(active)]
    if await manager.has_ended("joblet.service"):  # else they are what it is at
        found += [
            Leftover(
                str(places.work.path(name).parent),
                "a daemon that was killed was making it",
                partial(_remove, places, name),
            )
            for name in sorted(places.work.unfinished())
        ]
    for name, state in sorted(units.items()):
        if job_id_of_unit(name) in unfinished:
            continue
        if state in ENDED:
            found.append(
                Leftover(name, f"it is {state}, and its job's end is recorded", partial(manager.release, name))
            )
        else:
            why = f"it is {state}, and no unfinished job of the store is its; 'systemctl stop {name}' ends it"
            found.append(Leftover(name, why, None))
    kept = store.kept().keys()
    for job_id in sorted(set(directories) - needed - kept):
        why = "no job that the store knows has files there"
        found.append(Leftover(str(places.work.path(job_id).parent), why, partial(_remove, places, job_id)))
    waiting = (State.PENDING, State.SCHEDULED)
    at_work = {job_id for job_id, state in unfinished.items() if state not in waiting} | active
    for job_id in sorted(set(places.work.mounted(directories)) - at_work):
        if job_id in needed | kept:
            why = "it is mounted, and its job does not run"
            found.append(Leftover(str(places.work.path(job_id)), why, partial(_unmount, places, job_id)))
    for job_id, kind, path in sorted(files):
        if job_id not in needed:
            found.append(Leftover(str(path), f"{kind} of a job that has ended", partial(_unlink, path)))
    return found


def _trials(active: Set[str | None]) -> Iterator[Leftover]:
    """What a 'jobletd doctor' that was killed has left of its trial job."""
    for directory in sorted(configuration.RUNTIME_DIR.glob(f"{TRIAL_PREFIX}*")):
        work = WorkDirs(directory / "jobs", JobsConfig())
        if _settled(directory, TRIAL_OVER_SEC) and not active & set(work.ids()):
            why = "the trial job of a 'jobletd doctor' that was killed"
            yield Leftover(str(directory), why, partial(_remove_trial, work, directory))


def _settled(path: Path, seconds: float = SETTLED_SEC) -> bool:
    try:
        return time.time() - path.lstat().st_ctime > seconds
    except FileNotFoundError:
        return False


async def _remove_trial(work: WorkDirs, directory: Path) -> None:
    for name in (*work.ids(), *work.unfinished()):
        await asyncio.to_thread(work.remove, name)
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise JobletError(f"{directory} cannot be removed: {error}.") from error


async def _remove(places: Places, job_id: str) -> None:
    await asyncio.to_thread(places.work.remove, job_id)


async def _unmount(places: Places, job_id: str) -> None:
    await asyncio.to_thread(places.work.unmount, job_id)


async def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise JobletError(f"{path} cannot be removed: {error.strerror}.") from error

"""Jobs as they are in lists: what of them is long is left out there, and the job by itself has it. Pure.

Else a few thousand of them, each with the megabyte that it may have, would be more than the daemon can hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ..model import Job, shortened

MAX_BYTES = 2 << 10
# What is left of a command that is longer: a list without any would be of little use.
SHOWN = 60


def brief(job: Job, most: int = MAX_BYTES) -> tuple[Job, list[str]]:
    """The job with no detail of more than ``most`` bytes, and the names of those that are cut.

    Arguments, variables, names of secrets and of uploads are left out then, and a command is shortened.
    """
    spec = job.spec
    details = {
        "command": (spec.command,),
        "args": spec.args,
        "environment": (part for item in spec.environment.items() for part in item),
        "secrets": spec.secrets,
        "uploads": job.uploads,
    }
    cut = [name for name, words in details.items() if _bytes(words) > most]
    # Of jobs that failed under joblet 0.3 and before, the reason repeats the command.
    reason = shortened(job.reason, max(most, SHOWN))
    if not cut and reason == job.reason:
        return job, cut
    spec = dataclasses.replace(
        spec,
        command=shortened(spec.command, SHOWN) if "command" in cut else spec.command,
        args=() if "args" in cut else spec.args,
        environment={} if "environment" in cut else spec.environment,
        secrets=() if "secrets" in cut else spec.secrets,
    )
    return dataclasses.replace(job, spec=spec, uploads=() if "uploads" in cut else job.uploads, reason=reason), cut


def _bytes(words: Iterable[str]) -> int:
    return sum(len(word.encode(errors="replace")) for word in words)

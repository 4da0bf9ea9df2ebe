"""Jobs as they are in lists: what of them is long is left out there, and the job by itself has it. Pure.

Else a few thousand of them, each with the megabyte that it may have, would be more than the daemon can hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from ..model import SHOWN, Job, details, shortened, without

MAX_BYTES = 2 << 10


def brief(job: Job, most: int = MAX_BYTES) -> tuple[Job, list[str]]:
    """The job with no detail of more than ``most`` bytes, and the names of those that are cut.

    Arguments, variables, names of secrets and of uploads are left out then, and a command is shortened.
    """
    cut = [name for name, words in details(job).items() if _bytes(words) > most]
    # Of jobs that failed under joblet 0.3 and before, the reason repeats the command.
    reason = shortened(job.reason, max(most, SHOWN))
    if not cut and reason == job.reason:
        return job, cut
    return dataclasses.replace(without(job, cut), reason=reason), cut


def _bytes(words: Iterable[str]) -> int:
    return sum(len(word.encode(errors="replace")) for word in words)

"""What Prometheus is told of, apart from how: whoever is never scraped loads no ``prometheus``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..model import Job
from .counts import Counts
from .sample import Sample


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it as it is at one moment. ``stored`` counts all jobs, ``log_dropped`` reports by their reason."""

    jobs: Collection[Job]
    samples: Mapping[str, Sample]
    counts: Counts
    stored: int
    queued: int
    log_followers: int
    log_dropped: Mapping[str, int]

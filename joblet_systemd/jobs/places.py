"""Where jobs have what on this host's disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..config import JobsConfig
from ..files.root import Roots
from ..files.work import WorkDirs
from ..systemd.credentials import Credentials
from ..unit import SECRETS_CREDENTIAL
from .control import Controls


@dataclass(frozen=True, slots=True)
class Places:
    """The root and /etc of jobs, their /work, control sockets and secret variables."""

    roots: Roots
    work: WorkDirs
    controls: Controls
    credentials: Credentials

    @classmethod
    def prepare(cls, runtime: Path, state: Path, config: JobsConfig) -> Places:
        """Make the directories that are missing: below ``runtime``, a tmpfs, and below ``state``, a disk."""
        places = cls(
            Roots(runtime),
            WorkDirs(state / "jobs", config),
            Controls(runtime / "control"),
            Credentials(state / "secrets", SECRETS_CREDENTIAL),
        )
        for place in (places.roots, places.work, places.controls, places.credentials):
            place.prepare()
        return places

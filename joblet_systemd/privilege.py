"""What only root may do."""

from __future__ import annotations

import os

from .errors import Denied


def must_be_root(command: str) -> None:
    """Raises Denied for anyone else."""
    if os.geteuid() != 0:
        raise Denied(f"'jobletd {command}' must be run as root.", hint=f"Try: sudo jobletd {command} ...")

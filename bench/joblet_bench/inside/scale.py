"""How much is measured: all of it in some minutes, or just enough to see that it works."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers of rounds and of what is made in each."""

    rounds: int = 12
    calls: int = 60
    batch: int = 40
    pairs: int = 6
    lines: int = 200
    flood_lines: int = 200_000
    running: int = 200
    followers: int = 500
    look_sec: float = 20.0
    stored: int = 100_000


FULL = Scale()
QUICK = Scale(3, 10, 10, 2, 40, 20_000, 10, 20, 4.0, 5_000)


def tell(text: str) -> None:
    """Say what is under way."""
    print(f"  {text}", file=sys.stderr, flush=True)

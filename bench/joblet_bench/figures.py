"""Figures with their spread, and what they are compared with."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A median, the quartiles around it, and of how many measurements."""

    median: float
    low: float
    high: float
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """That of some values, one at least."""
        if not values:
            raise ValueError("there is no spread of nothing")
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], others: Sequence[float]) -> Spread:
        """Of the ratios of measurements that were taken in turn, pair by pair: what drifts, drifts for both."""
        return cls.of([value / other for value, other in zip(values, others, strict=True)])


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which that many percent of them are."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


@dataclass(frozen=True)
class Budget:
    """The most, or the least, that something may be. ``text`` is as DESIGN.md or the issue has it."""

    text: str
    limit: float
    least: bool = False

    def met(self, value: float) -> bool:
        """Whether the value is within it."""
        return value >= self.limit if self.least else value <= self.limit


@dataclass(frozen=True)
class Finding:
    """One line of the table: a figure, beside what it stands if anything, and whether a budget is met.

    ``ratio`` is figure by ``beside``'s figure. Of ``why_not`` the figure is missing.
    """

    row: str
    what: str
    unit: str = ""
    figure: Spread | None = None
    beside: str = ""
    ratio: Spread | None = None
    budget: str = ""
    met: bool | None = None
    why_not: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Finding:
        """The same from plain values."""
        spreads = {name: Spread(**values[name]) for name in ("figure", "ratio") if values[name] is not None}
        return cls(**{**values, **spreads})

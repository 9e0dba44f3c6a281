"""Medians and spreads, and whether two arms differ."""

from collections.abc import Sequence
from dataclasses import dataclass
import statistics

#: With fewer rounds, all of them in one direction are no surprise: with five,
#: the chance is 1 in 16 (the sign test, both directions).
FEWEST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several values, and the least and the greatest."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How often one arm is what another one is, round by round."""

    ratio: Spread
    rounds: int

    @property
    def shown(self) -> bool:
        """Whether each round shows a difference in the same direction."""
        apart = self.ratio.least > 1 or self.ratio.most < 1
        return apart and self.rounds >= FEWEST_ROUNDS


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def compare(first: Sequence[float], other: Sequence[float]) -> Comparison:
    """Return ``other`` by ``first``, whose values are of the same rounds.

    Arms run in turn, so that what slows a round down slows both.
    """
    ratios = [b / a for a, b in zip(first, other, strict=True)]
    return Comparison(spread(ratios), len(ratios))

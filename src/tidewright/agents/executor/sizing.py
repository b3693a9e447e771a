"""Sizes by fractional Kelly: how much of the configured quantity is quoted, from what trading has earned so far."""

import math
from dataclasses import dataclass
from typing import Any

from tidewright.market.errors import UsageError
from tidewright.risk import kelly


@dataclass(frozen=True, slots=True)
class SizingRules:
    """How sizes follow the edge.

    Attributes
    ----------
    fraction
        Of Kelly's exposure, in (0, 1].
    least
        Share of ``base_quantity`` that is always quoted, in (0, 1]: who does not trade learns nothing.
    half_life
        Blocks after which a result counts half.
    block
        Cycles whose results are added up to one: neighbouring cycles hang together.
    """

    fraction: float = 0.25
    least: float = 0.25
    half_life: float = 48.0
    block: int = 10

    def __post_init__(self) -> None:
        for name, value in (("kelly_fraction", self.fraction), ("kelly_least", self.least)):
            if not 0.0 < value <= 1.0:
                raise UsageError(f"{name} must be in (0, 1], was {value}")
        if not self.half_life > 0.0 or self.block < 1:
            raise UsageError(f"half_life must be > 0 and block >= 1, were {self.half_life} and {self.block}")


class Sizer:
    """Estimates the edge of trading at the configured size, and what share of it to trade.

    Parameters
    ----------
    rules
        See :class:`SizingRules`.

    Attributes
    ----------
    share
        Of ``base_quantity``, in [least, 1].
    """

    def __init__(self, rules: SizingRules) -> None:
        self.rules = rules
        self.share = rules.least
        self._decay = 0.5 ** (1.0 / rules.half_life)
        self._weight = self._weight2 = self._sum = self._squares = 0.0
        self._block = 0.0
        self._cycles = 0

    def observe(self, gain: float, capital: float, traded_share: float) -> None:
        """Take in a cycle.

        Parameters
        ----------
        gain
            What trading earned in it after fees, quote; price moves of what was held at the start do not count.
        capital
            Equity, quote, > 0.
        traded_share
            Share of the configured size that was quoted: a gain with half the size is half the gain.
        """
        if capital <= 0.0 or traded_share <= 0.0:
            return
        self._block += gain / (capital * traded_share)
        self._cycles += 1
        if self._cycles < self.rules.block:
            return
        decay, value = self._decay, self._block
        self._weight = decay * self._weight + 1.0
        self._weight2 = decay * decay * self._weight2 + 1.0
        self._sum = decay * self._sum + value
        self._squares = decay * self._squares + value * value
        self._block, self._cycles = 0.0, 0
        known = kelly.sized(self.mean, self.deviation, self.error, self.rules.fraction)
        self.share = max(self.rules.least, known)

    @property
    def blocks(self) -> float:
        """Blocks that the estimate rests on, those of the past discounted (effective number)."""
        return self._weight**2 / self._weight2 if self._weight2 else 0.0

    @property
    def mean(self) -> float:
        """Return of a block at the configured size."""
        return self._sum / self._weight if self._weight else 0.0

    @property
    def deviation(self) -> float:
        """Of a block's return; 0 under two blocks."""
        if self.blocks <= 1.0:
            return 0.0
        variance = max(0.0, self._squares / self._weight - self.mean**2)
        return math.sqrt(variance * self.blocks / (self.blocks - 1.0))

    @property
    def error(self) -> float:
        """Standard error of the mean; infinite under two blocks."""
        return self.deviation / math.sqrt(self.blocks) if self.blocks > 1.0 else math.inf

    def state(self) -> dict[str, Any]:
        """Plain values, for displays."""
        known = self.blocks > 1.0
        return {
            "share": self.share,
            "fraction": self.rules.fraction,
            "blocks": self.blocks,
            "mean": self.mean,
            "deviation": self.deviation,
            "error": self.error if known else None,
        }

    def text(self) -> str:
        """One line for people."""
        if self.blocks <= 1.0:
            return f"Kelly: {self.share:.0%} of base_quantity, nothing is known of the edge yet"
        return (
            f"Kelly: {self.share:.0%} of base_quantity, edge {1e4 * self.mean:+.4f} +- {1e4 * self.error:.4f} bp of "
            f"equity in {self.rules.block} cycles at full size"
        )

"""Market impact in the slow model: papers.md, "Square-root law", on what a taker takes."""

import math
from dataclasses import dataclass, field
from fractions import Fraction

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000


@dataclass
class Tally:
    """What the tape has shown so far: all prints, and mids at least a minute apart."""

    prints: list[tuple[int, int]] = field(default_factory=list)
    mids: list[tuple[int, int]] = field(default_factory=list)
    first_ts: int | None = None

    def began(self, ts: int) -> None:
        if self.first_ts is None:
            self.first_ts = ts

    def printed(self, ts: int, qty: int) -> None:
        self.prints.append((ts, qty))

    def mid(self, ts: int, mid2: int | None) -> None:
        assert mid2 is not None
        if not self.mids or ts >= self.mids[-1][0] + MINUTE_NS:
            self.mids.append((ts, mid2))

    def volume(self, now: int) -> float:
        """Lots a day."""
        if self.first_ts is None or now <= self.first_ts:
            return 0.0
        return float(sum(qty for _, qty in self.prints)) * (DAY_NS / (now - self.first_ts))

    def volatility(self) -> float:
        """A day's."""
        if len(self.mids) < 2:
            return 0.0
        squares = 0.0
        for (_, old), (_, new) in zip(self.mids, self.mids[1:], strict=False):
            change = math.log(new / old)
            squares += change * change
        return math.sqrt(squares * (DAY_NS / (self.mids[-1][0] - self.mids[0][0])))


@dataclass(frozen=True)
class Impact:
    """I = Y sigma sqrt(Q / V) of the mid, rounded up to ticks, at most the mid."""

    factor: float = 1.0
    volatility: float | None = None
    volume: float | None = None  # base a day

    def ticks(self, lots: int, mid2: int, tally: Tally, now: int, lot: Fraction) -> int:
        sigma = tally.volatility() if self.volatility is None else self.volatility
        volume = tally.volume(now) if self.volume is None else self.volume / float(lot)
        if sigma <= 0.0 or volume <= 0.0:
            return 0
        share = self.factor * sigma * math.sqrt(lots / volume)
        return math.ceil(mid2 / 2.0 * min(share, 1.0))

"""Market impact of takers, where it is asked for: the square-root law.

A taker of Q lots moves the price by ``Y * sigma * sqrt(Q / V)`` of the mid (sigma: volatility a day, V: volume a day;
Y about 1). The exponent 1/2 holds in the full survey of Tokyo's stocks (Sato and Kanazawa, arXiv 2411.13965). The whole
of it comes on top of the walk through the book, rounded up to whole ticks (at most the mid): a cautious figure.
"""

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numba import int64

from tidewright.engine.layout import (
    CFG_F_IMPACT,
    CFG_F_IMPACT_SIGMA,
    CFG_F_IMPACT_VOLUME,
    CFG_IMPACT,
    FIRST_RETURN,
    FIRST_TS,
    IMPACT_NONE,
    LAST_RETURN,
    MID2,
    TALLY_MID,
    TALLY_SQUARES,
    VOLUME,
    State,
)
from tidewright.market.errors import UsageError
from tidewright.market.inner import inner

DAY_NS: Final = 86_400_000_000_000
MINUTE_NS: Final = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Impact:
    """What takers pay beyond the book.

    Attributes
    ----------
    factor
        Y of the law, >= 0.
    volatility
        Standard deviation of a day's log return, > 0; ``None``: measured on the tape so far, from mids a minute apart.
    volume
        Volume a day in base, > 0; ``None``: measured on the tape so far.
    """

    factor: float = 1.0
    volatility: float | None = None
    volume: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.factor <= 1e3:
            raise UsageError(f"the factor of market impact must be 0 to 1000, was {self.factor}")
        for name in ("volatility", "volume"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1e15:
                raise UsageError(f"{name} of market impact must be > 0, was {value}")

    @property
    def measured(self) -> bool:
        """Whether the tape so far says any of it."""
        return self.volatility is None or self.volume is None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def describe(self) -> str:
        """In words."""
        sigma = "measured so far" if self.volatility is None else f"{Decimal(str(self.volatility)):%} a day"
        volume = "measured so far" if self.volume is None else f"{self.volume:g} a day"
        return (
            f"square-root law on what takers take, on top of the walk: Y {self.factor:g}, volatility {sigma}, "
            f"volume {volume}"
        )


@inner
def impact_ticks(state: State, lots: int, now: int) -> int:
    """By how many ticks a taker of some lots pays more, or gets less; 0 as long as nothing has been measured."""
    if state.cfg[CFG_IMPACT] == IMPACT_NONE or lots <= 0:
        return int64(0)
    reg = state.reg
    sigma = state.cfg_f[CFG_F_IMPACT_SIGMA]
    volume = state.cfg_f[CFG_F_IMPACT_VOLUME]
    if volume <= 0.0 and now > reg[FIRST_TS]:
        volume = np.float64(reg[VOLUME]) * (np.float64(DAY_NS) / np.float64(now - reg[FIRST_TS]))
    if sigma <= 0.0 and reg[LAST_RETURN] > reg[FIRST_RETURN]:
        span = np.float64(reg[LAST_RETURN] - reg[FIRST_RETURN])
        sigma = math.sqrt(state.tally[TALLY_SQUARES] * (np.float64(DAY_NS) / span))
    if sigma <= 0.0 or volume <= 0.0:
        return int64(0)
    share = state.cfg_f[CFG_F_IMPACT] * sigma * math.sqrt(np.float64(lots) / volume)
    return int64(math.ceil(np.float64(reg[MID2]) / 2.0 * min(share, 1.0)))


@inner
def measure_return(state: State, ts: int) -> None:
    """Count the return of the mid since it was last looked at, if that is a minute ago."""
    reg = state.reg
    mid = np.float64(reg[MID2])
    before = state.tally[TALLY_MID]
    if before == 0.0:
        reg[FIRST_RETURN] = ts
    elif ts < reg[LAST_RETURN] + MINUTE_NS:
        return
    else:
        change = math.log(mid / before)
        state.tally[TALLY_SQUARES] += change * change
    state.tally[TALLY_MID] = mid
    reg[LAST_RETURN] = ts

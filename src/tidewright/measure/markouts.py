"""Mark-outs: what the market did after a fill, the measure of adverse selection.

A mark-out at horizon h is ``side × (mid(t + h) − price) / price`` in basis points, side +1 for a buy and −1 for a sell:
negative means the market went on against the fill. Makers and takers are kept apart.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import SECOND
from tidewright.market.codes import SELL
from tidewright.measure.mids import MidSeries
from tidewright.measure.trades import Fills

F64 = npt.NDArray[np.float64]

HORIZONS_NS: Final = (SECOND, 10 * SECOND, 60 * SECOND)
GROUPS: Final = ("maker", "taker")


@dataclass(frozen=True, slots=True)
class Markout:
    """Mean mark-out of one group of fills at one horizon.

    Attributes
    ----------
    group
        ``"maker"`` or ``"taker"``.
    horizon_ns
        Time after the fill, nanoseconds.
    count
        Fills whose mid at the horizon is known.
    fills
        Fills of the group, known or not.
    before_fee_bp, after_fee_bp
        Means over the known fills, each fill with the same weight, basis points of its price; NaN for none.
    error_bp
        Standard error of the mean (fills taken as independent), basis points; NaN under 2 fills.
    """

    group: str
    horizon_ns: int
    count: int
    fills: int
    before_fee_bp: float
    after_fee_bp: float
    error_bp: float


def markouts_bp(fills: Fills, mids: MidSeries, horizon_ns: int) -> F64:
    """Mark-out of every fill before fees, basis points; NaN where the mid at the horizon is not known."""
    side = np.where(fills.side == SELL, -1.0, 1.0)
    return side * (mids.at(fills.ts + horizon_ns) - fills.price) / fills.price * 1e4


def fees_bp(fills: Fills) -> F64:
    """Commission of every fill, basis points of its notional."""
    return fills.fee / (fills.price * fills.qty) * 1e4


def markout_table(fills: Fills, mids: MidSeries, horizons_ns: tuple[int, ...] = HORIZONS_NS) -> list[Markout]:
    """Mean mark-outs of maker and taker fills at each horizon; a group without fills is left out."""
    table = []
    for group in GROUPS:
        member = fills.maker if group == "maker" else ~fills.maker
        if not member.any():
            continue
        for horizon in horizons_ns:
            before = markouts_bp(fills, mids, horizon)
            known = member & np.isfinite(before)
            count = int(known.sum())
            gross = before[known]
            net = gross - fees_bp(fills)[known]
            table.append(
                Markout(
                    group,
                    horizon,
                    count,
                    int(member.sum()),
                    float(gross.mean()) if count else float("nan"),
                    float(net.mean()) if count else float("nan"),
                    float(gross.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan"),
                )
            )
    return table

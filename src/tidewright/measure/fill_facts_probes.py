"""Facts that probes tell: how fills depend on the queue, and what the market does after them."""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import SECOND
from tidewright.measure.fill_facts import ALBERS, DELISE, HORIZONS_NS, SHARE_HIGH, Claim, Fact, fact, horizon_text
from tidewright.measure.fill_facts_blocks import Estimate, block_sums, bootstrap, ratio

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CELLS: Final = 10  # classes of the queue's share


class Probes(NamedTuple):
    """Post-only orders that came to rest in a whole book and whose life was seen to its end; arrays over orders.

    Attributes
    ----------
    block
        Block of time of the arrival, int64.
    side
        BUY or SELL.
    behind
        Distance of the price from the best of its own side at arrival, basis points: 0 at the touch, negative inside
        the spread, float64.
    near, opposite
        Quantity ahead of the order at its price, and at the best of the other side, lots, float64.
    half_spread_bp
        Half the spread at arrival, basis points of the mid, float64.
    filled, front_filled
        Whether it was filled within its life, and whether it would have been as first in its queue.
    wait_ns
        From arrival to the fill, int64; of no meaning for the others.
    fill_ts
        Time of the fill, int64 ns.
    markout_bp, front_markout_bp
        side x (mid after the horizon - price) / price, (horizons, n) float64, basis points; NaN where there was no
        fill or the mid is not known.
    drift_bp
        side x (mid after the horizon - mid just before the fill) / price, likewise.
    """

    block: I64
    side: I64
    behind: F64
    near: F64
    opposite: F64
    half_spread_bp: F64
    filled: Bools
    front_filled: Bools
    wait_ns: I64
    fill_ts: I64
    markout_bp: F64
    front_markout_bp: F64
    drift_bp: F64

    def where(self, chosen: Bools) -> "Probes":
        """Only some of the orders."""
        columns: list[Any] = [column[..., chosen] for column in self]
        return Probes(*columns)

    @property
    def touch(self) -> "Probes":
        """Those that joined the best price of their side."""
        return self.where(self.behind == 0.0)


def probe_facts(probes: Probes, blocks: int) -> list[Fact]:
    """Everything that the probes tell; see each fact's definition."""
    touch = probes.touch
    facts = [_queue_share(touch, blocks), _naive_rate(touch, blocks)]
    facts += [_probability_against_markout(touch, blocks, k) for k in range(len(HORIZONS_NS))]
    facts += [_markout(touch, blocks, k) for k in range(len(HORIZONS_NS))]
    facts += [
        _given_back(touch, blocks),
        _front_and_back(touch, blocks),
        _ahead(touch, blocks),
        _with_the_imbalance(touch, blocks),
    ]
    return facts


def queue_share(probes: Probes) -> F64:
    """Quantity ahead of each order as a share of both best levels, 0 to 1; NaN where both are empty."""
    return ratio(np.stack([probes.near, probes.near + probes.opposite], axis=-1))


def share_cells(probes: Probes) -> I64:
    """Class of each touch order by its queue's share: CELLS of about the same size."""
    share = queue_share(probes)
    known = share[np.isfinite(share)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, CELLS + 1)[1:-1])) if len(known) else np.zeros(0)
    return np.searchsorted(edges, np.nan_to_num(share, nan=1.0), side="right")


# -- single facts -----------------------------------------------------------------------------------------------------


def _mean(probes: Probes, blocks: int, values: F64) -> tuple[int, Estimate]:
    known = np.isfinite(values)
    sums = block_sums(probes.block, blocks, values, known.astype(np.float64))
    return int(known.sum()), bootstrap(sums, ratio)


def _difference(first: tuple[Probes, F64], second: tuple[Probes, F64], blocks: int) -> tuple[int, Estimate]:
    """Mean of the first values less mean of the second, drawn by the same blocks; the count is the smaller sample's."""
    columns, counts = [], []
    for probes, values in (first, second):
        known = np.isfinite(values)
        columns.append(block_sums(probes.block, blocks, values, known.astype(np.float64)))
        counts.append(int(known.sum()))
    sums = np.concatenate(columns, axis=1)
    return min(counts), bootstrap(sums, lambda total: ratio(total[..., :2]) - ratio(total[..., 2:]))


def _queue_share(touch: Probes, blocks: int) -> Fact:
    share = queue_share(touch)
    low, high = touch.where(share <= 1.0 - SHARE_HIGH), touch.where(share >= SHARE_HIGH)
    count, estimate = _difference((low, low.filled.astype(np.float64)), (high, high.filled.astype(np.float64)), blocks)
    return fact(
        "fill_probability_by_queue",
        "Fill probability: small queue less large queue",
        f"orders at the touch whose queue is at most {1 - SHARE_HIGH:.0%} of both best levels, less those with at "
        f"least {SHARE_HIGH:.0%}; share filled within their life",
        "share",
        (count, "orders of the rarer kind"),
        estimate,
        Claim("above", 0.0, 0.05),
        ("+0.6 (30 % against over 90 %)", ALBERS),
    )


def _naive_rate(touch: Probes, blocks: int) -> Fact:
    estimate = _mean(touch, blocks, touch.front_filled.astype(np.float64) - touch.filled)[1]
    return fact(
        "naive_fill_rate",
        "Fill rate of the first in the queue less that of the last",
        "the same orders at the touch, filled by the first print at their price (front) or after the queue ahead (the "
        "chosen queue model)",
        "share",
        (len(touch.block), "orders"),
        estimate,
        Claim("above", 0.0, 0.02),
        ("+0.25 (85 % against 60 %)", DELISE),
    )


def cell_sums(touch: Probes, blocks: int, horizon: int) -> F64:
    """Orders, fills, known mark-outs and their sum by block and class of queue share; (blocks, 4 * CELLS)."""
    cell, markout = share_cells(touch), touch.markout_bp[horizon]
    columns = []
    for index in range(CELLS):
        inside = (cell == index).astype(np.float64)
        columns += [inside, inside * touch.filled, inside * np.isfinite(markout), inside * np.nan_to_num(markout)]
    return block_sums(touch.block, blocks, *columns)


def cell_correlation(total: F64) -> F64:
    """Correlation of fill probability and mean mark-out over the classes, each weighted by its fills."""
    orders, fills, known, markout = (total[..., k::4] for k in range(4))
    probability = ratio(np.stack([fills, orders], axis=-1))
    mean = ratio(np.stack([markout, known], axis=-1))
    usable = np.isfinite(probability) & np.isfinite(mean) & (known >= 3)
    weight = np.where(usable, known, 0.0)
    x, y = np.where(usable, probability, 0.0), np.where(usable, mean, 0.0)
    sum_w = weight.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = x - (weight * x).sum(axis=-1, keepdims=True) / sum_w
        y = y - (weight * y).sum(axis=-1, keepdims=True) / sum_w
        value = (weight * x * y).sum(axis=-1) / np.sqrt((weight * x * x).sum(axis=-1) * (weight * y * y).sum(axis=-1))
    return np.where(usable.sum(axis=-1) >= 4, value, np.nan)


def _probability_against_markout(touch: Probes, blocks: int, k: int) -> Fact:
    after = horizon_text(HORIZONS_NS[k])
    return fact(
        f"fill_probability_against_markout_{_suffix(k)}",
        f"Correlation of fill probability and mark-out after {after}",
        f"over {CELLS} classes of orders at the touch by their queue's share of both best levels, weighted by fills",
        "correlation",
        (int(np.isfinite(touch.markout_bp[k]).sum()), "fills"),
        bootstrap(cell_sums(touch, blocks, k), cell_correlation),
        Claim("below", 0.0, -0.2),
        ("negative", ALBERS),
    )


def _markout(touch: Probes, blocks: int, k: int) -> Fact:
    after = horizon_text(HORIZONS_NS[k])
    count, estimate = _mean(touch, blocks, touch.markout_bp[k])
    return fact(
        f"markout_{_suffix(k)}",
        f"Mark-out after {after}",
        f"side × (mid {after} after the fill − price) / price of orders at the touch, before fees: half the spread "
        "earned, less what the market then took",
        "bp",
        (count, "fills"),
        estimate,
        Claim("below", 0.0, -0.05),
        ("−0.8 (spread 0.02 bp)" if k == 0 else "negative", ALBERS),
    )


def _given_back(touch: Probes, blocks: int) -> Fact:
    drift = np.where(touch.half_spread_bp > 0.0, touch.drift_bp[0], np.nan)
    known = np.isfinite(drift)
    half = np.where(known, touch.half_spread_bp, 0.0)
    return fact(
        "half_spread_given_back",
        "Half spread given back within 1 s",
        "mean of −side × (mid 1 s after the fill − mid just before it) over mean half spread at arrival, orders at the "
        "touch; 1: the half spread is gone. Far above 1 where a second moves the price by many spreads",
        "half spreads",
        (int(known.sum()), "fills"),
        bootstrap(block_sums(touch.block, blocks, -drift, half), ratio),
        Claim("above", 0.0, 0.1),
        ("0.90 (0.45 tick of the half tick; theory 0.96)", DELISE),
    )


def _front_and_back(touch: Probes, blocks: int) -> Fact:
    count, estimate = _difference((touch, touch.front_markout_bp[0]), (touch, touch.markout_bp[0]), blocks)
    return fact(
        "front_less_back",
        "Mark-out after 1 s: front of the queue less back",
        "the same orders at the touch, as first in their queue and as last (the chosen queue model): mean over the "
        "fills of either",
        "bp",
        (count, "fills at the back"),
        estimate,
        Claim("above", 0.0, 0.02),
        ("+0.72 (−0.058 against −0.775)", ALBERS),
    )


def _ahead(touch: Probes, blocks: int) -> Fact:
    filled = touch.where(touch.filled)
    middle = float(np.median(filled.near)) if len(filled.near) else 0.0
    short, long = filled.where(filled.near <= middle), filled.where(filled.near > middle)
    count, estimate = _difference((long, long.markout_bp[0]), (short, short.markout_bp[0]), blocks)
    return fact(
        "long_queue_less_short",
        "Mark-out after 1 s: long queue ahead less short",
        "filled orders at the touch with more than the median quantity ahead at arrival, less the others: what is "
        "filled soon is filled because the market is coming",
        "bp",
        (count, "fills of the rarer kind"),
        estimate,
        Claim("above", 0.0, 0.02),
        ("positive (what fills seldom fills well)", ALBERS),
    )


def _with_the_imbalance(touch: Probes, blocks: int) -> Fact:
    share = queue_share(touch)
    chosen = touch.where(share >= SHARE_HIGH)
    count, estimate = _mean(chosen, blocks, chosen.markout_bp[0])
    return fact(
        "imbalance_maker",
        "Mark-out after 1 s of a maker that follows the imbalance",
        f"orders at the touch whose own side is at least {SHARE_HIGH:.0%} of both best levels, before fees",
        "bp",
        (count, "fills"),
        estimate,
        Claim("below", 0.0, -0.05),
        ("−0.47", ALBERS),
    )


def _suffix(k: int) -> str:
    return f"{HORIZONS_NS[k] // SECOND}s"

"""Facts about fills that a simulation has to reproduce before its profits can be believed.

Measured on *probes*: small post-only orders placed on both sides at regular times, whatever the market does, each left
alone for the same life. What happens to them shows how the simulation fills orders, apart from any strategy. Every
fact is a figure with its interval, what the literature found, and a verdict that can go against the simulation.

Sources: J. Albers, M. Cucuringu, S. Howison, A. Shestopaloff, arXiv 2502.18625 (232,897 live maker orders on Binance's
BTCUSDT perpetual); T. DeLise, arXiv 2407.16527 (10-year note futures); Jain, Firoozye, Kochems, Treleaven, arXiv
2510.26438 (costs); arXiv 2602.00776 (maker returns 2022-2025, the crash of 2025-10-10); arXiv 2608.21888 (reversal).
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import SECOND
from tidewright.measure.fill_facts_blocks import Estimate, Statistic, block_sums, bootstrap, ratio

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HORIZONS_NS: Final = (SECOND, 10 * SECOND, 60 * SECOND)
CELLS: Final = 10  # classes of the queue's share
MIN_FILLS: Final = 30
SHARE_HIGH: Final = 0.8  # of the touch: from here on a side outweighs the other

AS_EXPECTED: Final = "as expected"
NOT_EXPECTED: Final = "not as expected"
TOO_FEW: Final = "too few"
Verdict = Literal["as expected", "not as expected", "too few"]

ALBERS: Final = "Albers et al., arXiv 2502.18625"
DELISE: Final = "DeLise, arXiv 2407.16527"
JAIN: Final = "Jain et al., arXiv 2510.26438"
MAKERS: Final = "arXiv 2602.00776"


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


@dataclass(frozen=True, slots=True)
class Claim:
    """What is expected of a figure.

    Attributes
    ----------
    kind
        ``"below"`` and ``"above"`` a bound; ``"not_above"``: the bound must not be shown to be exceeded; ``"near"``: at
        most ``least`` away from it.
    bound
        In the figure's unit.
    least
        The smallest effect that would count: a figure shown to stay short of it is not as expected, however small the
        interval. A figure that shows neither has too few observations.
    """

    kind: Literal["below", "above", "not_above", "near"]
    bound: float
    least: float

    def verdict(self, estimate: Estimate, count: int, minimum: int = MIN_FILLS) -> Verdict:
        """Whether the interval bears the claim out."""
        figure, low, high, _ = estimate
        if count < minimum or not (np.isfinite(figure) and np.isfinite(low) and np.isfinite(high)):
            return "too few"
        if self.kind == "not_above":
            return "not as expected" if low > self.bound else "as expected"
        if self.kind == "near":
            if self.bound - self.least <= low and high <= self.bound + self.least:
                return "as expected"
            outside = high < self.bound - self.least or low > self.bound + self.least
            return "not as expected" if outside else "too few"
        if self.kind == "above":
            low, high, bound, least = -high, -low, -self.bound, -self.least
        else:
            bound, least = self.bound, self.least
        if high < bound:
            return "as expected"
        return "not as expected" if low > least else "too few"

    @property
    def text(self) -> str:
        """The claim in words, without unit."""
        words = {"below": "below", "above": "above", "not_above": "not shown above", "near": "near"}
        return f"{words[self.kind]} {self.bound:g}".replace("-", "−")


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure about fills, what was expected of it, and the verdict.

    Attributes
    ----------
    name, title, definition
        What it is.
    unit
        ``"bp"``, ``"share"`` or a word.
    count, of
        Size of the sample and what it counts.
    estimate
        The figure with its interval.
    claim, literature, source
        What was expected and where that comes from.
    verdict
        See :class:`Claim`.
    """

    name: str
    title: str
    definition: str
    unit: str
    count: int
    of: str
    estimate: Estimate
    claim: Claim
    literature: str
    source: str
    verdict: Verdict


def fact(
    name: str,
    title: str,
    definition: str,
    unit: str,
    sample: tuple[int, str],
    estimate: Estimate,
    claim: Claim,
    literature: tuple[str, str],
    minimum: int = MIN_FILLS,
) -> Fact:
    """A fact with its verdict."""
    verdict = claim.verdict(estimate, sample[0], minimum)
    return Fact(name, title, definition, unit, *sample, estimate, claim, *literature, verdict)


def horizon_text(horizon_ns: int) -> str:
    """``"1 s"``."""
    return f"{horizon_ns / SECOND:g} s"


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


# -- facts from other samples -----------------------------------------------------------------------------------------


def taker_fact(block: I64, net_bp: F64, blocks: int) -> Fact:
    """Market orders that follow the imbalance of the touch.

    Parameters
    ----------
    block, net_bp
        Block of each order and its mark-out after 15 s less a fee of 1.5 bp; NaN where not known.
    """
    known = np.isfinite(net_bp)
    return fact(
        "imbalance_taker",
        "Taker that follows the imbalance, 15 s",
        f"market orders towards the side with at least {SHARE_HIGH:.0%} of both best levels: side × (mid 15 s later − "
        "price) / price, less a fee of 1.5 bp",
        "bp",
        (int(known.sum()), "orders"),
        bootstrap(block_sums(block, blocks, net_bp, known.astype(np.float64)), ratio),
        Claim("below", 0.0, -0.05),
        ("−1.96", ALBERS),
    )


def symmetric_maker_fact(sums: F64, fills: int) -> Fact:
    """PnL of symmetric makers at zero fee; ``sums`` are PnL and notional by block, (blocks, 2)."""
    return fact(
        "symmetric_maker",
        "Symmetric maker at zero fee",
        "PnL of naive grids around the mid, all spacings together, per notional traded; the inventory is valued at the "
        "mid",
        "bp",
        (fills, "fills"),
        bootstrap(sums * np.array([1e4, 1.0]), ratio),
        Claim("not_above", 0.0, 0.0),
        ("a zero mean is not rejected (all p > 0.05, 2022-2025)", MAKERS),
    )


def break_even_fact(sums: F64, fills: int) -> Fact:
    """The fee at which symmetric makers earn nothing; ``sums`` as in :func:`symmetric_maker_fact`."""
    return fact(
        "break_even_fee",
        "Break-even fee of the symmetric maker",
        "the maker fee that would eat the PnL per notional at zero fee",
        "bp",
        (fills, "fills"),
        bootstrap(sums * np.array([1e4, 1.0]), ratio),
        Claim("below", 4.0, 4.0),
        ("between 2 and 4 (a trained maker: Sharpe +3.0 at 2 bp, −5.7 at 4 bp)", JAIN),
    )


def sharpe_drop_fact(samples: F64, block: I64, blocks: int, per_year: float, fills: int) -> Fact:
    """What one basis point of fee does to the Sharpe ratio.

    Parameters
    ----------
    samples
        PnL of equal stretches of time at 0 and at 1 bp, (2, n), quote.
    block
        Block of each stretch.
    per_year
        Stretches a year.
    """
    free, paid = samples
    ones = np.ones(len(block))
    sums = block_sums(block, blocks, free, free * free, paid, paid * paid, ones)
    return fact(
        "sharpe_drop_at_1bp",
        "Sharpe ratio at 1 bp less at zero fee",
        "annualised, PnL of symmetric grids over equal stretches of time, the same fills at either fee",
        "Sharpe",
        (fills, "fills"),
        bootstrap(sums, lambda total: sharpe_of(total[..., 2:], per_year) - sharpe_of(total[..., :2], per_year, total)),
        Claim("below", 0.0, -1.0),
        ("−28.5 from 1 to 2 bp (31.5 to 3.0)", JAIN),
    )


def sharpe_of(total: F64, per_year: float, counts: F64 | None = None) -> F64:
    """Annualised Sharpe ratio from sums of PnL and its square; the count is the last column of ``counts``."""
    count = (total if counts is None else counts)[..., -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total[..., 0] / count
        variance = np.maximum(total[..., 1] / count - mean * mean, 0.0)
        return np.where(variance > 0.0, mean / np.sqrt(variance) * np.sqrt(per_year), np.nan)


def fee_slope_fact(fees_bp: F64, pnl_bp: F64, fills: int) -> Fact:
    """How exactly fees are charged: the slope of PnL per notional over the fee, no interval."""
    slope = float(np.polyfit(fees_bp, pnl_bp, 1)[0]) if np.isfinite(pnl_bp).all() else float("nan")
    return fact(
        "fee_slope",
        "PnL per notional lost for each basis point of fee",
        "slope of PnL per notional over maker fees of 0, 1, 2, 4 and 8 bp, symmetric grids; the orders do not "
        "depend on it",
        "bp per bp",
        (fills, "fills"),
        Estimate(slope, slope, slope, 1),
        Claim("near", -1.0, 0.05),
        ("−1: bookkeeping, not market", "definition"),
        minimum=1,
    )


def crash_fact(name: str, title: str, bids: F64, asks: F64, window_text: str) -> Fact:
    """One-sided fills: bid and ask fills in each fall, (falls,)."""
    sums = np.stack([bids, bids + asks], axis=1)
    return fact(
        name,
        title,
        f"share of bids in all fills of probes within the largest falls of {window_text}, one weight a fill; "
        "falls are drawn",
        "share",
        (int(sums[:, 1].sum()), "fills"),
        bootstrap(sums, ratio),
        Claim("above", 0.5, 0.55),
        ("bids filled repeatedly, no ask fills (2025-10-10)", MAKERS),
    )


def reversal_fact(flow: F64, next_return_bp: F64) -> Fact:
    """Reversal after taker flow: signed taker volume of each stretch and the return of the next, basis points."""
    edge = -np.sign(flow) * next_return_bp
    known = np.isfinite(edge) & (flow != 0)
    block = np.arange(len(edge))
    return fact(
        "flow_reversal",
        "Edge of trading against the last 15 min of taker flow",
        "−sign(taker buys − taker sells) × return of the mid over the next 15 min, gross; a fact about the "
        "tape, not about fills",
        "bp",
        (int(known.sum()), "stretches"),
        bootstrap(block_sums(block, len(edge), np.where(known, edge, 0.0), known.astype(np.float64)), ratio)
        if len(edge)
        else Estimate(float("nan"), float("nan"), float("nan"), 0),
        Claim("below", 5.0, 5.0),
        ("+1.3 against a cost of 5 for the round trip", "arXiv 2608.21888"),
    )


def largest_falls(mid: F64, step_ns: int, start_ns: int, window_ns: int, most: int) -> list[tuple[int, float]]:
    """The largest falls of a price that do not overlap.

    Parameters
    ----------
    mid
        Price at start_ns + k * step_ns; NaN where not known.
    window_ns
        Length of a fall.
    most
        How many at most.

    Returns
    -------
    list[tuple[int, float]]
        Start in ns and fall in basis points (> 0), the largest first.
    """
    width = max(1, window_ns // step_ns)
    if len(mid) <= width:
        return []
    fall = (1.0 - mid[width:] / mid[:-width]) * 1e4
    fall = np.where(np.isfinite(fall), fall, -np.inf)
    found: list[tuple[int, float]] = []
    while len(found) < most:
        at = int(np.argmax(fall))
        if fall[at] <= 0.0:
            break
        found.append((start_ns + at * step_ns, float(fall[at])))
        fall[max(0, at - width + 1) : at + width] = -np.inf
    return found


__all__ = [
    "AS_EXPECTED",
    "HORIZONS_NS",
    "NOT_EXPECTED",
    "TOO_FEW",
    "Claim",
    "Fact",
    "Probes",
    "Statistic",
    "break_even_fact",
    "crash_fact",
    "fee_slope_fact",
    "largest_falls",
    "probe_facts",
    "reversal_fact",
    "sharpe_drop_fact",
    "symmetric_maker_fact",
    "taker_fact",
]

"""Facts about fills from other samples than probes: makers, takers, fees, falls, the tape's flow."""

import numpy as np
import numpy.typing as npt

from tidewright.measure.fill_facts import ALBERS, JAIN, MAKERS, SHARE_HIGH, Claim, Fact, fact
from tidewright.measure.fill_facts_blocks import UNKNOWN, Estimate, block_sums, bootstrap, ratio

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


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
        else UNKNOWN,
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

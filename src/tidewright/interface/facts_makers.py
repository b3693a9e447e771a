"""Symmetric makers over a tape: naive grids of many spacings, what they earn at zero fee and at others."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.engine.backtest import backtest
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.clock import DAY
from tidewright.market.codes import BUY, PACKET_END
from tidewright.market.tape import Tape
from tidewright.measure.fill_facts_book import BookHistory

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

GROUPS: Final = 12  # spacings shown together
MOST_POSITION: Final = 2  # quotes of inventory after which a maker leaves out the side that adds to it
LEAST_BASE: Final = 0.002  # of a quote: the fee of 1 bp is then 20 units of 1e-8, so that cutting it off says little
FEES_BP: Final = (0, 1, 2, 4, 8)
FEE_LANES: Final = 16
SAMPLES_A_BLOCK: Final = 6  # PnL samples for Sharpe ratios
_CHUNK: Final = 1 << 14  # rows: bounds the log of a thousand lanes
_YEAR: Final = 365 * DAY

Progress = Callable[[float], None]


class MakerSums(NamedTuple):
    """What makers did, by group of spacings and block of time.

    Attributes
    ----------
    spread_bp
        Lowest and highest distance of bid to ask in each group, basis points, (GROUPS, 2).
    fills
        (GROUPS, blocks) float64.
    pnl, notional
        Quote currency, (GROUPS, blocks) float64.
    """

    spread_bp: F64
    fills: F64
    pnl: F64
    notional: F64


class FeeRun(NamedTuple):
    """The same makers at one fee.

    Attributes
    ----------
    fee_bp
        Maker fee, basis points.
    pnl_bp
        PnL per notional traded, basis points.
    fills
        All of them.
    samples
        PnL of equal stretches of time, all lanes together, (n,) quote.
    block
        Block of each stretch.
    """

    fee_bp: float
    pnl_bp: float
    fills: int
    samples: F64
    block: I64


def spreads_percent(book: BookHistory, lanes: int) -> F64:
    """Spacings from the tape's own median spread up to 20 times it, at least 0.2 % of the price, geometric."""
    when = np.linspace(book.start_ns, book.end_ns, 4_001).astype(np.int64)
    views = book.at(when)
    usable = views.whole & (views.ask > views.bid)
    touch = float(np.median(((views.ask - views.bid) / (views.ask + views.bid))[usable])) * 200.0
    return np.geomspace(touch, max(20.0 * touch, 0.2), lanes)


def run_makers(
    tape: Tape,
    book: BookHistory,
    config: ReplayConfig,
    spreads: F64,
    quantity: float,
    block_ns: int,
    blocks: int,
    progress: Progress | None = None,
) -> MakerSums:
    """Run one-level grids of many spacings at zero fee and add up what they did."""
    instrument = replace(tape.instrument, maker_fee=0, taker_fee=0)
    lanes = len(spreads)
    params = _params(spreads, quantity)
    replay = Replay(instrument, config, "grid", params, quote_units=10**13)
    group = np.arange(lanes) * GROUPS // lanes
    signed, cash, notional, fills = (np.zeros((GROUPS, blocks)) for _ in range(4))
    data = tape.data
    ends = np.flatnonzero(data.flags & PACKET_END) + 1
    row = 0
    while row < len(data.ts):
        stop = int(ends[min(int(np.searchsorted(ends, row + _CHUNK)), len(ends) - 1)])
        replay.feed(data.rows(row, stop))
        row = stop
        if row == len(data.ts):
            replay.finish()
        told = replay.reports()
        cell = (group[told["lane"]], (told["ts"] - book.start_ns) // block_ns)
        lots = np.where(told["side"] == BUY, 1.0, -1.0) * told["qty"]
        np.add.at(signed, cell, lots)
        np.add.at(cash, cell, -lots * told["price"])
        np.add.at(notional, cell, np.abs(lots) * told["price"])
        np.add.at(fills, cell, 1.0)
        if progress is not None:
            progress(row / len(data.ts))
    edges = book.start_ns + np.arange(blocks + 1, dtype=np.int64) * block_ns
    mid = _standing(book, edges)
    position = np.concatenate([np.zeros((GROUPS, 1)), np.cumsum(signed, axis=1)], axis=1)
    value = position * mid
    money = float(instrument.tick * instrument.lot)
    bounds = [[spreads[group == k].min(), spreads[group == k].max()] for k in range(GROUPS)]
    return MakerSums(np.array(bounds) * 100.0, fills, (cash + value[:, 1:] - value[:, :-1]) * money, notional * money)


def run_fees(
    tape: Tape,
    book: BookHistory,
    config: ReplayConfig,
    spreads: F64,
    quantity: float,
    block_ns: int,
    progress: Progress | None = None,
) -> list[FeeRun]:
    """Backtests of the same few grids at each of FEES_BP."""
    params = _params(spreads, quantity)
    runs = []
    for number, fee in enumerate(FEES_BP):
        result = backtest(
            tape,
            "grid",
            params,
            cycle=config.cycle_ns / 1e9,
            fees=(f"{fee / 1e4:.4f}", f"{fee / 1e4:.4f}"),
            latency=config.entry_ns / 1e9,
            response=config.response_ns / 1e9,
            queue=config.queue,
            queue_power=config.queue_power,
            record_fills=False,
            record_equity=True,
        )
        sums = result.statistics
        pnl, volume = float((sums["equity_end"] - sums["equity_start"]).sum()), float(sums["volume_quote"].sum())
        samples, block = _samples(result.equity_ts, result.equity_values, book, block_ns)
        pnl_bp = pnl / volume * 1e4 if volume else float("nan")
        runs.append(FeeRun(float(fee), pnl_bp, int(sums["n_fills"].sum()), samples, block))
        if progress is not None:
            progress((number + 1) / len(FEES_BP))
    return runs


def samples_per_year(block_ns: int) -> float:
    """How many PnL samples a year has."""
    return _YEAR / (block_ns // SAMPLES_A_BLOCK)


def _params(spreads: F64, quantity: float) -> dict[str, npt.ArrayLike]:
    """Parameters of one-level grids."""
    return {
        "spread_percentage": spreads,
        "levels": 1,
        "base_quantity": quantity,
        "max_position": MOST_POSITION * quantity,
    }


def _samples(ts: I64 | None, equity: F64 | None, book: BookHistory, block_ns: int) -> tuple[F64, I64]:
    """PnL of equal stretches of time, all lanes together, and the block of each."""
    assert ts is not None and equity is not None  # recorded because asked for
    step = block_ns // SAMPLES_A_BLOCK
    edges = np.arange(book.start_ns, book.end_ns + 1, step, dtype=np.int64)
    total = equity.sum(axis=1)
    place = np.maximum(np.searchsorted(ts, edges, side="right") - 1, 0)
    values = np.where(edges < ts[0], total[0], total[place])
    return np.diff(values), (edges[:-1] - book.start_ns) // block_ns


def _standing(book: BookHistory, when: I64) -> F64:
    """Mid at times, ticks; where it is not known the last one that was, before the first the first."""
    mid = book.mid(np.minimum(when, book.end_ns))
    known = np.flatnonzero(np.isfinite(mid))
    if len(known) == 0:
        return np.zeros(len(when))
    return mid[known[np.maximum(np.searchsorted(known, np.arange(len(mid)), side="right") - 1, 0)]]

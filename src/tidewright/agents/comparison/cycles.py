"""What one lane did in a window, cycle by cycle: equity, volume, closed trades and what it held."""

from collections.abc import Mapping

import numpy as np

from tidewright.agents.optimizer.judge import Judge, positions
from tidewright.agents.optimizer.windows import Window
from tidewright.market.codes import FEE_BASE, UNIT
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.measure.comparison import Run
from tidewright.measure.figures import F64, I64
from tidewright.measure.trades import Fills, closed_trades

Params = Mapping[str, float]


def run_of(judge: Judge, window: Window, params: Params, instrument: Instrument) -> Run:
    """What one lane does in a window.

    Raises
    ------
    UsageError
        If the judge tells no fills.
    """
    judged = judge.evaluate(window, {name: np.array([value]) for name, value in params.items()}, 1, record=True)
    if judged.fills is None or judged.ts is None:
        raise UsageError("a run cycle by cycle needs a judge that records fills")
    increments, rows, ends = judged.increments[:, 0], judged.fills, judged.ts
    lot = float(instrument.lot)
    price, qty = rows["price"] * float(instrument.tick), rows["qty"] * lot
    fee = rows["fee"] / UNIT * np.where(rows["fee_asset"] == FEE_BASE, price, 1.0)
    fills = Fills(rows["ts"], rows["side"].astype(np.uint8), price, qty, rows["maker"] == 1, fee)
    trades = closed_trades(fills)

    def summed(ts: I64, values: F64) -> F64:
        cycle = np.clip(np.searchsorted(ends, ts, side="left") - 1, 0, len(increments) - 1)
        return np.bincount(cycle, values, len(increments)).astype(np.float64)  # of nothing it counts in integers

    closed = np.stack([summed(trades.ts, trades.pnl**power) for power in (0, 1, 2)], axis=1)
    return Run(
        increments,
        {name: float(column[0]) for name, column in judged.statistics.items()},
        volume=summed(fills.ts, price * qty),
        closed=closed,
        held=np.abs(positions(rows, ends, 1)[1:, 0]) * lot,
    )

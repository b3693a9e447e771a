"""vectorbt's side of the benchmark; runs in its own environment: ``python peer_vectorbt.py SPEC.json``.

After each bar a bid and an ask around its close, for the next bar: what that bar's low or high reaches is filled at the
order's price. vectorbt has no resting orders; an order function written for it, compiled like all of vectorbt's, says
for each bar which of the two orders would have been filled. Sets are run in chunks, so that memory does not decide.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import vectorbt as vbt  # type: ignore[import-not-found]
from numba import njit
from vectorbt.portfolio.enums import NoOrder  # type: ignore[import-not-found]
from vectorbt.portfolio.nb import order_nb  # type: ignore[import-not-found]

CHUNK = 128  # sets at once: about 200 to 350 bytes a bar and set


@njit
def maker(c: Any, open_: Any, high: Any, low: Any, steps: Any, memory: Any, rule: Any) -> Any:
    """The bid at the first call for a bar and set, the ask at the first or, after a bid, at the second; then no more.

    ``memory`` keeps, for each set, the position both orders were decided on and whether the bid was filled.
    """
    quantity, limit, tick, fee = rule
    col = c.from_col
    if c.i == 0 or c.call_idx > 1 or (c.call_idx == 1 and memory[1, col] == 0.0):
        return -1, NoOrder
    ticks = np.round(c.close[c.i - 1, col] / tick)
    if c.call_idx == 0:
        memory[0, col] = c.last_position[col]
        bid = np.floor(ticks * (1.0 - steps[col])) * tick
        bought = memory[0, col] < limit and low[c.i] <= bid + 1e-6
        memory[1, col] = 1.0 if bought else 0.0
        if bought:
            return col, order_nb(size=quantity, price=min(bid, open_[c.i]), fees=fee)
    ask = np.ceil(ticks * (1.0 + steps[col])) * tick
    if memory[0, col] > -limit and high[c.i] >= ask - 1e-6:
        return col, order_nb(size=-quantity, price=max(ask, open_[c.i]), fees=fee)
    return -1, NoOrder


def backtest(job: Any, market: Any, bars: Any, spreads: Any) -> tuple[float, Any]:
    """All parameter sets, in chunks: build, run, returns."""
    open_, high, low, close = (np.ascontiguousarray(bars[:, k]) for k in range(4))
    rule = (job["quantity"], job["max_position"] - 1e-9, market["tick"], market["maker_fee"])
    fills, equity = [], []
    started = time.perf_counter()
    for first in range(0, len(spreads), CHUNK):
        steps = np.array(spreads[first : first + CHUNK]) / 100.0 / 2.0
        columns = np.broadcast_to(close[:, None], (len(close), len(steps)))
        portfolio = vbt.Portfolio.from_order_func(
            columns,
            maker,
            open_,
            high,
            low,
            steps,
            np.zeros((2, len(steps))),
            rule,
            flexible=True,
            init_cash=1_000_000.0,
            freq="1min",
            max_orders=2 * len(close) * len(steps),
        )
        fills.append(portfolio.orders.count())
        equity.append(portfolio.final_value())
        portfolio.total_return()
    seconds = time.perf_counter() - started
    counted = [int(n) for part in fills for n in np.atleast_1d(np.asarray(part))]
    values = [float(v) for part in equity for v in np.atleast_1d(np.asarray(part))]
    return seconds, [{"fills": n, "equity": v} for n, v in zip(counted, values, strict=True)]


def run(job: Any, market: Any, repeats: int) -> Any:
    """Time all sets after a run on few bars to compile."""
    bars = np.load(market["bars"])
    backtest(job, market, bars[:500], job["spreads"][:CHUNK])
    runs = [backtest(job, market, bars, job["spreads"]) for _ in range(repeats)]
    lanes = [job["spreads"].index(spread) for spread in job["sample"]]
    return {"seconds": [[seconds] for seconds, _ in runs], "results": [runs[0][1][lane] for lane in lanes]}


def main() -> None:
    """Run every job of a specification and answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.sched_setaffinity(0, set(spec["cores"]))
    answer = [run(job, spec["markets"][job["market"]], spec["repeats"]) for job in spec["jobs"]]
    versions = {name: version(name) for name in ("vectorbt", "numba", "numpy", "pandas")}
    print(json.dumps({"jobs": answer, "versions": versions}))


if __name__ == "__main__":
    main()

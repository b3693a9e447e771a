"""backtesting.py's side of the benchmark; runs in its own environment: ``python peer_backtesting.py SPEC.json``.

After each bar the orders of the bar before are cancelled and a bid and an ask are put around its close, as limit orders
for the next bar. Its orders are whole units, so prices are given per lot and quantities in lots.
"""

import json
import math
import os
import sys
import time
import warnings
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from backtesting import Backtest, Strategy  # type: ignore[import-not-found]


class Maker(Strategy):  # type: ignore[misc]
    """A bid and an ask around the last close."""

    spread = 0.1
    lots = 10
    limit = 50
    tick = 0.1
    price_per_unit = 1.0

    def init(self) -> None:
        """Nothing is prepared: the rule needs the last close only."""
        self.step = self.spread / 100.0 / 2.0
        self.unit = self.tick * self.price_per_unit

    def next(self) -> None:
        """Called after every bar but the first, which backtesting.py leaves out."""
        for order in list(self.orders):
            order.cancel()
        half_mid = round(self.data.Close[-1] / self.unit)
        position = self.position.size
        if position < self.limit:
            self.buy(size=self.lots, limit=math.floor(half_mid * (1.0 - self.step)) * self.unit)
        if position > -self.limit:
            self.sell(size=self.lots, limit=math.ceil(half_mid * (1.0 + self.step)) * self.unit)


def backtest(job: Any, market: Any, frame: pd.DataFrame, spread: float) -> tuple[float, Any]:
    """One backtest of one parameter set: build, run, results."""
    lot = market["lot"]
    started = time.perf_counter()
    test = Backtest(frame, Maker, cash=1_000_000.0, commission=market["maker_fee"], trade_on_close=False)
    stats = test.run(
        spread=spread,
        lots=round(job["quantity"] / lot),
        limit=round(job["max_position"] / lot),
        tick=market["tick"],
        price_per_unit=lot,
    )
    seconds = time.perf_counter() - started
    trades = stats["_trades"]
    # a trade is an entry and an exit, one of which may be a part of a fill; every fill is of the same size
    open_lots = sum(abs(trade.size) for trade in stats["_strategy"].trades)
    lots = 2 * int(trades["Size"].abs().sum()) + int(open_lots)
    return seconds, {"fills": lots // round(job["quantity"] / lot), "equity": float(stats["Equity Final [$]"])}


def prepare(market: Any) -> pd.DataFrame:
    """The bars as backtesting.py wants them, prices per lot."""
    prices = np.load(market["bars"])
    # the same arithmetic as the orders', so that a bar that just reaches an order does so here too
    prices[:, :4] = np.round(prices[:, :4] / market["tick"]) * (market["tick"] * market["lot"])
    names = ["Open", "High", "Low", "Close", "Volume"]
    return pd.DataFrame(prices, columns=names, index=pd.to_datetime(np.load(market["times"]), unit="ms"))


def run(job: Any, market: Any, repeats: int) -> Any:
    """Time every parameter set of a job's sample, one backtest each, after one on few bars to warm up."""
    frame = prepare(market)
    backtest(job, market, frame[:2_000], job["sample"][0])
    runs = [[backtest(job, market, frame, spread) for spread in job["sample"]] for _ in range(repeats)]
    return {
        "seconds": [[seconds for seconds, _ in one] for one in runs],
        "results": [result for _, result in runs[0]],
    }


def main() -> None:
    """Run every job of a specification and answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.sched_setaffinity(0, set(spec["cores"]))
    warnings.filterwarnings("ignore")
    os.environ["TQDM_DISABLE"] = "1"
    answer = [run(job, spec["markets"][job["market"]], spec["repeats"]) for job in spec["jobs"]]
    versions = {name: version(name) for name in ("backtesting", "numpy", "pandas")}
    print(json.dumps({"jobs": answer, "versions": versions}))


if __name__ == "__main__":
    main()

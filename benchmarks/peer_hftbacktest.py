"""hftbacktest's side of the benchmark; runs in its own environment: ``python peer_hftbacktest.py SPEC.json``.

The grid does what ours does: at each decision the same prices around the mid, orders that are not wanted are cancelled,
missing ones are sent, post-only; bids stop at max_position and asks at -max_position.
"""

import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
from hftbacktest import (  # type: ignore[import-not-found]
    GTX,
    LIMIT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
)
from numba import njit, uint64
from numba.typed import Dict


@njit
def idle(hbt: Any, cycle_ns: Any) -> Any:
    """Run to the end of the data without orders."""
    decisions = 0
    while hbt.elapse(cycle_ns) == 0:
        decisions += 1
    return decisions


@njit
def grid(
    hbt: Any, cycle_ns: Any, spread: Any, levels: Any, quantity: Any, max_position: Any, tick: Any
) -> tuple[int, int]:
    """Run to the end of the data; returns decisions and orders sent."""
    step = spread / 100.0 / 2.0
    decisions = 0
    sent = 0
    while hbt.elapse(cycle_ns) == 0:
        decisions += 1
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        bid_tick, ask_tick = depth.best_bid_tick, depth.best_ask_tick
        if bid_tick <= 0 or ask_tick <= bid_tick or ask_tick > 1 << 40:
            continue
        half_mid = (bid_tick + ask_tick) / 2.0
        position = hbt.position(0)
        orders = hbt.orders(0)
        wanted = Dict.empty(np.uint64, np.float64)
        if position < max_position:
            for k in range(1, levels + 1):
                at = np.int64(np.floor(half_mid * (1.0 - step * k)))
                if at > 0:
                    wanted[uint64(at * 2)] = at * tick
        if position > -max_position:
            for k in range(1, levels + 1):
                at = np.int64(np.ceil(half_mid * (1.0 + step * k)))
                wanted[uint64(at * 2 + 1)] = at * tick
        values = orders.values()
        while values.has_next():
            order = values.get()
            if order.cancellable and order.order_id not in wanted:
                hbt.cancel(0, order.order_id, False)
        for order_id, price in wanted.items():
            if order_id not in orders:
                sent += 1
                if order_id % 2 == 0:
                    hbt.submit_buy_order(0, order_id, price, quantity, GTX, LIMIT, False)
                else:
                    hbt.submit_sell_order(0, order_id, price, quantity, GTX, LIMIT, False)
    return decisions, sent


def asset_of(market: Any, data: Any, snapshot: Any, entry_ns: int, response_ns: int) -> Any:
    """The market as every job of this peer meets it: risk-averse queues, whole fills, fees of the traded value."""
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(entry_ns, response_ns)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(market["maker_fee"], market["taker_fee"])
        .tick_size(market["tick"])
        .lot_size(market["lot"])
        .roi_lb(market["roi"][0])
        .roi_ub(market["roi"][1])
    )
    return asset.initial_snapshot(snapshot) if len(snapshot) else asset


def backtest(job: Any, market: Any, data: Any, snapshot: Any, spread: float) -> tuple[float, Any]:
    """One backtest of one parameter set, of none if the spread is 0: build, run, results."""
    asset = asset_of(market, data, snapshot, job["latency_ns"], job["latency_ns"])
    started = time.perf_counter()
    hbt = ROIVectorMarketDepthBacktest([asset])
    limit = job["max_position"] - 1e-9
    if spread > 0:
        decisions, sent = grid(hbt, job["cycle_ns"], spread, job["levels"], job["quantity"], limit, market["tick"])
    else:
        decisions, sent = idle(hbt, job["cycle_ns"]), 0
    state = hbt.state_values(0)
    seconds = time.perf_counter() - started
    result = {"decisions": decisions, "orders": sent, "fills": int(state.num_trades)}
    hbt.close()
    return seconds, result


def run(job: Any, market: Any, repeats: int) -> Any:
    """Time every parameter set of a job's sample, one backtest each, after one to warm up."""
    data, snapshot = np.load(market["events"]), np.load(market["snapshot"])
    spreads = job["sample"] or [0.0]
    backtest(job, market, data, snapshot, spreads[0])  # compiles, and brings the events into memory
    runs = [[backtest(job, market, data, snapshot, spread) for spread in spreads] for _ in range(repeats)]
    return {
        "seconds": [[seconds for seconds, _ in one] for one in runs],
        "results": [result for _, result in runs[0]] if job["sample"] else [],
    }


def main() -> None:
    """Run every job of a specification and answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.sched_setaffinity(0, set(spec["cores"]))
    answer = [run(job, spec["markets"][job["market"]], spec["repeats"]) for job in spec["jobs"]]
    versions = {name: version(name) for name in ("hftbacktest", "numba", "numpy")}
    print(json.dumps({"jobs": answer, "versions": versions}))


if __name__ == "__main__":
    main()

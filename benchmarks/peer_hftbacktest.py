"""hftbacktest's side of the benchmark; runs in its own environment: ``python peer_hftbacktest.py JOB.json``.

The grid does what ours does: at each decision the same prices around the mid, orders that are not wanted are cancelled,
missing ones are sent, post-only; bids stop at max_position and asks at -max_position.
"""

import json
import os
import sys
import time
from importlib.metadata import version

import numpy as np
from hftbacktest import BUY, GTX, LIMIT, SELL, BacktestAsset, ROIVectorMarketDepthBacktest
from numba import njit, uint64
from numba.typed import Dict


@njit
def grid(hbt, cycle_ns, spread, levels, quantity, max_position, tick):
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


def backtest(job, data, snapshot, spread):
    """One backtest of one parameter set: build, run, results."""
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(job["latency_ns"], job["latency_ns"])
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(job["maker_fee"], job["taker_fee"])
        .tick_size(job["tick"])
        .lot_size(job["lot"])
        .roi_lb(job["roi"][0])
        .roi_ub(job["roi"][1])
    )
    if len(snapshot):
        asset = asset.initial_snapshot(snapshot)
    started = time.perf_counter()
    hbt = ROIVectorMarketDepthBacktest([asset])
    decisions, sent = grid(
        hbt, job["cycle_ns"], spread, job["levels"], job["quantity"], job["max_position"] - 1e-9, job["tick"]
    )
    state = hbt.state_values(0)
    seconds = time.perf_counter() - started
    result = {"decisions": decisions, "orders": sent, "fills": int(state.num_trades)}
    hbt.close()
    return seconds, result


def main():
    """Warm up, time, answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    os.sched_setaffinity(0, {job["core"]})
    data, snapshot = np.load(job["events"]), np.load(job["snapshot"])
    backtest(job, data, snapshot, job["spreads"][0])  # compiles, and brings the events into memory
    runs = [[backtest(job, data, snapshot, spread) for spread in job["spreads"]] for _ in range(job["repeats"])]
    answer = {
        "seconds": [[seconds for seconds, _ in run] for run in runs],
        "results": [result for _, result in runs[0]],
        "versions": {name: version(name) for name in ("hftbacktest", "numba", "numpy")},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

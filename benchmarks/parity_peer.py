"""hftbacktest's side of the comparison of fills; runs in its own environment: ``python parity_peer.py SPEC.json``.

One run a job: the grid decides at the first event's time + k * cycle, and every fill is written down.
"""

import json
import os
import sys
from importlib.metadata import version

import numpy as np
from hftbacktest import FILLED, GTX, LIMIT, NONE, ROIVectorMarketDepthBacktest
from numba import njit, uint64
from numba.typed import Dict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peer_hftbacktest import asset_of


@njit
def harvest(hbt, fills, count):
    """Write down the fills that became known since the last decision; their number so far."""
    values = hbt.orders(0).values()
    while values.has_next():
        order = values.get()
        if order.status == FILLED:
            fills[count, 0] = order.exch_timestamp
            fills[count, 1] = np.int64(order.side != 1)
            fills[count, 2] = order.exec_price_tick
            fills[count, 3] = np.int64(np.round(order.exec_qty * 1e8))
            fills[count, 4] = np.int64(order.arr[0].maker)
            count += 1
    hbt.clear_inactive_orders(0)
    return count


@njit
def grid(hbt, cycle_ns, spread, levels, quantity, max_position, tick, lot, fills):
    """Run to the end of the data; returns decisions, orders sent and fills. Quotes on one tick are one order."""
    decisions = sent = count = 0
    following = uint64(1)
    while hbt.elapse(cycle_ns) == 0:
        decisions += 1
        count = harvest(hbt, fills, count)
        depth = hbt.depth(0)
        bid_tick, ask_tick = depth.best_bid_tick, depth.best_ask_tick
        if bid_tick <= 0 or ask_tick <= bid_tick or ask_tick > 1 << 40:
            continue
        half_mid = (bid_tick + ask_tick) / 2.0
        position = hbt.position(0)
        wanted = Dict.empty(np.int64, np.int64)
        if position < max_position:
            for k in range(1, levels + 1):
                at = np.int64(np.floor(half_mid * (1.0 - spread / 100.0 / 2.0 * k)))
                if at > 0:
                    wanted[at * 2] = wanted.get(at * 2, 0) + 1
        if position > -max_position:
            for k in range(1, levels + 1):
                at = np.int64(np.ceil(half_mid * (1.0 + spread / 100.0 / 2.0 * k)))
                wanted[at * 2 + 1] = wanted.get(at * 2 + 1, 0) + 1
        values = hbt.orders(0).values()
        while values.has_next():
            order = values.get()
            key = order.price_tick * 2 + np.int64(order.side != 1)
            if key in wanted and np.round(order.qty / lot) == np.round(wanted[key] * quantity / lot):
                wanted[key] = 0
            elif order.cancellable and order.req == NONE:
                hbt.cancel(0, order.order_id, False)
        for key, quotes in wanted.items():
            if quotes == 0:
                continue
            sent += 1
            size = np.round(quotes * quantity / lot) * lot
            if key % 2 == 0:
                hbt.submit_buy_order(0, following, (key // 2) * tick, size, GTX, LIMIT, False)
            else:
                hbt.submit_sell_order(0, following, (key // 2) * tick, size, GTX, LIMIT, False)
            following += uint64(1)
    return decisions, sent, harvest(hbt, fills, count)


def backtest(job, market, data, snapshot):
    """One backtest: its fills are written to the job's file."""
    asset = asset_of(market, data, snapshot, job["entry_ns"], job["response_ns"])
    hbt = ROIVectorMarketDepthBacktest([asset])
    fills = np.zeros((2_000_000, 5), np.int64)
    limit = job["max_position"] - 1e-9
    decisions, sent, count = grid(
        hbt, job["cycle_ns"], job["spread"], job["levels"], job["quantity"], limit, market["tick"], market["lot"], fills
    )
    state, depth = hbt.state_values(0), hbt.depth(0)
    np.save(job["fills"], fills[:count])
    answer = {
        "decisions": decisions,
        "orders": sent,
        "trades": int(state.num_trades),
        "position": float(state.position),
        "balance": float(state.balance),
        "fee": float(state.fee),
        "bid": int(depth.best_bid_tick),
        "ask": int(depth.best_ask_tick),
    }
    hbt.close()
    return answer


def main():
    """Run every job of a specification and answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    answers = []
    for job in spec["jobs"]:
        market = spec["markets"][job["market"]]
        answers.append(backtest(job, market, np.load(market["events"]), np.load(market["snapshot"])))
    print(json.dumps({"jobs": answers, "version": version("hftbacktest")}))


if __name__ == "__main__":
    main()

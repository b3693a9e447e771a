"""hftbacktest judging a parameter set a line: ``python peer_hftbacktest_trials.py SPEC.json``, in its own environment.

Reads ``{"spread": percent, "levels": n}`` a line on stdin, answers ``{"profit": quote, "fills": n, "seconds": s,
"cpu_seconds": s}`` a line on stdout: the seconds, on the wall and of processor, are what building and running the
backtest took. The first answer comes after one run to warm up.
"""

import json
import os
import sys
import time
from typing import Any

import numpy as np
from hftbacktest import ROIVectorMarketDepthBacktest  # type: ignore[import-not-found]

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from parity_peer import grid  # type: ignore[import-not-found]
from peer_hftbacktest import asset_of  # type: ignore[import-not-found]

MOST_FILLS = 200_000  # of a trial


def trial(spec: Any, data: Any, snapshot: Any, fills: Any, spread: float, levels: int) -> dict[str, float]:
    """One backtest: profit marked at the last mid, fees taken."""
    market = spec["market"]
    asset = asset_of(market, data, snapshot, spec["latency_ns"], spec["latency_ns"])
    started, cpu = time.perf_counter(), time.process_time()
    hbt = ROIVectorMarketDepthBacktest([asset])
    limit = spec["max_position"] - 1e-9
    grid(hbt, spec["cycle_ns"], spread, levels, spec["quantity"], limit, market["tick"], market["lot"], fills)
    state, depth = hbt.state_values(0), hbt.depth(0)
    mid = (depth.best_bid_tick + depth.best_ask_tick) / 2.0 * market["tick"]
    profit = float(state.balance + state.position * mid - state.fee)
    count = int(state.num_trades)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    hbt.close()
    return {"profit": profit, "fills": count, "seconds": seconds, "cpu_seconds": cpu_seconds}


def main() -> None:
    """Answer until stdin ends."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    market = spec["market"]
    data, snapshot = np.load(market["events"]), np.load(market["snapshot"])
    fills = np.zeros((MOST_FILLS, 5), np.int64)
    trial(spec, data, snapshot, fills, spec["warm"], 1)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(trial(spec, data, snapshot, fills, asked["spread"], asked["levels"])), flush=True)


if __name__ == "__main__":
    main()

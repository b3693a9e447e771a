"""Tidewright's side of the benchmark: ``python -m benchmarks.ours SPEC.json [THREADS]``; one process.

The second argument overrides the number of threads of every job, for the job whose peer is one thread of ours.
"""

import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from tidewright.engine import sweep
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import UNIT
from tidewright.market.tape import Tape


def bare(tape: Tape, config: ReplayConfig) -> dict[str, Any]:
    """The market alone: one lane without a strategy, everything of the book kept."""
    replay = Replay(tape.instrument, config, lanes=1)
    for chunk in sweep.chunks(tape.data):
        replay.feed(chunk)
    replay.finish()
    return replay.statistics()


def backtest(job: dict[str, Any], market: dict[str, Any], tape: Tape, threads: int) -> tuple[float, dict[str, Any]]:
    """One replay with a lane a spread: build, run, results; the tape lies in memory."""
    spreads = job["spreads"]
    fees = {name: round(market[name] * UNIT) for name in ("maker_fee", "taker_fee")}
    started = time.perf_counter()
    config = ReplayConfig(
        start_ns=tape.start_ns,
        cycle_ns=job["cycle_ns"],
        entry_ns=job["latency_ns"],
        response_ns=job["latency_ns"],
        queue=job["queue"],
    )
    if not spreads:
        statistics = bare(tape, config)
        return time.perf_counter() - started, statistics
    params = {
        "spread_percentage": np.array(spreads),
        "levels": job["levels"],
        "base_quantity": job["quantity"],
        "max_position": job["max_position"],
    }
    instrument = replace(tape.instrument, **fees)
    work = sweep.Job(instrument, config, "grid", params, len(spreads), quote_units=1_000_000 * UNIT)
    statistics = sweep.Threads(threads).run(sweep.Rows(tape.data), work).statistics
    return time.perf_counter() - started, statistics


def run(job: dict[str, Any], market: dict[str, Any], tape: Tape, repeats: int, threads: int) -> dict[str, Any]:
    """Warm up with the lanes the peer runs, then time."""
    backtest(job | {"spreads": job["sample"]}, market, tape, 1)  # compiles, and brings the tape into memory
    runs = [backtest(job, market, tape, threads) for _ in range(repeats)]
    statistics = runs[0][1]
    lanes = [job["spreads"].index(spread) for spread in job["sample"]]
    kept = {"fills": "n_fills", "orders": "n_orders", "equity": "equity_end"}
    return {
        "seconds": [seconds for seconds, _ in runs],
        "results": [{name: statistics[key][lane].item() for name, key in kept.items()} for lane in lanes],
    }


def main() -> None:
    """Run every job of a specification and answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    os.sched_setaffinity(0, set(spec["cores"]))
    tapes = {key: Tape.open(market["tape"]) for key, market in spec["markets"].items()}
    answer = []
    for job in spec["jobs"]:
        market = spec["markets"][job["market"]]
        threads = chosen or job["threads"]
        answer.append(run(job, market, tapes[job["market"]], spec["repeats"], threads))
    print(json.dumps({"jobs": answer}))


if __name__ == "__main__":
    main()

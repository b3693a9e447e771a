"""Tidewright's side of the benchmark: ``python -m benchmarks.ours SPEC.json``; one process, one core."""

import json
import os
import sys
import time
from typing import Any

import numpy as np

from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import UNIT
from tidewright.market.tape import Tape


def backtest(job: dict[str, Any], tape: Tape, spreads: list[float]) -> tuple[float, dict[str, Any]]:
    """One replay with a lane a spread: build, run, results; the tape lies in memory."""
    started = time.perf_counter()
    config = ReplayConfig(
        start_ns=tape.start_ns,
        cycle_ns=job["cycle_ns"],
        entry_ns=job["latency_ns"],
        response_ns=job["latency_ns"],
        queue="risk_averse",
    )
    params = {
        "spread_percentage": np.array(spreads),
        "levels": job["levels"],
        "base_quantity": job["quantity"],
        "max_position": job["max_position"],
    }
    replay = Replay(
        tape.instrument,
        config,
        strategy="grid",
        params=params,
        lanes=len(spreads),
        base_units=0,
        quote_units=1_000_000 * UNIT,
        check_balance=False,
    )
    replay.feed(tape.data)
    replay.finish()
    statistics = replay.statistics()
    seconds = time.perf_counter() - started
    return seconds, {"fills": statistics["n_fills"], "orders": statistics["n_orders"]}


def run(job: dict[str, Any], tape: Tape, repeats: int) -> dict[str, Any]:
    """Warm up once, then time."""
    spreads = job["spreads"]
    backtest(job, tape, spreads)  # compiles, and brings the tape into memory
    runs = [backtest(job, tape, spreads) for _ in range(repeats)]
    lanes = [spreads.index(spread) for spread in job["sample"]]
    return {
        "seconds": [seconds for seconds, _ in runs],
        "results": [{name: int(values[lane]) for name, values in runs[0][1].items()} for lane in lanes],
    }


def main() -> None:
    """Run every job of a specification and answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.sched_setaffinity(0, {spec["core"]})
    tapes = {key: Tape.open(market["tape"]) for key, market in spec["markets"].items()}
    answer = [run(job, tapes[job["tape"]], spec["repeats"]) for job in spec["jobs"]]
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

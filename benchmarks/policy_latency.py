"""How long a decision of a seated policy takes, from state to parameters: ``python -m benchmarks.policy_latency``."""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from tidewright.agents.executor.seat import Seat, Sitter
from tidewright.cli.seat_option import shipped
from tidewright.strategies import registry


def measure(path: Path, count: int) -> dict[str, float | str]:
    """Median and 99th percentile, milliseconds by the clock and of processor time."""
    seat = Seat(Sitter.load(path))
    row = registry.rows("shaped", {}, 1)[0]
    states = np.random.default_rng(0).uniform(-1.0, 1.0, (count, 8))
    seat.steer(states[0], row)  # loads the one compiled function
    taken = np.empty((count, 2))
    for index, state in enumerate(states):
        began = time.perf_counter_ns(), time.thread_time_ns()
        seat.steer(state, row)
        taken[index] = time.perf_counter_ns() - began[0], time.thread_time_ns() - began[1]
    (median, cpu), (tail, cpu_tail) = np.quantile(taken / 1e6, (0.5, 0.99), axis=0).tolist()
    clock = {"median_ms": median, "p99_ms": tail}
    return {"policy": path.name, "decisions": count, **clock, "cpu_median_ms": cpu, "cpu_p99_ms": cpu_tail}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", type=Path, default=shipped(), help="a policy's file; the shipped one if left out")
    parser.add_argument("--decisions", type=int, default=20_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.policy, arguments.decisions)))


if __name__ == "__main__":
    main()

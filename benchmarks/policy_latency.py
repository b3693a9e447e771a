"""How long a decision of a seated policy takes: state to parameters, numpy alone. ``python -m benchmarks.policy_latency``."""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from tidewright.agents.executor.seat import Seat, Sitter
from tidewright.cli.seat_option import shipped
from tidewright.strategies import registry


def measure(path: Path, count: int) -> dict[str, float | str]:
    """Median, 99th percentile and longest, milliseconds."""
    seat = Seat(Sitter.load(path))
    row = registry.rows("shaped", {}, 1)[0]
    states = np.random.default_rng(0).uniform(-1.0, 1.0, (count, 8))
    seat.steer(states[0], row)  # loads the one compiled function
    taken = np.empty(count)
    for index, state in enumerate(states):
        began = time.perf_counter_ns()
        seat.steer(state, row)
        taken[index] = time.perf_counter_ns() - began
    median, tail = np.quantile(taken / 1e6, (0.5, 0.99)).tolist()
    return {"policy": path.name, "decisions": count, "median_ms": median, "p99_ms": tail, "max_ms": taken.max() / 1e6}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", type=Path, default=shipped(), help="a policy's file; the shipped one if left out")
    parser.add_argument("--decisions", type=int, default=20_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.policy, arguments.decisions)))


if __name__ == "__main__":
    main()

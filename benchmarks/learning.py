"""Whether the learner learns, and how fast the environment steps: ``python -m benchmarks.learning``.

The closed-form market has a known optimum (exact dynamic programming), so what a learned policy is worth is computed,
not simulated. Seeds run one after the other; each result is written to disk when it is there, and a second call goes on
with the seeds that are missing.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.environment_speed import Ground, rates, training_tape
from benchmarks.peers import ROOT, WORK
from tests.reference.market_making_dp import best_constant, optimum, value_of
from tidewright.agents.executor.environment_closed_form import ClosedFormEnvironment, ClosedFormMarket
from tidewright.agents.executor.learning.ppo import Learner, Settings
from tidewright.agents.executor.policy import Policy
from tidewright.market.tape import Tape

MARKET = ClosedFormMarket()
LANES = 256
SETTINGS = Settings(iterations=100, horizon=MARKET.steps, discount=1.0, smoothing=0.9)
OPTIMUM_SHARE, GAP_SHARE = 0.99, 0.90  # what every seed shall reach

console = Console(stderr=True, highlight=False)


def exact_value(policy: Policy) -> float:
    """What a policy is worth in the closed-form market, exactly."""
    return value_of(MARKET, lambda held, step: MARKET.distances(policy.act(MARKET.observe(held, step))[0]))


def train(seed: int) -> dict[str, Any]:
    """One seed from nothing to its exact value."""
    began, cpu = time.monotonic(), time.process_time()
    learner = Learner(ClosedFormEnvironment(LANES, MARKET), SETTINGS, seed, device="cpu")
    rounds = [learner.iterate() for _ in track(range(SETTINGS.iterations), f"seed {seed}", console=console)]
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
    return {
        "seed": seed,
        "value": exact_value(learner.policy()),
        "steps": rounds[-1].steps,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "load": round(os.getloadavg()[0], 1),
    }


def closed_form(seeds: int, folder: Path) -> dict[str, Any]:
    """All seeds, those on disk as they are; the table on stderr."""
    folder.mkdir(parents=True, exist_ok=True)
    best, (distance, constant) = optimum(MARKET), best_constant(MARKET)
    rows = []
    for seed in range(seeds):
        file = folder / f"{seed}.json"
        if file.is_file():
            kept = json.loads(file.read_text("utf-8"))
            if kept["settings"] == SETTINGS.to_json() and kept["lanes"] == LANES:
                rows.append(kept)
                continue
        row = {**train(seed), "settings": SETTINGS.to_json(), "lanes": LANES}
        row["share_of_optimum"] = row["value"] / best
        row["share_of_gap"] = (row["value"] - constant) / (best - constant)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(row), encoding="utf-8")
        os.replace(draft, file)
        rows.append(row)
        console.print(f"seed {seed}: {row['value']:.3f}, {row['share_of_gap']:.1%} of the gap")
    table = Table(title=f"optimum {best:.3f}, best constant quote {constant:.3f} at {distance:.2f}")
    for column in ("seed", "value", "of optimum", "of gap", "steps", "CPU s", "s", "load"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row["seed"]),
            f"{row['value']:.3f}",
            f"{row['share_of_optimum']:.2%}",
            f"{row['share_of_gap']:.1%}",
            f"{row['steps']:,}",
            f"{row['cpu_seconds']:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['load']:.1f}",
        )
    console.print(table)
    worst = min(rows, key=lambda row: row["value"])
    return {
        "optimum": best,
        "best_constant": constant,
        "seeds": len(rows),
        "worst": worst["value"],
        "median": float(np.median([row["value"] for row in rows])),
        "worst_share_of_optimum": worst["share_of_optimum"],
        "worst_share_of_gap": worst["share_of_gap"],
        "reached": worst["share_of_optimum"] >= OPTIMUM_SHARE and worst["share_of_gap"] >= GAP_SHARE,
        "most_cpu_seconds": max(row["cpu_seconds"] for row in rows),
    }


def environment_speed(ground: Ground, steps: int, tape: Path | None, rounds: int) -> dict[str, Any]:
    """Steps a second of the tape environment with the real order book, random actions, at 30 s cycles."""
    market = Tape.open(tape or training_tape())
    blocks = rates(market, ground, steps, rounds)
    for clock, cpu in blocks:
        console.print(f"{clock:,.0f} steps/s, {cpu:,.0f} a CPU second")
    wall, used = np.median(np.array(blocks), axis=0).tolist()
    return {
        **asdict(ground),
        "rows": len(market.data.ts),
        "steps_per_second": wall,
        "steps_per_cpu_second": used,
        "load": os.getloadavg()[0],
        "cores": len(os.sched_getaffinity(0)),
    }


def main(arguments: list[str] | None = None) -> None:
    """Run what is asked for; one JSON line on stdout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds of the closed-form market")
    parser.add_argument("--out", type=Path, default=WORK / "learning", help="where results are kept")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--speed", action="store_true", help="measure the tape environment instead")
    parser.add_argument("--tape", type=Path, help="a tape for it instead of a synthetic market")
    parser.add_argument("--lanes", type=int, default=2048)
    parser.add_argument("--cohorts", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--levels", type=int, default=3, help="most quotes a side; actions choose from 0 to it")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    os.chdir(ROOT)
    if given.speed:
        ground = Ground(given.lanes, given.cohorts, given.levels)
        result = environment_speed(ground, given.steps, given.tape, given.rounds)
    else:
        result = closed_form(given.seeds, given.out)
    print(json.dumps(result))
    if not result.get("reached", True):
        sys.exit(1)


if __name__ == "__main__":
    main()

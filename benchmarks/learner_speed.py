"""Time to the same return, beside Stable-Baselines3's PPO: ``python -m benchmarks.learner_speed``.

Both learn the closed-form market, 256 lanes, networks of two towers of 64 and 64, one thread, in turns. Actors are kept
every few rounds; what each is worth is computed exactly afterwards, so judging costs neither side time. The return to
reach is 90 % of the gap between the best constant quote and the optimum.

Time is CPU time of a process with one thread, because the clock of a machine with other work says little; the clock is
given too.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import learning, peers
from benchmarks.peers import ROOT, WORK, Peer
from tests.reference.market_making_dp import best_constant, optimum
from tidewright.agents.executor.environment import Spaces
from tidewright.agents.executor.environment_closed_form import ClosedFormEnvironment
from tidewright.agents.executor.learning.ppo import Learner, Settings
from tidewright.agents.executor.policy import Network, Policy

SB3: Final = Peer("sb3", "Stable-Baselines3 2.9.2", ".venv-peer-sb3")
LANES: Final = learning.LANES
SETTINGS: Final = learning.SETTINGS
ROUNDS: Final = {"ours": 100, "sb3": 100}
TARGET: Final = 0.90  # of the gap
EVERY: Final = 2  # rounds between kept actors

console = Console(stderr=True, highlight=False)


def ours(seed: int, settings: Settings, every: int) -> list[tuple[Policy, dict[str, float]]]:
    """Actors of our learner and the seconds until each."""
    seconds = cpu_seconds = 0.0
    kept: list[tuple[Policy, dict[str, float]]] = []
    began, cpu = time.perf_counter(), time.process_time()
    learner = Learner(ClosedFormEnvironment(LANES), settings, seed, device="cpu")
    for number in range(1, settings.iterations + 1):
        learner.iterate()
        if number % every == 0 or number == settings.iterations:
            seconds += time.perf_counter() - began
            cpu_seconds += time.process_time() - cpu
            kept.append((learner.policy(), {"rounds": number, "seconds": seconds, "cpu_seconds": cpu_seconds}))
            began, cpu = time.perf_counter(), time.process_time()
    return kept


def theirs(answer: dict[str, Any]) -> list[tuple[Policy, dict[str, float]]]:
    """The same of the peer's answer."""
    kept = []
    for row in answer["rows"]:
        with np.load(row.pop("file")) as arrays:
            layers = len(arrays.files) // 2
            network = Network(
                tuple(arrays[f"{k}.weight"] for k in range(layers)), tuple(arrays[f"{k}.bias"] for k in range(layers))
            )
        kept.append((Policy(Spaces(2, 2, ()), (network,), activation=answer["activation"]), row))
    return kept


def judge(kept: list[tuple[Policy, dict[str, float]]], target: float) -> dict[str, Any]:
    """Seconds until the first actor that is worth the target (``None``: none is), the last value, and the path."""
    path: list[dict[str, float]] = []
    reached: dict[str, float] | None = None
    for policy, row in kept:
        path.append({**row, "value": learning.exact_value(policy)})
        if path[-1]["value"] >= target and reached is None:
            reached = path[-1]
            break
    return {"reached": reached, "last": path[-1], "path": path}


def one_side(side: str, seed: int, target: float, folder: Path) -> dict[str, Any]:
    """One training of one side, each in a process of its own."""
    if side == "ours":
        return judge(ours(seed, SETTINGS, EVERY), target)
    keys = ("learning_rate", "minibatch", "epochs", "discount", "smoothing", "clip", "value_weight", "max_norm")
    spec = {key: value for key, value in asdict(SETTINGS).items() if key in (*keys, "log_deviation", "horizon")}
    spec |= {"lanes": LANES, "rounds": ROUNDS["sb3"], "seed": seed, "every": EVERY, "folder": str(folder)}
    python = peers.python_of(SB3, console.print)
    answer = peers.run([str(python), "benchmarks/peer_sb3.py", "SPEC"], spec, folder)
    return {**judge(theirs(answer), target), "versions": answer["versions"]}


def measure(seeds: int, folder: Path) -> dict[str, Any]:
    """Both sides in turns, a seed at a time; results on disk are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    best, (_, constant) = optimum(learning.MARKET), best_constant(learning.MARKET)
    target = constant + TARGET * (best - constant)
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "sb3": []}
    for seed in range(seeds):
        for side in ("ours", "sb3") if seed % 2 == 0 else ("sb3", "ours"):
            file = folder / f"{side}-{seed}.json"
            if not file.is_file():
                console.print(f"{side}, seed {seed} ...")
                result = one_side(side, seed, target, folder) | {"load": round(os.getloadavg()[0], 1)}
                draft = file.with_suffix(".draft")
                draft.write_text(json.dumps(result), encoding="utf-8")
                os.replace(draft, file)
            found[side].append(json.loads(file.read_text("utf-8")))
    return {"target": target, "sides": found, **summary(found)}


def summary(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians; where a side did not get there, its time is the whole training's, a lower bound."""
    answer: dict[str, Any] = {}
    for side, runs in found.items():
        rows = [run["reached"] or run["last"] for run in runs]
        answer[side] = {
            "reached": sum(run["reached"] is not None for run in runs),
            "cpu_seconds": [round(row["cpu_seconds"], 1) for row in rows],
            "seconds": [round(row["seconds"], 1) for row in rows],
            "rounds": [int(row["rounds"]) for row in rows],
            "median_cpu_seconds": median(row["cpu_seconds"] for row in rows),
            "steps_per_cpu_second": median(
                run["last"]["rounds"] * LANES * SETTINGS.horizon / run["last"]["cpu_seconds"] for run in runs
            ),
        }
    answer["ratio"] = answer["sb3"]["median_cpu_seconds"] / answer["ours"]["median_cpu_seconds"]
    return answer


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(title=f"CPU seconds to a value of {result['target']:.2f}, one thread", title_justify="left")
    for column in ("learner", "reached it", "median", "each", "rounds", "steps/CPU s"):
        table.add_column(column)
    for side, name in (("ours", "Tidewright"), ("sb3", SB3.title)):
        row = result[side]
        cells = [", ".join(map(str, row[key])) for key in ("cpu_seconds", "rounds")]
        share = f"{row['reached']} of {len(row['rounds'])}"
        table.add_row(name, share, f"{row['median_cpu_seconds']:.1f}", *cells, f"{row['steps_per_cpu_second']:,.0f}")
    console.print(table)
    console.print(f"Stable-Baselines3 takes {result['ratio']:.2f} times as long (the aim: at least 2)")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and give one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learner_speed", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=WORK / "learner-speed", help="where results are kept")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    os.chdir(ROOT)
    try:
        result = measure(given.seeds, given.out)
    except peers.Unavailable as why:
        console.print(f"{SB3.title}: {why}")
        sys.exit(1)
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Time to the same return, beside Stable-Baselines3's PPO: ``python -m benchmarks.learner_speed``.

Both learn the closed-form market with the same settings: 256 lanes, two towers of 64 and 64, one thread, in turns, a
process a training, bound to one core. What the actor is worth is computed exactly every few rounds, which is not part
of the time. The return to reach is 90 % of the gap between the best constant quote and the optimum.

Time begins when the learner is built, and is CPU time of a process with one thread, because the clock of a machine with
other work says little; the clock is given too.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import learning, peers
from benchmarks.peers import ROOT, WORK, Peer
from benchmarks.table import new_row
from tests.reference.market_making_dp import best_constant, optimum
from tidewright.agents.executor.environment_closed_form import ClosedFormEnvironment
from tidewright.agents.executor.learning.ppo import Learner, Settings

SB3: Final = Peer("sb3", "Stable-Baselines3 2.9.2", ".venv-peer-sb3")
LANES: Final = learning.LANES
SETTINGS: Final = replace(learning.SETTINGS, epochs=2, learning_rate=2e-3)
TARGET: Final = 0.90  # of the gap
EVERY: Final = 2  # rounds between looks

console = Console(stderr=True, highlight=False)


def ours(seed: int, target: float, settings: Settings = SETTINGS) -> list[dict[str, float]]:
    """Rounds, seconds and worth at every look, until the target."""
    seconds = cpu_seconds = 0.0
    path: list[dict[str, float]] = []
    learner = Learner(ClosedFormEnvironment(LANES), settings, seed, device="cpu")
    began, cpu = time.perf_counter(), time.process_time()
    for number in range(1, settings.iterations + 1):
        learner.iterate()
        if number % EVERY == 0 or number == settings.iterations:
            seconds += time.perf_counter() - began
            cpu_seconds += time.process_time() - cpu
            row = {"rounds": number, "seconds": seconds, "cpu_seconds": cpu_seconds}
            path.append({**row, "value": learning.exact_value(learner.policy())})
            if path[-1]["value"] >= target:
                break
            began, cpu = time.perf_counter(), time.process_time()
    return path


@cache
def bounds() -> tuple[float, float]:
    """What the optimum is worth, and the best constant quote."""
    return optimum(learning.MARKET), best_constant(learning.MARKET)[1]


def asked(target: float, core: int) -> dict[str, Any]:
    """What both sides are given, but for the seed."""
    keys = ("learning_rate", "minibatch", "epochs", "discount", "smoothing", "clip", "value_weight", "max_norm")
    spec = {key: value for key, value in asdict(SETTINGS).items() if key in (*keys, "log_deviation", "horizon")}
    return spec | {"lanes": LANES, "rounds": SETTINGS.iterations, "every": EVERY, "target": target, "cores": [core]}


def one_side(side: str, spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One training of one side, in a process of its own."""
    if side == "ours":
        return peers.run_ours([sys.executable, "-m", "benchmarks.learner_speed", "--one", "SPEC"], spec, folder)
    python = peers.python_of(SB3, console.print)
    return peers.run([str(python), "benchmarks/peer_sb3.py", "SPEC"], spec, folder)


def measure(
    seeds: int, folder: Path, share: float, core: int, run: Callable[..., dict[str, Any]] = one_side
) -> dict[str, Any]:
    """Both sides in turns, a seed at a time; results on disk that were asked the same are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    best, constant = bounds()
    target = constant + share * (best - constant)
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "sb3": []}
    for seed in range(seeds):
        for side in ("ours", "sb3") if seed % 2 == 0 else ("sb3", "ours"):
            file = folder / f"{side}-{seed}.json"
            spec = asked(target, core) | {"seed": seed}
            if not file.is_file() or json.loads(file.read_text("utf-8")).get("asked") != spec:
                console.print(f"{side}, seed {seed} ...")
                result = run(side, spec, folder) | {"load": round(os.getloadavg()[0], 1), "asked": spec}
                draft = file.with_suffix(".draft")
                draft.write_text(json.dumps(result), encoding="utf-8")
                os.replace(draft, file)
            found[side].append(json.loads(file.read_text("utf-8")))
    return {"target": target, "sides": found, **summary(found, target)}


def summary(found: dict[str, list[dict[str, Any]]], target: float) -> dict[str, Any]:
    """Medians; where a side did not get there, its time is the whole training's, a lower bound."""
    answer: dict[str, Any] = {}
    for side, runs in found.items():
        rows = [run["path"][-1] for run in runs]
        answer[side] = {
            "reached": sum(row["value"] >= target for row in rows),
            "cpu_seconds": [round(row["cpu_seconds"], 1) for row in rows],
            "seconds": [round(row["seconds"], 1) for row in rows],
            "rounds": [int(row["rounds"]) for row in rows],
            "median_cpu_seconds": median(row["cpu_seconds"] for row in rows),
            "median_seconds": median(row["seconds"] for row in rows),
            "steps_per_cpu_second": median(
                row["rounds"] * LANES * SETTINGS.horizon / row["cpu_seconds"] for row in rows
            ),
        }
    answer["ratio"] = answer["sb3"]["median_cpu_seconds"] / answer["ours"]["median_cpu_seconds"]
    answer["ratio_by_clock"] = answer["sb3"]["median_seconds"] / answer["ours"]["median_seconds"]
    return answer


def rows(
    seeds: int,
    folder: Path,
    share: float,
    core: int,
    say: Callable[[str], None],
    run: Callable[..., dict[str, Any]] = one_side,
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows for the table of benchmarks.run, and the peer's versions; measured anew."""
    for file in folder.glob("*.json"):
        file.unlink()
    row = new_row(
        f"learn a market with a known optimum to {share * 100:g} % of the gap, one thread", SB3.title, "training"
    )
    try:
        say(f"{SB3.title}: {seeds} seeds in turns ...")
        result = measure(seeds, folder, share, core, run)
    except peers.Unavailable as why:
        mine = [json.loads(file.read_text("utf-8"))["path"][-1]["cpu_seconds"] for file in folder.glob("ours-*.json")]
        return [row | {"ours": mine, "reason": str(why)}] if mine else [], {}
    sides = {"ours": result["ours"], "peer": result["sb3"]}
    missed = any(side["reached"] < seeds for side in sides.values())
    name = row["name"] + (" (not reached by all: lower bounds)" if missed else "")
    found = row | {"name": name, **{side: said["cpu_seconds"] for side, said in sides.items()}}
    found["clock"] = {side: said["seconds"] for side, said in sides.items()}
    return [found], result["sides"]["sb3"][0]["versions"]


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
    console.print(
        f"Stable-Baselines3 takes {result['ratio']:.2f} times as long (the aim: at least 2), "
        f"by the clock {result['ratio_by_clock']:.2f} times"
    )


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and give one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learner_speed", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--share", type=float, default=TARGET, help="of the gap, to be reached by both")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core both are bound to")
    parser.add_argument("--out", type=Path, default=WORK / "learner-speed", help="where results are kept")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # our side of one training, for this module itself
    given = parser.parse_args(arguments)
    os.chdir(ROOT)
    if given.one is not None:
        spec = json.loads(given.one.read_text("utf-8"))
        os.sched_setaffinity(0, set(spec["cores"]))
        torch.set_num_threads(1)
        print(json.dumps({"path": ours(spec["seed"], spec["target"])}))
        return
    try:
        result = measure(given.seeds, given.out, given.share, given.core)
    except peers.Unavailable as why:
        console.print(f"{SB3.title}: {why}")
        sys.exit(1)
    show(result)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

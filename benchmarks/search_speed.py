"""Time to a good parameter set: ``python -m benchmarks.search_speed --tape TAPE``.

The same events, the same grid, the same objective (profit at the last mid, after fees; hftbacktest's matching rules on
both sides) and the same two-parameter space. Ours: ``tw.Search`` with batches of lanes. Beside it: Optuna's TPE driving
hftbacktest, one trial at a time. Measured: candidates a second, and seconds until the objective has come 95 % of the
way from the median of random parameter sets to the best known of both sides. Where the peer does not get there within
its trials, its time is given as a lower bound.
"""

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks import peers
from benchmarks.peers import ROOT, WORK
from benchmarks.run import market as describe
from tidewright.agents.optimizer.search import Search
from tidewright.engine import sweep
from tidewright.engine.replay import ReplayConfig
from tidewright.market.codes import UNIT
from tidewright.market.tape import Tape

F64 = npt.NDArray[np.float64]
SECOND: Final = 1_000_000_000
SPACE: Final = {"spread": (0.05, 3.0, "log"), "levels": (1, 6, "int")}


class Ours:
    """Judges lanes with the engine."""

    def __init__(self, tape: Tape, spec: dict[str, Any], threads: int) -> None:
        market = spec["market"]
        fees = {name: round(market[name] * UNIT) for name in ("maker_fee", "taker_fee")}
        self._rows = sweep.Rows(tape.data)
        self._instrument = replace(tape.instrument, **fees)
        self._spec, self._threads = spec, threads
        self._config = ReplayConfig(
            start_ns=tape.start_ns,
            cycle_ns=spec["cycle_ns"],
            entry_ns=spec["latency_ns"],
            response_ns=spec["latency_ns"],
            queue="risk_averse",
            parity=True,
        )

    def profit(self, points: dict[str, Any]) -> F64:
        """Profit of each lane, quote."""
        params = {
            "spread_percentage": points["spread"],
            "levels": points["levels"],
            "base_quantity": self._spec["quantity"],
            "max_position": self._spec["max_position"],
        }
        lanes = len(points["spread"])
        job = sweep.Job(self._instrument, self._config, "grid", params, lanes, quote_units=1_000_000 * UNIT)
        found = sweep.Threads(self._threads).run(self._rows, job).statistics
        return np.asarray(found["equity_end"] - found["equity_start"], np.float64)


def our_run(judge: Ours, candidates: int, batch: int, seed: int) -> list[tuple[float, float]]:
    """(seconds since the start, best profit so far) after each batch."""
    search = Search(SPACE, {"profit": "max"}, seed=seed)
    began, best, path = time.perf_counter(), -np.inf, []
    while len(search) < candidates:
        points = search.ask(batch)
        profit = judge.profit(points)
        search.tell(points, profit)
        best = max(best, float(profit.max()))
        path.append((time.perf_counter() - began, best))
    return path


def peer_run(python: Path, spec: dict[str, Any], trials: int, seed: int) -> tuple[list[tuple[float, float]], F64]:
    """The same of Optuna driving hftbacktest, and the seconds of each backtest."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = WORK / "speed.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    command = [str(python), "benchmarks/peer_hftbacktest_trials.py", str(file)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    process.stdout.readline()
    path: list[tuple[float, float]] = []
    seconds: list[float] = []
    began = time.perf_counter()

    def objective(trial: Any) -> float:
        asked = {
            "spread": trial.suggest_float("spread", 0.05, 3.0, log=True),
            "levels": trial.suggest_int("levels", 1, 6),
        }
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        seconds.append(answer["seconds"])
        best = max(answer["profit"], path[-1][1] if path else -np.inf)
        path.append((time.perf_counter() - began, best))
        return float(answer["profit"])

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    process.stdin.close()
    process.wait()
    return path, np.array(seconds)


def reached(path: list[tuple[float, float]], level: float) -> float | None:
    """Seconds to a level; ``None``: never."""
    return next((seconds for seconds, best in path if best >= level), None)


def main(arguments: list[str] | None = None) -> None:
    """Measure both, print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_speed", description=__doc__)
    parser.add_argument("--tape", type=Path, required=True)
    parser.add_argument("--candidates", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--trials", type=int, default=40, help="of the peer, a seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--maker-fee", type=float, default=0.0)
    chosen = parser.parse_args(arguments)
    tape = Tape.open(chosen.tape)
    WORK.mkdir(exist_ok=True)
    found = describe(tape, "speed") | {"maker_fee": chosen.maker_fee}
    price = float(np.median(tape.data.price[tape.data.price > 0])) * found["tick"]
    quantity = max(1.0, np.ceil(10.0 / price / found["lot"])) * found["lot"]
    spec = {
        "market": found,
        "cycle_ns": 30 * SECOND,
        "latency_ns": 50_000_000,
        "quantity": quantity,
        "max_position": 20 * quantity,
        "warm": 0.3,
    }
    judge = Ours(tape, spec, chosen.threads)
    random = Search(SPACE, {"profit": "max"}, seed=99).ask(256)
    judge.profit({name: column[:2] for name, column in random.items()})  # compiles
    began = time.perf_counter()
    median = float(np.median(judge.profit(random)))
    rate = 256 / (time.perf_counter() - began)
    python = peers.python_of(peers.HFTBACKTEST, lambda text: print(text, file=sys.stderr))
    ours, theirs, each = [], [], []
    for seed in range(chosen.seeds):  # in turns
        ours.append(our_run(judge, chosen.candidates, chosen.batch, seed))
        path, seconds = peer_run(python, spec, chosen.trials, seed)
        theirs.append(path)
        each.append(seconds)
        print(f"seed {seed}: ours {ours[-1][-1]}, theirs {theirs[-1][-1]}", file=sys.stderr, flush=True)
    best = max(path[-1][1] for path in (*ours, *theirs))
    level = median + 0.95 * (best - median)
    result = {
        "tape": tape.name if hasattr(tape, "name") else chosen.tape.name,
        "events": len(tape),
        "best": best,
        "median_of_random": median,
        "level": level,
        "our_candidates_per_second": round(rate, 1),
        "their_candidates_per_second": round(1.0 / float(np.mean(np.concatenate(each))), 3),
        "our_seconds": [reached(path, level) for path in ours],
        "their_seconds": [reached(path, level) for path in theirs],
        "their_seconds_in_all": [path[-1][0] for path in theirs],
        "trials": chosen.trials,
    }
    (WORK / "search_speed.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Time to a good parameter set: ``python -m benchmarks.search_speed --tape TAPE``.

The same events, the same grid, the same objective (profit at the last mid, after fees; hftbacktest's matching rules on
both sides) and the same two-parameter space. Ours: ``tw.Search``, as many batches of lanes at a time as there are
threads, each batch in one thread, the next asked for while others are judged. Beside it: Optuna's TPE driving
hftbacktest, as many trials at a time as there are threads, a process each. Measured: candidates a
second, and seconds until the objective has come 95 % of the way from the median of random parameter sets to the best
known, which a long search of ours finds first. A run ends at that level, or at its budget, the peer's also when it has
taken so many times as long as the slower of ours with the same seed: then its time is a lower bound; so the time to
the lesser of what both reached is told as well. Seconds of processor are told beside those on the wall, which other
programs lengthen. Runs are made in turns, one seed after the other, and appended to a file as they end; what is there
is not run again. Imports, compiling, reading the tape and starting the peer's processes are not timed.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks import peers
from benchmarks.parity import market as for_the_peer
from benchmarks.peers import ROOT, WORK
from benchmarks.search import append, done
from tidewright.agents.optimizer.samplers.choose import PARTS, QUICK
from tidewright.agents.optimizer.search import Search
from tidewright.agents.optimizer.search_turns import in_turns
from tidewright.engine import sweep
from tidewright.engine.replay import ReplayConfig
from tidewright.market.codes import UNIT
from tidewright.market.tape import Tape

F64 = npt.NDArray[np.float64]
SECOND: Final = 1_000_000_000
SPACE: Final = {"spread": (0.05, 3.0, "log"), "levels": (1, 6, "int")}
RESULTS: Final = WORK / "search_speed.jsonl"
SHARE: Final = 0.95  # of the way from the median of random sets to the best known
REFERENCE: Final = 8192  # candidates of each search for the best known
ALIKE: Final = 1e-6  # of the range of profits: as far as the two sides may differ
PEER: Final = "optuna"
FIRST_SEED: Final = 10  # the batch was chosen while looking at smaller ones


@dataclass(frozen=True, slots=True)
class Level:
    """What is to be reached: profit of the best known, of the median random set, and the level between."""

    best: float
    median: float

    @property
    def profit(self) -> float:
        """The level."""
        return self.median + SHARE * (self.best - self.median)


class Ours:
    """Judges lanes with the engine."""

    def __init__(self, tape: Tape, spec: dict[str, Any], threads: int) -> None:
        market = spec["market"]
        fees = {name: round(market[name] * UNIT) for name in ("maker_fee", "taker_fee")}
        self._rows = sweep.Rows(tape.data)
        self._instrument = replace(tape.instrument, kind="linear", **fees)
        self._spec, self._threads = spec, threads
        self._config = ReplayConfig(
            start_ns=spec["start_ns"],
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


def our_run(
    judge: Ours, sampler: str, candidates: int, batch: int, seed: int, level: float, workers: int = 1
) -> dict[str, Any]:
    """One search until the level or the budget; as many batches at a time as there are workers."""
    began, cpu = time.perf_counter(), time.process_time()
    search = Search(SPACE, {"profit": "max"}, sampler=sampler, seed=seed)
    best, judging, asked, thinking = -np.inf, 0.0, 0, 0.0
    path: list[tuple[float, float]] = []

    def ask() -> dict[str, Any] | None:
        nonlocal asked, thinking
        if asked >= candidates or best >= level:
            return None
        asked += batch
        at = time.perf_counter()
        points = search.ask(batch)
        thinking += time.perf_counter() - at
        return points

    for points, profit, took in in_turns(ask, judge.profit, workers, time.perf_counter):
        judging += took
        if best >= level:
            continue  # it was out when the level was reached
        if profit.max() > best:
            best = float(profit.max())
            path.append((time.perf_counter() - began, best))
        search.tell(points, profit, seconds=took)
    return {
        "seconds": path[-1][0] if best >= level else time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "judging_seconds": judging,
        "asking_seconds": thinking,
        "judged": len(search),
        "best": best,
        "reached": best >= level,
        "path": path,
    }


class Backtester:
    """A process of the peer that judges one parameter set at a time."""

    def __init__(self, python: Path, file: Path) -> None:
        command = [str(python), "benchmarks/peer_hftbacktest_trials.py", str(file)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it has compiled

    def judge(self, spread: float, levels: int) -> dict[str, float]:
        """Profit, fills and seconds of one backtest."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"spread": spread, "levels": levels}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, float] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def peer_run(
    free: "SimpleQueue[Backtester]", workers: int, trials: int, seed: int, level: float, seconds: float | None = None
) -> dict[str, Any]:
    """The same of Optuna driving hftbacktest; no trial is begun after so many seconds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    lock, best, each, cpu_each = threading.Lock(), -np.inf, [], []
    path: list[tuple[float, float]] = []

    def objective(trial: Any) -> float:
        nonlocal best
        spread = trial.suggest_float("spread", *SPACE["spread"][:2], log=True)
        levels = trial.suggest_int("levels", *SPACE["levels"][:2])
        backtester = free.get()
        answer = backtester.judge(spread, levels)
        free.put(backtester)
        with lock:
            each.append(answer["seconds"])
            cpu_each.append(answer["cpu_seconds"])
            if answer["profit"] > best:
                best = answer["profit"]
                path.append((time.perf_counter() - began, best))
            if best >= level:
                study.stop()
        return answer["profit"]

    began, cpu = time.perf_counter(), time.process_time()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=trials, n_jobs=workers, timeout=seconds)
    return {
        "seconds": path[-1][0] if best >= level else time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu + float(np.sum(cpu_each)),
        "judging_seconds": float(np.sum(each)) / workers,
        "judged": len(each),
        "best": best,
        "reached": best >= level,
        "path": path,
    }


def specification(tape: Tape, maker_fee: float) -> dict[str, Any]:
    """What both sides are told; best quotes are written out as the levels they mean, which is all the peer reads."""
    instrument = replace(tape.instrument, kind="linear", maker_fee=round(maker_fee * UNIT))  # its fees are in quote
    market = for_the_peer("speed", tape.data, instrument)
    price = float(np.median(tape.data.price[tape.data.price > 0])) * market.peer["tick"]
    quantity = max(1.0, np.ceil(10.0 / price / market.peer["lot"])) * market.peer["lot"]
    return {
        "market": market.peer,
        "start_ns": market.start_ns,
        "cycle_ns": 30 * SECOND,
        "latency_ns": 50_000_000,
        "quantity": quantity,
        "max_position": 20 * quantity,
        "warm": 0.3,
    }


def check(judge: Ours, peer: "Backtester") -> float:
    """The largest difference of profit between both sides over sets spread over the space, quote.

    Raises
    ------
    SystemExit
        If both do not judge alike: then times to a profit cannot be compared.
    """
    points = Search(SPACE, {"profit": "max"}, seed=97).ask(64)
    own = judge.profit(points)
    sets = zip(points["spread"].tolist(), points["levels"].tolist(), strict=True)
    theirs = np.array([peer.judge(spread, int(levels))["profit"] for spread, levels in sets])
    apart = float(np.abs(own - theirs).max())
    if apart > ALIKE * float(np.ptp(own)):
        worst = int(np.abs(own - theirs).argmax())
        raise SystemExit(f"the two sides judge differently: {own[worst]:.6f} and {theirs[worst]:.6f} of the same set")
    return apart


def level_of(judge: Ours, rows: list[dict[str, Any]], results: Path, say: Callable[[str], None]) -> Level:
    """The best known: of the file, or of long searches with seeds that no measured run has."""
    known = next((row for row in rows if row["kind"] == "level"), None)
    if known is None:
        random = Search(SPACE, {"profit": "max"}, seed=99).ask(256)
        median = float(np.median(judge.profit(random)))
        found = [our_run(judge, "genetic", REFERENCE, 512, 1000 + number, np.inf)["best"] for number in range(3)]
        known = {"kind": "level", "best": max(found), "median": median, "found": found}
        append(results, known)
    level = Level(known["best"], known["median"])
    say(f"best known {level.best:.4f}, median of random sets {level.median:.4f}, level {level.profit:.4f}")
    return level


def rate_of(judge: Ours, lanes: int) -> float:
    """Candidates a second, judged ``lanes`` at a time: the median of five."""
    points = Search(SPACE, {"profit": "max"}, seed=98).ask(lanes)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        judge.profit(points)
        seconds.append(time.perf_counter() - began)
    return lanes / float(np.median(seconds))


def _ours(row: dict[str, Any]) -> bool:
    return row["kind"] == "run" and row["side"] != PEER


def first(path: list[list[float]], value: float) -> float:
    """Seconds until a run had found as much; infinite: never."""
    return next((seconds for seconds, best in path if best >= value), np.inf)


def _ratios(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    """The peer's seconds over ours, seed by seed."""
    each = [theirs / own for theirs, own in pairs]
    low, middle, high = (round(float(value), 1) for value in np.quantile(each, [0.25, 0.5, 0.75]))
    return {
        "ours": [round(own, 3) for _, own in pairs],
        "theirs": [round(theirs, 1) for theirs, _ in pairs],
        "times_less": [round(value, 1) for value in each],
        "median": middle,
        "quartiles": [low, high],
        "of_totals": round(sum(theirs for theirs, _ in pairs) / sum(own for _, own in pairs), 1),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Time to the level of each side, seed by seed, and the peer's time over ours."""
    runs = [row for row in rows if row["kind"] == "run"]
    found: dict[str, Any] = {"level": next(row for row in rows if row["kind"] == "level")}
    peers_runs = {row["seed"]: row for row in runs if row["side"] == PEER}
    for side in dict.fromkeys(row["side"] for row in runs):
        own = [row for row in runs if row["side"] == side]
        seconds = [row["seconds"] for row in own]
        found[side] = {
            "runs": len(own),
            "reached": sum(row["reached"] for row in own),
            "seconds": [round(value, 3) for value in seconds],
            "median_seconds": round(float(np.median(seconds)), 3),
            "judged": [row["judged"] for row in own],
            "judged_a_second": round(sum(row["judged"] for row in own) / sum(seconds), 1),
            "judged_a_second_of_judging": round(
                sum(row["judged"] for row in own) / sum(row["judging_seconds"] for row in own), 1
            ),
            "best": [round(row["best"], 3) for row in own],
        }
        pairs = [(peers_runs[row["seed"]], row) for row in own if row["seed"] in peers_runs]
        if side != PEER and pairs:
            found[side]["to_the_level"] = _ratios([(peer["seconds"], row["seconds"]) for peer, row in pairs])
            found[side]["to_the_level_of_processor"] = _ratios(
                [(peer["cpu_seconds"], row["cpu_seconds"]) for peer, row in pairs]
            )
            both = [(peer["path"], row["path"], min(peer["best"], row["best"])) for peer, row in pairs]
            found[side]["to_what_both_reached"] = _ratios(
                [(first(theirs, least), first(own, least)) for theirs, own, least in both]
            )
    for row in rows:
        if row["kind"] == "rate":
            found.setdefault("rates", []).append({name: row[name] for name in row if name != "kind"})
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure both, print one JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_speed", description=__doc__)
    parser.add_argument("--tape", type=Path, required=True)
    parser.add_argument("--samplers", default="genetic,lines,ensemble", help="of our search")
    parser.add_argument("--candidates", type=int, default=4096, help="of ours at most, a run")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--trials", type=int, default=4096, help="of the peer at most, a run")
    parser.add_argument("--times", type=float, default=120.0, help="as long as ours the peer may take, a run")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of ours, and processes of the peer")
    parser.add_argument("--maker-fee", type=float, default=0.0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    tape = Tape.open(chosen.tape)
    WORK.mkdir(exist_ok=True)
    spec = specification(tape, chosen.maker_fee)
    judge, single = Ours(tape, spec, chosen.threads), Ours(tape, spec, 1)
    rows = done(chosen.results)
    for sampler in dict.fromkeys((*chosen.samplers.split(","), *PARTS, *QUICK)):
        our_run(single, sampler, 4 * chosen.batch, chosen.batch, 997, np.inf, chosen.threads)  # compiles and imports
    level = level_of(judge, rows, chosen.results, say)
    file = WORK / "speed.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    python = peers.python_of(peers.HFTBACKTEST, say)
    free: SimpleQueue[Backtester] = SimpleQueue()
    started = [Backtester(python, file) for _ in range(chosen.threads)]
    for backtester in started:
        free.put(backtester)
    apart = check(judge, started[0])
    say(f"both sides judge the same: profits differ by {apart:.1e} at most")
    peer_run(free, chosen.threads, 15, 997, np.inf)  # imports
    known = {(row.get("side"), row.get("seed")) for row in rows}
    for seed in range(FIRST_SEED, FIRST_SEED + chosen.seeds):  # in turns
        for side in (*chosen.samplers.split(","), PEER):
            if (side, seed) in known:
                continue
            if side == PEER:
                slower = max(row["seconds"] for row in done(chosen.results) if row.get("seed") == seed and _ours(row))
                longest = chosen.times * slower
                found = peer_run(free, chosen.threads, chosen.trials, seed, level.profit, longest)
            else:
                found = our_run(single, side, chosen.candidates, chosen.batch, seed, level.profit, chosen.threads)
            append(chosen.results, {"kind": "run", "side": side, "seed": seed, **found})
            say(f"seed {seed}, {side}: {found['seconds']:.2f} s, {found['judged']} judged, best {found['best']:.3f}")
        append(
            chosen.results,
            {"kind": "rate", "seed": seed, **{f"{n}_lanes": round(rate_of(judge, n), 1) for n in (128, 1024)}},
        )
    for backtester in started:
        backtester.close()
    print(json.dumps({"tape": chosen.tape.name, "events": len(tape), **summary(done(chosen.results))}))


if __name__ == "__main__":
    main()

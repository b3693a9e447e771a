"""Recovery after a change: ``python -m benchmarks.search_dynamic``; pymoo's DF suite (CEC 2018).

The problem changes a few times. After each change a search begins that knows the front from before (warm: part of it is
judged anew, first) and one that does not (cold), with the same seed. Reported: evaluations until 90 % of the share of
the exact hypervolume that was known before the change is known again, and the share after some evaluations.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.search import append, done
from tidewright.agents.optimizer.samplers.front import hypervolume, nondominated
from tidewright.agents.optimizer.search import Search

F64 = npt.NDArray[np.float64]
RESULTS: Final = Path(__file__).resolve().parent.parent / ".bench" / "search_dynamic.jsonl"
PROBLEMS: Final = tuple(f"DF{number}" for number in range(1, 15))  # from DF10 on of three objectives
DIMS: Final = 6
BATCH: Final = 4
COUNTS: Final = (20, 40, 80)  # evaluations after which the share is told


def problem_at(name: str, step: int) -> Any:
    """A DF problem at one of its times (severity 10: a change moves time by a tenth)."""
    from pymoo.problems.dynamic import df

    return getattr(df, name)(time=step / 10.0, n_var=DIMS, nt=10)


def judge(problem: Any, points: dict[str, F64]) -> F64:
    """Objectives of unit positions."""
    unit = np.stack(list(points.values()), axis=1)
    return np.asarray(problem.evaluate(problem.xl + unit * (problem.xu - problem.xl), return_values_of=["F"]), float)


def play(name: str, seed: int, changes: int, evaluations: int, sampler: str, warm: bool) -> dict[str, Any]:
    """What followed each change: evaluations until it was made good, and the share known after some of them.

    Made good: 90 % of the share of the exact hypervolume that was known before the change; one more than the budget
    where that was not met.
    """
    start: dict[str, Any] | None = None
    needed, shares = [], []
    before = 0.0
    for change in range(changes + 1):
        problem = problem_at(name, 3 * change)
        exact = np.asarray(problem.pareto_front(), float)
        exact = exact[nondominated(exact)]
        span = np.ptp(exact, axis=0)
        reference = exact.max(axis=0) + 0.5 * np.where(span > 0.0, span, 1.0)  # at first all of DF14's have one f1
        whole = hypervolume(exact, reference)
        space = {f"x{i}": (0.0, 1.0) for i in range(DIMS)}
        goals = [f"f{number + 1}" for number in range(exact.shape[1])]
        search = Search(space, goals, sampler=sampler, seed=seed + change, start=start if warm else None)
        met, known = evaluations + 1, {0: 0.0}
        told = np.empty((0, len(goals)))
        while len(search) < evaluations:
            points = search.ask(BATCH)
            values = judge(problem, points)
            search.tell(points, values)
            told = np.concatenate([told, values])
            known[len(search)] = round(hypervolume(told, reference) / whole, 4)
            if met > evaluations and known[len(search)] >= 0.9 * before:
                met = len(search)
        if change > 0:
            needed.append(met)
            shares.append([known[count] for count in COUNTS if count in known])
        before = known[max(known)]
        front = search.front()
        kept = np.unique(np.linspace(0, len(front) - 1, min(len(front), evaluations // 5)).astype(int))
        start = {key: column[kept] for key, column in front.points.items()}
    return {"needed": needed, "shares": shares}


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, print medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search_dynamic", description=__doc__)
    parser.add_argument("--problems", default=",".join(PROBLEMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--changes", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=80)
    parser.add_argument("--sampler", default="ensemble")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    rows = done(chosen.results)
    known = {(row["problem"], row["seed"], row["warm"], row["sampler"]) for row in rows}
    for seed in range(chosen.seeds):
        for name in chosen.problems.split(","):
            for warm in (True, False):
                if (name, seed, warm, chosen.sampler) in known:
                    continue
                found = play(name, seed, chosen.changes, chosen.evaluations, chosen.sampler, warm)
                row = {"problem": name, "seed": seed, "warm": warm, "sampler": chosen.sampler, **found}
                append(chosen.results, row)
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
    print(f"| {chosen.sampler} | warm: evaluations, median (met) | share after {COUNTS} | cold | share |")
    for name in chosen.problems.split(","):
        cells = []
        for warm in (True, False):
            own = [r for r in rows if (r["problem"], r["warm"], r["sampler"]) == (name, warm, chosen.sampler)]
            needed = [n for row in own for n in row["needed"]]
            met = sum(n <= chosen.evaluations for n in needed)
            cells.append(f"{np.median(needed):g} ({met} of {len(needed)})" if needed else "not run")
            shares = np.median([part for row in own for part in row["shares"]], axis=0) if own else []
            cells.append(", ".join(f"{share:.2f}" for share in shares))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

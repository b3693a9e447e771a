"""The search beside the samplers it is made of and the libraries': ``python -m benchmarks.search``.

Share of the exact front's hypervolume after a number of evaluations. Every run (problem, sampler, seed) is appended to
a file as it ends, and skipped where it is there already: stop it at any time, start it again. ``--write`` puts the
table into ``docs/search.md``.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.search_problems import PROBLEMS, TestProblem
from tidewright.agents.optimizer.samplers.choose import PARTS
from tidewright.agents.optimizer.samplers.front import hypervolume
from tidewright.agents.optimizer.search import Search

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / ".bench" / "search.jsonl"
DOCUMENT: Final = ROOT / "docs" / "search.md"
FRESH: Final = 3  # first seed that was not looked at when the ensemble's constants were chosen
MARKS: Final = ("<!-- table of benchmarks.search: begin -->", "<!-- table of benchmarks.search: end -->")

F64 = npt.NDArray[np.float64]
Cells = dict[tuple[str, str], dict[int, float]]  # share by seed, of each problem and sampler
Run = Callable[[TestProblem, int, int], tuple[F64, F64]]  # objectives and excesses of all evaluations, in order


def ours(sampler: str) -> Run:
    """One of our samplers, one point at a time."""

    def run(problem: TestProblem, seed: int, evaluations: int) -> tuple[F64, F64]:
        names = [f"f{i}" for i in range(problem.objectives)]
        limits = [f"c{i}" for i in range(problem.constraints)]
        search = Search(
            {f"x{i}": (0.0, 1.0) for i in range(problem.dims)},
            names,
            [f"{name}<=0" for name in limits],
            sampler=sampler,
            seed=seed,
        )
        told = []
        for _ in range(evaluations):
            points = search.ask(1)
            values, excess = problem.function(np.stack(list(points.values()), axis=1))
            search.tell(points, values, excess)
            told.append((values, excess))
        return np.concatenate([v for v, _ in told]), np.concatenate([e for _, e in told])

    return run


def optuna_run(kind: str) -> Run:
    """A sampler of Optuna, as its documentation uses it."""

    def run(problem: TestProblem, seed: int, evaluations: int) -> tuple[F64, F64]:
        import optuna

        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        limits = (lambda trial: trial.user_attrs["excess"]) if problem.constraints else None
        makers: dict[str, Callable[[], Any]] = {
            "nsga2": lambda: optuna.samplers.NSGAIISampler(population_size=20, seed=seed, constraints_func=limits),
            "tpe": lambda: optuna.samplers.TPESampler(multivariate=True, seed=seed, constraints_func=limits),
            "gp": lambda: optuna.samplers.GPSampler(seed=seed, constraints_func=limits),
        }
        study = optuna.create_study(directions=["minimize"] * problem.objectives, sampler=makers[kind]())
        told = []

        def objective(trial: Any) -> tuple[float, ...]:
            x = np.array([[trial.suggest_float(f"x{i}", 0.0, 1.0) for i in range(problem.dims)]])
            values, excess = problem.function(x)
            trial.set_user_attr("excess", excess[0].tolist())
            told.append((values, excess))
            return tuple(values[0].tolist())

        study.optimize(objective, n_trials=evaluations)
        return np.concatenate([v for v, _ in told]), np.concatenate([e for _, e in told])

    return run


def pymoo_run(kind: str) -> Run:
    """A genetic algorithm of pymoo with a population of 20."""

    def run(problem: TestProblem, seed: int, evaluations: int) -> tuple[F64, F64]:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.algorithms.moo.nsga3 import NSGA3
        from pymoo.core.problem import Problem
        from pymoo.optimize import minimize
        from pymoo.util.ref_dirs import get_reference_directions

        told = []

        class Adapted(Problem):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(
                    n_var=problem.dims, n_obj=problem.objectives, n_ieq_constr=problem.constraints, xl=0.0, xu=1.0
                )

            def _evaluate(self, x: F64, out: dict[str, F64], *_: Any, **__: Any) -> None:
                values, excess = problem.function(x)
                told.append((values, excess))
                out["F"] = values
                if problem.constraints:
                    out["G"] = excess

        if kind == "nsga2":
            algorithm: Any = NSGA2(pop_size=20)
        else:
            parts = 19 if problem.objectives == 2 else 4
            directions = get_reference_directions("das-dennis", problem.objectives, n_partitions=parts)
            algorithm = NSGA3(ref_dirs=directions, pop_size=20)
        minimize(Adapted(), algorithm, ("n_eval", evaluations), seed=seed)
        values, excess = np.concatenate([v for v, _ in told]), np.concatenate([e for _, e in told])
        return values[:evaluations], excess[:evaluations]

    return run


def random_run(problem: TestProblem, seed: int, evaluations: int) -> tuple[F64, F64]:
    """Points drawn evenly: what anything must beat."""
    return problem.function(np.random.default_rng(seed).random((evaluations, problem.dims)))


SAMPLERS: Final[dict[str, tuple[str, Run]]] = {
    "ensemble": ("ensemble", ours("ensemble")),
    "gp": ("our GP", ours("gp")),
    "forest": ("our forest", ours("forest")),
    "tpe": ("our use of Optuna's TPE", ours("tpe")),
    "genetic": ("our use of pymoo's operators", ours("genetic")),
    "optuna-tpe": ("Optuna TPE", optuna_run("tpe")),
    "optuna-nsga2": ("Optuna NSGA-II", optuna_run("nsga2")),
    "pymoo-nsga2": ("pymoo NSGA-II", pymoo_run("nsga2")),
    "pymoo-nsga3": ("pymoo NSGA-III", pymoo_run("nsga3")),
    "random": ("random", random_run),
    "optuna-gp": ("Optuna GPSampler", optuna_run("gp")),
}


def share(problem: TestProblem, values: F64, excess: F64) -> float:
    """Share of the exact hypervolume; only what keeps the constraints counts."""
    kept = values[(excess <= 0.0).all(axis=1)]
    return hypervolume(kept, np.array(problem.reference)) / problem.volume


def done(path: Path) -> list[dict[str, Any]]:
    """Runs in a file; a last line cut off by a kill is left out."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a run."""
    path.parent.mkdir(exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    with open(path, "a", encoding="utf-8") as file:
        file.write(("\n" if text and not text.endswith("\n") else "") + json.dumps(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def cells(rows: list[dict[str, Any]], evaluations: int) -> Cells:
    """Shares by problem and sampler, and in each by seed."""
    found: Cells = {}
    for row in rows:
        if row["evaluations"] == evaluations:
            found.setdefault((row["problem"], row["sampler"]), {})[row["seed"]] = row["share"]
    return found


def verdicts(found: Cells) -> list[str]:
    """Of each problem: the place of the ensemble among its parts, by the mean over the seeds that both have.

    Behind whom it is, by how much in the mean, and the standard error of that over the seeds.
    """
    lines = []
    for problem in PROBLEMS:
        own = found.get((problem.name, "ensemble"), {})
        better, compared = [], 0
        for part in PARTS:
            other = found.get((problem.name, part), {})
            both = sorted(set(own) & set(other))
            compared += bool(both)
            lead = np.array([other[seed] - own[seed] for seed in both])
            if both and lead.mean() > 0.0:
                error = f" ±{lead.std(ddof=1) / len(both) ** 0.5:.2g}" if len(both) > 1 else ""
                better.append(f"{part} by {lead.mean():.2g}{error}")
        behind = f" (behind {', '.join(better)})" if better else ""
        if compared:
            lines.append(f"{problem.name}: {len(better) + 1} of {compared + 1}{behind}, {len(own)} seeds")
    return lines


def rows_of_table(found: Cells) -> list[list[str]]:
    """A row a sampler: mean ± deviation, and the seeds where they are not those of all."""
    most = max((len(values) for values in found.values()), default=0)
    lines = []
    for key, (title, _) in SAMPLERS.items():
        line = [title]
        for problem in PROBLEMS:
            values = list(found.get((problem.name, key), {}).values())
            spread = f" ±{np.std(values):.4f}" if len(values) > 1 else ""
            text = f"{np.mean(values):.4f}{spread}" if values else "–"
            line.append(text + (f" ({len(values)})" if 0 < len(values) < most else ""))
        if any(cell != "–" for cell in line[1:]):
            lines.append(line)
    return lines


def fresh(found: Cells) -> Cells:
    """Only seeds that nobody looked at when constants were chosen."""
    return {key: {seed: share for seed, share in of.items() if seed >= FRESH} for key, of in found.items()}


def places(found: Cells) -> list[str]:
    """What is said of the ensemble: over all seeds, and over the fresh ones with their means."""
    new = fresh(found)
    seeds = sorted({seed for (_, sampler), of in new.items() if sampler == "ensemble" for seed in of})
    means = []
    for problem in PROBLEMS:
        own = [new.get((problem.name, key), {}) for key in ("ensemble", *PARTS)]
        both = sorted(set.intersection(*(set(of) for of in own)))
        if both:
            texts = [f"{np.mean([of[seed] for seed in both]):.4f}" for of in own]
            means.append(f"| {problem.name} | " + " | ".join(texts) + f" | {', '.join(map(str, both))} |")
    head = ["problem", "ensemble", *PARTS, "seeds"]
    return [
        "The ensemble's place among itself and those of its parts that were run: " + "; ".join(verdicts(found)) + ".",
        "",
        f"On seeds {FRESH} and later alone, which nobody looked at when its constants were chosen "
        f"({', '.join(map(str, seeds))}): " + "; ".join(verdicts(new)) + ".",
        "",
        "| " + " | ".join(head) + " |",
        "| " + " | ".join(["---"] * len(head)) + " |",
        *means,
    ]


def write(found: Cells) -> None:
    """Put the table into the document, between its marks."""
    head = ["sampler", *(problem.name for problem in PROBLEMS)]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows_of_table(found))]
    text = DOCUMENT.read_text(encoding="utf-8")
    before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    middle = "\n".join([MARKS[0], *lines, "", *places(found), MARKS[1]])
    DOCUMENT.write_text(before + middle + after, encoding="utf-8")


def show(console: Console, found: Cells) -> None:
    """Print the table."""
    table = Table(title="share of the exact hypervolume, mean ± deviation over seeds (number of seeds where fewer)")
    table.add_column("sampler")
    for problem in PROBLEMS:
        table.add_column(problem.name, justify="right")
    for row in rows_of_table(found):
        table.add_row(*row)
    console.print(table)
    for line in places(found):
        console.print(line)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--samplers", default=",".join(SAMPLERS), help=", ".join(SAMPLERS))
    parser.add_argument("--problems", default="", help="names, separated by ;")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    parser.add_argument("--write", action="store_true", help="put the table into docs/search.md")
    chosen = parser.parse_args(arguments)
    console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 200)
    rows = done(chosen.results)
    known = {(row["problem"], row["sampler"], row["seed"], row["evaluations"]) for row in rows}
    wanted = set(chosen.problems.split(";")) - {""} or {problem.name for problem in PROBLEMS}
    todo = [
        (problem, sampler, seed)
        for seed in range(chosen.seeds)
        for sampler in chosen.samplers.split(",")
        for problem in PROBLEMS
        if problem.name in wanted and (problem.name, sampler, seed, chosen.evaluations) not in known
    ]
    for number, (problem, sampler, seed) in enumerate([] if chosen.table else todo):
        console.print(f"{number + 1} of {len(todo)}: {problem.name}, {sampler}, seed {seed} ...")
        began = time.perf_counter()
        cpu = time.process_time()
        values, excess = SAMPLERS[sampler][1](problem, seed, chosen.evaluations)
        row = {
            "problem": problem.name,
            "sampler": sampler,
            "seed": seed,
            "evaluations": chosen.evaluations,
            "share": share(problem, values, excess),
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }
        append(chosen.results, row)
        rows.append(row)
    found = cells(rows, chosen.evaluations)
    show(console, found)
    if chosen.write:
        write(found)


if __name__ == "__main__":
    main()

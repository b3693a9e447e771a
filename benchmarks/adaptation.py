"""How long until the optimizer has followed a market that changed? Market minutes, beside doing nothing and two others.

Each seed is a synthetic market whose volatility and spread change for good in the middle. A set of parameters is worth
its score over everything after the switch, judged in one replay with all others; attainable is the best of these and
of 128 sets drawn from the whole space. A policy has adapted once the set it uses has regained 90 % of what lies between
the old parameters and that; so keeping them never adapts, except where there is nothing to regain.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from benchmarks.confidence_epochs import LATENCY_NS, sized
from tidewright.agents.optimizer.advisor import Optimizer
from tidewright.agents.optimizer.fold import BookFold
from tidewright.agents.optimizer.judge import Judge, Judgement, Params, Settings, ShadowJudge
from tidewright.agents.optimizer.objective import Objective
from tidewright.agents.optimizer.space import Space, of_strategy
from tidewright.agents.optimizer.windows import Window
from tidewright.coordination.messages import OptimizeRequestMessage, ParameterUpdateMessage, encode, message
from tidewright.market.clock import HOUR, MINUTE, SECOND, iso
from tidewright.market.codes import ASK, BID, RESET
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Columns, Tape, concatenate

CYCLE: Final = 30 * SECOND
EPOCH: Final = 30 * MINUTE
LOOK: Final = 4 * HOUR
HALF: Final = 7 * HOUR
ANSWER: Final = 10 * CYCLE  # decisions after which an answer takes effect, as in a session
THRESHOLD: Final = 0.6
STRETCH: Final = 4
POLICIES: Final = ("ours", "ours, whole window", "optuna", "daily", "fixed")
SETTINGS: Final = Settings(CYCLE, 0, LATENCY_NS, LATENCY_NS, maker_fee=0)  # with 0.1 % no set earns anything
CANDIDATES: Final = 64

Params1 = dict[str, float]
Course = list[tuple[int, Params1]]  # when a set takes effect, and the set


class Unseeing:
    """A judge that does not say how the market went: windows keep their length."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    def evaluate(self, window: Window, params: Params, lanes: int, record: bool = False) -> Judgement:
        """Pass on."""
        return self._judge.evaluate(window, params, lanes, record)


def market(seed: int) -> tuple[Tape, int]:
    """A tape and the time of its switch: odd seeds become wilder, even ones calmer.

    The wild half is the market's own with all prices stretched about the mid at the switch: moves, spread and the
    distances of levels and prints are so many times larger, quantities and times are as they were.
    """
    plain = synthesize(None, hours=2 * HALF / HOUR, seed=1_000 + seed, rate=1.5)
    switch = plain.start_ns + HALF
    fold = BookFold()
    fold.advance(plain.data, switch)
    book = fold.snapshot()
    middle = (int(book.price[book.kind == BID].max()) + int(book.price[book.kind == ASK].min())) // 2
    before, after = plain.data.rows(0, fold.row), plain.data.rows(fold.row, len(plain))
    emptied = book.rows(0, 1)._replace(kind=np.array([RESET], np.uint8), flags=np.zeros(1, np.uint8))
    if seed % 2:
        parts = [before, emptied, _stretched(book, middle), _stretched(after, middle)]
    else:
        parts = [_stretched(before, middle), emptied, book, after]
    data = concatenate(parts)
    return Tape(Path(), plain.instrument, {**plain.meta, "rows": len(data.ts)}, data), switch


def _stretched(data: Columns, middle: int) -> Columns:
    return data._replace(price=middle + STRETCH * (data.price - middle))


def worth(tape: Tape, window: Window, sets: list[Params1], judge: Judge | None = None) -> list[float]:
    """Score of each set over a window, all in one replay."""
    judge = judge or ShadowJudge(tape, len(tape), "grid", SETTINGS, window.start_ns)
    columns = {name: np.array([one[name] for one in sets]) for name in sets[0]}
    judged = judge.evaluate(window, columns, len(sets))
    return [float(value) for value in Objective().scores(judged.statistics)]


def drawn(space: Space, base: Params1, count: int, seed: int) -> list[Params1]:
    """Sets drawn evenly from the space."""
    values = space.decode(np.random.default_rng(seed).random((count, len(space.names))))
    return [{**base, **dict(zip(space.names, map(float, row), strict=True))} for row in values]


def ours(tape: Tape, switch: int, start: Params1, seed: int, seeing: bool) -> tuple[Course, int]:
    """The optimizer as in a session; also minutes from the switch until a change was noticed (-1: never)."""
    last: ShadowJudge | None = None

    def judge_of(_: Any, earliest: int) -> Judge:
        nonlocal last
        last = ShadowJudge(tape, len(tape), "grid", SETTINGS, earliest, last)
        return last if seeing else Unseeing(last)

    agent, incumbent, course, noticed = Optimizer(judge_of=judge_of), start, [(0, start)], -1
    for now in _asked(tape, switch):
        content = {
            "tape": "in memory",
            "rows": len(tape),
            "from_ns": max(tape.start_ns, now - LOOK),
            "until_ns": now,
            "strategy": "grid",
            "incumbent": {**incumbent, "levels": int(incumbent["levels"])},
            "latency": {"entry_ns": LATENCY_NS, "response_ns": LATENCY_NS},
            "equity": "10000",
            "epoch_ns": EPOCH,
            "candidates": CANDIDATES // 2,
            "generations": 2,
            "seed": seed,
        }
        item = message("optimize_request", now, "session", "optimizer", content)
        assert isinstance(item, OptimizeRequestMessage)
        answer = agent.answer(item)
        data = orjson.loads(encode(answer))["data"]
        change = data.get("change")
        if noticed < 0 and change is not None and now > switch and change["began"] >= iso(switch - 15 * MINUTE):
            noticed = (now - switch) // MINUTE
        if isinstance(answer, ParameterUpdateMessage) and data["confidence_score"] >= THRESHOLD:
            incumbent = {**incumbent, **{name: float(value) for name, value in data["optimized_params"].items()}}
            course.append((now + ANSWER, incumbent))
    return course, noticed


def optuna_course(tape: Tape, switch: int, start: Params1, seed: int) -> Course:
    """Every epoch a fresh TPE study of as many candidates on the same window; its best is taken as it is."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, course, judge = of_strategy("grid"), [(0, start)], None
    for now in _asked(tape, switch):
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        window = Window(max(tape.start_ns, now - LOOK), now)
        judge = ShadowJudge(tape, len(tape), "grid", SETTINGS, window.start_ns, judge)
        for _ in range(CANDIDATES // 16):
            trials = [study.ask() for _ in range(16)]
            sets = [{**start, **{d.name: _suggest(trial, d) for d in space.dimensions}} for trial in trials]
            for trial, value in zip(trials, worth(tape, window, sets, judge), strict=True):
                study.tell(trial, value)
        course.append((now + ANSWER, {**start, **{name: float(value) for name, value in study.best_params.items()}}))
    return course


def _suggest(trial: Any, dimension: Any) -> float:
    if dimension.kind == "int":
        return float(trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high)))
    return float(trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.kind == "log"))


def _asked(tape: Tape, switch: int) -> Iterator[int]:
    now = switch - 3 * EPOCH - 7 * MINUTE  # the switch does not fall on a request
    while now + EPOCH <= tape.end_ns:
        yield now
        now += EPOCH


def one_seed(seed: int) -> dict[str, Any]:
    """All policies on one market."""
    tape, switch = market(seed)
    print(f"market {seed}: {len(tape)} rows", file=sys.stderr, flush=True)
    space = of_strategy("grid")
    base = sized("grid", float(tape.instrument.tick) * 6_000_000, {})
    pool = [base, *drawn(space, base, 127, seed)]
    before = worth(tape, Window(tape.start_ns + 2 * HOUR, switch), pool)
    start = pool[int(np.argmax(before))]
    seen, noticed = ours(tape, switch, start, seed, seeing=True)
    blind, _ = ours(tape, switch, start, seed, seeing=False)
    print("ours done", file=sys.stderr, flush=True)
    tuned = optuna_course(tape, switch, start, seed)
    whole = worth(tape, Window(tape.start_ns, tape.end_ns), pool)
    daily: Course = [(0, start), (switch + 12 * HOUR, pool[int(np.argmax(whole))])]  # on average half a day away
    courses = {"ours": seen, "ours, whole window": blind, "optuna": tuned, "daily": daily, "fixed": [(0, start)]}
    everyone = [*pool, *(params for course in courses.values() for _, params in course)]
    values = worth(tape, Window(switch + 10 * MINUTE, tape.end_ns), everyone)
    best = max(values)
    found: dict[str, Any] = {"seed": seed, "switch": "wilder" if seed % 2 else "calmer", "attainable": best}
    found["fixed_worth"] = values[-1]  # the fixed course comes last
    found["noticed_after"] = int(noticed)
    at = len(pool)
    for name, course in courses.items():
        mine = values[at : at + len(course)]
        at += len(course)
        regained = [_regained(value, values[-1], best) for value in mine]
        found[name] = _minutes(course, regained, switch)
        found[f"{name}: regained"] = regained[-1]
    return found


def _regained(value: float, old: float, best: float) -> float:
    """Share of the way from the old parameters' worth to the best, -1 at least; 1 where they are the best."""
    return 1.0 if best <= old else max(-1.0, (value - old) / (best - old))


def _minutes(course: Course, regained: list[float], switch: int) -> float | None:
    """Minutes from the switch until the set in use has regained 90 %; ``None``: never."""
    for index, ((since, _), share) in enumerate(zip(course, regained, strict=True)):
        ends = course[index + 1][0] if index + 1 < len(course) else 1 << 62
        if ends > switch and share >= 0.9:
            return max(0, since - switch) / MINUTE
    return None


def table(rows: list[dict[str, Any]]) -> str:
    """Minutes of each policy; ``never`` counts as more than all."""
    useful = [row for row in rows if row["attainable"] > row["fixed_worth"]]
    lines = [f"{len(useful)} of {len(rows)} markets where the old parameters are not the best"]
    lines.append(f"{'policy':20} {'adapted':>8} {'median minutes':>15} {'median share regained at the end':>40}")
    for name in POLICIES:
        minutes = [row[name] for row in useful]
        known = [value for value in minutes if value is not None]
        middle = statistics.median([1e9 if value is None else value for value in minutes]) if minutes else 1e9
        share = statistics.median([row[f"{name}: regained"] for row in useful]) if useful else 0.0
        text = "never" if middle > 1e8 else f"{middle:.0f}"
        lines.append(f"{name:20} {len(known):>4}/{len(useful):<3} {text:>15} {share:>40.2f}")
    told = [row["noticed_after"] for row in useful if row["noticed_after"] >= 0]
    lines.append(
        f"change noticed in {len(told)} of {len(useful)}, median request after {statistics.median(told or [0]):.0f} min"
    )
    return "\n".join(lines)


def main(say: Callable[[str], None] = print) -> None:
    """Run the seeds that are not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("adaptation.jsonl"), help="one line a market; goes on from it")
    parser.add_argument("--seeds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=600.0, help="seconds after which no new market is begun")
    options = parser.parse_args()
    begun = time.monotonic()
    rows = [orjson.loads(line) for line in options.out.read_bytes().splitlines()] if options.out.is_file() else []
    for seed in range(1, options.seeds + 1):
        if any(row["seed"] == seed for row in rows) or time.monotonic() - begun > options.budget:
            continue
        rows.append(one_seed(seed))
        with options.out.open("ab") as file:
            file.write(orjson.dumps(rows[-1]) + b"\n")
        print(f"{time.monotonic() - begun:5.0f} s  {orjson.dumps(rows[-1]).decode()}", file=sys.stderr, flush=True)
    say(table(rows))


if __name__ == "__main__":
    main()

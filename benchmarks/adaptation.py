"""How long until the optimizer has followed a market that changed? Market minutes, beside doing nothing and two others.

Each seed is a synthetic market whose volatility and spread change for good: odd seeds become wilder, even ones calmer.
A set of parameters is worth its mean score on eight other markets of the new kind, which no policy sees: what was lucky
after the switch counts for nothing. Attainable is the worth of the best of 78 sets evenly over the space. A policy has
adapted once the set it uses, at the size it uses, has regained 90 % of what lies between the old parameters' worth and
that.

The optimizer goes through what a session has it go through: confidence, gate, canary at a quarter of the size, shadow
comparison, roll-back. Plain Optuna studies the same window with as many candidates at every request; its best is taken
as it is. One re-optimisation a day takes the best of 128 sets over the last four hours at an hour of the day that the
switch knows nothing of.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from benchmarks.confidence_epochs import LATENCY_NS, sized
from tidewright.agents.executor.canary import CanaryRules, Rollout, comparison_of
from tidewright.agents.executor.proposals import Gate, gate_reasons
from tidewright.agents.optimizer.advisor import Optimizer
from tidewright.agents.optimizer.fold import BookFold
from tidewright.agents.optimizer.judge import Judge, Settings, ShadowJudge
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.objective import Objective
from tidewright.agents.optimizer.space import Space, of_strategy
from tidewright.agents.optimizer.windows import Window
from tidewright.coordination.messages import Message, OptimizeRequestMessage, ParameterUpdateMessage, encode, message
from tidewright.market.clock import HOUR, MINUTE, SECOND, iso
from tidewright.market.codes import ASK, BID, RESET
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Columns, Tape, concatenate

CYCLE: Final = 30 * SECOND
EPOCH: Final = 30 * MINUTE
LOOK: Final = 4 * HOUR
BEFORE: Final = 9 * HOUR // 2  # of market before the switch
AFTER: Final = 4 * HOUR
DAY: Final = 24 * HOUR
ANSWER: Final = 10  # decisions after which an answer takes effect, as in a session
THRESHOLD: Final = 0.6
STRETCH: Final = 4
RATE: Final = 1.0  # packets a second
OTHERS: Final = 8  # other markets that a set's worth is told on
POLICIES: Final = ("ours", "ours (stricter gate)", "optuna", "daily", "fixed")
CANDIDATES: Final = 64
SETTINGS: Final = Settings(
    CYCLE, 0, LATENCY_NS, LATENCY_NS, maker_fee=-50_000
)  # a rebate: without it hardly a set earns
LEAST_GAP: Final = 1e-4  # of the starting equity in four hours: under it there is nothing to regain

GATE: Final = Gate()
WAYS: Final[dict[str, dict[str, Any]]] = {  # of the optimizer
    "ours": {},
    "ours (stricter gate)": {"gate": Gate(overfitting_loss=None)},
}

Params1 = dict[str, float]
Heard = Sequence[tuple[Message, Message, Memory]]  # request, answer, what was remembered then
Course = list[tuple[int, Params1]]  # when a set takes effect, and the set


def market(seed: int) -> tuple[Tape, int]:
    """A tape and the time of its switch: odd seeds become wilder, even ones calmer.

    The wild half is the market's own with all prices stretched about the mid at the switch: moves, spread and the
    distances of levels and prints are so many times larger, quantities and times are as they were.
    """
    plain = synthesize(None, hours=(BEFORE + AFTER) / HOUR, seed=1_000 + seed, rate=RATE)
    switch = plain.start_ns + BEFORE
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


def other_markets(wild: bool) -> Iterator[Tape]:
    """Markets of one kind, four hours each and half an hour to begin."""
    for number in range(OTHERS):
        tape = synthesize(None, hours=4.5, seed=90_000 + number, rate=RATE)
        data = _stretched(tape.data, int(np.median(tape.data.price[tape.data.price > 0]))) if wild else tape.data
        yield Tape(Path(), tape.instrument, tape.meta, data)


def _stretched(data: Columns, middle: int) -> Columns:
    return data._replace(price=middle + STRETCH * (data.price - middle))


def scores(tape: Tape, window: Window, sets: list[Params1], judge: Judge | None = None) -> np.ndarray:
    """Score of each set over a window, all in one replay; who does not trade has earned nothing."""
    judge = judge or ShadowJudge(tape, len(tape), "grid", SETTINGS, window.start_ns)
    columns = {name: np.array([one[name] for one in sets]) for name in sets[0]}
    judged = judge.evaluate(window, columns, len(sets))
    return np.asarray(Objective().scores(judged.statistics, 0), np.float64)


def worths(wild: bool, sets: list[Params1]) -> np.ndarray:
    """Score of each set on each of the other markets, shape (markets, sets)."""
    each = [scores(tape, Window(tape.start_ns + HOUR // 2, tape.end_ns), sets) for tape in other_markets(wild)]
    return np.stack(each)


def drawn(space: Space, base: Params1, count: int, seed: int) -> list[Params1]:
    """Sets drawn evenly from the space."""
    values = space.decode(np.random.default_rng(seed).random((count, len(space.names))))
    return [{**base, **dict(zip(space.names, map(float, row), strict=True))} for row in values]


def ours(
    tape: Tape,
    switch: int,
    start: Params1,
    seed: int,
    gate: Gate = GATE,
    heard: Heard = (),
    candidates: int = CANDIDATES,
) -> tuple[Course, dict[str, Any], Heard]:
    """The optimizer as in a session; also what it said at each request, and when a change was first noticed.

    ``heard``: what it answered in another course, and remembered after; while requests are the same, so is that.
    """
    last: ShadowJudge | None = None

    def judge_of(_: Any, earliest: int) -> Judge:
        nonlocal last
        last = ShadowJudge(tape, len(tape), "grid", SETTINGS, earliest, last)
        return last

    agent, same, said = Optimizer(judge_of=judge_of), True, []
    rollout = Rollout(CanaryRules(), CYCLE, start)
    course: Course = [(0, start)]
    log: list[dict[str, Any]] = []
    noticed = -1
    for number, now in enumerate(_asked(tape, switch, seed)):
        item = message("optimize_request", now, "session", "optimizer", _request(tape, now, rollout, seed, candidates))
        assert isinstance(item, OptimizeRequestMessage)
        same = same and number < len(heard) and heard[number][0] == item
        if same:
            _, answer, agent.memory = heard[number][0], heard[number][1], deepcopy(heard[number][2])
        else:
            answer = agent.answer(item)
        said.append((item, answer, deepcopy(agent.memory)))
        data = orjson.loads(encode(answer))["data"]
        change = data.get("change")
        if noticed < 0 and change is not None and now > switch and change["began"] >= iso(switch - 15 * MINUTE):
            noticed = (now - switch) // MINUTE
        at, seen = now + ANSWER * CYCLE, comparison_of(data)
        if seen is not None:
            rollout.observe(seen, at)
        why = [data.get("reason", "")]
        if isinstance(answer, ParameterUpdateMessage):
            why = gate_reasons(answer.data.checks, gate) + ([rollout.held] if rollout.held else [])
            if data["confidence_score"] < THRESHOLD:
                why.append(f"confidence {data['confidence_score']}")
            if not why:
                new = {**rollout.params, **{name: float(value) for name, value in data["optimized_params"].items()}}
                rollout.accept(at, data["proposal_id"], new, now, 0.0)
        course.append((at, rollout.trading(tape.instrument, 60_000.0)))
        params = data.get("optimized_params", {})
        shown = {name: params[name] for name in ("spread_percentage", "levels") if name in params}
        shown["checks"], over = data.get("checks"), (data.get("validation") or {}).get("overfitting") or {}
        shown["loss"], shown["confidence"] = over.get("loss_probability"), data.get("confidence_score")
        shown["change"] = change and [change["series"], change["began"][11:16]]
        log.append({"minute": (now - switch) // MINUTE, "stage": rollout.stage, "why": why, **shown})
    return course, {"noticed": int(noticed), "log": log}, said


def _request(tape: Tape, now: int, rollout: Rollout, seed: int, candidates: int) -> dict[str, Any]:
    watched = rollout.request()
    typed = {name: _typed(params) for name, params in (watched or {}).items() if name in ("candidate", "incumbent")}
    return {
        "tape": "in memory",
        "rows": len(tape),
        "from_ns": max(tape.start_ns, now - LOOK),
        "until_ns": now,
        "strategy": "grid",
        "incumbent": _typed(rollout.params),
        "latency": {"entry_ns": LATENCY_NS, "response_ns": LATENCY_NS},
        "equity": "10000",
        "epoch_ns": EPOCH,
        "candidates": candidates // 2,
        "generations": 2,
        "seed": seed,
        **({} if watched is None else {"shadow": {**watched, **typed}}),
    }


def _typed(params: Mapping[str, float]) -> dict[str, float | int]:
    return {**params, "levels": int(params["levels"])}


def optuna_course(tape: Tape, switch: int, start: Params1, seed: int, candidates: int = CANDIDATES) -> Course:
    """Every epoch a fresh TPE study of as many candidates on the same window; its best is taken as it is."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space, course, judge = of_strategy("grid"), [(0, start)], None
    for now in _asked(tape, switch, seed):
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
        window = Window(max(tape.start_ns, now - LOOK), now)
        judge = ShadowJudge(tape, len(tape), "grid", SETTINGS, window.start_ns, judge)
        for _ in range(candidates // 32):
            trials = [study.ask() for _ in range(32)]
            sets = [{**start, **{d.name: _suggest(trial, d) for d in space.dimensions}} for trial in trials]
            for trial, value in zip(trials, scores(tape, window, sets, judge).tolist(), strict=True):
                study.tell(trial, value)
        best = {**start, **{name: float(value) for name, value in study.best_params.items()}}
        course.append((now + ANSWER * CYCLE, best))
    return course


def _suggest(trial: Any, dimension: Any) -> float:
    if dimension.kind == "int":
        return float(trial.suggest_int(dimension.name, int(dimension.low), int(dimension.high)))
    return float(trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.kind == "log"))


def _asked(tape: Tape, switch: int, seed: int) -> Iterator[int]:
    """Times of requests: the switch falls anywhere between two."""
    now = switch - 2 * EPOCH - round(EPOCH * (seed * 0.618 % 1.0))
    while now + EPOCH <= tape.end_ns:
        yield now
        now += EPOCH


def daily_course(tape: Tape, switch: int, start: Params1, seed: int, pool: list[Params1]) -> Course:
    """One choice in the day after the switch, at an hour spread evenly over the seeds."""
    after = round(DAY * ((seed // 2 + 0.5) * 0.618 % 1.0))
    until = min(switch + after, tape.end_ns)  # in later hours the market is as in the last ones that are there
    found = scores(tape, Window(until - LOOK, until), pool)
    return [(0, start), (switch + after, pool[int(np.argmax(found))])]


def one_seed(seed: int, policies: tuple[str, ...], candidates: int = CANDIDATES) -> dict[str, Any]:
    """What each policy had in use when, on one market."""
    tape, switch = market(seed)
    print(f"market {seed}: {len(tape)} rows", file=sys.stderr, flush=True)
    space = of_strategy("grid")
    base = sized("grid", float(tape.instrument.tick) * 6_000_000, {})
    pool = [base, *drawn(space, base, 127, seed)]
    start = pool[int(np.argmax(scores(tape, Window(tape.start_ns + HOUR, switch), pool)))]
    courses: dict[str, Course] = {"daily": daily_course(tape, switch, start, seed, pool), "fixed": [(0, start)]}
    said: dict[str, Any] = {}
    heard: Heard = ()
    if "optuna" in policies:
        courses["optuna"] = optuna_course(tape, switch, start, seed, candidates)
    for name, way in WAYS.items():
        if name in policies:
            terms = {**way, "heard": heard, "candidates": candidates}
            courses[name], said[name], told_now = ours(tape, switch, start, seed, **terms)
            heard = heard or told_now
    minutes = {
        name: [[(since - switch) / MINUTE, params] for since, params in course if since]
        for name, course in courses.items()
    }
    return {
        "seed": seed,
        "switch": "wilder" if seed % 2 else "calmer",
        "start": start,
        "courses": minutes,
        "said": said,
    }


def assessed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with what each policy had regained when: all sets on the same other markets, in one replay each."""
    found = []
    for kind in ("wilder", "calmer"):
        own = [row for row in rows if row["switch"] == kind]
        if not own:
            continue
        grid = _even(of_strategy("grid"), own[0]["start"])
        sets = [*grid, *(row["start"] for row in own)]
        sets += [params for row in own for course in row["courses"].values() for _, params in course]
        worth = worths(kind == "wilder", sets).mean(axis=0).tolist()
        best, of_set = max(worth[: len(grid)]), iter(worth[len(grid) + len(own) :])
        for row, old in zip(own, worth[len(grid) :], strict=False):
            judged = {**row, "attainable": best, "old": old}
            for name, course in row["courses"].items():
                regained = [0.0, *(_regained(next(of_set), old, best) for _ in course)]
                begins = [0, *(DAY * 9 + round(minute * MINUTE) for minute, _ in course)]
                judged[name] = told([(at, {}) for at in begins], regained, DAY * 9)
            found.append(judged)
    return found


def _even(space: Space, base: Params1) -> list[Params1]:
    """A grid of 13 spreads and 6 numbers of levels, so that the best is surely among those known."""
    spreads = np.exp(np.linspace(np.log(space.dimensions[0].low), np.log(space.dimensions[0].high), 13))
    return [{**base, "spread_percentage": float(s), "levels": float(n)} for s in spreads for n in range(1, 7)]


def _regained(value: float, old: float, best: float) -> float:
    """Share of the way from the old parameters' worth to the attainable, -1 to 1; 1 where there is none."""
    return 1.0 if best <= old else min(1.0, max(-1.0, (value - old) / (best - old)))


def told(course: Course, regained: list[float], switch: int) -> dict[str, Any]:
    """Of one policy: minutes from the switch until it had regained 90 % (``None``: never), and over ``AFTER`` the share
    of time it had, and the mean share regained.
    """
    minutes: float | None = None
    spans = []
    for index, ((since, _), share) in enumerate(zip(course, regained, strict=True)):
        begins = max(since, switch)
        ends = course[index + 1][0] if index + 1 < len(course) else 1 << 62
        if ends > switch and share >= 0.9 and minutes is None:
            minutes = (begins - switch) / MINUTE
        spans.append(max(0, min(ends, switch + AFTER) - begins) / AFTER)
    return {
        "minutes": minutes,
        "held": sum(span for span, share in zip(spans, regained, strict=True) if share >= 0.9),
        "share": sum(span * share for span, share in zip(spans, regained, strict=True)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Minutes of each policy; ``never`` counts as more than all. Intervals resample the markets."""
    useful = [row for row in rows if row["attainable"] - row["old"] > LEAST_GAP]  # else there is nothing to regain
    lines = [f"{len(useful)} of {len(rows)} switches after which the old parameters are worse than the best"]
    lines.append(
        f"{'policy':20} {'adapted':>8} {'median minutes (95 %)':>26} {'time at 90 %':>13} "
        f"{'mean share, 4 h (95 %)':>26}"
    )
    for name in POLICIES:
        own = [row[name] for row in useful if name in row]
        if not own:
            continue
        minutes = np.array([np.inf if one["minutes"] is None else one["minutes"] for one in own])
        share = np.array([one["share"] for one in own])
        picks = np.random.default_rng(1).integers(0, len(own), (4000, len(own)))
        ends = np.quantile(np.median(minutes[picks], axis=1), [0.025, 0.975], method="nearest")
        low, high = np.quantile(share[picks].mean(axis=1), [0.025, 0.975])
        middle = f"{_minute(float(np.median(minutes)))} ({_minute(float(ends[0]))} to {_minute(float(ends[1]))})"
        held = statistics.fmean(one["held"] for one in own)
        spread = f"{share.mean():.2f} ({low:.2f} to {high:.2f})"
        lines.append(
            f"{name:20} {int(np.isfinite(minutes).sum()):>4}/{len(own):<3} {middle:>26} {held:>13.2f} {spread:>26}"
        )
    seen = [row["said"]["ours"]["noticed"] for row in useful if "ours" in row["said"]]
    known = [minute for minute in seen if minute >= 0]
    lines.append(
        f"change noticed in {len(known)} of {len(seen)}, median request {statistics.median(known or [0]):.0f} min"
    )
    return "\n".join(lines)


def _minute(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "never"


def main(say: Callable[[str], None] = print) -> None:
    """Run the seeds that are not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("adaptation.jsonl"), help="one line a market; goes on from it")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--policies", default=",".join(POLICIES), help="which to run")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds after which no new market is begun")
    parser.add_argument("--candidates", type=int, default=CANDIDATES, help="a request; 1024 in a session")
    parser.add_argument("--first", type=int, default=1, help="the first seed that is run")
    options = parser.parse_args()
    policies = tuple(options.policies.split(","))
    begun = time.monotonic()
    rows = [orjson.loads(line) for line in options.out.read_bytes().splitlines()] if options.out.is_file() else []
    for seed in range(options.first, options.seeds + 1):
        if any(row["seed"] == seed for row in rows) or time.monotonic() - begun > options.budget:
            continue
        rows.append(one_seed(seed, policies, options.candidates))
        with options.out.open("ab") as file:
            file.write(orjson.dumps(rows[-1]) + b"\n")
        print(f"{time.monotonic() - begun:5.0f} s  {orjson.dumps(rows[-1]).decode()}", file=sys.stderr, flush=True)
    judged = assessed(rows)
    for kind in ("wilder", "calmer"):
        say(f"{kind}:\n{table([row for row in judged if row['switch'] == kind])}\n")
    say(f"all:\n{table(judged)}")


if __name__ == "__main__":
    main()

"""One search from beginning to end: breed in sample, judge the best few and the incumbent out of sample, weigh."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.evidence import Evidence, Pair, effective_choices, moments, paired
from tidewright.agents.optimizer.judge import Judge, Judgement, Params
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.objective import TOO_FEW, Objective
from tidewright.agents.optimizer.score_search import ScoreSearch, Searched
from tidewright.agents.optimizer.space import Space
from tidewright.agents.optimizer.stability import Stability, stability
from tidewright.agents.optimizer.validation import Outside, Trials, assay
from tidewright.agents.optimizer.windows import Split
from tidewright.measure.definitions import NO_MINIMUMS
from tidewright.measure.figures import from_statistics, mean_and_deviation
from tidewright.measure.overfitting import deflated_sharpe
from tidewright.measure.validation import Validation
from tidewright.strategies.registry import rows, strategy
from tidewright.strategies.sizes import Sizes

F64 = npt.NDArray[np.float64]

FINALISTS: Final = 5
APART: Final = 0.05  # finalists differ by more than this in one coordinate of the unit cube
ELITES: Final = 8  # remembered for the next epoch's first generation


@dataclass(frozen=True, slots=True)
class Plan:
    """What to search and how.

    Attributes
    ----------
    incumbent
        The parameters to beat, all of the strategy's.
    candidates, generations
        Parameter sets a generation; generations.
    horizon
        Cycles of the epoch the answer is for.
    sizes
        The instrument's rules for them, to say why nobody trades; ``None``: they are not known.
    """

    strategy: str
    space: Space
    incumbent: Mapping[str, float]
    split: Split
    cycle_ns: int
    horizon: int
    candidates: int = 512
    generations: int = 2
    seed: int = 0
    objective: Objective = field(default_factory=Objective)
    sizes: Sizes | None = None

    @property
    def largest(self) -> float:
        """Largest base quantity of a candidate, base units."""
        searched = [part.high for part in self.space.dimensions if part.name == "base_quantity"]
        return max([*searched, self.incumbent["base_quantity"]])


@dataclass(frozen=True, slots=True)
class Lane:
    """One parameter set and what it did in one window.

    Attributes
    ----------
    score
        The objective, a fraction of the starting equity.
    figures
        Figures of :mod:`tidewright.measure.definitions`, NaN where undefined.
    """

    params: dict[str, float]
    score: float
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Deflated:
    """Probability that an in-sample Sharpe ratio is more than the best of all useless trials would show.

    Attributes
    ----------
    sharpe
        Per cycle.
    variance
        Of the Sharpe ratios of all trials of the session.
    by_trials, by_sampling
        The deflated Sharpe ratio (Bailey and López de Prado 2014) with that variance, and with the sampling variance
        1/T of a useless lane: the first is severe where many trials were truly bad, not merely unlucky.
    """

    sharpe: float
    variance: float
    by_trials: float
    by_sampling: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What a study found.

    Attributes
    ----------
    inside, outside
        The finalists, best in sample first, and last the incumbent, in and out of sample.
    chosen
        Index of the finalist that is best out of sample; -1 when there is none to choose.
    reason
        Why there is none.
    evidence
        The chosen one against the incumbent, out of sample.
    deflated
        Deflated Sharpe ratio of the chosen one in sample, with all trials of the session; ``None`` when undefined.
    trials
        Parameter sets ever judged in sample in this session, and of this study alone.
    validation
        All candidates of the study, cycle by cycle, as differences to the incumbent; ``None`` when nothing was chosen.
    steady
        What the chosen one's neighbours keep of its gain in sample; ``None`` when it has none there.
    """

    inside: list[Lane]
    outside: list[Lane]
    chosen: int
    reason: str
    evidence: Evidence | None
    deflated: Deflated | None
    trials: int
    trials_now: int
    validation: Validation | None = None
    steady: Stability | None = None


Explore = Callable[[Judge, Plan, Memory, np.random.Generator, Callable[[int, int], None] | None, Trials], Searched]


def complete(name: str, params: Mapping[str, float]) -> dict[str, float]:
    """All parameters of a strategy: those given, else the defaults.

    Raises
    ------
    UsageError
        If the strategy or a parameter is unknown or a value out of range.
    """
    row = rows(name, params, 1)[0]
    return {key: float(value) for key, value in zip(strategy(name).names, row, strict=True)}


def study(
    judge: Judge,
    plan: Plan,
    memory: Memory,
    progress: Callable[[int, int], None] | None = None,
    explore: Explore | None = None,
    stage: Callable[[str], None] | None = None,
) -> Findings:
    """Search, then compare.

    Parameters
    ----------
    memory
        Its trials and elites are read and updated.
    progress
        Told (candidates judged, candidates in all) after each generation.
    explore
        Another search than the agent's own.
    stage
        Told what is done after the search, for people.
    """

    def now(what: str) -> None:
        if stage is not None:
            stage(what)

    rng = np.random.default_rng([plan.seed, plan.split.outside.end_ns])
    series = Trials()
    search = (explore or _search)(judge, plan, memory, rng, progress, series)
    trials_now = len(search.values)
    memory.elites = [_named(plan, search.values[index]) for index in search.best(ELITES, APART)]
    finalists = _finalists(plan, search)
    if not finalists:
        fault = series.activity.fault(plan.sizes, plan.largest)
        fewest = f"the most fills were {series.activity.most_fills}, {plan.objective.min_fills} would be enough"
        reason = f"no candidate traded enough to be judged: {fault or fewest}"
        return _nothing(reason, memory.tried, trials_now)
    now("the best in and out of sample")
    lanes = [*finalists, dict(plan.incumbent)]
    inside = _lanes(plan, judge.evaluate(plan.split.inside, _params(lanes), len(lanes), record=True), lanes)
    better = [lane.score > inside[0][-1].score for lane in inside[0][:-1]]
    if not any(better):
        return _nothing("the incumbent is best in sample", memory.tried, trials_now, inside[0])
    outside = _lanes(plan, judge.evaluate(plan.split.outside, _params(lanes), len(lanes), record=True), lanes)
    chosen = max((i for i, ok in enumerate(better) if ok), key=lambda index: outside[0][index].score)
    increments = outside[1].increments
    differences = (increments[:, :-1] - increments[:, -1:])[:, np.array(better)]
    choices = effective_choices(differences)
    later, earlier = (Pair.of(judged.increments, judged.drift, chosen) for judged in (outside[1], inside[1]))
    evidence = paired(later, plan.horizon, choices, rng, earlier)
    reason = later.no_better()
    if outside[0][chosen].score <= TOO_FEW:
        fills, needed = outside[0][chosen].figures["fills"], _fewest(plan, len(outside[1].increments))
        reason = (
            "out of sample none of the candidates traded enough to be judged: "
            f"the chosen one had {fills:.0f} fills, {needed} would be enough"
        )
    now("the neighbours of the chosen one")
    steady = _steady(judge, plan, lanes[chosen])
    now("the validation of the choice")
    return Findings(
        inside=inside[0],
        outside=outside[0],
        chosen=chosen,
        reason=reason,
        evidence=evidence,
        deflated=_deflated(inside[1].increments[:, chosen], inside[0][chosen], memory),
        trials=memory.tried,
        trials_now=trials_now,
        validation=assay(
            series,
            inside[1].increments[:, chosen],
            inside[1].increments[:, -1],
            Outside(differences),
            plan.split,
            plan.cycle_ns,
            memory.tried,
            plan.seed,
        ),
        steady=steady,
    )


def _steady(judge: Judge, plan: Plan, winner: Mapping[str, float]) -> Stability | None:
    def score_of(values: F64) -> F64:
        judged = judge.evaluate(plan.split.inside, columns(plan, values), len(values))
        return plan.objective.scores(judged.statistics)

    return stability(score_of, plan.space, winner, plan.incumbent, plan.seed)


def _search(
    judge: Judge,
    plan: Plan,
    memory: Memory,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None,
    series: Trials,
) -> Searched:
    known = [dict(plan.incumbent), complete(plan.strategy, {}), *memory.elites]
    seeds = np.array([[params[name] for name in plan.space.names] for params in known if _fits(plan, params)])
    seeds = seeds[np.sort(np.unique(seeds, axis=0, return_index=True)[1])]
    search = ScoreSearch(plan.space, plan.candidates, int(rng.integers(2**31)), seeds)
    for generation in range(plan.generations):
        values = search.ask()
        judged = judge.evaluate(plan.split.inside, columns(plan, values), len(values), record=True)
        series.add(judged)
        search.tell(plan.objective.scores(judged.statistics))
        memory.count_trials(sharpes(judged))
        if progress is not None:
            progress((generation + 1) * plan.candidates, plan.generations * plan.candidates)
    return search


def _fits(plan: Plan, params: Mapping[str, float]) -> bool:
    return all(name in params for name in plan.space.names)


def _finalists(plan: Plan, search: Searched) -> list[dict[str, float]]:
    found = []
    for index in search.best(FINALISTS + 1, APART):
        params = _named(plan, search.values[index])
        if search.scores[index] > TOO_FEW and params != dict(plan.incumbent):
            found.append(params)
    return found[:FINALISTS]


def _named(plan: Plan, values: F64) -> dict[str, float]:
    return {**plan.incumbent, **{name: float(v) for name, v in zip(plan.space.names, values, strict=True)}}


def columns(plan: Plan, values: F64) -> dict[str, npt.ArrayLike]:
    """Parameters of lanes: searched values (n, d), and the incumbent's for the rest."""
    found: dict[str, npt.ArrayLike] = dict(plan.incumbent)
    for index, name in enumerate(plan.space.names):
        found[name] = values[:, index]
    return found


def _params(lanes: list[dict[str, float]]) -> Params:
    return {name: np.array([lane[name] for lane in lanes]) for name in lanes[0]}


def _lanes(plan: Plan, judged: Judgement, lanes: list[dict[str, float]]) -> tuple[list[Lane], Judgement]:
    scores = plan.objective.scores(judged.statistics, _fewest(plan, len(judged.increments)))
    figures = from_statistics(judged.statistics, plan.cycle_ns, NO_MINIMUMS)
    table = [
        Lane(params, float(scores[i]), {name: float(column[i]) for name, column in figures.items()})
        for i, params in enumerate(lanes)
    ]
    return table, judged


def _fewest(plan: Plan, cycles: int) -> int:
    """Fills without which a lane is not judged in a window of so many cycles."""
    least = plan.objective.min_fills
    return min(least, math.floor(least * cycles / max(1, _inside(plan))))


def _inside(plan: Plan) -> int:
    return plan.split.inside.cycles(plan.cycle_ns)


def sharpes(judged: Judgement) -> F64:
    """Sharpe ratio a cycle of each lane, NaN where it has none."""
    parts: Mapping[str, npt.NDArray[Any]] = judged.statistics
    n, total, square = (np.asarray(parts[key], np.float64) for key in ("n_samples", "sum_return", "sum_return_sq"))
    mean, deviation = mean_and_deviation(n, total, square)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(deviation > 0, mean / deviation, np.nan)


def _deflated(increments: F64, lane: Lane, memory: Memory) -> Deflated | None:
    count = len(increments)
    sharpe, skew, kurtosis = moments(increments / lane.figures["equity_start"])
    if sharpe == 0.0 or count < 2:
        return None
    variance = memory.sharpe_variance
    try:
        by_trials, by_sampling = (
            deflated_sharpe(sharpe, count, memory.tried, spread, skew, kurtosis) for spread in (variance, 1.0 / count)
        )
    except ZeroDivisionError:
        return None  # two-valued returns at the edge of what the formula covers
    return Deflated(sharpe, variance, by_trials, by_sampling)


def _nothing(reason: str, trials: int, now: int, inside: list[Lane] | None = None) -> Findings:
    return Findings(inside or [], [], -1, reason, None, None, trials, now)

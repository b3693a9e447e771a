"""Several objectives on a tape: a front of parameter sets, found in sample, saved as it grows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.judge import Judge, Judgement
from tidewright.agents.optimizer.memory import Memory
from tidewright.agents.optimizer.objective import TOO_FEW
from tidewright.agents.optimizer.samplers.front import nondominated
from tidewright.agents.optimizer.search import Points, Search
from tidewright.agents.optimizer.search_problem import Problem, problem
from tidewright.agents.optimizer.search_turns import in_turns
from tidewright.agents.optimizer.study import Plan, columns, complete, sharpes
from tidewright.agents.optimizer.tape_study import EXPERIMENT, Kept
from tidewright.agents.optimizer.validation import Trials
from tidewright.market.errors import UsageError
from tidewright.measure.definitions import DEFINITIONS, NO_MINIMUMS
from tidewright.measure.figures import from_statistics

F64 = npt.NDArray[np.float64]

BATCH: Final = 256
_SAME: Final = 1e-12  # figures that differ by less are the same
SCORE: Final = "score"
ALIASES: Final = {"return": "total_return", "returns": "total_return", "drawdown": "max_drawdown"}


@dataclass(slots=True)
class TapeSearch:
    """A search with a budget; called by a study in place of its own.

    Attributes
    ----------
    objectives, constraints
        Figures of a report by name (``return``, ``sharpe``, ``max_drawdown``, ``fills``, ...) or ``score``.
    candidates, seconds
        Budget: parameter sets in all, wall time. Only the first gives the same answer every time.
    file
        Where the search is saved after each batch; ``None``: nowhere.
    kept
        What is in the file, where it is carried on.
    watch
        Told the search after each batch.
    ahead, single
        Where wall time is the budget: batches judged at a time, and the judge of each, which takes one core.
    ran
        Where they were judged, for people, if by the judge of each.
    search
        The search itself, once begun.
    about
        What its figures rest on, kept with it.
    """

    objectives: Sequence[str]
    constraints: Sequence[str] = ()
    candidates: int | None = 2048
    seconds: float | None = None
    batch: int = BATCH
    sampler: str | Sequence[str] = "ensemble"
    file: Path | None = None
    kept: Kept | None = None
    watch: Callable[[Search], None] | None = None
    now: Callable[[], float] = time.monotonic
    ahead: int = 1
    single: Judge | None = None
    ran: str = ""
    search: Search | None = None
    about: dict[str, Any] = field(default_factory=dict)
    scores: F64 = field(default_factory=lambda: np.empty(0))
    _needed: tuple[str, ...] = ()
    _longest: float = 0.0  # wall seconds from asking for a batch to telling it

    def begin(self, plan: Plan, experiment: Mapping[str, Any] | None = None) -> None:
        """Make the search, or carry on the one in the file; before anything is judged.

        Parameters
        ----------
        experiment
            What the figures rest on, see :func:`tidewright.agents.optimizer.assumptions.experiment`; only a search
            with a file needs it.

        Raises
        ------
        UsageError
            If a figure is unknown, or the search in the file rests on anything else.
        """
        goals, limits = [_goal(text) for text in self.objectives], [_renamed(text) for text in self.constraints]
        wanted = problem([f"{name}:{way}" for name, way in goals], limits)
        self._needed = (*(goal.name for goal in wanted.goals), *wanted.measured)
        unknown = set(self._needed) - {SCORE, *DEFINITIONS}
        if unknown:
            names = ", ".join(sorted({SCORE, "return", *DEFINITIONS}))
            raise UsageError(f"no figure is called {', '.join(sorted(unknown))}; there are {names}")
        self.about = {**(experiment or {}), **_searched(plan, wanted, self.sampler)}
        if self.kept is not None:
            self.search = self.kept.search_on(self.about)
            return
        start = {name: [plan.incumbent[name], complete(plan.strategy, {})[name]] for name in plan.space.names}
        fits = plan.space.shown(plan.space.decode(plan.space.encode(np.array(list(start.values())).T)))
        self.search = Search(plan.space, [goal.text for goal in wanted.goals], limits, self.sampler, plan.seed, fits)

    def __call__(
        self,
        judge: Judge,
        plan: Plan,
        memory: Memory,
        rng: np.random.Generator,
        progress: Callable[[int, int], None] | None,
        series: Trials,
    ) -> "TapeSearch":
        """Search in sample until the budget is spent."""
        began = self.now()
        if self.search is None:
            self.begin(plan)
        assert self.search is not None
        self._again(self.search, judge, plan, memory, series)
        try:
            self._explore(self.search, judge, plan, memory, progress, series, began)
            self.search.front()  # an empty one is an error that says what would be enough
        except UsageError as error:
            fault = series.activity.fault(plan.sizes, plan.largest)
            if not fault or self.search.feasible.any():
                raise
            raise type(error)(f"{error}; {fault}") from None
        return self

    def _again(self, search: Search, judge: Judge, plan: Plan, memory: Memory, series: Trials) -> None:
        """Judge again those that were judged before the stop: validation needs their cycles, and nothing has changed.

        Raises
        ------
        UsageError
            If a figure is another one: what the search knows then does not compare with what it would learn.
        """
        for start in range(0, len(search), self.batch):
            known = search.parameters[start : start + self.batch]
            figures = self._recorded(_shadows(judge, plan, known), plan, memory, series)
            for name, column in search.values.items():
                before, now = column[start : start + len(known)], figures[name]
                other = np.flatnonzero(~np.isclose(before, now, rtol=_SAME, atol=_SAME, equal_nan=True))
                if len(other):
                    row = other[0]
                    raise UsageError(
                        f"the study at {self.file} was judged by another build: {name} of its candidate "
                        f"{start + row + 1} was {before[row]:.12g}, is now {now[row]:.12g}; begin a new one"
                    )

    def _explore(
        self,
        search: Search,
        judge: Judge,
        plan: Plan,
        memory: Memory,
        progress: Callable[[int, int], None] | None,
        series: Trials,
        began: float,
    ) -> None:
        """Ask, judge and tell while the budget lasts."""
        total = self.candidates or 0
        asked = len(search)

        def ask() -> Points | None:
            nonlocal asked
            if not self._open(asked, began):
                return None
            count = self.batch if self.candidates is None else min(self.batch, self.candidates - asked)
            asked += count
            return search.ask(count)

        timed = self.seconds is not None and self.single is not None
        by = self.single if timed and self.single is not None else judge
        workers = self.ahead if timed else 1
        turns = in_turns(ask, lambda points: _shadows(by, plan, plan.space.values(points)), workers, self.now)
        for points, judged, passed in turns:
            figures = self._recorded(judged, plan, memory, series)
            took = None if self.seconds is None else max(passed, 1e-9)  # a budget of points wants the best points
            measured = {name: figures[name] for name in search.problem.measured}
            search.tell(points, _picked(figures, search), measured, seconds=took)
            self._longest = max(self._longest, passed * workers)
            if self.file is not None:
                search.save(self.file, {EXPERIMENT: self.about})
            if progress is not None:
                progress(len(search), max(total, len(search)))
            if self.watch is not None:
                self.watch(search)
        if timed:
            self.ran = "1 thread" if self.ahead == 1 else f"{self.ahead} threads"

    @property
    def values(self) -> F64:
        """Values (n, d) of all judged, in order."""
        assert self.search is not None
        return self.search.parameters

    def best(self, count: int, distance: float = 0.0) -> npt.NDArray[np.int64]:
        """Rows of the front, then of what is behind it, by score, each at least ``distance`` from the better ones."""
        search = self.search
        assert search is not None
        keep = np.flatnonzero(search.feasible)
        losses = search.problem.losses(np.stack(list(search.values.values()), axis=1))[keep]
        front = np.zeros(len(search), np.bool_)
        front[keep[nondominated(losses)]] = True
        units = search.space.encode(search.parameters)
        chosen: list[int] = []
        for row in np.lexsort((-self.scores, ~front)):
            if not search.feasible[row] or self.scores[row] <= TOO_FEW:
                continue
            if all(np.abs(units[row] - units[other]).max() > distance for other in chosen):
                chosen.append(int(row))
            if len(chosen) == count:
                break
        return np.array(chosen, np.int64)

    def _open(self, judged: int, began: float) -> bool:
        """Whether there is budget for another batch; one that would end after the time is not begun."""
        left = self.candidates is None or judged < self.candidates
        return left and (self.seconds is None or self.now() - began + self._longest < self.seconds)

    def _recorded(self, judged: Judgement, plan: Plan, memory: Memory, series: Trials) -> dict[str, F64]:
        """Figures of a batch, and what validation needs of it."""
        series.add(judged)
        memory.count_trials(sharpes(judged))
        figures = dict(from_statistics(judged.statistics, plan.cycle_ns, NO_MINIMUMS))
        absent = [name for name in self._needed if name not in figures and name != SCORE]
        if absent:
            raise UsageError(
                f"a search cannot use {', '.join(absent)}; it can use {SCORE}, {', '.join(sorted(figures))}"
            )
        figures[SCORE] = plan.objective.scores(judged.statistics)
        self.scores = np.concatenate([self.scores, figures[SCORE]])
        return figures


def _shadows(judge: Judge, plan: Plan, values: F64) -> Judgement:
    return judge.evaluate(plan.split.inside, columns(plan, values), len(values), record=True)


def direction(name: str) -> str:
    """Which way a figure is better unless it is said: ``min`` for losses and costs, else ``max``."""
    known = DEFINITIONS.get(name)
    return "min" if known is not None and known.better == "lower" else "max"


def _goal(text: str) -> tuple[str, str]:
    name, colon, given = text.partition(":")
    figure = ALIASES.get(name.strip(), name.strip())
    return figure, given.strip() if colon else direction(figure)


def _renamed(text: str) -> str:
    for sign in ("<=", ">="):
        name, found, bound = text.partition(sign)
        if found:
            return f"{ALIASES.get(name.strip(), name.strip())}{sign}{bound.strip()}"
    return text


def _picked(figures: Mapping[str, F64], search: Search) -> dict[str, F64]:
    return {goal.name: np.asarray(figures[goal.name], np.float64) for goal in search.problem.goals}


def _searched(plan: Plan, wanted: Problem, sampler: str | Sequence[str]) -> dict[str, Any]:
    """Space, goals and sampler as text."""
    spaces = {part.name: f"{part.kind} from {part.low!r} to {part.high!r}" for part in plan.space.dimensions}
    return {
        "space": spaces,
        "objectives": ", ".join(goal.text for goal in wanted.goals),
        "constraints": ", ".join(part.exact for part in wanted.constraints),
        "sampler": sampler if isinstance(sampler, str) else ", ".join(sampler),
    }

"""``tw.Search``: ask for points, tell what came of them, see the front.

Works on any function that takes arrays. A search is a function of its space, its seed and what it was told: the same
answers give the same questions, also after it was saved, killed and loaded.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.samplers import moves
from tidewright.agents.optimizer.samplers.choose import choose
from tidewright.agents.optimizer.samplers.ensemble import Ensemble
from tidewright.agents.optimizer.samplers.front import gains, nondominated
from tidewright.agents.optimizer.samplers.history import History, Proposal, best_first
from tidewright.agents.optimizer.search_problem import Problem, problem, table
from tidewright.agents.optimizer.search_store import read, write
from tidewright.agents.optimizer.search_turns import in_turns
from tidewright.agents.optimizer.space import Space, of_mapping
from tidewright.market.errors import DataError, UsageError

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Points = dict[str, npt.NDArray[Any]]

_REDRAWS: Final = 6  # of a point that was judged before; then it is accepted: small spaces run out of new ones
_HOPELESS: Final = 64  # points without one finite objective, after which the function is taken to be broken
SEEDS: Final = 2**64  # what a file can hold
_FEWEST: Final = 8  # points spread over the space before anything is concluded


@dataclass(frozen=True, slots=True)
class Front:
    """Points that no other is better than.

    Attributes
    ----------
    points, values
        Parameters and objectives by name, arrays over points, ordered by the first objective, best first.
    measures
        Quantities of the constraints that are no objectives.
    rows
        Their rows in the order of telling.
    """

    points: Points
    values: dict[str, F64]
    measures: dict[str, F64]
    rows: I64

    def __len__(self) -> int:
        return len(self.rows)


class Search:
    """A search for the best trade-offs of several objectives under constraints.

    Parameters
    ----------
    space
        ``{name: (low, high) | (low, high, "log" | "int") | [choices] | table}``, see
        :func:`tidewright.agents.optimizer.space.of_mapping`, or a ``Space``.
    objectives
        ``{"return": "max", "max_drawdown": "min"}``, or names with ``:max`` or ``:min`` (without: ``min``).
    constraints
        ``"name<=bound"`` or ``"name>=bound"`` of objectives or of quantities told beside them.
    sampler
        ``ensemble``, ``gp``, ``forest``, ``tpe``, ``genetic``, ``lines``, ``optuna_gp`` (needs torch), or the names of
        an ensemble's parts.
    seed
        All randomness comes from it.
    start
        Points (as ``ask`` gives them) asked for first: what is used now, the front of an earlier search. All of them
        lie in the space: what a narrower one leaves out is for the caller to drop, not for the search to move.
    startup
        Points spread over the space before the sampler begins; ``None``: twice the parameters, at least 8. The
        first question is spread over the space whole.

    Raises
    ------
    UsageError
        If the space is empty, a name unknown or a text malformed, the seed too large, or a point of the start outside
        the space.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        objectives: Sequence[str] | Mapping[str, str] = ("value",),
        constraints: Sequence[str] = (),
        sampler: str | Sequence[str] = "ensemble",
        seed: int = 0,
        start: Mapping[str, Any] | None = None,
        startup: int | None = None,
    ) -> None:
        self.space: Space = space if isinstance(space, Space) else of_mapping(space)
        self.problem: Problem = problem(objectives, constraints)
        self._named: str | Sequence[str] = sampler if isinstance(sampler, str) else tuple(sampler)
        self._sampler = choose(sampler, self.space)
        if not 0 <= seed < SEEDS:
            raise UsageError(f"the seed must be in 0..2^64 - 1, was {seed}")
        self._seed = seed
        dims, goals = len(self.space.dimensions), len(self.problem.goals)
        self._startup = max(_FEWEST, 2 * dims) if startup is None else startup
        first = np.empty((0, dims)) if start is None else self.space.values(start)
        self.space.check(first, "a point of the start")
        self._seeds = self.space.canonical(self.space.encode(first))
        self._asks = 0
        self._asked = 0
        self._waiting: dict[bytes, tuple[F64, int]] = {}
        self._values = np.empty((0, goals))
        self._measures = np.empty((0, len(self.problem.measured)))
        self._notes: dict[str, F64] = {}
        self._price: float | None = None
        none = np.empty((0, dims))
        self._history = History(
            none,
            np.empty((0, goals)),
            np.empty((0, len(self.problem.constraints))),
            none,
            np.empty(0, np.int64),
            np.empty(0),
        )
        self._seen: set[bytes] = set()

    def __len__(self) -> int:
        """Points told."""
        return len(self._history)

    @property
    def seed(self) -> int:
        """Where all randomness comes from."""
        return self._seed

    @property
    def sampler(self) -> str | tuple[str, ...]:
        """Name of the sampler, or names of an ensemble's parts."""
        return self._named if isinstance(self._named, str) else tuple(self._named)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the budget that each part of the ensemble has earned by now; empty for a single sampler.

        Where judging is cheap, a part that has earned little may have to wait for its turn.
        """
        if not isinstance(self._sampler, Ensemble):
            return {}
        known = replace(self._history, price=self.price)
        usual = max(1, self._asked // max(1, self._asks))
        named = zip(self._sampler.names, self._sampler.shares(known, usual).tolist(), strict=True)
        return {name: share for name, share in named if share > 0.0}

    @property
    def price(self) -> float | None:
        """Seconds that judging a point takes, by the quickest batch; ``None``: none were told.

        The quickest, for compiling and other programs make a batch slow, and thinking is reckoned without them.
        """
        return self._price

    @property
    def points(self) -> Points:
        """All points told, in order."""
        return self.space.shown(self.parameters)

    @property
    def parameters(self) -> F64:
        """All points told as numbers (choices by index), shape (n, d)."""
        return self.space.decode(self._history.units)

    @property
    def values(self) -> dict[str, F64]:
        """Objectives of all points told, NaN where a point failed."""
        return {goal.name: self._values[:, index] for index, goal in enumerate(self.problem.goals)}

    @property
    def notes(self) -> Mapping[str, F64]:
        """What else was told."""
        return self._notes

    @property
    def feasible(self) -> npt.NDArray[np.bool_]:
        """Which points keep all constraints and have finite objectives."""
        return self._history.feasible

    def ask(self, count: int = 1) -> Points:
        """Points to judge next: arrays by parameter name, NaN (or ``None``) where a parameter is inactive.

        Raises
        ------
        UsageError
            If ``count`` is not > 0.
        DataError
            If 64 or more points were told and not one had finite objectives.
        """
        if count < 1:
            raise UsageError(f"ask for at least 1 point, was {count}")
        self._check_finite()
        rng = np.random.default_rng([self._seed, self._asks])
        proposal = self._proposed(count, rng)
        units = self._new(proposal.units, rng)
        self._asks += 1
        self._asked += count
        for key, unit, source in zip(_keys(units), units, proposal.source.tolist(), strict=True):
            self._waiting[key] = (unit, source)
        return self.space.shown(self.space.decode(units))

    def tell(
        self,
        points: Mapping[str, Any],
        values: Any,
        constraints: Any = None,
        notes: Mapping[str, npt.ArrayLike] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Say what came of points, asked for or not.

        Parameters
        ----------
        points
            As ``ask`` gave them.
        values
            Objectives: arrays by name or an array (n, m) in their order. NaN: the point failed; it is kept, and never
            part of a front.
        constraints
            The quantities of the constraints that are no objectives: arrays by name or an array (n, k).
        notes
            More figures to keep with the points.
        seconds
            What judging them took, where time is what the search must save: an ensemble then goes by what its parts
            earn a second, not a point. It is part of what was told: other seconds, other questions.

        Raises
        ------
        UsageError
            If names or shapes differ from what the search is about, a point is not in the space, or the seconds are
            not > 0.
        """
        if seconds is not None and not 0.0 < seconds < np.inf:
            raise UsageError(f"the seconds that judging took must be > 0 and finite, were {seconds}")
        found = self.space.values(points)
        self.space.check(found)
        units = self.space.canonical(self.space.encode(found))
        rows = len(units)
        told = table(values, [goal.name for goal in self.problem.goals], rows, "objectives")
        measured = self.problem.measured
        if constraints is None and measured:
            raise UsageError(f"constraints need {', '.join(measured)} to be told")
        extra = table({} if constraints is None else constraints, measured, rows, "quantities of constraints")
        self._note(notes or {}, rows)
        losses, excess = self.problem.losses(told), self.problem.excess(told, extra)
        none = np.full(rows, -1, np.int64)
        new = History(units, losses, excess, self._history.pending, none, np.zeros(rows))
        keys = _keys(units)
        source = np.array([self._waiting.pop(key, (units, -1))[1] for key in keys], np.int64)
        self._values = np.concatenate([self._values, told])
        self._measures = np.concatenate([self._measures, extra])
        gain = _gains(self._history, new) if isinstance(self._sampler, Ensemble) else new.gain
        self._history = _joined(self._history, new, source, gain)
        self._seen.update(keys)
        if seconds is not None and rows:
            self._price = min(seconds / rows, self._price or np.inf)

    def front(self) -> Front:
        """Points that keep all constraints and that no other such point is better than.

        Raises
        ------
        UsageError
            If nothing was told, no point keeps the constraints, or none has finite objectives: how far the nearest
            is.
        """
        keep = np.flatnonzero(self._history.feasible)
        if len(keep) == 0:
            raise UsageError(f"there is no front: {self.why_empty()}")
        rows = keep[nondominated(self._history.losses[keep])]
        rows = rows[np.lexsort(self._history.losses[rows].T[::-1])]
        return Front(
            self.space.shown(self.parameters[rows]),
            {name: column[rows] for name, column in self.values.items()},
            {name: self._measures[rows, index] for index, name in enumerate(self.problem.measured)},
            rows,
        )

    def why_empty(self) -> str:
        """How many points failed or broke which constraint, and the nearest to keeping it."""
        count = len(self)
        if count == 0:
            return "nothing was told yet"
        broken = count - int(self._history.finite.sum())
        parts = [f"of {count} points {broken} have objectives that are not finite"] if broken else []
        if broken == count:
            parts.append(f"{self._never_finite()} was NaN or infinite each time; one finite point would be enough")
        columns = {**self.values, **{n: self._measures[:, i] for i, n in enumerate(self.problem.measured)}}
        for index, part in enumerate(self.problem.constraints):
            known = columns[part.name][np.isfinite(columns[part.name])]
            kept = int((self._history.excess[:, index] <= 0.0).sum())
            nearest = "is never a number" if len(known) == 0 else f"is {known.min() if part.below else known.max():g}"
            extreme = "least" if part.below else "greatest"
            parts.append(f"{part.text} is kept by {kept} of {count} points (the {extreme} {part.name} {nearest})")
        if self.problem.constraints:
            parts.append("bounds that the same points keep together, a wider space or more points would be enough")
        return "; ".join(parts)

    def best(self, count: int, distance: float = 0.0) -> I64:
        """Rows of the best points, best first, each at least ``distance`` from the better ones.

        With one objective by its value, with several by rank of dominance; what breaks a constraint comes last, by how
        far.

        Parameters
        ----------
        distance
            Largest coordinate difference in the unit cube that still counts as the same place.
        """
        chosen: list[int] = []
        units = self._history.units
        for row in best_first(self._history):
            if all(np.abs(units[row] - units[other]).max() > distance for other in chosen):
                chosen.append(int(row))
            if len(chosen) == count:
                break
        return np.array(chosen, np.int64)

    def run(
        self,
        function: Callable[[Points], Any],
        evaluations: int | None = None,
        seconds: float | None = None,
        batch: int = 1,
        now: Callable[[], float] = time.monotonic,
        progress: Callable[[int], None] | None = None,
        workers: int = 1,
    ) -> Front:
        """Ask and tell until a budget is spent; the front.

        Parameters
        ----------
        function
            Takes points, returns objectives, or a pair of objectives and constraint quantities, as ``tell`` takes them.
        evaluations, seconds
            Points in all (those told before count), and wall time; at least one is given. Only a budget of points
            gives the same result every time.
        batch
            Points a question.
        now
            The clock, seconds.
        progress
            Told the points so far after each batch.
        workers
            Batches judged at a time, in threads: while one is judged, the next is asked for. Worth it where the
            function lets go of Python's lock, as numpy and compiled code do. Answers are told in the order of
            asking, so a budget of points gives the same result every time for the same number of workers.

        Raises
        ------
        UsageError
            If no budget is given, a number is less than 1, or there is no front.
        """
        if evaluations is None and seconds is None:
            raise UsageError("a run needs a budget: evaluations or seconds")
        if workers < 1:
            raise UsageError(f"workers must be >= 1, was {workers}")
        began, out = now(), 0

        def ask() -> Points | None:
            nonlocal out
            left = batch if evaluations is None else min(batch, evaluations - len(self) - out)
            if left < 1 or (seconds is not None and now() - began >= seconds):
                return None
            out += left
            return self.ask(left)

        for points, answer, passed in in_turns(ask, function, workers, now):
            out -= len(next(iter(points.values())))
            took = None if seconds is None else max(passed, 1e-9)
            values, constraints = answer if isinstance(answer, tuple) else (answer, None)
            self.tell(points, values, constraints, seconds=took)
            if progress is not None:
                progress(len(self))
        return self.front()

    def save(self, path: str | Path, about: Mapping[str, Any] | None = None) -> None:
        """Write everything to a file, atomically; ``about``: plain values to keep with it."""
        write(
            Path(path),
            {
                "space": self.space,
                "objectives": [goal.text for goal in self.problem.goals],
                "constraints": [part.exact for part in self.problem.constraints],
                "sampler": self._named,
                "seed": self._seed,
                "startup": self._startup,
                "start": self._seeds,
                "asks": self._asks,
                "asked": self._asked,
                "parameters": self.parameters,
                "values": self._values,
                "measures": self._measures,
                "notes": self._notes,
                "source": self._history.source,
                "gain": self._history.gain,
                "state": self._sampler.state,
                "price": self._price,
                "about": dict(about or {}),
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file; points that were asked for and not told are asked for anew.

        Raises
        ------
        NotFoundError
            If there is none.
        DataError
            If it is damaged.
        """
        kept = read(Path(path))
        try:
            search = cls(
                kept["space"], kept["objectives"], kept["constraints"], kept["sampler"], kept["seed"],
                startup=kept["startup"],
            )  # fmt: skip
            search._restore(kept)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"search {path} is damaged: {error}") from None
        return search

    @classmethod
    def reopen(cls, path: str | Path) -> tuple[Self, dict[str, Any]]:
        """Read a file: the search, and what was kept ``about`` it; errors as of :meth:`load`."""
        kept = read(Path(path))
        about = kept.get("about")
        return cls.load(path), about if isinstance(about, dict) else {}

    def _restore(self, kept: Mapping[str, Any]) -> None:
        dims, goals = len(self.space.dimensions), len(self.problem.goals)
        values = np.asarray(kept["values"], np.float64).reshape(-1, goals)
        rows = len(values)
        parameters = np.asarray(kept["parameters"], np.float64).reshape(rows, dims)
        self._seeds = np.asarray(kept["start"], np.float64).reshape(-1, dims)
        self._values = values
        self._measures = np.asarray(kept["measures"], np.float64).reshape(rows, len(self.problem.measured))
        self._notes = {name: np.asarray(column, np.float64) for name, column in kept["notes"].items()}
        units = self.space.encode(parameters)
        self._history = History(
            units,
            self.problem.losses(values),
            self.problem.excess(values, self._measures),
            np.empty((0, dims)),
            np.asarray(kept["source"], np.int64).reshape(rows),
            np.asarray(kept["gain"], np.float64).reshape(rows),
        )
        self._seen = set(_keys(units))
        self._asks, self._asked = int(kept["asks"]), int(kept["asked"])
        self._sampler.state = kept["state"]
        price = kept.get("price")
        self._price = None if price is None else float(price)

    def _check_finite(self) -> None:
        if len(self) >= _HOPELESS and not self._history.finite.any():
            raise DataError(
                f"none of {len(self)} points has finite objectives: {self._never_finite()} was NaN or infinite each "
                "time; one finite point is enough to go on"
            )

    def _never_finite(self) -> str:
        """Names of the objectives that were never a number."""
        losses = self._history.losses
        bad = [goal.name for i, goal in enumerate(self.problem.goals) if not np.isfinite(losses[:, i]).any()]
        return ", ".join(bad) or "one or another objective"

    def _proposed(self, count: int, rng: np.random.Generator) -> Proposal:
        """Points of the start, then points spread over the space, then the sampler's."""
        first = self._seeds[self._asked : self._asked + count]
        begun = max(0, self._asked + len(first) - len(self._seeds))  # of the spread ones
        left = count - len(first)
        wanted = left if len(self) == 0 else min(left, max(0, self._startup - len(self._seeds) - begun))
        spread = (
            moves.even(self.space, begun + wanted, np.random.default_rng(self._seed))[begun:] if wanted else first[:0]
        )
        known = np.concatenate([first, spread])
        own = np.full(len(known), -1, np.int64)
        if left == wanted:
            return Proposal(known, own)
        waiting = [unit for unit, _ in self._waiting.values()]
        pending = np.concatenate([np.array(waiting).reshape(-1, known.shape[1]), known])
        history = self._history
        asked = self._sampler.propose(
            replace(history, pending=pending, price=self.price),
            left - wanted,
            rng,
        )
        return Proposal(np.concatenate([known, asked.units]), np.concatenate([own, asked.source]))

    def _new(self, units: F64, rng: np.random.Generator) -> F64:
        """The same points, those judged or asked before, or twice here, replaced by near ones, then by any."""
        units = self.space.canonical(units)
        taken = self._seen | set(self._waiting)
        for attempt in range(_REDRAWS):
            again = _repeated(units, taken)
            if len(again) == 0:
                break
            other = moves.near(self.space, units[again], len(again), rng, 0.05 * 2.0**attempt)
            other = other if attempt < _REDRAWS // 2 else moves.random(self.space, len(again), rng)
            units[again] = self.space.canonical(other)
        return units

    def _note(self, notes: Mapping[str, npt.ArrayLike], rows: int) -> None:
        for name in {*notes, *self._notes}:
            before = self._notes.get(name, np.full(len(self), np.nan))
            new = np.broadcast_to(np.asarray(notes.get(name, np.nan), np.float64), (rows,))
            self._notes[name] = np.concatenate([before, new])


def _keys(units: F64) -> list[bytes]:
    """The bytes of each position."""
    rows = np.ascontiguousarray(units)
    whole: Any = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).reshape(-1)
    return list(whole.tolist())


def _repeated(units: F64, taken: set[bytes]) -> I64:
    """Rows that are taken, or twice here, but for the first."""
    found, here = [], set()
    for row, key in enumerate(_keys(units)):
        if key in taken or key in here:
            found.append(row)
        here.add(key)
    return np.array(found, np.int64)


def _joined(old: History, new: History, source: I64, gain: F64) -> History:
    return History(
        np.concatenate([old.units, new.units]),
        np.concatenate([old.losses, new.losses]),
        np.concatenate([old.excess, new.excess]),
        old.pending,
        np.concatenate([old.source, source]),
        np.concatenate([old.gain, gain]),
    )


def _gains(old: History, new: History) -> F64:
    """What each new row adds to the front; while nothing keeps the constraints, by how much it nears them."""
    keep = new.feasible
    gain = np.zeros(len(new))
    before = old.losses[old.feasible]
    if keep.any():
        gain[keep] = gains(before, new.losses[keep])
    elif len(before) == 0 and len(old):
        known = old.violation[np.isfinite(old.violation)]
        if len(known) and known.min() > 0.0:
            nearer = np.maximum(0.0, known.min() - new.violation) / known.min()
            gain = np.where(np.isfinite(nearer), nearer, 0.0)
    return gain

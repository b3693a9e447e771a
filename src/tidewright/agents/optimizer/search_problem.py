"""What a search is after: objectives with a direction, and constraints with a bound."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

_CONSTRAINT = re.compile(r"^\s*([A-Za-z_]\w*)\s*(<=|>=)\s*(\S+)\s*$")


@dataclass(frozen=True, slots=True)
class Goal:
    """An objective; ``maximise``: more is better."""

    name: str
    maximise: bool

    @property
    def text(self) -> str:
        """Name and direction."""
        return f"{self.name}:{'max' if self.maximise else 'min'}"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A quantity that must be at most (``below``) or at least a bound."""

    name: str
    below: bool
    bound: float

    @property
    def text(self) -> str:
        """As it is written."""
        return f"{self.name}{'<=' if self.below else '>='}{self.bound:g}"

    @property
    def exact(self) -> str:
        """As it is written, all digits."""
        return f"{self.name}{'<=' if self.below else '>='}{self.bound!r}"

    def excess(self, values: F64) -> F64:
        """How far values are beyond the bound; <= 0 is kept."""
        return values - self.bound if self.below else self.bound - values


@dataclass(frozen=True, slots=True)
class Problem:
    """Objectives and constraints."""

    goals: tuple[Goal, ...]
    constraints: tuple[Constraint, ...]

    @property
    def measured(self) -> tuple[str, ...]:
        """Quantities that constraints need and objectives do not give."""
        known = {goal.name for goal in self.goals}
        return tuple(dict.fromkeys(part.name for part in self.constraints if part.name not in known))

    def losses(self, values: F64) -> F64:
        """Objective values (n, m) turned so that less is better; infinite becomes NaN."""
        signs = np.array([-1.0 if goal.maximise else 1.0 for goal in self.goals])
        return np.where(np.isfinite(values), values * signs, np.nan)

    def excess(self, values: F64, measures: F64) -> F64:
        """Excess of each constraint (n, c) from objective values (n, m) and measured quantities (n, k)."""
        columns = {goal.name: values[:, index] for index, goal in enumerate(self.goals)}
        columns |= {name: measures[:, index] for index, name in enumerate(self.measured)}
        found = [part.excess(columns[part.name]) for part in self.constraints]
        return np.stack(found, axis=1) if found else np.empty((len(values), 0))


def problem(objectives: Sequence[str] | Mapping[str, str], constraints: Sequence[str]) -> Problem:
    """Problem of names.

    Parameters
    ----------
    objectives
        ``{"return": "max", "max_drawdown": "min"}``, or names, each with ``:max`` or ``:min``; without: ``min``.
    constraints
        Each ``"name<=bound"`` or ``"name>=bound"``.

    Raises
    ------
    UsageError
        If there is no objective, one is named twice, a text has another form, or two constraints contradict each other.
    """
    if isinstance(objectives, str):
        objectives = [objectives]
    pairs = list(objectives.items()) if isinstance(objectives, Mapping) else [_split(text) for text in objectives]
    if not pairs:
        raise UsageError("a search needs at least one objective, had none")
    for name, direction in pairs:
        if direction not in ("min", "max"):
            raise UsageError(f"direction of objective {name!r} must be min or max, was {direction!r}")
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise UsageError(f"an objective is named once, had {', '.join(names)}")
    goals = tuple(Goal(name, direction == "max") for name, direction in pairs)
    bounds = tuple(constraint(text) for text in constraints)
    for most, least in product(bounds, bounds):
        if most.name == least.name and most.below and not least.below and most.bound < least.bound:
            raise UsageError(f"nothing can keep both {most.text} and {least.text}")
    return Problem(goals, bounds)


def constraint(text: str) -> Constraint:
    """Constraint of ``"name<=bound"`` or ``"name>=bound"``.

    Raises
    ------
    UsageError
        If the text has another form.
    """
    found = _CONSTRAINT.match(text)
    try:
        bound = float(found[3]) if found else np.nan
    except ValueError:
        bound = np.nan
    if found is None or not np.isfinite(bound):
        raise UsageError(f"a constraint is name<=bound or name>=bound with a number, was {text!r}")
    return Constraint(found[1], found[2] == "<=", bound)


def table(given: Any, names: Sequence[str], rows: int, what: str) -> F64:
    """Values (rows, names) of a mapping by name or of an array.

    Raises
    ------
    UsageError
        If a name is missing or unknown, or the shape differs.
    """
    if isinstance(given, Mapping):
        if set(given) != set(names):
            raise UsageError(f"{what} must be told for {', '.join(names) or 'nothing'}, were for {', '.join(given)}")
        columns = [np.atleast_1d(np.asarray(given[name], np.float64)) for name in names]
        if any(column.shape != (rows,) for column in columns):
            raise UsageError(f"{what} must be {rows} numbers each, as there are points")
        return np.stack(columns, axis=1) if columns else np.empty((rows, 0))
    array = np.asarray(given, np.float64)
    if array.ndim <= 1 and len(names) == 1:
        array = array.reshape(-1, 1)
    if array.shape != (rows, len(names)):
        raise UsageError(f"{what} must have the shape ({rows}, {len(names)}), had {array.shape}")
    return array


def _split(text: str) -> tuple[str, str]:
    name, colon, direction = text.partition(":")
    return name.strip(), direction.strip() if colon else "min"

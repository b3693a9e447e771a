"""What a sampler knows, and what it must do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class History:
    """All that was judged, and what is still out.

    Attributes
    ----------
    units
        Canonical positions in the unit cube, shape (n, d).
    losses
        Objectives, each to be minimised, shape (n, m); a row with a NaN failed.
    excess
        Of each constraint how far beyond its bound, shape (n, c); <= 0 is kept, NaN: unknown, which is not kept.
    pending
        Positions that were asked for and not yet told, shape (p, d).
    source, gain
        Which part of an ensemble proposed a row (-1: none), and what it added to the front when it was told (0 without
        an ensemble).
    price
        Seconds that judging a row takes; ``None``: not told, and taken to be far more than thinking takes.
    """

    units: F64
    losses: F64
    excess: F64
    pending: F64
    source: I64
    gain: F64
    price: float | None = None

    def __len__(self) -> int:
        return len(self.units)

    @property
    def violation(self) -> F64:
        """Sum of the excesses above 0 of each row, shape (n,); infinite where one is unknown."""
        return np.where(np.isnan(self.excess), np.inf, np.maximum(self.excess, 0.0)).sum(axis=1)

    @property
    def finite(self) -> Bools:
        """Rows whose objectives are all numbers."""
        return np.asarray(np.isfinite(self.losses).all(axis=1), np.bool_)

    @property
    def feasible(self) -> Bools:
        """Rows that keep all constraints and have objectives."""
        return np.asarray(self.finite & (self.violation <= 0.0), np.bool_)

    def rows(self, index: npt.NDArray[np.generic]) -> "History":
        """Some rows; nothing pending."""
        none = np.empty((0, self.units.shape[1]))
        return History(
            self.units[index], self.losses[index], self.excess[index], none, self.source[index], self.gain[index]
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """Positions to judge next, shape (count, d), and the part of an ensemble each came from (-1: none)."""

    units: F64
    source: I64


class Sampler(Protocol):
    """Proposes positions.

    The same history, count, state and generator give the same proposal. ``state`` is all that it carries from one
    proposal to the next, plain numbers, so that a search can be stopped and resumed.
    """

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Proposal:
        """``count`` positions; they need not be new, the search sees to that."""
        ...

    def thinking(self, history: History, count: int) -> float:
        """Seconds that such a proposal takes, by a formula fitted once to one slow core, right within a factor of two.

        Never by a clock: the same search must ask the same questions.
        """
        ...

    @property
    def state(self) -> Mapping[str, list[float]]:
        """What is carried from one proposal to the next."""
        ...

    @state.setter
    def state(self, value: Mapping[str, list[float]]) -> None: ...


def plain(units: F64) -> Proposal:
    """Proposal of a sampler without parts."""
    return Proposal(units, np.full(len(units), -1, np.int64))


def best_first(history: History) -> I64:
    """Rows from best to worst: feasible by rank of dominance and closeness to the front's ideal, then by violation."""
    from tidewright.agents.optimizer.samplers.front import ranks

    losses = np.where(np.isfinite(history.losses), history.losses, np.inf)
    keep = history.feasible
    order = np.full(len(history), np.inf)
    if keep.any():
        good = losses[keep]
        span = np.ptp(good, axis=0)
        scaled = (good - good.min(axis=0)) / np.where(span > 0, span, 1.0)
        order[keep] = ranks(good) + scaled.sum(axis=1) / (1.0 + losses.shape[1])
    return np.lexsort((np.where(keep, order, history.violation), ~keep)).astype(np.int64)

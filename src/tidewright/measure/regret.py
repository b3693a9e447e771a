"""Regret: what the best fixed choice would have earned in hindsight, less what ours did, with an interval.

Two comparators, and the difference matters. *Static* regret is against the one choice that was best over all epochs
so far, the usual measure of online learning; it is the best of those that were compared, so it is a lower bound of the
regret against the best there is. *Dynamic* regret is against each epoch's own best: nobody could have had it, and with
more candidates the best of an epoch is better by luck alone.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

MIN_EPOCHS: Final = 5  # fewer carry no interval
_DRAWS: Final = 2000


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over epochs with its 95 % interval (circular block bootstrap over epochs); ends are ``None`` for few."""

    total: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Account:
    """What was earned over all epochs, quote, and what was missed.

    Attributes
    ----------
    ours, incumbent
        Earned by the parameters in use, and by those at the very beginning had they never been changed.
    gain
        ``ours − incumbent``: what changing them was worth.
    static, dynamic
        Regret against the best fixed choice over all epochs, and against each epoch's own best.
    epochs
        How many.
    curves
        Cumulative ``gain``, ``static`` and ``dynamic`` after each epoch; static is against the choice that is best at
        the end.
    """

    epochs: int
    ours: float
    incumbent: float
    gain: Total
    static: Total
    dynamic: Total
    curves: dict[str, tuple[float, ...]]

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the curves."""
        found = asdict(self)
        del found["curves"]
        return found


@dataclass(frozen=True, slots=True)
class History:
    """The account as a report shows it.

    Attributes
    ----------
    ts
        End of each epoch, int64 nanoseconds.
    best_fixed
        The parameters that were best over all epochs, for people.
    compared, waiting
        Fixed sets that this is the best of, and sets not judged over all epochs yet; 0 where a message did not say.
    obstacle
        Why these wait still; empty: nothing keeps them.
    """

    ts: npt.NDArray[np.int64]
    account: Account
    best_fixed: str
    compared: int = 0
    waiting: int = 0
    obstacle: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the curves."""
        told = {"compared": self.compared, "waiting": self.waiting, "obstacle": self.obstacle}
        return {**self.account.to_json(), **told}


def account(
    ours: Sequence[float],
    incumbent: Sequence[float],
    fixed: Sequence[float],
    best: Sequence[float],
    seed: int = 0,
) -> Account:
    """The account of regret.

    Parameters
    ----------
    ours, incumbent
        Earned in each epoch, quote.
    fixed
        Earned in each epoch by the choice that is best over all of them.
    best
        Earned in each epoch by that epoch's best choice.
    seed
        Of the bootstrap.

    Raises
    ------
    UsageError
        If there is no epoch or the lengths differ.
    """
    mine, first, held, top = (np.asarray(values, np.float64) for values in (ours, incumbent, fixed, best))
    if not 0 < len(mine) == len(first) == len(held) == len(top):
        raise UsageError(f"regret needs the same epochs of all, had {len(mine)}, {len(first)}, {len(held)}, {len(top)}")
    series = {"gain": mine - first, "static": held - mine, "dynamic": top - mine}
    totals = {name: total(values, seed) for name, values in series.items()}
    curves = {name: tuple(np.cumsum(values).tolist()) for name, values in series.items()}
    return Account(len(mine), float(mine.sum()), float(first.sum()), curves=curves, **totals)


def total(values: F64, seed: int = 0, draws: int = _DRAWS) -> Total:
    """Sum with its interval: how it might have come out in as many like epochs."""
    count, summed = len(values), float(values.sum())
    if count < MIN_EPOCHS:
        return Total(summed, None, None)
    block = max(1, round(count ** (1.0 / 3.0)))
    rng = np.random.default_rng([seed, count])
    starts = rng.integers(0, count, (draws, -(-count // block)))
    rows = (starts[:, :, None] + np.arange(block)).reshape(draws, -1)[:, :count] % count
    lower, upper = np.quantile(values[rows].sum(axis=1), [0.025, 0.975])
    return Total(summed, float(lower), float(upper))

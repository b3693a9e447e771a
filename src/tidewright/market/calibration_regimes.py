"""Regimes of a tape: calm, trending and volatile stretches, how they differ and how they follow each other.

Stretches of five minutes are *volatile* if the realised variance of the mid (sum of its squared changes, sampled
every ten seconds) is among the highest fifth, else *trending* if the efficiency ratio |net change| / sum of |changes|
(Kaufman 1995) is among the highest three tenths of the rest, else *calm*. A regime multiplies the intensity of each
kind of order by what was counted in its stretches, relative to all; a trend leans on the pressure by half the log
ratio of market orders with and against it.

*Mean-reverting* is made, not measured: orders come as often as in calm stretches, and instead of the tape's pressure a
pull ``-k x / s`` leans on both sides, with ``x`` the mid less its own average of the last half hour (exponential
weights): the restoring force of an Ornstein-Uhlenbeck process (Uhlenbeck and Ornstein 1930), here on frequencies.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tidewright.market import calibration_flow as flow_of
from tidewright.market.calibration_flow import KINDS, TAKE, Flow
from tidewright.market.clock import SECOND
from tidewright.market.errors import UsageError
from tidewright.market.tape import F64, I64

REGIMES: Final = ("calm", "trending", "volatile")
REVERTING: Final = "mean-reverting"
STRETCH_NS: Final = 300 * SECOND
_STEPS: Final = 30
_LEAST: Final = 24  # stretches from which regimes are measured; below, the defaults stand


@dataclass(frozen=True, slots=True)
class Pull:
    """How the mid is drawn home.

    Attributes
    ----------
    strength
        Pressure where the mid is away by ``deviations``, > 0; three times as much is the most.
    seconds
        Time constant of the average that is home.
    deviations
        Distance, in deviations of the mid's change over 30 s on the tape; 4 are eight minutes of a random walk.
    """

    strength: float = 0.6
    seconds: float = 1800.0
    deviations: float = 4.0


@dataclass(frozen=True, slots=True)
class Regimes:
    """Attributes: ``rates`` float64[3, KINDS], multipliers; ``stay`` float64[3], mean stay, seconds; ``drift``
    float64[3], pressure;
    ``changes`` float64[3, 3], probabilities of the next regime; ``share`` float64[3], of the time; ``measured``: else
    defaults; ``pull``: what stands in for the tape's pressure, ``None``: the tape's; ``names`` of the rows.
    """

    rates: F64
    stay: F64
    drift: F64
    changes: F64
    share: F64
    measured: bool
    pull: Pull | None = None
    names: tuple[str, ...] = REGIMES

    def pinned(self, name: str) -> "Regimes":
        """The same, for ever in one regime.

        Raises
        ------
        UsageError
            If there is no such regime.
        """
        if name not in REGIMES:
            raise UsageError(f"regime must be one of {', '.join(REGIMES)}, was {name!r}")
        at = REGIMES.index(name)
        changes = np.zeros((3, 3))
        changes[:, at] = 1.0
        return Regimes(self.rates, self.stay, self.drift, changes, np.eye(3)[at], self.measured)

    def reverting(self, pull: Pull | None = None) -> "Regimes":
        """The calm regime for ever, with the mid drawn home: what :data:`REVERTING` asks for."""
        names = (REVERTING, *self.names[1:])
        return replace(self.pinned("calm"), drift=np.zeros(3), pull=pull or Pull(), names=names)


def _defaults() -> Regimes:
    """For tapes too short to measure: touch and market orders 0.8, 1.1 and 1.8 times as frequent, stays of 20, 15 and
    10 minutes.
    """
    rates = np.ones((3, KINDS))
    for e in (0, 4, 5, 8):
        rates[:, e] = (0.8, 1.1, 1.8)
    changes = np.array([[0.0, 0.5, 0.5], [0.6, 0.0, 0.4], [0.6, 0.4, 0.0]])
    return Regimes(
        rates, np.array([1200.0, 900.0, 600.0]), np.array([0.0, 0.25, 0.0]), changes, np.array([0.5, 0.3, 0.2]), False
    )


def measure_regimes(found: Flow) -> Regimes:
    """Regimes of a tape's order flow."""
    books, orders = found.books, found.orders
    if not books.shape[1]:
        return _defaults()
    start = int(books[flow_of.B_T, 0])
    count = int((books[flow_of.B_T, -1] - start) // STRETCH_NS)
    if count < _LEAST:
        return _defaults()
    label, direction = _labels(books, start, count)
    number = (orders[flow_of.T] - start) // STRETCH_NS
    inside = (number >= 0) & (number < count)
    kind, number = orders[flow_of.KIND][inside], number[inside]
    table = np.zeros((count, KINDS))
    np.add.at(table, (number, kind), 1.0)
    rates = np.ones((3, KINDS))
    for r in range(3):
        rates[r] = (table[label == r].mean(axis=0) + 1e-9) / (table.mean(axis=0) + 1e-9)
    rates = np.clip(rates, 0.1, 10.0)
    takes = kind == TAKE
    buys = np.bincount(number[takes], orders[flow_of.SIDE][inside][takes] == 1, count)
    all_takes = np.bincount(number[takes], minlength=count)
    trend = label == 1
    along = np.where(direction > 0, buys, all_takes - buys)[trend].sum()
    against = all_takes[trend].sum() - along
    lean = 0.5 * np.log((along + 1.0) / (against + 1.0))
    changes, stay = np.zeros((3, 3)), np.full(3, STRETCH_NS / SECOND)
    edges = np.flatnonzero(np.diff(label)) + 1
    runs = np.split(label, edges)
    for r in range(3):
        lengths = [len(run) for run in runs if run[0] == r]
        stay[r] = STRETCH_NS / SECOND * (float(np.mean(lengths)) if lengths else 1.0)
    np.add.at(changes, (label[edges - 1], label[edges]), 1.0)
    changes = (changes + 0.5 * (1 - np.eye(3))) / (changes + 0.5 * (1 - np.eye(3))).sum(axis=1, keepdims=True)
    share = np.bincount(label, minlength=3) / count
    return Regimes(rates, stay, np.array([0.0, max(0.0, lean), 0.0]), changes, share, True)


def _labels(books: I64, start: int, count: int) -> tuple[I64, I64]:
    """Regime and direction of every stretch."""
    times = start + np.arange(count * _STEPS + 1) * (STRETCH_NS // _STEPS)
    at = np.searchsorted(books[flow_of.B_T], times, "right") - 1
    mid2 = books[flow_of.B_BID, at] + books[flow_of.B_ASK, at]
    moves = np.diff(mid2).reshape(count, _STEPS).astype(np.float64)
    variance, path = (moves**2).sum(axis=1), np.abs(moves).sum(axis=1)
    net = moves.sum(axis=1)
    efficiency = np.abs(net) / np.maximum(path, 1.0)
    label = np.zeros(count, np.int64)
    volatile = variance > np.quantile(variance, 0.8)
    rest = ~volatile
    if rest.any():
        label[rest & (efficiency > np.quantile(efficiency[rest], 0.7))] = 1
    label[volatile] = 2
    return label, np.sign(net).astype(np.int64)

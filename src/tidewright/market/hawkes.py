"""Hawkes processes with state-dependent baselines: maximum likelihood by expectation-maximisation.

The model (Wu, Rambaldi, Muzy and Bacry 2019, "Queue-reactive Hawkes models for the order flow", in its multiplicative
form)::

    lambda_g(t) = f_g(X_t) * A_g(t)
    A_g(t) = p_g0 + sum_{j, k} p_gjk * (1 / m_j) sum_{t_i^j < t} beta_k exp(-beta_k (t - t_i^j))

``X_t`` is the state of the book, constant between events, ``m_j`` the mean rate of type ``j``; so every term of ``A``
has mean ``p`` and ``A`` is about 1 in the mean. With the decays ``beta`` given, the log-likelihood is concave in
``p`` and the expectation-maximisation step (Veen and Schoenberg 2008; each event was caused by the baseline or by one
of the terms, with probabilities in proportion) climbs to its maximum: ``p <- (sum of probabilities) / integral of f_g
* term``.

Both sides of the book share their parameters: a type is a (group, own or opposite side).
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from tidewright.market.tape import F64, I64

GROUPS: Final = 3  # touch (levels at and inside the best), depth (behind it), take (market orders)
TYPES: Final = 2 * GROUPS  # groups of the own side, then of the opposite side
DECAYS: Final = np.array([20.0, 2.0, 0.2, 0.02, 0.002])  # 1/s: 50 ms to 500 s

_OVER: Final = 1.7  # power of the update: over-relaxation, stable under 2 (Salakhutdinov and Roweis 2003)

_ENTRY: Final[dict[str, Any]] = {"cache": True, "no_cfunc_wrapper": True, "error_model": "numpy"}


class Excitation(NamedTuple):
    """Parameters of ``A``.

    Attributes
    ----------
    base
        float64[GROUPS], ``p_g0``.
    weights
        float64[GROUPS, TYPES, decays], ``p_gjk``; types 0 to 2 are the groups of the own side, 3 to 5 of the other.
    decays
        float64, ``beta_k``, 1/s.
    rates
        float64[GROUPS], ``m_j``: mean events a second of a group on one side.
    """

    base: F64
    weights: F64
    decays: F64
    rates: F64

    @property
    def branching(self) -> float:
        """Largest eigenvalue of the matrix of mean children, sides added up: below 1 the process is stationary."""
        total = self.weights.sum(axis=2)
        matrix = (total[:, :GROUPS] + total[:, GROUPS:]) * self.rates[:, None] / self.rates[None, :]
        return float(np.max(np.abs(np.linalg.eigvals(matrix))))

    def capped(self, most: float) -> "Excitation":
        """The same with a branching ratio of at most ``most``; what is taken from the weights goes to the base."""
        ratio = self.branching
        if ratio <= most:
            return self
        weights = self.weights * (most / ratio)
        lost = (self.weights - weights).sum(axis=(1, 2))
        return Excitation(self.base + lost, weights, self.decays, self.rates)


def fit_excitation(
    seconds: F64, dt: F64, group: I64, side: I64, rates_before: F64, decays: F64 = DECAYS, steps: int = 40
) -> tuple[Excitation, F64]:
    """Fit ``p`` by expectation-maximisation.

    Parameters
    ----------
    seconds
        float64[n], times of the events, rising.
    dt
        float64[n], observed time since the event before, seconds; less than the difference across gaps.
    group, side
        int64[n], 0 to 2 and 0 or 1.
    rates_before
        float64[n, 2, GROUPS], ``f_g`` of both sides in the interval that each event ends, 1/s.
    decays
        ``beta_k``, 1/s.
    steps
        Steps of expectation-maximisation.

    Returns
    -------
    The parameters, and float64[n, 2, GROUPS], the integral of ``A`` over each interval, seconds.
    """
    span = max(float(dt.sum()), 1e-9)
    counts = np.bincount(group, minlength=GROUPS).astype(np.float64)
    mean = np.maximum(counts, 1.0) / (2.0 * span)
    # slow terms hardly differ from the baseline: what the data does not tell apart is counted as baseline
    base = np.full(GROUPS, 0.9)
    weights = np.full((GROUPS, TYPES, len(decays)), 0.1 / (TYPES * len(decays)))
    integrals = np.zeros((len(seconds), 2, GROUPS))
    for step in range(steps + 1):
        got0, got = np.zeros(GROUPS), np.zeros_like(weights)
        cost0, cost = np.zeros(GROUPS), np.zeros_like(weights)
        _pass(seconds, dt, group, side, rates_before, decays, mean, base, weights, got0, got, cost0, cost, integrals)
        if step < steps:
            power = _OVER if step < steps - 3 else 1.0
            base = base * (got0 / np.maximum(cost0 * base, 1e-12)) ** power
            weights = weights * (got / np.maximum(cost * weights, 1e-12)) ** power
    return Excitation(base, weights, decays, mean), integrals


@njit(**_ENTRY)
def _pass(
    seconds: F64,
    dt: F64,
    group: I64,
    side: I64,
    rates: F64,
    decays: F64,
    mean: F64,
    base: F64,
    weights: F64,
    got0: F64,
    got: F64,
    cost0: F64,
    cost: F64,
    integrals: F64,
) -> None:
    """One pass over the events: probabilities of the causes, compensators, and the integral of A over each interval."""
    k_count = len(decays)
    level = np.zeros((2, GROUPS, k_count))  # the terms now, by side and group of the cause
    over = np.zeros((2, GROUPS, k_count))  # their integrals over the interval
    for i in range(len(seconds)):
        away = seconds[i] - seconds[i - 1] if i > 0 else 0.0
        for k in range(k_count):
            fade = np.exp(-decays[k] * away)
            unseen, seen = np.exp(-decays[k] * max(0.0, away - dt[i])), np.exp(-decays[k] * min(dt[i], away))
            for s in range(2):
                for j in range(GROUPS):
                    # what was observed of the interval is its end
                    over[s, j, k] = level[s, j, k] * unseen * (1.0 - seen) / decays[k]
                    level[s, j, k] *= fade
        for s in range(2):
            for g in range(GROUPS):
                f = rates[i, s, g]
                cost0[g] += f * dt[i]
                total = base[g] * dt[i]
                for t in range(TYPES):
                    source, j = (s, t) if t < GROUPS else (1 - s, t - GROUPS)
                    for k in range(k_count):
                        cost[g, t, k] += f * over[source, j, k]
                        total += weights[g, t, k] * over[source, j, k]
                integrals[i, s, g] = total
        g, s = group[i], side[i]
        whole = base[g]
        for t in range(TYPES):
            source, j = (s, t) if t < GROUPS else (1 - s, t - GROUPS)
            for k in range(k_count):
                whole += weights[g, t, k] * level[source, j, k]
        if whole > 0.0:
            got0[g] += base[g] / whole
            for t in range(TYPES):
                source, j = (s, t) if t < GROUPS else (1 - s, t - GROUPS)
                for k in range(k_count):
                    got[g, t, k] += weights[g, t, k] * level[source, j, k] / whole
        for k in range(k_count):
            level[s, g, k] += decays[k] / mean[g]

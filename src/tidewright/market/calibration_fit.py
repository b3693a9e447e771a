"""Corrections of a measured market by simulation (indirect inference; Gouriéroux, Monfort and Renault 1993).

A feed hides what happens between two of its messages, and the state that intensities depend on is a projection of the
book: simulated with the intensities as measured, some orders come too often or too rarely. Each round simulates a
market, measures its orders as the tape's were measured, and moves

* the scale of every kind's intensity by the ratio of the frequencies, and
* the pressure by the log ratio of the mid's standard deviations over one horizon,

with steps that shrink (Robbins and Monro 1951). What is left is in the comparison of the two tapes, not hidden.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from tidewright.market import calibration_flow as flow_of
from tidewright.market.calibration import Profile, measured_flow, mid_changes, observed_time
from tidewright.market.calibration_flow import KINDS, TAKE, Flow, order_flow
from tidewright.market.clock import SECOND
from tidewright.market.queue_reactive import LikeGenerator
from tidewright.market.tape import Columns, concatenate

ROUNDS: Final = 10
_ORDERS: Final = 50_000  # orders to simulate a round, if the frequencies were right already
_MOST_ORDERS: Final = 500_000
_PRESSURE: Final = 1.5  # largest strength
_LEAST_CHANGES: Final = 120


def frequencies(found: Flow) -> np.ndarray:
    """Orders of each kind a second, a market order once; float64[KINDS]."""
    o = found.orders[:, (found.orders[flow_of.KIND] != TAKE) | (found.orders[flow_of.GROUP] == 0)]
    seconds = max(1e-9, float(observed_time(o).sum()))
    return np.bincount(o[flow_of.KIND], minlength=KINDS) / seconds


def horizon_ns(seconds: float) -> int:
    """Horizon at which volatility is matched: a minute, ten seconds on tapes under an hour."""
    return (60 if seconds >= 3600 else 10) * SECOND


def refine(
    profile: Profile,
    data: Columns,
    seed: int = 1,
    rounds: int = ROUNDS,
    progress: Callable[[float], None] | None = None,
) -> Profile:
    """Correct a profile until markets simulated with it show the tape's frequencies and volatility.

    Parameters
    ----------
    profile
        What :func:`tidewright.market.calibration.calibrate` measured on ``data``.
    data
        The tape's rows.
    seed
        Seed of the simulations.
    rounds
        Simulations.
    progress
        Told the share done.
    """
    _, found = measured_flow(data)
    horizon = horizon_ns(profile.seconds)
    aim = _volatility(found, horizon)
    goal = frequencies(found)
    seconds = max(_ORDERS / max(goal.sum(), 1e-9), _LEAST_CHANGES * horizon / SECOND)
    scale, tilt = profile.scale.copy(), profile.tilt
    kept_scale, kept_tilt, kept = np.zeros(KINDS), 0.0, 0
    for k in range(rounds):
        now = replace(profile, scale=scale, tilt=tilt)
        made = _simulate(now, seconds, seed + k)
        got = frequencies(made)
        gain = 0.6 if k < rounds // 2 else 0.3
        ratio = np.where((goal > 0) & (got > 0), goal / np.maximum(got, 1e-12), 1.0)
        scale = np.clip(scale * np.clip(ratio, 0.2, 5.0) ** gain, 1e-3, 1e3)
        moved = _volatility(made, horizon)
        if aim > 0 and moved > 0:
            tilt = float(np.clip(tilt + gain * np.log(aim / moved), -_PRESSURE, _PRESSURE))
        if k >= rounds // 2:
            kept_scale += np.log(scale)
            kept_tilt += tilt
            kept += 1
        if progress is not None:
            progress((k + 1) / rounds)
    if kept:
        scale, tilt = np.exp(kept_scale / kept), kept_tilt / kept
    return replace(profile, scale=scale, tilt=tilt)


def _simulate(profile: Profile, seconds: float, seed: int) -> Flow:
    generator = LikeGenerator(profile, seconds / 3600, seed)
    parts: list[Columns] = []
    for part in generator:
        parts.append(part)
        if generator.orders > _MOST_ORDERS:
            break
    return order_flow(concatenate(parts), profile.feed.batch_ns, locks=profile.feed.locks)


def _volatility(found: Flow, horizon: int) -> float:
    """Standard deviation of the mid's changes over a horizon, ticks; its largest 0.3 % are cut to their edge."""
    size = np.abs(mid_changes(found.books, horizon))
    if len(size) < 5:
        return 0.0
    return float(np.sqrt(np.mean(np.minimum(size, np.quantile(size, 0.997)) ** 2)))

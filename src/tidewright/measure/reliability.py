"""Did confidence scores come true? Brier score, its parts, the calibration curve, and what chance does to them.

Bins are exact for forecasts that take few values and tenths otherwise; the decomposition is Murphy's (1973),
``Brier = reliability − resolution + uncertainty``, exact when every bin holds one forecast value.

A tie is half a success and half a failure: ``((p − 1)² + p²)/2``. Otherwise a coin would score less than 0.25 where
there are ties, and any forecast would seem to have skill.

The calibration error of a perfect forecaster is not 0: with 300 forecasts in ten bins it is 0.058 in the mean. So it is
held against the band that perfect forecasts of the same values would show (:func:`perfect_band`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

COIN: Final = 0.25  # Brier score of always saying one half
_MOST_VALUES: Final = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Forecasts close to each other.

    Attributes
    ----------
    forecast
        Their mean, 0 to 1.
    outcome
        Share of them that came true, 0 to 1.
    count
        How many.
    """

    forecast: float
    outcome: float
    count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How far probabilities can be believed.

    Attributes
    ----------
    count
        Forecasts whose outcome is known.
    brier
        Mean squared distance of forecast and outcome (0 perfect; 0.25 is what always saying 0.5 gets).
    base_rate
        Share of outcomes that came true.
    reliability, resolution, uncertainty
        Parts of the Brier score: miscalibration (lower is better), separation (higher is better), ``base (1 − base)``.
    calibration_error
        Mean absolute distance of forecast and outcome over the bins, weighted by count (ECE).
    bins
        The calibration curve.
    """

    count: int
    brier: float
    base_rate: float
    reliability: float
    resolution: float
    uncertainty: float
    calibration_error: float
    bins: tuple[Bin, ...]

    @property
    def skill(self) -> float:
        """``1 − brier/0.25``: above 0 is better than always saying one half."""
        return 1.0 - self.brier / COIN

    @property
    def skill_over_base(self) -> float:
        """``1 − brier/uncertainty``: above 0 is better than having known the share of successes, and only that.

        NaN where all outcomes are alike.
        """
        return 1.0 - self.brier / self.uncertainty if self.uncertainty > 0 else math.nan


@dataclass(frozen=True, slots=True)
class Band:
    """Calibration error of forecasts that are exactly right, by chance alone.

    Attributes
    ----------
    mean, upper
        Its mean, and what it exceeds in one case of twenty.
    """

    mean: float
    upper: float


def plain(found: Reliability | None) -> dict[str, Any]:
    """What a message carries: plain values, null where undefined."""
    if found is None:
        names = ("brier", "skill", "reliability", "resolution", "uncertainty", "ece")
        return {"n": 0, **dict.fromkeys(names), "bins": []}
    figures = {
        "brier": found.brier,
        "skill": found.skill,
        "reliability": found.reliability,
        "resolution": found.resolution,
        "uncertainty": found.uncertainty,
        "ece": found.calibration_error,
    }
    curve = [{"forecast": round(b.forecast, 6), "frequency": round(b.outcome, 6), "n": b.count} for b in found.bins]
    return {"n": found.count, **{name: round(value, 6) for name, value in figures.items()}, "bins": curve}


def of_plain(told: object) -> Reliability | None:
    """What :func:`plain` said, read back from a message; ``None`` where nothing was judged or it is malformed."""
    if not isinstance(told, Mapping):
        return None
    number = _numbers(told)
    count = int(number.get("n", 0.0))
    if count < 1 or "brier" not in number:
        return None
    listed = told.get("bins")
    parts = [_numbers(part) for part in listed if isinstance(part, Mapping)] if isinstance(listed, list) else []
    bins = tuple(
        Bin(part["forecast"], part["frequency"], int(part["n"]))
        for part in parts
        if {"forecast", "frequency", "n"} <= set(part)
    )
    known = sum(b.count for b in bins)
    base = sum(b.outcome * b.count for b in bins) / known if known else math.nan
    miss, apart, unsure, error = (
        number.get(name, math.nan) for name in ("reliability", "resolution", "uncertainty", "ece")
    )
    return Reliability(count, number["brier"], base, miss, apart, unsure, error, bins)


def _numbers(told: Mapping[Any, Any]) -> dict[str, float]:
    return {
        str(name): float(value)
        for name, value in told.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def assess(forecasts: npt.ArrayLike, outcomes: npt.ArrayLike) -> Reliability | None:
    """Reliability of forecasts; ``None`` without any.

    Parameters
    ----------
    forecasts
        Probabilities, 0 to 1.
    outcomes
        Whether each came true, 0 or 1; 0.5 a tie.

    Raises
    ------
    UsageError
        If the lengths differ, or a forecast or an outcome lies outside 0 to 1.
    """
    p, y = np.asarray(forecasts, np.float64), np.asarray(outcomes, np.float64)
    if p.shape != y.shape:
        raise UsageError(f"as many outcomes as forecasts are needed, had {len(y)} and {len(p)}")
    if len(p) == 0:
        return None
    if not bool(np.all((p >= 0) & (p <= 1))):
        raise UsageError("a forecast must be a probability, 0 to 1")
    if not bool(np.all((y >= 0) & (y <= 1))):
        raise UsageError("an outcome must be 1, 0 or, for a tie, 0.5")
    group = _groups(p)
    bins = tuple(
        Bin(float(p[group == g].mean()), float(y[group == g].mean()), int((group == g).sum()))
        for g in range(int(group.max()) + 1)
    )
    weight = np.array([b.count for b in bins]) / len(p)
    forecast, outcome = np.array([b.forecast for b in bins]), np.array([b.outcome for b in bins])
    base = float(y.mean())
    return Reliability(
        len(p),
        float(_lost(p, y).mean()),
        base,
        float((weight * (forecast - outcome) ** 2).sum()),
        float((weight * (outcome - base) ** 2).sum()),
        base * (1.0 - base),
        float((weight * np.abs(forecast - outcome)).sum()),
        bins,
    )


def perfect_band(forecasts: npt.ArrayLike, rng: np.random.Generator, draws: int = 2000) -> Band:
    """What calibration error these forecasts would show if each came true exactly as often as it says.

    Outcomes are drawn from the forecasts, and binned as :func:`assess` bins them.

    Raises
    ------
    UsageError
        Without forecasts.
    """
    p = np.asarray(forecasts, np.float64)
    if len(p) == 0:
        raise UsageError("a band needs at least one forecast")
    group = _groups(p)
    count = np.bincount(group)
    said = np.bincount(group, p)
    errors = np.empty(draws)
    for draw in range(draws):
        came = np.bincount(group, rng.random(len(p)) < p, len(count))
        errors[draw] = np.abs(came - said).sum() / len(p)
    return Band(float(errors.mean()), float(np.quantile(errors, 0.95)))


def skill_interval(
    forecasts: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    blocks: npt.ArrayLike,
    rng: np.random.Generator,
    draws: int = 2000,
    over_base: bool = False,
) -> tuple[float, float]:
    """Central 95 % bootstrap interval of the Brier skill; whole blocks are resampled.

    Parameters
    ----------
    blocks
        Label of each forecast: forecasts of one stretch of market share it, for they are not independent.
    over_base
        The skill over the share of successes (of each resample) instead of the skill over one half.

    Raises
    ------
    UsageError
        If there are fewer than two blocks.
    """
    p, y = np.asarray(forecasts, np.float64), np.asarray(outcomes, np.float64)
    names, place = np.unique(np.asarray(blocks), return_inverse=True)
    if len(names) < 2:
        raise UsageError(f"an interval needs two blocks of forecasts, had {len(names)}")
    count = np.bincount(place).astype(np.float64)
    lost, won = np.bincount(place, _lost(p, y)), np.bincount(place, y)
    chosen = rng.integers(0, len(names), (draws, len(names)))
    size = count[chosen].sum(axis=1)
    brier, base = lost[chosen].sum(axis=1) / size, won[chosen].sum(axis=1) / size
    against = base * (1.0 - base) if over_base else np.full(draws, COIN)
    if float(against.min()) <= 0.0:
        return math.nan, math.nan  # a resample in which all outcomes are alike
    low, high = np.quantile(1.0 - brier / against, [0.025, 0.975])
    return float(low), float(high)


def _lost(p: F64, y: F64) -> F64:
    """Brier score of each forecast; a tie is half a success and half a failure, so that a coin gets 0.25 of it too."""
    return (p - y) ** 2 + y * (1.0 - y)


def _groups(p: F64) -> npt.NDArray[np.int64]:
    values, group = np.unique(p, return_inverse=True)
    if len(values) > _MOST_VALUES:
        _, group = np.unique(np.minimum(np.floor(p * 10 + 1e-9), 9), return_inverse=True)
    return np.asarray(group, np.int64)

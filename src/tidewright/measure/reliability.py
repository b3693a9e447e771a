"""Did confidence scores come true? Brier score, its parts, and the calibration curve.

Bins are exact for forecasts that take few values and tenths otherwise; the decomposition is Murphy's (1973),
``Brier = reliability − resolution + uncertainty``, exact when every bin holds one forecast value.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

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
        If the lengths differ or a forecast is not a probability.
    """
    p, y = np.asarray(forecasts, np.float64), np.asarray(outcomes, np.float64)
    if p.shape != y.shape:
        raise UsageError(f"as many outcomes as forecasts are needed, had {len(y)} and {len(p)}")
    if len(p) == 0:
        return None
    if not bool(np.all((p >= 0) & (p <= 1))):
        raise UsageError("a forecast must be a probability, 0 to 1")
    values, group = np.unique(p, return_inverse=True)
    if len(values) > _MOST_VALUES:
        _, group = np.unique(np.minimum(np.floor(p * 10), 9), return_inverse=True)
    bins = tuple(
        Bin(float(p[group == g].mean()), float(y[group == g].mean()), int((group == g).sum()))
        for g in range(int(group.max()) + 1)
    )
    weight = np.array([b.count for b in bins]) / len(p)
    forecast, outcome = np.array([b.forecast for b in bins]), np.array([b.outcome for b in bins])
    base = float(y.mean())
    return Reliability(
        len(p),
        float(((p - y) ** 2).mean()),
        base,
        float((weight * (forecast - outcome) ** 2).sum()),
        float((weight * (outcome - base) ** 2).sum()),
        base * (1.0 - base),
        float((weight * np.abs(forecast - outcome)).sum()),
        bins,
    )

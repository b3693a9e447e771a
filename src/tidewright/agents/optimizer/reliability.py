"""Did it come true? Forecasts beside outcomes, and the correction that follows from them."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]

BINS: Final = 10
PRIOR_SHIFT: Final = 0.5  # prior deviation of the calibration's offset, in logits
PRIOR_SLOPE: Final = 0.5  # prior deviation of its slope around 1
_EDGE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Score:
    """Quality of probability forecasts (Brier 1950; decomposition of Murphy 1973).

    Attributes
    ----------
    n
        Forecasts with a known outcome.
    brier
        Mean squared difference of forecast and outcome; always saying 1/2 scores 0.25. NaN for none.
    skill
        1 − brier/0.25: above 0 is better than always saying 1/2.
    reliability, resolution, uncertainty
        ``brier = reliability − resolution + uncertainty``, exactly if forecasts within a bin are equal and no outcome
        is a tie.
    ece
        Expected calibration error: mean distance of forecast and frequency over bins, weighted by their counts.
    bins
        Calibration curve: (mean forecast, frequency of success, count) of each bin that has forecasts.
    """

    n: int
    brier: float
    skill: float
    reliability: float
    resolution: float
    uncertainty: float
    ece: float
    bins: tuple[tuple[float, float, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is undefined is null."""
        names = ("brier", "skill", "reliability", "resolution", "uncertainty", "ece")
        figures = {name: None if np.isnan(getattr(self, name)) else round(getattr(self, name), 6) for name in names}
        curve = [{"forecast": round(f, 6), "frequency": round(o, 6), "n": n} for f, o, n in self.bins]
        return {"n": self.n, **figures, "bins": curve}


def score(forecasts: F64, outcomes: F64, bins: int = BINS) -> Score:
    """Score of forecasts.

    Parameters
    ----------
    forecasts
        Probabilities, 0 to 1.
    outcomes
        1 came true, 0 did not, 0.5 a tie.

    Raises
    ------
    UsageError
        If the lengths differ or a value is outside [0, 1].
    """
    n = len(forecasts)
    if n != len(outcomes):
        raise UsageError(f"{n} forecasts have {len(outcomes)} outcomes")
    if n == 0:
        nan = float("nan")
        return Score(0, nan, nan, nan, nan, nan, nan, ())
    if not (np.all((forecasts >= 0) & (forecasts <= 1)) and np.all((outcomes >= 0) & (outcomes <= 1))):
        raise UsageError("forecasts and outcomes must be within 0 and 1")
    brier = float(((forecasts - outcomes) ** 2).mean())
    place = np.minimum((forecasts * bins + 1e-9).astype(np.int64), bins - 1)
    base = float(outcomes.mean())
    curve = tuple(
        (float(forecasts[place == k].mean()), float(outcomes[place == k].mean()), int((place == k).sum()))
        for k in np.unique(place)
    )
    return Score(
        n=n,
        brier=brier,
        skill=1.0 - brier / 0.25,
        reliability=sum(count * (f - o) ** 2 for f, o, count in curve) / n,
        resolution=sum(count * (o - base) ** 2 for _, o, count in curve) / n,
        uncertainty=base * (1.0 - base),
        ece=sum(count * abs(f - o) for f, o, count in curve) / n,
        bins=curve,
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Correction of a forecast: ``logit(q) = shift + slope·logit(p)``; without experience q = p."""

    shift: float = 0.0
    slope: float = 1.0

    def apply(self, forecast: float) -> float:
        """The corrected probability."""
        return float(_sigmoid(np.array([self.shift + self.slope * float(_logit(np.array([forecast]))[0])]))[0])


def calibrate(forecasts: F64, outcomes: F64) -> Calibration:
    """Most probable correction: logistic regression of outcomes on forecasts (Platt 1999) with a prior at "no change".

    The priors, shift ~ N(0, 0.5²) and slope ~ N(1, 0.5²), keep a handful of outcomes from turning the forecasts upside
    down; a slope under 0 is taken as 0 (the forecasts say nothing). Newton's method on a concave function.
    """
    if len(forecasts) == 0:
        return Calibration()
    x = _logit(forecasts)
    design = np.stack([np.ones_like(x), x], axis=1)
    prior, precision = np.array([0.0, 1.0]), np.diag([PRIOR_SHIFT**-2, PRIOR_SLOPE**-2])
    weights = prior.copy()
    for _ in range(50):
        p = _sigmoid(design @ weights)
        gradient = design.T @ (outcomes - p) - precision @ (weights - prior)
        hessian = (design.T * (p * (1.0 - p))) @ design + precision
        step = np.clip(np.linalg.solve(hessian, gradient), -1.0, 1.0)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-10:
            break
    return Calibration(float(weights[0]), max(0.0, float(weights[1])))


def _logit(p: F64) -> F64:
    inside = np.clip(p, _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(inside / (1.0 - inside)), np.float64)


def _sigmoid(x: F64) -> F64:
    return np.asarray(1.0 / (1.0 + np.exp(-x)), np.float64)

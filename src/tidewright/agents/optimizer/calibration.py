"""What came true corrects what is said next, and quickly where the correction itself has changed."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.measure.change import Cusum

F64 = npt.NDArray[np.float64]

PRIOR_SHIFT: Final = 0.3  # prior deviation of the map's offset, in logits
PRIOR_SLOPE: Final = 0.3  # prior deviation of its two slopes around 1
HALF_LIFE: Final = 400.0  # outcomes after which one counts half
WRONG_LIMIT: Final = 5.0  # CUSUM limit of forecasts that come out wrong: one false alarm in about 465 outcomes
AFTER_CHANGE: Final = 0.05  # weight left to outcomes from before a change of the map
FEWEST: Final = 10  # outcomes since a change that are needed before older ones are set aside
_EDGE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """Correction of a forecast: ``logit q = c + a·ln p − b·ln(1 − p)``; without experience q = p.

    Attributes
    ----------
    shift
        c.
    rise, fall
        a and b, >= 0; equal, they are the slope of Platt's correction.
    changed
        Outcomes since the map was found to have changed; 0: never.
    """

    shift: float = 0.0
    rise: float = 1.0
    fall: float = 1.0
    changed: int = 0

    def apply(self, forecast: float) -> float:
        """The corrected probability."""
        design = _design(np.array([forecast]))
        return float(_sigmoid(design @ np.array([self.shift, self.rise, self.fall]))[0])


def calibrate(forecasts: F64, outcomes: F64, half_life: float = HALF_LIFE) -> Calibration:
    """The most probable correction of forecasts in the order in which they came true.

    Beta calibration (Kull, Silva Filho and Flach 2017, equation 6) by discounted logistic regression with priors at "no
    change", ``c ~ N(0, 0.3²)``, ``a, b ~ N(1, 0.3²)``: a handful of outcomes cannot turn forecasts upside down. An
    outcome of age n counts ``2^(−n/half_life)``. Where corrected forecasts keep coming out too high or too low (a CUSUM
    of ``(outcome − q)/√(q(1 − q))``), the map has changed: what came before weighs a twentieth from then on.

    Parameters
    ----------
    forecasts
        Raw probabilities, 0 to 1.
    outcomes
        1 came true, 0 did not, 0.5 a tie.
    """
    count = len(forecasts)
    if count == 0:
        return Calibration()
    weights = 0.5 ** (np.arange(count)[::-1] / half_life)
    since = _changed(forecasts, outcomes)
    weights[: count - since] *= AFTER_CHANGE if since else 1.0
    shift, rise, fall = _fit(_design(forecasts), outcomes, weights)
    return Calibration(shift, rise, fall, since)


def _changed(forecasts: F64, outcomes: F64) -> int:
    """How many of the last outcomes came since the newest change of the map; 0: none was told.

    Told are changes against the map of all outcomes up to 50 before, renewed every 25.
    """
    cusum, since, fitted = Cusum(h=WRONG_LIMIT), 0, Calibration()
    for index in range(len(forecasts)):
        if index % 25 == 0 and index >= 50:
            first = max(0, since)
            if index - first >= 50:
                design = _design(forecasts[first:index])
                fitted = Calibration(*_fit(design, outcomes[first:index], np.ones(index - first)))
        q = min(max(fitted.apply(float(forecasts[index])), 0.05), 0.95)
        began = cusum.update(float(outcomes[index] - q) / (q * (1.0 - q)) ** 0.5)
        if began:
            since = index + 1 - began
            fitted = Calibration()
    return len(forecasts) - since if since and len(forecasts) - since >= FEWEST else 0


def _fit(design: F64, outcomes: F64, weights: F64) -> tuple[float, float, float]:
    """Newton's method on a concave function."""
    prior = np.array([0.0, 1.0, 1.0])
    precision = np.diag([PRIOR_SHIFT**-2, PRIOR_SLOPE**-2, PRIOR_SLOPE**-2])
    found = prior.copy()
    for _ in range(50):
        p = _sigmoid(design @ found)
        gradient = design.T @ (weights * (outcomes - p)) - precision @ (found - prior)
        hessian = (design.T * (weights * p * (1.0 - p))) @ design + precision
        step = np.clip(np.linalg.solve(hessian, gradient), -1.0, 1.0)
        found = found + step
        if float(np.abs(step).max()) < 1e-10:
            break
    return float(found[0]), max(0.0, float(found[1])), max(0.0, float(found[2]))


def _design(p: F64) -> F64:
    inside = np.clip(p, _EDGE, 1.0 - _EDGE)
    return np.stack([np.ones_like(inside), np.log(inside), -np.log1p(-inside)], axis=1)


def _sigmoid(x: F64) -> F64:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -40.0, 40.0))), np.float64)

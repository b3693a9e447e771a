"""What came true corrects what is said next, and quickly where the correction itself has changed."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.measure.change import Cusum

F64 = npt.NDArray[np.float64]

PRIOR_SHIFT: Final = 0.4  # prior deviation of the map's offset, in logits
PRIOR_SLOPE: Final = 0.4  # prior deviation of its two slopes around 1
HALF_LIFE: Final = 1500.0  # outcomes after which one counts half
WRONG_ALLOWANCE: Final = 0.25  # CUSUM of forecasts that come out wrong: with this limit one false alarm in about 2,800
WRONG_LIMIT: Final = 12.0
AFTER_CHANGE: Final = 0.05  # weight left to outcomes from before a change of the map
RENEWED: Final = 25  # outcomes after which the map that is watched is learned anew
PRIOR_STEPS: Final = 21  # forecasts, spread over 0 to 1, that count as come true as often as they say ...
PRIOR_WEIGHT: Final = 40.0  # ... so many times each, before the smooth map may be bent into steps
CALIBRATED_BOUND: Final = 0.005  # no corrected confidence nearer to 0 or 1 than this
_EDGE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Calibration:
    """Correction of a forecast: ``logit q = c + a·ln p − b·ln(1 − p)``, then ``steps``; without experience q = p.

    Attributes
    ----------
    shift
        c.
    rise, fall
        a and b, >= 0; equal, they are the slope of Platt's correction.
    changed
        Outcomes since the map was found to have changed; 0: never.
    steps
        A rising curve as points (q, what is said instead), linear in between; empty: q stands.
    """

    shift: float = 0.0
    rise: float = 1.0
    fall: float = 1.0
    changed: int = 0
    steps: tuple[tuple[float, float], ...] = ()

    def apply(self, forecast: float) -> float:
        """The corrected probability."""
        design = _design(np.array([forecast]))
        smooth = float(_sigmoid(design @ np.array([self.shift, self.rise, self.fall]))[0])
        if not self.steps:
            return smooth
        x, y = zip(*self.steps, strict=True)
        return float(np.interp(smooth, x, y))


class Recalibrator:
    """Learns the correction from outcomes, one at a time, and notices when it has changed.

    Beta calibration (Kull, Silva Filho and Flach 2017, equation 6) by discounted logistic regression with priors at "no
    change", ``c ~ N(0, 0.4²)``, ``a, b ~ N(1, 0.4²)``: a handful of outcomes cannot turn forecasts upside down. An
    outcome of age n counts ``2^(−n/half_life)``. Where corrected forecasts keep coming out too high or too low (a CUSUM
    of ``(outcome − q)/√(q(1 − q))``), the map has changed: what came before weighs a twentieth from then on.

    What no smooth curve follows is left to isotonic regression (Zadrozny and Elkan 2002) of the outcomes on the
    corrected forecasts, with the same weights and 840 made-up outcomes that say the smooth curve is right: with few
    outcomes it changes nothing, with thousands it follows them.
    """

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        self._half_life = half_life
        self._forecasts: list[float] = []
        self._outcomes: list[float] = []
        self._since = 0  # index of the first outcome since the newest change
        self._cusum = Cusum(WRONG_ALLOWANCE, WRONG_LIMIT)
        self._watched = Calibration()  # the map that outcomes are held against

    def tell(self, forecast: float, outcome: float) -> None:
        """A raw forecast and what came: 1 true, 0 not, 0.5 a tie."""
        q = min(max(self._watched.apply(forecast), 0.05), 0.95)
        self._forecasts.append(forecast)
        self._outcomes.append(outcome)
        count = len(self._outcomes)
        if began := self._cusum.update(float(outcome - q) / (q * (1.0 - q)) ** 0.5):
            self._since = count - began
            self._watched = Calibration()
        elif (count - self._since) % RENEWED == 0:
            self._watched = self.calibration()

    def calibration(self) -> Calibration:
        """The most probable correction now."""
        count = len(self._outcomes)
        if count == 0:
            return Calibration()
        weights = 0.5 ** (np.arange(count)[::-1] / self._half_life)
        weights[: self._since] *= AFTER_CHANGE
        design, outcomes = _design(np.array(self._forecasts)), np.array(self._outcomes)
        shift, rise, fall = _fit(design, outcomes, weights)
        steps = _steps(_sigmoid(design @ np.array([shift, rise, fall])), outcomes, weights)
        return Calibration(shift, rise, fall, count - self._since if self._since else 0, steps)


def calibrate(forecasts: F64, outcomes: F64) -> Calibration:
    """The correction that forecasts suggest, in the order in which they came true: see :class:`Recalibrator`."""
    learner = Recalibrator()
    for forecast, outcome in zip(forecasts, outcomes, strict=True):
        learner.tell(float(forecast), float(outcome))
    return learner.calibration()


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


def _steps(smooth: F64, outcomes: F64, weights: F64) -> tuple[tuple[float, float], ...]:
    """The rising curve nearest to the outcomes and to the smooth map; the ends of each of its flat pieces."""
    from scipy.optimize import isotonic_regression

    believed = np.linspace(0.0, 1.0, PRIOR_STEPS)
    x = np.concatenate([smooth, believed])
    weight = np.concatenate([weights, np.full(PRIOR_STEPS, PRIOR_WEIGHT)])
    places, group = np.unique(x, return_inverse=True)  # what was foretold alike is answered alike
    mass = np.bincount(group, weight)
    mean = np.bincount(group, weight * np.concatenate([outcomes, believed])) / mass
    curve = np.asarray(isotonic_regression(mean, weights=mass).x, np.float64)
    turns = np.flatnonzero(np.diff(curve) != 0.0)
    kept = np.unique(np.concatenate([[0], turns, turns + 1, [len(curve) - 1]]))
    return tuple((float(places[at]), float(curve[at])) for at in kept)


def _design(p: F64) -> F64:
    inside = np.clip(p, _EDGE, 1.0 - _EDGE)
    return np.stack([np.ones_like(inside), np.log(inside), -np.log1p(-inside)], axis=1)


def _sigmoid(x: F64) -> F64:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -40.0, 40.0))), np.float64)

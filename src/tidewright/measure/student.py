"""Tail of Student's t distribution, for p-values of a mean, without scipy.

Uses the identity ``P(T > t) = I_x(df/2, 1/2) / 2`` with ``x = df/(df + t^2)`` (Abramowitz and Stegun 26.7.1), where
``I`` is the regularised incomplete beta function, evaluated by its continued fraction (26.5.8) in Lentz's form.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

_TINY: Final = 1e-300
_STEPS: Final = 400
_lgamma = np.vectorize(math.lgamma, otypes=[np.float64])


def _fraction(a: F64, b: F64, x: F64) -> F64:
    """Continued fraction of the incomplete beta function; converges fast for ``x < (a + 1)/(a + b + 2)``."""
    c = np.ones_like(x)
    d = 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / np.where(np.abs(d) < _TINY, _TINY, d)
    value = d.copy()
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        change = np.ones_like(x)
        for term in (even, odd):
            d = 1.0 + term * d
            d = 1.0 / np.where(np.abs(d) < _TINY, _TINY, d)
            c = 1.0 + term / c
            c = np.where(np.abs(c) < _TINY, _TINY, c)
            change = c * d
            value = value * change
        if bool(np.all(np.abs(change - 1.0) < 1e-15)):
            break
    return value


def regularised_beta(a: npt.ArrayLike, b: npt.ArrayLike, x: npt.ArrayLike) -> F64:
    """Regularised incomplete beta function ``I_x(a, b)``.

    Parameters
    ----------
    a, b
        Shapes, > 0.
    x
        Upper limit, 0 to 1.

    Returns
    -------
    float64 array of the broadcast shape, 0 to 1.
    """
    p, q, upper = (np.array(v, np.float64) for v in np.broadcast_arrays(a, b, x))
    swap = upper > (p + 1.0) / (p + q + 2.0)
    p, q = np.where(swap, q, p), np.where(swap, p, q)
    z = np.where(swap, 1.0 - upper, upper)
    inside = (z > 0.0) & (z < 1.0)
    safe = np.where(inside, z, 0.5)
    front = np.exp(_lgamma(p + q) - _lgamma(p) - _lgamma(q) + p * np.log(safe) + q * np.log1p(-safe)) / p
    part = np.where(inside, front * _fraction(p, q, safe), np.where(z <= 0.0, 0.0, 1.0))
    return np.where(swap, 1.0 - part, part)


def t_tail(t: npt.ArrayLike, df: npt.ArrayLike) -> F64:
    """Upper tail ``P(T > t)`` of Student's t distribution.

    Parameters
    ----------
    t
        Test statistic; NaN gives NaN.
    df
        Degrees of freedom, > 0; where it is not, the result is NaN.

    Returns
    -------
    float64 array of the broadcast shape, 0 to 1.
    """
    statistic, degrees = (np.array(v, np.float64) for v in np.broadcast_arrays(t, df))
    known = np.isfinite(statistic) & (degrees > 0)
    safe_t, safe_df = np.where(known, statistic, 0.0), np.where(known, degrees, 1.0)
    half = 0.5 * regularised_beta(safe_df / 2.0, 0.5, safe_df / (safe_df + safe_t * safe_t))
    tail = np.where(safe_t >= 0.0, half, 1.0 - half)
    tail = np.where(np.isposinf(statistic), 0.0, np.where(np.isneginf(statistic), 1.0, tail))
    return np.where((known | np.isinf(statistic)) & (degrees > 0), tail, np.nan)

"""Expected hypervolume improvement of independent normals, exact for any number of objectives.

The improvement of a point y over a front is the volume of what is dominated by y and not by the front; cut into boxes
[l, u) it is the sum over boxes of the product over objectives of ``(u - y)^+ - (l - y)^+``, and for independent normals
the expectation of a product is the product of expectations: ``E[(a - y)^+] = (a - μ)Φ(z) + σφ(z)``, z = (a - μ)/σ
(Emmerich, Giannakoglou and Naujoks 2006; in boxes as in Yang, Emmerich, Deutz and Bäck 2019). With one objective it is
the expected improvement of Jones, Schonlau and Welch (1998).
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr, ndtr

F64 = npt.NDArray[np.float64]

_TINY: Final = 1e-12
_CHUNK: Final = 4_000_000  # numbers in a temporary array


def expected_improvement(mean: F64, deviation: F64, lows: F64, highs: F64) -> F64:
    """Expected improvement of candidates with means and deviations (p, m) over boxes (b, m); shape (p,)."""
    candidates = len(mean)
    total = np.zeros(candidates)
    step = max(1, _CHUNK // max(1, len(lows)))
    for start in range(0, candidates, step):
        part = slice(start, start + step)
        product = np.ones((len(mean[part]), len(lows)))
        for objective in range(mean.shape[1]):
            edges, place = np.unique(np.concatenate([lows[:, objective], highs[:, objective]]), return_inverse=True)
            below = _below(edges, mean[part, objective], deviation[part, objective])
            product *= below[:, place[len(lows) :]] - below[:, place[: len(lows)]]
        total[part] = product.sum(axis=1)
    return total


def _below(edges: F64, mean: F64, deviation: F64) -> F64:
    """E[(edge - y)^+], shape (p, edges); 0 for an edge at -inf."""
    spread = np.maximum(deviation, _TINY)[:, None]
    finite = np.where(np.isfinite(edges), edges, 0.0)[None, :]
    z = (finite - mean[:, None]) / spread
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return np.where(np.isfinite(edges)[None, :], spread * (z * ndtr(z) + density), 0.0)


def log_feasibility(mean: F64, deviation: F64) -> F64:
    """Logarithm of the probability that all excesses (p, c) are at most 0; shape (p,)."""
    if mean.shape[1] == 0:
        return np.zeros(len(mean))
    return np.asarray(log_ndtr(-mean / np.maximum(deviation, _TINY)).sum(axis=1), np.float64)

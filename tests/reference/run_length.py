"""How long a CUSUM runs until it signals, from theory: what the detector of the market's change is held against."""

from typing import Final

import numpy as np

STATES: Final = 100


def run_length(k: float, h: float, shift: float = 0.0) -> float:
    """Mean number of values until a CUSUM signals (ARL), values independent N(shift, 1), the sums starting at 0.

    Brook and Evans (1972) with Richardson's extrapolation over the number of states; two-sided by
    ``1/ARL = 1/ARL⁺ + 1/ARL⁻`` (Kemp 1961).

    Parameters
    ----------
    shift
        Mean of the values, standard deviations; 0: the rate of false alarms.
    """
    return 1.0 / (1.0 / _one_sided(k, h, shift) + 1.0 / _one_sided(k, h, -shift))


def _one_sided(k: float, h: float, shift: float, states: int = STATES) -> float:
    coarse, fine = _chain(k, h, shift, states), _chain(k, h, shift, 2 * states)
    return (4.0 * fine - coarse) / 3.0


def _chain(k: float, h: float, shift: float, states: int) -> float:
    """ARL of a chain whose states are the midpoints of cells of equal width; state 0 holds everything at or under 0."""
    from scipy.special import ndtr

    width = 2.0 * h / (2 * states - 1)
    index = np.arange(states)
    jump = (index[None, :] - index[:, None]) * width + k - shift
    moves = ndtr(jump + width / 2) - ndtr(jump - width / 2)
    moves[:, 0] = ndtr(jump[:, 0] + width / 2)
    return float(np.linalg.solve(np.eye(states) - moves, np.ones(states))[0])

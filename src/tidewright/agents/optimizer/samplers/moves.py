"""Positions to consider: even over the space, and near good ones at all distances."""

from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.agents.optimizer.space import Space

F64 = npt.NDArray[np.float64]

_NEAREST: Final = 0.002  # deviation of the smallest and the widest move in the unit cube
_WIDEST: Final = 0.4


def even(space: Space, count: int, rng: np.random.Generator) -> F64:
    """Positions of a scrambled Sobol sequence, snapped, shape (count, d)."""
    from scipy.stats import qmc

    power = max(0, int(np.ceil(np.log2(max(1, count)))))
    points = qmc.Sobol(len(space.dimensions), scramble=True, rng=rng).random_base2(power)
    return space.snapped(points[:count])


def random(space: Space, count: int, rng: np.random.Generator) -> F64:
    """Positions drawn evenly, snapped, shape (count, d)."""
    return space.snapped(rng.random((count, len(space.dimensions))))


def near(space: Space, centres: F64, count: int, rng: np.random.Generator, widest: float = _WIDEST) -> F64:
    """Moved copies of centres, snapped, shape (count, d).

    A third is crossed with another centre before. Each copy moves in a random subset of coordinates, by a normal step
    whose size is drawn from small to ``widest``; the moved coordinates of a choice are drawn anew.
    """
    dims = len(space.dimensions)
    chosen = centres[rng.integers(0, len(centres), count)]
    other = centres[rng.integers(0, len(centres), count)]
    crossed = (rng.random((count, 1)) < 1.0 / 3.0) & (rng.random((count, dims)) < 0.5)
    base = np.where(crossed, other, chosen)
    share = np.where(rng.random((count, 1)) < 0.5, 1.0 / dims, 0.6)
    moved = rng.random((count, dims)) < share
    moved[np.arange(count), rng.integers(0, dims, count)] = True
    size = np.exp(rng.uniform(np.log(min(_NEAREST, widest)), np.log(widest), (count, 1)))
    stepped = base + size * rng.standard_normal((count, dims))
    anew = rng.random((count, dims))
    choices = np.array(space.categories) > 0
    return space.snapped(np.where(moved, np.where(choices, anew, stepped), base))

"""Random numbers of the synthetic markets: SplitMix64, the same on every machine and numpy version."""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

U64 = npt.NDArray[np.uint64]

_INNER: Final[dict[str, Any]] = {
    "cache": True,
    "no_cfunc_wrapper": True,
    "no_cpython_wrapper": True,
    "error_model": "numpy",
}


@njit(**_INNER)
def uniform(random: U64) -> float:
    """A number between 0 and 1, never 0 (a logarithm can be taken); ``random`` is the state, uint64[1]."""
    random[0] += np.uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (float(z >> np.uint64(11)) + 0.5) / 9007199254740992.0


@njit(**_INNER)
def normal(random: U64) -> float:
    """A standard normal number (Box and Muller)."""
    return math.sqrt(-2.0 * math.log(uniform(random))) * math.cos(2.0 * math.pi * uniform(random))

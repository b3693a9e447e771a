"""Test problems with known fronts (minimisation), vectorised over points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Answer = tuple[F64, F64]  # objectives (n, m); excesses (n, c), kept where <= 0


@dataclass(frozen=True, slots=True)
class TestProblem:
    """A problem on the unit cube.

    Attributes
    ----------
    function
        Objectives and excesses of positions (n, d).
    reference, volume
        Reference point, and the hypervolume of the exact front to it.
    source
        Where the volume comes from.
    """

    __test__ = False  # not for pytest

    name: str
    dims: int
    objectives: int
    constraints: int
    function: Callable[[F64], Answer]
    reference: tuple[float, ...]
    volume: float
    source: str


def _free(values: F64) -> Answer:
    return values, np.empty((len(values), 0))


def _zdt(x: F64, shape: Callable[[F64, F64], F64]) -> Answer:
    first = x[:, 0]
    g = 1.0 + 9.0 * x[:, 1:].mean(axis=1)
    return _free(np.stack([first, g * shape(first, g)], axis=1))


def zdt1(x: F64) -> Answer:
    """Zitzler, Deb and Thiele (2000), convex."""
    return _zdt(x, lambda f, g: 1.0 - np.sqrt(f / g))


def zdt2(x: F64) -> Answer:
    """Zitzler, Deb and Thiele (2000), concave."""
    return _zdt(x, lambda f, g: 1.0 - (f / g) ** 2)


def zdt3(x: F64) -> Answer:
    """Zitzler, Deb and Thiele (2000), in pieces."""
    return _zdt(x, lambda f, g: 1.0 - np.sqrt(f / g) - f / g * np.sin(10.0 * np.pi * f))


def _sphere(x: F64, objectives: int) -> F64:
    tail = x[:, objectives - 1 :]
    g = ((tail - 0.5) ** 2).sum(axis=1)
    angles = x[:, : objectives - 1] * np.pi / 2.0
    columns = []
    for number in range(objectives):
        value = (1.0 + g) * np.cos(angles[:, : objectives - 1 - number]).prod(axis=1)
        columns.append(value if number == 0 else value * np.sin(angles[:, objectives - 1 - number]))
    return np.stack(columns, axis=1)


def dtlz2(x: F64) -> Answer:
    """Deb, Thiele, Laumanns and Zitzler (2002), two objectives: a quarter circle."""
    return _free(_sphere(x, 2))


def dtlz2_three(x: F64) -> Answer:
    """The same with three objectives."""
    return _free(_sphere(x, 3))


def c2_dtlz2(x: F64) -> Answer:
    """Jain and Deb (2014): of DTLZ2's front only what lies in spheres of radius 0.2 around its ends and its middle."""
    values = _sphere(x, 2)
    count, radius = values.shape[1], 0.2
    squares = (values**2).sum(axis=1)
    ends = np.stack([(values[:, i] - 1.0) ** 2 + squares - values[:, i] ** 2 for i in range(count)], axis=1)
    middle = ((values - 1.0 / np.sqrt(count)) ** 2).sum(axis=1)
    return values, (np.minimum(ends.min(axis=1), middle) - radius**2)[:, None]


def branin_currin(x: F64) -> Answer:
    """Branin and Currin under a disc (Daulton, Balandat and Bakshy 2020; Gelbart and others 2014)."""
    u, v = 15.0 * x[:, 0] - 5.0, 15.0 * x[:, 1]
    branin = (
        (v - 5.1 / (4.0 * np.pi**2) * u**2 + 5.0 / np.pi * u - 6.0) ** 2
        + 10.0 * (1.0 - 1.0 / (8.0 * np.pi)) * np.cos(u)
        + 10.0
    )
    a, b = x[:, 0], x[:, 1]
    with np.errstate(divide="ignore", over="ignore"):
        damped = 1.0 - np.exp(-1.0 / (2.0 * b))
    currin = (
        damped * (2300.0 * a**3 + 1900.0 * a**2 + 2092.0 * a + 60.0) / (100.0 * a**3 + 500.0 * a**2 + 4.0 * a + 20.0)
    )
    return np.stack([branin, currin], axis=1), ((u - 2.5) ** 2 + (v - 7.5) ** 2 - 50.0)[:, None]


CIRCLE: Final = 1.1**2 - np.pi / 4.0
PROBLEMS: Final = (
    TestProblem("ZDT1", 6, 2, 0, zdt1, (11.0, 11.0), 120.0 + 2.0 / 3.0, "closed form"),
    TestProblem("ZDT2", 6, 2, 0, zdt2, (11.0, 11.0), 120.0 + 1.0 / 3.0, "closed form"),
    TestProblem("ZDT3", 6, 2, 0, zdt3, (11.0, 11.0), 128.77811613069076, "BoTorch's test problems"),
    TestProblem("DTLZ2", 6, 2, 0, dtlz2, (1.1, 1.1), CIRCLE, "closed form"),
    TestProblem("DTLZ2, 3 objectives", 6, 3, 0, dtlz2_three, (1.1,) * 3, 1.1**3 - np.pi / 6.0, "closed form"),
    TestProblem("C2-DTLZ2", 6, 2, 1, c2_dtlz2, (1.1, 1.1), 0.4000553, "computed on a dense arc of the exact front"),
    TestProblem(
        "constrained Branin-Currin",
        2,
        2,
        1,
        branin_currin,
        (80.0, 12.0),
        609.374,
        "computed: grid of 4 million points and refinement; BoTorch states 608.400",
    ),
)

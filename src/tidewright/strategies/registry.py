"""The strategies by name, with every parameter's default, range and meaning."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.market.tape import F64
from tidewright.strategies import dispatch
from tidewright.strategies.view import MAX_LEVELS


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a strategy.

    Attributes
    ----------
    low, high
        Range that is accepted, ends included.
    search_low, search_high
        Range an optimizer searches by default; equal ends: not searched.
    integer, log
        Whole numbers only; searched on a logarithmic scale.
    """

    name: str
    default: float
    low: float
    high: float
    search_low: float
    search_high: float
    meaning: str
    integer: bool = False
    log: bool = False


@dataclass(frozen=True, slots=True)
class Strategy:
    """A quoting rule: its name, its number in :mod:`tidewright.strategies.dispatch`, its parameters in order."""

    name: str
    number: int
    parameters: tuple[Parameter, ...]
    summary: str

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in the order of a parameter row."""
        return tuple(parameter.name for parameter in self.parameters)


_LEVELS = Parameter("levels", 4, 1, MAX_LEVELS, 1, 6, "quotes a side", integer=True)
_BASE_QUANTITY = Parameter("base_quantity", 0.001, 0.0, 1e12, 0.0, 0.0, "quantity of one quote, base units")
_MAX_POSITION = Parameter(
    "max_position", 0.01, 0.0, 1e12, 0.0, 0.0, "no more bids (asks) from this position up (down), base units"
)

STRATEGIES: Final[Mapping[str, Strategy]] = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "grid",
            dispatch.GRID,
            (
                Parameter(
                    "spread_percentage",
                    0.18,
                    1e-6,
                    100.0,
                    0.02,
                    1.0,
                    "distance of the first bid to the first ask, percent of the mid; further levels at its multiples",
                    log=True,
                ),
                _LEVELS,
                _BASE_QUANTITY,
                _MAX_POSITION,
            ),
            "a ladder of post-only quotes at fixed percentages around the mid",
        ),
        Strategy(
            "avellaneda_stoikov",
            dispatch.AVELLANEDA_STOIKOV,
            (
                Parameter(
                    "gamma", 0.002, 1e-9, 1e3, 1e-4, 0.05, "risk aversion, per basis point and order size", log=True
                ),
                Parameter(
                    "kappa", 0.3, 1e-9, 1e6, 0.03, 3.0, "decay of fills with distance, per basis point", log=True
                ),
                Parameter(
                    "sigma_bps",
                    0.0,
                    0.0,
                    1e6,
                    0.0,
                    0.0,
                    "deviation over the horizon, basis points; 0: measured from the market",
                ),
                Parameter(
                    "horizon_s",
                    3600.0,
                    1.0,
                    1e8,
                    300.0,
                    14400.0,
                    "seconds after which the inventory should be gone",
                    log=True,
                ),
                _LEVELS,
                Parameter("level_spacing", 0.5, 0.0, 100.0, 0.1, 2.0, "distance of further levels, in half spreads"),
                _BASE_QUANTITY,
                _MAX_POSITION,
            ),
            "quotes around a reservation price that leans against the inventory (Avellaneda and Stoikov 2008)",
        ),
    )
}


def strategy(name: str) -> Strategy:
    """Strategy of a name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"unknown strategy {name!r}{hint} There are: {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def rows(name: str, params: Mapping[str, npt.ArrayLike], lanes: int | None = None) -> F64:
    """Checked parameter rows of many lanes.

    Parameters
    ----------
    params
        Scalars or arrays over lanes by parameter name; what is absent takes its default.
    lanes
        How many lanes; ``None``: the length of the longest array, 1 if all are scalars.

    Returns
    -------
    F64
        Shape (lanes, n_params), float64, C-contiguous.

    Raises
    ------
    UsageError
        If a name is unknown, a length does not fit, or a value is out of range.
    """
    chosen = strategy(name)
    for key in params:
        if key not in chosen.names:
            near = difflib.get_close_matches(key, chosen.names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UsageError(f"strategy {name!r} has no parameter {key!r}{hint} It has: {', '.join(chosen.names)}")
    arrays: dict[str, F64] = {}
    for key, value in params.items():
        try:
            arrays[key] = np.atleast_1d(np.asarray(value, np.float64))
        except (TypeError, ValueError):
            raise UsageError(f"parameter {key} must be a number or an array of numbers, was {value!r}") from None
    if lanes is None:
        lanes = max((len(array) for array in arrays.values()), default=1)
    table = np.empty((lanes, len(chosen.parameters)), np.float64)
    for index, parameter in enumerate(chosen.parameters):
        column = arrays.get(parameter.name, np.array([parameter.default]))
        if column.ndim != 1 or len(column) not in (1, lanes):
            raise UsageError(f"parameter {parameter.name} must be one number or {lanes}, had shape {column.shape}")
        _check(parameter, column)
        table[:, index] = column
    return table


def _check(parameter: Parameter, column: F64) -> None:
    bad = ~((column >= parameter.low) & (column <= parameter.high))
    if bad.any():
        value = column[bad][0]
        raise UsageError(
            f"parameter {parameter.name} must be in [{parameter.low:g}, {parameter.high:g}], was {value:g}"
        )
    if parameter.integer and (column != np.floor(column)).any():
        value = column[column != np.floor(column)][0]
        raise UsageError(f"parameter {parameter.name} must be a whole number, was {value:g}")

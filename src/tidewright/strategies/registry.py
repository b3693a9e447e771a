"""The strategies by name, with every parameter's default, range and meaning."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.market.tape import F64
from tidewright.strategies import custom, dispatch
from tidewright.strategies.custom_rule import CustomRule
from tidewright.strategies.declaration import BASE_QUANTITY, LEVELS, MAX_POSITION, SHAPE, Declaration, Parameter

__all__ = ["CHOICES", "STRATEGIES", "Parameter", "Rule", "Strategy", "resolve", "rows", "strategy"]


class Rule(Protocol):
    """A strategy ready to be called by one engine or executor; valid as long as this object lives."""

    @property
    def number(self) -> int:
        """What :func:`tidewright.strategies.dispatch.quote` takes."""
        ...

    def check(self) -> None:
        """Raise a :class:`~tidewright.strategies.custom_errors.StrategyError` if a call since the last look failed."""
        ...

    def take_fault(self) -> str:
        """The same as text; empty if none did."""
        ...


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A rule that is compiled into the engine."""

    number: int

    def check(self) -> None:
        """Nothing can go wrong."""

    def take_fault(self) -> str:
        """Nothing can go wrong."""
        return ""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A quoting rule.

    Attributes
    ----------
    name
        A built-in's name, or the reference of a user's own, ``/absolute/path/file.py:name``.
    number
        A built-in's number in :mod:`tidewright.strategies.dispatch`; of a user's own ``CUSTOM``: only its rule has one.
    parameters
        In the order of a parameter row.
    digest
        Of a user's own: changes with what it does.
    """

    name: str
    number: int
    parameters: tuple[Parameter, ...]
    summary: str
    digest: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in the order of a parameter row."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def title(self) -> str:
        """The name without the folders of a file."""
        return Path(self.name).name

    @property
    def steerable(self) -> bool:
        """Whether a learned policy can steer it: the shape comes first, the sizes last."""
        shape, sizes = tuple(one.name for one in SHAPE), (BASE_QUANTITY.name, MAX_POSITION.name)
        return self.names[: len(shape)] == shape and self.names[-2:] == sizes

    def bind(self) -> Rule:
        """The strategy ready to be called; a user's own is compiled first, if it is not in the cache.

        Raises
        ------
        StrategyError
            If a user's function cannot be compiled, with file and line.
        """
        if self.number != dispatch.CUSTOM:
            return BuiltIn(self.number)
        rule: CustomRule = custom.load(self.name).bind()
        return rule


_AROUND: Final = (
    Parameter(
        "spread_percentage",
        0.25,
        1e-6,
        100.0,
        0.05,
        1.0,
        "distance of the first bid to the first ask, percent",
        log=True,
    ),
    Parameter("skew", 1.0, 0.0, 1000.0, 0.0, 5.0, "shift against a quote size of inventory, basis points"),
)
_SPACING: Final = Parameter("level_spacing", 0.5, 0.0, 100.0, 0.1, 2.0, "distance of further levels, in half spreads")

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
                LEVELS,
                BASE_QUANTITY,
                MAX_POSITION,
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
                LEVELS,
                Parameter("level_spacing", 0.5, 0.0, 100.0, 0.1, 2.0, "distance of further levels, in half spreads"),
                BASE_QUANTITY,
                MAX_POSITION,
            ),
            "quotes around a reservation price that leans against the inventory (Avellaneda and Stoikov 2008)",
        ),
        Strategy(
            "glft",
            dispatch.GLFT,
            (
                Parameter(
                    "gamma", 0.01, 1e-9, 1e3, 1e-3, 1.0, "risk aversion, per basis point and order size", log=True
                ),
                Parameter(
                    "kappa", 0.3, 1e-9, 1e6, 0.03, 3.0, "decay of fills with distance, per basis point", log=True
                ),
                Parameter("intensity", 0.05, 1e-9, 1e6, meaning="fills a second of a quote at the mid", log=True),
                Parameter(
                    "sigma_bps",
                    0.0,
                    0.0,
                    1e6,
                    meaning="deviation over the root of a second, basis points; 0: measured from the market",
                ),
                LEVELS,
                Parameter("level_spacing", 0.5, 0.0, 100.0, 0.1, 2.0, "distance of further levels, in half spreads"),
                BASE_QUANTITY,
                MAX_POSITION,
            ),
            "stationary quotes in closed form that lean against the inventory (Gueant, Lehalle, Fernandez-Tapia 2013)",
        ),
        Strategy(
            "shaped",
            dispatch.SHAPED,
            (
                *SHAPE,
                Parameter("base_rule", 0, 0, 1, meaning="0: glft, 1: avellaneda_stoikov", integer=True),
                Parameter(
                    "gamma", 0.01, 1e-9, 1e3, 1e-3, 1.0, "risk aversion, per basis point and order size", log=True
                ),
                Parameter(
                    "kappa", 0.3, 1e-9, 1e6, 0.03, 3.0, "decay of fills with distance, per basis point", log=True
                ),
                Parameter(
                    "intensity", 0.05, 1e-9, 1e6, meaning="fills a second of a quote at the mid (glft)", log=True
                ),
                Parameter(
                    "horizon_s",
                    3600.0,
                    1.0,
                    1e8,
                    meaning="seconds after which the inventory should be gone (avellaneda_stoikov)",
                    log=True,
                ),
                BASE_QUANTITY,
                MAX_POSITION,
            ),
            "a base rule's quotes, shaped by spread, skew, spacing, levels and stance: what a learned policy steers",
        ),
        Strategy(
            "mean_reversion",
            dispatch.MEAN_REVERSION,
            (
                Parameter("reversion", 0.5, 0.0, 5.0, 0.0, 1.5, "share of the last cycle's return expected back"),
                Parameter(
                    "cutoff", 3.0, 0.0, 100.0, 1.0, 6.0, "deviations beyond which a move is not traded against; 0: none"
                ),
                *_AROUND,
                LEVELS,
                _SPACING,
                BASE_QUANTITY,
                MAX_POSITION,
            ),
            "quotes around the price that the last move is expected to fall back to",
        ),
        Strategy(
            "momentum",
            dispatch.MOMENTUM,
            (
                Parameter("continuation", 0.5, 0.0, 5.0, 0.0, 1.5, "share of the last cycle's return expected again"),
                Parameter("pressure_bps", 0.5, 0.0, 100.0, 0.0, 3.0, "shift at a book imbalance of 1, basis points"),
                Parameter(
                    "threshold", 1.0, 0.0, 100.0, 0.5, 4.0, "deviations beyond which one side is quoted; 0: none"
                ),
                *_AROUND,
                LEVELS,
                _SPACING,
                BASE_QUANTITY,
                MAX_POSITION,
            ),
            "quotes around the price that the last move is expected to go on to, one-sided in a strong one",
        ),
    )
}


CHOICES: Final = f"{', '.join(STRATEGIES)}, or FILE.py[:NAME] with one of your own (docs/strategies.md)."
"""What a strategy option of a command says."""


def strategy(name: str) -> Strategy:
    """Strategy of a name.

    Parameters
    ----------
    name
        A built-in's name, or the file of a user's own: ``FILE.py``, ``FILE.py:NAME``.

    Raises
    ------
    UsageError
        If there is none, or a file cannot be loaded.
    NotFoundError
        If a file is not there.
    """
    if custom.is_reference(name):
        found = custom.load(name)
        declared = found.declaration
        return Strategy(found.name, dispatch.CUSTOM, declared.parameters, declared.summary, found.digest)
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise UsageError(f"unknown strategy {name!r}{hint} There are: {', '.join(STRATEGIES)}, and files FILE.py:NAME")
    return STRATEGIES[name]


def resolve(chosen: str | Declaration) -> str:
    """The name under which every process finds a strategy; a user's file that was edited is read again.

    Parameters
    ----------
    chosen
        A name, a reference to a file, or what ``@tw.strategy`` made of a function.

    Raises
    ------
    UsageError, NotFoundError
        As :func:`strategy`.
    """
    name = chosen.reference if isinstance(chosen, Declaration) else chosen
    if custom.is_reference(name):
        return custom.load(name, refresh=True).name
    return strategy(name).name


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

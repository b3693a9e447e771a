"""How a strategy is declared: its parameters, and the decorator that makes a function of a user's file a strategy."""

import math
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tidewright.market.errors import UsageError
from tidewright.strategies.view import MAX_LEVELS, Quotes, View

QuoteFunction = Callable[[View, Any, Quotes], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a strategy, a number.

    Attributes
    ----------
    name
        A Python name; ``levels``, ``base_quantity`` and ``max_position`` mean the same in every strategy.
    default
        Value where none is given.
    low, high
        Range that is accepted, ends included.
    search_low, search_high
        Range an optimizer searches by default; equal ends: not searched.
    meaning
        One line for people, with the unit.
    integer, log
        Whole numbers only; searched on a logarithmic scale.

    Raises
    ------
    UsageError
        If these contradict each other.
    """

    name: str
    default: float
    low: float
    high: float
    search_low: float = 0.0
    search_high: float = 0.0
    meaning: str = ""
    integer: bool = False
    log: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or self.name.startswith("_"):
            raise UsageError(f"a parameter's name must be a Python name, was {self.name!r}")
        for what in ("default", "low", "high", "search_low", "search_high"):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"parameter {self.name}: {what} must be a finite number, was {value!r}")
            if self.integer and value != math.floor(value):
                raise UsageError(f"parameter {self.name} is a whole number, but {what} was {value:g}")
        if not self.low <= self.default <= self.high:
            raise UsageError(
                f"parameter {self.name}: default must be in [{self.low:g}, {self.high:g}], was {self.default:g}"
            )
        if self.search_low > self.search_high:
            raise UsageError(
                f"parameter {self.name}: search_low must be at most search_high, "
                f"was {self.search_low:g} > {self.search_high:g}"
            )
        searched = self.search_low < self.search_high
        if searched and not self.low <= self.search_low < self.search_high <= self.high:
            raise UsageError(
                f"parameter {self.name}: the searched range must be within [{self.low:g}, {self.high:g}], "
                f"was [{self.search_low:g}, {self.search_high:g}]"
            )
        if searched and self.log and self.search_low <= 0:
            raise UsageError(f"parameter {self.name}: a log range must be > 0, search_low was {self.search_low:g}")


LEVELS: Final = Parameter("levels", 4, 1, MAX_LEVELS, 1, 6, "quotes a side", integer=True)
"""Quotes a side; a strategy that has it may write at most so many."""

BASE_QUANTITY: Final = Parameter(
    "base_quantity", 0.001, 0.0, 1e12, meaning="quantity of one quote, base units; under one lot: nothing is quoted"
)
"""Quantity of one quote. Every strategy has it: 0 is how a lane is told to stand aside."""

MAX_POSITION: Final = Parameter(
    "max_position", 0.01, 0.0, 1e12, meaning="no more bids (asks) from this position up (down), base units"
)
"""Position at which a side is left out; session and optimizer hold it against the risk limits."""

SHAPE: Final = (
    Parameter("spread", 1.0, 0.0, 100.0, 0.25, 4.0, "half spread over the base rule's", log=True),
    Parameter("skew", 0.0, -100.0, 100.0, meaning="shift of both sides up, in half spreads"),
    Parameter("level_spacing", 0.5, 0.0, 100.0, 0.1, 2.0, "distance of further levels, in half spreads"),
    Parameter("levels", 3, 0, MAX_LEVELS, 0, 6, "quotes a side; 0: stand aside", integer=True),
    Parameter(
        "stance",
        0,
        -2,
        2,
        meaning="inventory to lean towards, in halves of max_position; 2 only buys, -2 only sells",
        integer=True,
    ),
)
"""What a learned policy does at a decision. A strategy can be steered by one if these parameters come first and
``BASE_QUANTITY`` and ``MAX_POSITION`` last; with their defaults it should quote as it would by itself."""

# Ranges that messages accept of the names of their schema, which custom strategies may use too.
_SCHEMA: Final = {
    "spread_percentage": (1e-12, 100.0),
    "levels": (0.0, float(MAX_LEVELS)),
    "base_quantity": (0.0, math.inf),
    "max_position": (0.0, math.inf),
}


@dataclass(frozen=True)
class Declaration:
    """A function of a user's file, declared to be a strategy. Callable as plain Python, for tests and debuggers.

    Attributes
    ----------
    name
        Name within its file.
    function
        ``(view, params, quotes) -> (bids, asks)``, uncompiled.
    parameters
        Its parameters, in the order of a parameter row.
    summary
        One line for people.
    """

    name: str
    function: QuoteFunction
    parameters: tuple[Parameter, ...]
    summary: str = field(default="")

    def __post_init__(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"strategy {self.name}: parameter {twice[0]} is declared twice")
        if "base_quantity" not in names:
            raise UsageError(
                f"strategy {self.name} needs the parameter base_quantity (tw.BASE_QUANTITY, or one of its own of that "
                f"name); it has: {', '.join(names) or 'none'}"
            )
        for parameter in self.parameters:
            low, high = _SCHEMA.get(parameter.name, (-math.inf, math.inf))
            if parameter.low < low or parameter.high > high:
                raise UsageError(
                    f"parameter {parameter.name} means the same in every strategy and lies in [{low:g}, {high:g}], "
                    f"was declared with [{parameter.low:g}, {parameter.high:g}]"
                )
            if parameter.name == "levels" and not parameter.integer:
                raise UsageError("parameter levels takes whole numbers: declare it with integer=True")

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def reference(self) -> str:
        """Where it can be found again, ``FILE:NAME``: what every ``strategy=`` argument takes.

        Raises
        ------
        UsageError
            If the function was not written in a file.
        """
        path = Path(self.function.__code__.co_filename)
        if not path.is_file():
            raise UsageError(f"strategy {self.name} must be written in a file to be found by other processes")
        return f"{path.resolve()}:{self.name}"

    @cached_property
    def row_type(self) -> Any:
        """The named tuple in which the function receives its parameters, float64 each."""
        return namedtuple("Params", self.names)  # type: ignore[misc]

    def params(self, **values: float) -> Any:
        """Parameters as the function receives them; what is absent takes its default. For tests; not checked."""
        row = {parameter.name: float(parameter.default) for parameter in self.parameters}
        return self.row_type(**{**row, **values})

    def __call__(self, view: View, params: Any, quotes: Quotes) -> tuple[int, int]:
        """Run the function as plain Python."""
        return self.function(view, params, quotes)


def strategy(
    *, parameters: Sequence[Parameter], name: str | None = None, summary: str = ""
) -> Callable[[QuoteFunction], Declaration]:
    """Declare a function to be a strategy; a decorator.

    Parameters
    ----------
    parameters
        Its parameters; the function finds them in ``params`` by name.
    name
        Name within the file; the function's own if absent.
    summary
        One line for people; the first line of the function's docstring if absent.

    Returns
    -------
    Callable
        Takes ``(view, params, quotes) -> (bids, asks)``: reads :class:`~tidewright.strategies.view.View`, writes
        :class:`~tidewright.strategies.view.Quotes`, returns how many bids and asks it wrote. It is compiled by numba's
        nopython mode; helpers it calls are decorated with ``numba.njit``.

    Raises
    ------
    UsageError
        If a parameter is declared twice, ``base_quantity`` is missing, or what is decorated is no function.
    """
    if not all(isinstance(parameter, Parameter) for parameter in parameters):
        raise UsageError("parameters must be a list of tw.Parameter")

    def declare(function: QuoteFunction) -> Declaration:
        plain = getattr(function, "py_func", function)  # of a function that is jitted already
        if not hasattr(plain, "__code__"):
            raise UsageError(f"tw.strategy decorates a function, was {function!r}")
        code = plain.__code__
        if code.co_argcount != 3 or code.co_flags & 0x0C or code.co_kwonlyargcount:
            raise UsageError(f"{plain.__name__} must take exactly (view, params, quotes)")
        text = summary or (plain.__doc__ or "").strip().partition("\n")[0]
        return Declaration(name or plain.__name__, plain, tuple(parameters), text)

    return declare

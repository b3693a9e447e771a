"""What is searched: typed ranges of named parameters, and their map to the unit cube the search works in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError
from tidewright.strategies.registry import strategy

F64 = npt.NDArray[np.float64]
Kind = Literal["float", "log", "int"]

DIGITS: Final = 6  # significant digits of a value: what a message shows is what was judged


@dataclass(frozen=True, slots=True)
class Dimension:
    """Range of one parameter, ends included.

    Attributes
    ----------
    kind
        ``float``: uniform; ``log``: uniform in the logarithm, ``low`` > 0; ``int``: whole numbers.
    """

    name: str
    low: float
    high: float
    kind: Kind = "float"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"kind of {self.name} must be float, log or int, was {self.kind!r}")
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"range of {self.name} must be finite with low < high, was {self.low}:{self.high}")
        if self.kind == "log" and self.low <= 0:
            raise UsageError(f"a log range must be > 0, {self.name} had low {self.low}")
        if self.kind == "int" and (self.low != np.floor(self.low) or self.high != np.floor(self.high)):
            raise UsageError(f"an int range has whole ends, {self.name} had {self.low}:{self.high}")

    def decode(self, unit: F64) -> F64:
        """Values of positions in [0, 1], rounded to ``DIGITS`` significant digits and within the range."""
        if self.kind == "int":
            return np.clip(self.low + np.floor(unit * (self.high - self.low + 1.0)), self.low, self.high)
        if self.kind == "log":
            value = np.exp(np.log(self.low) + unit * (np.log(self.high) - np.log(self.low)))
        else:
            value = self.low + unit * (self.high - self.low)
        rounded = np.array([float(f"{number:.{DIGITS}g}") for number in value], np.float64)
        return np.clip(rounded, self.low, self.high)

    def encode(self, value: F64) -> F64:
        """Positions in [0, 1] of values; a value outside the range is moved to its end."""
        inside = np.clip(value, self.low, self.high)
        if self.kind == "int":
            return (inside - self.low + 0.5) / (self.high - self.low + 1.0)
        if self.kind == "log":
            return (np.log(inside) - np.log(self.low)) / (np.log(self.high) - np.log(self.low))
        return (inside - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Space:
    """The searched parameters, in order."""

    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        if not self.dimensions:
            raise UsageError("a search needs at least one parameter with a range, had none")
        names = self.names
        if len(set(names)) < len(names):
            raise UsageError(f"a parameter is searched once, had {', '.join(names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(dimension.name for dimension in self.dimensions)

    def decode(self, unit: F64) -> F64:
        """Values (n, d) of positions (n, d) in the unit cube."""
        return np.stack([part.decode(unit[:, index]) for index, part in enumerate(self.dimensions)], axis=1)

    def encode(self, values: F64) -> F64:
        """Positions (n, d) in the unit cube of values (n, d)."""
        return np.stack([part.encode(values[:, index]) for index, part in enumerate(self.dimensions)], axis=1)


def parse(text: str) -> Dimension:
    """Dimension of ``name=low:high``, ``name=low:high:log`` or ``name=low:high:int``.

    Raises
    ------
    UsageError
        If the text has another form.
    """
    name, equals, rest = text.partition("=")
    parts = rest.split(":")
    if not (name and equals) or len(parts) not in (2, 3):
        raise UsageError(f"a range is name=low:high[:log|int], was {text!r}")
    try:
        low, high = float(parts[0]), float(parts[1])
    except ValueError:
        raise UsageError(f"a range has two numbers, was {text!r}") from None
    return Dimension(name, low, high, parts[2] if len(parts) == 3 else "float")  # type: ignore[arg-type]


def of_strategy(name: str, ranges: Iterable[Dimension] | None = None) -> Space:
    """Space of a strategy.

    Parameters
    ----------
    name
        The strategy.
    ranges
        What to search instead of the registry's search ranges.

    Raises
    ------
    UsageError
        If the strategy or a parameter is unknown, or a range leaves what the strategy accepts.
    """
    parameters = {parameter.name: parameter for parameter in strategy(name).parameters}
    if ranges is None:
        return Space(
            tuple(
                Dimension(p.name, p.search_low, p.search_high, "int" if p.integer else "log" if p.log else "float")
                for p in parameters.values()
                if p.search_low < p.search_high
            )
        )
    chosen = tuple(ranges)
    for part in chosen:
        if part.name not in parameters:
            raise UsageError(f"strategy {name!r} has no parameter {part.name!r}. It has: {', '.join(parameters)}")
        known = parameters[part.name]
        if part.low < known.low or part.high > known.high:
            raise UsageError(
                f"range of {part.name} must be within [{known.low:g}, {known.high:g}], was {part.low:g}:{part.high:g}"
            )
        if known.integer and part.kind != "int":
            raise UsageError(f"{part.name} takes whole numbers: give its range as {part.name}=low:high:int")
    return Space(chosen)


def of_request(name: str, entries: Mapping[str, Any] | None) -> Space:
    """Space of an ``optimize_request``: its ``space`` entries (with ``low``, ``high``, ``kind``), or the registry's."""
    if entries is None:
        return of_strategy(name)
    return of_strategy(name, [Dimension(key, part.low, part.high, part.kind) for key, part in entries.items()])

"""What is searched: typed ranges of named parameters, and their map to the unit cube the search works in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import UsageError

F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Kind = Literal["float", "log", "int", "categorical"]
Choice = str | int | float | bool

DIGITS: Final = 6  # significant digits of a value: what a message shows is what was judged
ROUNDING: Final = 1e-9  # of a range: a value so far outside is its end
IDLE: Final = 0.5  # where an inactive parameter stands in the unit cube
_TENS: Final = np.array([float(f"1e{power}") for power in range(23)])  # the powers of ten that floats hold exactly
_TINY: Final = 1e-16  # what is rounded with these
_HUGE: Final = 1e22


@dataclass(frozen=True, slots=True)
class Dimension:
    """Range of one parameter, ends included, or a choice.

    Attributes
    ----------
    low, high
        Ends of the range; of a choice 0 and the number of choices less 1 (what the search works with is the index).
    kind
        ``float``: uniform; ``log``: uniform in the logarithm, ``low`` > 0; ``int``: whole numbers; ``categorical``:
        one of ``choices``, without an order.
    choices
        Of a categorical parameter, at least two and all different.
    when
        The parameter counts only while an earlier categorical parameter has one of some values:
        ``(name, (value, ...))``; ``None``: always.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    kind: Kind = "float"
    choices: tuple[Choice, ...] = ()
    when: tuple[str, tuple[Choice, ...]] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise UsageError(f"kind of {self.name} must be float, log, int or categorical, was {self.kind!r}")
        if self.kind == "categorical":
            if len(self.choices) < 2 or len(set(self.choices)) < len(self.choices):
                raise UsageError(f"{self.name} needs at least two different choices, had {list(self.choices)}")
            object.__setattr__(self, "low", 0.0)
            object.__setattr__(self, "high", len(self.choices) - 1.0)
            return
        if self.choices:
            raise UsageError(f"only a categorical parameter has choices, {self.name} is {self.kind}")
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise UsageError(f"range of {self.name} must be finite with low < high, was {self.low}:{self.high}")
        if self.kind == "log" and self.low <= 0:
            raise UsageError(f"a log range must be > 0, {self.name} had low {self.low}")
        if self.kind == "int" and (self.low != np.floor(self.low) or self.high != np.floor(self.high)):
            raise UsageError(f"an int range has whole ends, {self.name} had {self.low}:{self.high}")

    def decode(self, unit: F64) -> F64:
        """Values of positions in [0, 1], rounded to ``DIGITS`` significant digits and within the range."""
        if self.kind in ("int", "categorical"):
            return np.clip(self.low + np.floor(unit * (self.high - self.low + 1.0)), self.low, self.high)
        if self.kind == "log":
            value = np.exp(np.log(self.low) + unit * (np.log(self.high) - np.log(self.low)))
        else:
            value = self.low + unit * (self.high - self.low)
        return np.clip(rounded(value), self.low, self.high)

    def encode(self, value: F64) -> F64:
        """Positions in [0, 1] of values; a value outside the range is moved to its end."""
        inside = np.clip(value, self.low, self.high)
        if self.kind in ("int", "categorical"):
            return (inside - self.low + 0.5) / (self.high - self.low + 1.0)
        if self.kind == "log":
            return (np.log(inside) - np.log(self.low)) / (np.log(self.high) - np.log(self.low))
        return (inside - self.low) / (self.high - self.low)

    def shown(self, values: F64, conditional: bool) -> npt.NDArray[Any]:
        """Values as a user's function sees them: choices for their index, integers whole; NaN or ``None``: inactive."""
        if self.kind == "categorical":
            named = [None if np.isnan(value) else self.choices[int(value)] for value in values]
            plain = not conditional and len({type(choice) for choice in self.choices}) == 1
            return np.array(named) if plain else np.array(named, dtype=object)
        return values.astype(np.int64) if self.kind == "int" and not conditional else values

    def index(self, values: Iterable[Any]) -> F64:
        """The reverse of :meth:`shown`.

        Raises
        ------
        UsageError
            If a value is none of the choices.
        """
        if self.kind != "categorical":
            return np.asarray(values, np.float64)
        places: dict[Any, float] = {choice: float(number) for number, choice in enumerate(self.choices)}
        items = values.tolist() if isinstance(values, np.ndarray) else list(values)
        for item in items:
            if item is not None and item not in places:
                raise UsageError(f"{self.name} must be one of {list(self.choices)}, was {item!r}")
        return np.array([np.nan if item is None else places[item] for item in items], np.float64)


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
        for number, part in enumerate(self.dimensions):
            self._check_condition(part, self.dimensions[:number])

    @property
    def names(self) -> tuple[str, ...]:
        """Parameter names in order."""
        return tuple(dimension.name for dimension in self.dimensions)

    @property
    def categories(self) -> tuple[int, ...]:
        """Number of choices of each parameter, 0 where values have an order."""
        return tuple(len(dimension.choices) for dimension in self.dimensions)

    def decode(self, unit: F64) -> F64:
        """Values (n, d) of positions (n, d) in the unit cube; NaN: inactive."""
        values = np.stack([part.decode(unit[:, index]) for index, part in enumerate(self.dimensions)], axis=1)
        return np.where(self._active(values), values, np.nan)

    def encode(self, values: F64) -> F64:
        """Positions (n, d) in the unit cube of values (n, d)."""
        units = np.stack([part.encode(values[:, index]) for index, part in enumerate(self.dimensions)], axis=1)
        return np.where(np.isnan(units), IDLE, units)

    def canonical(self, unit: F64) -> F64:
        """Positions of the values that positions mean: whole numbers at their place, inactive ones at ``IDLE``."""
        return self.encode(self.decode(np.clip(unit, 0.0, 1.0)))

    def snapped(self, unit: F64) -> F64:
        """As :meth:`canonical`, but numbers with fractions are left as they are: much quicker."""
        unit = np.clip(unit, 0.0, 1.0)
        whole = [index for index, part in enumerate(self.dimensions) if part.kind in ("int", "categorical")]
        if not whole:
            return unit
        values = np.zeros_like(unit)
        for index in whole:
            part = self.dimensions[index]
            values[:, index] = part.decode(unit[:, index])
            unit[:, index] = part.encode(values[:, index])
        return np.where(self._active(values), unit, IDLE)

    def features(self, unit: F64) -> F64:
        """What a surrogate model sees of canonical positions: a column a number, a column a choice."""
        columns = []
        for index, part in enumerate(self.dimensions):
            if part.kind == "categorical":
                chosen = part.decode(unit[:, index])
                columns += [(chosen == number).astype(np.float64) for number in range(len(part.choices))]
            else:
                columns.append(unit[:, index])
        return np.stack(columns, axis=1)

    def shown(self, values: F64) -> dict[str, npt.NDArray[Any]]:
        """Values (n, d) by name, as a user's function sees them."""
        parts = enumerate(self.dimensions)
        return {part.name: part.shown(values[:, index], part.when is not None) for index, part in parts}

    def values(self, points: Mapping[str, Any]) -> F64:
        """The reverse of :meth:`shown`: values (n, d) of arrays (or scalars) by name.

        Raises
        ------
        UsageError
            If a parameter is missing or unknown, or lengths differ.
        """
        if set(points) != set(self.names):
            raise UsageError(f"points must have the parameters {', '.join(self.names)}, had {', '.join(points)}")
        columns = [part.index(np.atleast_1d(_array(points[part.name]))) for part in self.dimensions]
        if len({len(column) for column in columns}) > 1:
            raise UsageError(f"all parameters of points have one length, had {[len(column) for column in columns]}")
        values = np.stack(columns, axis=1)
        return np.where(self._active(values), values, np.nan)

    def check(self, values: F64, what: str = "a point") -> None:
        """Refuse values (n, d) that are not in the space; what is inactive may be anything.

        Raises
        ------
        UsageError
            If one is outside its range, no number, or not whole where it must be; the first of them is named.
        """
        active = self._active(values)
        for index, part in enumerate(self.dimensions):
            column = values[:, index]
            slack = ROUNDING * (part.high - part.low)
            inside = (column >= part.low - slack) & (column <= part.high + slack)
            if part.kind == "int":
                inside &= column == np.round(column)
            wrong = np.flatnonzero(active[:, index] & ~inside)
            if len(wrong):
                whole = "a whole number " if part.kind == "int" else ""
                others = f"; so are {len(wrong) - 1} more of {len(values)}" if len(wrong) > 1 else ""
                raise UsageError(
                    f"{what} is not in the space: {part.name} must be {whole}in [{part.low:g}, {part.high:g}], "
                    f"was {column[wrong[0]]:.12g}{others}"
                )

    def _active(self, values: F64) -> Bools:
        active = np.ones(values.shape, np.bool_)
        for index, part in enumerate(self.dimensions):
            if part.when is None:
                continue
            parent = self.names.index(part.when[0])
            wanted = [self.dimensions[parent].choices.index(value) for value in part.when[1]]
            active[:, index] = active[:, parent] & np.isin(values[:, parent], wanted)
        return active

    def _check_condition(self, part: Dimension, earlier: Sequence[Dimension]) -> None:
        if part.when is None:
            return
        name, wanted = part.when
        parents = {other.name: other for other in earlier if other.kind == "categorical"}
        if name not in parents:
            raise UsageError(f"{part.name} depends on {name!r}, which must be a categorical parameter named before it")
        unknown = [value for value in wanted if value not in parents[name].choices]
        if unknown or not wanted:
            raise UsageError(f"{part.name} depends on values of {name} that it has not: {unknown or 'none given'}")


def rounded(values: F64) -> F64:
    """Numbers rounded to ``DIGITS`` significant digits: exactly what their decimal text says."""
    size = np.abs(values)
    usable = (size > _TINY) & (size < _HUGE)
    number = np.where(usable, values, 1.0)
    power = DIGITS - 1 - np.floor(np.log10(np.abs(number))).astype(np.int64)
    ten = _TENS[np.abs(power)]
    raised = np.where(power >= 0, number * ten, number / ten)
    whole = np.rint(raised)
    found = np.where(power >= 0, whole / ten, whole * ten)  # of exact numbers: the nearest there is
    middle = np.abs(np.abs(raised - whole) - 0.5) < 1e-6  # there the product's own rounding may decide
    for row in np.flatnonzero(middle | ~usable):
        found[row] = float(f"{values[row]:.{DIGITS}g}")
    return found


def _array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value
    plain = not isinstance(value, list | tuple)
    items = [value] if plain else list(value)
    numeric = all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    return np.array(items) if numeric else np.array(items, dtype=object)


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


def of_mapping(entries: Mapping[str, Any]) -> Space:
    """Space of plain values, as a file or a Python caller gives them.

    Each entry is ``(low, high)``, ``(low, high, "log" | "int")``, a table with ``low``, ``high``, ``kind`` or with
    ``choices``, and perhaps ``when = {parent: [values]}``; a list of other things, or a set of more than three, is a
    choice.

    Raises
    ------
    UsageError
        If there is none, or one has another form.
    """
    return Space(tuple(_dimension(name, entry) for name, entry in entries.items()))


def _dimension(name: str, entry: Any) -> Dimension:
    if isinstance(entry, Dimension):
        return entry
    form = f"{name} must be (low, high), (low, high, 'log' or 'int'), choices, or a table of these; was {entry!r}"
    if isinstance(entry, Mapping):
        return _of_table(name, entry, form)
    if not isinstance(entry, list | tuple):
        raise UsageError(form)
    numbers = len(entry) >= 2 and all(isinstance(end, int | float) and not isinstance(end, bool) for end in entry[:2])
    if isinstance(entry, tuple) and numbers and len(entry) in (2, 3):
        kind = entry[2] if len(entry) == 3 else "float"
        if isinstance(kind, str):
            return Dimension(name, float(entry[0]), float(entry[1]), kind)  # type: ignore[arg-type]
    return Dimension(name, kind="categorical", choices=tuple(entry))


def _of_table(name: str, table: Mapping[str, Any], form: str) -> Dimension:
    unknown = set(table) - {"low", "high", "kind", "choices", "when"}
    if unknown:
        raise UsageError(
            f"{name} has unknown entries {', '.join(sorted(unknown))}; there are low, high, kind, choices, when"
        )
    when = table.get("when")
    condition = None
    if when is not None:
        if not isinstance(when, Mapping) or len(when) != 1:
            raise UsageError(f"when of {name} must be {{parent: [values]}}, was {when!r}")
        parent, wanted = next(iter(when.items()))
        condition = (str(parent), tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,))
    if "choices" in table:
        return Dimension(name, kind="categorical", choices=tuple(table["choices"]), when=condition)
    try:
        low, high = float(table["low"]), float(table["high"])
    except (KeyError, TypeError, ValueError):
        raise UsageError(form) from None
    return Dimension(name, low, high, table.get("kind", "float"), when=condition)


def of_strategy(name: str, ranges: Iterable[Dimension] | None = None) -> Space:
    """Space of a strategy.

    Parameters
    ----------
    name
        The strategy.
    ranges
        What to search instead of the registry's search ranges; no choices.

    Raises
    ------
    UsageError
        If the strategy or a parameter is unknown, or a range leaves what the strategy accepts.
    """
    from tidewright.strategies.registry import strategy

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
        if part.kind == "categorical":
            raise UsageError(f"{part.name} is a number: give a range of it; choices are for functions of your own")
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

"""Exact, fast conversion of decimal texts to multiples of a step (price to ticks, quantity to lots)."""

from decimal import Decimal
from typing import Final

from tidewright.market.errors import DataError
from tidewright.market.instrument import decimal

_REMEMBERED: Final = 1 << 18


class FixedPoint(dict[str, int]):
    """A table from decimal text to a whole number of steps; ``table[text]`` computes what it has not seen.

    Venues repeat the same few thousand texts all day, so nearly every look-up is one hash of a string.

    Parameters
    ----------
    step
        Decimal text of the step, > 0.
    what, step_name
        Words for messages, e.g. ``"price"`` and ``"tick size"``.

    Raises
    ------
    DataError
        On look-up, if the text is not plain digits with at most one point, or not a multiple of the step.
    """

    def __init__(self, step: str, what: str, step_name: str) -> None:
        super().__init__()
        value = decimal(step, step_name).normalize()
        exponent = value.as_tuple().exponent
        self._decimals = max(0, -exponent) if isinstance(exponent, int) else 0
        self._unit = int(value * Decimal(10) ** self._decimals)  # the step in units of the last decimal
        self._step, self._what, self._step_name = step, what, step_name

    def __missing__(self, text: str) -> int:
        """Convert and remember a text."""
        whole, _, fraction = text.partition(".")
        digits = fraction.rstrip("0")
        if not (text.isascii() and whole.isdigit() and (not fraction or fraction.isdigit())):
            raise DataError(f"{self._what} must be a plain decimal number, was {text!r}")
        count, rest = divmod(int(whole + digits.ljust(self._decimals, "0")), self._unit)
        if rest or len(digits) > self._decimals:
            raise DataError(f"{self._what} must be a multiple of the {self._step_name} {self._step}, was {text}")
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = count
        return count

"""Exact, fast conversion of decimal texts to multiples of a step (price to ticks, quantity to lots)."""

from decimal import Decimal
from typing import Final

from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import decimal

MOST_STEPS: Final = 1 << 62  # what a whole number of the tape holds, twice
_REMEMBERED: Final = 1 << 18


def plain_parts(text: str, what: str) -> tuple[str, str]:
    """Digits before the point and after it, without zeros at the end, of a plain decimal text.

    Raises
    ------
    DataError
        If it is none: digits with at most one point.
    """
    if isinstance(text, str):
        whole, _, fraction = text.partition(".")
        if text.isascii() and whole.isdigit() and (not fraction or fraction.isdigit()):
            return whole, fraction.rstrip("0")
    raise DataError(f"{what} must be a plain decimal number, was {text!r:.80}")


class FixedPoint(dict[str, int]):
    """A table from decimal text to a whole number of steps; ``table[text]`` computes what it has not seen.

    Venues repeat the same few thousand texts all day, so nearly every look-up is one hash of a string.

    Parameters
    ----------
    step
        Decimal text of the step, > 0.
    what, step_name
        Words for messages, e.g. ``"price"`` and ``"tick size"``.
    round_up
        Take a value between two steps for the higher one and count it, instead of refusing it: venues that have once
        coarsened their lot still show older orders with finer quantities.

    Attributes
    ----------
    rounded
        Look-ups that were rounded.

    Raises
    ------
    DataError
        On look-up, if the text is not plain digits with at most one point, too many steps, or (without ``round_up``)
        not a multiple of the step.
    UsageError
        If the step is not above 0.
    """

    def __init__(self, step: str, what: str, step_name: str, *, round_up: bool = False) -> None:
        super().__init__()
        self.rounded = 0
        self._round_up = round_up
        value = decimal(step, step_name).normalize()
        if value <= 0:
            raise UsageError(f"{step_name} must be > 0, was {step}")
        exponent = value.as_tuple().exponent
        self._decimals = max(0, -exponent) if isinstance(exponent, int) else 0
        self._unit = int(value * Decimal(10) ** self._decimals)  # the step in units of the last decimal
        self._step, self._what, self._step_name = step, what, step_name

    def __missing__(self, text: str) -> int:
        """Convert and remember a text."""
        whole, digits = plain_parts(text, self._what)
        excess = max(0, len(digits) - self._decimals)
        value = int(whole + digits.ljust(self._decimals, "0"))
        count, rest = divmod(value, self._unit * 10**excess)
        if count >= MOST_STEPS:
            raise DataError(f"{self._what} must be under {MOST_STEPS:,} steps of {self._step}, was {text}")
        if rest:
            if not self._round_up:
                raise DataError(f"{self._what} must be a multiple of the {self._step_name} {self._step}, was {text}")
            self.rounded += 1
            return count + 1  # not remembered: every occurrence is counted
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = count
        return count

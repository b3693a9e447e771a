"""Tick and lot of a recording: inferred from its prices and quantities, and both turned into whole numbers of them."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from tidewright.market.errors import DataError
from tidewright.market.fixed_point import MOST_STEPS
from tidewright.market.importers.report import step_text
from tidewright.market.tape import F64, I64

MOST_PRICE_DECIMALS: Final = 12
MOST_LOT_DECIMALS: Final = 8  # a lot is a whole number of 1e-8
LOT_SHARE: Final = 0.999  # quantities that an inferred lot has to fit: orders may be older than a change of the lot
_NOISE: Final = 1e-13  # relative: what arithmetic leaves on a decimal in float64
_ON_GRID: Final = 1e-4  # of a step: what float64 may be off


@dataclass
class StepSurvey:
    """Collects how many decimals prices and quantities need."""

    price_decimals: int = 0
    quantity_decimals: I64 = field(default_factory=lambda: np.zeros(MOST_LOT_DECIMALS + 1, np.int64))

    def add(self, prices: F64, quantities: F64) -> None:
        """Take prices and quantities into account, float64; a quantity of 0 says nothing about the lot."""
        counts = decimal_counts(prices, MOST_PRICE_DECIMALS)
        if counts.any():
            self.price_decimals = max(self.price_decimals, int(np.flatnonzero(counts)[-1]))
        self.quantity_decimals += decimal_counts(quantities[quantities > 0], MOST_LOT_DECIMALS)

    @property
    def tick_size(self) -> str:
        """The finest decimal of the prices."""
        return step_text(self.price_decimals)

    @property
    def lot_size(self) -> str:
        """The decimals that 99.9 % of the quantities fit."""
        seen = np.cumsum(self.quantity_decimals)
        return step_text(int(np.argmax(seen >= LOT_SHARE * seen[-1])) if seen[-1] else 0)


def decimal_counts(values: F64, most: int) -> I64:
    """How many of the values need 0, 1, ..., ``most`` decimals; int64[most + 1]. What needs more counts as ``most``."""
    counts = np.zeros(most + 1, np.int64)
    left = np.unique(values) if most == MOST_PRICE_DECIMALS else values
    for decimals in range(most):
        scaled = left * 10.0**decimals
        fits = np.abs(scaled - np.rint(scaled)) <= np.abs(scaled) * _NOISE
        counts[decimals] = int(fits.sum())
        left = left[~fits]
        if not len(left):
            return counts
    counts[most] = len(left)
    return counts


def to_ticks(values: F64, step: str, where: "Where") -> I64:
    """Ticks of prices > 0 that came as float64: "on the grid" means to a ten-thousandth of a tick.

    Raises
    ------
    DataError
        If a price is not above 0, off the grid, or has too many ticks for the tape's whole numbers.
    """
    scaled = values / float(step)
    ticks = np.rint(scaled)
    good = (np.abs(scaled - ticks) <= _ON_GRID + np.abs(scaled) * 4e-16) & (ticks > 0)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"{where(row)}: price must be > 0 and a multiple of the tick size {step}, was {float(values[row])!r}"
        )
    _require_room(ticks, values, "price", step, where)
    return ticks.astype(np.int64)


def to_lots(values: F64, step: str, where: "Where") -> tuple[I64, int]:
    """Lots of quantities >= 0; one between two lots is taken for the higher. Also how many those were.

    Raises
    ------
    DataError
        If a quantity has too many lots for the tape's whole numbers.
    """
    scaled = values / float(step)
    lots = np.rint(scaled)
    _require_room(lots, values, "quantity", step, where)
    off: npt.NDArray[np.bool_] = np.abs(scaled - lots) > _ON_GRID + np.abs(scaled) * 4e-16
    return np.where(off, np.ceil(scaled), lots).astype(np.int64), int(off.sum())


def _require_room(steps: F64, values: F64, what: str, step: str, where: "Where") -> None:
    good = steps < MOST_STEPS
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"{where(row)}: {what} must be under {MOST_STEPS:,} steps of {step}, was {float(values[row])!r}"
        )


class Where:
    """Names the place of a row in messages: file and line."""

    def __init__(self, path: object, line: I64, unit: str = "line") -> None:
        self._path, self._line, self._unit = path, line, unit

    def __call__(self, row: int) -> str:
        """Words for row ``row``."""
        return f"{self._path}, {self._unit} {self._line[row]}"

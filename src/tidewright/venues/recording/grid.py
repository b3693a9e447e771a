"""Prices off the tick: a venue that coarsens a tick goes on showing the orders that lay between the new steps."""

from collections.abc import Sequence
from typing import Final, TypeVar

from tidewright.market.errors import DataError
from tidewright.market.fixed_point import FixedPoint
from tidewright.market.instrument import Instrument

Row = TypeVar("Row")

_MOST_OFF: Final = 0.1  # share of a snapshot's levels; more than leftovers means that the tick is wrong


class PriceGrid:
    """Tells levels on the tick from those left over from a finer one.

    Such levels lie far from the market (26 % in a recording of NKNUSDT) and nothing new can join them: they are left
    out of the tape and counted. A snapshot with many of them is an error, for then the tick is wrong.

    Attributes
    ----------
    dropped
        Levels left out.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.dropped = 0
        self._instrument = instrument
        self._prices = FixedPoint(instrument.tick_size, "price", "tick size")
        self._known: dict[str, bool] = {}

    def has(self, price: str) -> bool:
        """Whether a price is a multiple of the tick.

        Raises
        ------
        DataError
            If it is not a plain decimal number.
        """
        found = self._known.get(price)
        if found is None:
            if len(self._known) > 200_000:
                self._known.clear()
            try:
                found = self._prices[price] >= 0
            except DataError:
                self._check_plain(price)
                found = False
            self._known[price] = found
        return found

    def keep(self, rows: list[Row], prices: Sequence[str], *, snapshot: bool = False) -> list[Row]:
        """The rows whose prices are on the tick."""
        kept = [row for row, price in zip(rows, prices, strict=True) if self.has(price)]
        off = len(rows) - len(kept)
        if not off:
            return rows
        if snapshot and off > _MOST_OFF * len(rows):
            example = next(price for price in prices if not self.has(price))
            raise DataError(
                f"{off} of the {len(rows)} levels of {self._instrument.symbol} are no multiple of the tick size "
                f"{self._instrument.tick_size}, e.g. {example}: give the right --tick"
            )
        self.dropped += off
        return kept

    @staticmethod
    def _check_plain(price: str) -> None:
        whole, _, fraction = price.partition(".")
        if not (price.isascii() and whole.isdigit() and (not fraction or fraction.isdigit())):
            raise DataError(f"price must be a plain decimal number, was {price!r}")

"""What is traded: scales, filters and fees of one instrument, and exact conversions at the edges.

Inside, prices are integer ticks, quantities integer lots, rates and balances integers of 1e-8. Outside they are
decimal strings. Nothing in between is a float.
"""

from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil, floor
from typing import Any, Literal, Self

from tidewright.market.codes import UNIT
from tidewright.market.errors import DataError, UsageError

Kind = Literal["spot", "linear", "inverse"]


def decimal(value: str | int | Decimal, what: str = "value") -> Decimal:
    """Exact decimal of a text; a float is refused, because its digits are not what was written.

    Raises
    ------
    UsageError
        If the text is not a finite decimal number.
    """
    if isinstance(value, float):
        raise UsageError(f"{what} must be a decimal string, was the float {value!r}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise UsageError(f"{what} must be a decimal number, was {value!r}") from None
    if not number.is_finite():
        raise UsageError(f"{what} must be finite, was {value!r}")
    return number


@dataclass(frozen=True, slots=True)
class Filters:
    """The venue's rules for orders, in ticks, lots and 1e-8 quote units; 0 switches a bound off.

    Attributes
    ----------
    bid_multiplier_down, bid_multiplier_up, ask_multiplier_down, ask_multiplier_up
        Bounds of limit prices as shares of the reference price.
    min_notional_to_market, max_notional_to_market
        Whether these bounds hold for market orders, at the reference price.
    max_num_stop_orders
        Stop orders that may sleep at once.
    reference_minutes
        The reference price is the volume-weighted average price of the last minutes, or with 0 the last price; of
        futures, always the last mark price. ``None``: the venue has not stated it, so nothing is relative to it.
    """

    min_price_ticks: int = 0
    max_price_ticks: int = 0
    min_qty_lots: int = 1
    max_qty_lots: int = 0
    market_max_qty_lots: int = 0
    min_notional: int = 0  # 1e-8 quote units
    max_notional: int = 0  # 1e-8 quote units
    max_num_orders: int = 200
    bid_multiplier_down: str = "0.2"  # PERCENT_PRICE_BY_SIDE
    bid_multiplier_up: str = "5"
    ask_multiplier_down: str = "0.2"
    ask_multiplier_up: str = "5"
    market_min_qty_lots: int = 0
    market_step_lots: int = 0
    min_notional_to_market: bool = False  # judged by the reference price
    max_notional_to_market: bool = False
    max_num_stop_orders: int = 0
    reference_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """One instrument of one venue.

    Parameters
    ----------
    tick_size, lot_size
        Smallest steps of price and quantity, decimal strings.
    maker_fee, taker_fee
        Fee rates, integers of 1e-8 (0.1 % is 100_000); negative is a rebate.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    tick_size: str
    lot_size: str
    kind: Kind = "spot"
    contract_size: str = "1"
    maker_fee: int = 100_000
    taker_fee: int = 100_000
    filters: Filters = field(default_factory=Filters)

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "contract_size"):
            if decimal(getattr(self, name), name) <= 0:
                raise DataError(f"{name} must be > 0, was {getattr(self, name)}")
        if (self.lot * UNIT).denominator != 1:
            raise DataError(f"lot_size must be a multiple of 1e-8, was {self.lot_size}")

    @property
    def tick(self) -> Fraction:
        """Price step, exact."""
        return Fraction(self.tick_size)

    @property
    def lot(self) -> Fraction:
        """Quantity step, exact."""
        return Fraction(self.lot_size)

    @property
    def lot_units(self) -> int:
        """One lot in 1e-8 units of the base asset."""
        return int(self.lot * UNIT)

    @property
    def quote_units(self) -> Fraction:
        """One tick times one lot in 1e-8 units of the quote asset: an integer for most instruments, else a ratio."""
        return self.tick * self.lot * UNIT

    @property
    def smallest_order(self) -> tuple[int, int]:
        """The filters' smallest order: lots, and worth in tick*lots, rounded up."""
        return self.filters.min_qty_lots, ceil(self.filters.min_notional / self.quote_units)

    # -- exact conversions at the edges ---------------------------------------------------------------------------

    def price_to_ticks(self, price: str | Decimal) -> int:
        """Ticks of a price on the grid.

        Raises
        ------
        DataError
            If the price is not a multiple of the tick size.
        """
        return _whole(decimal(price, "price"), self.tick_size, "price", "tick size")

    def qty_to_lots(self, qty: str | Decimal) -> int:
        """Lots of a quantity on the grid.

        Raises
        ------
        DataError
            If the quantity is not a multiple of the lot size.
        """
        return _whole(decimal(qty, "quantity"), self.lot_size, "quantity", "lot size")

    def price_text(self, ticks: int) -> str:
        """Decimal text of a price, without exponent, with the tick size's decimals."""
        return _text(ticks, self.tick_size)

    def qty_text(self, lots: int) -> str:
        """Decimal text of a quantity, without exponent, with the lot size's decimals."""
        return _text(lots, self.lot_size)

    def price_floor(self, price: Decimal) -> int:
        """Highest tick at or under a price."""
        return floor(Fraction(price) / self.tick)

    def price_ceil(self, price: Decimal) -> int:
        """Lowest tick at or over a price."""
        return ceil(Fraction(price) / self.tick)

    # -- files ------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Instrument from the plain values of :meth:`to_json`.

        Raises
        ------
        DataError
            If a field is missing or unknown.
        """
        try:
            return cls(**{**data, "filters": Filters(**data.get("filters", {}))})
        except TypeError as error:
            raise DataError(f"instrument: {error}") from None


def units_text(units: int) -> str:
    """Decimal text of an amount in 1e-8 units, 8 decimals, exact."""
    sign, units = ("-", -units) if units < 0 else ("", units)
    return f"{sign}{units // UNIT}.{units % UNIT:08d}"


def text_units(text: str, what: str = "amount") -> int:
    """1e-8 units of a decimal text.

    Raises
    ------
    UsageError
        If the text has more than 8 decimals or is not a number.
    """
    scaled = decimal(text, what) * UNIT
    if scaled != scaled.to_integral_value():
        raise UsageError(f"{what} must have at most 8 decimals, was {text!r}")
    return int(scaled)


def _whole(value: Decimal, step: str, what: str, step_name: str) -> int:
    count = Fraction(value) / Fraction(step)
    if count.denominator != 1:
        raise DataError(f"{what} must be a multiple of the {step_name} {step}, was {value}")
    return int(count)


def _text(count: int, step: str) -> str:
    exponent = Decimal(step).normalize().as_tuple().exponent
    decimals = max(0, -exponent) if isinstance(exponent, int) else 0
    scaled = int(count * Fraction(step) * 10**decimals)
    if decimals == 0:
        return str(scaled)
    sign, scaled = ("-", -scaled) if scaled < 0 else ("", scaled)
    return f"{sign}{scaled // 10**decimals}.{scaled % 10**decimals:0{decimals}d}"

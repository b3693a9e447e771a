"""The session's books: position, cash, fees, cost, profit and equity, exact integers throughout.

Cash is counted in ``tick*lots`` as the engine does, fees in 1e-8 units of the asset they were taken in. Balances
follow from these and must equal the venue's to the last unit.
"""

from dataclasses import dataclass, field
from fractions import Fraction

from tidewright.market.codes import BUY
from tidewright.market.instrument import Instrument, units_text


@dataclass(frozen=True, slots=True)
class LedgerState:
    """Everything needed to write a ledger down and go on with it later.

    Attributes
    ----------
    start_base, start_quote
        Balances when the session began, 1e-8 units.
    position_lots
        Net filled quantity since then, integer lots (the grid's ``position``).
    cash
        Net of what fills paid and received, integer tick*lots, without fees.
    cost
        What the position cost, integer tick*lots, with the position's sign.
    realised
        Profit of closed quantity by average cost, integer tick*lots, without fees; ``cash + cost == realised``.
    fees
        Commission taken so far by asset, 1e-8 units.
    """

    start_base: int
    start_quote: int
    position_lots: int = 0
    cash: int = 0
    cost: int = 0
    realised: int = 0
    fees: dict[str, int] = field(default_factory=dict)


class Ledger:
    """Books fills; see :class:`LedgerState` for the units."""

    def __init__(self, instrument: Instrument, state: LedgerState) -> None:
        self.instrument = instrument
        self.start_base = state.start_base
        self.start_quote = state.start_quote
        self.position_lots = state.position_lots
        self.cash = state.cash
        self.cost = state.cost
        self.realised = state.realised
        self.fees = dict(state.fees)
        # Ratios as plain integers: fractions are exact too, but slow, and these are asked for every cycle.
        money, tick = instrument.quote_units, instrument.tick
        self.quote_ratio = (money.numerator, money.denominator)  # 1e-8 quote units of one tick*lot
        self._tick_ratio = (tick.numerator, tick.denominator)
        self._lot_units = instrument.lot_units

    @property
    def state(self) -> LedgerState:
        """The books as plain values."""
        return LedgerState(
            self.start_base,
            self.start_quote,
            self.position_lots,
            self.cash,
            self.cost,
            self.realised,
            dict(self.fees),
        )

    def book(self, side: int, price_ticks: int, qty_lots: int, fee_units: int, fee_asset: str) -> None:
        """Book one fill: quantity at a price, and its commission.

        Parameters
        ----------
        qty_lots
            Greater than 0, integer lots.
        fee_units
            Commission, 1e-8 units of ``fee_asset``; negative for a rebate.
        """
        signed = qty_lots if side == BUY else -qty_lots
        self.cash -= signed * price_ticks
        self.position_lots, self.cost, gain = by_average_cost(self.position_lots, self.cost, signed, price_ticks)
        self.realised += gain
        self.fees[fee_asset] = self.fees.get(fee_asset, 0) + fee_units

    # -- what follows from the books --------------------------------------------------------------------------------

    def fee(self, asset: str) -> int:
        """Commission taken in an asset so far, 1e-8 units."""
        return self.fees.get(asset, 0)

    @property
    def base_units(self) -> int:
        """What the base balance must be, 1e-8 units, free and locked together."""
        return self.start_base + self.position_lots * self._lot_units - self.fee(self.instrument.base)

    @property
    def quote_units(self) -> int:
        """What the quote balance must be, 1e-8 units, free and locked together."""
        return self.start_quote + self._money(self.cash) - self.fee(self.instrument.quote)

    @property
    def net_position_lots(self) -> int:
        """Inventory deviation with commission taken in base counted, whole lots rounded down, as in the engine."""
        return (self.base_units - self.start_base) // self._lot_units

    def equity_units(self, mid2_ticks: int) -> int:
        """Value of all balances at the mid, 1e-8 quote units.

        Parameters
        ----------
        mid2_ticks
            Best bid plus best ask in ticks: twice the mid.
        """
        return self.quote_units + self._at_mid(self.base_units, mid2_ticks)

    def equity(self, mid2_ticks: int) -> float:
        """The same in quote, float64: the engine's own expression, so that live and backtest see the same bytes."""
        numerator, denominator = self.quote_ratio
        settled = self.start_quote - self.fee(self.instrument.quote)
        if denominator == 1:
            quote = float(settled + self.cash * numerator)
        else:
            quote = float(settled) + float(self.cash * numerator) / float(denominator)
        return (quote + float(self.base_units) * (float(mid2_ticks) * (0.5 * float(self.instrument.tick)))) / 1e8

    def unrealised_units(self, mid2_ticks: int) -> int:
        """Profit the position would make at the mid, 1e-8 quote units, without fees."""
        numerator, denominator = self.quote_ratio
        return (self.position_lots * mid2_ticks - 2 * self.cost) * numerator // (2 * denominator)

    @property
    def realised_units(self) -> int:
        """Profit of closed quantity, 1e-8 quote units, without fees."""
        return self._money(self.realised)

    def fees_units(self, mid2_ticks: int) -> int:
        """All commission valued in quote at the mid, 1e-8 units; a third asset (BNB) has no price here."""
        return self._at_mid(self.fee(self.instrument.base), mid2_ticks) + self.fee(self.instrument.quote)

    def _money(self, tick_lots: int) -> int:
        return tick_lots * self.quote_ratio[0] // self.quote_ratio[1]

    def _at_mid(self, base_units: int, mid2_ticks: int) -> int:
        return base_units * mid2_ticks * self._tick_ratio[0] // (2 * self._tick_ratio[1])

    @property
    def entry_price_ticks(self) -> Fraction:
        """Average cost of the position in ticks, exact; 0 when flat."""
        return Fraction(self.cost, self.position_lots) if self.position_lots else Fraction(0)

    def difference(self, base_units: int, quote_units: int) -> str:
        """How these balances differ from the books, in words; empty if they are equal to the last unit."""
        parts = []
        for asset, theirs, ours in (
            (self.instrument.base, base_units, self.base_units),
            (self.instrument.quote, quote_units, self.quote_units),
        ):
            if theirs != ours:
                parts.append(
                    f"{asset}: venue {units_text(theirs)}, ledger {units_text(ours)}, "
                    f"difference {units_text(theirs - ours)}"
                )
        return "; ".join(parts)


def by_average_cost(position_lots: int, cost: int, signed_lots: int, price_ticks: int) -> tuple[int, int, int]:
    """Position and cost after a trade, and what its closed part has earned: lots and tick*lots, exact.

    Parameters
    ----------
    position_lots, cost
        Before it; the cost has the position's sign.
    signed_lots
        Positive for a buy.
    """
    if position_lots * signed_lots >= 0:
        return position_lots + signed_lots, cost + signed_lots * price_ticks, 0
    closed = min(abs(signed_lots), abs(position_lots)) * (1 if signed_lots > 0 else -1)
    # The closed part's cost is rounded down; the rest stays with the position, so nothing is lost.
    freed = cost * -closed // position_lots
    opened = signed_lots - closed
    return position_lots + signed_lots, cost - freed + opened * price_ticks, -closed * price_ticks - freed

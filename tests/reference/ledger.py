"""A lane's money in the slow model: fills, fees, equity, what is known of them at a time. ENGINE.md, "Money"."""

from dataclasses import dataclass, field
from fractions import Fraction

from tests.reference.records import Fill, Order, Report, Sample, Settings
from tidewright.market.codes import (
    BUY,
    FEE_BASE,
    FEE_OTHER,
    FEE_QUOTE,
    FILL,
    UNIT,
)
from tidewright.market.instrument import Instrument


def truncated(amount: Fraction) -> int:
    """Towards zero."""
    return int(amount)


@dataclass
class Ledger:
    """What a lane holds and what happened to it."""

    instrument: Instrument
    settings: Settings
    strategy: str | None = None
    params: dict[str, float] = field(default_factory=dict)
    base_start: int = 0
    quote_start: int = 0
    check_balance: bool = False

    def __post_init__(self) -> None:
        self.fills: list[Fill] = []
        self.payments: list[tuple[int, int]] = []  # when funding is known, and how much was paid
        self.reports: list[Report] = []
        self.samples: list[Sample] = []

    def report(
        self,
        what: int,
        number: int,
        tag: int,
        ts: int,
        side: int,
        price: int,
        qty: int,
        leaves: int,
        *,
        known_ns: int | None = None,
        maker: int = 0,
        fee: int = 0,
        fee_asset: int = 0,
        reason: int = 0,
    ) -> None:
        known = ts + self.settings.response(ts) if known_ns is None else known_ns
        self.reports.append(
            Report(what, number, tag, ts, known, side, price, qty, leaves, maker, fee, fee_asset, reason)
        )

    def fill(self, order: Order, qty: int, price: int, maker: int, ts: int, known: int) -> None:
        """Book a fill. "Fees: integer 1e-8 units of the asset the venue takes (a spot buy pays in base), per fill,
        truncated, rates in integer 1e-8".
        """
        rate = self.instrument.maker_fee if maker else self.instrument.taker_fee
        fee_base = fee_quote = 0
        other = self.settings.fee_asset_price
        in_base = order.side == BUY and self.instrument.kind == "spot" and not other
        if other:  # in quote, then at the price of the asset, each truncated
            in_quote = truncated(price * qty * self.instrument.quote_units * rate / UNIT)
            fee = fee_quote = truncated(in_quote / Fraction(other))
        elif in_base:
            fee = fee_base = truncated(Fraction(qty * self.instrument.lot_units * rate, UNIT))
        else:
            fee = fee_quote = truncated(price * qty * self.instrument.quote_units * rate / UNIT)
        order.leaves -= qty
        self.fills.append(Fill(known, order.side, price, qty, fee_base, fee_quote))
        asset = FEE_OTHER if other else FEE_BASE if in_base else FEE_QUOTE
        self.report(
            FILL,
            order.number,
            order.tag,
            ts,
            order.side,
            price,
            qty,
            order.leaves,
            known_ns=known,
            maker=maker,
            fee=fee,
            fee_asset=asset,
        )
        if order.leaves == 0:
            order.state = "dead"
            order.died_known_ns = known

    def money(self, known_at: int | None) -> tuple[int, int, int, int]:
        """Position (lots), cash (tick*lots), fees in base and quote; of what is known at a time, or the truth."""
        position = cash = fee_base = fee_quote = 0
        for fill in self.fills:
            if known_at is not None and fill.known_ns > known_at:
                continue
            sign = 1 if fill.side == BUY else -1
            position += sign * fill.qty
            cash -= sign * fill.qty * fill.price
            fee_base += fill.fee_base
            fee_quote += fill.fee_quote
        return position, cash, fee_base, fee_quote

    def pay_funding(self, rate: int, price: Fraction, known: int) -> None:
        """ "position times price times rate, truncated towards zero: a long position pays at a positive rate" """
        position, *_ = self.money(None)
        self.payments.append((known, truncated(position * price * self.instrument.quote_units * rate / UNIT)))

    def funding(self, known_at: int | None) -> int:
        """Funding paid less received; of what is known at a time, or the truth."""
        return sum(paid for known, paid in self.payments if known_at is None or known <= known_at)

    def equity(self, sample: Sample) -> Fraction:
        """Quote balance plus base balance at the mid, 1e-8 quote units; "before the first mid: the capital", which is
        what the lane starts with, at the first mid that a sample has.
        """
        mid2 = sample.mid2
        if mid2 is None:
            mid2 = next((other.mid2 for other in self.samples if other.mid2 is not None), None)
        if mid2 is None:
            return Fraction(self.quote_start)
        base = self.base_start + sample.position * self.instrument.lot_units - sample.fee_base
        quote = self.quote_start + sample.cash * self.instrument.quote_units - self.fee_value(sample.fee_quote)
        quote -= sample.funding
        return quote + base * Fraction(mid2, 2) * self.instrument.tick

    def fee_value(self, fee_quote: int) -> Fraction:
        """What fees that were not paid in base are worth in quote."""
        return fee_quote * Fraction(self.settings.fee_asset_price or 1)

    def entry_price(self, now: int) -> Fraction | None:
        """Average entry price of the known position in ticks, in the order in which fills became known."""
        position, value = 0, Fraction(0)
        known = [fill for fill in self.fills if fill.known_ns <= now]
        for fill in sorted(known, key=lambda f: f.known_ns):  # stable: equal times keep their order
            signed = fill.qty if fill.side == BUY else -fill.qty
            if position * signed >= 0:
                value += abs(signed) * fill.price
            elif abs(signed) < abs(position):
                value -= value * abs(signed) / abs(position)
            else:  # closed, or turned around at this price
                value = Fraction((abs(signed) - abs(position)) * fill.price)
            position += signed
        return value / abs(position) if position else None

"""The slow model of the matching engine: ENGINE.md as plain loops, one object a lane, one queue an order.

Quotation marks in comments hold the sentence of ENGINE.md that a step implements. Every lane replays the whole tape
by itself, with its own books, so that nothing can leak between lanes.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from tests.reference.book import Book, Change, Packet, Row, packets
from tests.reference.queues import QUEUES, Queue
from tests.reference.quoting import Known, LimitSet, limited, merged, strategy_quotes
from tidewright.market.codes import (
    ACCEPTED,
    BUY,
    CANCEL_REJECTED,
    CANCELLED,
    EXPIRED,
    FEE_BASE,
    FEE_QUOTE,
    FILL,
    FILTER_LOT,
    FILTER_MAX_ORDERS,
    FILTER_NOTIONAL,
    FILTER_PRICE,
    FOK,
    FOK_UNFILLED,
    GAP,
    GTC,
    INSUFFICIENT_BALANCE,
    IOC,
    LIMIT,
    MARKET,
    NO_LIQUIDITY,
    NO_REASON,
    OUTSIDE_WINDOW,
    POST_ONLY,
    REJECTED,
    RESET,
    SELF_TRADE,
    SELL,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
    UNIT,
    UNKNOWN_ORDER,
    WOULD_TAKE,
)
from tidewright.market.instrument import Instrument
from tidewright.strategies.view import View

DAY_NS = 86_400_000_000_000
NO_LIMITS = LimitSet()


@dataclass(frozen=True)
class Settings:
    """What a run is made with; the names of ReplayConfig."""

    cycle_ns: int
    start_ns: int | None = None
    entry_ns: int = 0
    response_ns: int = 0
    feed_ns: int = 0
    queue: str = "risk_averse"
    queue_power: float = 3.0
    window_ticks: int = 1024  # wider than what prices of a small tape can leave
    limits: LimitSet = NO_LIMITS


class Report(NamedTuple):
    """One thing that happened to an order."""

    what: int
    number: int
    tag: int
    ts: int
    known_ns: int
    side: int
    price: int
    qty: int
    leaves: int
    maker: int
    fee: int
    fee_asset: int
    reason: int


@dataclass
class Order:
    """An order from sending to death."""

    number: int
    tag: int
    side: int
    kind: int
    tif: int
    price: int
    qty: int
    leaves: int = 0
    queue: Queue | None = None
    arrived: int = -1  # place in the lane's own order of arrival
    state: str = "sent"  # sent, waiting, resting, dead
    died_known_ns: int | None = None
    cancel_sent: bool = False


@dataclass
class Message:
    """What a lane sent: a new order or a cancel."""

    arrival_ns: int
    order: Order | None  # None: a cancel of a number nobody knows
    is_cancel: bool
    number: int


@dataclass
class Fill:
    """One fill, as money."""

    known_ns: int
    side: int
    price: int
    qty: int
    fee_base: int
    fee_quote: int


@dataclass
class Sample:
    """What an equity point is made of, at a decision or at the end."""

    ts: int
    position: int
    cash: int
    fee_base: int
    fee_quote: int
    mid2: int | None


def truncated(amount: Fraction) -> int:
    """Towards zero."""
    return int(amount)


@dataclass
class Lane:
    """One lane and all it meets: the tape's true book, its view of it, its orders, its money."""

    instrument: Instrument
    settings: Settings
    strategy: str | None = None
    params: dict[str, float] = field(default_factory=dict)
    base_start: int = 0
    quote_start: int = 0
    check_balance: bool = False

    def __post_init__(self) -> None:
        self.tape: list[Packet] = []
        self.applied = 0  # packets in the true book
        self.viewed = 0  # packets in the view
        self.book = Book(self.settings.window_ticks)
        self.view = Book(self.settings.window_ticks)
        self.now = -(2**62)  # everything up to here has happened
        self.inbox: list[Message] = []
        self.waiting: list[Order] = []  # "new orders wait" in a gap
        self.orders: list[Order] = []
        self.arrivals = 0
        self.taken: tuple[dict[int, int], dict[int, int]] = ({}, {})  # by book side and price
        self.updated: set[tuple[int, int]] = set()  # levels set to > 0 since the last whole, unlocked packet end
        self.fills: list[Fill] = []
        self.reports: list[Report] = []
        self.samples: list[Sample] = []
        self.decisions = 0
        self.limited = 0  # decisions at which a limit cut quotes
        self.mids: list[int] = []  # mid2 of the view at each decision with a whole view
        self.day_start: Sample | None = None

    # -- time -----------------------------------------------------------------------------------------------------

    def start_ns(self) -> int | None:
        """ "t = start + k*cycle, k = 1, 2, ..., start given or the first packet's ts" """
        if self.settings.start_ns is not None:
            return self.settings.start_ns
        return self.tape[0].ts if self.tape else None

    def next_decision(self) -> int | None:
        start = self.start_ns()
        if self.strategy is None or start is None:
            return None
        return start + (self.decisions + 1) * self.settings.cycle_ns

    def next_instant(self) -> int | None:
        times = [message.arrival_ns for message in self.inbox]
        if self.applied < len(self.tape):
            times.append(self.tape[self.applied].ts)
        decision = self.next_decision()
        if decision is not None:
            times.append(decision)
        return min(times, default=None)

    def advance(self, until_ns: int) -> None:
        """Let everything due at or before a time happen."""
        while True:
            instant = self.next_instant()
            if instant is None or instant > until_ns:
                break
            self.run_instant(instant)
        self.now = max(self.now, until_ns)

    def finish(self) -> None:
        """ "everything due until the last ts happens, later arrivals do not; resting orders are dropped, positions
        stay, one final equity point (replacing a decision's at the same instant)"
        """
        if not self.tape:
            return
        end = max(self.tape[-1].ts, self.now)
        self.advance(end)
        final = Sample(end, *self.money(None), self.book.last_mid2)  # "the end reports the true state"
        if self.samples and self.samples[-1].ts == end:
            self.samples.pop()
        self.samples.append(final)

    def run_instant(self, now: int) -> None:
        """ "At one instant: packets, then cancels, then new orders in order of sending, then what becomes known, then
        the decision (so with entry latency 0 its orders arrive right after it)."
        """
        while self.applied < len(self.tape) and self.tape[self.applied].ts == now:
            self.packet(self.tape[self.applied])  # "packets with equal ts run in file order"
            self.applied += 1
        self.deliver(now)
        # What becomes known needs no step: known state is always counted anew from times of knowledge.
        if self.next_decision() == now:
            self.decide(now)
            self.decisions += 1
            self.deliver(now)

    def deliver(self, now: int) -> None:
        """Messages that arrive now."""
        due = [message for message in self.inbox if message.arrival_ns == now]
        self.inbox = [message for message in self.inbox if message.arrival_ns != now]
        news = [message for message in due if not message.is_cancel]
        coming = {id(message.order) for message in news}
        late: list[Message] = []  # "A lane's messages never overtake each other."
        for message in due:
            if not message.is_cancel:
                continue
            if message.order is not None and id(message.order) in coming:
                late.append(message)
            else:
                self.cancel_arrives(message, now)
        if not self.book.gap:
            waited, self.waiting = self.waiting, []
            for order in waited:  # they "arrive after all packets of the instant that ends" the gap
                self.order_arrives(order, now)
        for message in news:
            assert message.order is not None
            if self.book.gap:
                message.order.state = "waiting"
                self.waiting.append(message.order)
            else:
                self.order_arrives(message.order, now)
            for cancel in late:
                if cancel.order is message.order:
                    self.cancel_arrives(cancel, now)

    # -- packets --------------------------------------------------------------------------------------------------

    def packet(self, packet: Packet) -> None:
        bid_before, ask_before = self.book.best_bid(), self.book.best_ask()
        known = max(packet.ts + self.settings.response_ns, packet.receipt)
        if self.book.begin_packet(packet.rows):
            self.window_moved()
        for place, row in enumerate(packet.rows):
            if row.kind in (TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN):
                aggressor = trade_side(row, bid_before, ask_before)
                if aggressor is not None and not self.book.gap:  # "In a gap trades neither fill nor move queues"
                    self.trade(aggressor, row, known)
            changes = self.book.apply(row)
            if row.kind in (RESET, GAP):
                self.taken[BUY].clear()  # "a reset or gap clears it"
                self.taken[SELL].clear()
            if row.kind == RESET and self.book.place(packet.rows[place + 1 :]):
                self.window_moved()
            for change in changes:
                self.level_changed(change)
        if self.book.end_packet():
            for order in self.resting():  # "resting orders rejoin at the back, own order of arrival kept"
                order.queue = self.new_queue(order)
        if self.book.whole and not self.book.locked:
            self.touch(packet.ts, known)
            self.updated.clear()
        if self.book.follow():
            self.window_moved()

    def window_moved(self) -> None:
        """ "a level that left the window is unknown when it returns: orders there rejoin at the back" """
        for order in self.resting():
            if not self.book.inside(order.price) or (order.side, order.price) in self.book.unknown:
                order.queue = None
        for side in (BUY, SELL):
            for price in [p for p in self.taken[side] if not self.book.inside(p)]:
                del self.taken[side][price]

    def level_changed(self, change: Change) -> None:
        side, price, old, new = change
        taken = self.taken[side].get(price, 0)
        if new > (old or 0):  # "a row that raises the level forgives as much as it adds"
            taken = max(0, taken - (new - (old or 0)))
        self.taken[side][price] = min(taken, new)  # "one that lowers it caps it"
        if new > 0:
            self.updated.add((side, price))
        if self.book.gap:
            return  # queues of resting orders start anew when the gap ends
        for order in self.resting():
            if order.side != side or order.price != price:
                continue
            if order.queue is None:
                order.queue = self.new_queue(order)
            else:
                order.queue.level(old or 0, new)

    def trade(self, aggressor: int, row: Row, known: int) -> None:
        """ "A print of quantity T serves a lane once: its resting orders from the best price
        down, then by arrival."
        """
        met = SELL if aggressor == BUY else BUY  # "Buy prints meet only asks, sell prints only bids."
        used = 0
        for order in self.by_priority(met):
            if not self.book.inside(order.price):
                continue
            better = order.price < row.price if met == SELL else order.price > row.price
            if better:  # "Orders at better prices than the print's fill from T" ... "A print beyond sets q = 0"
                available = row.qty - used
                order.queue = self.front_queue()
            elif order.price == row.price and order.queue is None:
                available = 0  # nobody knows what stands ahead
            elif (
                order.price == row.price and order.queue is not None
            ):  # "at the print's price from max(0, T - q - used). Then q falls by T (to 0)"
                available = row.qty - order.queue.ahead() - used
                order.queue.print_at(row.qty)
            else:
                continue
            filled = min(order.leaves, max(0, available))
            if filled > 0:
                used += filled
                self.fill(order, filled, order.price, 1, row.ts, known)

    def touch(self, ts: int, known: int) -> None:
        """ "at a packet end with a whole, unlocked book, the opposite levels at or through an order's price that were
        updated (to more than 0) since the last such packet end fill it, up to their quantity less what the lane has
        taken, at its own price and maker fee, and count as taken"
        """
        for side in (BUY, SELL):
            opposite = SELL if side == BUY else BUY
            prices = sorted({p for s, p in self.updated if s == opposite}, reverse=opposite == BUY)
            for order in self.by_priority(side):
                if not self.book.inside(order.price):
                    continue
                for price in prices:
                    if not reaches(side, order.price, price):
                        continue
                    filled = min(order.leaves, self.net(opposite, price))
                    if filled > 0:
                        self.taken[opposite][price] = self.taken[opposite].get(price, 0) + filled
                        self.fill(order, filled, order.price, 1, ts, known)

    def net(self, side: int, price: int) -> int:
        """A level's quantity less what the lane has taken there."""
        return self.book.qty(side, price) - self.taken[side].get(price, 0)

    # -- orders ---------------------------------------------------------------------------------------------------

    def resting(self) -> list[Order]:
        return [order for order in self.orders if order.state == "resting"]

    def by_priority(self, side: int) -> list[Order]:
        """ "from the best price down, then by arrival" """
        own = [order for order in self.resting() if order.side == side]
        return sorted(own, key=lambda o: (-o.price if side == BUY else o.price, o.arrived))

    def front_queue(self) -> Queue:
        return QUEUES[self.settings.queue](0, self.settings.queue_power)

    def new_queue(self, order: Order) -> Queue | None:
        """The back of the queue at an order's price; None where the level is unknown."""
        if not self.book.inside(order.price) or (order.side, order.price) in self.book.unknown:
            return None
        return QUEUES[self.settings.queue](self.book.qty(order.side, order.price), self.settings.queue_power)

    def submit(self, side: int, kind: int, tif: int, price: int, qty: int, arrival_ns: int, tag: int = 0) -> int:
        """Send an order; its number within the lane."""
        order = Order(len(self.orders), tag, side, kind, tif, price, qty, leaves=qty)
        self.orders.append(order)
        self.send(Message(arrival_ns, order, False, order.number))
        return order.number

    def cancel(self, number: int, arrival_ns: int) -> None:
        order = self.orders[number] if 0 <= number < len(self.orders) else None
        if order is not None:
            order.cancel_sent = True
        self.send(Message(arrival_ns, order, True, number))

    def send(self, message: Message) -> None:
        last = max((m.arrival_ns for m in self.inbox), default=self.now)
        message.arrival_ns = max(message.arrival_ns, last)  # "A lane's messages never overtake each other."
        self.inbox.append(message)

    def cancel_arrives(self, message: Message, now: int) -> None:
        order = message.order
        if order is None or order.state in ("sent", "dead"):
            if self.strategy is None:  # "A cancel that comes too late has no effect"
                self.report(CANCEL_REJECTED, message.number, 0, now, 0, 0, 0, 0, reason=UNKNOWN_ORDER)
            return
        if order.state == "waiting":  # "cancels act, also on waiting orders"
            self.waiting.remove(order)
        self.die(order, CANCELLED, now, NO_REASON)

    def order_arrives(self, order: Order, now: int) -> None:
        """ "Checks on arrival as the venue orders them: filters, balance, post-only against the tape net of what the
        lane has taken, and against the lane's own orders."
        """
        reason = self.refusal(order)
        if reason != NO_REASON:
            self.die(order, REJECTED, now, reason)
            return
        self.report(ACCEPTED, order.number, order.tag, now, order.side, order.price, order.qty, order.leaves)
        if order.kind == LIMIT and order.tif == FOK and self.walkable(order) < order.qty:  # "FOK is all or nothing"
            self.die(order, EXPIRED, now, FOK_UNFILLED)
            return
        if self.book.whole and order.tif != POST_ONLY:  # "Not whole: ... no taking"
            self.walk(order, now)
        if order.leaves == 0:
            return
        if order.kind == MARKET or order.tif == IOC:  # "MARKET and IOC remainders expire"
            self.die(order, EXPIRED, now, NO_LIQUIDITY)
            return
        order.state = "resting"  # "a limit's remainder rests"
        order.arrived = self.arrivals
        self.arrivals += 1
        order.queue = self.new_queue(order)

    def refusal(self, order: Order) -> int:
        filters = self.instrument.filters
        if order.kind == LIMIT:
            if order.price <= 0 or order.price < filters.min_price_ticks:
                return FILTER_PRICE
            if 0 < filters.max_price_ticks < order.price:
                return FILTER_PRICE
        if order.qty <= 0 or order.qty < filters.min_qty_lots or 0 < filters.max_qty_lots < order.qty:
            return FILTER_LOT
        if order.kind == MARKET and 0 < filters.market_max_qty_lots < order.qty:
            return FILTER_LOT
        if order.kind == LIMIT:
            notional = order.price * order.qty * self.instrument.quote_units
            if notional < filters.min_notional or 0 < filters.max_notional < notional:
                return FILTER_NOTIONAL
        if len(self.resting()) >= filters.max_num_orders > 0:
            return FILTER_MAX_ORDERS
        if order.kind == LIMIT and not self.book.inside(order.price):
            return OUTSIDE_WINDOW
        if self.check_balance and not self.affordable(order):
            return INSUFFICIENT_BALANCE
        if order.tif == POST_ONLY:
            opposite = SELL if order.side == BUY else BUY
            for price in self.book.levels[opposite]:
                if reaches(order.side, order.price, price) and self.net(opposite, price) > 0:
                    return WOULD_TAKE
            for own in self.resting():
                if own.side == opposite and reaches(order.side, order.price, own.price):
                    return WOULD_TAKE
        return NO_REASON

    def walk_prices(self, order: Order) -> list[int]:
        """Prices the order may take at, best first: tape levels and own orders."""
        opposite = SELL if order.side == BUY else BUY
        prices = set(self.book.levels[opposite]) | {own.price for own in self.resting() if own.side == opposite}
        reachable = [p for p in prices if order.kind == MARKET or reaches(order.side, order.price, p)]
        return sorted(reachable, reverse=opposite == BUY)

    def walkable(self, order: Order) -> int:
        """Quantity the order could take from the tape, net of what the lane has taken."""
        if not self.book.whole:
            return 0
        opposite = SELL if order.side == BUY else BUY
        return sum(self.net(opposite, price) for price in self.walk_prices(order))

    def walk(self, order: Order, now: int) -> None:
        """ "a marketable order walks the book net of what the lane has taken; taken quantity is remembered per
        level"
        """
        opposite = SELL if order.side == BUY else BUY
        for price in self.walk_prices(order):
            # "Self-trade: the walk takes what lies ahead of the lane's own resting order at that price, that order
            # expires, the walk goes on."
            for own in self.by_priority(opposite):
                if own.price != price or order.leaves == 0:
                    continue
                ahead = (own.queue.ahead() if own.queue is not None else 0) - self.taken[opposite].get(price, 0)
                self.take(order, min(ahead, self.net(opposite, price)), price, now)
                if order.leaves > 0:
                    self.die(own, EXPIRED, now, SELF_TRADE)
            self.take(order, self.net(opposite, price), price, now)

    def take(self, order: Order, available: int, price: int, now: int) -> None:
        filled = min(order.leaves, max(0, available))
        if filled > 0:
            opposite = SELL if order.side == BUY else BUY
            self.taken[opposite][price] = self.taken[opposite].get(price, 0) + filled
            # Known: "a taker fill, rejection or cancel at arrival + response"
            self.fill(order, filled, price, 0, now, now + self.settings.response_ns)

    def die(self, order: Order, what: int, now: int, reason: int) -> None:
        self.report(what, order.number, order.tag, now, order.side, order.price, order.qty, order.leaves, reason=reason)
        order.state = "dead"
        order.died_known_ns = now + self.settings.response_ns

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
        known = ts + self.settings.response_ns if known_ns is None else known_ns
        self.reports.append(
            Report(what, number, tag, ts, known, side, price, qty, leaves, maker, fee, fee_asset, reason)
        )

    # -- money ----------------------------------------------------------------------------------------------------

    def fill(self, order: Order, qty: int, price: int, maker: int, ts: int, known: int) -> None:
        """Book a fill. "Fees: integer 1e-8 units of the asset the venue takes (a spot buy pays in base), per fill,
        truncated, rates in integer 1e-8".
        """
        rate = self.instrument.maker_fee if maker else self.instrument.taker_fee
        fee_base = fee_quote = 0
        in_base = order.side == BUY and self.instrument.kind == "spot"
        if in_base:
            fee = fee_base = truncated(Fraction(qty * self.instrument.lot_units * rate, UNIT))
        else:
            fee = fee_quote = truncated(price * qty * self.instrument.quote_units * rate / UNIT)
        order.leaves -= qty
        self.fills.append(Fill(known, order.side, price, qty, fee_base, fee_quote))
        asset = FEE_BASE if in_base else FEE_QUOTE
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
        quote = self.quote_start + sample.cash * self.instrument.quote_units - sample.fee_quote
        return quote + base * Fraction(mid2, 2) * self.instrument.tick

    def balances(self) -> tuple[int, Fraction, int, Fraction]:
        """Base and quote balances and what resting orders lock of them, 1e-8 units."""
        position, cash, fee_base, fee_quote = self.money(None)
        base = self.base_start + position * self.instrument.lot_units - fee_base
        quote = self.quote_start + cash * self.instrument.quote_units - fee_quote
        base_locked = sum(o.leaves for o in self.resting() if o.side == SELL) * self.instrument.lot_units
        quote_locked = sum(o.leaves * o.price for o in self.resting() if o.side == BUY) * self.instrument.quote_units
        return base, quote, base_locked, Fraction(quote_locked)

    def affordable(self, order: Order) -> bool:
        base, quote, base_locked, quote_locked = self.balances()
        if order.side == SELL:
            return order.qty * self.instrument.lot_units <= base - base_locked
        if order.kind == LIMIT:
            cost = order.price * order.qty * self.instrument.quote_units
        else:
            cost, need = Fraction(0), order.qty
            for price in self.walk_prices(order) if self.book.whole else []:
                here = min(need, self.net(SELL, price))
                cost += here * price * self.instrument.quote_units
                need -= here
        return cost <= quote - quote_locked

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

    # -- decisions ------------------------------------------------------------------------------------------------

    def decide(self, now: int) -> None:
        # "The view is all packets with effective receipt <= t."
        while self.viewed < len(self.tape) and self.tape[self.viewed].receipt <= now:
            self.view.read(self.tape[self.viewed].rows)
            self.viewed += 1
        # "Decisions and reported equity use the known state and the view's mid"
        sample = Sample(now, *self.money(now), self.view.last_mid2)
        self.samples.append(sample)
        if self.day_start is None or now // DAY_NS != self.day_start.ts // DAY_NS:  # "day = UTC of market time"
            self.day_start = sample
        if not self.view.whole:
            return  # "Not whole: no decision"
        view = self.what_it_sees(now, sample.position)
        assert self.strategy is not None
        bids, asks = strategy_quotes(self.strategy, view, self.params)
        wanted = len(bids) + len(asks)
        bids, asks = limited(self.known(sample, view), self.settings.limits, bids, asks)
        self.limited += len(bids) + len(asks) < wanted
        self.reach(now, {BUY: merged(bids), SELL: merged(asks)})

    def known(self, sample: Sample, view: View) -> Known:
        entry = self.entry_price(sample.ts)
        assert self.day_start is not None
        lot_units = self.instrument.lot_units
        return Known(
            position=(sample.position * lot_units - sample.fee_base) // lot_units,
            mid=view.mid2 / 2.0 * view.tick,
            lot=view.lot,
            equity=float(self.equity(sample) / UNIT),
            day_equity=float(self.equity(self.day_start) / UNIT),
            entry_price=None if entry is None else entry * self.instrument.tick,
            volatility=view.volatility,
        )

    def what_it_sees(self, now: int, position: int) -> View:
        best_bid, best_ask, start = self.view.best_bid(), self.view.best_ask(), self.start_ns()
        assert best_bid is not None and best_ask is not None and start is not None
        bid_qty, ask_qty = self.view.qty(BUY, best_bid), self.view.qty(SELL, best_ask)
        price_change, volatility = self.observe(best_bid + best_ask)
        return View(
            now_ns=now,
            elapsed_ns=now - start,
            cycle_ns=self.settings.cycle_ns,
            best_bid=best_bid,
            best_ask=best_ask,
            bid_qty=bid_qty,
            ask_qty=ask_qty,
            mid2=best_bid + best_ask,
            tick=float(self.instrument.tick),
            lot=float(self.instrument.lot),
            price_change=price_change,
            volatility=volatility,
            imbalance=(bid_qty - ask_qty) / (bid_qty + ask_qty),
            position=position,
        )

    def observe(self, mid2: int) -> tuple[float, float]:
        """Log return since the last decision with a whole view, and the EWMA volatility a cycle, counted anew."""
        self.mids.append(mid2)
        returns = [math.log(new / old) for old, new in pairwise(self.mids)]
        if not returns:
            return 0.0, 0.0
        variance = returns[0] * returns[0]
        for change in returns[1:]:
            variance += 0.06 * (change * change - variance)
        return returns[-1], math.sqrt(variance)

    def reach(self, now: int, targets: dict[int, list[tuple[int, int]]]) -> None:
        """ "Target quotes are compared with what is neither known dead nor already sent a cancel, by (side, price): an
        order at a wanted price whose original quantity equals the target stays; the rest is cancelled; what is missing
        is sent anew."
        """
        arrival = now + self.settings.entry_ns
        missing = {side: list(quotes) for side, quotes in targets.items()}
        for order in sorted(self.orders, key=lambda o: o.side):  # bids, then asks, in order of sending
            known_dead = order.died_known_ns is not None and order.died_known_ns <= now
            if known_dead or order.cancel_sent:
                continue
            if (order.price, order.qty) in missing[order.side]:
                missing[order.side].remove((order.price, order.qty))
            else:
                self.cancel(order.number, arrival)
        for side in (BUY, SELL):
            for price, lots in missing[side]:
                self.submit(side, LIMIT, POST_ONLY, price, lots, arrival)
            self.check_slots(now, side)

    def check_slots(self, now: int, side: int) -> None:
        """ "Slots per lane and side: levels * (1 + max(1, ceil(entry/cycle))), a pool." It can never run out."""
        levels = int(self.params["levels"])
        pool = levels * (1 + max(1, -(-self.settings.entry_ns // self.settings.cycle_ns)))
        held = 0
        for order in self.orders:
            known_dead = order.died_known_ns is not None and order.died_known_ns <= now
            free = order.state == "dead" and (known_dead or order.cancel_sent)
            held += order.side == side and not free
        assert held <= pool, f"{held} orders of a side alive, the pool has {pool}"


def reaches(side: int, own: int, opposite: int) -> bool:
    """Whether an order of a side at price ``own`` meets the opposite price: at or through it."""
    return opposite <= own if side == BUY else opposite >= own


def trade_side(row: Row, bid: int | None, ask: int | None) -> int | None:
    """The aggressor of a print, None when it cannot be told.

    "Trades of unknown side are classed by the book before their packet (at or beyond the ask: buy; at or under the bid:
    sell; inside, locked or one-sided: neither)".
    """
    if row.kind == TRADE_BUY:
        return BUY
    if row.kind == TRADE_SELL:
        return SELL
    if bid is None or ask is None or bid >= ask:
        return None
    if row.price >= ask:
        return BUY
    if row.price <= bid:
        return SELL
    return None


class Model:
    """Lanes side by side that share nothing but the tape."""

    def __init__(
        self,
        instrument: Instrument,
        settings: Settings,
        *,
        strategy: str | None = None,
        params: list[dict[str, float]] | None = None,
        lanes: int = 1,
        base_units: int = 0,
        quote_units: int = 0,
        check_balance: bool = False,
    ) -> None:
        self.settings = settings
        self.rows: list[Row] = []
        chosen = params if params is not None else [{}] * lanes
        self.lanes = [
            Lane(instrument, settings, strategy, one, base_units, quote_units, check_balance) for one in chosen
        ]

    def feed(self, rows: list[Row]) -> None:
        self.rows.extend(rows)
        for lane in self.lanes:
            lane.tape = packets(self.rows, self.settings.feed_ns)

    def advance(self, until_ns: int) -> None:
        for lane in self.lanes:
            lane.advance(until_ns)

    def finish(self) -> None:
        for lane in self.lanes:
            lane.finish()


__all__ = ["FOK", "GTC", "IOC", "LIMIT", "MARKET", "Lane", "Model", "Order", "Report", "Sample", "Settings"]

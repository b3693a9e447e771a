"""Matching of one lane in the slow model: packets, arrivals, fills. ENGINE.md, "Arrival and matching of a lane"."""

import math
from fractions import Fraction

from tests.reference.book import SIDE_OF_KIND, Book, Change, Packet, Row
from tests.reference.impact import MINUTE_NS, Tally
from tests.reference.ledger import Ledger
from tests.reference.queues import QUEUES, Queue
from tests.reference.records import Message, Order
from tidewright.market.codes import (
    ACCEPTED,
    AMEND_QUANTITY,
    AMEND_REJECTED,
    AMENDED,
    BUY,
    CANCEL_REJECTED,
    CANCELLED,
    EXPIRED,
    FILTER_LOT,
    FILTER_MAX_ORDERS,
    FILTER_MAX_STOPS,
    FILTER_NOTIONAL,
    FILTER_PERCENT_PRICE,
    FILTER_PRICE,
    FOK,
    FOK_UNFILLED,
    FUNDING,
    GAP,
    INSUFFICIENT_BALANCE,
    IOC,
    LIMIT,
    MARK,
    MARKET,
    NO_LIQUIDITY,
    NO_REASON,
    NO_STOP,
    OUTSIDE_WINDOW,
    POST_ONLY,
    REJECTED,
    RESET,
    RISES,
    SELF_TRADE,
    SELL,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
    TRIGGERED,
    UNIT,
    UNKNOWN_ORDER,
    WOULD_TAKE,
    WOULD_TRIGGER,
)


class Matching(Ledger):
    """A lane's orders against the tape."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.book = Book(self.settings.window_ticks, self.settings.parity, self.settings.touch_only)
        self.now = -(2**62)  # everything up to here has happened
        self.inbox: list[Message] = []
        self.waiting: list[Order] = []  # "new orders wait" in a gap
        self.orders: list[Order] = []
        self.arrivals = 0
        self.last_price = 0  # of the newest print
        self.priced: list[tuple[int, int, int]] = []  # time, ticks, lots of what the reference price is made of
        self.mark: int | None = None
        self.tally = Tally()
        self.taken: tuple[dict[int, int], dict[int, int]] = ({}, {})  # by book side and price
        self.updated: set[tuple[int, int]] = set()  # levels set to > 0 since the last whole, unlocked packet end

    # -- arrivals

    def deliver(self, now: int) -> None:
        """Messages that arrive now."""
        due = [message for message in self.inbox if message.arrival_ns == now]
        self.inbox = [message for message in self.inbox if message.arrival_ns != now]
        news = [message for message in due if message.is_new]
        coming = {id(message.order) for message in news}
        late: list[Message] = []  # "A lane's messages never overtake each other."
        for message in due:
            if message.is_new:
                continue
            if message.order is not None and id(message.order) in coming:
                late.append(message)
            else:
                self.change_arrives(message, now)
        if not self.book.gap:
            waited, self.waiting = self.waiting, []
            for order in waited:  # they "arrive after all packets of the instant that ends" the gap, or set them off
                if order.state == "set off":
                    self.goes_off(order, now)
                else:
                    self.order_arrives(order, now)
        for message in news:
            assert message.order is not None
            if self.book.gap:
                message.order.state = "waiting"
                self.waiting.append(message.order)
            else:
                self.order_arrives(message.order, now)
            for change in late:
                if change.order is message.order:
                    self.change_arrives(change, now)

    # -- packets

    def packet(self, packet: Packet) -> None:
        self.tally.began(packet.ts)
        bid_before, ask_before = self.book.best_bid(), self.book.best_ask()
        parity = self.settings.parity
        known = packet.ts + self.settings.response(packet.ts)
        if not parity:
            known = max(known, packet.receipt)
        if self.book.begin_packet(packet.rows):
            self.window_moved()
        for place, row in enumerate(packet.rows):
            if row.kind in (TRADE_BUY, TRADE_SELL, TRADE_UNKNOWN):
                aggressor = trade_side(row, bid_before, ask_before)
                if parity and row.kind == TRADE_UNKNOWN:
                    aggressor = None
                if aggressor is not None and not self.book.gap:  # "In a gap trades neither fill nor move queues"
                    self.trade(aggressor, row, known)
                self.printed(row)
            if row.kind == MARK:
                self.mark = row.price
                if self.instrument.kind != "spot":
                    self.priced.append((row.ts, row.price, 1))
            if row.kind == FUNDING and self.instrument.kind == "linear":
                self.pay_funding(row.price, Fraction(self.mark or Fraction(self.book.last_mid2 or 0, 2)), known)
            changes = self.book.apply(row)
            if row.kind in (RESET, GAP):
                self.taken[BUY].clear()  # "a reset or gap clears it"
                self.taken[SELL].clear()
            if row.kind == RESET and self.book.place(packet.rows[place + 1 :]):
                self.window_moved()
            for change in changes:
                self.level_changed(change)
            if parity and row.kind in SIDE_OF_KIND and row.qty > 0:
                self.touch_by_row(SIDE_OF_KIND[row.kind], row, known)
        if self.book.end_packet():
            for order in self.resting():  # "resting orders rejoin at the back, own order of arrival kept"
                order.queue = self.new_queue(order)
        if self.book.whole:
            self.tally.mid(packet.ts, self.book.last_mid2)
        if self.book.whole and not self.book.locked and not parity:
            self.touch(packet.ts, known)
            self.updated.clear()
        if self.book.follow():
            self.window_moved()

    def touch_by_row(self, side: int, row: Row, known: int) -> None:
        """ "any fill fills whole, touch is judged per row" """
        met = SELL if side == BUY else BUY
        for order in self.by_priority(met) if self.book.inside(row.price) else []:
            if self.book.inside(order.price) and reaches(met, order.price, row.price):
                self.fill(order, order.leaves, order.price, 1, row.ts, known)

    def window_moved(self) -> None:
        """ "a level that left the window is unknown when it returns: orders there rejoin at the back" """
        for order in self.resting():
            if not self.book.inside(order.price):
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
                order.queue.level(-1 if old is None else old, new)

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
            if filled > 0 and self.settings.parity:
                filled = order.leaves  # "any fill fills whole", "prints are not shared between orders"
            elif filled > 0:
                used += filled
            if filled > 0:
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

    # -- orders

    def resting(self) -> list[Order]:
        return [order for order in self.orders if order.state == "resting"]

    def open(self) -> list[Order]:
        """What locks balances and counts as open: resting and stop orders."""
        return [order for order in self.orders if order.state in ("resting", "stopped", "set off")]

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

    def submit(
        self,
        side: int,
        kind: int,
        tif: int,
        price: int,
        qty: int,
        arrival_ns: int,
        tag: int = 0,
        stop: int = 0,
        way: int = NO_STOP,
    ) -> int:
        """Send an order; its number within the lane."""
        order = Order(len(self.orders), tag, side, kind, tif, price, qty, leaves=qty, stop=stop, way=way)
        self.orders.append(order)
        self.send(Message(arrival_ns, order, True, order.number))
        return order.number

    def cancel(self, number: int, arrival_ns: int) -> None:
        order = self.orders[number] if 0 <= number < len(self.orders) else None
        if order is not None:
            order.cancel_sent = True
        self.send(Message(arrival_ns, order, False, number))

    def amend(self, number: int, qty: int, arrival_ns: int) -> None:
        order = self.orders[number] if 0 <= number < len(self.orders) else None
        self.send(Message(arrival_ns, order, False, number, qty))

    def send(self, message: Message) -> None:
        last = max((m.arrival_ns for m in self.inbox), default=self.now)
        message.arrival_ns = max(message.arrival_ns, last)  # "A lane's messages never overtake each other."
        self.inbox.append(message)

    def change_arrives(self, message: Message, now: int) -> None:
        if message.qty:
            self.amendment_arrives(message, now)
        else:
            self.cancel_arrives(message, now)

    def amendment_arrives(self, message: Message, now: int) -> None:
        """ "Amending a quantity down keeps the place" """
        order = message.order
        if order is None or order.state in ("sent", "dead"):
            self.report(AMEND_REJECTED, message.number, 0, now, 0, 0, 0, 0, reason=UNKNOWN_ORDER)
            return
        executed = order.qty - order.leaves
        reason = NO_REASON
        if not executed < message.qty < order.qty:
            reason = AMEND_QUANTITY
        else:
            reason = self.size_refusal(order.kind, order.price, message.qty, now)
        if reason == NO_REASON:
            order.qty, order.leaves = message.qty, message.qty - executed
        what = AMENDED if reason == NO_REASON else AMEND_REJECTED
        self.report(what, order.number, order.tag, now, order.side, order.price, order.qty, order.leaves, reason=reason)

    def printed(self, row: Row) -> None:
        """A print: it sets off the stop orders whose price it reaches; they arrive when all packets of the instant,
        or of the gap, are through.
        """
        self.last_price = row.price
        if self.instrument.kind == "spot":
            self.priced.append((row.ts, row.price, row.qty))
        self.tally.printed(row.ts, row.qty)
        for order in sorted((o for o in self.orders if o.state == "stopped"), key=lambda o: o.arrived):
            if self.sets_off(order):
                order.state = "set off"
                self.waiting.append(order)

    def sets_off(self, order: Order) -> bool:
        price = self.last_price
        return price > 0 and (price >= order.stop if order.way == RISES else price <= order.stop)

    def goes_off(self, order: Order, now: int) -> None:
        """From now on it is an order like any other; what it locked pays for it."""
        self.report(TRIGGERED, order.number, order.tag, now, order.side, order.price, order.qty, order.leaves)
        order.state = "sent"
        if order.kind == LIMIT and not self.book.inside(order.price):
            self.die(order, EXPIRED, now, OUTSIDE_WINDOW)
        elif order.kind == MARKET and order.side == BUY and self.check_balance and not self.affordable(order, now):
            self.die(order, EXPIRED, now, INSUFFICIENT_BALANCE)
        else:
            self.meets_book(order, now)

    def cancel_arrives(self, message: Message, now: int) -> None:
        order = message.order
        if order is None or order.state in ("sent", "dead"):
            if self.strategy is None:  # "A cancel that comes too late has no effect"
                self.report(CANCEL_REJECTED, message.number, 0, now, 0, 0, 0, 0, reason=UNKNOWN_ORDER)
            return
        if order.state in ("waiting", "set off"):  # "cancels act, also on waiting orders"
            self.waiting.remove(order)
        self.die(order, CANCELLED, now, NO_REASON)

    def order_arrives(self, order: Order, now: int) -> None:
        """ "Checks on arrival as the venue orders them: filters, balance, post-only against the tape net of what the
        lane has taken, and against the lane's own orders."
        """
        reason = self.refusal(order, now)
        if reason != NO_REASON:
            self.die(order, REJECTED, now, reason)
            return
        self.report(ACCEPTED, order.number, order.tag, now, order.side, order.price, order.qty, order.leaves)
        if order.way != NO_STOP:
            order.state = "stopped"
            order.arrived = self.arrivals
            self.arrivals += 1
            return
        self.meets_book(order, now)

    def meets_book(self, order: Order, now: int) -> None:
        if self.settings.parity and order.tif != POST_ONLY:
            self.take_whole(order, now)
        elif order.kind == LIMIT and order.tif == FOK and self.walkable(order) < order.qty:  # "FOK is all or nothing"
            self.die(order, EXPIRED, now, FOK_UNFILLED)
            return
        elif self.book.whole and order.tif != POST_ONLY:  # "Not whole: ... no taking"
            self.walk(order, now)
        if order.state == "dead":
            return
        if order.kind == MARKET or order.tif == IOC:  # "MARKET and IOC remainders expire"
            self.die(order, EXPIRED, now, NO_LIQUIDITY)
            return
        order.state = "resting"  # "a limit's remainder rests"
        order.arrived = self.arrivals
        self.arrivals += 1
        order.queue = self.new_queue(order)

    def refusal(self, order: Order, now: int) -> int:
        filters = self.instrument.filters
        if order.kind == LIMIT:
            if order.price <= 0 or order.price < filters.min_price_ticks:
                return FILTER_PRICE
            if 0 < filters.max_price_ticks < order.price:
                return FILTER_PRICE
            if not self.near_reference(order, now):
                return FILTER_PERCENT_PRICE
        if (reason := self.size_refusal(order.kind, order.price, order.qty, now)) != NO_REASON:
            return reason
        if order.way != NO_STOP:
            if order.stop < filters.min_price_ticks or 0 < filters.max_price_ticks < order.stop:
                return FILTER_PRICE
        if len(self.open()) >= filters.max_num_orders > 0:
            return FILTER_MAX_ORDERS
        asleep = [other for other in self.orders if other.state in ("stopped", "set off")]
        if order.way != NO_STOP and len(asleep) >= filters.max_num_stop_orders > 0:
            return FILTER_MAX_STOPS
        if order.kind == LIMIT and not self.book.inside(order.price):
            return OUTSIDE_WINDOW
        if self.check_balance and not self.affordable(order, now):
            return INSUFFICIENT_BALANCE
        if order.tif == POST_ONLY:
            opposite = SELL if order.side == BUY else BUY
            for price in self.book.levels[opposite]:
                if reaches(order.side, order.price, price) and self.net(opposite, price) > 0:
                    return WOULD_TAKE
            for own in self.resting() if not self.settings.parity else []:
                if own.side == opposite and reaches(order.side, order.price, own.price):
                    return WOULD_TAKE
        if order.way != NO_STOP and self.sets_off(order):
            return WOULD_TRIGGER
        return NO_REASON

    def near_reference(self, order: Order, now: int) -> bool:
        """ "a limit price within its side's shares of the reference price" """
        filters, reference = self.instrument.filters, self.reference_units(now)
        if not reference:
            return True
        low, high = filters.bid_multiplier_down, filters.bid_multiplier_up
        if order.side == SELL:
            low, high = filters.ask_multiplier_down, filters.ask_multiplier_up
        price = order.price * self.instrument.tick * UNIT
        return reference * Fraction(low) <= price <= reference * Fraction(high)

    def size_refusal(self, kind: int, price: int, qty: int, now: int) -> int:
        filters = self.instrument.filters
        if qty <= 0 or qty < filters.min_qty_lots or 0 < filters.max_qty_lots < qty:
            return FILTER_LOT
        if kind == MARKET:
            if qty < filters.market_min_qty_lots or 0 < filters.market_max_qty_lots < qty:
                return FILTER_LOT
            if qty % max(1, filters.market_step_lots):
                return FILTER_LOT
            worth = self.reference_units(now) * qty * self.instrument.lot
            if not worth:
                return NO_REASON
            least = filters.min_notional if filters.min_notional_to_market else 0
            most = filters.max_notional if filters.max_notional_to_market else 0
        else:
            worth = price * qty * self.instrument.quote_units
            least, most = filters.min_notional, filters.max_notional
        return FILTER_NOTIONAL if worth < least or 0 < most < worth else NO_REASON

    def reference_units(self, now: int) -> int:
        """ "the volume-weighted average price of the last minutes", 1e-8 quote units, rounded down; 0: there is none"""
        minutes = self.instrument.filters.reference_minutes
        if minutes is None or not self.priced:
            return 0
        price = Fraction(self.priced[-1][1])
        recent = [(ticks, lots) for ts, ticks, lots in self.priced if ts >= now - minutes * MINUTE_NS]
        if minutes and sum(lots for _, lots in recent):
            price = Fraction(sum(ticks * lots for ticks, lots in recent), sum(lots for _, lots in recent))
        return math.floor(price * self.instrument.tick * UNIT)

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
        return sum(max(0, self.net(opposite, price)) for price in self.walk_prices(order))

    def walk(self, order: Order, now: int) -> None:
        """ "a marketable order walks the book net of what the lane has taken; taken quantity is remembered per
        level"
        """
        opposite = SELL if order.side == BUY else BUY
        extra = self.impact(min(order.leaves, self.walkable(order)), now)
        for price in self.walk_prices(order):
            # "Self-trade: the walk takes what lies ahead of the lane's own resting order at that price, that order
            # expires, the walk goes on."
            for own in self.by_priority(opposite):
                if own.price != price or order.leaves == 0:
                    continue
                ahead = (own.queue.ahead() if own.queue is not None else 0) - self.taken[opposite].get(price, 0)
                self.take(order, min(ahead, self.net(opposite, price)), price, extra, now)
                if order.leaves > 0:
                    self.die(own, EXPIRED, now, SELF_TRADE)
            self.take(order, self.net(opposite, price), price, extra, now)

    def take_whole(self, order: Order, now: int) -> None:
        """parity: "takers fill at the best", whole, and meet no own orders."""
        best = self.book.best_ask() if order.side == BUY else self.book.best_bid()
        if best is not None and (order.kind == MARKET or reaches(order.side, order.price, best)):
            self.fill(order, order.leaves, best, 0, now, now + self.settings.response(now))
        elif order.kind == LIMIT and order.tif == FOK:
            self.die(order, EXPIRED, now, FOK_UNFILLED)

    def impact(self, lots: int, now: int) -> int:
        """Ticks that a taker of some lots pays beyond the book."""
        if self.settings.impact is None or not lots:
            return 0
        return self.settings.impact.ticks(lots, self.book.last_mid2 or 0, self.tally, now, self.instrument.lot)

    def take(self, order: Order, available: int, price: int, extra: int, now: int) -> None:
        filled = min(order.leaves, max(0, available))
        if filled > 0:
            opposite = SELL if order.side == BUY else BUY
            self.taken[opposite][price] = self.taken[opposite].get(price, 0) + filled
            paid = price + extra if order.side == BUY else max(1, price - extra)
            if order.kind == LIMIT:  # never worse than its limit
                paid = min(paid, order.price) if order.side == BUY else max(paid, order.price)
            # Known: "a taker fill, rejection or cancel at arrival + response"
            self.fill(order, filled, paid, 0, now, now + self.settings.response(now))

    def die(self, order: Order, what: int, now: int, reason: int) -> None:
        self.report(what, order.number, order.tag, now, order.side, order.price, order.qty, order.leaves, reason=reason)
        order.state = "dead"
        order.died_known_ns = now + self.settings.response(now)

    def balances(self) -> tuple[int, Fraction, int, Fraction]:
        """Base and quote balances and what resting orders lock of them, 1e-8 units."""
        position, cash, fee_base, fee_quote = self.money(None)
        base = self.base_start + position * self.instrument.lot_units - fee_base
        quote = self.quote_start + cash * self.instrument.quote_units
        if not self.settings.fee_asset_price:  # else they come out of another balance
            quote -= fee_quote
        quote -= self.funding(None)
        base_locked = sum(o.leaves for o in self.open() if o.side == SELL) * self.instrument.lot_units
        quote_locked = sum(o.leaves * o.price for o in self.open() if o.side == BUY) * self.instrument.quote_units
        return base, quote, base_locked, Fraction(quote_locked)

    def affordable(self, order: Order, now: int) -> bool:
        base, quote, base_locked, quote_locked = self.balances()
        if order.side == SELL:
            return order.qty * self.instrument.lot_units <= base - base_locked
        if order.kind == LIMIT:
            cost = order.price * order.qty * self.instrument.quote_units
        else:
            cost, need = Fraction(0), order.qty
            for price in self.walk_prices(order) if self.book.whole else []:
                here = min(need, max(0, self.net(SELL, price)))
                cost += here * price * self.instrument.quote_units
                need -= here
            lots = order.qty - need
            cost += lots * self.impact(lots, now) * self.instrument.quote_units
        return cost <= quote - quote_locked


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

"""The slow model of the matching engine: ENGINE.md as plain loops, one object a lane, one queue an order.

Quotation marks in comments hold the sentence of ENGINE.md that a step implements. Every lane replays the whole tape
by itself, with its own books, so that nothing can leak between lanes.
"""

import math
from itertools import pairwise

from tests.reference.book import Book, Packet, Row, packets
from tests.reference.matching import Matching
from tests.reference.quoting import Known, limited, merged, smallest_position, strategy_quotes, taken
from tests.reference.records import Order, Report, Sample, Settings
from tidewright.market.codes import (
    BUY,
    IOC,
    LIMIT,
    POST_ONLY,
    SELL,
    UNIT,
)
from tidewright.market.instrument import Instrument
from tidewright.strategies.view import View

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000


class Lane(Matching):
    """One lane and all it meets: the tape's true book, its view of it, its orders, its money."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tape: list[Packet] = []
        self.applied = 0  # packets in the true book
        self.viewed = 0  # packets in the view
        self.view = Book(self.settings.window_ticks, self.settings.parity, self.settings.touch_only)
        self.decisions = 0
        self.line_busy = -(2**62)  # when what was decided last arrives
        self.limited = 0  # decisions at which a limit cut quotes
        self.mids: list[int] = []  # mid2 of the view at each decision with a whole view
        self.day_start: Sample | None = None
        self.leaving = 0  # decisions in a row at which the position had to go
        self.clear_ns = 0  # when it has heard that all orders are withdrawn
        self.sent_ns: list[int] = []  # when new orders were sent

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
        final = Sample(
            end, *self.money(None), self.book.last_mid2, self.funding(None)
        )  # "the end reports the true state"
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
            # "A lane's messages never overtake each other."
            self.line_busy = max(self.line_busy, now + self.settings.entry(now))
            self.decide(now)
            self.decisions += 1
            self.deliver(now)

    # -- decisions

    def decide(self, now: int) -> None:
        # "The view is all packets with effective receipt <= t."
        while self.viewed < len(self.tape) and self.tape[self.viewed].receipt <= now:
            self.view.read(self.tape[self.viewed].rows)
            self.viewed += 1
        # "Decisions and reported equity use the known state and the view's mid"
        sample = Sample(now, *self.money(now), self.view.last_mid2, self.funding(now))
        self.samples.append(sample)
        if self.day_start is None or now // DAY_NS != self.day_start.ts // DAY_NS:  # "day = UTC of market time"
            self.day_start = sample
        if not self.view.whole:
            return  # "Not whole: no decision"
        view = self.what_it_sees(now, sample.position)
        assert self.strategy is not None
        bids, asks = strategy_quotes(self.strategy, view, self.params)
        known = self.known(sample, view)
        alive = [order for order in self.orders if not self.known_dead(order, now) and not order.cancel_sent]
        standing = tuple([(o.price, o.qty) for o in alive if o.side == side] for side in (BUY, SELL))
        verdict = limited(known, self.settings.limits, bids, asks, standing)  # type: ignore[arg-type]
        self.limited += verdict.cut
        waited, self.leaving = self.leaving, self.leaving + 1 if verdict.leaving else 0
        if not verdict.leaving or waited < self.settings.limits.flatten_patience:
            self.sent_ns += [now] * verdict.new
            self.reach(now, {BUY: merged(verdict.bids), SELL: merged(verdict.asks)})
        elif waited == self.settings.limits.flatten_patience:
            self.clear_ns = self.line_busy + self.settings.response(self.line_busy)
            self.reach(now, {BUY: [], SELL: []})
        elif now >= self.clear_ns and not alive and all(fill.known_ns <= now for fill in self.fills):
            self.take_out(now, known, waited, view.mid2)

    def take_out(self, now: int, known: Known, waited: int, mid2: int) -> None:
        """The position is left by taking: nothing of what was sent before can still fill."""
        limits, filters = self.settings.limits, self.instrument.filters
        least = math.ceil(filters.min_notional / self.instrument.quote_units)
        order = taken(known, limits, waited, mid2, filters.min_qty_lots, least)
        if order is None or known.sent >= limits.orders_per_minute:
            return
        sign, price, lots = order
        assert lots <= abs(known.position), "it never turns the position over"
        self.sent_ns.append(now)
        self.submit(BUY if sign > 0 else SELL, LIMIT, IOC, price, lots, self.line_busy)

    def known_dead(self, order: Order, now: int) -> bool:
        return order.died_known_ns is not None and order.died_known_ns <= now

    def known(self, sample: Sample, view: View) -> Known:
        entry = self.entry_price(sample.ts)
        assert self.day_start is not None
        lot_units, filters = self.instrument.lot_units, self.instrument.filters
        worth = math.ceil(filters.min_notional / self.instrument.quote_units)
        return Known(
            position=(sample.position * lot_units - sample.fee_base) // lot_units,
            mid=view.mid2 / 2.0 * view.tick,
            lot=view.lot,
            equity=float(self.equity(sample) / UNIT),
            day_equity=float(self.equity(self.day_start) / UNIT),
            entry_price=None if entry is None else entry * self.instrument.tick,
            volatility=view.volatility,
            best_bid=view.best_bid,
            best_ask=view.best_ask,
            sent=sum(ts > sample.ts - MINUTE_NS for ts in self.sent_ns),
            least=smallest_position(self.settings.limits, view.mid2, filters.min_qty_lots, worth),
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
        arrival = self.line_busy
        missing = {side: list(quotes) for side, quotes in targets.items()}
        for order in sorted(self.orders, key=lambda o: o.side):  # bids, then asks, in order of sending
            if self.known_dead(order, now) or order.cancel_sent:
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
        pool = levels * (1 + max(1, -(-self.settings.most_entry() // self.settings.cycle_ns)))
        held = 0
        for order in self.orders:
            free = order.state == "dead" and (self.known_dead(order, now) or order.cancel_sent)
            held += order.side == side and not free
        assert held <= pool, f"{held} orders of a side alive, the pool has {pool}"


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


__all__ = ["DAY_NS", "Lane", "Model", "Report", "Settings"]

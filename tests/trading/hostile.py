"""A session's order path under attack: random agents, a random market and a venue that loses answers.

What no order may pass is checked at the venue, on its own count of positions and open orders, not on what the session
believes.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tidewright.agents.executor.executor import AccountNow, Executor, MarketNow
from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.codes import IOC
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.risk.gate import DRAWDOWN
from tidewright.risk.limits import Limits
from tidewright.risk.portfolio import PortfolioLimits
from tidewright.trading.guard import Guard
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.orders import OrderManager, Plan, Quote
from tidewright.trading.settings import RiskSettings
from tidewright.venues.interface import Answer, FillUpdate, OrderRequest, OrderUpdate, Outcome, VenueStatus

INSTRUMENT = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
CYCLE = 5 * SECOND
UNIT = 100_000_000


class Memory:
    """The part of a database that outlives a kill."""

    def __init__(self) -> None:
        self.row: dict[str, Any] | None = None

    def limit_state(self, account: str) -> dict[str, Any] | None:
        return self.row

    def add(self, table: object, rows: list[dict[str, Any]]) -> None:
        self.row = rows[0]


class Levels:
    def levels(self, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        return [(5_999_900, 10**6)], [(6_000_100, 10**6)]


@dataclass
class HostileVenue:
    """Takes orders, fills what it likes, loses answers, tells of fills late."""

    rng: np.random.Generator
    open: dict[str, list[int]] = field(default_factory=dict)  # side, price, lots left, lots
    filled: dict[str, int] = field(default_factory=dict)
    position: int = 0
    trades: int = 0
    reports: list[tuple[int, FillUpdate]] = field(default_factory=list)

    def submit(self, plan: Plan) -> list[Answer]:
        answers = []
        for name in plan.cancels:
            lost = self.rng.random() < 0.2
            if not lost or self.rng.random() < 0.5:
                there = self.open.pop(name, None)
                if there is None and not lost:
                    answers.append(Answer(name, Outcome.REJECTED, -2011, "unknown order"))
                    continue
            filled = 0 if lost else self.filled.get(name, 0)
            answers.append(Answer(name, Outcome.UNKNOWN if lost else Outcome.ACCEPTED, filled_lots=filled))
        for order in plan.orders:
            draw = self.rng.random()
            if draw < 0.05:
                answers.append(Answer(order.client_order_id, Outcome.REJECTED, -2010, "no"))
                continue
            if draw < 0.9 or self.rng.random() < 0.5:
                self.open[order.client_order_id] = [order.side, order.price_ticks, order.qty_lots, order.qty_lots]
            answers.append(Answer(order.client_order_id, Outcome.ACCEPTED if draw < 0.9 else Outcome.UNKNOWN))
        return answers

    def trade(self, cycle: int) -> None:
        for name in list(self.open):
            if self.rng.random() > 0.35:
                continue
            side, price, left, _ = self.open[name]
            lots = left if self.rng.random() < 0.5 else int(self.rng.integers(1, left + 1))
            self.trades += 1
            fill = FillUpdate(self.trades, name, 0, side, price, lots, 0, "BTC", True, cycle * CYCLE)
            self.reports.append((cycle + int(self.rng.integers(0, 4)), fill))
            self.filled[name] = self.filled.get(name, 0) + lots
            self.position += lots if side == 0 else -lots
            self.open[name][2] -= lots
            if not self.open[name][2]:
                del self.open[name]

    def told(self, cycle: int) -> list[FillUpdate]:
        due = [fill for at, fill in self.reports if at <= cycle]
        self.reports = [(at, fill) for at, fill in self.reports if at > cycle]
        return due

    def reach(self, side: int) -> int:
        """Largest position this side can lead to: what is held and all its open orders."""
        sign = 1 if side == 0 else -1
        return self.position * sign + sum(order[2] for order in self.open.values() if order[0] == side)


@dataclass
class Counts:
    """What was tried and what came of it."""

    decisions: int = 0
    quotes: int = 0
    sent: int = 0
    blocked: int = 0
    fills: int = 0
    updates: int = 0
    restarts: int = 0
    halted: int = 0
    events: int = 0
    taking: int = 0


def random_limits(rng: np.random.Generator) -> Limits:
    def maybe(low: float, high: float, off: float = 0.3) -> float | None:
        return None if rng.random() < off else float(np.exp(rng.uniform(np.log(low), np.log(high))))

    return Limits(
        float(np.exp(rng.uniform(np.log(1e-4), np.log(0.5)))),
        maybe(0.001, 0.1),
        maybe(0.005, 0.1, 0.6),  # what halts too often leaves nothing to attack
        maybe(1e-3, 0.05, 0.6),
        maybe(0.01, 0.2, 0.6),
        maybe(50, 50_000),
        maybe(0.0005, 0.2),
        maybe(1, 60),
        strict=True,
        flatten=bool(rng.random() < 0.3),
        day_offset_hours=float(rng.integers(-12, 15)),
    )


class Attack:
    """One hostile run."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.limits = random_limits(self.rng)
        ledger = Ledger(INSTRUMENT, LedgerState(1_000 * UNIT, 60_000_000 * UNIT))
        self.manager = OrderManager("fuzz", ledger)
        self.venue, self.memory, self.counts = HostileVenue(self.rng), Memory(), Counts()
        names = ("grid", "avellaneda_stoikov", "glft")
        self.executor = Executor(INSTRUMENT, 0, CYCLE, names[int(self.rng.integers(3))], {}, self.limits)
        portfolio = (
            PortfolioLimits(value_at_risk=0.02, concentration=0.4) if self.rng.random() < 0.3 else PortfolioLimits()
        )
        self.settings = RiskSettings(portfolio)
        self.guard = self.new_guard()
        self.mid2 = 12_000_000
        self.times: list[int] = []

    def new_guard(self) -> Guard:
        tell = lambda now, data: setattr(self.counts, "events", self.counts.events + 1)  # noqa: E731
        return Guard(INSTRUMENT, self.limits, self.settings, self.memory, "a", CYCLE, tell)  # type: ignore[arg-type]

    def market(self) -> MarketNow:
        jump = 0.05 if self.rng.random() < 0.02 else 0.002
        self.mid2 = max(2_000_000, int(self.mid2 * np.exp(self.rng.normal(0, jump))))
        half = int(self.rng.integers(1, 500))
        bid = self.mid2 // 2 - half
        return MarketNow(bool(self.rng.random() > 0.03), bid, self.mid2 - bid, 1000, 1000)

    def account(self) -> AccountNow:
        ledger = self.manager.ledger
        return AccountNow(
            ledger.position_lots,
            ledger.net_position_lots,
            ledger.equity_units(self.mid2) / 1e8,
            float(ledger.entry_price_ticks) * 0.01,
        )

    def attack_parameters(self) -> None:
        """An agent's parameters: any numbers; those out of range must be refused."""
        self.counts.updates += 1
        words = {}
        for parameter in self.executor.strategy.parameters:
            if self.rng.random() < 0.5:
                value = float(np.exp(self.rng.uniform(-14, 14))) * (1 if self.rng.random() < 0.9 else -1)
                words[parameter.name] = float(round(value)) if parameter.integer else value
        try:
            self.executor.use(words)
        except UsageError:
            pass

    def attack_quotes(self) -> list[Quote]:
        """Quotes that come past the executor: any side, price and size."""
        count = int(self.rng.integers(0, 8))
        return [
            Quote(
                int(self.rng.integers(2)),
                max(1, int(self.mid2 / 2 * np.exp(self.rng.normal(0, 0.05)))),
                int(np.exp(self.rng.uniform(0, 18))),
            )
            for _ in range(count)
        ]

    def run(self, cycles: int) -> Counts:
        start = int(self.rng.integers(0, 10**9)) * SECOND
        for cycle in range(1, cycles + 1):
            self.step(start + cycle * CYCLE, cycle)
        return self.counts

    def step(self, now: int, cycle: int) -> None:
        self.venue.trade(cycle)
        for fill in self.venue.told(cycle):
            self.manager.on_fill(fill, now)
        self.resolve(now)
        if self.rng.random() < 0.1:
            self.attack_parameters()
        if self.rng.random() < 0.05:  # killed: only what was written down is left of the limits
            self.guard, self.counts.restarts = self.new_guard(), self.counts.restarts + 1
            if self.guard.state.halts & DRAWDOWN and self.rng.random() < 0.3:
                self.guard.state.release("drawdown", self.account().equity)
        market = self.market()
        self.guard.watch(market, self.executor.volatility)
        account = self.account()
        guarded = self.guard.begin(
            now, account, self.manager.standing(), int(self.rng.integers(0, 200)) * SECOND, Levels()
        )
        decision = self.executor.decide(now, market, account, guarded)
        self.guard.volatility = self.executor.volatility
        if decision is None:
            return
        self.counts.decisions += 1
        out = self.guard.way_out(now, account, market, self.manager.standing())
        quotes = [Quote(0, *quote) for quote in decision.bids] + [Quote(1, *quote) for quote in decision.asks]
        quotes = [] if out.takes else quotes
        if self.rng.random() < 0.5:
            quotes += self.attack_quotes()
        plan = self.manager.plan(quotes)
        if out.order is not None:
            plan = self.manager.take(plan, *out.order)
        self.counts.quotes += len(plan.orders)
        halts = self.guard.state.halts
        kept = self.guard.admit(now, plan, account, self.manager.standing(), "fuzz", self.manager.next_number)
        self.counts.blocked += len(plan.orders) - len(kept.orders)
        self.counts.halted += bool(halts)
        self.manager.intend(kept, now)
        self.guard.save(now)
        self.manager.on_answers(kept, self.venue.submit(kept), now)
        self.counts.taking += sum(one.tif == IOC for one in kept.orders)
        self.check(now, kept.orders, account, halts)

    def resolve(self, now: int) -> None:
        for name in self.manager.unresolved(now - 2 * CYCLE):
            order = self.manager.orders[name]
            waiting = [fill for _, fill in self.venue.reports if fill.client_order_id == name]
            self.venue.reports = [(at, fill) for at, fill in self.venue.reports if fill.client_order_id != name]
            for fill in waiting:
                self.manager.on_fill(fill, now)
            if order.state.final:
                continue
            filled, there = self.venue.filled.get(name, 0), self.venue.open.get(name)
            if there is None and not filled and not order.cancel_sent:
                self.manager.resolve(name, None, now)
                continue
            status = VenueStatus.CANCELED
            if there is not None:
                status = VenueStatus.PARTIALLY_FILLED if filled else VenueStatus.NEW
            found = OrderUpdate(name, 0, order.side, order.price_ticks, order.qty_lots, filled, status, now)
            self.manager.resolve(name, found, now)

    def check(self, now: int, orders: list[OrderRequest], account: AccountNow, halts: int) -> None:
        """What no order may pass, by the venue's own count."""
        limits, mid = self.limits, self.mid2 * 0.5 * 0.01
        self.counts.sent += len(orders)
        self.counts.fills = self.venue.trades
        self.times += [now] * len(orders)
        if limits.orders_per_minute is not None and orders:
            last = sum(at > now - MINUTE for at in self.times)
            assert last <= np.ceil(limits.orders_per_minute), "order rate of any 60 seconds"
        assert limits.max_position_share is not None
        allowed = limits.max_position_share * account.equity / (1e-5 * mid)
        for order in orders:
            price = order.price_ticks * 0.01
            sign = 1 if order.side == 0 else -1
            if limits.price_collar is not None:
                assert abs(price / mid - 1) <= limits.price_collar * (1 + 1e-9), "price collar"
            if limits.order_notional is not None:
                assert order.qty_lots * 1e-5 * price <= limits.order_notional * (1 + 1e-9), "order notional"
            reach = self.venue.reach(order.side)
            assert reach <= max(0.0, allowed) * (1 + 1e-9), f"position limit: {reach} of {allowed}"
            leaves = account.net_position_lots * sign < 0
            assert not halts or (limits.flatten and leaves), "halted"

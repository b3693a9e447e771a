"""The limits of a live session: what they are now, what they remember, the last look at orders, and what it has seen.

The session asks it three things a cycle: what the limits are (:meth:`Guard.begin`), which orders of a plan may go out
(:meth:`Guard.admit`), and to write down what must survive a kill (:meth:`Guard.save`). Every change is a risk event.
"""

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson

from tidewright.agents.executor.executor import AccountNow, Guarded, MarketNow
from tidewright.market import features
from tidewright.market.clock import DAY
from tidewright.market.codes import BUY, SELL
from tidewright.market.instrument import Instrument
from tidewright.risk import gate, pretrade
from tidewright.risk.dynamic import NOTHING, Measured, Rules, Tightening, tighten
from tidewright.risk.escape import taking
from tidewright.risk.limit_state import LimitState
from tidewright.risk.limits import Limits
from tidewright.risk.liquidity import Levels, Liquidity
from tidewright.risk.portfolio import Portfolio, allowed, uses
from tidewright.risk.stress import CRISES, Position, revalue
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.trading.correlations import OtherMarkets
from tidewright.trading.orders import Plan, TrackedOrder
from tidewright.trading.settings import RiskSettings
from tidewright.venues.interface import OrderRequest

_RETURNS: Final = 1_000  # newest cycle returns that VaR is measured on
_USUAL: Final = 0.002  # weight of the newest cycle in the usual volatility
_SETTLED: Final = 100  # returns from which on there is a usual volatility
_EVENTS: Final = 20  # newest risk events for display
_DEPTH: Final = 50  # levels a side for the cost of leaving

Tell = Callable[[int, dict[str, Any]], None]


class BookLevels(Protocol):
    """Shows the levels of a live book."""

    def levels(self, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Best bids and asks, (ticks, lots)."""
        ...


@dataclass(slots=True)
class RiskNow:
    """What screens show of risk.

    Attributes
    ----------
    limits
        Rows of name, value now, limit now, limit as set; shares unless the name says otherwise.
    correlations
        Pairs of instruments: names, correlation now, alarm or nothing.
    blocked
        Orders held back so far, by reason.
    events
        The newest risk events in words.
    """

    limits: list[dict[str, Any]] = field(default_factory=list)
    value_at_risk: float | None = None
    expected_shortfall: float | None = None
    unwind_cost: float | None = None
    unwind_time_s: float | None = None
    stress: list[dict[str, Any]] = field(default_factory=list)
    correlations: list[dict[str, Any]] = field(default_factory=list)
    halted: list[str] = field(default_factory=list)
    blocked: dict[str, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class WayOut(NamedTuple):
    """How a position is left that has to go.

    Attributes
    ----------
    must
        Whether it has to go.
    takes
        Whether that is by taking; else by the one post-only order that the gate writes.
    order
        What takes now: side code, ticks, lots; ``None``: nothing at this decision.
    """

    must: bool
    takes: bool = False
    order: tuple[int, int, int] | None = None


class Guard:
    """Stands between decisions and the venue.

    Parameters
    ----------
    account
        Key of what the limits remember: venue and symbol. A session that starts anew on it goes on where the last was.
    tell
        Journals one risk event: time and the event's data.

    Attributes
    ----------
    volatility
        EWMA deviation of the log return a cycle; the session sets it again once the decision has taken the market in.
    """

    def __init__(
        self,
        instrument: Instrument,
        limits: Limits,
        settings: RiskSettings,
        database: Database,
        account: str,
        cycle_ns: int,
        tell: Tell,
    ) -> None:
        self._instrument, self.limits, self._settings = instrument, limits, settings
        self._database, self._account, self._cycle_ns, self._tell = database, account, cycle_ns, tell
        self._tick, self._lot = float(instrument.tick), float(instrument.lot)
        row = database.limit_state(account)
        self.state = LimitState() if row is None else LimitState.from_json(orjson.loads(row["state"]))
        self.effective = limits
        self._tightening: Tightening = NOTHING
        self._returns: deque[float] = deque(maxlen=_RETURNS)
        self._mid = self._usual = self.volatility = 0.0
        self._mid2, self._smallest = 0, instrument.smallest_order
        self._account_now: AccountNow | None = None
        self._book: BookLevels | None = None
        self._traded: deque[tuple[int, int]] = deque()
        self._blocked: Counter[str] = Counter()
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._most_lots: int | None = None
        self._portfolio_cause = ""
        self._by_portfolio = False  # whether the portfolio's limits are the tighter ones at this decision
        self._breaches = 0
        self.calibration: tuple[float, int] | None = None  # Brier score of the confidence, proposals judged
        self._others: OtherMarkets | None = None
        if settings.others:
            watch = settings.correlation
            self._others = OtherMarkets(instrument.symbol, settings.others, cycle_ns, self._noted, watch)

    # -- the market ----------------------------------------------------------------------------------------------------

    def recall(self, decisions: Sequence[tuple[int, int]]) -> None:
        """Take in decisions before a restart: nothing is measured anew that was known.

        Parameters
        ----------
        decisions
            Time and twice the mid in ticks, 0 where it was not known; oldest first.
        """
        if self._others is not None:
            self._others.recall(decisions)
        state = features.new_state()
        for _, mid2 in decisions:
            if not mid2:
                continue
            _, volatility = features.observe_mid(state, mid2)
            self.watch(MarketNow(True, mid2 // 2, mid2 - mid2 // 2, 0, 0), float(volatility))

    def watch(self, market: MarketNow, volatility: float) -> None:
        """Take in the market of a cycle, before its decision, if there is one."""
        self.volatility = volatility
        self._usual = volatility if not self._usual else self._usual + _USUAL * (volatility - self._usual)
        if not market.whole:
            return
        mid = market.mid2 * 0.5 * self._tick
        if self._mid > 0:
            self._returns.append(math.log(mid / self._mid))
        self._mid, self._mid2 = mid, market.mid2

    def look(self, now_ns: int, market: MarketNow) -> None:
        """Look at other instruments beside the own one."""
        if self._others is not None:
            self._others.look(now_ns, market.mid2 if market.whole else 0)

    def traded(self, now_ns: int, lots: int) -> None:
        """Note what the market has traded so far, lots."""
        self._traded.append((now_ns, lots))
        while self._traded and self._traded[0][0] < now_ns - DAY:
            self._traded.popleft()

    # -- the cycle -----------------------------------------------------------------------------------------------------

    def begin(
        self, now_ns: int, account: AccountNow, orders: Sequence[TrackedOrder], data_age_ns: int, book: BookLevels
    ) -> Guarded:
        """The limits of this decision, tightened by what is measured, and what may still fill."""
        self._account_now, self._book = account, book
        halted = self.state.halts
        self.state.observe(now_ns, account.equity, self.limits)
        if halted & ~self.state.halts:
            self._event(now_ns, "lifted", "daily_loss", "a new day begins", action="resume")
        if self._settings.dynamic is not None:
            self._tighten(now_ns, account, data_age_ns, self._settings.dynamic)
        self._most_lots = self._portfolio_lots(account)
        self._by_portfolio = False
        limits = self.effective
        if self._most_lots is not None and self._mid and account.equity > 0:
            # The gate cuts quotes to what the portfolio allows; the last look would drop whole orders.
            share = (self._most_lots + 0.5) * self._lot * self._mid / account.equity  # whole lots: they decide
            self._by_portfolio = share < (limits.max_position_share or math.inf)
            limits = replace(limits, max_position_share=min(share, limits.max_position_share or share))
        most = self._most_lots if self._by_portfolio else None
        return Guarded(limits, self.state, _may_fill(orders, BUY), _may_fill(orders, SELL), most)

    def admit(
        self, now_ns: int, plan: Plan, account: AccountNow, orders: Sequence[TrackedOrder], session: str, number: int
    ) -> Plan:
        """The plan without the orders that no limit allows; cancels always pass."""
        standing = [
            pretrade.Order(order.side, order.price_ticks, order.leaves_lots)
            for order in orders
            if self.effective.strict or (not order.cancel_sent and order.client_order_id not in plan.cancels)
        ]
        books = self._books(account, standing)
        self._watch_breaches(now_ns, books)
        wanted = [pretrade.Order(order.side, order.price_ticks, order.qty_lots) for order in plan.orders]
        kept, blocked = pretrade.check(wanted, books, self.effective)
        self.state.count(len(kept))
        if not blocked:
            return plan
        self._blocked.update(one.why for one in blocked)
        left = list(blocked)
        requests: list[OrderRequest] = []
        for request in plan.orders:
            if left and left[0].order == (request.side, request.price_ticks, request.qty_lots):
                left.pop(0)
                continue
            requests.append(replace(request, client_order_id=f"tw-{session}-{number + len(requests)}"))
        why = tuple(dict.fromkeys(f"held back: {self._words(one.why)}" for one in blocked))
        return Plan(plan.cancels, requests, plan.kept, (*plan.why, *why))

    def way_out(self, now_ns: int, account: AccountNow, market: MarketNow, orders: Sequence[TrackedOrder]) -> WayOut:
        """How the position is left now, if it has to go. The engine's lanes do the same
        (:func:`tidewright.engine.leaving.leave`).

        Nothing else is quoted while it is left by taking: the post-only order is cancelled first, and what it may still
        fill is left out.
        """
        state, limits = self.state, self.effective
        must = gate.must_leave(pretrade.exposure(self._books(account, ())), limits.values())
        waited, state.leaving = state.leaving, state.leaving + 1 if must else 0
        if limits.flatten_patience is None or not must or waited < limits.flatten_patience:
            return WayOut(bool(must))
        if waited == limits.flatten_patience:
            words = f"nobody has taken the post-only order for {waited} decisions: now it takes, in slices of 1/"
            cause = f"{words}{limits.flatten_slices} within {limits.flatten_collar:.2%} of the mid"
            self._event(now_ns, "escalated", "flatten", cause, action="flatten")
        position = account.net_position_lots
        side = SELL if position > 0 else BUY
        side, price, lots = taking(
            limits.values(),
            waited,
            position,
            market.mid2,
            self._tick,
            self._lot,
            sum(order.leaves_lots for order in orders if order.side == side),
            *self._smallest,
        )
        return WayOut(True, True, (int(side), int(price), int(lots)) if lots else None)

    def _books(self, account: AccountNow, orders: Sequence[pretrade.Order]) -> pretrade.Books:
        return pretrade.Books(
            account.net_position_lots,
            account.equity,
            self.state.day_equity,
            self.state.peak_equity,
            account.entry_price,
            self._mid,
            self._tick,
            self._lot,
            self.volatility,
            self.state.halts,
            self.state.sent,
            orders,
            self._most_lots,
            self._least_lots(),
        )

    def _least_lots(self) -> int:
        if not self._mid2:
            return max(1, self._smallest[0])
        return int(gate.least_position(self.effective.values(), self._mid2, *self._smallest))

    def note_cut(self, reasons: Sequence[str]) -> tuple[str, ...]:
        """Count what the gate cut at a decision; the reasons, a limit of the portfolio by its own name."""
        position = gate.REASONS[gate.POSITION_LIMIT]
        own = self._words("portfolio limit") if self._by_portfolio else position
        self._blocked.update(
            own if reason == position else reason for reason in reasons if reason in gate.REASONS.values()
        )
        return tuple(own if reason == position else reason for reason in reasons)

    def save(self, now_ns: int) -> None:
        """Put what must survive into the cycle's transaction."""
        row = {"account": self._account, "ts": now_ns, "state": orjson.dumps(self.state.to_json()).decode()}
        self._database.add(schema.limit_states, [row])

    # -- screens -------------------------------------------------------------------------------------------------------

    def now(self) -> RiskNow:
        """What screens show."""
        found = RiskNow(halted=gate.reasons(self.state.halts), blocked=dict(self._blocked), events=list(self._events))
        if self._account_now is None or not self._mid:
            return found
        account, state = self._account_now, self.state
        held = abs(account.net_position_lots) * self._lot * self._mid
        change = (self._mid / account.entry_price - 1.0) if account.entry_price > 0 else 0.0
        against = max(0.0, -change if account.position_lots > 0 else change) if account.position_lots else 0.0
        values = {
            "max_position_share": held / account.equity if account.equity > 0 else math.inf,
            "stop_loss": against,
            "daily_loss": state.day_loss(account.equity),
            "drawdown": state.fall(account.equity),
            "volatility_cutoff": self.volatility,
            "orders_per_minute": float(state.sent),
        }
        for name, value in values.items():
            limit, as_set = getattr(self.effective, name), getattr(self.limits, name)
            found.limits.append(_row(name, value, limit, as_set))
        for use in uses(self._portfolio(account), self._settings.portfolio):
            kind = use.name.partition(":")[0]
            if hasattr(found, kind):
                setattr(found, kind, None if math.isnan(use.value) else use.value)
            limit = None if math.isinf(use.limit) else use.limit
            if limit is not None:
                found.limits.append(_row(use.name, use.value, limit, limit))
        found.stress = self._stress(account)
        found.correlations = [] if self._others is None else self._others.correlations.rows()
        return found

    def _stress(self, account: AccountNow) -> list[dict[str, Any]]:
        """Losses of the present position in the crises, the worst first."""
        market = self.liquidity()
        if market is None or not account.net_position_lots or account.equity <= 0:
            return []
        held = account.net_position_lots * self._lot
        book = [Position(self._instrument.base, held, market, account.entry_price)]
        losses = [revalue(shock, book, account.equity, self.effective) for shock in CRISES.values()]
        ordered = sorted(losses, key=lambda one: -one.loss)
        return [{"shock": o.shock, "loss": o.loss, "loss_share": o.loss_share, "fired": list(o.fired)} for o in ordered]

    def liquidity(self) -> Liquidity | None:
        """What is known of the market's liquidity now; ``None`` before there is a mid."""
        if not self._mid or self._book is None:
            return None
        bids, asks = self._book.levels(_DEPTH)
        deviation = self.volatility * math.sqrt(DAY / self._cycle_ns)
        return Liquidity(
            self._daily_volume(),
            deviation,
            self._mid,
            self._levels(bids),
            self._levels(asks),
            self._instrument.taker_fee / 1e8,
        )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _tighten(self, now_ns: int, account: AccountNow, data_age_ns: int, rules: Rules) -> None:
        score, judged = self.calibration if self.calibration is not None else (None, 0)
        found = tighten(
            Measured(
                self.volatility,
                self._usual if len(self._returns) >= _SETTLED else None,
                self.state.fall(account.equity),
                None if self._others is None else self._others.correlations.lost,
                score,
                judged,
                data_age_ns,
            ),
            rules,
        )
        if found.factors == self._tightening.factors:
            return
        before, after = (each.factors["max_position_share"] for each in (self._tightening, found))
        self._tightening, self.effective = found, self.limits.scaled(found.factors)
        word, cause = ("tightened", "; ".join(found.causes)) if after < before else ("loosened", "")
        if not cause:
            cause = "; ".join(found.causes) or "what had tightened the limits is over"
        self._event(now_ns, word, "all", f"factor {after:g}, was {before:g}: {cause}", after, before, "tighten")

    def _portfolio_lots(self, account: AccountNow) -> int | None:
        """Largest inventory either way that the portfolio's limits allow, lots."""
        limits = self._settings.portfolio
        self._portfolio_cause = ""
        if not limits.active or account.equity <= 0:
            return None
        if not self._mid:
            return 0
        portfolio = self._portfolio(account)
        flat = portfolio.moved(self._instrument.symbol, -float(portfolio.exposures[0]))
        whole = 10.0 * account.equity
        found = []
        for sign in (1, -1):
            most, cause = allowed(flat, self._instrument.symbol, sign * whole, limits)
            found.append(abs(most))
            self._portfolio_cause = self._portfolio_cause or cause
        return math.floor(min(found) / (self._lot * self._mid))

    def _portfolio(self, account: AccountNow) -> Portfolio:
        symbol = self._instrument.symbol
        market = self.liquidity()
        own = account.net_position_lots * self._lot * self._mid
        markets = {} if market is None else {symbol: market}
        held = self._settings.holdings
        if not held or self._others is None:
            returns = np.array(self._returns, np.float64)[:, None]
            return Portfolio((symbol,), np.array([own]), account.equity, returns, self._cycle_ns, markets)
        names = (symbol, *held)
        exposures = np.array([own, *(quantity * self._others.price(name) for name, quantity in held.items())])
        return Portfolio(names, exposures, account.equity, self._others.returns(names), self._cycle_ns, markets)

    def _daily_volume(self) -> float:
        if self._settings.daily_volume:
            return self._settings.daily_volume
        if len(self._traded) < 2:
            return 0.0
        (began, before), (until, after) = self._traded[0], self._traded[-1]
        span, lots = until - began, after - before
        return lots * self._lot * DAY / span if span > 0 else 0.0

    def _levels(self, rows: list[tuple[int, int]]) -> Levels:
        table = np.array(rows, np.float64).reshape(-1, 2)
        return Levels(table[:, 0] * self._tick, table[:, 1] * self._lot)

    def _watch_breaches(self, now_ns: int, books: pretrade.Books) -> None:
        """Tell when a halting limit is breached and when the breach is over; once each, not a cycle."""
        limits = self.effective.values()
        mask = int(gate.halted(pretrade.exposure(books), limits))
        mask |= gate.STOP_LOSS if gate.stopped_out(pretrade.exposure(books), limits) else 0
        change = books.mid / books.entry_price - 1.0 if books.position_lots and books.entry_price > 0 else 0.0
        against = max(0.0, -change if books.position_lots > 0 else change)
        measured = {
            gate.DAILY_LOSS: ("daily_loss", self.state.day_loss(books.equity), limits.daily_loss),
            gate.DRAWDOWN: ("drawdown", self.state.fall(books.equity), limits.drawdown),
            gate.VOLATILITY_CUTOFF: ("volatility_cutoff", books.volatility, limits.volatility_cutoff),
            gate.STOP_LOSS: ("stop_loss", against, limits.stop_loss),
        }
        for bit, (name, value, limit) in measured.items():
            if mask & ~self._breaches & bit:
                action = "reduce" if bit == gate.STOP_LOSS else "halt"
                action = "flatten" if self.limits.flatten and bit != gate.VOLATILITY_CUTOFF else action
                cause = f"{gate.REASONS[bit]}: {value:.4%} beyond {limit:.4%}"
                self._event(now_ns, "breach", name, cause, value, limit, action)
            elif self._breaches & ~mask & bit:
                cause = f"{gate.REASONS[bit]}: {value:.4%} is within {limit:.4%}"
                if bit == gate.STOP_LOSS and abs(books.position_lots) < books.least_lots:
                    left = f"of {books.position_lots} lots is less than any order that could leave it"
                    cause = f"the position {left if books.position_lots else 'is flat'}"
                self._event(now_ns, "lifted", name, cause, value)
        self._breaches = mask

    def _words(self, why: str) -> str:
        return f"{why} ({self._portfolio_cause})" if why == "portfolio limit" and self._portfolio_cause else why

    def _event(
        self,
        now_ns: int,
        event: str,
        rule: str,
        cause: str,
        value: float | None = None,
        limit: float | None = None,
        action: str | None = None,
    ) -> None:
        data: dict[str, Any] = {"event": event, "rule": rule, "cause": cause}
        for name, each in (("value", value), ("limit", limit), ("action", action)):
            if each is not None and (not isinstance(each, float) or math.isfinite(each)):
                data[name] = each
        self._noted(now_ns, data)

    def _noted(self, now_ns: int, data: dict[str, Any]) -> None:
        self._events.append(f"{data['event']} {data['rule']}: {data['cause']}")
        self._tell(now_ns, data)


def _may_fill(orders: Sequence[TrackedOrder], side: int) -> list[tuple[int, int]]:
    """Orders of a side that may still fill; what is being cancelled matches no wanted price."""
    return [(0 if o.cancel_sent else o.price_ticks, o.qty_lots) for o in orders if o.side == side]


def _row(name: str, value: float, limit: float | None, as_set: float | None) -> dict[str, Any]:
    use = value / limit if limit else None
    return {
        "name": name,
        "value": value if math.isfinite(value) else None,
        "limit": limit,
        "as_set": as_set,
        "use": use if use is not None and math.isfinite(use) else None,
    }


__all__ = ["Guard", "RiskNow", "WayOut"]

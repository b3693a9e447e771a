"""One decision a cycle: state, policy, target quotes, risk gate. Pure: what it sees is passed in, nothing is sent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from tidewright.agents.executor import state as executor_state
from tidewright.market import features
from tidewright.market.instrument import Instrument
from tidewright.market.tape import F64, I64
from tidewright.risk import gate as risk
from tidewright.risk.gate import Exposure
from tidewright.risk.limit_state import LimitState
from tidewright.risk.limits import Limits
from tidewright.strategies import registry
from tidewright.strategies.dispatch import quote
from tidewright.strategies.view import View, new_quotes

QUANTITY: Final = "base_quantity"
_STANDING: Final = 62  # orders of a side that the gate can match one by one, see risk.gate


class MarketNow(NamedTuple):
    """The book as it is known at a decision.

    Attributes
    ----------
    whole
        Whether both sides are there, uncrossed, outside a gap: else nothing is decided.
    best_bid, best_ask
        Ticks.
    bid_qty, ask_qty
        Lots.
    """

    whole: bool
    best_bid: int
    best_ask: int
    bid_qty: int
    ask_qty: int

    @property
    def mid2(self) -> int:
        """Twice the mid, ticks."""
        return self.best_bid + self.best_ask


class AccountNow(NamedTuple):
    """The account as it is known at a decision.

    Attributes
    ----------
    position_lots
        Net filled quantity since the start, lots.
    net_position_lots
        The same with commission taken in base counted, lots.
    equity
        Quote.
    entry_price
        Average price of the position, quote per base; 0 when flat.
    """

    position_lots: int
    net_position_lots: int
    equity: float
    entry_price: float


class Guarded(NamedTuple):
    """What the limits are at a decision, and what stands.

    Attributes
    ----------
    limits
        Now: as set, or tightened.
    state
        What the limits remember; its owner has taken in this decision's equity and counts what is sent.
    bids, asks
        Orders that may still fill, (ticks, lots).
    most_lots
        Largest inventory either way that limits over instruments allow: quotes are made smaller to fit. ``None``: any.
    """

    limits: Limits
    state: LimitState
    bids: Sequence[tuple[int, int]] = ()
    asks: Sequence[tuple[int, int]] = ()
    most_lots: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the executor wants.

    Attributes
    ----------
    state
        The eight numbers, in the order of :data:`tidewright.agents.executor.state.NAMES`.
    bids, asks
        Target quotes that passed the gate, (ticks, lots), nearest first.
    why
        What stopped or cut the quotes.
    """

    now_ns: int
    state: tuple[float, ...]
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    why: tuple[str, ...] = ()


class Pilot(Protocol):
    """Who writes new parameters before every decision: a learned policy, see :mod:`tidewright.agents.executor.seat`."""

    def steer(self, state: F64, row: F64) -> F64:
        """Parameters of this decision: of the eight numbers and the parameters in use, which stay as they are."""
        ...

    def wait(self) -> None:
        """A decision time at which nothing is decided because the book is not whole."""
        ...


class Executor:
    """Decides for one instrument.

    Parameters
    ----------
    start_ns, cycle_ns
        Decisions are at ``start_ns + k * cycle_ns``.
    strategy, params
        Name and parameters of the quoting rule, see :mod:`tidewright.strategies.registry`. A user's own is compiled
        here, once; a decision at which it raises or writes nonsense quotes nothing and says why.
    limits
        Risk limits.

    Attributes
    ----------
    pilot
        Who steers the rule; ``None``: it quotes by its parameters as they are.
    scale
        Share of ``base_quantity`` that is quoted, in (0, 1]: less than 1 for a canary, or by sizing.
    share
        Of the account's capital: all of it.

    Raises
    ------
    UsageError
        If strategy or parameters are not valid.
    """

    def __init__(
        self,
        instrument: Instrument,
        start_ns: int,
        cycle_ns: int,
        strategy: str,
        params: Mapping[str, float],
        limits: Limits,
    ) -> None:
        self._instrument = instrument
        self._start_ns, self._cycle_ns = start_ns, cycle_ns
        self.strategy = registry.strategy(strategy)
        self._rule = self.strategy.bind()
        self.limits = limits
        self._tick, self._lot = float(instrument.tick), float(instrument.lot)
        self._smallest = instrument.smallest_order
        self._quotes = new_quotes()
        self._features = features.new_state()
        self._memory: F64 = np.zeros(executor_state.MEMORY)
        self._limit_state = LimitState()
        self.pilot: Pilot | None = None
        self.scale = self.share = 1.0
        self.params: dict[str, float] = {}
        self._row: F64 = np.zeros(0)
        self.use(params)

    def use(self, params: Mapping[str, float]) -> None:
        """Take parameters from the next decision on; names that are absent take their defaults.

        Raises
        ------
        UsageError
            If a name is unknown or a value out of range; the old ones stay.
        """
        row = registry.rows(self.strategy.name, params, 1)[0]
        self._row = row
        self.params = dict(zip(self.strategy.names, row.tolist(), strict=True))

    @property
    def start_ns(self) -> int:
        """Where the grid of decision times begins."""
        return self._start_ns

    @property
    def volatility(self) -> float:
        """Deviation of the mid's log return a cycle so far."""
        return math.sqrt(float(self._features[features.VARIANCE]))

    def watch(self, market: MarketNow) -> tuple[float, float]:
        """Take in the market of a cycle in which nothing is decided, as in the warm-up: price change and volatility."""
        if not market.whole:
            return 0.0, self.volatility
        change, volatility = features.observe_mid(self._features, market.mid2)
        return float(change), float(volatility)

    def decide(
        self, now_ns: int, market: MarketNow, account: AccountNow, guarded: Guarded | None = None
    ) -> Decision | None:
        """Decide at a time; ``None`` while the book is not whole: quotes stay as they are.

        Parameters
        ----------
        guarded
            Limits, their memory and what stands; ``None``: the limits as set, remembered here, and nothing stands.
        """
        self._account(now_ns, account)
        if guarded is None:
            self._limit_state.observe(now_ns, account.equity, self.limits)
            guarded = Guarded(self.limits, self._limit_state)
        if not market.whole:
            if self.pilot is not None:
                self.pilot.wait()
            return None
        change, volatility = self.watch(market)
        mid = market.mid2 * 0.5 * self._tick
        imbalance = features.imbalance(market.bid_qty, market.ask_qty)
        state: F64 = np.zeros(len(executor_state.NAMES))
        executor_state.observe(
            self._memory,
            now_ns - self._start_ns,
            mid,
            change,
            volatility,
            float(imbalance),
            account.net_position_lots * self._lot * mid,
            self.limits.values().max_position_share * account.equity,
            state,
        )
        view = View(
            now_ns,
            now_ns - self._start_ns,
            self._cycle_ns,
            market.best_bid,
            market.best_ask,
            market.bid_qty,
            market.ask_qty,
            market.mid2,
            self._tick,
            self._lot,
            change,
            volatility,
            float(imbalance),
            account.position_lots,
        )
        quotes = self._quotes
        bids, asks, faults = self._wanted(view, state)
        kept_bids, kept_asks, mask = self._gate(guarded, market, account, mid, volatility, (bids, asks))
        return Decision(
            now_ns,
            tuple(state.tolist()),
            list(zip(quotes.bid_price[:kept_bids].tolist(), quotes.bid_qty[:kept_bids].tolist(), strict=True)),
            list(zip(quotes.ask_price[:kept_asks].tolist(), quotes.ask_qty[:kept_asks].tolist(), strict=True)),
            (*faults, *risk.reasons(mask)),
        )

    def recall(self, now_ns: int, position_lots: int, equity: float, mid2: int) -> None:
        """Take in a cycle of before a restart: the account and, where the book was whole, the mid (else 0)."""
        decided = now_ns > self._start_ns  # at the start itself the market is only watched
        if decided:
            executor_state.remember(self._memory, now_ns - self._start_ns, position_lots, equity)
        if mid2 > 0:
            features.observe_mid(self._features, mid2)
            if decided and self._memory[executor_state.FIRST_MID] == 0.0:
                self._memory[executor_state.FIRST_MID] = mid2 * 0.5 * self._tick

    def transfer(self, equity: float) -> None:
        """Capital was given or taken: what was gained before is measured in proportion to what there is now.

        Parameters
        ----------
        equity
            From here on, quote, > 0.
        """
        memory = self._memory
        if memory[executor_state.LAST_EQUITY] > 0.0 and equity > 0.0:
            ratio = equity / memory[executor_state.LAST_EQUITY]
            memory[[executor_state.CAPITAL, executor_state.LAST_EQUITY, executor_state.MEAN]] *= ratio
            memory[executor_state.SQUARES] *= ratio * ratio

    def _steered(self, state: F64) -> F64:
        """Parameters of this decision."""
        row = self._row if self.pilot is None else self.pilot.steer(state, self._row)
        names = self.strategy.names
        if self.scale != 1.0 and QUANTITY in names:
            row = row.copy()
            row[names.index(QUANTITY)] *= self.scale
        return row

    def _wanted(self, view: View, state: F64) -> tuple[int, int, tuple[str, ...]]:
        """Write what is wanted into the buffers, before any limit: how many bids and asks, and what went wrong."""
        bids, asks = quote(self._rule.number, view, self._steered(state), self._quotes)
        fault = self._rule.take_fault()
        return int(bids), int(asks), (fault,) if fault else ()

    def _gate(
        self,
        guarded: Guarded,
        market: MarketNow,
        account: AccountNow,
        mid: float,
        volatility: float,
        count: tuple[int, int],
    ) -> tuple[int, int, int]:
        """Cut the target quotes to what the limits allow; how many are left, and the mask of what cut them."""
        state, values, quotes = guarded.state, guarded.limits.values(), self._quotes
        fitting = [(each, False) for each in count]
        if guarded.most_lots is not None:
            held = account.net_position_lots
            fitting = [
                sized(quotes.bid_qty, count[0], guarded.most_lots - held),
                sized(quotes.ask_qty, count[1], guarded.most_lots + held),
            ]
        exposure = Exposure(
            account.net_position_lots,
            mid,
            self._lot,
            account.equity,
            state.day_equity,
            account.entry_price,
            volatility,
            state.peak_equity,
            market.best_bid,
            market.best_ask,
            self._tick,
            state.halts,
            state.sent,
            int(risk.least_position(values, market.mid2, *self._smallest)),
        )
        bids, asks, mask, sent = risk.gate(
            exposure,
            values,
            quotes.bid_price,
            quotes.bid_qty,
            fitting[0][0],
            quotes.ask_price,
            quotes.ask_qty,
            fitting[1][0],
            _standing(guarded.bids),
            _standing(guarded.asks),
        )
        state.latch(int(risk.halted(exposure, values)), guarded.limits)
        if state is self._limit_state:
            state.count(int(sent))
        if any(cut for _, cut in fitting) and not risk.halted(exposure, values):
            mask |= risk.POSITION_LIMIT
        return int(bids), int(asks), int(mask)

    def _account(self, now_ns: int, account: AccountNow) -> None:
        executor_state.remember(self._memory, now_ns - self._start_ns, account.position_lots, account.equity)


def sized(qty: I64, count: int, room: int) -> tuple[int, bool]:
    """Make the quotes of a side small enough that together they fit into some lots, in place, the far ones first.

    Steps are quarters of a quote, so that a limit that moves a little does not replace an order every cycle.

    Returns
    -------
    tuple[int, bool]
        How many are left, and whether something was cut.
    """
    for i in range(count):
        wanted = int(qty[i])
        if wanted > room:
            quarter = max(1, wanted // 4)
            qty[i] = max(0, room) // quarter * quarter
            return i + int(qty[i] > 0), True
        room -= wanted
    return count, False


def _standing(orders: Sequence[tuple[int, int]]) -> risk.Standing:
    count = min(len(orders), _STANDING)
    # What does not fit is one order more, of all the rest: it still counts against the position.
    rows = [*orders[:count], (0, sum(qty for _, qty in orders[count:]))]
    table: I64 = np.array(rows, np.int64)
    return risk.Standing(table[:, 0].copy(), table[:, 1].copy(), count + (len(orders) > count))

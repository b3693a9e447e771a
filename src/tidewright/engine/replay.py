"""The engine: many lanes resting in one replayed book, fed packet by packet, stopping at what is due.

A lane is one independent strategy or account. Lanes with a strategy decide every cycle; lanes without are driven from
outside (:meth:`Replay.submit`, :meth:`Replay.cancel`). Slicing the input never changes a result.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from tidewright.engine import bounds, kernel, memory, reference, snapshot, window
from tidewright.engine import config as rules
from tidewright.engine import layout as at
from tidewright.engine.config import ReplayConfig
from tidewright.engine.layout import State
from tidewright.engine.statistics import statistics
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BUY,
    FALLS,
    FILL,
    GTC,
    IOC,
    LIMIT,
    NO_STOP,
    PACKET_END,
    POST_ONLY,
    RISES,
)
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.ladder import LOW, WIDTH
from tidewright.market.tape import F64, I64, Columns, columns
from tidewright.strategies import registry
from tidewright.strategies.dispatch import CUSTOM, NONE
from tidewright.strategies.view import MAX_LEVELS

__all__ = ["REPORT", "Account", "Replay", "ReplayConfig"]

REPORT: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            "seq",  # grows by 1 with each report of the run
            "lane",
            "what",  # ACCEPTED, FILL, ... of market.codes
            "number",  # the engine's order number
            "tag",
            "ts",  # when it happened, ns
            "known_ns",  # when the lane knows
            "side",
            "price",  # ticks: of the fill, else of the order
            "qty",  # lots: of the fill, else of the whole order (AMENDED: as it is now)
            "leaves",  # lots still open after a fill, or at the moment of anything else
            "maker",
            "fee",  # 1e-8 units of the fee asset
            "fee_asset",  # FEE_BASE, FEE_QUOTE or FEE_OTHER
            "reason",
        )
    ]
)
"""One report of what happened to an order; int64 throughout."""

_NOTHING: Final = columns([])
LOOK: Final = 4096  # rows looked at at a time for the first price
OUTSIDE_SLOTS: Final = 64  # order slots a lane without a strategy starts with
MARKET_STATES: Final = ("whole", "gap", "one_sided", "crossed", "out_of_window")


class Account(NamedTuple):
    """Money of a lane, true state. Balances are in 1e-8 units."""

    position_lots: int
    cash: int  # tick * lots
    fee_base: int
    fee_quote: int
    base_units: int
    quote_units: int  # rounded down
    base_locked: int
    quote_locked: int  # rounded up
    fee_other: int = 0  # commission in a third asset
    funding: int = 0  # paid less received, quote


class Replay:
    """An engine over one instrument.

    Parameters
    ----------
    instrument
        What is traded, with the fees to apply.
    config
        Rules of the run.
    strategy
        Name of the lanes' strategy, or the file of a user's own; ``None``: they are driven from outside.
    params
        Strategy parameters by name, scalars or arrays over lanes.
    lanes
        How many lanes; ``None``: as many as the longest parameter array.
    base_units, quote_units
        Balances at the start, 1e-8 units, for all lanes or one each.
    check_balance
        Refuse orders that the free balance does not cover.

    Raises
    ------
    UsageError
        If a name is unknown or a value out of range.
    """

    def __init__(
        self,
        instrument: Instrument,
        config: ReplayConfig,
        strategy: str | None = None,
        params: Mapping[str, npt.ArrayLike] | None = None,
        lanes: int | None = None,
        base_units: npt.ArrayLike = 0,
        quote_units: npt.ArrayLike = 0,
        check_balance: bool = False,
    ) -> None:
        self.instrument = instrument
        self.config = config
        self.strategy = None if strategy is None else registry.strategy(strategy).name
        if lanes is not None and lanes < 1:
            raise UsageError(f"lanes must be >= 1, was {lanes}")
        self._rule, levels, table = _strategy(self.strategy, params or {}, lanes)
        number = NONE if self._rule is None else self._rule.number
        slots = OUTSIDE_SLOTS
        if strategy is not None:
            slots = 2 * levels * (1 + rules.cancels_under_way(config))
        record = 2 if strategy is None else config.record_fills
        cfg = rules.integers(instrument, config, number, slots, check_balance, record)
        cfg_f = rules.floats(instrument, config)
        # A window chosen by the first price waits for it; until then there is room for anything but prices.
        width = rules.window_of(config, rules.MIN_WINDOW)
        self._placed = config.window_ticks > 0
        self._tabled: State | None = None
        self._read: Columns | None = None  # the rows read last, and as the kernel takes them
        self._arrays: list[npt.NDArray[Any]] = []
        self._state = memory.new_state(config, cfg, cfg_f, table, width, levels, strategy is not None)
        self._state.lane[:, at.L_BASE_START] = np.asarray(base_units, np.int64)
        self._state.lane[:, at.L_QUOTE_START] = np.asarray(quote_units, np.int64)
        capital = self._state.lane[:, at.L_QUOTE_START] / 1e8
        for column in (at.F_START, at.F_LAST, at.F_PEAK, at.F_NEWEST, at.F_DAY):
            self._state.lane_f[:, column] = capital
        if config.start_ns is not None:
            memory.set_start(self._state, config.start_ns)

    # -- time ---------------------------------------------------------------------------------------------------------

    def feed(self, data: Columns) -> None:
        """Read the next whole packets.

        Raises
        ------
        DataError
            If venue time falls, changes inside a packet, or lies at or before what was advanced to; or if the last row
            does not end a packet. The engine is of no use afterwards.
        StrategyError
            If a user's own strategy raised or wrote nonsense; its lanes quoted nothing at those decisions.
        """
        if len(data.ts) == 0:
            return
        if not data.flags[-1] & PACKET_END:
            raise DataError("rows are fed by whole packets: the last row must end a packet")
        if not self._placed:
            self._choose_window(data)
        self._run(data, -at.NEVER)

    def run_to_decision(self, data: Columns, row: int, status: int | None = None) -> tuple[int, bool]:
        """Read on up to the next decision, for a run whose config says ``ask``.

        The decision is taken with the :attr:`parameters` as they are when the engine goes on.

        Parameters
        ----------
        data
            Whole packets.
        row
            First row not yet read; what was returned last.
        status
            What stopped the kernel at that row, where somebody else has called it; else ``None``.

        Returns
        -------
        tuple[int, bool]
            The row to go on from, and whether there is a decision (else the rows are at their end).

        Raises
        ------
        DataError, StrategyError
            As :meth:`feed`.
        """
        if not self._placed:
            self._choose_window(data)
        return self._run(data, -at.NEVER, row, True, status)

    @property
    def parameters(self) -> F64:
        """The lanes' strategy parameters, (lanes, n): may be written between decisions; ``levels`` may not grow.

        Take it anew for each change: that makes lanes think anew which else would not, for nothing else has changed.
        """
        self._state.reg[at.ACTED_MID2] = 0
        return self._state.params

    @property
    def decision_ns(self) -> int:
        """Time of the newest decision; before the first one its start."""
        return int(self._state.reg[at.NEXT_DECISION]) - self.config.cycle_ns

    @property
    def market(self) -> F64:
        """What the decisions' views say about the market, see :mod:`tidewright.market.features`; not to be written."""
        return self._state.features

    @property
    def address(self) -> int:
        """Address of the state for kernels (:func:`tidewright.engine.reference.state_at`), until the engine goes on."""
        return self._address()

    def use_large_pages(self) -> None:
        """Hold the window of prices in large pages, where the system has them, before anything is read.

        A tenth to a fifth less time for the first hours of a tape, for some 15 MB. Only a window whose width the config
        says is there already.
        """
        memory.use_large_pages(self._state)

    def advance(self, until_ns: int) -> None:
        """Let everything due at or before a time happen; no later row may have a time at or before it."""
        self._run(_NOTHING, until_ns)

    def _run(
        self, data: Columns, until_ns: int, first: int = 0, stop: bool = False, status: int | None = None
    ) -> tuple[int, bool]:
        if data is not self._read:
            self._read, self._arrays = data, [_read_only(column) for column in data]
            self._state = bounds.remember(self._state, data, first)
        row = first
        while True:
            if status is None:
                status, row = kernel.run(self._address(), *self._arrays, row, until_ns)
            self.check_strategy()
            if status == at.DONE:
                self._state.reg[at.ROWS] += row - first
                return row, False
            if status == at.LOOK:
                if stop:
                    self._state.reg[at.ROWS] += row - first
                    return row, True
            elif status == at.BAD_TIME:
                raise DataError(
                    f"venue time may not fall, change inside a packet or lie at or before the advanced time: "
                    f"{int(data.ts[row])} after {self.now_ns}, row {row}"
                )
            elif status == at.MOVE:
                window.move(self._state, int(self._state.reg[at.MOVE_TO]))
            else:
                self._state = memory.grow(self._state, status)
            status = None

    def check_strategy(self) -> None:
        """Raise a StrategyError if a user's own strategy has failed since it was last asked."""
        if self._rule is not None:
            self._rule.check()

    def finish(self) -> None:
        """End of the tape: what is due until its last time happens; one final equity point takes the true state."""
        reg = self._state.reg
        if reg[at.FINISHED] or reg[at.FIRST_TS] == at.NEVER:
            return
        self.advance(self.now_ns)
        while (status := kernel.finish(self._address())) != at.DONE:
            self._state = memory.grow(self._state, status)

    @property
    def now_ns(self) -> int:
        """Everything at or before this time has happened; the last packet's time has begun."""
        return max(int(self._state.reg[at.LAST_TS]), int(self._state.reg[at.NOW]))

    def _address(self) -> int:
        """Address of the table of the state's arrays as they are now."""
        if self._tabled is not self._state:
            self._table, self._tabled = reference.table(self._state), self._state
            self._table_at = int(self._table.ctypes.data)
        return self._table_at

    def _choose_window(self, data: Columns) -> None:
        price = first_price(data)
        if price is not None:
            self._placed = True
            self._state = memory.resize_window(self._state, rules.window_of(self.config, price))

    # -- lanes driven from outside ------------------------------------------------------------------------------------

    def submit(
        self,
        lane: int,
        side: int,
        kind: int = LIMIT,
        tif: int = GTC,
        price_ticks: int = 0,
        qty_lots: int = 0,
        arrival_ns: int = 0,
        tag: int = 0,
        stop_ticks: int = 0,
        stop_way: int = NO_STOP,
    ) -> int:
        """Send a new order; the engine's number of it.

        Parameters
        ----------
        side, kind, tif
            Codes of :mod:`tidewright.market.codes`.
        price_ticks
            Limit price; ignored for MARKET.
        arrival_ns
            When it reaches the venue: not before what was advanced to, nor before the lane's last message (then at
            that time).
        tag
            The caller's own number, repeated in reports.
        stop_ticks, stop_way
            A stop order sleeps until a print at or over its stop price (RISES) or at or under it (FALLS), and is then
            what the other arguments say; NO_STOP: an order like any other.
        """
        self._check_lane(lane)
        if side not in (0, 1) or kind not in (0, 1) or not GTC <= tif <= POST_ONLY:
            raise UsageError(f"side, kind and time in force must be codes, were {side}, {kind}, {tif}")
        if stop_way not in (NO_STOP, RISES, FALLS) or (stop_way != NO_STOP and (stop_ticks <= 0 or tif == POST_ONLY)):
            raise UsageError(
                f"a stop order needs a stop price > 0 that rises or falls, and may take: stop price {stop_ticks}, "
                f"way {stop_way}, time in force {tif}"
            )
        if self._state.lane[lane, at.L_SLOT_FREE] < 0:
            self._state = memory.grow_lane(self._state, lane)
        state = self._state
        slot = int(state.lane[lane, at.L_SLOT_FREE])
        state.reg[at.NUMBER] += 1
        order, place = state.order[slot], state.place[slot]
        state.lane[lane, at.L_SLOT_FREE] = place[at.P_NEXT]
        state.lane[lane, at.L_ORDERS] += 1
        order[at.O_PRICE] = price_ticks if kind == LIMIT else 0
        order[at.O_QTY] = order[at.O_LEAVES] = qty_lots
        order[at.O_NUMBER] = state.reg[at.NUMBER]
        place[at.P_WHOSE] = ((lane * 8 + at.SENT) * 2 + side) * 16 + kind * 8 + (tif if kind == LIMIT else IOC)
        state.tag[slot] = (tag, 0, stop_ticks, stop_way)
        self._call(lane, slot, int(state.reg[at.NUMBER]), arrival_ns)
        return int(state.reg[at.NUMBER])

    def cancel(self, lane: int, number: int, arrival_ns: int) -> None:
        """Send a cancel of an order; one that comes too late is answered by CANCEL_REJECTED."""
        self._check_lane(lane)
        self._call(lane, -1, number, arrival_ns)

    def amend(self, lane: int, number: int, qty_lots: int, arrival_ns: int) -> None:
        """Send an amendment of an order's quantity, which falls and keeps its place in the queue.

        It acts with the cancels of its instant. AMENDED answers it, or AMEND_REJECTED where the order is not alive, or
        the quantity not less than before and more than what has filled, or a filter broken.

        Parameters
        ----------
        qty_lots
            The new quantity in all, what has filled included, > 0.
        """
        self._check_lane(lane)
        if qty_lots <= 0:
            raise UsageError(f"the quantity of an amendment must be > 0 lots, was {qty_lots}")
        self._call(lane, -1, number, arrival_ns, qty_lots)

    def _call(self, lane: int, slot: int, number: int, arrival_ns: int, qty: int = 0) -> None:
        """Sort a message into the calls, behind all that arrive no later."""
        state = self._state
        arrival = max(arrival_ns, int(state.reg[at.NOW]), int(state.lane[lane, at.L_LAST_ARRIVAL]))
        state.lane[lane, at.L_LAST_ARRIVAL] = arrival
        head, tail = int(state.reg[at.CALL_HEAD]), int(state.reg[at.CALL_TAIL])
        if tail == len(state.call):
            call = np.zeros((max(memory.POOL, 2 * (tail - head)), at.CALL_FIELDS), np.int64)
            call[: tail - head] = state.call[head:tail]
            state.reg[at.CALL_HEAD], state.reg[at.CALL_TAIL] = head, tail = 0, tail - head
            self._state = state = state._replace(call=call)
        place = head + int(np.searchsorted(state.call[head:tail, at.C_ARRIVAL], arrival, side="right"))
        state.call[place + 1 : tail + 1] = state.call[place:tail].copy()
        state.call[place] = (arrival, slot, lane, number, 0, qty)
        state.reg[at.CALL_TAIL] = tail + 1
        state.reg[at.DUE] = min(int(state.reg[at.DUE]), arrival)

    def _check_lane(self, lane: int) -> None:
        if self.strategy is not None:
            raise UsageError("orders from outside need an engine without a strategy")
        if not 0 <= lane < self.lanes:
            raise UsageError(f"lane must be in 0..{self.lanes - 1}, was {lane}")

    # -- results ------------------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return len(self._state.lane)

    def reports(self) -> npt.NDArray[np.void]:
        """What happened since the last call, in that order; structured array of dtype REPORT."""
        count = int(self._state.reg[at.LOG_COUNT])
        rows = self._state.log[:count].copy().view(REPORT).reshape(count)
        self._state.reg[at.LOG_COUNT] = 0
        return rows

    def fills(self) -> npt.NDArray[np.void]:
        """Fills of the whole run so far, if they are recorded and reports were never fetched; dtype REPORT."""
        rows = self._state.log[: int(self._state.reg[at.LOG_COUNT])].copy().view(REPORT).reshape(-1)
        return rows[rows["what"] == FILL]

    def account(self, lane: int) -> Account:
        """True balances of a lane."""
        row = [int(value) for value in self._state.lane[lane]]
        whose = self._state.place[:, at.P_WHOSE] >> 4
        locking = [(lane * 8 + how) * 2 for how in (at.RESTING_STATE, at.STOPPED, at.SET_OFF)]
        buys = self._state.order[np.isin(whose, locking)]
        sells = self._state.order[np.isin(whose - 1, locking)]
        other = bool(self._state.cfg[at.CFG_FEE_OTHER])
        fee_quote, fee_other = (0, row[at.L_FEE_QUOTE]) if other else (row[at.L_FEE_QUOTE], 0)
        funding = int(self._state.funding[lane, at.PAID]) if len(self._state.funding) else 0
        locked_buy = sum(int(price) * int(lots) for price, lots in buys[:, [at.O_PRICE, at.O_LEAVES]])
        money, lot = self.instrument.quote_units, self.instrument.lot_units
        return Account(
            position_lots=row[at.L_POSITION],
            cash=row[at.L_CASH],
            fee_base=row[at.L_FEE_BASE],
            fee_quote=fee_quote,
            base_units=row[at.L_BASE_START] + row[at.L_POSITION] * lot - row[at.L_FEE_BASE],
            quote_units=row[at.L_QUOTE_START] + (row[at.L_CASH] * money).__floor__() - fee_quote - funding,
            base_locked=int(sells[:, at.O_LEAVES].sum()) * lot,
            quote_locked=-((-locked_buy * money).__floor__()),
            fee_other=fee_other,
            funding=funding,
        )

    def limits_at(self, lane: int) -> dict[str, float]:
        """What the limits of a lane saw and did at the newest decision.

        Returns
        -------
        dict[str, float]
            ``equity, day_equity, peak_equity, entry_price, mid`` in quote, ``position_lots`` true and with commission
            counted, ``known_lots`` as the lane knew it, ``cut`` and ``halted`` masks of :mod:`tidewright.risk.gate`.
        """
        row, sums, lot = self._state.lane[lane], self._state.lane_f[lane], self.instrument.lot_units
        known, tick = int(row[at.L_KNOWN]), float(self.instrument.tick)
        return {
            "equity": float(sums[at.F_NEWEST]),
            "day_equity": float(sums[at.F_DAY]),
            "peak_equity": max(float(sums[at.F_PEAK]), float(sums[at.F_NEWEST])),
            "entry_price": float(sums[at.F_KNOWN_VALUE]) / abs(known) * tick if known else 0.0,
            "mid": int(self._state.reg[at.KNOWN_MID2]) * 0.5 * tick,
            "position_lots": (int(row[at.L_POSITION]) * lot - int(row[at.L_FEE_BASE])) // lot,
            "known_lots": (known * lot - int(row[at.L_KNOWN + 2])) // lot,
            "cut": int(row[at.L_CUT]),
            "halted": int(row[at.L_HALTED]),
        }

    def statistics(self) -> dict[str, npt.NDArray[np.int64] | npt.NDArray[np.float64]]:
        """Streamed sums, arrays over lanes; keys in :mod:`tidewright.engine.statistics`."""
        return statistics(self._state)

    def equity(self) -> tuple[I64, F64]:
        """Recorded equity: times (n,) and quote currency (n, lanes)."""
        count = int(self._state.reg[at.CURVE_COUNT])
        return self._state.curve_ts[:count].copy(), self._state.curve[:count].copy()

    def shares(self) -> dict[str, float]:
        """Fractions of time the market spent whole, in gaps, one-sided, crossed and out of the window."""
        reg = self._state.reg
        spent = reg[at.SHARE : at.SHARE + len(MARKET_STATES)].astype(np.float64)
        if reg[at.FIRST_TS] != at.NEVER:
            spent[int(reg[at.MARKET_STATE])] += self.now_ns - int(reg[at.STATE_SINCE])
        total = float(spent.sum())
        return {name: float(part) / total if total else 0.0 for name, part in zip(MARKET_STATES, spent, strict=True)}

    def counts(self) -> dict[str, int]:
        """Rows, packets, prints classed by the book, level rows outside the window, decisions."""
        reg = self._state.reg
        return {
            "rows": int(reg[at.ROWS]),
            "packets": int(reg[at.PACKET]),
            "inferred_prints": int(reg[at.INFERRED_PRINTS]),
            "rows_outside_window": int(reg[at.MISSED_ROWS]),
            "decisions": int(reg[at.DECISIONS]),
        }

    def memory(self) -> dict[str, int]:
        """Bytes of the state; see :func:`tidewright.engine.memory.held`."""
        return memory.held(self._state)

    def level(self, side: int, price_ticks: int) -> int:
        """Quantity of a level of the tape's book, lots; 0 where nothing is known."""
        state = self._state
        width = int(state.reg[WIDTH])
        offset = price_ticks - int(state.reg[LOW])
        index = offset if side == BUY else width - 1 - offset
        return max(0, int(state.qty[side * width + index])) if 0 <= index < width else 0

    # -- saving -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state; :meth:`restore` goes on from it byte for byte."""
        head = {"config": self.config.to_json(), "strategy": self.strategy, "placed": self._placed}
        state = self._state
        if self.strategy is not None:
            chosen = registry.strategy(self.strategy)
            head["digest"] = chosen.digest
            if chosen.number == CUSTOM:  # the address of the user's function means nothing to another process
                state = state._replace(cfg=state.cfg.copy())
                state.cfg[at.CFG_STRATEGY] = CUSTOM
        return snapshot.dump(head, state)

    @classmethod
    def restore(cls, instrument: Instrument, data: bytes) -> Self:
        """An engine from :meth:`snapshot`; the instrument must be the same.

        Raises
        ------
        DataError
            If the bytes are not a snapshot of this version, or the file of its strategy has changed since.
        """
        head, state = snapshot.load(data)
        replay = cls.__new__(cls)
        replay.instrument = instrument
        replay.config = ReplayConfig.from_json(head["config"])
        replay.strategy = head["strategy"]
        replay._placed = head["placed"]
        replay._state = state
        replay._tabled = replay._read = None
        replay._rule = None
        if replay.strategy is not None:
            chosen = registry.strategy(replay.strategy)
            if chosen.digest != head.get("digest", ""):
                raise DataError(f"strategy {chosen.name} has changed since the snapshot was taken")
            replay._rule = chosen.bind()
            state.cfg[at.CFG_STRATEGY] = replay._rule.number
        return replay


def first_price(data: Columns) -> int | None:
    """Price of the first level that holds something, ticks: the window's width goes by it; ``None``: there is none."""
    for first in range(0, len(data.ts), LOOK):  # it is near the beginning
        part = data.rows(first, first + LOOK)
        levels = ((part.kind <= ASK) | (part.kind == BEST_BID) | (part.kind == BEST_ASK)) & (part.qty > 0)
        if levels.any():
            return int(part.price[int(np.argmax(levels))])
    return None


def _strategy(
    name: str | None, params: Mapping[str, npt.ArrayLike], lanes: int | None
) -> tuple[registry.Rule | None, int, F64]:
    """Rule, most levels and parameter rows of a strategy."""
    if name is None:
        if params:
            raise UsageError("lanes driven from outside have no parameters")
        return None, 1, np.zeros((lanes or 1, 1), np.float64)
    chosen = registry.strategy(name)
    table = registry.rows(name, params, lanes)
    levels = int(table[:, chosen.names.index("levels")].max()) if "levels" in chosen.names else MAX_LEVELS
    return chosen.bind(), levels, table


def _read_only(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only contiguous view: one type for the kernel, whether rows lie in memory or in a file."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view

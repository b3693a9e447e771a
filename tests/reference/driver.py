"""One way to drive the slow model and the engine: the same script in, the same plain outcome out."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tests.reference.book import Row
from tests.reference.model import Model, Report, Settings
from tests.reference.quoting import LimitSet
from tests.reference.statistics import slow_statistics
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    GAP,
    GTC,
    LIMIT,
    NO_STOP,
    PACKET_END,
    RESET,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.instrument import Filters, Instrument, Kind
from tidewright.market.tape import columns
from tidewright.risk.limits import Limits

# -- tapes by hand ----------------------------------------------------------------------------------------------------

Event = tuple[int, int, int]  # kind, price, quantity


def bid(price: int, qty: int) -> Event:
    return BID, price, qty


def ask(price: int, qty: int) -> Event:
    return ASK, price, qty


def bought(price: int, qty: int) -> Event:
    return TRADE_BUY, price, qty


def sold(price: int, qty: int) -> Event:
    return TRADE_SELL, price, qty


def traded(price: int, qty: int) -> Event:
    return TRADE_UNKNOWN, price, qty


def best_bid(price: int, qty: int) -> Event:
    return BEST_BID, price, qty


def best_ask(price: int, qty: int) -> Event:
    return BEST_ASK, price, qty


RESET_ROW: Event = (RESET, 0, 0)
GAP_ROW: Event = (GAP, 0, 0)


def packet(ts: int, *events: Event, receipt: int = 0, flags: int = 0) -> list[Row]:
    """Rows of one packet; ``receipt`` 0: not recorded."""
    rows = [Row(ts, receipt, kind, flags, price, qty) for kind, price, qty in events]
    rows[-1] = rows[-1]._replace(flags=flags | PACKET_END)
    return rows


def snapshot(ts: int, *events: Event, receipt: int = 0) -> list[Row]:
    """A packet that tells the whole book anew: a reset and then snapshot rows."""
    rows = packet(ts, *events, receipt=receipt, flags=SNAPSHOT)
    return [Row(ts, receipt, RESET, 0, 0, 0), *rows]


def tape(*parts: list[Row]) -> list[Row]:
    return [row for part in parts for row in part]


# -- what is sent -----------------------------------------------------------------------------------------------------


class Send(NamedTuple):
    """A new order, called at time ``at`` and arriving at ``at + delay``."""

    at: int
    side: int
    price: int
    qty: int
    tif: int = GTC
    kind: int = LIMIT
    delay: int = 0
    tag: int = 0
    lane: int = 0
    stop: int = 0
    way: int = NO_STOP


class Drop(NamedTuple):
    """A cancel of the lane's ``number``-th sent order."""

    at: int
    number: int
    delay: int = 0
    lane: int = 0


class Cut(NamedTuple):
    """An amendment of the lane's ``number``-th sent order to ``qty`` lots."""

    at: int
    number: int
    qty: int
    delay: int = 0
    lane: int = 0


Action = Send | Drop | Cut


@dataclass(frozen=True)
class Case:
    """Everything a run depends on."""

    rows: list[Row]
    actions: tuple[Action, ...] = ()
    settings: Settings = field(default_factory=lambda: Settings(cycle_ns=1000))
    filters: Filters = field(default_factory=lambda: Filters(max_num_orders=0))
    tick_size: str = "0.01"
    lot_size: str = "0.001"
    kind: Kind = "spot"
    maker_fee: int = 0
    taker_fee: int = 0
    strategy: str | None = None
    params: tuple[dict[str, float], ...] = ()
    lanes: int = 1
    base_units: int = 0
    quote_units: int = 0
    check_balance: bool = False
    cuts: tuple[int, ...] = ()  # times at which the engine is fed and advanced besides
    restore_at: int | None = None  # time after which the engine goes on from a snapshot of itself at every stop
    slice_packets: int = 0  # packets the engine is fed at once; 0: all there are

    def instrument(self) -> Instrument:
        return Instrument(
            "test",
            "AAABBB",
            "AAA",
            "BBB",
            self.tick_size,
            self.lot_size,
            self.kind,
            maker_fee=self.maker_fee,
            taker_fee=self.taker_fee,
            filters=self.filters,
        )


class Result(NamedTuple):
    """What a run left of one lane. ``reports`` with the order's number counted within the lane."""

    reports: list[Report]
    position: int
    cash: int
    fee_base: int
    fee_quote: int
    base_locked: int
    quote_locked: int
    equity: list[tuple[int, int]]  # (ts, equity in 1e-8 quote units, rounded)
    statistics: dict[str, float]  # of strategy lanes
    funding: int = 0


def lane_count(case: Case) -> int:
    return len(case.params) if case.strategy is not None else case.lanes


def schedule(case: Case) -> list[tuple[int, list[Action]]]:
    """Times to advance to, with what is sent at each."""
    times = sorted({*case.cuts, *(action.at for action in case.actions)})
    return [(at, [action for action in case.actions if action.at == at]) for at in times]


def run_model(case: Case) -> list[Result]:
    """Run a case in the slow model."""
    model = Model(
        case.instrument(),
        case.settings,
        strategy=case.strategy,
        params=list(case.params) if case.strategy is not None else None,
        lanes=case.lanes,
        base_units=case.base_units,
        quote_units=case.quote_units,
        check_balance=case.check_balance,
    )
    model.feed(case.rows)
    for at, actions in schedule(case):
        model.advance(at)
        for action in actions:
            lane = model.lanes[action.lane]
            if isinstance(action, Send):
                lane.submit(
                    action.side,
                    action.kind,
                    action.tif,
                    action.price,
                    action.qty,
                    at + action.delay,
                    action.tag,
                    action.stop,
                    action.way,
                )
            elif isinstance(action, Cut):
                lane.amend(action.number, action.qty, at + action.delay)
            else:
                lane.cancel(action.number, at + action.delay)
    model.finish()
    results = []
    for lane in model.lanes:
        position, cash, fee_base, fee_quote = lane.money(None)
        _, _, base_locked, quote_locked = lane.balances()
        results.append(
            Result(
                lane.reports,
                position,
                cash,
                fee_base,
                fee_quote,
                base_locked,
                math.ceil(quote_locked),
                [(sample.ts, round(lane.equity(sample))) for sample in lane.samples],
                slow_statistics(lane) if case.strategy is not None and lane.samples else {},
                lane.funding(None),
            )
        )
    return results


def run_engine(case: Case) -> list[Result]:
    """Run a case in the engine."""
    from tests.reference.engine_driver import drive

    return drive(case)


def run(which: str, case: Case) -> list[Result]:
    return run_model(case) if which == "model" else run_engine(case)


def limits_of(case: Case) -> Limits | None:
    wanted = case.settings.limits
    if wanted == LimitSet():
        return None
    return Limits(**{name: None if value == float("inf") else value for name, value in wanted._asdict().items()})


def engine_columns(rows: Iterable[Row]) -> object:
    return columns((*row,) for row in rows)


__all__ = ["Case", "Cut", "Drop", "Result", "Send", "np", "run", "run_engine", "run_model"]

"""Probes of a tape: small orders at regular times through the engine, and what came of them.

Times, prices and sizes of the probes are functions of the tape alone, never of what was filled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.clock import SECOND
from tidewright.market.codes import (
    ACCEPTED,
    BUY,
    FILL,
    IOC,
    LIMIT,
    MARKET,
    PACKET_END,
    POST_ONLY,
    SELL,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.detail import detail_of
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, Tape
from tidewright.measure.fill_facts import HORIZONS_NS, SHARE_HIGH
from tidewright.measure.fill_facts_book import BookHistory
from tidewright.measure.fill_facts_probes import Probes

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

OFFSETS_BP: Final = (0.5, 1.0, 2.0, 5.0, 10.0)  # behind the touch; the touch and one tick inside come on top
TAKER_HOLD_NS: Final = 15 * SECOND
TAKER_FEE_BP: Final = 1.5
SHORTEST_NS: Final = 5 * SECOND  # of a life, unless gaps come faster
LONGEST_NS: Final = 60 * SECOND
FASTEST_NS: Final = SECOND // 4  # between probes
_CHUNK: Final = 1 << 16  # rows fed at once


class Plan(NamedTuple):
    """Orders to send, in the order of their arrival; int64 arrays over orders.

    Attributes
    ----------
    arrival, until
        When an order reaches the venue, and its cancel; ns.
    lane, side, kind, tif, price, qty
        As :meth:`tidewright.engine.replay.Replay.submit` takes them.
    """

    arrival: I64
    until: I64
    lane: I64
    side: I64
    kind: I64
    tif: I64
    price: I64
    qty: I64


class Outcome(NamedTuple):
    """What came of the orders of a plan; arrays over orders.

    Attributes
    ----------
    accepted
        Whether it was taken in.
    fill_ts
        Time of its first fill, int64 ns; 0: never filled.
    price
        Mean fill price weighted by quantity, ticks, float64; NaN: never filled.
    """

    accepted: Bools
    fill_ts: I64
    price: F64


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How probes are sent.

    Attributes
    ----------
    life_ns
        How long an order is left alone; ``None``: see :func:`usual_life`.
    entry_ns
        Latency of orders and cancels.
    orders
        About how many orders; they come at most four times a second.
    queue, queue_power
        Queue model, see :class:`tidewright.engine.config.ReplayConfig`.
    seed
        Of the times' jitter.
    """

    life_ns: int | None = None
    entry_ns: int = SECOND // 20
    orders: int = 120_000
    queue: str = "risk_averse"
    queue_power: float = 3.0
    seed: int = 1

    def __post_init__(self) -> None:
        if self.life_ns is not None and self.life_ns <= 0:
            raise UsageError(f"the life of a probe must be > 0, was {self.life_ns} ns")
        if self.orders < 100:
            raise UsageError(f"at least 100 probes are needed, were {self.orders}")


def make_plan(tape: Tape, book: BookHistory, settings: ProbeSettings) -> Plan:
    """Post-only orders on both sides at several distances, and market orders where one side outweighs the other.

    Raises
    ------
    UsageError
        If the book of the tape is never whole.
    """
    when = _times(book, settings)
    views = book.at(when)
    usable = views.whole & (views.bid < views.ask)
    if not usable.any():
        raise UsageError("the tape's book is never whole and unlocked: there is nothing to place orders in")
    mid = float(np.median((views.bid + views.ask)[usable])) / 2.0
    offsets = _offsets(mid)
    size = lots_of(tape.instrument, int(views.bid[usable].min()))
    width = 2 * len(offsets) + 1
    life = settings.life_ns or usual_life(tape.data, book)
    rows = ceil((life + settings.entry_ns) / _interval(book, settings)) + 2
    base = (np.arange(len(when)) % rows) * width
    parts = []
    for place, offset in enumerate(offsets):
        fits = usable & (views.ask - views.bid > -offset) if offset < 0 else usable
        for side, price in ((BUY, views.bid - offset), (SELL, views.ask + offset)):
            chosen = fits & (price > 0)
            parts.append((when[chosen], base[chosen] + 2 * place + side, side, LIMIT, POST_ONLY, price[chosen]))
    share = views.bid_qty / np.maximum(views.bid_qty + views.ask_qty, 1)
    for side, chosen in ((BUY, usable & (share >= SHARE_HIGH)), (SELL, usable & (share <= 1.0 - SHARE_HIGH))):
        parts.append((when[chosen], base[chosen] + width - 1, side, MARKET, IOC, np.zeros(int(chosen.sum()), np.int64)))
    decided, *rest = (np.concatenate(column) for column in zip(*map(_broadcast, parts), strict=True))
    order = np.argsort(decided, kind="stable")
    arrival = decided[order] + settings.entry_ns
    lane, sides, kind, tif, prices = (column[order].astype(np.int64) for column in rest)
    return Plan(arrival, arrival + life, lane, sides, kind, tif, prices, np.full(len(order), size))


def _broadcast(part: tuple[I64, I64, int, int, int, I64]) -> tuple[I64, ...]:
    """All columns of one kind of orders at full length."""
    return tuple(np.broadcast_to(np.asarray(column, np.int64), part[0].shape) for column in part)


def run_plan(
    tape: Tape, plan: Plan, settings: ProbeSettings, queue: str, progress: Callable[[float], None] | None = None
) -> Outcome:
    """Send a plan's orders through the engine under one queue model."""
    touch_only = detail_of(tape.meta).touch_only
    config = ReplayConfig(queue=queue, queue_power=settings.queue_power, touch_only=touch_only)
    replay = Replay(tape.instrument, config, lanes=int(plan.lane.max()) + 1)
    count = len(plan.arrival)
    accepted, fill_ts = np.zeros(count, np.bool_), np.zeros(count, np.int64)
    paid, filled = np.zeros(count), np.zeros(count)
    data = tape.data
    ends = np.flatnonzero(data.flags & PACKET_END) + 1
    columns = [column.tolist() for column in plan]
    row = sent = 0
    while row < len(data.ts):
        stop = int(ends[min(int(np.searchsorted(ends, row + _CHUNK)), len(ends) - 1)])
        due = int(np.searchsorted(plan.arrival, int(data.ts[stop - 1]), side="right"))
        for tag in range(sent, due):
            arrival, until, lane, side, kind, tif, price, qty = (column[tag] for column in columns)
            number = replay.submit(lane, side, kind, tif, price, qty, arrival, tag)
            if kind == LIMIT:
                replay.cancel(lane, number, until)
        sent = due
        replay.feed(data.rows(row, stop))
        row = stop
        _take(replay, accepted, fill_ts, paid, filled)
        if progress is not None:
            progress(row / len(data.ts))
    replay.finish()
    _take(replay, accepted, fill_ts, paid, filled)
    with np.errstate(invalid="ignore"):
        return Outcome(accepted, fill_ts, np.where(filled > 0, paid / filled, np.nan))


def _take(replay: Replay, accepted: Bools, fill_ts: I64, paid: F64, filled: F64) -> None:
    reports = replay.reports()
    accepted[reports["tag"][reports["what"] == ACCEPTED]] = True
    fills = reports[reports["what"] == FILL]
    tag = fills["tag"]
    first = tag[::-1]  # written last, the earliest stays
    fill_ts[first] = np.where(fill_ts[first] > 0, fill_ts[first], fills["ts"][::-1])
    np.add.at(paid, tag, fills["price"] * fills["qty"].astype(np.float64))
    np.add.at(filled, tag, fills["qty"].astype(np.float64))


def probes_of(book: BookHistory, plan: Plan, back: Outcome, front: Outcome, block_ns: int) -> Probes:
    """The post-only orders that rested in a whole book and whose life no gap or end cut short."""
    resting = back.accepted & (plan.kind == LIMIT)
    found = book.at(plan.arrival, plan.side, plan.price)
    later = book.at(plan.until)
    seen = resting & found.whole & (found.bid < found.ask) & (plan.until <= book.end_ns) & (later.gaps == found.gaps)
    at = np.flatnonzero(seen)
    side = plan.side[at]
    buy = side == BUY
    bid, ask = found.bid[at], found.ask[at]
    mid = (bid + ask) / 2.0
    ticks = np.where(buy, bid - plan.price[at], plan.price[at] - ask)
    moves, front_moves = (_moves(book, o.fill_ts[at], o.price[at], side) for o in (back, front))
    return Probes(
        block=(plan.arrival[at] - book.start_ns) // block_ns,
        side=side,
        behind=ticks / mid * 1e4,
        near=found.level_qty[at].astype(np.float64),
        opposite=np.where(buy, found.ask_qty[at], found.bid_qty[at]).astype(np.float64),
        half_spread_bp=(ask - bid) / 2.0 / mid * 1e4,
        filled=back.fill_ts[at] > 0,
        front_filled=front.fill_ts[at] > 0,
        wait_ns=np.maximum(back.fill_ts[at] - plan.arrival[at], 0),
        fill_ts=back.fill_ts[at],
        markout_bp=moves[0],
        front_markout_bp=front_moves[0],
        drift_bp=moves[1],
    )


def taker_markouts(book: BookHistory, plan: Plan, outcome: Outcome, block_ns: int) -> tuple[I64, F64]:
    """Block of each market order, and its mark-out after TAKER_HOLD_NS less TAKER_FEE_BP, basis points."""
    at = np.flatnonzero((plan.kind == MARKET) & (outcome.fill_ts > 0))
    sign = np.where(plan.side[at] == BUY, 1.0, -1.0)
    mid = book.mid(outcome.fill_ts[at] + TAKER_HOLD_NS)
    net = sign * (mid - outcome.price[at]) / outcome.price[at] * 1e4 - TAKER_FEE_BP
    return (plan.arrival[at] - book.start_ns) // block_ns, net


def _moves(book: BookHistory, fill_ts: I64, fill_price: F64, side: I64) -> tuple[F64, F64]:
    """Mark-outs and drifts of orders at all horizons, (horizons, n) basis points; NaN where there was no fill."""
    filled = np.flatnonzero(fill_ts > 0)
    sign = np.where(side[filled] == BUY, 1.0, -1.0)
    ts, price = fill_ts[filled], fill_price[filled]
    before = book.mid(ts - 1)
    markouts, drifts = (np.full((len(HORIZONS_NS), len(side)), np.nan) for _ in range(2))
    for k, horizon in enumerate(HORIZONS_NS):
        after = book.mid(ts + horizon)
        markouts[k, filled] = sign * (after - price) / price * 1e4
        drifts[k, filled] = sign * (after - before) / price * 1e4
    return markouts, drifts


def usual_life(data: Columns, book: BookHistory) -> int:
    """How long a probe lives unless told otherwise, ns.

    The time in which the prints of one side use up a median best level, 5 to 60 s: then neither nearly all orders at
    the touch are filled nor nearly none. At most a quarter of the median time between gaps, because an order whose life
    a gap cuts short tells nothing.
    """
    views = book.at(np.linspace(book.start_ns, book.end_ns, 2_001).astype(np.int64))
    level = float(np.median((views.bid_qty + views.ask_qty)[views.whole])) / 2.0 if views.whole.any() else 0.0
    prints = (data.kind == TRADE_BUY) | (data.kind == TRADE_SELL) | (data.kind == TRADE_UNKNOWN)
    traded = float(data.qty[prints].sum()) / 2.0
    life = level / traded * (book.end_ns - book.start_ns) if traded else LONGEST_NS
    between = np.diff(book.gaps_ns())
    most = LONGEST_NS if len(between) == 0 else min(LONGEST_NS, max(FASTEST_NS, int(np.median(between)) // 4))
    return int(min(max(life, SHORTEST_NS), most))


def _offsets(mid_ticks: float) -> list[int]:
    """Ticks behind the touch: one inside, the touch, then OFFSETS_BP, each once."""
    return [-1, 0, *sorted({max(1, round(bp * 1e-4 * mid_ticks)) for bp in OFFSETS_BP})]


def _interval(book: BookHistory, settings: ProbeSettings) -> int:
    """Time between probes, ns."""
    most = 2 * (len(OFFSETS_BP) + 2)
    return max(FASTEST_NS, ceil((book.end_ns - book.start_ns) * most / settings.orders))


def _times(book: BookHistory, settings: ProbeSettings) -> I64:
    """Regular times with jitter, so that they do not beat with the tape's own rhythm; sorted."""
    step = _interval(book, settings)
    count = (book.end_ns - book.start_ns) // step
    jitter = np.random.default_rng(settings.seed).integers(0, step, count)
    return book.start_ns + np.arange(count, dtype=np.int64) * step + jitter


def lots_of(instrument: Instrument, lowest_price: int) -> int:
    """The smallest order the venue takes, with a tenth to spare for moves of the price."""
    filters = instrument.filters
    worth = filters.min_notional / (instrument.quote_units * lowest_price)
    return max(1, filters.min_qty_lots, ceil(worth * 11 / 10))

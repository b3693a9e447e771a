"""Random tapes, orders and lanes: small prices, much trouble. One generator for hypothesis and for plain fuzzing."""

from dataclasses import replace
from random import Random
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

from tests.reference.book import Row
from tests.reference.driver import Action, Case, Cut, Drop, Send
from tests.reference.impact import Impact
from tests.reference.latency import Sampled, Table
from tests.reference.model import DAY_NS, Settings
from tests.reference.quoting import LimitSet
from tidewright.market.codes import (
    ASK,
    BEST_ASK,
    BEST_BID,
    BID,
    BUY,
    FALLS,
    FOK,
    FUNDING,
    GAP,
    GTC,
    IOC,
    LIMIT,
    MARK,
    MARKET,
    NO_STOP,
    PACKET_END,
    POST_ONLY,
    RESET,
    RISES,
    SELL,
    SNAPSHOT,
    TRADE_BUY,
    TRADE_SELL,
    TRADE_UNKNOWN,
)
from tidewright.market.instrument import Filters

T = TypeVar("T")
UNIT = 100_000_000
WIDE = 1024


class Chooser(Protocol):
    """Where choices come from. The first of ``several`` and the low end of ``between`` are the simplest."""

    def between(self, low: int, high: int) -> int: ...

    def several(self, *options: T) -> T: ...


class Drawn:
    """Choices of hypothesis, which can shrink them."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def between(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def several(self, *options: T) -> T:
        return self.draw(st.sampled_from(options))


class Rolled:
    """Choices of a seeded generator, for long runs."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def between(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def several(self, *options: T) -> T:
        return self.random.choice(options)


class Market:
    """Makes packets around a mid that walks; knows the book only to clean up crossings now and then."""

    def __init__(self, choose: Chooser, mid: int, stride: int, calm: bool) -> None:
        self.choose = choose
        self.calm = calm  # queues move, prices hardly
        self.mid = mid
        self.stride = stride
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.drift = 0  # ticks that the mid moves each time it does

    def put(self, side: int, price: int, qty: int) -> tuple[int, int, int]:
        if qty > 0:
            self.levels[side][price] = qty
        else:
            self.levels[side].pop(price, None)
        return (BID if side == BUY else ASK), price, qty

    def price(self, side: int, distance: int) -> int:
        """A price on a side, counted outwards from the mid."""
        return max(1, self.mid - distance if side == BUY else self.mid + 1 + distance)

    def level(self) -> tuple[int, int, int]:
        side = self.choose.several(BUY, SELL)
        price = self.price(side, self.choose.several(0, 0, 1) if self.calm else self.choose.several(0, 0, 1, 1, 2, 4))
        old = self.levels[side].get(price, 0)
        return self.put(side, price, max(0, self.choose.several(old - 2, old - 1, old + 3, 0, 6, 14, old)))

    def book(self) -> list[tuple[int, int, int]]:
        """Rows of a snapshot."""
        self.levels[BUY].clear()
        self.levels[SELL].clear()
        rows = []
        for side in (BUY, SELL):
            for distance in range(self.choose.several(4, 3, 1, 0, 6) if not self.calm else 3):
                qty = self.choose.between(5, 25) if self.calm else self.choose.between(1, 12)
                rows.append(self.put(side, self.price(side, distance), qty))
        return rows or [self.put(BUY, self.mid, 1)]

    def tidy(self) -> list[tuple[int, int, int]]:
        """Rows that remove what stands on the wrong side of the mid."""
        wrong = [(BUY, p) for p in self.levels[BUY] if p > self.mid]
        wrong += [(SELL, p) for p in self.levels[SELL] if p <= self.mid]
        return [self.put(side, price, 0) for side, price in wrong]

    def print(self) -> tuple[int, int, int]:
        kind = self.choose.several(TRADE_SELL, TRADE_BUY, TRADE_SELL, TRADE_BUY, TRADE_UNKNOWN)
        away = self.choose.several(0, 0, 0, 1, 2, 4) if not self.calm else self.choose.several(0, 0, 0, 0, 1)
        price = self.price(BUY if kind == TRADE_SELL else SELL, away)
        if kind == TRADE_UNKNOWN:
            price = max(1, self.mid - 2 + self.choose.between(0, 5))
        return kind, price, self.choose.several(2, 1, 4, 3, 9) if self.calm else self.choose.several(2, 1, 4, 7, 20)

    def walk(self) -> None:
        if self.calm:
            return
        if self.drift:
            self.mid = max(30, self.mid + self.drift * self.choose.several(1, 0, 2))
            return
        step = self.choose.several(1, 1, 2, self.stride)
        self.mid = max(3, self.mid + self.choose.several(0, 0, 0, 1, -1) * step)

    def packet(self) -> tuple[list[tuple[int, int, int]], int]:
        """Rows of a packet and the flags they all bear."""
        what = self.choose.between(0, 29)
        if self.calm and what > 21 and self.choose.between(0, 2):
            what -= 22
        if what <= 11:
            self.walk()
            rows = [self.level() for _ in range(self.choose.between(1, 3))]
            if self.choose.between(0, 9) < 8:
                rows = [*self.tidy(), *rows]
            return rows, 0
        if what <= 21:
            rows = [self.print() for _ in range(self.choose.several(1, 1, 2))]
            if self.choose.between(0, 2) == 2:
                rows.insert(self.choose.between(0, len(rows)), self.level())
            return rows, 0
        if what <= 23:
            side = self.choose.several(BUY, SELL)
            price = self.price(side, self.choose.between(0, 2))
            for better in [p for p in self.levels[side] if (p > price if side == BUY else p < price)]:
                self.put(side, better, 0)
            _, _, qty = self.put(side, price, self.choose.several(4, 1, 9, 0))
            return [(BEST_BID if side == BUY else BEST_ASK, price, qty)], 0
        if what == 24:
            return [(self.choose.several(GAP, RESET), 0, 0)], self.choose.several(0, SNAPSHOT)
        if what == 25:  # without a reset: levels that it does not name stay
            return self.book(), SNAPSHOT
        if what == 26:  # a gap, if there was one, ends in the middle of this instant
            rows = [self.level(), (RESET, 0, 0), *self.book()]
            return rows, SNAPSHOT
        if what == 27:
            rate = (10_000_000, -3_333_333, 777)[self.mid % 3]
            return [(*self.choose.several((MARK, self.mid), (FUNDING, rate)), 0)], 0
        if what == 28:  # a side crosses or locks, the other follows later
            side = self.choose.several(BUY, SELL)
            price = self.price(1 - side, self.choose.between(0, 2))
            return [self.put(side, price, self.choose.between(1, 9))], 0
        return [self.level(), self.print(), self.level(), self.print()], 0


def random_rows(
    choose: Chooser, packets: int, calm: bool, stride: int = 1, start: int = 1000, mid: int = 40, drift: int = 0
) -> list[Row]:
    """A tape that starts, most of the time, with a whole book."""
    market = Market(choose, mid, stride, calm)
    market.drift = drift
    ts = start
    late = choose.several(0, 1, 2)  # no receipts, receipts, receipts with trouble
    rows: list[Row] = []
    for index in range(packets):
        ts += choose.several(3, 0, 1, 7, 12)
        if index == 0 and choose.between(0, 9) < 9:
            events, flags = market.book(), SNAPSHOT
        else:
            events, flags = market.packet()
        receipt = 0
        if late == 1:
            receipt = ts + choose.several(0, 2, 5)
        elif late == 2:
            receipt = max(0, ts + choose.several(0, -5, 4, 30)) * choose.several(1, 1, 0)
        for place, (kind, price, qty) in enumerate(events):
            end = PACKET_END if place == len(events) - 1 else 0
            row_flags = flags if flags != SNAPSHOT or choose.between(0, 19) < 19 else 0
            rows.append(Row(ts, receipt, kind, row_flags | end, price, qty))
    return rows


def random_window(choose: Chooser) -> int:
    """A window wider than every price, or one that has to move."""
    return choose.several(WIDE, WIDE, WIDE, 16, 32)


def random_parity(choose: Chooser, queue: str) -> bool:
    """Parity, where it is defined."""
    return queue in ("risk_averse", "front") and choose.several(False, True)


def random_latency(choose: Chooser) -> Table | Sampled | None:
    """Constant ones most of the time, else recorded or sampled ones about as long as a cycle."""
    what = choose.between(0, 5)
    if what <= 2:
        return None
    if what == 3:
        return Sampled(
            choose.several(5, 20), choose.several(3, 30), choose.several(0.3, 1.0), choose.several(0, 70), 0.2, what
        )
    rows = []
    ts = choose.several(1000, 990, DAY_NS - 90)
    for _ in range(choose.between(1, 5)):
        rows.append((ts, choose.several(10, 0, 40, 90, 3), choose.several(5, 0, 60)))
        ts += choose.several(30, 7, 150)
    return Table(tuple(rows))


def random_settings(choose: Chooser, window: int, start: int = 1000) -> Settings:
    queue = choose.several("risk_averse", "prob", "prob_log", "front", "prob")
    parity = random_parity(choose, queue)
    return Settings(
        latency=random_latency(choose),
        impact=None if parity else choose.several(None, None, Impact(1.0, 0.03, 0.5), Impact(0.5), Impact(2.0, 0.2)),
        fee_asset_price=choose.several("", "", "", "612.35", "0.07"),
        cycle_ns=choose.several(25, 10, 60),
        start_ns=choose.several(None, 1000, 983, 1020) if start == 1000 else None,
        entry_ns=choose.several(0, 3, 10, 25, 130),
        response_ns=choose.several(0, 5, 40),
        feed_ns=choose.several(0, 4, 20),
        queue=queue,
        queue_power=choose.several(3.0, 1.0, 2.0, 0.5),
        window_ticks=window,
        parity=parity,
    )


def price_near(rows: list[Row], at: int) -> int:
    """A price of the tape at a time."""
    seen = [row.price for row in rows if row.price > 0 and row.ts <= at]
    return seen[-1] if seen else rows[-1].price


def random_actions(choose: Chooser, rows: list[Row], lanes: int) -> list[Action]:
    """Orders and cancels at times along the tape, many of them close to where things happen."""
    actions: list[Action] = []
    sent = [0] * lanes
    at = rows[0].ts - 5
    last = rows[-1].ts
    while at <= last and len(actions) < 40 + 20 * lanes:
        lane = choose.between(0, lanes - 1)
        delay = choose.several(0, 0, 3, 9)
        what = choose.between(0, 9)
        near = price_near(rows, at)
        if what == 9 and sent[lane]:
            number = max(0, sent[lane] - choose.between(0, 4))
            if choose.between(0, 1):
                actions.append(Cut(at, number, choose.several(1, 2, 4, 7), delay, lane))
            else:
                actions.append(Drop(at, number, delay, lane))
        else:
            side = choose.several(BUY, SELL)
            price, kind, tif = near + choose.several(0, -1, 1, 2, -2, -4, 5), LIMIT, choose.several(GTC, POST_ONLY)
            if what == 8:
                price, tif = near - 4 + choose.between(0, 8), choose.several(IOC, FOK)
            if what == 7 and choose.between(0, 1):
                price, kind, tif = 0, MARKET, choose.several(GTC, IOC, FOK)
            qty = choose.several(3, 1, 2, 5, 9, 20) if choose.between(0, 19) < 19 else 0
            stop, way = 0, NO_STOP
            if tif != POST_ONLY and choose.between(0, 3) == 3:
                stop, way = max(1, near + choose.several(1, -1, 2, -2, 4, -4, 0)), choose.several(RISES, FALLS)
            actions.append(Send(at, side, max(0, price), qty, tif, kind, delay, len(actions), lane, stop, way))
            sent[lane] += 1
        at += choose.several(6, 0, 1, 2, 15 // lanes)
    return actions


def random_filters(choose: Chooser, always: bool = False) -> Filters:
    if not always and choose.between(0, 3) < 3:
        return Filters(max_num_orders=0)
    return Filters(
        min_price_ticks=choose.several(0, 37),
        max_price_ticks=choose.several(0, 44),
        min_qty_lots=choose.several(1, 2),
        max_qty_lots=choose.several(0, 9),
        market_max_qty_lots=choose.several(0, 4),
        min_notional=choose.several(0, 80 * 1000),
        max_notional=choose.several(0, 300 * 1000),
        max_num_orders=choose.several(0, 2, 5),
        bid_multiplier_down=choose.several("0.2", "0.95", "0.975", "1"),
        bid_multiplier_up=choose.several("5", "1.05", "1.025"),
        ask_multiplier_down=choose.several("0.2", "0.95", "0.97"),
        ask_multiplier_up=choose.several("5", "1.05", "1.0333", "1"),
        market_min_qty_lots=choose.several(0, 2),
        market_step_lots=choose.several(0, 1, 2, 3),
        min_notional_to_market=choose.several(False, True),
        max_notional_to_market=choose.several(False, True),
        max_num_stop_orders=choose.several(0, 1, 3),
        reference_minutes=choose.several(None, 5, 0, 1),
    )


def random_instrument(choose: Chooser) -> dict[str, Any]:
    """Scales: tick times lot is a whole number of 1e-8, or a fraction of it."""
    return choose.several(
        {},
        {},
        {"tick_size": "0.1", "lot_size": "0.00000001"},
        {"tick_size": "0.25", "lot_size": "0.00000003"},
        {"kind": "linear"},
    )


def outside_case(choose: Chooser) -> Case:
    """Lanes driven from outside."""
    return driven(choose, WIDE, choose.several(False, True))


def quotes_case(choose: Chooser) -> Case:
    """Lanes driven from outside on a tape that tells only best quotes and prints."""
    case = driven(choose, choose.several(128, 16, 32), choose.several(False, True))
    best = {BID: BEST_BID, ASK: BEST_ASK}
    rows = [row._replace(kind=best.get(row.kind, row.kind)) for row in case.rows]
    return replace(case, rows=rows, settings=replace(case.settings, touch_only=True, parity=False))


def window_case(choose: Chooser) -> Case:
    """The same in a window that prices keep leaving."""
    return driven(choose, choose.several(16, 32), False)


def driven(choose: Chooser, window: int, calm: bool) -> Case:
    lanes = choose.several(1, 1, 2, 5)
    rows = random_rows(choose, choose.between(3, 45), calm, stride=1 if window == WIDE else 9)
    check = choose.between(0, 4) == 4
    return Case(
        rows=rows,
        actions=tuple(random_actions(choose, rows, lanes)),
        settings=random_settings(choose, window),
        filters=random_filters(choose),
        maker_fee=choose.several(0, 100_000, -25_000, 33_333_333),
        taker_fee=choose.several(0, 100_000, 12_345_678),
        lanes=lanes,
        **random_instrument(choose),
        base_units=choose.several(0, 1_500_000),
        quote_units=choose.several(0, 700_000),
        check_balance=check,
        cuts=random_cuts(choose, rows),
        restore_at=choose.several(None, rows[len(rows) // 2].ts),
        slice_packets=choose.several(0, 1, 3),
    )


def futures_case(choose: Chooser) -> Case:
    """Lanes of a strategy in a perpetual future with much funding."""
    case = strategy_case(choose)
    rows = list(case.rows)
    for row in case.rows:
        if row.flags & PACKET_END and choose.between(0, 5) == 0:
            kind = choose.several(FUNDING, MARK)
            price = choose.several(10_000_000, -3_333_333, 777_777) if kind == FUNDING else row.price or 40
            place = rows.index(row) + 1
            rows.insert(place, Row(row.ts, row.ts_local, kind, PACKET_END, price, 0))
    return replace(case, rows=rows, kind="linear", tick_size=choose.several("0.01", "0.25"), base_units=0)


def filters_case(choose: Chooser) -> Case:
    """Lanes driven from outside under filters, on a tape of minutes: averages forget what was before."""
    case = replace(driven(choose, WIDE, choose.several(False, True)), filters=random_filters(choose, always=True))
    scale = choose.several(1, 10**9, 3 * 10**8)
    settings, kept = case.settings, [_slower(row, scale) for row in case.rows]
    times = {name: getattr(settings, name) * scale for name in ("cycle_ns", "entry_ns", "response_ns", "feed_ns")}
    start = None if settings.start_ns is None else settings.start_ns * scale
    return replace(
        case,
        rows=kept,
        actions=tuple(action._replace(at=action.at * scale, delay=action.delay * scale) for action in case.actions),
        settings=replace(settings, start_ns=start, latency=None, **times),
        cuts=tuple(cut * scale for cut in case.cuts),
        restore_at=None if case.restore_at is None else case.restore_at * scale,
    )


def _slower(row: Row, scale: int) -> Row:
    return row._replace(ts=row.ts * scale, ts_local=row.ts_local * scale)


def random_cuts(choose: Chooser, rows: list[Row]) -> tuple[int, ...]:
    """Times at which a run is fed and advanced besides: they must not change anything."""
    return tuple(choose.between(rows[0].ts - 3, rows[-1].ts) for _ in range(choose.between(0, 3)))


def queue_case(choose: Chooser) -> Case:
    """Few large orders at one price, and rows and prints that hit just that price: every lot ahead shows."""
    side = choose.several(BUY, SELL)
    price, level = 40, choose.between(4, 30)
    row_kind, print_kind, other = (BID, TRADE_SELL, ASK) if side == BUY else (ASK, TRADE_BUY, BID)
    rows = [Row(1000, 0, RESET, 0, 0, 0), Row(1000, 0, row_kind, SNAPSHOT, price, level)]
    rows.append(Row(1000, 0, other, SNAPSHOT | PACKET_END, 43 if side == BUY else 37, 5))
    actions: list[Action] = []
    for index in range(choose.between(3, 25)):
        ts = 1010 + 10 * index
        what = choose.between(0, 9)
        if what <= 4:
            level = max(0, level + choose.several(-2, -1, -5, 3, 8, 0))
            rows.append(Row(ts, 0, row_kind, PACKET_END, price, level))
        elif what <= 8:
            qty = choose.several(1, 2, 3, 5)
            rows.append(Row(ts, 0, print_kind, PACKET_END, price, qty))
            if choose.between(0, 1):
                level = max(0, level - qty)
                rows.append(Row(ts, 0, row_kind, PACKET_END, price, level))
        if what == 9 or not actions:
            actions.append(Send(ts - 5, side, price, choose.several(100, 1, 4), tag=index))
    queue = choose.several("risk_averse", "prob", "prob", "prob_log")
    settings = Settings(
        1000,
        queue=queue,
        queue_power=choose.several(3.0, 1.0, 2.0, 0.5),
        parity=random_parity(choose, queue),
    )
    return Case(rows, tuple(actions), settings)


def random_limits(choose: Chooser) -> LimitSet:
    if choose.between(0, 3) == 0:
        return LimitSet()
    inf = float("inf")
    return LimitSet(
        max_position_share=choose.several(inf, 0.0713, 0.3137),
        stop_loss=choose.several(0.0123, inf, 0.0123, 0.0517),
        daily_loss=choose.several(inf, 0.00131, 0.0127),
        volatility_cutoff=choose.several(inf, 0.0113, 0.0411),
        orders_per_minute=choose.several(inf, inf, 7.0, 31.0),
        flatten=choose.several(False, True),
        flatten_patience=choose.several(1, 0, 2, inf),
        flatten_slices=choose.several(2, 1, 3),
        flatten_collar=choose.several(0.01, 0.07, 0.3),
    )


def grid_params(choose: Chooser) -> dict[str, float]:
    return {
        "spread_percentage": choose.several(5.0, 2.5, 1.3, 9.1, 3.7),
        "levels": float(choose.several(1, 2, 3, 4)),
        "base_quantity": choose.several(0.003, 0.001, 0.0029999999999, 0.007, 0.0005),
        "max_position": choose.several(0.01, 0.003, 0.1, 0.0),
    }


def avellaneda_params(choose: Chooser) -> dict[str, float]:
    return {
        "gamma": choose.several(0.002, 0.01, 0.0001),
        "kappa": choose.several(0.01, 0.003, 0.05),
        "sigma_bps": choose.several(50.0, 300.0, 0.0),
        "horizon_s": choose.several(1.0, 1.0, 3600.0),
        "levels": float(choose.several(1, 2, 3)),
        "level_spacing": choose.several(0.5, 0.0, 1.1),
        "base_quantity": choose.several(0.003, 0.001, 0.007),
        "max_position": choose.several(0.01, 0.003, 0.1),
    }


def random_start(choose: Chooser) -> int:
    """When a tape begins: also shortly before midnight, after which the daily loss starts anew."""
    return choose.several(1000, 1000, DAY_NS - 100)


def strategy_case(choose: Chooser, rows: list[Row] | None = None, start: int = 0) -> Case:
    """Lanes of a strategy; ``rows``: on this tape, which begins at ``start``."""
    window = random_window(choose)
    start = start or random_start(choose)
    calm = choose.several(False, True) if window == WIDE else False
    if rows is None:
        rows = random_rows(choose, choose.between(5, 70), calm, 1 if window == WIDE else 9, start)
    strategy = choose.several("grid", "avellaneda_stoikov")
    make = grid_params if strategy == "grid" else avellaneda_params
    settings = random_settings(choose, window, start)
    settings = Settings(**{**vars(settings), "limits": random_limits(choose)})
    return Case(
        rows=rows,
        settings=settings,
        filters=random_filters(choose),
        maker_fee=choose.several(0, 100_000, -25_000, 33_333_333),
        taker_fee=choose.several(100_000, 0, 12_345_678),
        strategy=strategy,
        kind=choose.several("spot", "spot", "linear"),
        params=tuple(make(choose) for _ in range(choose.several(1, 2, 4))),
        base_units=choose.several(0, 1_500_000),
        quote_units=choose.several(10_000_000, 2_000_000, 10 * UNIT),
        cuts=random_cuts(choose, rows),
        restore_at=choose.several(None, rows[len(rows) // 2].ts),
        slice_packets=choose.several(0, 1, 3),
    )


def leaving_case(choose: Chooser) -> Case:
    """Lanes of a strategy in a market that goes one way, under limits that make them leave by taking."""
    start = random_start(choose)
    rows = random_rows(choose, choose.between(25, 45), False, 1, start, 200, choose.several(-1, 1, -2, 2))
    case = strategy_case(choose, rows, start)
    inf = float("inf")
    limits = LimitSet(
        max_position_share=choose.several(inf, inf, 0.3137),
        stop_loss=choose.several(0.0017, 0.0017, 0.0053),
        daily_loss=choose.several(inf, 0.00131, 0.000171),
        volatility_cutoff=choose.several(inf, inf, inf, 0.0113),
        orders_per_minute=choose.several(inf, inf, inf, 31.0),
        flatten=True,
        flatten_patience=choose.several(1, 0, 0, 2),
        flatten_slices=choose.several(2, 1, 3),
        flatten_collar=choose.several(0.07, 0.0101, 0.3),
    )
    params = {**grid_params(choose), "spread_percentage": choose.several(1.3, 2.5, 0.9), "max_position": 0.1}
    return replace(
        case,
        settings=replace(
            case.settings,
            limits=limits,
            window_ticks=WIDE,
            cycle_ns=choose.several(10, 10, 25),
            entry_ns=choose.several(0, 3, 10, 25),
            response_ns=choose.several(0, 5, 5, 40),
        ),
        strategy="grid",
        maker_fee=choose.several(0, 100_000, -25_000),
        taker_fee=choose.several(100_000, 0, 1_000_000),
        quote_units=choose.several(UNIT, UNIT // 5, 10 * UNIT),  # none of them goes bankrupt
        params=tuple({**params, "base_quantity": choose.several(0.007, 0.003, 0.005)} for _ in case.params[:2]),
    )


@st.composite
def leaving_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`leaving_case`."""
    return leaving_case(Drawn(draw))


@st.composite
def futures_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`futures_case`."""
    return futures_case(Drawn(draw))


@st.composite
def filters_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`filters_case`."""
    return filters_case(Drawn(draw))


@st.composite
def outside_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`outside_case`."""
    return outside_case(Drawn(draw))


@st.composite
def quotes_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`quotes_case`."""
    return quotes_case(Drawn(draw))


@st.composite
def strategy_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`strategy_case`."""
    return strategy_case(Drawn(draw))


@st.composite
def queue_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`queue_case`."""
    return queue_case(Drawn(draw))


@st.composite
def window_cases(draw: st.DrawFn) -> Case:
    """Cases of :func:`window_case`."""
    return window_case(Drawn(draw))

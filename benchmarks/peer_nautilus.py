"""nautilus_trader's side of the benchmark; runs in its own environment: ``python peer_nautilus.py SPEC.json``.

The rows of one packet become one OrderBookDeltas, as its users feed it (a delta for each row takes twice as long);
prints become TradeTicks. The grid is a Strategy with a timer: at each decision the same prices around the mid, orders
that are not wanted are cancelled, missing ones are sent, post-only. The objects are made before the clock starts.
"""

import json
import math
import os
import sys
import time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig  # type: ignore[import-not-found]
from nautilus_trader.backtest.engine import BacktestEngine  # type: ignore[import-not-found]
from nautilus_trader.backtest.models import LatencyModel, MakerTakerFeeModel  # type: ignore[import-not-found]
from nautilus_trader.common.config import LoggingConfig  # type: ignore[import-not-found]
from nautilus_trader.config import StrategyConfig  # type: ignore[import-not-found]
from nautilus_trader.model.currencies import BTC, USDT  # type: ignore[import-not-found]
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, TradeTick  # type: ignore[import-not-found]
from nautilus_trader.model.enums import (  # type: ignore[import-not-found]
    AccountType,
    AggressorSide,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    RecordFlag,
    TimeInForce,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, TraderId, Venue  # type: ignore[import-not-found]
from nautilus_trader.model.instruments import CryptoPerpetual  # type: ignore[import-not-found]
from nautilus_trader.model.objects import Money, Price, Quantity  # type: ignore[import-not-found]
from nautilus_trader.trading.strategy import Strategy  # type: ignore[import-not-found]

VENUE = Venue("BENCH")
ID = InstrumentId(Symbol("BTCUSDT-PERP"), VENUE)
BID, ASK, TRADE_BUY, TRADE_SELL = 0, 1, 2, 3  # kinds of a tape's rows
PACKET_END = 1
LAST = RecordFlag.F_LAST


class GridConfig(StrategyConfig, frozen=True):  # type: ignore[misc, call-arg]
    """What the grid is given; a spread of 0 subscribes and does nothing."""

    spread: float
    levels: int
    quantity: str
    max_position: float
    cycle_ns: int
    first_ns: int
    tick: float
    decimals: int


class Grid(Strategy):  # type: ignore[misc]
    """Post-only quotes at percentages around the mid, compared with what rests at each timer."""

    def __init__(self, config: GridConfig) -> None:
        super().__init__(config)
        self.alive: dict[tuple[int, int], Any] = {}
        self.sent = self.fills = 0

    def on_start(self) -> None:
        """Ask for the book, set the timer."""
        self.instrument = self.cache.instrument(ID)
        self.quantity = Quantity.from_str(self.config.quantity)
        self.subscribe_order_book_deltas(ID, BookType.L2_MBP)
        self.clock.set_timer_ns("decide", self.config.cycle_ns, self.config.first_ns, 0, self.decide)

    def on_order_book_deltas(self, deltas: Any) -> None:
        """The engine keeps the book; nothing to do between decisions."""

    def decide(self, _event: Any) -> None:
        """Cancel what is not wanted, send what is missing."""
        given = self.config
        book = self.cache.order_book(ID)
        bid, ask = book.best_bid_price(), book.best_ask_price()
        if bid is None or ask is None:
            return
        half_mid = (round(float(bid) / given.tick) + round(float(ask) / given.tick)) / 2.0
        position = float(self.portfolio.net_position(ID))
        step = given.spread / 100.0 / 2.0
        wanted = set()
        if position < given.max_position:
            wanted |= {(1, math.floor(half_mid * (1.0 - step * k))) for k in range(1, given.levels + 1)}
        if position > -given.max_position:
            wanted |= {(-1, math.ceil(half_mid * (1.0 + step * k))) for k in range(1, given.levels + 1)}
        for key, order in list(self.alive.items()):
            if order.is_closed:
                del self.alive[key]
            elif key not in wanted:
                self.cancel_order(order)
                del self.alive[key]
        for side, ticks in wanted - self.alive.keys():
            order = self.order_factory.limit(
                ID,
                OrderSide.BUY if side > 0 else OrderSide.SELL,
                self.quantity,
                Price(ticks * given.tick, given.decimals),
                time_in_force=TimeInForce.GTC,
                post_only=True,
            )
            self.alive[side, ticks] = order
            self.sent += 1
            self.submit_order(order)

    def on_order_filled(self, _event: Any) -> None:
        """Count it."""
        self.fills += 1


def instrument(market: Any) -> Any:
    """The benchmark's perpetual."""
    return CryptoPerpetual(
        instrument_id=ID,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=market["decimals"][0],
        size_precision=market["decimals"][1],
        price_increment=Price(market["tick"], market["decimals"][0]),
        size_increment=Quantity(market["lot"], market["decimals"][1]),
        ts_event=0,
        ts_init=0,
        margin_init=Decimal(0),
        margin_maint=Decimal(0),
        maker_fee=Decimal(str(market["maker_fee"])),
        taker_fee=Decimal(str(market["taker_fee"])),
    )


def objects(market: Any) -> list[Any]:
    """nautilus_trader's data of a tape's rows: known when received."""
    folder = market["tape"]
    read = {"ts": "<i8", "ts_local": "<i8", "kind": "u1", "flags": "u1", "price": "<i8", "qty": "<i8"}
    columns = {name: np.fromfile(f"{folder}/{name}", dtype) for name, dtype in read.items()}
    decimals = market["decimals"]
    data: list[Any] = []
    deltas: list[Any] = []
    sides = {BID: OrderSide.BUY, ASK: OrderSide.SELL}
    trades = {TRADE_BUY: AggressorSide.BUYER, TRADE_SELL: AggressorSide.SELLER}
    rows = zip(*(columns[name].tolist() for name in read), strict=True)
    for number, (ts, local, kind, flags, ticks, lots) in enumerate(rows):
        price = Price(ticks * market["tick"], decimals[0])
        known = max(ts, local)
        size = Quantity(lots * market["lot"], decimals[1])
        if kind in sides:
            order = BookOrder(sides[kind], price, size, 0)
            action = BookAction.DELETE if lots == 0 else BookAction.UPDATE
            last = LAST if flags & PACKET_END else 0
            deltas.append(OrderBookDelta(ID, action, order, last, 0, ts, known))
        elif kind in trades:
            data.append(TradeTick(ID, price, size, trades[kind], TradeId(str(number)), ts, known))
        if flags & PACKET_END and deltas:
            data.append(OrderBookDeltas(ID, deltas))
            deltas = []
    return data


def backtest(job: Any, market: Any, data: list[Any], spread: float) -> tuple[float, Any]:
    """One run; building the engine and handing it the data are not timed."""
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id=TraderId("BENCH-001"), logging=LoggingConfig(bypass_logging=True), run_analysis=False
        )
    )
    latency = job["latency_ns"]
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USDT,
        starting_balances=[Money(1_000_000, USDT)],
        fee_model=MakerTakerFeeModel(),
        latency_model=LatencyModel(base_latency_nanos=latency),
        book_type=BookType.L2_MBP,
        trade_execution=True,
    )
    engine.add_instrument(instrument(market))
    engine.add_data(data)
    strategy = None
    if spread > 0:
        strategy = Grid(
            GridConfig(
                spread=spread,
                levels=job["levels"],
                quantity=f"{job['quantity']:.{market['decimals'][1]}f}",
                max_position=job["max_position"] - 1e-9,
                cycle_ns=job["cycle_ns"],
                first_ns=market["start_ns"] + job["cycle_ns"],
                tick=market["tick"],
                decimals=market["decimals"][0],
            )
        )
        engine.add_strategy(strategy)
    started = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - started
    result: dict[str, float] = {"fills": 0, "orders": 0}
    if strategy is not None:
        balance = engine.portfolio.account(VENUE).balance_total(USDT)
        result = {"fills": strategy.fills, "orders": strategy.sent, "cash": float(balance)}
    engine.dispose()
    return seconds, result


def run(job: Any, market: Any, data: list[Any], repeats: int) -> Any:
    """Time every parameter set of a job's sample, or the bare market."""
    spreads = job["sample"] or [0.0]
    runs = [[backtest(job, market, data, spread) for spread in spreads] for _ in range(repeats)]
    return {
        "seconds": [[seconds for seconds, _ in one] for one in runs],
        "results": [result for _, result in runs[0]] if job["sample"] else [],
    }


def main() -> None:
    """Run every job of a specification and answer with one JSON line."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    os.sched_setaffinity(0, set(spec["cores"]))
    data = {key: objects(market) for key, market in spec["markets"].items()}
    answer = [run(job, spec["markets"][job["market"]], data[job["market"]], spec["repeats"]) for job in spec["jobs"]]
    versions = {name: version(name) for name in ("nautilus_trader", "numpy", "pandas")}
    print(json.dumps({"jobs": answer, "versions": versions}))


if __name__ == "__main__":
    main()

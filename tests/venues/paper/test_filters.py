"""The exchange refuses what the engine refuses: the same orders, for the same filter, at the same instant."""

import random
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from tests.venues.paper.faces import Venue, market_order, order
from tests.venues.paper.markets import INSTRUMENT, make_tape
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.codes import (
    BUY,
    FALLS,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    NO_REASON,
    NO_STOP,
    REJECTED,
    RISES,
    SELL,
)
from tidewright.market.exchange_info import instrument
from tidewright.market.instrument import Instrument
from tidewright.venues.paper.errors import engine_rejection
from tidewright.venues.paper.filters import symbol_info
from tidewright.venues.paper.market_data import Scales

NARROW = replace(
    INSTRUMENT.filters,
    min_price_ticks=9_000,
    max_price_ticks=11_500,
    min_qty_lots=9_000,
    max_qty_lots=420_000,
    market_min_qty_lots=20_000,
    market_max_qty_lots=300_000,
    market_step_lots=5_000,
    max_notional=400 * 10**8,
    min_notional_to_market=True,
    max_notional_to_market=True,
    bid_multiplier_down="0.9993",
    bid_multiplier_up="1.0011",
    ask_multiplier_down="0.9989",
    ask_multiplier_up="1.0007",
    max_num_orders=6,
    max_num_stop_orders=3,
    reference_minutes=5,
)


@pytest.mark.parametrize("minutes", [0, 5])
def test_exchange_information_states_the_filters_that_the_exchange_has(minutes: int) -> None:
    made = replace(INSTRUMENT, filters=replace(NARROW, reference_minutes=minutes))
    assert instrument(symbol_info(made, Scales(made))) == made


def test_without_filters_of_its_own_an_instrument_has_those_that_binance_usually_states() -> None:
    filters = instrument(symbol_info(INSTRUMENT, Scales(INSTRUMENT))).filters
    assert (filters.reference_minutes, filters.max_num_stop_orders) == (5, 5)
    assert (filters.min_notional_to_market, filters.max_notional_to_market) == (True, False)


def test_exchange_and_engine_refuse_the_same_orders(tmp_path: Path) -> None:
    told = [message for seed in range(6) for message in answers(tmp_path / str(seed), seed)]
    names = {message.removeprefix("Filter failure: ") for message in told if message.startswith("Filter failure")}
    orders = {"MAX_NUM_ORDERS", "MAX_NUM_ALGO_ORDERS", "NOTIONAL"}
    assert names == orders | {"PRICE_FILTER", "PERCENT_PRICE_BY_SIDE", "LOT_SIZE", "MARKET_LOT_SIZE"}
    assert told.count("") > 200


def answers(folder: Path, seed: int) -> list[str]:
    """What the exchange said to orders of all kinds, empty where it took them; the engine said the same."""
    rng = random.Random(seed)
    filters = replace(NARROW, reference_minutes=rng.choice([0, 5]))
    made = replace(INSTRUMENT, filters=filters)
    venue = Venue(make_tape(folder, seed=seed, instrument=made), balance={"BTC": "900", "USDT": "900000"})
    replay = engine_of(venue, made)
    told: list[str] = []
    for number in range(150):
        venue.run_to(venue.clock.now_ns + rng.randint(1, 600) * MILLISECOND)
        now = venue.clock.now_ns + 50 * MILLISECOND
        replay.feed(rows_until(venue, replay, now))
        replay.advance(now)
        side, lots, price = rng.choice([BUY, SELL]), rng.randint(3_000, 450_000), rng.randint(9_985, 10_015)
        kind, stop, way = rng.choice([LIMIT, LIMIT, MARKET]), 0, NO_STOP
        if rng.random() < 0.4:
            way = rng.choice([RISES, FALLS])
            stop = rng.choice([8_990, 9_500, 10_500, 11_600]) if rng.random() < 0.5 else rng.randint(9_995, 10_005)
        lots = lots // 5_000 * 5_000 if rng.random() < 0.5 else lots
        replay.submit(0, side, kind, IOC if kind == MARKET else GTC, price, lots, now, number, stop, way)
        replay.advance(now)
        reports = replay.reports()
        reasons = reports["reason"][(reports["tag"] == number) & (reports["what"] == REJECTED)].tolist()
        reason = reasons[0] if reasons else NO_REASON
        answer = venue.send("POST", "order", request(made, side, kind, price, lots, stop, way))
        found = orjson.loads(answer.body)
        message = found.get("msg", "")
        if reason == NO_REASON:
            assert answer.status == 200, (number, message)
        else:
            expected = engine_rejection(reason).message
            assert message.replace("MARKET_LOT", "LOT") == expected, (number, reason)
        told.append(message)
        if rng.random() < 0.03:
            venue.send("DELETE", "openOrders", {"symbol": "BTCUSDT"})
            for open_number in range(1, number + 2):
                replay.cancel(0, open_number, now)
            replay.advance(now)
    return told


def engine_of(venue: Venue, made: Instrument) -> Replay:
    """An engine that judges orders by filters itself."""
    config = ReplayConfig(start_ns=int(venue.market.packet_ts[0]), cycle_ns=SECOND)
    plenty = {"base_units": 900 * 10**8, "quote_units": 900_000 * 10**8}
    return Replay(made, config, lanes=1, check_balance=True, **plenty)


def rows_until(venue: Venue, replay: Replay, at_ns: int) -> object:
    market = venue.market
    done = replay.counts()["rows"]
    stop = market.rows_of(0, market.packets_happened(at_ns))[1]
    return market.data.rows(done, stop)


def request(made: Instrument, side: int, kind: int, price: int, lots: int, stop: int, way: int) -> dict[str, object]:
    name, qty = ("BUY", "SELL")[side], made.qty_text(lots)
    base = market_order(name, quantity=qty) if kind == MARKET else order(name, qty, made.price_text(price))
    if way == NO_STOP:
        return base
    loss = (way == RISES) == (side == BUY)
    family = "STOP_LOSS" if loss else "TAKE_PROFIT"
    return base | {"type": family + ("" if kind == MARKET else "_LIMIT"), "stopPrice": made.price_text(stop)}

from pathlib import Path

import orjson
import pytest

from tests.market.exchange_infos import LOTS, MARKET_LOTS, PRICES, answer, coin_m, spot, usd_m
from tests.venues.recording.markets import CAPTURES, capture
from tidewright.market.errors import DataError, NotFoundError
from tidewright.market.exchange_info import ExchangeInfo, instrument
from tidewright.market.instrument import Filters

PERCENT = {"filterType": "PERCENT_PRICE", "multiplierUp": "5", "multiplierDown": "0.2", "avgPriceMins": 5}


def test_spot_filters_are_taken_as_stated():
    made = ExchangeInfo(answer(spot(), spot("ETHBTC", "ETH", "BTC"))).instrument("BTC/USDT")
    assert (made.venue, made.symbol, made.base, made.quote, made.kind) == ("binance", "BTCUSDT", "BTC", "USDT", "spot")
    assert (made.tick_size, made.lot_size) == ("0.01", "0.001")
    assert made.filters == Filters(
        50,
        99_999_900,
        2,
        9_000_000,
        120_000,
        750_000_000,
        900_000_000_000_000,
        150,
        "0.6",
        "1.5",
        "0.7",
        "4",
        min_notional_to_market=True,
        max_num_stop_orders=7,
        reference_minutes=5,
    )


def test_futures_word_their_filters_in_another_way():
    made = ExchangeInfo(answer(usd_m())).instrument("BTCUSDT")
    assert (made.kind, made.contract_size, made.venue) == ("linear", "1", "binanceusdm")
    assert (made.filters.min_notional, made.filters.max_num_orders) == (10_000_000_000, 180)
    # buys are bounded from above, sales from below
    assert (made.filters.bid_multiplier_up, made.filters.ask_multiplier_down) == ("1.05", "0.95")
    assert (made.filters.bid_multiplier_down, made.filters.ask_multiplier_up) == ("0", "1000000")
    # the mark price is what they are relative to, and what market orders are worth goes by
    assert (made.filters.reference_minutes, made.filters.min_notional_to_market) == (0, True)
    assert made.filters.max_num_stop_orders == 10


def test_coin_margined_contracts_state_their_size():
    made = ExchangeInfo(answer(coin_m())).instrument("BTCUSD_PERP")
    assert (made.kind, made.contract_size, made.tick_size, made.lot_size) == ("inverse", "100", "0.1", "1")
    assert (made.filters.min_notional, made.filters.max_num_orders) == (0, 200)


def test_spot_of_old_bounds_both_sides_alike():
    old = [PRICES, LOTS, PERCENT]
    filters = instrument(spot(filters=old)).filters
    bid, ask = (
        (filters.bid_multiplier_down, filters.bid_multiplier_up),
        (
            filters.ask_multiplier_down,
            filters.ask_multiplier_up,
        ),
    )
    assert bid == ask == ("0.2", "5")


def test_what_is_not_stated_is_not_bounded():
    filters = instrument(spot(filters=[PRICES, LOTS])).filters
    assert (filters.min_notional, filters.max_notional, filters.max_num_orders, filters.market_max_qty_lots) == (0,) * 4
    assert (filters.bid_multiplier_down, filters.bid_multiplier_up) == ("0", "1000000")
    assert (filters.market_min_qty_lots, filters.market_step_lots, filters.max_num_stop_orders) == (0,) * 3
    assert (filters.min_notional_to_market, filters.max_notional_to_market) == (False, False)
    assert filters.reference_minutes is None


def test_market_orders_have_a_least_quantity_and_a_step_of_their_own():
    own = {**MARKET_LOTS, "minQty": "0.0055", "stepSize": "0.0025"}
    filters = instrument(spot(filters=[PRICES, LOTS, own])).filters
    # in lots of 0.001: at least 6, and multiples of both 0.001 and 0.0025 are multiples of 5
    assert (filters.market_min_qty_lots, filters.market_step_lots) == (6, 5)


def test_the_old_least_worth_may_hold_for_market_orders_at_the_average_price():
    for applies in (True, False):
        old = {"filterType": "MIN_NOTIONAL", "minNotional": "10", "applyToMarket": applies, "avgPriceMins": 3}
        filters = instrument(spot(filters=[PRICES, LOTS, old])).filters
        assert (filters.min_notional_to_market, filters.reference_minutes) == (applies, 3)


def test_bounds_are_counted_in_the_steps_that_are_taken_instead():
    made = instrument(spot(), tick_size="0.3", lot_size="0.0015")
    assert (made.tick_size, made.lot_size) == ("0.3", "0.0015")
    # 0.50 to 999999.00 by 0.3; 0.002 to 9000 by 0.0015: inwards
    assert made.filters.min_price_ticks == 2 and made.filters.max_price_ticks == 3_333_330
    assert made.filters.min_qty_lots == 2 and made.filters.max_qty_lots == 6_000_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"symbols"', "line 1: cut off or not JSON"),
        (b'{"symbols": []}', "must be the answer of GET exchangeInfo"),
        (b"[1]", "must be the answer of GET exchangeInfo"),
        (b'{"symbols": [{"name": "BTCUSDT"}]}', "every entry of symbols must be an object with a symbol"),
        (b'{"code": -1121, "msg": "Invalid symbol."}', "must be the answer of GET exchangeInfo"),
        (orjson.dumps(answer(spot("ETHUSDT"))), "states nothing of BTCUSDT, only of ETHUSDT"),
        (orjson.dumps(answer(spot(filters=[LOTS]))), r"symbol BTCUSDT: malformed .* \(KeyError: 'PRICE_FILTER'\)"),
        (orjson.dumps(answer(spot(filters=[{**PRICES, "tickSize": "0"}, LOTS]))), "tick and lot must be > 0"),
        (orjson.dumps(answer(spot(filters=[{**PRICES, "tickSize": "x"}, LOTS]))), "symbol BTCUSDT: malformed"),
        (orjson.dumps(answer(spot(filters=7))), "symbol BTCUSDT: malformed"),
        (orjson.dumps(answer(spot(filters=[PRICES, LOTS, {**PERCENT, "multiplierUp": "-5"}]))), "a multiplier must be"),
        (orjson.dumps(answer(spot(filters=[PRICES, LOTS, {**PERCENT, "multiplierUp": "NaN"}]))), "symbol BTCUSDT"),
        (
            orjson.dumps(answer(spot(filters=[PRICES, LOTS, PERCENT, {"filterType": "NOTIONAL", "avgPriceMins": 1}]))),
            r"averages of different lengths are not supported: \[1, 5\] min",
        ),
    ],
)
def test_what_is_no_answer_is_refused_by_file(tmp_path, text, problem):
    (tmp_path / "info.json").write_bytes(text)
    with pytest.raises(DataError, match=rf"info\.json.*{problem}"):
        ExchangeInfo.read(tmp_path / "info.json").instrument("BTCUSDT")


@pytest.mark.data
@pytest.mark.skipif(not CAPTURES.exists(), reason="the recorded markets are not here")
def test_every_symbol_of_a_recorded_answer_is_understood():
    recorded = next(line for line in capture("BINANCE") if line["t"] == "http" and "exchangeInfo" in line["url"])
    whole = orjson.loads(recorded["data"])
    info = ExchangeInfo(whole)
    made = {entry["symbol"]: info.instrument(entry["symbol"]) for entry in whole["symbols"]}
    assert len(made) == 1_695 and {one.kind for one in made.values()} == {"spot"}
    assert made["BTCUSDT"].filters.min_notional == 1_000_000_000 and made["BTCUSDT"].filters.bid_multiplier_up == "5"


def test_file_that_is_not_there_is_not_found():
    with pytest.raises(NotFoundError, match="no exchange information nowhere"):
        ExchangeInfo.read(Path("nowhere"))

"""Orders through signed requests: what is accepted, what is refused with which code, and what an order becomes."""

from pathlib import Path
from typing import Any

import pytest

from tests.venues.paper.faces import KEYS, Venue, make_venue, market_order, order
from tests.venues.paper.markets import INSTRUMENT, START, make_tape
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.instrument import Instrument
from tidewright.venues.paper.limits import Limits
from tidewright.venues.paper.orders import ExecutionEvent, PositionEvent

DECIMALS = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return make_venue(tmp_path)


def free(venue: Venue) -> dict[str, tuple[str, str]]:
    return {row["asset"]: (row["free"], row["locked"]) for row in venue.ask("GET", "account")["balances"]}


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"symbol": "ETHUSDT"}, -1121, "Invalid symbol."),
        ({"symbol": "btcusdt"}, -1100, "Illegal characters found in parameter 'symbol'; "),
        ({"symbol": None}, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
        ({"side": "HOLD"}, -1117, "Invalid side."),
        ({"type": "LIMITED"}, -1116, "Invalid orderType."),
        ({"type": "STOP_LOSS"}, -1106, "Parameter 'timeInForce' sent when not required."),
        ({"type": "STOP_LOSS_LIMIT"}, -1102, "Mandatory parameter 'stopPrice' was not sent, was empty/null, or"),
        ({"type": "STOP_LOSS_LIMIT", "stopPrice": "101.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"type": "STOP_LOSS_LIMIT", "trailingDelta": "50"}, -2010, "Trailing stop orders are not supported for this"),
        ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
        ({"timeInForce": None}, -1102, "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed."),
        ({"quantity": None}, -1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed."),
        (
            {"quantity": "1e-05"},
            -1100,
            f"Illegal characters found in parameter 'quantity'; legal range is '{DECIMALS}'.",
        ),
        ({"quantity": "-1"}, -1100, f"Illegal characters found in parameter 'quantity'; legal range is '{DECIMALS}'."),
        ({"quantity": "0.123456789"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"price": "99.123456789"}, -1111, "Parameter 'price' has too much precision."),
        ({"price": "99.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "0"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "1000000.01"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"quantity": "0.100001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "9000.00001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "99999999999999999999"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.05", "price": "99.99"}, -1013, "Filter failure: NOTIONAL"),
        ({"price": None, "type": "MARKET", "quantity": None, "timeInForce": None}, -1102, "Param 'quantity' or "),
        ({"type": "MARKET"}, -1106, "Parameter 'timeInForce' sent when not required."),
        ({"type": "MARKET", "timeInForce": None}, -1106, "Parameter 'price' sent when not required."),
        ({"type": "LIMIT_MAKER"}, -1106, "Parameter 'timeInForce' sent when not required."),
        ({"quoteOrderQty": "10"}, -1106, "Parameter 'quoteOrderQty' sent when not required."),
        ({"icebergQty": "0.01"}, -2010, "Iceberg orders are not supported for this symbol."),
        ({"stopPrice": "90"}, -1106, "Parameter 'stopPrice' sent when not required."),
        ({"newClientOrderId": "ü"}, -1100, "Illegal characters found in parameter 'newClientOrderId'; "),
        ({"newClientOrderId": "x" * 37}, -1100, "Illegal characters found in parameter 'newClientOrderId'; "),
        ({"newClientOrderId": ""}, -1105, "Parameter 'newClientOrderId' was empty."),
        ({"selfTradePreventionMode": "NONE"}, -1013, "This symbol does not allow the specified self-trade prevention"),
        ({"quantity": "11"}, -2010, "Account has insufficient balance for requested action."),
        ({"side": "SELL", "quantity": "1.1"}, -2010, "Account has insufficient balance for requested action."),
        (
            {"type": "LIMIT_MAKER", "timeInForce": None, "price": "100.01"},
            -2010,
            "Order would immediately match and take.",
        ),
    ],
)
def test_orders_are_refused_with_the_code_and_words_of_binance(
    venue: Venue, changes: dict[str, Any], code: int, text: str
) -> None:
    before = free(venue)
    found_code, found_text = venue.error("POST", "order", **order(**changes))  # type: ignore[arg-type]
    assert (found_code, found_text[: len(text)]) == (code, text)
    assert free(venue) == before
    assert venue.ask("GET", "openOrders", symbol="BTCUSDT") == []
    assert venue.ask("GET", "allOrders", symbol="BTCUSDT") == []


def test_prices_far_from_the_average_are_refused(venue: Venue) -> None:
    venue.run_to(START + 30 * SECOND)
    assert venue.refuse("BUY", "1", "19.00") == (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
    assert venue.refuse("SELL", "1", "501.00") == (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
    venue.place("BUY", "1", "21.00")


def test_a_client_id_must_be_unique_among_open_orders_only(venue: Venue) -> None:
    venue.place(newClientOrderId="mine")
    assert venue.refuse(newClientOrderId="mine") == (-2010, "Duplicate order sent.")
    venue.ask("DELETE", "order", symbol="BTCUSDT", origClientOrderId="mine")
    again = venue.place(newClientOrderId="mine")
    assert venue.ask("GET", "order", symbol="BTCUSDT", origClientOrderId="mine")["orderId"] == again["orderId"]


def test_the_number_of_open_orders_is_limited(venue: Venue) -> None:
    for _ in range(200):
        venue.place(quantity="0.06", price="90.00")
        venue.account._quote_units += 600_000_000
        venue.engine.model.lanes[0].quote_start += 600_000_000
    assert venue.refuse(quantity="0.06", price="90.00") == (-1013, "Filter failure: MAX_NUM_ORDERS")


def test_order_counts_are_limited_by_windows_of_market_time(tmp_path: Path) -> None:
    venue = make_venue(tmp_path, limits=Limits(0, 2, 100))
    venue.place()
    assert venue.send("POST", "order", order()).headers["X-MBX-ORDER-COUNT-10S"] == "2"
    answer = venue.send("POST", "order", order())
    assert answer.status == 429
    assert b'"code":-1015' in answer.body
    venue.run_to(START + 10 * SECOND)
    venue.place()
    assert [row["count"] for row in venue.ask("GET", "rateLimit/order")] == [1, 3]


def test_nothing_new_is_taken_after_the_end_but_cancels_are(venue: Venue) -> None:
    placed = venue.place()
    venue.run_to(venue.market.end_ns)
    venue.exchange.closed = True
    assert venue.refuse() == (-2010, "Market is closed.")
    assert venue.ask("DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"])["status"] == "CANCELED"


# -- what becomes of orders ---------------------------------------------------------------------------


def test_a_resting_order_locks_what_it_needs_and_a_cancel_frees_it(venue: Venue) -> None:
    buy = venue.place("BUY", "0.5", "99.00", newClientOrderId="b", newOrderRespType="RESULT")
    venue.place("SELL", "0.25", "101.00")
    assert (buy["status"], buy["executedQty"], buy["transactTime"]) == ("NEW", "0.00000000", START // MILLISECOND + 50)
    assert free(venue) == {
        "BTC": ("0.75000000", "0.25000000"),
        "USDT": ("950.50000000", "49.50000000"),
        "BNB": ("3.00000000", "0.00000000"),
    }
    gone = venue.ask("DELETE", "order", symbol="BTCUSDT", orderId=buy["orderId"], newClientOrderId="c")
    assert (gone["origClientOrderId"], gone["clientOrderId"], gone["status"]) == ("b", "c", "CANCELED")
    assert free(venue)["USDT"] == ("1000.00000000", "0.00000000")
    assert venue.error("DELETE", "order", symbol="BTCUSDT", orderId=buy["orderId"]) == (-2011, "Unknown order sent.")
    assert venue.executions() == [("NEW", "NEW"), ("NEW", "NEW"), ("CANCELED", "CANCELED")]


def test_a_market_order_reports_its_fills_and_pays_from_what_it_receives(venue: Venue) -> None:
    bought = venue.ask("POST", "order", **market_order("BUY", quantity="1.5"))
    assert (bought["status"], bought["timeInForce"], bought["executedQty"]) == ("FILLED", "GTC", "1.50000000")
    assert [(f["price"], f["qty"], f["commission"], f["commissionAsset"]) for f in bought["fills"]] == [
        ("100.01000000", "1.00000000", "0.00100000", "BTC"),
        ("100.02000000", "0.50000000", "0.00050000", "BTC"),
    ]
    sold = venue.ask("POST", "order", **market_order("SELL", quantity="0.3"))
    assert sold["fills"][0]["commission"] == "0.02999700"  # 0.3 * 99.99 * 0.001
    assert free(venue)["USDT"] == (f"{1000 - 100.01 - 50.01 + 29.997 - 0.029997:.8f}", "0.00000000")
    assert free(venue)["BTC"] == ("2.19850000", "0.00000000")
    trades = venue.ask("GET", "myTrades", symbol="BTCUSDT")
    assert [(t["isBuyer"], t["isMaker"], t["quoteQty"]) for t in trades] == [
        (True, False, "100.01000000"),
        (True, False, "50.01000000"),
        (False, False, "29.99700000"),
    ]


def test_taken_depth_is_not_taken_twice(venue: Venue) -> None:
    venue.ask("POST", "order", **market_order("SELL", quantity="0.9"))
    fills = venue.ask("POST", "order", **market_order("SELL", quantity="0.1"))["fills"]
    again = venue.ask("POST", "order", **market_order("BUY", quantity="0.1"))["fills"]
    assert [f["price"] for f in fills] == ["99.99000000"]
    assert [f["price"] for f in again] == ["100.01000000"]


def test_a_quote_amount_buys_the_whole_lots_it_pays_for(venue: Venue) -> None:
    bought = venue.ask("POST", "order", **market_order("BUY", quoteOrderQty="150"))
    spent = float(bought["cummulativeQuoteQty"])
    assert bought["status"] == "FILLED"
    assert bought["origQuoteOrderQty"] == "150.00000000"
    assert 150 - 100.02 * 0.00001 < spent <= 150
    assert bought["origQty"] == bought["executedQty"]
    assert [fill["price"] for fill in bought["fills"]] == ["100.01000000", "100.02000000"]
    assert venue.executions() == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("TRADE", "FILLED")]
    assert venue.error("POST", "order", **market_order("BUY", quoteOrderQty="4.99")) == (
        -1013,
        "Filter failure: NOTIONAL",
    )
    assert venue.error("POST", "order", **market_order("BUY", quoteOrderQty="900"))[0] == -2010


def test_a_quote_amount_beyond_the_book_expires_with_what_it_got(tmp_path: Path) -> None:
    venue = make_venue(tmp_path, balance={"USDT": "1000000"})
    bought = venue.ask("POST", "order", **market_order("BUY", quoteOrderQty="900000"))
    assert (bought["status"], bought["expiryReason"]) == ("EXPIRED", "INSUFFICIENT_LIQUIDITY")
    assert bought["executedQty"] == "10.45000000"
    assert venue.executions()[-1] == ("EXPIRED", "EXPIRED")


@pytest.mark.parametrize(
    ("tif", "quantity", "status", "executed", "reason"),
    [
        ("IOC", "1.2", "EXPIRED", "1.00000000", "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ("IOC", "1", "FILLED", "1.00000000", None),
        ("FOK", "1.2", "EXPIRED", "0.00000000", "UNFILLED_FOK_ORDER_EXPIRED"),
        ("FOK", "1", "FILLED", "1.00000000", None),
        ("GTC", "1.2", "PARTIALLY_FILLED", "1.00000000", None),
    ],
)
def test_time_in_force(venue: Venue, tif: str, quantity: str, status: str, executed: str, reason: str | None) -> None:
    placed = venue.place("BUY", quantity, "100.01", timeInForce=tif)
    assert (placed["status"], placed["executedQty"], placed.get("expiryReason")) == (status, executed, reason)
    open_orders = venue.ask("GET", "openOrders", symbol="BTCUSDT")
    assert bool(open_orders) == (status == "PARTIALLY_FILLED")


def test_a_post_only_order_rests_and_answers_in_short_unless_asked(venue: Venue) -> None:
    placed = venue.place(type="LIMIT_MAKER", timeInForce=None)
    assert set(placed) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    found = venue.ask("GET", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (found["type"], found["timeInForce"], found["status"]) == ("LIMIT_MAKER", "GTC", "NEW")


def test_an_own_resting_order_expires_before_it_would_trade_with_itself(venue: Venue) -> None:
    resting = venue.place("SELL", "0.5", "100.00")
    crossing = venue.place("BUY", "0.1", "100.00")
    assert crossing["status"] == "NEW"
    found = venue.ask("GET", "order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert (found["status"], found["expiryReason"]) == ("EXPIRED_IN_MATCH", "NONE")
    assert ("TRADE_PREVENTION", "EXPIRED_IN_MATCH") in venue.executions()


def test_prints_fill_resting_orders_as_maker_and_are_known_after_the_response_latency(venue: Venue) -> None:
    placed = venue.place("BUY", "0.1", "99.99")
    venue.run_to(START + 60 * SECOND)
    found = venue.ask("GET", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert found["status"] == "FILLED"
    trades = venue.ask("GET", "myTrades", symbol="BTCUSDT", orderId=placed["orderId"])
    assert all(trade["isMaker"] for trade in trades)
    first = int(trades[0]["time"]) * MILLISECOND
    before, after = venue.executions(first + 50 * MILLISECOND - 1), venue.executions(first + 50 * MILLISECOND)
    assert before == [("NEW", "NEW")]
    assert [kind for kind, _ in after] == ["TRADE"]


def test_events_end_with_one_position_and_show_the_state_of_their_moment(venue: Venue) -> None:
    venue.ask("POST", "order", **market_order("BUY", quantity="1.5"))
    events = venue.events()
    assert [type(event) for event in events] == [ExecutionEvent] * 3 + [PositionEvent]
    executed = [event.executed for event in events if isinstance(event, ExecutionEvent)]
    assert executed == [0, 100_000, 150_000]
    position = events[-1]
    assert isinstance(position, PositionEvent)
    assert position.balances == venue.account.balances()


def test_cancel_all_cancels_everything_or_says_that_there_was_nothing(venue: Venue) -> None:
    first, second = venue.place(), venue.place()
    gone = venue.ask("DELETE", "openOrders", symbol="BTCUSDT")
    assert [row["orderId"] for row in gone] == [first["orderId"], second["orderId"]]
    assert venue.error("DELETE", "openOrders", symbol="BTCUSDT") == (-2011, "Unknown order sent.")


def test_cancels_need_an_id_and_both_ids_must_fit(venue: Venue) -> None:
    placed = venue.place(newClientOrderId="mine")
    assert venue.error("DELETE", "order", symbol="BTCUSDT")[0] == -1102
    assert venue.error("DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"], origClientOrderId="x") == (
        -2011,
        "Unknown order sent.",
    )
    refused = venue.error(
        "DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"], cancelRestrictions="ONLY_PARTIALLY_FILLED"
    )
    assert refused == (-2011, "Order was not canceled due to cancel restrictions.")
    assert venue.error("GET", "order", symbol="BTCUSDT", orderId=99) == (-2013, "Order does not exist.")


def test_cancel_replace_in_its_three_outcomes(venue: Venue) -> None:
    placed = venue.place()
    done = venue.ask(
        "POST",
        "order/cancelReplace",
        **order(price="98.00", cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=placed["orderId"]),
    )
    assert (done["cancelResult"], done["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert done["cancelResponse"]["orderId"] == placed["orderId"]
    answer = venue.send(
        "POST", "order/cancelReplace", order(cancelReplaceMode="STOP_ON_FAILURE", cancelOrderId=placed["orderId"])
    )
    assert answer.status == 400
    assert b'"code":-2022' in answer.body and b'"newOrderResult":"NOT_ATTEMPTED"' in answer.body
    answer = venue.send(
        "POST", "order/cancelReplace", order(cancelReplaceMode="ALLOW_FAILURE", cancelOrderId=placed["orderId"])
    )
    assert answer.status == 409
    assert b'"code":-2021' in answer.body and b'"newOrderResult":"SUCCESS"' in answer.body
    refused = venue.error("POST", "order/cancelReplace", **order(quantity="0.01"), cancelReplaceMode="ALLOW_FAILURE")
    assert refused == (-1013, "Filter failure: NOTIONAL")


def test_a_tested_order_is_not_sent(venue: Venue) -> None:
    assert venue.ask("POST", "order/test", **order()) == {}
    rates = venue.ask("POST", "order/test", **order(), computeCommissionRates="true")
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert venue.error("POST", "order/test", **order(quantity="0.01")) == (-1013, "Filter failure: NOTIONAL")
    assert venue.ask("GET", "allOrders", symbol="BTCUSDT") == []


def test_orders_and_trades_are_listed_by_id_and_time(venue: Venue) -> None:
    ids = [venue.place()["orderId"] for _ in range(3)]
    venue.run_to(START + 30 * SECOND)
    ids.append(venue.place()["orderId"])
    every = venue.ask("GET", "allOrders", symbol="BTCUSDT")
    assert [row["orderId"] for row in every] == ids
    assert [r["orderId"] for r in venue.ask("GET", "allOrders", symbol="BTCUSDT", orderId=ids[2])] == ids[2:]
    assert [r["orderId"] for r in venue.ask("GET", "allOrders", symbol="BTCUSDT", limit=2)] == ids[2:]
    late = venue.ask("GET", "allOrders", symbol="BTCUSDT", startTime=every[-1]["time"])
    assert [row["orderId"] for row in late] == ids[3:]
    assert venue.error("GET", "myTrades", symbol="BTCUSDT", startTime=0, endTime=WEEK)[0] == -1127


WEEK = 7 * 86_400_000


def test_accounts_never_meet(tmp_path: Path) -> None:
    venue = make_venue(tmp_path, accounts=2)
    venue.place("SELL", "0.5", "100.00")
    crossing = venue.ask("POST", "order", KEYS[1], **order("BUY", "0.5", "100.00"))
    assert crossing["status"] == "NEW"
    assert venue.ask("GET", "openOrders", KEYS[1])[0]["side"] == "BUY"
    assert len(venue.ask("GET", "openOrders")) == 1


def test_amounts_beyond_the_integers_of_the_engine_are_refused(tmp_path: Path) -> None:
    unbounded = Instrument.from_json(INSTRUMENT.to_json() | {"filters": {}})
    venue = Venue(make_tape(tmp_path / "tape", seconds=2, instrument=unbounded))
    assert venue.refuse(quantity="99999999999999") == (-1013, "Filter failure: LOT_SIZE")
    assert venue.refuse(quantity="9000000", price="9999999") == (-1013, "Filter failure: NOTIONAL")
    assert venue.error("POST", "order", **market_order("BUY", quoteOrderQty="9" * 20)) == (
        -1108,
        "Parameter 'quoteOrderQty' overflowed.",
    )
    assert venue.refuse(quantity="9000000", price="99.00")[0] == -2010

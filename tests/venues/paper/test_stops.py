"""Stop orders and amendments through signed requests: what Binance documents of them, step by step."""

from pathlib import Path
from typing import Any

import pytest

from tests.venues.paper.faces import Venue, make_venue, order
from tests.venues.paper.markets import START
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.venues.paper.orders import ExecutionEvent


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    """Prints go off between 99.99 and 100.01 from the first second on."""
    venue = make_venue(tmp_path)
    venue.run_to(START + 5_050 * MILLISECOND)
    return venue


def stop(side: str = "SELL", kind: str = "STOP_LOSS", price: str | None = None, **changes: Any) -> dict[str, Any]:
    tif = "GTC" if price else None
    return order(side, "0.5", price, type=kind, timeInForce=tif, newOrderRespType="RESULT", **changes)


def balance(venue: Venue) -> dict[str, tuple[str, str]]:
    return {row["asset"]: (row["free"], row["locked"]) for row in venue.ask("GET", "account")["balances"]}


def events(venue: Venue, until: int | None = None) -> list[dict[str, Any]]:
    found = [event for event in venue.events(until) if isinstance(event, ExecutionEvent)]
    return [venue.exchange.messages.execution_report(event, i, 1_000_000) for i, event in enumerate(found)]


@pytest.mark.parametrize(
    ("side", "kind", "price"),
    [("SELL", "STOP_LOSS", "100.02"), ("BUY", "STOP_LOSS", "99.98"), ("BUY", "TAKE_PROFIT", "100.02")],
)
def test_a_stop_price_on_the_wrong_side_of_the_last_print_is_refused(
    venue: Venue, side: str, kind: str, price: str
) -> None:
    before = balance(venue)
    refused = venue.error("POST", "order", **stop(side, kind, stopPrice=price))
    assert refused == (-2010, "Order would trigger immediately.")
    assert balance(venue) == before


def test_a_stop_loss_sleeps_locks_and_sells_when_its_price_prints(venue: Venue) -> None:
    placed = venue.ask("POST", "order", **stop(stopPrice="99.98"))
    assert (placed["status"], placed["type"], placed["stopPrice"]) == ("NEW", "STOP_LOSS", "99.98000000")
    assert placed["workingTime"] == -1
    found = venue.ask("GET", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (found["isWorking"], found["workingTime"], found["stopPrice"]) == (False, -1, "99.98000000")
    assert balance(venue)["BTC"] == ("0.50000000", "0.50000000")
    [new] = events(venue)
    assert (new["x"], new["X"], new["w"], new["P"], new["o"]) == ("NEW", "NEW", False, "99.98000000", "STOP_LOSS")
    gone = venue.ask("DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (gone["status"], balance(venue)["BTC"]) == ("CANCELED", ("1.00000000", "0.00000000"))


def away(venue: Venue) -> tuple[str, str]:
    """Side and price of a stop loss that the next print of the other side sets off."""
    [last] = venue.ask("GET", "trades", symbol="BTCUSDT", limit=1)
    return ("SELL", "99.99") if last["price"] == "100.01000000" else ("BUY", "100.01")


def test_a_stop_loss_becomes_a_market_order_when_its_price_prints(venue: Venue) -> None:
    side, price = away(venue)
    placed = venue.ask("POST", "order", **stop(side, stopPrice=price))
    assert placed["status"] == "NEW"
    venue.run_to(START + 60 * SECOND)
    found = venue.ask("GET", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (found["status"], found["isWorking"], found["executedQty"]) == ("FILLED", True, "0.50000000")
    asleep, awake, *fills = events(venue)
    assert (asleep["x"], asleep["w"], awake["x"], awake["X"], awake["w"]) == ("NEW", False, "NEW", "NEW", True)
    assert {event["x"] for event in fills} == {"TRADE"} and fills[-1]["X"] == "FILLED"
    assert not any(event["m"] for event in fills)
    prints = venue.ask("GET", "trades", symbol="BTCUSDT", limit=1000)
    first = next(t for t in prints if t["time"] > placed["transactTime"] and t["price"] == f"{float(price):.8f}")
    assert awake["T"] == first["time"] == found["workingTime"]
    totals = venue.account.balances()
    assert (totals.base_locked, totals.quote_locked) == (0, 0)


def test_a_stop_limit_order_rests_at_its_limit_once_it_is_set_off(venue: Venue) -> None:
    side, price = away(venue)
    limit = "99.90" if side == "BUY" else "100.10"
    placed = venue.ask("POST", "order", **stop(side, "STOP_LOSS_LIMIT", limit, stopPrice=price))
    locked = venue.account.balances()
    assert (locked.base_locked, locked.quote_locked) == ((0, 4_995_000_000) if side == "BUY" else (50_000_000, 0))
    venue.run_to(START + 20 * SECOND)
    found = venue.ask("GET", "order", symbol="BTCUSDT", orderId=placed["orderId"])
    assert (found["status"], found["isWorking"], found["type"]) == ("NEW", True, "STOP_LOSS_LIMIT")
    assert venue.account.balances() == locked
    assert [(event["x"], event["w"]) for event in events(venue)] == [("NEW", False), ("NEW", True)]


def test_stop_orders_are_few_and_shown_in_exchange_info(venue: Venue) -> None:
    for _ in range(5):
        venue.ask("POST", "order", **(stop(stopPrice="99.00") | {"quantity": "0.1"}))
    refused = venue.error("POST", "order", **(stop(stopPrice="99.00") | {"quantity": "0.1"}))
    assert refused == (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    [info] = venue.ask("GET", "exchangeInfo")["symbols"]
    assert {"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"} < set(info["orderTypes"])
    assert info["amendAllowed"]
    assert {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5} in info["filters"]


# -- amendments ---------------------------------------------------------------------------


def amend(venue: Venue, **params: Any) -> Any:
    return venue.ask("PUT", "order/amend/keepPriority", symbol="BTCUSDT", **params)


def test_an_amendment_lowers_the_quantity_and_frees_what_it_locked(venue: Venue) -> None:
    placed = venue.place("BUY", "0.5", "99.00", newClientOrderId="first")
    answer = amend(venue, orderId=placed["orderId"], newQty="0.2", newClientOrderId="second")
    amended = answer["amendedOrder"]
    assert (amended["qty"], amended["origClientOrderId"], amended["clientOrderId"]) == ("0.20000000", "first", "second")
    assert (amended["orderId"], amended["status"], amended["workingTime"]) == (
        placed["orderId"],
        "NEW",
        placed["workingTime"],
    )
    assert balance(venue)["USDT"] == ("980.20000000", "19.80000000")
    new, replaced = events(venue)
    assert (new["q"], new["c"], replaced["x"], replaced["X"]) == ("0.50000000", "first", "REPLACED", "NEW")
    assert (replaced["q"], replaced["c"], replaced["C"], replaced["w"]) == ("0.20000000", "second", "first", True)
    found = venue.ask("GET", "order", symbol="BTCUSDT", origClientOrderId="second")
    assert (found["origQty"], found["orderId"]) == ("0.20000000", placed["orderId"])
    assert venue.error("GET", "order", symbol="BTCUSDT", origClientOrderId="first")[0] == -2013
    assert venue.ask("DELETE", "order", symbol="BTCUSDT", orderId=placed["orderId"])["status"] == "CANCELED"
    assert balance(venue)["USDT"] == ("1000.00000000", "0.00000000")


def test_an_amended_order_keeps_its_place_in_the_queue(venue: Venue) -> None:
    """The model's queue of the order is the same object with the same lots ahead."""
    placed = venue.place("BUY", "0.5", "99.99")
    lane = venue.engine.model.lanes[0]
    resting = lane.resting()[0]
    venue.run_to(START + 5_100 * MILLISECOND)
    before = resting.queue
    ahead = before.ahead()
    amend(venue, orderId=placed["orderId"], newQty="0.3")
    assert lane.resting()[0].queue is before and before.ahead() <= ahead
    assert lane.resting()[0].qty == 30_000


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"newQty": "0.6"}, -2038, "Order amend (quantity increase) is not supported."),
        ({"newQty": "0.5"}, -2038, "The requested action would change no state; rejecting"),
        ({"newQty": "0"}, -2038, "Filter failure: LOT_SIZE"),
        ({"newQty": "0.01"}, -2038, "Filter failure: NOTIONAL"),
        ({"newQty": None}, -1102, "Mandatory parameter 'newQty' was not sent, was empty/null, or malformed."),
        ({"newQty": "0.2", "orderId": 99}, -2038, "Unknown order sent."),
        ({"newQty": "0.2", "orderId": None}, -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both "),
        ({"newQty": "0.2", "newClientOrderId": "other"}, -2038, "Duplicate order sent."),
    ],
)
def test_amendments_are_refused_with_the_code_and_words_of_binance(
    venue: Venue, changes: dict[str, Any], code: int, text: str
) -> None:
    placed = venue.place("BUY", "0.5", "99.00")
    venue.place("BUY", "0.1", "98.00", newClientOrderId="other")
    params = {"symbol": "BTCUSDT", "orderId": placed["orderId"], **changes}
    found_code, found_text = venue.error(
        "PUT", "order/amend/keepPriority", **{name: value for name, value in params.items() if value is not None}
    )
    assert (found_code, found_text[: len(text)]) == (code, text)
    assert venue.ask("GET", "order", symbol="BTCUSDT", orderId=placed["orderId"])["origQty"] == "0.50000000"


def test_an_order_is_amended_ten_times_at_most(venue: Venue) -> None:
    placed = venue.place("BUY", "0.5", "99.00")
    for step in range(10):
        amend(venue, orderId=placed["orderId"], newQty=f"{0.49 - 0.01 * step:.2f}")
    refused = venue.error("PUT", "order/amend/keepPriority", symbol="BTCUSDT", orderId=placed["orderId"], newQty="0.1")
    assert refused == (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS")


def test_the_websocket_api_amends_too(venue: Venue) -> None:
    placed = venue.place("BUY", "0.5", "99.00")
    params = {"symbol": "BTCUSDT", "orderId": placed["orderId"], "newQty": "0.25"}
    answer = venue.call("order.amend.keepPriority", params)
    assert answer["status"] == 200 and answer["result"]["amendedOrder"]["qty"] == "0.25000000"

"""Authentication, time, parameters and envelopes of both faces."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.venues.paper.faces import KEYS, WALL, Venue, make_venue, order
from tests.venues.paper.markets import START
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.venues.binance.signing import sign
from tidewright.venues.paper.errors import ApiError
from tidewright.venues.paper.limits import Limits, OrderMeter, WeightMeter
from tidewright.venues.paper.protocol import MICROSECONDS, Params, rest_params, time_unit, ws_request

KEY = KEYS[0]


@pytest.fixture
def venue(tmp_path: Path) -> Venue:
    return make_venue(tmp_path)


def get_account(venue: Venue, text: str, *, key: str | None = KEY.key, secret: str = KEY.secret) -> tuple[int, Any]:
    query = f"{text}&signature={sign(secret, text.encode())}"
    headers = {} if key is None else {"X-MBX-APIKEY": key}
    answer = venue.rest.answer("GET", "/api/v3/account", query.encode(), b"", headers)
    return answer.status, orjson.loads(answer.body)


# -- who and when ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [(None, 401, -2014), ("short", 401, -2014), ("z" * 64, 401, -2015), (KEY.key, 200, None)],
)
def test_keys(venue: Venue, key: str | None, status: int, code: int | None) -> None:
    found, body = get_account(venue, f"timestamp={WALL}", key=key)
    assert (found, body.get("code")) == (status, code)
    assert KEY.secret not in str(body) and KEY.key not in str(body)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"timestamp={WALL - 5_000}", None),
        (f"timestamp={WALL - 5_001}", -1021),
        (f"timestamp={WALL + 999}", None),
        (f"timestamp={WALL + 1_000}", -1021),
        (f"timestamp={WALL - 5_001}&recvWindow=5001", None),
        (f"timestamp={WALL * 1_000 - 5_000_500}&recvWindow=5000.5", None),
        (f"timestamp={WALL * 1_000 - 5_000_501}&recvWindow=5000.5", -1021),
        (f"timestamp={WALL}&recvWindow=60001", -1102),
        (f"timestamp={WALL}&recvWindow=-1", -1100),
        ("timestamp=now", -1100),
        ("recvWindow=5000", -1102),
    ],
)
def test_time_stamps_are_judged_by_wall_time_in_ms_or_us(venue: Venue, text: str, code: int | None) -> None:
    _, body = get_account(venue, text)
    assert body.get("code") == code
    if code == -1021:
        assert body["msg"] in (
            "Timestamp for this request is outside of the recvWindow.",
            "Timestamp for this request was 1000ms ahead of the server's time.",
        )


def test_signatures_cover_the_raw_bytes_of_query_and_body(venue: Venue) -> None:
    texts = [f"{name}={value}" for name, value in order(newClientOrderId="a").items()]
    query, body = "&".join(texts[:3]), "&".join([*texts[3:], f"timestamp={WALL}"])
    signature = sign(KEY.secret, (query + body).encode())
    headers = {"X-MBX-APIKEY": KEY.key}

    def post(query: str, body: str) -> Any:
        return orjson.loads(venue.rest.answer("POST", "/api/v3/order", query.encode(), body.encode(), headers).body)

    assert post(query, f"{body}&signature={signature.upper()}")["status"] == "NEW"
    assert post(query, f"{body}&signature={signature}")["code"] == -2010  # the same once more: a duplicate id
    assert post(f"signature={signature}&{query}", body)["code"] == -2010
    assert post(query, f"{body}&signature={'0' * 64}")["code"] == -1022
    assert post(query, body) == {
        "code": -1102,
        "msg": "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.",
    }
    # equal after decoding, but other bytes than those that were signed
    assert post(query.replace("BUY", "%42UY"), f"{body}&signature={signature}")["code"] == -1022


def test_the_query_wins_over_the_body_and_a_name_may_stand_once() -> None:
    assert rest_params(b"a=1&b=%41+b", b"a=2&c=3") == {"a": "1", "b": "A b", "c": "3"}
    with pytest.raises(ApiError) as caught:
        rest_params(b"a=1&a=2", b"")
    assert caught.value.code == -1101


def test_time_units(venue: Venue) -> None:
    headers = {"X-MBX-TIME-UNIT": "microsecond"}
    answer = venue.rest.answer("GET", "/api/v3/time", b"", b"", headers)
    assert orjson.loads(answer.body) == {"serverTime": WALL * 1_000}
    wrong = venue.rest.answer("GET", "/api/v3/time", b"", b"", {"X-MBX-TIME-UNIT": "SECOND"})
    assert orjson.loads(wrong.body)["code"] == -1194
    assert time_unit("MICROSECOND").of(1_500) == MICROSECONDS.of(1_999) == 1


def test_unknown_paths_and_methods(venue: Venue) -> None:
    assert venue.rest.answer("GET", "/api/v3/nothing", b"", b"", {}).status == 404
    assert venue.rest.answer("PUT", "/api/v3/order", b"", b"", {}).status == 405


def test_parameters_are_typed_with_the_errors_of_binance() -> None:
    params = Params(limit="0", flag="maybe", number="1.5", many="5000")
    for action, code in (
        (lambda: params.limit(5, 10), -1102),
        (lambda: params.flag("flag", True), -1130),
        (lambda: params.integer("number"), -1100),
        (lambda: params.text("absent"), -1102),
    ):
        with pytest.raises(ApiError) as caught:
            action()
        assert caught.value.code == code
    assert Params(limit="5000").limit(5, 10) == 10
    assert Params(t="1767225600000").time_ns("t") == Params(t="1767225600000000").time_ns("t") == START


# -- market data ---------------------------------------------------------------------------


def public(venue: Venue, path: str, query: str = "symbol=BTCUSDT") -> Any:
    answer = venue.rest.answer("GET", f"/api/v3/{path}", query.encode(), b"", {})
    assert answer.headers["X-MBX-USED-WEIGHT-1M"].isdigit()
    return orjson.loads(answer.body)


def test_public_data_is_what_has_been_published(venue: Venue) -> None:
    assert public(venue, "trades") == [] and public(venue, "klines", "symbol=BTCUSDT&interval=1m") == []
    assert public(venue, "depth", "symbol=BTCUSDT&limit=1") == {
        "lastUpdateId": 20,
        "bids": [["99.99000000", "1.00000000"]],
        "asks": [["100.01000000", "1.00000000"]],
    }
    venue.run_to(START + 30 * SECOND)
    prints = venue.market.prints
    count = int((prints.receipt <= START + 30 * SECOND).sum())
    trades = public(venue, "trades")
    assert [trade["id"] for trade in trades] == list(range(1, count + 1))
    assert [a["f"] for a in public(venue, "aggTrades")] == [trade["id"] for trade in trades]
    assert public(venue, "aggTrades", "symbol=BTCUSDT&fromId=3&limit=2")[0]["a"] == 3
    assert [t["id"] for t in public(venue, "trades", "symbol=BTCUSDT&limit=2")] == [count - 1, count]
    last = trades[-1]["price"]
    assert public(venue, "ticker/price") == {"symbol": "BTCUSDT", "price": last}
    assert public(venue, "ticker/price", "") == [{"symbol": "BTCUSDT", "price": last}]
    day = public(venue, "ticker/24hr")
    assert (day["lastPrice"], day["count"], day["firstId"], day["lastId"]) == (last, count, 1, count)
    book = public(venue, "ticker/bookTicker")
    assert [book["bidPrice"], book["bidQty"]] == public(venue, "depth")["bids"][0]
    average = public(venue, "avgPrice")
    assert 99.99 <= float(average["price"]) <= 100.01 and average["mins"] == 5
    candles = public(venue, "klines", "symbol=BTCUSDT&interval=1m")
    assert [candle[8] for candle in candles] == [count]


def test_exchange_info_names_symbol_filters_and_limits(venue: Venue) -> None:
    info = public(venue, "exchangeInfo", 'symbols=["BTCUSDT"]')
    (symbol,) = info["symbols"]
    filters = {row["filterType"]: row for row in symbol["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"
    assert symbol["permissionSets"] == [["SPOT"]]
    assert [row["rateLimitType"] for row in info["rateLimits"]] == ["REQUEST_WEIGHT", "ORDERS", "ORDERS"]
    assert public(venue, "exchangeInfo", "symbol=ETHUSDT")["code"] == -1121
    assert public(venue, "klines", "symbol=BTCUSDT&interval=7m")["code"] == -1120


# -- limits ---------------------------------------------------------------------------


def test_weight_is_counted_by_the_minute_and_refused_over_the_limit() -> None:
    meter = WeightMeter(10)
    meter.charge(10, 0)
    with pytest.raises(ApiError) as caught:
        meter.charge(1, 59 * SECOND)
    assert (caught.value.code, caught.value.status) == (-1003, 429)
    meter.charge(10, 60 * SECOND)
    assert meter.used == 10


def test_successful_orders_weigh_nothing(venue: Venue) -> None:
    venue.place()
    assert venue.send("POST", "order", order()).headers["X-MBX-USED-WEIGHT-1M"] == "0"
    assert venue.send("POST", "order", order(quantity="0.01")).headers["X-MBX-USED-WEIGHT-1M"] == "1"


def test_fills_lower_the_order_counts() -> None:
    meter = OrderMeter(Limits())
    for _ in range(7):
        meter.charge(0)
    meter.credit(5)
    assert meter.counts == [2, 2]
    meter.credit(5)
    assert meter.counts == [0, 0]


# -- WebSocket API ---------------------------------------------------------------------------


def test_orders_over_the_websocket_api_with_typed_parameters(venue: Venue) -> None:
    placed = venue.call("order.place", {**order(), "recvWindow": 5000, "returnRateLimits": False})
    assert (placed["id"], placed["status"], placed["result"]["status"]) == (7, 200, "NEW")
    assert "rateLimits" not in placed
    number = placed["result"]["orderId"]
    status = venue.call("v3/order.status", {"symbol": "BTCUSDT", "orderId": number})
    assert status["result"]["status"] == "NEW"
    assert status["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
    assert len(venue.call("openOrders.status", {"symbol": "BTCUSDT"})["result"]) == 1
    cancelled = venue.call("order.cancel", {"symbol": "BTCUSDT", "orderId": number})
    assert cancelled["result"]["status"] == "CANCELED"
    assert [row["rateLimitType"] for row in cancelled["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    failed = venue.call("order.cancel", {"symbol": "BTCUSDT", "orderId": number})
    assert (failed["status"], failed["error"]) == (400, {"code": -2011, "msg": "Unknown order sent."})
    venue.call("order.place", order())
    assert len(venue.call("openOrders.cancelAll", {"symbol": "BTCUSDT"})["result"]) == 1
    assert len(venue.call("allOrders", {"symbol": "BTCUSDT"})["result"]) == 2
    replaced = venue.call(
        "order.cancelReplace", {**order(), "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": 1}
    )
    assert (replaced["status"], replaced["error"]["code"]) == (400, -2022)
    assert replaced["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"


@pytest.mark.parametrize(
    ("method", "signed"),
    [("ping", False), ("time", False), ("exchangeInfo", False), ("account.status", True), ("session.status", False)],
)
def test_methods_answer(venue: Venue, method: str, signed: bool) -> None:
    assert venue.call(method, signed=signed)["status"] == 200


def test_ids_come_back_with_their_type(venue: Venue) -> None:
    for number in (1, "1", None, "6f3a-uuid", 0, 12345678901234567):
        raw = json.dumps({"id": number, "method": "ping"})
        assert orjson.loads(venue.ws.answer(venue.session, raw).payload)["id"] == number


def test_bad_requests_of_the_websocket_api(venue: Venue) -> None:
    def error(raw: str) -> Any:
        return orjson.loads(venue.ws.answer(venue.session, raw).payload)["error"]["code"]

    assert error("{") == -1135
    assert error("[]") == -1135
    assert error('{"method":"order.place","params":{"a":{}}}') == -1102
    assert error('{"method":"nothing"}') == -1000
    assert error('{"method":"account.status"}') == -1102
    wrong = {"apiKey": KEY.key, "timestamp": WALL, "signature": "0" * 64}
    assert error(json.dumps({"method": "account.status", "params": wrong})) == -1022
    old = venue.call("account.status", {"recvWindow": "abc"})
    assert old["error"]["code"] == -1100


def test_numbers_keep_their_digits() -> None:
    request = ws_request('{"id":1,"method":"m","params":{"a":1.10,"b":100,"c":true,"d":["X"],"e":null}}')
    assert request.params == {"a": "1.10", "b": "100", "c": "true", "d": '["X"]'}


def test_a_logon_replaces_key_and_signature_until_the_logout(venue: Venue) -> None:
    session = venue.session
    assert venue.call("userDataStream.subscribe", signed=False)["error"]["code"] == -1002
    logon = venue.call("session.logon")["result"]
    assert logon["apiKey"] == KEY.key and logon["userDataStream"] is False
    unsigned = venue.call("account.status", {"timestamp": WALL}, signed=False)
    assert unsigned["status"] == 200
    assert venue.call("userDataStream.subscribe", signed=False)["result"] == {"subscriptionId": 0}
    assert venue.call("userDataStream.subscribe", signed=False)["error"]["code"] == -2035
    assert venue.call("session.logout", signed=False)["result"]["apiKey"] is None
    assert session.subscriptions == {}


def test_user_data_subscriptions(venue: Venue) -> None:
    assert venue.call("userDataStream.subscribe.signature")["result"] == {"subscriptionId": 0}
    assert venue.call("session.subscriptions", signed=False)["result"] == [{"subscriptionId": 0}]
    assert venue.call("userDataStream.unsubscribe", {"subscriptionId": 5}, signed=False)["error"]["code"] == -2036
    assert venue.call("userDataStream.unsubscribe", {"subscriptionId": 0}, signed=False)["result"] == {}
    assert venue.call("userDataStream.subscribe.signature")["result"] == {"subscriptionId": 1}
    assert venue.call("userDataStream.unsubscribe", signed=False)["result"] == {}
    assert venue.session.subscriptions == {}


def test_answers_are_known_after_the_response_latency(venue: Venue) -> None:
    raw = json.dumps({"id": 1, "method": "ping"})
    assert venue.ws.answer(venue.session, raw).known_ns == 0
    assert venue.send("POST", "order", order()).known_ns == START + 100 * MILLISECOND

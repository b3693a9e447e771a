"""The exchange on the real engine: the same as on the slow model, to the last character."""

import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.venues.paper.faces import Venue, market_order, order
from tests.venues.paper.markets import INSTRUMENT, START, make_tape
from tests.venues.paper.model_engine import model_engine
from tidewright.engine.latency import SampledLatency
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.instrument import Instrument
from tidewright.venues.paper.desk import Report
from tidewright.venues.paper.engine import make_engine
from tidewright.venues.paper.orders import ExecutionEvent

FEES = Instrument.from_json(INSTRUMENT.to_json() | {"maker_fee": 123_457, "taker_fee": 98_765})
SPIKES = SampledLatency(20 * MILLISECOND, 60 * MILLISECOND, 0.4, 500 * MILLISECOND, 0.1, seed=11)
BALANCE = {"BTC": "1.5", "USDT": "250"}


def script(seed: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Orders, cancels and steps of time in any order."""
    rng = random.Random(seed)
    found: list[tuple[str, str, dict[str, Any]]] = []
    for number in range(120):
        side, choice = rng.choice(["BUY", "SELL"]), rng.random()
        quantity = f"{rng.randint(6_000, 60_000) / 100_000:.5f}"
        price = f"{rng.randint(9_990, 10_010) / 100:.2f}"
        if choice < 0.4:
            found.append(("POST", "order", order(side, quantity, price, timeInForce=rng.choice(["GTC", "IOC", "FOK"]))))
        elif choice < 0.5:
            maker = order(side, quantity, price, type="LIMIT_MAKER", timeInForce=None, newOrderRespType="RESULT")
            found.append(("POST", "order", maker))
        elif choice < 0.6:
            found.append(("POST", "order", market_order(side, quantity=quantity)))
        elif choice < 0.65:
            found.append(("POST", "order", market_order(side, quoteOrderQty=f"{rng.randint(5, 90)}.55")))
        elif choice < 0.8:
            found.append(("DELETE", "order", {"symbol": "BTCUSDT", "orderId": rng.randint(1, number + 1)}))
        else:
            found.append(("wait", "", {"ns": rng.randint(1, 3_000) * MILLISECOND}))
    return found


def play(venue: Venue, steps: list[tuple[str, str, dict[str, Any]]]) -> list[Any]:
    found: list[Any] = []
    for method, path, params in steps:
        if method == "wait":
            venue.run_to(min(venue.clock.now_ns + params["ns"], venue.market.end_ns))
        else:
            answer = venue.send(method, path, params)
            found.append((answer.status, orjson.loads(answer.body)))
    venue.run_to(venue.market.end_ns)
    found.append(venue.ask("GET", "allOrders", symbol="BTCUSDT"))
    found.append(venue.ask("GET", "myTrades", symbol="BTCUSDT"))
    found.append(venue.ask("GET", "account"))
    for event in venue.events():
        if isinstance(event, ExecutionEvent):
            found.append(venue.exchange.messages.execution_report(event, 0, MILLISECOND))
        else:
            found.append(venue.exchange.messages.account_position(event, MILLISECOND))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_answers_events_and_money_are_those_of_the_slow_model(tmp_path: Path, seed: int) -> None:
    tape = make_tape(tmp_path / "tape", seed=seed, instrument=FEES)
    latency = SPIKES if seed > 3 else None
    slow, fast = (
        Venue(tape, balance=BALANCE, latency=latency, engine=engine) for engine in (model_engine, make_engine)
    )
    expected, found = play(slow, script(seed)), play(fast, script(seed))
    assert found == expected
    assert len(expected) > 150
    engine, own = fast.engine.account(0), fast.account.balances()
    assert (engine.base_units, engine.base_locked) == (own.base_free + own.base_locked, own.base_locked)
    assert (engine.quote_units, engine.quote_locked) == (own.quote_free + own.quote_locked, own.quote_locked)


def test_with_drawn_latencies_nothing_overtakes_what_was_sent_or_happened_before(tmp_path: Path) -> None:
    venue = Venue(make_tape(tmp_path / "tape", seed=5), latency=SPIKES, engine=make_engine)
    desk, sent, arrived = venue.exchange.desk, [], []
    for step in range(60):
        venue.run_to(venue.clock.now_ns + (step % 7) * 40 * MILLISECOND)
        sent.append(venue.clock.now_ns)
        arrived.append(int(venue.place("BUY", "0.06", "95.00")["transactTime"]) * MILLISECOND)
    assert arrived == sorted(arrived)
    waits = [at // MILLISECOND - now // MILLISECOND for now, at in zip(sent, arrived, strict=True)]
    assert min(waits) < 40 and max(waits) >= 500  # a spike, and what was sent behind it
    times, heard = [], 0
    while (known := desk.next_known_ns()) is not None:
        found = desk.due(known)
        assert known >= heard and found
        heard = known
        times += [event.ts for _, event in found]
    assert times == sorted(times)


def test_the_engine_reports_the_fields_that_the_exchange_reads() -> None:
    from tidewright.engine.replay import REPORT

    assert REPORT.names == Report._fields


def test_an_order_sent_in_a_gap_is_new_and_arrives_when_the_gap_ends(tmp_path: Path) -> None:
    from tidewright.market.codes import ASK, BID, GAP, PACKET_END, RESET, SNAPSHOT
    from tidewright.market.tape import Tape, columns

    rows = [(START, START, RESET, 0, 0, 0), (START, START, BID, SNAPSHOT, 9_999, 500_000)]
    rows.append((START, START, ASK, SNAPSHOT | PACKET_END, 10_001, 500_000))
    rows.append((START + SECOND, START + SECOND, GAP, PACKET_END, 0, 0))
    rows.append((START + 3 * SECOND, START + 3 * SECOND, RESET, 0, 0, 0))
    rows.append((START + 3 * SECOND, START + 3 * SECOND, BID, SNAPSHOT, 9_999, 500_000))
    rows.append((START + 3 * SECOND, START + 3 * SECOND, ASK, SNAPSHOT | PACKET_END, 10_001, 500_000))
    rows.append((START + 9 * SECOND, START + 9 * SECOND, BID, PACKET_END, 9_998, 500_000))
    tape = Tape(tmp_path, INSTRUMENT, {}, columns(rows))
    for engine in (model_engine, make_engine):
        venue = Venue(tape, engine=engine)
        venue.run_to(START + 2 * SECOND)
        waiting = venue.place("BUY", "0.1", "99.50")
        late = venue.place("BUY", "0.1", "100.01", type="LIMIT_MAKER", timeInForce=None, newOrderRespType="RESULT")
        gone = venue.place("BUY", "0.1", "99.50")
        venue.ask("DELETE", "order", symbol="BTCUSDT", orderId=gone["orderId"])
        assert (waiting["status"], waiting["workingTime"], late["status"]) == ("NEW", -1, "NEW")
        venue.run_to(START + 4 * SECOND)
        states = {row["orderId"]: row["status"] for row in venue.ask("GET", "allOrders", symbol="BTCUSDT")}
        assert states == {waiting["orderId"]: "NEW", late["orderId"]: "REJECTED", gone["orderId"]: "CANCELED"}
        kinds = venue.executions()
        assert ("REJECTED", "REJECTED") in kinds and ("NEW", "NEW") in kinds
        assert venue.account.balances().quote_locked == 995_000_000

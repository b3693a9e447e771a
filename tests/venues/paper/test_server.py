"""The exchange over real sockets: lockstep, paced, streams, and what happens when connections come and go."""

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.venues.paper.faces import market_order, order
from tests.venues.paper.markets import START, make_tape
from tests.venues.paper.model_engine import model_engine
from tests.venues.paper.sockets import Client, Socket, run
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape
from tidewright.venues.binance.signing import sign, ws_payload
from tidewright.venues.paper.pacing import MarketTime, parse_pace
from tidewright.venues.paper.server import ExchangeOptions, serve

MIXED = "/stream?streams=btcusdt@depth@100ms/btcusdt@trade"


def signed(client: Client, method: str, params: dict[str, Any], number: int = 1) -> dict[str, Any]:
    server = client.server
    sent = {**params, "apiKey": server.api_key, "timestamp": str(time.time_ns() // MILLISECOND)}
    sent["signature"] = sign(server.api_secret, ws_payload({k: str(v) for k, v in sent.items()}))
    return {"id": number, "method": method, "params": sent}


async def user_stream(client: Client) -> Socket:
    socket = await client.open("/ws-api/v3")
    answer = await socket.ask(signed(client, "userDataStream.subscribe.signature", {}))
    assert answer["result"] == {"subscriptionId": 0}
    return socket


# -- lockstep ---------------------------------------------------------------------------


def test_time_stands_until_a_session_registers_and_while_it_holds_its_barrier(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        feed = await client.open(MIXED)
        assert await feed.silent()
        control = await client.control()
        assert control.registered["market_ns"] == control.registered["start_ns"] == START
        assert (control.registered["pace"], control.registered["entry_ns"]) == ("lockstep", 50 * MILLISECOND)
        assert "detail" in control.registered
        first = await control.reach()
        assert (first["ts"], first["cursor"]["BTCUSDT"], first["done"]) == (START, {"u": 20, "t": 0, "b": 20}, False)
        assert await feed.silent()
        second = await control.step()
        assert second["ts"] == START + SECOND
        cursor = second["cursor"]["BTCUSDT"]
        messages = await feed.read_until(lambda m: m["data"].get("u") == cursor["u"])
        assert all(message["data"]["E"] * MILLISECOND <= START + SECOND for message in messages)
        assert await feed.silent()

    run(tmp_path, work)


def test_the_public_market_stops_at_the_barrier_though_the_engine_runs_ahead(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        control = await client.control()
        await control.reach()
        await control.step()
        before = await client.get("/api/v3/depth", symbol="BTCUSDT")
        api = await client.open("/ws-api/v3")
        answer = await api.ask(signed(client, "order.place", order()))
        assert answer["result"]["transactTime"] == START // MILLISECOND + 1_050
        assert client.server.exchange.desk.at_ns == START + 1_050 * MILLISECOND
        assert await client.get("/api/v3/depth", symbol="BTCUSDT") == before

    run(tmp_path, work)


def test_user_events_come_when_they_are_known_and_the_barrier_names_the_last(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        control, user = await client.control(cycle_ns=60 * MILLISECOND), await user_stream(client)
        await control.reach()
        answer = await user.ask(signed(client, "order.place", market_order("BUY", quantity="0.5"), 2))
        assert answer["id"] == 2 and answer["result"]["status"] == "FILLED"
        assert (await control.step())["execution"] == 0  # known at 100 ms, time is at 60 ms
        assert await user.silent()
        assert (await control.step())["execution"] == 2
        events = [(await user.read())["event"] for _ in range(3)]
        assert [event["e"] for event in events] == ["executionReport", "executionReport", "outboundAccountPosition"]
        assert [event.get("I") for event in events] == [1, 2, None]
        assert (events[1]["x"], events[1]["X"], events[1]["n"], events[1]["N"]) == (
            "TRADE",
            "FILLED",
            "0.00050000",
            "BTC",
        )
        assert events[2]["B"][0] == {"a": "BTC", "f": "1.49950000", "l": "0.00000000"}

    run(tmp_path, work)


def test_a_new_user_stream_is_not_told_to_wait_for_what_came_before_it(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        control, first = await client.control(), await user_stream(client)
        await control.reach()
        await first.ask(signed(client, "order.place", market_order("BUY", quantity="0.5"), 2))
        assert (await control.step())["execution"] == 2
        await first.raw.close()
        second = await user_stream(client)
        assert (await control.step())["execution"] == 0
        await second.ask(signed(client, "order.place", market_order("SELL", quantity="0.5"), 2))
        assert (await control.step())["execution"] == 4

    run(tmp_path, work)


def test_the_last_barrier_is_done_and_everything_has_been_published(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        feed, control, user = await client.open(MIXED), await client.control(), await user_stream(client)
        await control.reach()
        await user.ask(signed(client, "order.place", order("BUY", "0.1", "99.99"), 2))
        last = await control.step(until=START + 3_600 * SECOND)
        market = client.server.exchange.market
        assert (last["ts"], last["done"], last["cursor"]["BTCUSDT"]["t"]) == (
            market.end_ns,
            True,
            len(market.prints.ts),
        )
        messages = await feed.read_until(lambda m: m["data"].get("u") == last["cursor"]["BTCUSDT"]["u"])
        assert sum(m["stream"] == "btcusdt@trade" for m in messages) == len(market.prints.ts)
        events = await user.read_until(lambda m: m["event"].get("I") == last["execution"])
        assert events[-1]["event"]["X"] == "FILLED"

    run(tmp_path, work)


def test_two_sessions_wait_for_each_other_and_one_that_goes_is_not_waited_for(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        slow, fast = await client.control(cycle_ns=3 * SECOND), await client.control(cycle_ns=SECOND)
        await slow.reach()
        await fast.reach()
        await fast.release()
        assert await fast.socket.silent()
        await slow.release()
        assert (await fast.reach())["ts"] == START + SECOND
        assert (await fast.step())["ts"] == START + 2 * SECOND
        assert (await fast.step())["ts"] == START + 3 * SECOND
        assert (await slow.reach())["ts"] == START + 3 * SECOND
        await fast.release()
        assert await fast.socket.silent()
        await slow.socket.raw.close()
        assert (await fast.reach())["ts"] == START + 4 * SECOND

    run(tmp_path, work)


def test_a_session_that_comes_back_goes_on_with_its_grid(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        first = await client.control(cycle_ns=3 * SECOND)
        await first.reach()
        await first.step(until=START + 5 * SECOND)
        await first.socket.send({"op": "leave"})
        again = await client.control(cycle_ns=3 * SECOND, start_ns=START)
        assert (await again.reach())["ts"] == START + 6 * SECOND

    run(tmp_path, work)


def test_control_mistakes_are_answered(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        socket = await client.open("/control")
        for message in ("{", "[]", {"op": "release"}, {"op": "register"}, {"op": "register", "cycle_ns": 0}):
            assert (await socket.ask(message))["op"] == "error"
        assert (await socket.ask({"op": "register", "cycle_ns": 1, "account": 1}))["op"] == "error"
        control = await client.control()
        await control.reach()
        for message in (
            {"op": "register", "cycle_ns": 1},
            {"op": "release", "ts": 5},
            {"op": "release", "ts": START, "until": START},
            {"op": "sing"},
        ):
            assert (await control.socket.ask(message))["op"] == "error"
        assert (await control.step())["ts"] == START + SECOND

    run(tmp_path, work)


def test_results_do_not_depend_on_the_wall(tmp_path: Path) -> None:
    async def one(client: Client, pause: float, found: list[Any]) -> None:
        control, user = await client.control(cycle_ns=10 * SECOND), await user_stream(client)
        barrier, executions = await control.reach(), 0
        while not barrier["done"]:
            await asyncio.sleep(pause)
            side = "BUY" if barrier["ts"] // SECOND % 20 else "SELL"
            request = signed(client, "order.place", order(side, "0.1", "100.00", newClientOrderId="c"), 2)
            await user.send(request)
            found += await user.read_until(lambda m: m.get("id") == 2)
            await asyncio.sleep(pause)
            barrier = await control.step()
            if barrier["execution"] > executions:
                executions = barrier["execution"]
                found += await user.read_until(lambda m, last=executions: m.get("event", {}).get("I") == last)  # type: ignore[misc]
        found.append(barrier)

    results: list[list[Any]] = [[], []]
    for i, pause in enumerate((0.0, 0.01)):
        (tmp_path / str(i)).mkdir()
        run(tmp_path / str(i), lambda c, i=i, pause=pause: one(c, pause, results[i]))  # type: ignore[misc]
    assert results[0] == results[1]
    assert len(results[0]) > 8


# -- paced ---------------------------------------------------------------------------


def test_a_paced_exchange_runs_by_itself_to_the_end(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        feed = await client.open("/ws/btcusdt@depth@100ms")
        end = client.server.exchange.market
        last = await feed.read_until(lambda m: m["E"] * MILLISECOND >= int(end.packet_ts[-1]), timeout=10)
        updates = [message for message in last if message["e"] == "depthUpdate"]
        assert all(b["U"] == a["u"] + 1 for a, b in pairwise(updates))

    run(tmp_path, work, seconds=30, pace=60.0)


def test_paced_barriers_are_announced_and_not_waited_for(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        control = await client.control(cycle_ns=5 * SECOND)
        assert control.registered["pace"] == 60.0
        stamps = [(await control.reach())["ts"] for _ in range(4)]
        start = control.registered["start_ns"]
        assert [stamp - start for stamp in stamps] == [0, 5 * SECOND, 10 * SECOND, 15 * SECOND]

    run(tmp_path, work, pace=60.0)


def test_paced_answers_take_the_latency_in_market_time(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        api = await client.open("/ws-api/v3")
        sent = client.server._clock.market_ns()
        answer = await api.ask(signed(client, "order.place", order()))
        came = client.server._clock.market_ns()
        assert answer["result"]["status"] == "NEW"
        arrival = answer["result"]["transactTime"] * MILLISECOND
        assert sent + 1_999 * MILLISECOND <= arrival
        assert came >= arrival + 2_000 * MILLISECOND

    run(tmp_path, work, pace=20.0, entry_ns=2 * SECOND, response_ns=2 * SECOND)


def test_market_time_follows_the_wall_and_stops_at_the_end() -> None:
    wall = [0]
    clock = MarketTime(1_000, 10_000, 2.0, lambda: wall[0])
    wall[0] = 500
    assert clock.market_ns() == 2_000
    assert clock.wall_seconds_to(4_000) == pytest.approx(1e-6)
    wall[0] = 1_000_000
    assert (clock.market_ns(), clock.wall_seconds_to(99_999)) == (10_000, 0.0)
    assert [parse_pace(text) for text in ("lockstep", "1x", "60x", "2.5")] == [None, 1.0, 60.0, 2.5]
    for text in ("0.5x", "61x", "fast"):
        with pytest.raises(UsageError, match="pace must be"):
            parse_pace(text)


# -- streams ---------------------------------------------------------------------------


def test_streams_are_subscribed_to_and_listed_and_left(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        socket, control = await client.open("/ws/0"), await client.control()
        await control.reach()
        name = "btcusdt@depth@100ms"
        assert await socket.ask({"method": "SUBSCRIBE", "params": [name], "id": 0}) == {"result": None, "id": 0}
        assert await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": "a-b"}) == {"result": [name], "id": "a-b"}
        await control.step()
        first = await socket.read()
        assert (first["e"], first["U"]) == ("depthUpdate", 21)
        await socket.read_until(lambda m: m.get("u") == control.barrier["cursor"]["BTCUSDT"]["u"])
        assert await socket.ask({"method": "SET_PROPERTY", "params": ["combined", True], "id": 1}) == {
            "result": None,
            "id": 1,
        }
        await control.step()
        assert (await socket.read())["stream"] == name
        await socket.read_until(lambda m: m["data"].get("u") == control.barrier["cursor"]["BTCUSDT"]["u"])
        await socket.ask({"method": "UNSUBSCRIBE", "params": [name], "id": 2})
        await control.step()
        assert await socket.silent()
        wrong = await socket.ask({"method": "SUBSCRIBE", "params": ["btcusdt"], "id": 3})
        assert wrong == {"error": {"code": 2, "msg": "Invalid request: invalid stream"}, "id": 3}
        assert "error" in await socket.ask({"method": "SING", "id": 4})
        assert await socket.ask({"method": "SUBSCRIBE", "params": ["ethusdt@trade"], "id": 5}) == {
            "result": None,
            "id": 5,
        }

    run(tmp_path, work)


def test_microseconds_and_partial_books(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        socket = await client.open("/stream?streams=btcusdt@depth5@100ms/btcusdt@depth&timeUnit=MICROSECOND")
        control = await client.control()
        await control.reach()
        await control.step()
        update, partial = await socket.read(), await socket.read()
        assert len(str(update["data"]["E"])) == 16
        assert (partial["stream"], len(partial["data"]["bids"])) == ("btcusdt@depth5@100ms", 5)
        assert partial["data"]["lastUpdateId"] == update["data"]["u"]

    run(tmp_path, work)


def test_pings_are_answered_and_a_shutdown_is_announced(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        socket, user = await client.open(MIXED), await user_stream(client)
        await socket.raw.ping(b"x")
        assert (await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": 1}))["id"] == 1
        closing = asyncio.create_task(client.server.close())
        assert (await socket.read())["data"]["e"] == "serverShutdown"
        assert (await user.read())["event"]["e"] == "serverShutdown"
        assert (await socket.raw.receive()).type is aiohttp.WSMsgType.CLOSE
        await user.raw.receive()
        await closing

    run(tmp_path, work)


# -- starting ---------------------------------------------------------------------------


def test_a_port_in_use_and_wrong_options_are_clear_errors(tmp_path: Path) -> None:
    tape = make_tape(tmp_path / "tape2", seconds=2)

    async def start(**options: Any) -> None:
        await (await serve(tape, ExchangeOptions(**options), engine=model_engine)).close()

    async def work(client: Client) -> None:
        port = int(client.server.rest_url.rsplit(":", 1)[1])
        with pytest.raises(UsageError, match=f"port {port} on 127.0.0.1 is in use"):
            await start(port=port)
        with pytest.raises(UsageError, match="at most 8 decimals"):
            await start(balances=({"BTC": "0.123456789"},))
        with pytest.raises(UsageError, match=">= 0 and at most"):
            await start(balances=({"BTC": "-1"},))
        with pytest.raises(UsageError, match="one key an account"):
            await start(keys=())

    run(tmp_path, work)


def test_an_exchange_may_open_later_than_its_tape(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        control = await client.control()
        barrier = await control.reach()
        assert barrier["ts"] == START + 10 * SECOND
        assert barrier["cursor"]["BTCUSDT"]["u"] > 20
        assert (await client.get("/api/v3/depth", symbol="BTCUSDT"))["lastUpdateId"] == barrier["cursor"]["BTCUSDT"][
            "u"
        ]

    run(tmp_path, work, start_ns=START + 10 * SECOND)


def test_the_ready_line_tells_where_the_exchange_is(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        ready = client.server.ready()
        assert set(ready) == {"rest", "ws", "control", "api_key", "api_secret", "symbols"}
        assert ready["symbols"] == ["BTCUSDT"]
        assert client.server.api_secret not in repr(client.server.keys)

    run(tmp_path, work)


def test_a_tape_opened_from_disk_serves(tmp_path: Path) -> None:
    make_tape(tmp_path / "disk", seconds=5)

    async def work() -> None:
        server = await serve(Tape.open(tmp_path / "disk"), engine=model_engine)
        await server.close()

    asyncio.run(work())

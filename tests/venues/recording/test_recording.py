import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.venues.recording.harness import QUICK, book_of, caught_up, recording, same, shown, tapes, until, venue_for
from tests.venues.recording.markets import (
    CAPTURES,
    binance_info,
    binance_market,
    coinbase_info,
    coinbase_market,
    generated,
    kraken_info,
    kraken_market,
)
from tests.venues.recording.servers import LocalBinance, LocalCoinbase, LocalKraken, LocalVenue
from tidewright.market.check import check_tape
from tidewright.market.codes import GAP, INFERRED, TRADE_BUY, TRADE_SELL
from tidewright.market.errors import NotFoundError, TidewrightError, TimedOutError, UsageError, VenueError
from tidewright.market.tape import Tape


def local_binance(count: int = 120) -> LocalVenue:
    return LocalBinance(generated(["BTCUSDT", "ETHUSDT"], count, binance_info(["BTCUSDT", "ETHUSDT"])))


def local_coinbase(count: int = 120) -> LocalVenue:
    return LocalCoinbase(generated(["BTC-USD", "ETH-USD"], count, coinbase_info(["BTC-USD", "ETH-USD"])))


def local_kraken(count: int = 120) -> LocalVenue:
    return LocalKraken(generated(["BTC/USD", "ETH/USD"], count, kraken_info(["BTC/USD", "ETH/USD"])))


VENUES = pytest.mark.parametrize("make", [local_binance, local_coinbase, local_kraken])


def name_of(server: LocalVenue) -> str:
    return type(server).__name__.removeprefix("Local").lower()


def of(server: LocalVenue, out: Path) -> dict[str, Tape]:
    return {symbol: tapes(out, name_of(server), symbol)[-1] for symbol in server.market.books}


def gaps(tape: Tape) -> int:
    return int(np.sum(tape.data.kind == GAP))


def prints(tape: Tape) -> list[tuple[int, str, str]]:
    data, kinds = tape.data, {TRADE_BUY: "buy", TRADE_SELL: "sell"}
    rows = np.flatnonzero((data.kind == TRADE_BUY) | (data.kind == TRADE_SELL)).tolist()
    return [(kinds[int(data.kind[i])], tape.instrument.price_text(int(data.price[i])), int(data.qty[i])) for i in rows]


def happened(server: LocalVenue, symbol: str, tape: Tape, since: int = 0) -> list[tuple[str, str, int]]:
    """The market's prints in the tape's words."""
    return [
        (taker, tape.instrument.price_text(tape.instrument.price_to_ticks(price)), tape.instrument.qty_to_lots(qty))
        for event in server.market.events[since:]
        if event.symbol == symbol and event.trade is not None
        for _, price, qty, taker in [event.trade]
    ]


def assert_good(server: LocalVenue, out: Path, expected_gaps: int | None = 0) -> None:
    for tape in of(server, out).values():
        found = check_tape(tape)
        assert found.usable, found.problems
        assert found.figures["book"]["packets"]["crossed"] == 0
        if expected_gaps is not None:
            assert gaps(tape) == expected_gaps
        assert same(book_of(tape), shown(server, tape))


@VENUES
def test_an_undisturbed_recording_holds_every_print_and_ends_with_the_venues_book(make, tmp_path):
    async def scenario():
        async with make() as server, recording(server, tmp_path) as running:
            await server.subscribed()
            await until(lambda: running.statuses and all(s.state == "live" for s in running.statuses[-1]), "live")
            await server.play()
            await caught_up(server, tmp_path)
            summary = await running.stop()
            assert_good(server, tmp_path)
            for symbol, tape in of(server, tmp_path).items():
                assert prints(tape) == happened(server, symbol, tape)
                assert summary.symbols[symbol]["rows"] == len(tape)
                assert tape.meta["notes"]["missing_trade_ids"] == 0

    asyncio.run(scenario())


@VENUES
def test_a_dropped_message_is_a_gap_and_is_healed(make, tmp_path):
    async def scenario():
        async with make() as server, recording(server, tmp_path) as running:
            await server.subscribed()
            await server.play(30)
            await caught_up(server, tmp_path)
            server.drop = True
            await server.play(50, 0.002)
            await until(lambda: sum(s["gaps"] for s in _live(running)) > 0, "a gap")
            await server.subscribed()
            await server.play()
            await caught_up(server, tmp_path)
            await running.stop()
            assert_good(server, tmp_path, None)
            assert sum(gaps(tape) for tape in of(server, tmp_path).values()) >= 1
            assert sum(tape.meta["notes"]["sequence_gaps"] for tape in of(server, tmp_path).values()) >= 1

    asyncio.run(scenario())


def _live(running) -> list[dict]:
    return [{"gaps": status.gaps} for status in (running.statuses[-1] if running.statuses else [])]


@VENUES
def test_a_lost_connection_is_a_gap_on_every_tape_and_the_recording_goes_on(make, tmp_path):
    async def scenario():
        async with make() as server, recording(server, tmp_path) as running:
            await server.subscribed()
            await server.play(40)
            await caught_up(server, tmp_path)
            async with server.unreachable():
                await server.play(20)
            await server.subscribed(2)
            await server.play()
            await caught_up(server, tmp_path)
            summary = await running.stop()
            assert summary.connects == 2
            assert_good(server, tmp_path, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize("make", [local_coinbase, local_kraken])
def test_prints_of_a_lost_connection_are_recovered_from_the_next_ones_list(make, tmp_path):
    async def scenario():
        async with make() as server, recording(server, tmp_path) as running:
            await server.subscribed()
            await server.play(60)
            await caught_up(server, tmp_path)
            async with server.unreachable():
                await server.play(40)
            await server.subscribed(2)
            await server.play()
            await caught_up(server, tmp_path)
            await running.stop()
            for symbol, tape in of(server, tmp_path).items():
                assert prints(tape) == happened(server, symbol, tape)
                assert tape.meta["notes"]["missing_trade_ids"] == 0
                assert tape.meta["notes"]["trades_recovered_late"] > 0

    asyncio.run(scenario())


@VENUES
@pytest.mark.parametrize("text", ['{"channel": "book", ', "[1, 2]", '{"data": {"e": "depthUpdate", "s": "BTCUSDT"}}'])
def test_a_malformed_message_costs_a_reconnect_not_the_recording(make, text, tmp_path):
    if make is local_kraken and text.startswith('{"data"'):
        text = '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":null}]}]}'

    async def scenario():
        async with make(40) as server, recording(server, tmp_path) as running:
            await server.subscribed()
            await server.play(20)
            await caught_up(server, tmp_path)
            await server.raw(text)
            await server.subscribed(2)
            await server.play()
            await caught_up(server, tmp_path)
            summary = await running.stop()
            assert summary.malformed == 1
            assert_good(server, tmp_path, 1)

    asyncio.run(scenario())


@VENUES
def test_a_ping_is_answered_with_its_own_payload(make, tmp_path):
    async def scenario():
        async with make(10) as server, recording(server, tmp_path):
            await server.subscribed()
            await server.sockets[0].ping(b"1234567")
            await until(lambda: server.pongs == [b"1234567"], "the pong")

    asyncio.run(scenario())


@VENUES
def test_a_silent_socket_is_given_up(make, tmp_path):
    from dataclasses import replace

    async def scenario():
        async with make(40) as server:
            venue = venue_for(server, replace(QUICK, silence_s=0.2))
            async with recording(server, tmp_path, venue) as running:
                await server.subscribed()
                await server.play(10)
                await server.subscribed(2)
                await running.stop()
                assert "no message for 0.2 s" in running.recorder._summary(0.0).problem

    asyncio.run(scenario())


@VENUES
def test_a_restart_continues_the_tape_with_a_gap(make, tmp_path):
    async def scenario():
        async with make() as server:
            async with recording(server, tmp_path) as running:
                await server.subscribed()
                await server.play(50)
                await caught_up(server, tmp_path)
                await running.stop()
            before = {symbol: len(tape) for symbol, tape in of(server, tmp_path).items()}
            await server.play(20)
            async with recording(server, tmp_path) as running:
                await server.subscribed(2)
                await server.play()
                await caught_up(server, tmp_path)
                await running.stop()
            assert_good(server, tmp_path, 1)
            for symbol, tape in of(server, tmp_path).items():
                assert tape.data.kind[before[symbol]] == GAP
                assert tape.meta["notes"]["restarts"] == 1
                if name_of(server) != "binance":
                    assert prints(tape) == happened(server, symbol, tape)

    asyncio.run(scenario())


@VENUES
def test_every_period_has_a_tape_that_stands_alone(make, tmp_path):
    async def scenario():
        async with make() as server, recording(server, tmp_path, rotate_ns=2_000_000_000) as running:
            await server.subscribed()
            await until(lambda: running.statuses and all(s.state == "live" for s in running.statuses[-1]), "live")
            await server.play()
            await caught_up(server, tmp_path)
            await running.stop()
            for symbol in server.market.books:
                found = tapes(tmp_path, name_of(server), symbol)
                assert len(found) >= 3
                for tape in found[-3:]:  # the events' periods; before them may lie one of the wall clock or of 2001
                    assert check_tape(tape).usable
                    assert gaps(tape) == 0
                    assert tape.start_ns // 2_000_000_000 == tape.end_ns // 2_000_000_000
                together = [row for tape in found for row in prints(tape)]
                assert together == happened(server, symbol, found[0])

    asyncio.run(scenario())


def test_krakens_wrong_checksum_is_a_gap_of_that_symbol_only_on_the_same_connection(tmp_path):
    async def scenario():
        async with local_kraken() as server, recording(server, tmp_path) as running:
            await server.subscribed()
            await server.play(30)
            await caught_up(server, tmp_path)
            server.corrupt = True
            await server.play(40, 0.002)
            await until(lambda: sum(s["gaps"] for s in _live(running)) == 1, "one gap")
            await server.play()
            await caught_up(server, tmp_path)
            summary = await running.stop()
            assert summary.connects == 1
            assert sorted(gaps(tape) for tape in of(server, tmp_path).values()) == [0, 1]
            assert_good(server, tmp_path, None)
            methods = [asked["method"] for asked in server.received]
            assert methods == ["subscribe", "subscribe", "unsubscribe", "subscribe"]

    asyncio.run(scenario())


def test_krakens_book_is_cut_to_the_subscribed_depth(tmp_path):
    async def scenario():
        async with local_kraken(300) as server:
            async with recording(server, tmp_path, venue_for(server, depth=25)) as running:
                await server.subscribed()
                await server.play()
                await caught_up(server, tmp_path)
                await running.stop()
            for tape in of(server, tmp_path).values():
                assert max(len(side) for side in book_of(tape).values()) == 25
                assert np.any(tape.data.flags & INFERRED)
            assert_good(server, tmp_path)

    asyncio.run(scenario())


def test_a_snapshot_older_than_the_updates_is_fetched_again(tmp_path):
    async def scenario():
        async with local_binance() as server:
            server.stale_snapshots = 4
            await server.play(30)
            async with recording(server, tmp_path) as running:
                await server.subscribed()
                await server.play(pause_s=0.002)
                await caught_up(server, tmp_path)
                await running.stop()
            assert server.snapshots > 4
            assert_good(server, tmp_path)

    asyncio.run(scenario())


def test_a_refused_snapshot_is_asked_for_again(tmp_path):
    async def scenario():
        async with local_binance(40) as server:
            server.refusals = [503, 429]
            async with recording(server, tmp_path) as running:
                await server.subscribed()
                await server.play()
                await caught_up(server, tmp_path)
                await running.stop()
            assert_good(server, tmp_path)

    asyncio.run(scenario())


@VENUES
def test_a_symbol_the_venue_does_not_have_is_said_before_anything_is_written(make, tmp_path):
    async def scenario():
        async with make(5) as server:
            server.market.books["XYZ-ABC"] = {"bid": {}, "ask": {}}
            with pytest.raises(NotFoundError, match="XYZ"):
                async with recording(server, tmp_path) as running:
                    await running.task
        assert not list(tmp_path.iterdir())

    asyncio.run(scenario())


def test_steps_given_by_hand_replace_the_venues(tmp_path):
    async def scenario():
        async with local_coinbase(20) as server:
            steps = {"ticks": {"": "0.001", "ETH-USD": "0.01"}, "lots": {"": "0.00000001"}}
            async with recording(server, tmp_path, **steps) as running:
                await server.subscribed()
                await server.play()
                await caught_up(server, tmp_path)
                await running.stop()
            ticks = {symbol: tape.instrument.tick_size for symbol, tape in of(server, tmp_path).items()}
            assert ticks == {"BTC-USD": "0.001", "ETH-USD": "0.01"}

    asyncio.run(scenario())


def test_a_recording_that_is_there_with_other_steps_is_not_continued(tmp_path):
    async def scenario():
        async with local_coinbase(20) as server:
            async with recording(server, tmp_path) as running:
                await server.subscribed()
                await server.play()
                await caught_up(server, tmp_path)
                await running.stop()
            with pytest.raises(UsageError, match=r"tick_size 0\.01, now it is 0\.001"):
                async with recording(server, tmp_path, ticks={"": "0.001"}) as running:
                    await running.task
            with pytest.raises(UsageError, match="without rotation"):
                async with recording(server, tmp_path, rotate_ns=10**12) as running:
                    await running.task

    asyncio.run(scenario())


def test_two_recorders_do_not_share_a_folder(tmp_path):
    async def scenario():
        async with local_coinbase(20) as server, recording(server, tmp_path):
            await server.subscribed()
            with pytest.raises(UsageError, match="another process is recording"):
                async with recording(server, tmp_path) as second:
                    await second.task

    asyncio.run(scenario())


def test_no_data_at_all_is_a_time_out(tmp_path):
    async def scenario():
        async with local_coinbase(5) as server:
            venue = venue_for(server)
            venue.ws_url = "ws://127.0.0.1:9"
            recorder = recording_of(venue, server, tmp_path)
            with pytest.raises(TimedOutError, match="no market data from ws"):
                await recorder.run(asyncio.Event(), 0.3)

    asyncio.run(scenario())


def recording_of(venue, server, out):
    from tidewright.market.clock import WallClock
    from tidewright.venues.recording.recorder import Recorder

    return Recorder(venue, list(server.market.books), out, WallClock())


def test_a_refused_subscription_ends_the_recording_with_the_venues_words(tmp_path):
    async def scenario():
        async with local_kraken(5) as server:
            del server.books["ETH/USD"]  # listed, but not to be subscribed
            with pytest.raises(VenueError, match="Currency pair not supported ETH/USD"):
                async with recording(server, tmp_path) as running:
                    await asyncio.wait_for(running.task, 5)

    asyncio.run(scenario())


def test_a_venue_that_is_never_understood_is_not_asked_for_ever(tmp_path):
    async def scenario():
        async with local_coinbase(5) as server:
            with pytest.raises(TidewrightError, match=r"no multiple of the tick size 0\.05"):
                async with recording(server, tmp_path, ticks={"": "0.05"}) as running:
                    await asyncio.wait_for(running.task, 5)

    asyncio.run(scenario())


# -- recorded messages of the real venues ------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded venues are not here")
@pytest.mark.parametrize(
    "make",
    [
        lambda: LocalBinance(binance_market("NKNUSDT", "LRCBTC", "BLZETH")),
        lambda: LocalCoinbase(coinbase_market()),
        lambda: LocalKraken(kraken_market("XMR/USD", "BTC/CHF")),
    ],
    ids=["binance", "coinbase", "kraken"],
)
def test_recorded_venues_are_recorded_again_through_every_fault(make, tmp_path):
    async def scenario():
        async with make() as server, recording(server, tmp_path) as running:
            await server.subscribed()
            part = len(server.market.events) // 4
            await server.play(part)
            server.drop = True
            await server.play(part // 2, 0.001)
            connections = server.connections
            async with server.unreachable():
                await server.play(part // 2)
            await server.subscribed(connections + 1)
            await server.play(part, 0.0005)
            await caught_up(server, tmp_path)
            connections = server.connections
            await server.raw("{")
            await server.subscribed(connections + 1)
            await server.play()
            await caught_up(server, tmp_path)
            summary = await running.stop()
            assert summary.malformed == 1
            assert_good(server, tmp_path, None)

    asyncio.run(scenario())


@pytest.mark.data
@pytest.mark.skipif(not CAPTURES.is_dir(), reason="the recorded venues are not here")
@pytest.mark.parametrize(
    "make",
    [
        lambda: LocalBinance(binance_market("NKNUSDT", "LRCBTC", "BLZETH")),
        lambda: LocalCoinbase(coinbase_market()),
        lambda: LocalKraken(kraken_market("XMR/USD", "BTC/CHF")),
    ],
    ids=["binance", "coinbase", "kraken"],
)
def test_recorded_venues_are_recorded_again_exactly(make, tmp_path):
    async def scenario():
        async with make() as server, recording(server, tmp_path) as running:
            await server.subscribed()
            await until(lambda: running.statuses and all(s.state == "live" for s in running.statuses[-1]), "live")
            await server.play()
            await caught_up(server, tmp_path)
            await running.stop()
            assert_good(server, tmp_path)
            for symbol, tape in of(server, tmp_path).items():
                assert prints(tape) == happened(server, symbol, tape)

    asyncio.run(scenario())

"""Raw captures of Binance's USDⓈ-M and COIN-M futures."""

from pathlib import Path

import orjson
import pytest

from tests.market.importers.playback import MS, T0, listed, packets, play
from tidewright.market import codes
from tidewright.market.errors import DataError
from tidewright.market.importers.binance_raw import import_binance_raw
from tidewright.market.tape import Tape


def line(ms_local: float, message: dict) -> bytes:
    body = message if "lastUpdateId" in message else {"stream": "x", "data": message}
    return f"{int((T0 + ms_local) * MS)} ".encode() + orjson.dumps(body) + b"\n"


def depth(first, last, previous, ms, bids=(), asks=(), symbol="BTCUSDT"):
    ids = {"U": first, "u": last, "pu": previous}
    levels = {"b": [list(b) for b in bids], "a": [list(a) for a in asks]}
    return {"e": "depthUpdate", "E": T0 + ms + 8, "T": T0 + ms, "s": symbol, **ids, **levels}


def trade(trade_id, ms, price="100.0", qty="0.010", origin="MARKET"):
    head = {"e": "trade", "E": T0 + ms + 8, "T": T0 + ms, "s": "BTCUSDT", "t": trade_id}
    return {**head, "p": price, "q": qty, "X": origin, "m": False}


def ticker(update_id, ms, bid, ask):
    head = {"e": "bookTicker", "u": update_id, "s": "BTCUSDT", "E": T0 + ms + 8, "T": T0 + ms}
    return {**head, "b": bid, "B": "1.000", "a": ask, "A": "2.000"}


SNAPSHOT = {
    "lastUpdateId": 1_000,
    "E": T0 - 20,
    "T": T0 - 25,
    "bids": [["100.0", "1.000"], ["99.9", "2.000"]],
    "asks": [["100.1", "3.000"]],
}


def capture() -> list[bytes]:
    return [
        line(12, depth(900, 980, 890, -60, bids=[("99.8", "1.000")])),  # older than the snapshot
        line(15, SNAPSHOT),
        line(16, depth(985, 1_040, 980, 0, bids=[("99.9", "2.500")])),  # straddles it
        line(40, trade(7, 20)),
        line(41, trade(8, 21, "0", "0", "NA")),
        line(42, trade(9, 22, "50.0", "9.000", "INSURANCE_FUND")),
        line(60, depth(1_051, 1_090, 1_040, 40, asks=[("100.1", "0"), ("100.2", "0.125")])),
    ]


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_updates_continue_by_pu_and_time_is_that_of_matching(tmp_path):
    report = import_binance_raw([write(tmp_path / "a", capture())], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [["reset", "bid", "bid", "ask"], ["bid"], ["trade_buy"], ["ask", "ask"]]
    assert [row[0] for row in listed(tape)] == [-25] * 4 + [0, 20, 40, 40]
    assert report.gaps == 0 and report.notes["prints_of_insurance_fund_and_deleveraging_dropped"] == 2
    instrument = tape.instrument
    assert (instrument.kind, instrument.venue, instrument.tick_size) == ("linear", "binanceusdm", "0.1")
    assert (instrument.lot_size, instrument.contract_size, instrument.taker_fee) == ("0.001", "1", 50_000)


@pytest.mark.parametrize("previous", [1_035, 1_045])
def test_update_that_does_not_name_the_one_before_is_a_gap(tmp_path, previous):
    lines = [*capture()[:-1], line(60, depth(1_051, 1_090, previous, 40, bids=[("99.0", "1")]))]
    again = {**SNAPSHOT, "lastUpdateId": 1_100, "T": T0 + 70, "E": T0 + 71}
    lines += [line(80, again), line(90, depth(1_101, 1_110, 1_090, 80, asks=[("100.3", "1")]))]
    report = import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape", lot_size="0.001")
    tape = Tape.open(tmp_path / "tape")
    assert report.gaps == 1 and packets(tape)[3:] == [["gap"], ["reset", "bid", "bid", "ask"], ["ask"]]
    assert play(tape)[1] == {1001: 3_000, 1003: 1_000}


def test_tickers_keep_their_own_time_and_older_depth_does_not_undo_them(tmp_path):
    lines = [
        *capture()[:3],
        line(30, ticker(1_080, 20, "100.1", "100.2")),
        line(60, depth(1_051, 1_060, 1_040, 10, bids=[("100.1", "0.700"), ("99.7", "1.000")])),
    ]
    import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape", lot_size="0.001")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape)[2:] == [["best_bid", "best_ask"], ["bid"]]
    assert [row[0] for row in listed(tape)[5:]] == [20, 20, 20]
    assert play(tape)[0][1001] == 1_000


def test_coin_margined_contracts_are_inverse(tmp_path):
    def coin(data: bytes) -> bytes:
        return data.replace(b'"s":"BTCUSDT"', b'"s":"ETHUSD_PERP","ps":"ETHUSD"').replace(b".000", b"")

    lines = [coin(text) for text in (*capture()[:3], *capture()[6:])]
    import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape", lot_size="1")
    instrument = Tape.open(tmp_path / "tape").instrument
    assert (instrument.kind, instrument.venue, instrument.contract_size) == ("inverse", "binancecoinm", "10")
    assert (instrument.base, instrument.quote, instrument.filters.min_notional) == ("ETH", "USD", 0)


def test_mark_price_and_the_charged_funding_rate_go_on_the_tape(tmp_path):
    def mark(ms, price, rate, due):
        head = {"e": "markPriceUpdate", "E": T0 + ms, "s": "BTCUSDT", "p": price, "i": "1", "P": "1"}
        return line(ms + 3, {**head, "r": rate, "T": T0 + due})

    lines = [*capture(), mark(50, "100.04999999", "0.00010000", 60), mark(70, "100.05000000", "-0.00012", 28_800_060)]
    report = import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert listed(tape)[-3:] == [(50, "mark", 1000, 0), (60, "funding", 10_000, 0), (70, "mark", 1000, 0)]
    assert tape.data.flags[-2] & codes.INFERRED and "mark price" in report.detail


def test_aggregated_trades_stand_in_for_trades(tmp_path):
    lines = [text for text in capture() if b'"trade"' not in text]
    for i, ms in ((5, 20), (6, 30), (8, 31)):
        head = {"e": "aggTrade", "E": T0 + ms + 8, "T": T0 + ms, "s": "BTCUSDT", "a": i, "f": 1, "l": 2}
        lines.insert(-1, line(ms + 20, {**head, "p": "100.1", "q": "0.5", "m": True}))
    report = import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape")
    assert report.trades == 3 and report.detail == "L2+aggregated trades"
    assert report.notes["missing_trade_ids"] == 1


def test_malformed_mark_price_is_an_error(tmp_path):
    bad = line(99, {"e": "markPriceUpdate", "E": T0, "s": "BTCUSDT", "p": "ten", "r": "", "T": 0})
    with pytest.raises(DataError, match=r"/a, line 8: mark price must be a plain decimal number, was 'ten'"):
        import_binance_raw([write(tmp_path / "a", [*capture(), bad])], tmp_path / "tape")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]

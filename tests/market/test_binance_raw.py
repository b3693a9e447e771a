import gzip
from pathlib import Path

import numpy as np
import orjson
import pytest

from tidewright.market import codes
from tidewright.market.errors import DataError, UsageError
from tidewright.market.importers.binance_raw import import_binance_raw, place_untimed
from tidewright.market.importers.receipt_clock import estimate
from tidewright.market.tape import Tape, columns

MS = 1_000_000
T0 = 1_700_000_000_000  # ms
DATA = Path(__file__).parents[2].parent / "shared" / "data"


def line(ms_local: float, message: dict, stream: str = "") -> bytes:
    body = {"stream": stream, "data": message} if stream else message
    return f"{int((T0 + ms_local) * MS)} ".encode() + orjson.dumps(body) + b"\n"


def depth(first, last, ms, bids=(), asks=()):
    message = {"e": "depthUpdate", "E": T0 + ms, "s": "BTCUSDT", "U": first, "u": last}
    return {**message, "b": [list(b) for b in bids], "a": [list(a) for a in asks]}


def trade(trade_id, ms, price="100.00", maker_buys=True):
    message = {"e": "trade", "E": T0 + ms, "s": "BTCUSDT", "t": trade_id, "p": price, "q": "0.00100000"}
    return {**message, "T": T0 + ms, "m": maker_buys}


def ticker(update_id, bid="100.00000000", ask="101.01000000"):
    return {"u": update_id, "s": "BTCUSDT", "b": bid, "B": "1.00000000", "a": ask, "A": "2.00000000"}


SNAPSHOT = {"lastUpdateId": 10, "bids": [["100.00000000", "1.00000000"]], "asks": [["101.01000000", "2.00000000"]]}


def capture() -> list[bytes]:
    return [
        line(5, depth(9, 11, 0, bids=[("99.00000000", "0.50000000")]), "btcusdt@depth@100ms"),
        line(20, SNAPSHOT),
        line(105, depth(12, 14, 100, asks=[("102.00000000", "0.12345000")]), "btcusdt@depth@100ms"),
        line(153, ticker(16, bid="100.50000000"), "btcusdt@bookTicker"),
        line(160, trade(1, 150), "btcusdt@trade"),
        line(205, depth(15, 16, 200, bids=[("100.50000000", "1.00000000")]), "btcusdt@depth@100ms"),
    ]


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def test_capture_becomes_a_tape(tmp_path):
    report = import_binance_raw([write(tmp_path / "a", capture())], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    kinds = [codes.KIND_NAMES[k] for k in tape.data.kind]
    assert kinds == ["reset", "bid", "ask", "bid", "ask", "best_bid", "best_ask", "trade_sell", "bid"]
    assert tape.instrument.tick_size == "0.01" and tape.instrument.lot_size == "0.00001"
    assert (tape.instrument.base, tape.instrument.quote) == ("BTC", "USDT")
    assert (report.rows, report.trades, report.gaps) == (9, 1, 0) and report.packets == 6
    assert tape.meta["notes"]["sequence_gaps"] == 0 and tape.meta["detail"] == "L2+trades+best bid/ask"


def test_untimed_ticker_stands_between_its_neighbours(tmp_path):
    import_binance_raw([write(tmp_path / "a", capture())], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    ms = (tape.data.ts // MS - T0).tolist()
    # receipt 153 less 1 ms of latency is after the trade that was received next: its time is the limit
    assert ms[4:] == [100, 150, 150, 150, 200]
    assert (np.diff(tape.data.ts) >= 0).all()


def test_gzip_microseconds_and_several_files_in_any_order_are_one_stream(tmp_path):
    import_binance_raw([write(tmp_path / "whole", capture())], tmp_path / "expected")
    micro = [str(int(text.split(b" ", 1)[0]) // 1_000).encode() + b" " + text.split(b" ", 1)[1] for text in capture()]
    (tmp_path / "one.gz").write_bytes(gzip.compress(b"".join(micro[:3])))
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"".join(micro[3:])))
    report = import_binance_raw([tmp_path / "two.gz", tmp_path / "one.gz"], tmp_path / "tape")
    assert report.gaps == 0
    for mine, expected in zip(Tape.open(tmp_path / "tape").data, Tape.open(tmp_path / "expected").data, strict=True):
        assert mine.tolist() == expected.tolist()


def test_gap_in_the_update_ids_is_a_row_and_the_book_restarts_inferred(tmp_path):
    lines = [*capture(), line(305, depth(20, 21, 300, [("98.00", "1")], [("103.00", "1")])), line(306, ticker(22))]
    lines.append(line(405, depth(22, 23, 400, bids=[("97.00", "1")])))
    report = import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape")
    data = Tape.open(tmp_path / "tape").data
    assert report.gaps == 1 and report.notes["snapshots_inferred"] == 1
    assert [codes.KIND_NAMES[k] for k in data.kind[9:]] == ["gap", "reset", "bid", "bid", "ask", "ask", "bid"]
    assert data.flags[11] == codes.SNAPSHOT | codes.INFERRED


def test_capture_without_snapshot_comes_alive_at_the_first_ticker(tmp_path):
    lines = capture()
    del lines[1]
    report = import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape")
    data = Tape.open(tmp_path / "tape").data
    assert [codes.KIND_NAMES[k] for k in data.kind[:5]] == ["reset", "bid", "bid", "ask", "ask"]
    assert report.notes["snapshots_inferred"] == 1 and report.gaps == 0


def test_clock_behind_the_venue_is_corrected_and_reported(tmp_path):
    lines = [line(-1_300, SNAPSHOT)]
    lines += [line(i * 10 - 1_300 + i % 7, depth(i + 11, i + 11, i * 10, [("99.00", "1")])) for i in range(200)]
    report = import_binance_raw([write(tmp_path / "a", lines)], tmp_path / "tape")
    data = Tape.open(tmp_path / "tape").data
    delays = (data.ts_local - data.ts) / MS
    assert delays.min() >= 1 and delays.max() <= 8.1
    assert report.notes["receipts_before_venue_share"] == 1.0
    assert report.notes["receipt_shift_ms"]["first"] == pytest.approx(1_301, abs=1)


def test_receipts_after_the_venue_are_left_alone():
    ts = np.arange(0, 10**10, 10**7)
    assert (estimate(ts + 5, ts).correct(ts + 5) == ts + 5).all()


def test_wandering_clock_is_followed():
    ts = np.arange(0, 3_600 * 10**9, 10**8)
    wander = (np.sin(ts / 1e12) * 1e8).astype(np.int64)
    latency = np.random.default_rng(1).exponential(5e6, len(ts)).astype(np.int64) + MS
    receipts = ts + wander + latency
    off = np.abs(estimate(receipts, ts).correct(receipts) - ts - latency)
    assert np.quantile(off, 0.9) < 10 * MS


def test_placing_never_lets_time_fall():
    data = columns([(10, 50, codes.BID, 1, 1, 1), (10, 30, codes.BEST_BID, 1, 1, 1), (10, 20, codes.BEST_ASK, 1, 1, 1)])
    assert place_untimed(data, 1, 0).ts.tolist() == [10, 29, 29]


@pytest.mark.parametrize("packed", [False, True])
def test_cut_off_file_is_refused_by_name_and_line_and_leaves_nothing(tmp_path, packed):
    raw = b"".join(capture())
    path = tmp_path / "capture.gz"
    path.write_bytes(gzip.compress(raw, mtime=0)[:-30] if packed else raw[:-20])
    with pytest.raises(DataError, match=r"capture\.gz.* line \d") as caught:
        import_binance_raw([path], tmp_path / "tape")
    assert caught.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["capture.gz"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "is empty"),
        (b"hello world\n", "local time"),
        (b"123 [1,2]\n", "JSON object"),
        (b'123 {"e":"kline"}\n', r"line 1: the local time must be .* between 2009 and 2100, was 123"),
        (b'1700000000000000 {"e":"depthUpdate","s":"BTCUSDT"}\n', r"line 1: not a Binance message \(lacks 'U'\)"),
        (b'1700000000000000 {"e":"kline"}\n', "no message|no depth update"),
    ],
)
def test_foreign_files_are_refused(tmp_path, text, match):
    path = tmp_path / "capture"
    path.write_bytes(text)
    with pytest.raises(DataError, match=match):
        import_binance_raw([path], tmp_path / "tape", symbol="BTCUSDT" if b"kline" in text else None)
    assert not (tmp_path / "tape").exists()


def test_price_off_the_given_tick_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match=r"/a, line 2: price must be a multiple of the tick size 0\.1, was 101\.01"):
        import_binance_raw([write(tmp_path / "a", capture())], tmp_path / "tape", tick_size="0.1")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_several_symbols_have_to_be_told_apart(tmp_path):
    lines = [*capture()[2:], line(300, {**depth(1, 2, 300), "s": "ETHUSDT"})]
    path = write(tmp_path / "a", lines)
    with pytest.raises(DataError, match="several symbols"):
        import_binance_raw([path], tmp_path / "tape")
    assert import_binance_raw([path], tmp_path / "tape", symbol="BTCUSDT").symbol == "BTCUSDT"
    with pytest.raises(UsageError, match="already exists"):
        import_binance_raw([path], tmp_path / "tape", symbol="BTCUSDT")


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recorded markets are not here")
def test_nexousdt_recording_has_no_gap(tmp_path):
    report = import_binance_raw([DATA / "binance_spot_nexousdt/nexousdt_20240723.dat.gz"], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert report.gaps == 0 and report.notes["missing_trade_ids"] == 0
    assert (tape.instrument.tick_size, tape.instrument.lot_size) == ("0.001", "0.01")
    assert (tape.data.ts_local >= tape.data.ts).all()

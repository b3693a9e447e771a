"""Files of Binance's public data set, written here in its forms."""

import pytest

from tests.market.importers.playback import T0, listed, packets, play, zipped
from tidewright.market import codes
from tidewright.market.errors import DataError, UsageError
from tidewright.market.importers.binance_dumps import import_binance_dumps
from tidewright.market.tape import Tape

# (ms, price, quantity, the buyer was the maker)
PRINTS = [(0, "61000.10", "0.00500", False), (0, "61000.10", "0.01000", False), (42, "61000.00", "1.25000", True)]


def spot_trades(unit: int = 1, prints: list = PRINTS) -> str:
    text = ""
    for i, (ms, price, qty, maker) in enumerate(prints):
        text += f"{51175358 + i},{price}000000,{qty}000,305.0005,{(T0 + ms) * unit},{maker},True\n"
    return text


def futures_trades(header: bool) -> str:
    text = "id,price,qty,quote_qty,time,is_buyer_maker\n" if header else ""
    for i, (ms, price, qty, maker) in enumerate(PRINTS):
        text += f"{5000 + i},{price},{qty},305.0,{T0 + ms},{str(maker).lower()}\n"
    return text


def aggregated(header: str, spot: bool) -> str:
    text = header
    for i, (ms, price, qty, maker) in enumerate(PRINTS):
        text += f"{900 + i},{price},{qty},{i},{i},{T0 + ms},{maker}{',True' if spot else ''}\n"
    return text


EXPECTED = [(0, "trade_buy", 610001, 5), (0, "trade_buy", 610001, 10), (42, "trade_sell", 610000, 1250)]
HEADER = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
OLD_HEADER = HEADER.replace("agg_trade_id", "agg_tradeId")


@pytest.mark.parametrize(
    ("name", "text", "kind", "detail"),
    [
        ("BTCUSDT-trades-2023-11-14", spot_trades(), "spot", "trades"),
        ("BTCUSDT-trades-2025-01-14", spot_trades(1_000), "spot", "trades"),
        ("BTCUSDT-trades-2021-11-14", futures_trades(False), "linear", "trades"),
        ("BTCUSDT-trades-2024-11-14", futures_trades(True), "linear", "trades"),
        ("BTCUSDT-aggTrades-2023-11-14", aggregated("", True), "spot", "aggregated trades"),
        ("BTCUSDT-aggTrades-2023-11-14", aggregated("", False), "linear", "aggregated trades"),
        ("BTCUSDT_240628-aggTrades-2023-11", aggregated(HEADER, False), "linear", "aggregated trades"),
        ("BTCUSD_PERP-aggTrades-2023-11-14", aggregated(OLD_HEADER, False), "inverse", "aggregated trades"),
    ],
)
def test_prints_of_every_form_and_unit_of_time(tmp_path, name, text, kind, detail):
    report = import_binance_dumps([zipped(tmp_path / f"{name}.zip", text)], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert listed(tape) == EXPECTED and (tape.data.flags == codes.PACKET_END).all()
    assert (tape.instrument.kind, tape.instrument.symbol) == (kind, name.partition("-")[0])
    assert report.detail == detail and not tape.data.ts_local.any()
    assert report.notes["receipts"].startswith("not recorded") and report.notes["missing_trade_ids"] == 0


def test_book_ticker_and_trades_are_merged_by_matching_time(tmp_path):
    text = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    text += f"1,60999.9,2.000,61000.1,0.500,{T0 - 5},{T0 - 1}\n2,60999.9,2.000,61000.1,0.485,{T0},{T0 + 4}\n"
    text += f"3,61000.0,2.000,61000.1,0.485,{T0 + 43},{T0 + 45}\n"
    files = [
        zipped(tmp_path / "BTCUSDT-trades-2023-11-14.zip", futures_trades(True)),
        zipped(tmp_path / "BTCUSDT-bookTicker-2023-11-14.zip", text),
    ]
    report = import_binance_dumps(files, tmp_path / "tape", quote_ticks=3)
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [
        ["reset", "best_bid", "best_ask"],
        ["trade_buy"],
        ["trade_buy"],
        ["best_ask"],
        ["trade_sell"],
        ["best_bid"],
    ]
    assert report.detail == "best bid/ask+trades" and play(tape)[0][610000] == 2_000
    assert tape.instrument.kind == "linear"


def test_ticker_out_of_order_is_refused_unless_sorted(tmp_path):
    rows = [(1, 10.0, T0 + 9_000), (2, 11.0, T0), (3, 12.0, T0 + 10_000)]
    text = "".join(f"{i},{bid},1,20,1,{time},{time}\n" for i, bid, time in rows)
    file = zipped(tmp_path / "BTCUSDT-bookTicker-2023-11-14.zip", text)
    with pytest.raises(
        DataError, match=r"line 2: time falls from 2023-11-14T22:13:29.000Z to 2023-11-14T22:13:20.000Z"
    ):
        import_binance_dumps([file], tmp_path / "tape")
    import_binance_dumps([file], tmp_path / "tape", sort=True)
    assert [row[2] for row in listed(Tape.open(tmp_path / "tape")) if row[1] == "best_bid"] == [11, 10, 12]


def kline(minute: int, values: str, unit: int = 1) -> str:
    start = (T0 // 60_000 + minute) * 60_000 * unit
    return f"{start},{values},{start + 60_000 * unit - 1},900.0,12,1.0,100.0,0\n"


def test_klines_are_prints_at_their_four_prices_known_at_their_end(tmp_path):
    text = (
        kline(0, "100.0,102.0,99.0,101.0,8.2") + kline(1, "101.0,101.5,98.0,98.5,4") + kline(2, "98.5,98.5,98.5,98.5,0")
    )
    text += kline(5, "98.5,99,98,99,4")
    t0 = T0 // 60_000 * 60_000
    report = import_binance_dumps([zipped(tmp_path / "BTCUSDT-1m-2023-11.zip", text)], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    rows = listed(tape, t0)
    assert [(round(ms), kind[:5], price, qty) for ms, kind, price, qty in rows] == [
        (0, "trade", 1000, 20),
        (20_000, "trade", 990, 20),
        (40_000, "trade", 1020, 20),
        (60_000, "trade", 1010, 22),
        (60_000, "trade", 1010, 10),
        (80_000, "trade", 1015, 10),
        (100_000, "trade", 980, 10),
        (120_000, "trade", 985, 10),
        (180_000, "gap", 0, 0),
        (300_000, "trade", 985, 10),
        (320_000, "trade", 980, 10),
        (340_000, "trade", 990, 10),
        (360_000, "trade", 990, 10),
    ]
    ends = ((tape.data.ts_local / 1e6 - t0) / 60_000).tolist()
    assert ends == [1] * 4 + [2] * 4 + [3] + [6] * 4
    prints = tape.data.kind == codes.TRADE_UNKNOWN
    assert (tape.data.flags[prints] & codes.INFERRED != 0).all()
    assert report.detail == "bars 1m (inferred prints)"
    assert (report.notes["bars"], report.notes["bars_without_volume"], report.notes["bars_missing"]) == (4, 1, 2)


def test_bars_with_assumed_quotes_start_a_book_and_again_after_a_gap(tmp_path):
    text = kline(0, "100.0,102.0,99.0,101.0,8") + kline(1, "101.0,101.5,98.0,98.5,4") + kline(3, "98.5,99,98,99,4")
    report = import_binance_dumps([zipped(tmp_path / "BTCUSDT-1m-2023-11.zip", text)], tmp_path / "tape", quote_ticks=2)
    found = packets(Tape.open(tmp_path / "tape"))
    assert [i for i, packet in enumerate(found) if "reset" in packet] == [0, 9] and found[8] == ["gap"]
    assert report.detail == "bars 1m (inferred prints, assumed quotes)"


TICKER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"


def ticker(bid: str, quantity: str) -> str:
    return f"{TICKER}1,60999.9,2.0,61000.1,0.5,{T0},{T0}\n2,{bid},{quantity},61000.1,0.4,{T0 + 1},{T0 + 1}\n"


def test_empty_side_of_a_ticker_is_zero_and_zero(tmp_path):
    file = zipped(tmp_path / "BTCUSDT-bookTicker-2023-11-14.zip", ticker("0", "0"))
    report = import_binance_dumps([file], tmp_path / "tape")
    assert report.rows == 4 and report.check["usable"]


def test_files_of_one_kind_may_have_other_columns(tmp_path):
    files = [
        zipped(tmp_path / "BTCUSDT-trades-1.zip", futures_trades(True)),
        zipped(tmp_path / "BTCUSDT-trades-2.zip", spot_trades()),
    ]
    assert import_binance_dumps(files, tmp_path / "tape").trades == 6


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (kline(0, "100,99,98,99,1") + kline(1, "100,100,100,100,1"), r"line 1: high must be the highest"),
        (kline(0, "100,101,100.5,100.7,1") + kline(1, "1,1,1,1,1"), r"line 1: low must be the lowest"),
        (kline(0, "1,1,1,1,1") + kline(0, "1,1,1,1,1"), r"line 2: open_time must be later"),
        (kline(0, "1,1,1,1,1"), "at least two bars"),
        (kline(0, "1,1,1,0,1") + kline(1, "1,1,1,1,1"), r"line 1: close must be > 0, was '0'"),
        (spot_trades().replace("True,True", "maybe,True"), r"line 3: is_buyer_maker must be true or false"),
        (spot_trades(prints=[*PRINTS, (43, "0.0", "1.0", True)]), r"line 4: price must be > 0"),
        (spot_trades() + "123,1.0\n", r"line 4: must have 7 fields, has 2"),
        (spot_trades() + spot_trades()[:-6] + "\n", r"line 6: must have 7 fields, has 6"),
        (spot_trades() + "\n" + spot_trades().replace("True\n", "True,1\n"), r"line 5: must have 7 fields, has 8"),
        (spot_trades(prints=[*PRINTS, (43, "1e300", "1.0", True)]).replace("1e300000000", "1e300"), r"line 4: price"),
        (spot_trades() + spot_trades().replace("True,True", "Tr\udcffue,True"), r"line 6: not a text"),
        (ticker("", "0.485"), r"line 3: best_bid_price must be a finite number, was ''"),
        (ticker("60999.9", ""), r"line 3: best_bid_qty must be a finite number, was ''"),
        (ticker("0", "2.0"), r"line 3: best_bid_price must be > 0 where there is a quantity, was '0'"),
        (ticker("1e300", "2.0"), r"line 3: best_bid_price must be >= 0 and under 1e15, was '1e300'"),
        ("what,is,this\n1,2,3\n", "line 1: neither trades, aggTrades"),
    ],
)
def test_damage_is_reported_with_file_and_line_and_leaves_nothing(tmp_path, text, match):
    file = zipped(tmp_path / "BTCUSDT-1m-2023-11.zip", text)
    with pytest.raises(DataError, match=match):
        import_binance_dumps([file], tmp_path / "tape")
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_damaged_archives_are_refused(tmp_path):
    good = zipped(tmp_path / "BTCUSDT-trades-2023-11-14.zip", spot_trades(prints=PRINTS * 500)).read_bytes()
    cut, flipped = tmp_path / "BTCUSDT-trades-1.zip", tmp_path / "BTCUSDT-trades-2.zip"
    cut.write_bytes(good[: len(good) // 2])
    middle = len(good) // 3
    flipped.write_bytes(good[:middle] + bytes([good[middle] ^ 0xFF]) + good[middle + 1 :])
    with pytest.raises(DataError, match=r"1\.zip, after line \d{3}: the packed data is cut off"):
        import_binance_dumps([cut], tmp_path / "tape")
    with pytest.raises(DataError, match=r"2\.zip, in line \d{3,4} or before it: the packed data is damaged"):
        import_binance_dumps([flipped], tmp_path / "tape")
    with pytest.raises(DataError, match="exactly one file, holds 2"):
        import_binance_dumps([zipped(tmp_path / "BTCUSDT-trades-3.zip", spot_trades(), "x")], tmp_path / "tape")
    assert not (tmp_path / "tape").exists()


def test_what_does_not_go_together_is_refused(tmp_path):
    trades = zipped(tmp_path / "BTCUSDT-trades-1.zip", spot_trades())
    same = zipped(tmp_path / "BTCUSDT-aggTrades-1.zip", aggregated("", True))
    other = zipped(tmp_path / "ETHUSDT-trades-1.zip", spot_trades())
    bars = zipped(tmp_path / "BTCUSDT-1m-1.zip", kline(0, "1,1,1,1,1"))
    for files, error, match in (
        ([trades, same], DataError, "the same prints"),
        ([trades, bars], DataError, "klines cannot be put"),
        ([trades, other], UsageError, "several symbols: BTCUSDT, ETHUSDT"),
    ):
        with pytest.raises(error, match=match):
            import_binance_dumps(files, tmp_path / "tape")

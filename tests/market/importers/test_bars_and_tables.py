"""freqtrade's candles, Coinbase's levels and tables by a column map."""

import gzip

import numpy as np
import orjson
import polars as pl
import pytest

from tests.market.importers.playback import DATA, T0, gz, listed, packets, play, zipped
from tidewright.market import codes
from tidewright.market.errors import DataError, NotFoundError, UsageError
from tidewright.market.importers.coinbase_l2 import import_coinbase_l2
from tidewright.market.importers.column_map import parse_columns
from tidewright.market.importers.freqtrade_bars import import_freqtrade
from tidewright.market.importers.generic_table import import_table
from tidewright.market.tape import Tape

M0 = T0 // 60_000 * 60_000
CANDLES = [
    [M0, 10.0, 12.0, 9.5, 11.0, 8.0],
    [M0 + 60_000, 11.0, 11.0, 10.0, 10.5, 4.0],
    [M0 + 120_000, 10.5, 10.5, 10.5, 10.5, 0.004],
]


def feather(path, candles=CANDLES):
    frame = pl.DataFrame(candles, ["date", "open", "high", "low", "close", "volume"], orient="row")
    frame = frame.with_columns(pl.col("date").cast(pl.Datetime("ms", "UTC")))
    frame.write_ipc(path, compression="lz4")
    return path


@pytest.mark.parametrize("form", ["feather", "parquet", "json", "json.gz"])
def test_candles_of_every_file_form_are_the_same_tape(tmp_path, form):
    path = tmp_path / f"BTC_USDT-1m.{form}"
    if form == "json":
        path.write_bytes(orjson.dumps(CANDLES))
    elif form == "json.gz":
        path.write_bytes(gzip.compress(orjson.dumps(CANDLES)))
    elif form == "parquet":
        pl.read_ipc(feather(tmp_path / "x")).write_parquet(path)
    else:
        feather(path)
    report = import_freqtrade([path], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert (report.symbol, tape.instrument.base, tape.instrument.kind) == ("BTC/USDT", "BTC", "spot")
    assert [price for _, _, price, _ in listed(tape)] == [100, 95, 120, 110, 110, 110, 100, 105, 105, 105, 105, 105]
    assert report.detail == "bars 1m (inferred prints)" and tape.instrument.lot_size == "0.001"
    assert int(tape.data.qty.sum()) == 12_004, "volume is shared out without loss"


def test_names_of_pairs(tmp_path):
    for name, symbol, kind in (
        ("ETHUSDT_5m_2024-03.feather", "ETHUSDT", "spot"),
        ("BTC_USDT_USDT-4h-futures.feather", "BTC/USDT", "linear"),
    ):
        import_freqtrade([feather(tmp_path / name)], tmp_path / symbol.replace("/", ""))
        instrument = Tape.open(tmp_path / symbol.replace("/", "")).instrument
        assert (instrument.symbol, instrument.kind) == (symbol, kind)
    with pytest.raises(UsageError, match="no pair"):
        import_freqtrade([feather(tmp_path / "candles.feather")], tmp_path / "tape")


def test_broken_candles_are_refused(tmp_path):
    whole = feather(tmp_path / "A_USDT-1m.feather").read_bytes()
    cases = {
        "cut": (
            whole[: len(whole) // 2],
            "cut is cut off or damaged: the directory at the end of the feather file is missing",
        ),
        "text": (b"hello", "neither feather, parquet nor JSON"),
        "object": (b'{"a":1}', "must be a JSON array"),
        "short": (b"[[1,2,3]]", "row 1: a candle is"),
        "unfinished": (b"[[1,2,3,4,5,6],\n[7", "line 2, column 3: neither feather, parquet nor JSON, or cut off"),
        "nested": (b"[[1700000000000,1,1,1,1,1],[1700000060000,[],1,1,1,1]]", "row 2: a candle is numbers"),
        "words": (orjson.dumps([[M0, "a", 1, 1, 1, 1], [M0, 1, 1, 1, 1, 1]]), "row 1: a candle is numbers"),
        "high": (orjson.dumps([CANDLES[0], [M0 + 60_000, 10, 9, 8, 9, 1]]), "row 2: high must be the highest"),
        "twice": (orjson.dumps([CANDLES[0], CANDLES[0]]), "row 2: date must be later"),
        "empty": (b"", "is empty"),
    }
    for name, (content, match) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=match):
            import_freqtrade([tmp_path / name], tmp_path / "tape", symbol="BTC/USDT")
    assert not list(tmp_path.glob("*tape*"))


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recorded markets are not here")
def test_recorded_candles_keep_their_prices_and_volume(tmp_path):
    path = DATA / "klines" / "BTCUSDT_1m_2024-07-26_2024-08-25.feather"
    report = import_freqtrade([path], tmp_path / "tape")
    tape, frame = Tape.open(tmp_path / "tape"), pl.read_ipc(path)
    assert report.trades == 4 * len(frame) and report.check["usable"]
    assert tape.data.price.min() == round(frame["low"].min() * 100)
    assert int(tape.data.qty.sum()) == round(frame["volume"].sum() * 1e5)
    assert (tape.data.price[3::4] == np.rint(frame["close"].to_numpy() * 100)).all()
    assert (tape.data.ts_local[3::4] - tape.data.ts[3::4] == 1).all()


# -- Coinbase ---------------------------------------------------------------------------------------------------------

CHANGES = """side,price,size,time
buy,99.99,0.0,2018-04-24T03:52:17.202Z
sell,100.02,0.11244000000000001,2018-04-24T03:52:17.210Z
"""


def test_coinbase_snapshot_and_changes(tmp_path):
    bids = gz(tmp_path / "bids.csv.gz", "side,price,size\nbuy,100,0.5\nbuy,99.99,1\n")
    asks = gz(tmp_path / "asks.csv.gz", "side,price,size\nsell,100.01,2\nsell,9999999999,0.01\n")
    later = CHANGES.replace("03:52", "03:53")
    files = [gz(tmp_path / "b.csv.gz", later), gz(tmp_path / "a.csv.gz", CHANGES), asks, bids]
    report = import_coinbase_l2(files, tmp_path / "tape", symbol="BTC-USD")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [["reset", "ask", "ask", "bid", "bid"], ["bid"], ["ask"], ["bid"], ["ask"]]
    assert tape.data.ts[0] == tape.data.ts[5] == 1524541937202 * 1_000_000
    assert tape.instrument.lot_size == "0.00001" and play(tape)[1][10002] == 11244
    assert report.detail == "L2" and "no trades" in report.check["findings"]


def test_coinbase_without_a_snapshot_and_in_newer_names(tmp_path):
    text = CHANGES.replace("price,size,time", "price_level,new_quantity,event_time").replace("sell", "offer")
    report = import_coinbase_l2([gz(tmp_path / "a.csv.gz", text)], tmp_path / "tape", symbol="BTC-USD")
    assert report.notes["snapshots_inferred"] == 1 and packets(Tape.open(tmp_path / "tape"))[0] == ["reset", "bid"]


def test_broken_coinbase_files_are_refused(tmp_path):
    good = gz(tmp_path / "good.csv.gz", CHANGES)
    twice = gz(tmp_path / "twice.csv.gz", "side,price,size\nbuy,100,1\nbuy,100,2\n")
    late = gz(tmp_path / "late.csv.gz", CHANGES + "buy,1,1,2018-04-24T03:52:10Z\n")
    names = gz(tmp_path / "names.csv.gz", "a,b\n1,2\n")
    when = gz(tmp_path / "when.csv.gz", CHANGES + "buy,1,1,yesterday\n")
    for files, match in (
        ([good, twice], "a price comes twice"),
        ([twice], "no change of a level"),
        ([late], r"late\.csv\.gz, line 4: time falls"),
        ([names], "line 1: must have the columns"),
        ([when], r"line 4: time must be a time .*was 'yesterday'"),
    ):
        with pytest.raises(DataError, match=match):
            import_coinbase_l2(files, tmp_path / "tape", symbol="BTC-USD")
    assert not list(tmp_path.glob("*tape*"))


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recorded markets are not here")
def test_recorded_coinbase_quarter_of_an_hour_never_crosses(tmp_path):
    folder = DATA / "coinbase_btcusd_2018"
    files = [folder / name for name in ("l2update_15min_1.csv.gz", "snapshot_asks.csv.gz", "snapshot_bids.csv.gz")]
    report = import_coinbase_l2(files, tmp_path / "tape", symbol="BTC-USD")
    assert report.packets == 48_463 and report.notes["snapshot_levels"] == 27_819
    assert not any("crossed" in finding or "locked" in finding for finding in report.check["findings"])


# -- tables -----------------------------------------------------------------------------------------------------------


def run(tmp_path, text, columns, **more):
    path = tmp_path / "table.csv"
    path.write_text(text)
    import_table([path], tmp_path / "tape", symbol="BTC-USD", columns=parse_columns(columns), **more)
    return Tape.open(tmp_path / "tape")


def test_trades_by_names_with_receipts_and_seconds(tmp_path):
    second = T0 / 1_000
    text = f"px,when,got,who,n\n10.5,{second + 0.25},{second + 0.5},Buy,1\n10.5,{second + 0.75},{second + 1},,2\n"
    tape = run(tmp_path, text, "ts=when,local=got,price=px,qty=n,side=who", venue="mine", kind="linear")
    assert listed(tape) == [(250, "trade_buy", 105, 1), (750, "trade_unknown", 105, 2)]
    assert (tape.data.ts_local - tape.data.ts == 250_000_000).all()
    assert (tape.instrument.venue, tape.instrument.kind) == ("mine", "linear")


def test_levels_with_and_without_snapshots(tmp_path):
    text = "t,s,p,q,snap\n" + "".join(
        f"2023-11-14T22:13:20.{ms:03d}Z,{side},{price},{qty},{snap}\n"
        for ms, side, price, qty, snap in (
            (0, "b", 10, 1, 1),
            (0, "a", 11, 1, 1),
            (5, "b", 10, 0, 0),
            (5, "b", 9, 2, 0),
        )
    )
    tape = run(tmp_path, text, "ts=t,side=s,price=p,qty=q,snapshot=snap")
    assert packets(tape) == [["reset", "bid", "ask"], ["bid", "bid"]] and play(tape) == ({9: 2}, {11: 1})
    path = tmp_path / "table.csv"
    import_table(
        [path], tmp_path / "bare", symbol="X-USD", columns=parse_columns("ts=t,side=s,price=p,qty=q"), rows="levels"
    )
    bare = Tape.open(tmp_path / "bare")
    assert packets(bare) == packets(tape) and (bare.data.flags[1:3] & codes.INFERRED != 0).all()


def test_quotes_and_bars_and_typed_times(tmp_path):
    quotes = run(
        tmp_path, f"t,b,bq,a,aq\n{T0},1,2,3,4\n{T0 + 1},1,2,3,5\n", "ts=t,bid_price=b,bid_qty=bq,ask_price=a,ask_qty=aq"
    )
    assert packets(quotes) == [["reset", "best_bid", "best_ask"], ["best_ask"]]
    frame = pl.DataFrame(CANDLES, ["date", "o", "h", "l", "c", "v"], orient="row")
    frame = frame.with_columns(pl.col("date").cast(pl.Datetime("us")))
    frame.with_columns(pl.from_epoch(pl.lit(M0) + 60_000 * pl.int_range(3), "ms").alias("date")).write_parquet(
        tmp_path / "bars"
    )
    columns = parse_columns("ts=date,open=o,high=h,low=l,close=c,volume=v")
    report = import_table([tmp_path / "bars"], tmp_path / "bar_tape", symbol="BTC-USD", columns=columns)
    assert report.detail == "bars 1m (inferred prints)" and report.trades == 12


def test_rows_out_of_order_are_refused_or_sorted(tmp_path):
    text = f"t,p,q\n{T0 + 5_000},10,1\n{T0},11,1\n"
    with pytest.raises(DataError, match=r"table\.csv, line 3: time falls .*--sort"):
        run(tmp_path, text, "ts=t,price=p,qty=q")
    assert [row[2] for row in listed(run(tmp_path, text, "ts=t,price=p,qty=q", sort=True))] == [11, 10]


def test_mistakes_in_the_map_say_what_is_possible(tmp_path):
    for text, match in (
        ("ts", "name=column"),
        ("ts=a,ts=b", "given twice"),
        ("when=a", "columns can be named ask_price, ask_qty,"),
        ("ts=t,price=p", "a table of trades needs the columns ts, price, qty; not given: qty"),
        ("ts=t,price=p,qty=q,bid_price=p", "has no use for the columns bid_price"),
        ("ts=t,price=p,qty=q,side=s,buyer_maker=s", "say the same"),
    ):
        with pytest.raises(UsageError, match=match):
            run(tmp_path, f"t,p,q,s\n{T0},1,1,buy\n", text)
    with pytest.raises(UsageError, match="one of bars, quotes, levels, trades"):
        run(tmp_path, f"t,p,q\n{T0},1,1\n", "ts=t,price=p,qty=q", rows="candles")
    with pytest.raises(DataError, match=r"table\.csv, line 1: lacks the columns price; it has t, p, q"):
        run(tmp_path, f"t,p,q\n{T0},1,1\n", "ts=t,price=price,qty=q")
    pl.DataFrame({"t": [T0]}).write_parquet(tmp_path / "p")
    with pytest.raises(DataError, match="lacks the columns p, q"):
        import_table([tmp_path / "p"], tmp_path / "tape", symbol="X-USD", columns=parse_columns("ts=t,price=p,qty=q"))
    with pytest.raises(NotFoundError, match="no input file"):
        import_table(
            [tmp_path / "none"], tmp_path / "tape", symbol="X-USD", columns=parse_columns("ts=t,price=p,qty=q")
        )


def test_packed_tables_and_unknown_packing(tmp_path):
    columns = parse_columns("ts=t,price=p,qty=q,buyer_maker=m")
    packed = zipped(tmp_path / "a.zip", f"t,p,q,m\r\n{T0},1,1,true\r\n\r\n{T0},2,1,false")
    import_table([packed], tmp_path / "tape", symbol="BTC-USD", columns=columns)
    assert [row[1:3] for row in listed(Tape.open(tmp_path / "tape"))] == [("trade_sell", 1), ("trade_buy", 2)]
    (tmp_path / "z").write_bytes(b"\x28\xb5\x2f\xfd rest")
    with pytest.raises(DataError, match="packed with zstd"):
        import_table([tmp_path / "z"], tmp_path / "other", symbol="BTC-USD", columns=columns)


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recorded markets are not here")
def test_recorded_day_of_trades(tmp_path):
    path = DATA / "binance_trades_day" / "btcusdt_trades_2022-01-15.parquet"
    columns = parse_columns("ts=timestamp,price=price,qty=quantity")
    report = import_table([path], tmp_path / "tape", symbol="BTCUSDT", columns=columns)
    tape = Tape.open(tmp_path / "tape")
    assert report.trades == 451_466 and (tape.instrument.tick_size, tape.instrument.lot_size) == ("0.01", "0.00001")
    assert int(tape.data.qty.sum()) == round(pl.read_parquet(path)["quantity"].sum() * 1e5)

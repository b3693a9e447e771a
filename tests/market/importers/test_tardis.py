import gzip
import random

import numpy as np
import pytest

from tests.market.importers.playback import T0, gz, listed, packets, play
from tidewright.market import codes
from tidewright.market.errors import DataError, UsageError
from tidewright.market.importers.tardis import import_tardis
from tidewright.market.tape import Tape

US = 1_000  # µs a ms
HEAD = "exchange,symbol,timestamp,local_timestamp"
NAME = "binance-futures,BTCUSDT"


def book(*lines: tuple) -> str:
    """Lines of (ms, ms received, snapshot, side, price, amount)."""
    text = f"{HEAD},is_snapshot,side,price,amount\n"
    for ms, local, snapshot, side, price, amount in lines:
        flag = "true" if snapshot else "false"
        text += f"{NAME},{int((T0 + ms) * US)},{int((T0 + local) * US)},{flag},{side},{price},{amount}\n"
    return text


def trades(*lines: tuple) -> str:
    text = f"{HEAD},id,side,price,amount\n"
    for i, (ms, local, side, price, amount) in enumerate(lines):
        text += f"{NAME},{int((T0 + ms) * US)},{int((T0 + local) * US)},{i},{side},{price},{amount}\n"
    return text


START = [(0, 5, 1, "bid", "100.1", "1.5"), (0, 5, 1, "bid", "100", "2"), (0, 5, 1, "ask", "100.3", "0.25")]


def test_levels_and_trades_become_packets_in_order_of_venue_time(tmp_path):
    levels = gz(
        tmp_path / "binance-futures_incremental_book_L2_2023-11-14_BTCUSDT.csv.gz",
        book(
            (-9, -3, 0, "bid", "99.9", "7"),  # before the first snapshot: buffered by the recorder
            *START,
            (10, 15, 0, "bid", "100.1", "0"),
            (10, 15, 0, "bid", "100.2", "3"),
            (12, 17, 0, "ask", "100.3", "0.2"),
        ),
    )
    prints = gz(tmp_path / "trades.csv.gz", trades((11, 17, "buy", "100.3", "0.05"), (13, 20, "unknown", "100.2", "1")))
    report = import_tardis([levels, prints], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [["reset", "bid", "bid", "ask"], ["bid", "bid"], ["trade_buy"], ["ask"], ["trade_unknown"]]
    assert listed(tape)[4:] == [
        (10, "bid", 1001, 0),
        (10, "bid", 1002, 300),
        (11, "trade_buy", 1003, 5),
        (12, "ask", 1003, 20),
        (13, "trade_unknown", 1002, 100),
    ]
    assert (tape.data.ts_local - tape.data.ts).tolist()[4:] == [5e6, 5e6, 6e6, 5e6, 7e6]
    assert tape.meta["detail"] == report.detail == "L2+trades"
    instrument = tape.instrument
    assert (instrument.venue, instrument.kind, instrument.tick_size) == ("binance-futures", "linear", "0.1")
    assert (instrument.base, instrument.quote, instrument.lot_size, instrument.maker_fee) == (
        "BTC",
        "USDT",
        "0.01",
        20_000,
    )
    assert report.notes["rows_before_a_snapshot"] == 1 and report.notes["snapshots"] == 1
    assert report.check["usable"] and "1 of 2 trades (50.0 %) are of unknown side" in report.check["findings"]


def test_second_snapshot_ends_a_gap_and_empties_the_book(tmp_path):
    again = [(20, 26, 1, "bid", "90", "1"), (20, 26, 1, "ask", "91", "1")]
    file = gz(tmp_path / "book.csv.gz", book(*START, (10, 15, 0, "bid", "100.2", "3"), *again))
    prints = gz(tmp_path / "trades.csv.gz", trades((15, 19, "sell", "100.2", "1")))
    report = import_tardis([file, prints], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape)[1:] == [["bid"], ["gap"], ["trade_sell"], ["reset", "bid", "ask"]]
    assert [row[0] for row in listed(tape)][5:8] == [10, 15, 20] and play(tape) == ({900: 100}, {910: 100})
    assert (report.gaps, report.notes["snapshots"], report.notes["reconnections"]) == (1, 2, 1)
    snapshot = tape.data.flags & codes.SNAPSHOT
    assert (snapshot != 0).tolist() == [False, True, True, True, False, False, False, False, True, True]


def test_snapshot_that_begins_a_day_is_no_gap(tmp_path):
    midnight = (1_700_006_400_000 - T0) // 1  # 2023-11-15T00:00:00Z
    first = gz(tmp_path / "1.csv.gz", book(*START, (midnight - 40, midnight - 30, 0, "bid", "100.2", "3")))
    again = [(midnight + 5, midnight + 5, 1, side, price, "1") for side, price in (("bid", "90"), ("ask", "91"))]
    report = import_tardis([first, gz(tmp_path / "2.csv.gz", book(*again))], tmp_path / "tape")
    assert (report.gaps, report.notes["snapshots"], report.notes["reconnections"]) == (0, 2, 0)


def test_packets_stay_whole_over_reading_blocks_and_days(tmp_path):
    dice = random.Random(5)
    lines = list(START)
    for i in range(16_000):
        lines += [(i, i + 6, 0, "bid", f"{100 - dice.randrange(50) / 10:.1f}", dice.randrange(9)) for _ in range(4)]
    half = 3 + 4 * 15_500
    gz(tmp_path / "b.csv.gz", book(*lines[half:]))
    text = book(*lines[:half])
    assert len(text) > 4 << 20, "several blocks"
    first = gz(tmp_path / "a.csv.gz", text)
    report = import_tardis([tmp_path / "b.csv.gz", first], tmp_path / "tape", lot_size="0.01")
    tape = Tape.open(tmp_path / "tape")
    assert report.packets == 16_001 and {len(p) for p in packets(tape)} == {4}
    expected: dict[int, int] = {}
    for *_, side, price, amount in lines:
        if side == "bid":
            expected[round(float(price) * 10)] = round(float(amount) * 100)
    assert play(tape)[0] == {price: qty for price, qty in expected.items() if qty}


def test_book_snapshots_become_differences(tmp_path):
    levels = ",".join(f"asks[{i}].price,asks[{i}].amount,bids[{i}].price,bids[{i}].amount" for i in range(5))

    def row(ms: int, asks: list, bids: list) -> str:
        cells = [f"{NAME},{(T0 + ms) * US},{(T0 + ms + 4) * US}"]
        for i in range(5):
            cells += [f"{p},{q}" if p else "," for p, q in (asks[i : i + 1] or [("", "")])]
            cells += [f"{p},{q}" if p else "," for p, q in (bids[i : i + 1] or [("", "")])]
        return ",".join(cells) + "\n"

    text = f"{HEAD},{levels}\n" + row(0, [("10.5", 1), ("11", 2)], [("10", 1)])
    text += row(7, [("10.5", 1), ("11", 2)], [("10", 1)])  # nothing changed
    text += row(9, [("10.5", "0.5")], [("10", 1), ("9.5", 4)])
    prints = gz(tmp_path / "t.csv.gz", trades((9, 13, "buy", "10.5", "0.5")))
    report = import_tardis([gz(tmp_path / "binance_book_snapshot_5.csv.gz", text), prints], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [["reset", "bid", "ask", "ask"], ["trade_buy"], ["bid", "ask", "ask"]]
    assert play(tape) == ({100: 10, 95: 40}, {105: 5})
    assert report.detail == "book snapshots+trades" and report.notes["snapshots"] == 3


def test_quotes_become_best_rows_where_they_changed(tmp_path):
    text = f"{HEAD},ask_amount,ask_price,bid_price,bid_amount\n"
    for ms, *cells in [(0, 1, 10.5, 10, 2), (1, 1, 10.5, 10, 2), (2, 1, 10.5, 10.5, 2), (3, "", "", 10, 1)]:
        text += f"{NAME},{(T0 + ms) * US},{(T0 + ms + 5) * US},{','.join(map(str, cells))}\n"
    report = import_tardis([gz(tmp_path / "quotes.csv.gz", text)], tmp_path / "tape")
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [["reset", "best_bid", "best_ask"], ["best_bid"], ["best_bid"]]
    assert report.notes["quotes_without_change"] == 1 and report.detail == "best bid/ask"
    assert any("inferred" in finding for finding in report.check["findings"])


def test_trades_alone_can_be_given_assumed_quotes(tmp_path):
    file = gz(
        tmp_path / "t.csv.gz",
        trades((0, 4, "buy", "10.5", "1"), (1, 5, "sell", "10.4", "2"), (2, 6, "unknown", "10.4", "3")),
    )
    plain = import_tardis([file], tmp_path / "plain")
    report = import_tardis([file], tmp_path / "tape", quote_ticks=2)
    assert plain.detail == "trades" and "book never begins" in " ".join(plain.check["findings"])
    assert report.detail == "trades (assumed quotes)" and "assumed" in report.notes["quotes"]
    tape = Tape.open(tmp_path / "tape")
    assert packets(tape) == [
        ["trade_buy", "reset", "best_bid", "best_ask"],
        ["trade_sell", "best_bid", "best_ask"],
        ["trade_unknown", "best_bid", "best_ask"],
    ]
    bids, asks = play(tape)
    assert (max(bids), bids[max(bids)], min(asks), asks[min(asks)]) == (103, 3, 105, 3)
    quotes = np.isin(tape.data.kind, (codes.BEST_BID, codes.BEST_ASK, codes.RESET))
    assert (tape.data.flags[quotes] & codes.INFERRED != 0).all()
    assert (tape.data.flags[~quotes] & codes.INFERRED == 0).all()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a,b,c\n1,2,3\n", r"line 1: no header of Tardis"),
        (book(), "no row in"),
        (book((0, 5, 0, "bid", "100", "1")), "no usable row"),
        (book(*START, (1, 6, 0, "bit", "100", "1")), r"line 5: side must be bid or ask, was 'bit'"),
        (book(*START, (1, 6, 0, "bid", "-3", "1")), r"line 5: price must be > 0, was '-3'"),
        (book(*START, (1, 6, 0, "bid", "nan", "1")), r"line 5: price must be a finite number, was 'nan'"),
        (book(*START, (1, 6, 0, "bid", "10", "-1")), r"line 5: amount must be >= 0"),
        (
            book(*START) + "\n\n" + "binance-futures,BTCUSDT,17\n",
            r"line 7: must have 8 fields, has 3",
        ),
        (book(*START) + f"{NAME},1,2,true,bid,1,2,3\n", r"line 5: must have 8 fields, has 9"),
        (book(*START, (-9_000, -8_000, 0, "bid", "100", "1")), r"line 5: time falls from .* to "),
        (
            book(*START).replace(f"{NAME},{T0 * US},{(T0 + 5) * US},true,ask", f"binance,ETHBTC,{T0},{T0},true,ask"),
            "line 4: symbol",
        ),
    ],
)
def test_damage_is_reported_with_file_and_line_and_leaves_nothing(tmp_path, text, match):
    file = gz(tmp_path / "book.csv.gz", text)
    with pytest.raises(DataError, match=match):
        import_tardis([file], tmp_path / "tape")
    assert [p.name for p in tmp_path.iterdir()] == ["book.csv.gz"]


def test_cut_off_gzip_names_the_last_line_read(tmp_path):
    text = book(*START, *((i, i + 5, 0, "bid", "100.1", str(i + 1)) for i in range(3_000)))
    path = tmp_path / "book.csv.gz"
    path.write_bytes(gzip.compress(text.encode(), mtime=0)[:-200])
    with pytest.raises(DataError, match=r"book\.csv\.gz, after line 2978: the packed data is cut off"):
        import_tardis([path], tmp_path / "tape")
    assert [p.name for p in tmp_path.iterdir()] == ["book.csv.gz"]


def test_two_descriptions_of_one_book_and_unknown_kinds_are_refused(tmp_path):
    quotes = gz(
        tmp_path / "q.csv.gz", f"{HEAD},ask_amount,ask_price,bid_price,bid_amount\n{NAME},{T0 * US},{T0 * US},1,2,1,1\n"
    )
    levels = gz(tmp_path / "b.csv.gz", book(*START))
    with pytest.raises(DataError, match="give one of them"):
        import_tardis([quotes, levels], tmp_path / "tape")
    with pytest.raises(UsageError, match="spot, linear, inverse"):
        import_tardis([levels], tmp_path / "tape", kind="option")
    with pytest.raises(DataError, match="multiple of the tick size"):
        import_tardis([levels], tmp_path / "tape", tick_size="0.5")
    assert not (tmp_path / "tape").exists()


def test_inverse_contracts_are_told_by_exchange_and_symbol(tmp_path):
    levels = gz(tmp_path / "b.csv.gz", book(*START).replace(NAME, "binance-delivery,BTCUSD_PERP"))
    import_tardis([levels], tmp_path / "tape")
    instrument = Tape.open(tmp_path / "tape").instrument
    assert (instrument.kind, instrument.contract_size, instrument.base, instrument.quote) == (
        "inverse",
        "100",
        "BTC",
        "USD",
    )


def test_progress_rises_to_the_end_and_an_interruption_leaves_nothing(tmp_path):
    levels = gz(tmp_path / "b.csv.gz", book(*START, *((i, i + 5, 0, "bid", "100", i % 3) for i in range(1, 99))))
    prints = gz(tmp_path / "t.csv.gz", trades(*((i, i + 5, "buy", "100.3", 1) for i in range(1, 99))))
    told: list[float] = []
    import_tardis([levels, prints], tmp_path / "tape", progress=told.append)
    assert told == sorted(told) and 0 < told[0] and told[-1] == 1.0

    def stop(share: float) -> None:
        if share > 0.5:  # rows are being written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_tardis([levels, prints], tmp_path / "other", progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.csv.gz", "t.csv.gz", "tape"]

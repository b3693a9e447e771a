from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.market import codes
from tidewright.market.errors import DataError, UsageError
from tidewright.market.importers.book_snapshots import import_book_snapshots
from tidewright.market.importers.snapshot_kernel import Books, Trades, merge, new_merge
from tidewright.market.tape import Tape

T0 = datetime(2026, 1, 5, 22, tzinfo=UTC)
DATA = Path(__file__).parents[2].parent / "shared" / "data"
Levels = list[tuple[float, float]]


def at(ms: float) -> datetime:
    return T0 + timedelta(milliseconds=ms)


def book_file(path: Path, *snapshots: tuple[float, Levels, Levels]) -> Path:
    frame = {
        "timestamp": [at(ms) for ms, _, _ in snapshots],
        "received_at": [at(ms + 30) for ms, _, _ in snapshots],
        "bid_prices": [[p for p, _ in bids] for _, bids, _ in snapshots],
        "bid_quantities": [[q for _, q in bids] for _, bids, _ in snapshots],
        "ask_prices": [[p for p, _ in asks] for _, _, asks in snapshots],
        "ask_quantities": [[q for _, q in asks] for _, _, asks in snapshots],
    }
    lists = dict.fromkeys(list(frame)[2:], pl.List(pl.Float64))
    pl.DataFrame(frame, schema_overrides=lists).write_parquet(path)
    return path


def trade_file(path: Path, *trades: tuple[float, float, float]) -> Path:
    pl.DataFrame(
        {
            "timestamp": [at(ms) for ms, _, _ in trades],
            "received_at": [at(ms + 20) for ms, _, _ in trades],
            "price": [p for _, p, _ in trades],
            "quantity": [q for _, _, q in trades],
        }
    ).write_parquet(path)
    return path


def run(tmp_path: Path, *files: Path, **more):
    arguments = {"symbol": "BTC-USD", "tick_size": "0.1", "lot_size": "0.1", **more}
    report = import_book_snapshots(list(files), tmp_path / "tape", **arguments)
    tape = Tape.open(tmp_path / "tape")
    ms = (tape.data.ts - int(T0.timestamp() * 1e9)) // 10**6
    rows = zip(ms, tape.data.kind, tape.data.price, tape.data.qty, strict=True)
    return report, tape, [(int(t), codes.KIND_NAMES[k], int(p), int(q)) for t, k, p, q in rows]


BIDS: Levels = [(100.0, 1.0), (99.9, 2.0)]
ASKS: Levels = [(100.1, 1.0), (100.2, 2.0)]


def test_differences_of_two_snapshots_are_one_packet(tmp_path):
    file = book_file(
        tmp_path / "b",
        (0, BIDS, ASKS),
        (250, [(100.0, 1.5), (99.8, 3.0)], ASKS),
        (500, [(100.0, 1.5), (99.8, 3.0)], ASKS),
    )
    report, tape, rows = run(tmp_path, file)
    assert rows[:5] == [
        (0, "reset", 0, 0),
        (0, "bid", 1000, 10),
        (0, "bid", 999, 20),
        (0, "ask", 1001, 10),
        (0, "ask", 1002, 20),
    ]
    assert rows[5:] == [(250, "bid", 1000, 15), (250, "bid", 999, 0), (250, "bid", 998, 30)]
    assert tape.data.flags.tolist() == [0, 2, 2, 2, 3, 0, 0, 1]
    assert report.packets == 2 and "degraded" in tape.meta["detail"]


def test_level_out_of_sight_is_kept_until_it_should_be_seen(tmp_path):
    file = book_file(
        tmp_path / "b",
        (0, [(100.0, 1.0), (99.9, 2.0)], ASKS),
        (250, [(100.1, 1.0), (100.0, 1.0)], [(100.2, 2.0), (100.3, 1.0)]),
        (500, [(99.8, 5.0), (99.7, 1.0)], [(100.2, 2.0), (100.3, 1.0)]),
    )
    _, _, rows = run(tmp_path, file)
    later = [row for row in rows if row[0] > 0]
    assert later == [
        (250, "bid", 1001, 10),
        (250, "ask", 1001, 0),
        (250, "ask", 1003, 10),
        (500, "bid", 1001, 0),
        (500, "bid", 1000, 0),
        (500, "bid", 999, 0),
        (500, "bid", 998, 50),
        (500, "bid", 997, 10),
    ]


def test_side_shown_short_is_all_there_is(tmp_path):
    file = book_file(tmp_path / "b", (0, BIDS, ASKS), (250, [(100.0, 1.0)], ASKS), (500, [], ASKS))
    _, _, rows = run(tmp_path, file)
    assert rows[5:] == [(250, "bid", 999, 0), (500, "bid", 1000, 0)]


def test_trades_are_classed_by_the_quote_before(tmp_path):
    book = book_file(tmp_path / "b", (0, BIDS, [(100.2, 1.0)]), (250, BIDS, [(100.0, 1.0)]), (500, BIDS, ASKS))
    trades = trade_file(
        tmp_path / "t", (-5, 100.0, 1), (10, 100.2, 1), (20, 99.9, 1), (30, 100.1, 1), (250, 100.3, 1), (260, 100.1, 1)
    )
    report, tape, rows = run(tmp_path, trades, book)
    prints = [(t, kind) for t, kind, _, _ in rows if kind.startswith("trade")]
    assert prints == [
        (-5, "trade_unknown"),  # no book yet
        (10, "trade_buy"),
        (20, "trade_sell"),
        (30, "trade_unknown"),  # inside the spread
        (250, "trade_buy"),  # at the time of a snapshot: before it
        (260, "trade_unknown"),  # locked
    ]
    inferred = tape.data.flags[tape.data.kind == codes.TRADE_BUY]
    assert (inferred == codes.PACKET_END | codes.INFERRED).all()
    assert report.notes["trades_of_unknown_side"] == 3 and report.trades == 6


def test_hole_is_a_gap_after_the_usual_time_and_a_new_snapshot(tmp_path):
    book = book_file(tmp_path / "b", *((i * 250, BIDS, ASKS) for i in range(5)), (9_000, BIDS, ASKS))
    trades = trade_file(tmp_path / "t", (1_200, 100.1, 1), (1_400, 100.1, 1), (8_990, 100.1, 1))
    report, _, rows = run(tmp_path, book, trades)
    tail = [(t, kind) for t, kind, _, _ in rows if t > 1_000]
    assert tail[:5] == [
        (1_200, "trade_buy"),
        (1_250, "gap"),
        (1_400, "trade_unknown"),
        (8_990, "trade_unknown"),
        (9_000, "reset"),
    ]
    assert [kind for _, kind in tail[5:]] == ["bid", "bid", "ask", "ask"] and report.gaps == 1


def test_tick_and_lot_come_from_books_and_trades(tmp_path):
    book = book_file(tmp_path / "b", (0, BIDS, ASKS))
    trades = trade_file(tmp_path / "t", (10, 100.23, 0.0005))
    _, tape, _ = run(tmp_path, book, trades, tick_size=None, lot_size=None)
    assert (tape.instrument.tick_size, tape.instrument.lot_size) == ("0.01", "0.0001")
    assert tape.instrument.base == "BTC" and tape.instrument.quote == "USD"


def test_names_come_from_the_folder_or_have_to_be_given(tmp_path):
    folder = tmp_path / "standx_btcusd"
    folder.mkdir()
    report = import_book_snapshots([book_file(folder / "b", (0, BIDS, ASKS))], tmp_path / "tape")
    assert report.symbol == "BTCUSD" and Tape.open(tmp_path / "tape").instrument.venue == "standx"
    (tmp_path / "plain").mkdir()
    with pytest.raises(UsageError, match="give one"):
        import_book_snapshots([book_file(tmp_path / "plain" / "b", (0, BIDS, ASKS))], tmp_path / "other")


@pytest.mark.parametrize(
    ("snapshot", "match"),
    [
        ((500, BIDS[::-1], ASKS), "bid_prices must be in order, best first"),
        ((500, BIDS, [(100.15, 1.0)]), "price must be > 0 and a multiple of the tick size 0.1, was 100.15"),
        ((500, BIDS, [(float("inf"), 1.0)]), "price must be under 1e15, was inf"),
        ((500, BIDS, [(100.1, -1.0)]), "quantity must be >= 0 and under 1e15, was -1.0"),
        ((500, BIDS, [(100.1, float("nan"))]), "quantity must be >= 0"),
        ((500, BIDS, [(100.1, None)]), "ask_prices and ask_quantities must have the same lengths, and no empty value"),
    ],
)
@pytest.mark.parametrize("given", [{}, {"tick_size": None, "lot_size": None}], ids=["steps given", "inferred"])
def test_broken_books_are_refused_by_row_and_leave_nothing(tmp_path, snapshot, match, given):
    if given and "tick size" in match:
        return  # an inferred tick fits all prices
    with pytest.raises(DataError, match=f"/b, row 3: {match}"):
        run(tmp_path, book_file(tmp_path / "b", (0, BIDS, ASKS), (250, BIDS, ASKS), snapshot), **given)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(("price", "quantity"), [(100.15, 1.0), (1e300, 1.0), (-1.0, 1.0), (100.1, -2.0), (None, 1.0)])
def test_broken_trades_are_refused_by_file_and_row(tmp_path, price, quantity):
    book = book_file(tmp_path / "b", (0, BIDS, ASKS), (250, BIDS, ASKS))
    first = trade_file(tmp_path / "t1", (20, 100.1, 1.0))
    second = trade_file(tmp_path / "t2", (10, 100.1, 1.0), (30, price, quantity))
    with pytest.raises(DataError, match=r"/t2, row 2: (price|quantity)"):
        run(tmp_path, book, first, second)


def test_times_that_cannot_be_are_refused_by_row(tmp_path):
    book = book_file(tmp_path / "b", (0, BIDS, ASKS), (250, BIDS, ASKS), (4e12, BIDS, ASKS))
    with pytest.raises(DataError, match="/b, row 3: timestamp must be a time between 2009 and 2100"):
        run(tmp_path, book)


def test_columns_of_other_types_are_refused_by_name(tmp_path):
    frame = pl.read_parquet(book_file(tmp_path / "b", (0, BIDS, ASKS)))
    frame.with_columns(bid_prices=pl.lit("100.0")).write_parquet(tmp_path / "b")
    with pytest.raises(DataError, match="/b: column bid_prices must hold lists of numbers, holds String"):
        run(tmp_path, tmp_path / "b")


def test_foreign_and_cut_off_files_are_refused_by_name(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other")
    with pytest.raises(DataError, match=r"other must have the columns"):
        run(tmp_path, tmp_path / "other")
    whole = book_file(tmp_path / "whole", (0, BIDS, ASKS)).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut is cut off"):
        run(tmp_path, tmp_path / "cut")
    with pytest.raises(DataError, match="no book snapshot"):
        run(tmp_path, trade_file(tmp_path / "t", (0, 100.0, 1)))


SIDE = st.dictionaries(st.integers(1, 12), st.integers(1, 3), max_size=4)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=8), st.integers(1, 4))
def test_playing_the_rows_gives_every_snapshot_back(snapshots, depth):
    def pack(index: int, down: bool):
        levels = [sorted(snapshot[index].items(), reverse=down) for snapshot in snapshots]
        starts = np.cumsum([0, *map(len, levels)])
        flat = [level for side in levels for level in side]
        return starts, np.array([p for p, _ in flat], np.int64), np.array([q for _, q in flat], np.int64)

    bid_starts, bid_prices, bid_qty = pack(0, True)
    ask_starts, ask_prices, ask_qty = pack(1, False)
    ts = np.arange(1, len(snapshots) + 1, dtype=np.int64) * 10
    starts = np.array([bid_starts, ask_starts], np.int64)
    none = np.empty(0, np.int64)
    out = np.zeros((6, 400), np.int64)
    rows = merge(
        new_merge(),
        Books(ts, ts, starts, bid_prices, bid_qty, ask_prices, ask_qty),
        Trades(none, none, none, none),
        depth,
        1_000,
        10,
        False,
        out,
    )
    book: tuple[dict[int, int], dict[int, int]] = ({}, {})
    played = out[:, :rows]
    for time, snapshot in zip(ts, snapshots, strict=True):
        for kind, price, qty in played[[2, 4, 5]][:, played[0] == time].T.tolist():
            if kind == codes.RESET:
                book[0].clear()
                book[1].clear()
            elif qty:
                book[kind][price] = qty
            else:
                del book[kind][price]
        for side, sign in ((0, -1), (1, 1)):
            shown = snapshot[side]
            worst = max((sign * p for p in shown), default=None)
            visible = {p: q for p, q in book[side].items() if worst is not None and sign * p <= worst}
            assert visible == shown
            if len(shown) < depth:
                assert book[side] == shown


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recorded markets are not here")
def test_standx_evening_has_its_holes(tmp_path):
    folder = DATA / "standx_btcusd"
    report = import_book_snapshots(
        [folder / "trades_2026-01-05.parquet", folder / "book_2026-01-05.parquet"], tmp_path / "tape"
    )
    tape = Tape.open(tmp_path / "tape")
    assert tape.instrument.tick_size == "0.01" and report.trades == 2_802
    assert 80 < report.gaps < 130, "a hole every 36 s for 65 minutes"

"""Tapes of a lower detail level, against slow readings of the same rows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.book import Book, Row, packets
from tests.reference.tapes import Drawn, random_rows
from tidewright.market import codes
from tidewright.market.check import check_tape
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.reduce import reduce_tape
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Columns, Tape, columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.market.touch import WHOLE, touches

INSTRUMENT = Instrument("test", "AAABBB", "AAA", "BBB", "0.01", "0.001")
MINUTE = 60_000_000_000


def written(folder: Path, data: Columns, detail: str = "L2+trades") -> Tape:
    with TapeWriter(folder, INSTRUMENT, detail=detail) as writer:
        writer.append(data)
    return Tape.open(folder)


def rows_of(data: Columns) -> list[Row]:
    return [Row(*row) for row in zip(*(column.tolist() for column in data), strict=True)]


def touch_after_each_time(data: Columns, touch_only: bool) -> dict[int, tuple[int, int, int, int] | None]:
    """Best bid, its lots, best ask, its lots after the last packet of every time; None in a gap; 0 without a side."""
    book = Book(1 << 10, touch_only=touch_only)
    found: dict[int, tuple[int, int, int, int] | None] = {}
    for packet in packets(rows_of(data), 0):
        book.read(packet.rows)
        bid, ask = book.best_bid() or 0, book.best_ask() or 0
        found[packet.ts] = None if book.gap else (bid, book.qty(0, bid), ask, book.qty(1, ask))
    return found


@settings(max_examples=60)
@given(st.data())
def test_best_quotes_have_the_touch_of_the_whole_book_at_every_time(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("quotes")
    rows = columns(tuple(row) for row in random_rows(Drawn(data.draw), data.draw(st.integers(1, 40)), False))
    tape = written(folder / "deep", rows)
    try:
        reduce_tape(tape, "best-quotes", folder / "quotes")
    except DataError as error:
        assert "nothing" in str(error)
        return
    shallow = Tape.open(folder / "quotes")
    assert not set(shallow.data.kind.tolist()) & {codes.BID, codes.ASK}
    deep, quotes = touch_after_each_time(rows, False), touch_after_each_time(shallow.data, True)
    seen: tuple[int, int, int, int] | None = None
    for ts, touch in deep.items():
        seen = quotes.get(ts, seen)
        if touch is not None and touch[0] == touch[2] == 0 and seen is None:
            continue  # a gap that ends with an empty book: best quotes cannot tell
        assert seen == touch, f"at {ts}"


def test_what_is_no_level_stays_with_its_times_and_receipts(tmp_path: Path) -> None:
    tape = synthesize(tmp_path / "deep", hours=0.05, seed=3, rate=4.0)
    reduce_tape(tape, "best-quotes", tmp_path / "quotes")
    shallow = Tape.open(tmp_path / "quotes")
    kept = [
        [row for row in rows_of(each.data) if codes.TRADE_BUY <= row.kind <= codes.TRADE_UNKNOWN]
        for each in (tape, shallow)
    ]
    assert [row._replace(flags=0) for row in kept[0]] == [row._replace(flags=0) for row in kept[1]]
    assert set(shallow.data.ts_local.tolist()) <= set(tape.data.ts_local.tolist())
    assert shallow.meta["detail"] == "best bid/ask+trades"
    assert check_tape(shallow).usable


def test_trades_alone_keep_every_print_and_stand_in_an_assumed_touch(tmp_path: Path) -> None:
    tape = synthesize(tmp_path / "deep", hours=0.05, seed=3, rate=4.0)
    report = reduce_tape(tape, "trades", tmp_path / "trades", quote_ticks=4)
    shallow = Tape.open(tmp_path / "trades")
    assert report.detail == shallow.meta["detail"] == "trades (assumed quotes)"
    prints = [
        [(row.ts, row.kind, row.price, row.qty) for row in rows_of(each.data) if 2 <= row.kind <= 4]
        for each in (tape, shallow)
    ]
    assert prints[0] == prints[1]
    touch = touches(shallow.data)
    assert set((touch.ask - touch.bid).tolist()) == {4} and set(touch.state.tolist()) == {WHOLE}


def test_bars_have_the_prices_and_the_volume_of_their_trades(tmp_path: Path) -> None:
    tape = synthesize(tmp_path / "deep", hours=0.1, seed=3, rate=4.0)
    reduce_tape(tape, "bars:1m", tmp_path / "bars")
    shallow = Tape.open(tmp_path / "bars")
    assert shallow.meta["detail"] == "bars 1m (inferred prints, assumed quotes)"
    want: dict[int, list[tuple[int, int]]] = {}
    for row in rows_of(tape.data):
        if codes.TRADE_BUY <= row.kind <= codes.TRADE_UNKNOWN:
            want.setdefault(row.ts // MINUTE, []).append((row.price, row.qty))
    got: dict[int, list[Row]] = {}
    for row in rows_of(shallow.data):
        if row.kind == codes.TRADE_UNKNOWN:
            got.setdefault(row.ts // MINUTE, []).append(row)
    assert len(got) >= 4
    for bar, printed in got.items():
        prices = [price for price, _ in want[bar]]
        low_first = prices[-1] >= prices[0]
        path = [prices[0], *sorted((min(prices), max(prices)), reverse=not low_first), prices[-1]]
        assert [row.price for row in printed] == path
        assert sum(row.qty for row in printed) == sum(qty for _, qty in want[bar])
        assert {row.ts_local for row in printed} == {(bar + 1) * MINUTE}
    dropped = sum(len(prints) for bar, prints in want.items() if bar not in got)
    assert shallow.meta["notes"]["trades_outside_whole_bars"] == dropped


def test_a_gap_stays_a_gap_at_every_level(tmp_path: Path) -> None:
    book = [(0, 0, codes.RESET, 0, 0, 0), (0, 0, codes.BID, 2, 99, 5), (0, 0, codes.ASK, 3, 101, 5)]
    later = [(ts + 30, local, kind, flags, price, qty) for ts, local, kind, flags, price, qty in book]
    prints = [(10, 0, codes.TRADE_BUY, 1, 101, 1), (40, 0, codes.TRADE_SELL, 1, 99, 1)]
    rows = [*book, prints[0], (20, 0, codes.GAP, 1, 0, 0), *later, prints[1]]
    tape = written(tmp_path / "deep", columns(rows))
    for level in ("best-quotes", "trades"):
        reduce_tape(tape, level, tmp_path / level)
        touch = touch_after_each_time(Tape.open(tmp_path / level).data, True)
        assert touch[20] is None and touch[40] is not None, level


@pytest.mark.parametrize(
    ("level", "detail", "words"),
    [
        ("candles", "L2+trades", "best-quotes, trades, or bars"),
        ("bars:0s", "L2+trades", "longer than 0"),
        ("trades", "bars 1m (inferred prints)", "cannot be reduced"),
        ("best-quotes", "best bid/ask+trades", "cannot be reduced"),
    ],
)
def test_what_cannot_be_reduced_is_refused(tmp_path: Path, level: str, detail: str, words: str) -> None:
    tape = written(tmp_path / "deep", columns([(0, 0, codes.BID, 3, 99, 5)]), detail)
    with pytest.raises(UsageError, match=words):
        reduce_tape(tape, level, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tape_without_whole_bars_leaves_nothing_behind(tmp_path: Path) -> None:
    tape = synthesize(tmp_path / "deep", hours=0.02, seed=3, rate=4.0)
    with pytest.raises(DataError, match="no whole bar of 1h"):
        reduce_tape(tape, "bars:1h", tmp_path / "bars")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    tape = synthesize(tmp_path / "deep", hours=0.02, seed=3, rate=4.0)
    with pytest.raises(UsageError, match="already exists"):
        reduce_tape(tape, "trades", tmp_path / "deep")
    assert np.array_equal(Tape.open(tmp_path / "deep").data.ts, tape.data.ts)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.market import codes
from tidewright.market.check import check_tape
from tidewright.market.instrument import Instrument
from tidewright.market.show import summarize
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape, columns
from tidewright.market.touch import CROSSED, IN_GAP, LOCKED, ONE_SIDED, WHOLE, touches

SECOND = 1_000_000_000
INSTRUMENT = Instrument("venue", "BTCUSD", "BTC", "USD", "0.01", "0.001")
END, SNAP = codes.PACKET_END, codes.SNAPSHOT


def tape_of(*rows: tuple[int, int, int, int, int], notes=None) -> Tape:
    """Rows of (seconds, kind, flags, price, qty), received 1 ms later."""
    data = columns((s * SECOND, s * SECOND + 1_000_000, k, f, p, q) for s, k, f, p, q in rows)
    return Tape(None, INSTRUMENT, {"rows": len(rows), "notes": notes or {}}, data)


START = (
    (1, codes.RESET, 0, 0, 0),
    (1, codes.BID, SNAP, 9_990, 5),
    (1, codes.ASK, SNAP | END, 10_010, 5),
)


def test_sound_tape_is_usable_without_findings():
    found = check_tape(tape_of(*START, (2, codes.TRADE_BUY, END, 10_010, 1)))
    assert found.usable and not found.problems and not found.findings
    assert found.figures["book"]["time_share"]["whole"] == 1.0
    assert found.figures["receipt"]["delay_ms"]["median"] == 1.0


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ((0, codes.BID, END, 1, 1), "venue time falls"),
        ((2, codes.BID, END, 1, -1), "negative quantity"),
        ((2, 11, END, 1, 1), "unknown kind"),
        ((2, codes.BID, END, 0, 1), "price of 0"),
        ((2, codes.BID, 0, 1, 1), "does not end a packet"),
    ],
)
def test_what_breaks_the_format_makes_a_tape_unusable(row, word):
    found = check_tape(tape_of(*START, row))
    assert not found.usable and any(word in text for text in found.problems)


def test_empty_tape_is_unusable():
    assert not check_tape(tape_of()).usable


def test_gaps_are_counted_with_their_time():
    rows = [*START, (11, codes.GAP, END, 0, 0), (31, *START[0][1:]), (31, *START[1][1:]), (31, *START[2][1:])]
    found = check_tape(tape_of(*rows, (41, codes.BID, END, 9_980, 1)))
    assert found.figures["sequence"]["gaps"] == 1 and found.figures["sequence"]["seconds_in_gaps"] == 20.0
    assert found.figures["book"]["time_share"]["gap"] == 0.5


def test_locked_and_crossed_books_are_measured_in_time():
    found = check_tape(
        tape_of(
            *START,
            (2, codes.BID, END, 10_010, 1),
            (4, codes.BID, END, 10_020, 1),
            (5, codes.ASK, END, 10_010, 0),
            (11, codes.TRADE_SELL, END, 9_990, 1),
        )
    )
    assert found.figures["book"]["time_share"] == {
        "whole": 0.1,
        "locked": 0.2,
        "crossed": 0.1,
        "one_sided": 0.6,
        "gap": 0.0,
    }
    assert any("crossed" in text for text in found.findings) and any("locked" in text for text in found.findings)


def test_silence_skew_and_duplicates_are_found():
    tape = tape_of(*START, (100, codes.TRADE_BUY, END, 10_010, 1), (100, codes.TRADE_BUY, END, 10_010, 1))
    tape.data.ts_local[-2:] -= 5_000_000
    found = check_tape(tape)
    assert found.figures["silence"] == {"threshold_s": 30.0, "count": 1, "seconds": 99.0, "longest_s": 99.0}
    assert found.figures["receipt"]["before_venue"] == 2
    assert found.figures["duplicates"]["equal_prints"] == 1
    assert any("4.0 ms" in text for text in found.findings)


def test_trades_of_unknown_and_inferred_side_are_told():
    found = check_tape(
        tape_of(
            *START,
            (2, codes.TRADE_UNKNOWN, END, 10_000, 1),
            (3, codes.TRADE_SELL, END | codes.INFERRED, 9_990, 1),
            notes={"missing_trade_ids": 3},
        )
    )
    assert found.figures["trades"] == {"count": 2, "unknown_side": 1, "inferred_side": 1, "empty": 0}
    assert found.figures["sequence"]["missing_trade_ids"] == 3


def test_tape_without_snapshot_never_begins():
    found = check_tape(tape_of((1, codes.BID, END, 9_990, 5), (2, codes.ASK, END, 10_010, 5)))
    assert found.usable and "no snapshot: the book never begins" in found.findings


LEVEL = st.tuples(
    st.sampled_from([codes.BID, codes.ASK, codes.BEST_BID, codes.BEST_ASK, codes.GAP, codes.RESET, codes.TRADE_BUY]),
    st.sampled_from([0, END, SNAP, SNAP | END]),
    st.integers(1, 8),
    st.integers(0, 2),
)


@settings(deadline=None)
@given(st.lists(LEVEL, max_size=60))
def test_touch_agrees_with_a_slow_book(rows):
    data = columns((i, i, k, f, p, q) for i, (k, f, p, q) in enumerate([*rows, (codes.BID, END, 1, 1)]))
    found = touches(data)
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    gap, snapshot, at = True, False, 0
    for i, (kind, flags, price, qty) in enumerate([*rows, (codes.BID, END, 1, 1)]):
        side = {codes.BID: 0, codes.BEST_BID: 0, codes.ASK: 1, codes.BEST_ASK: 1}.get(kind)
        if side is not None:
            if kind in (codes.BEST_BID, codes.BEST_ASK):
                for level in [p for p in sides[side] if (p > price if side == 0 else p < price)]:
                    del sides[side][level]
            sides[side][price] = qty
            if not qty:
                del sides[side][price]
            snapshot = snapshot or bool(flags & SNAP)
        elif kind in (codes.GAP, codes.RESET):
            gap, snapshot = True, False
            if kind == codes.RESET:
                sides[0].clear()
                sides[1].clear()
        if flags & END:
            gap = gap and not snapshot
            snapshot = False
            bid, ask = max(sides[0], default=0), min(sides[1], default=0)
            if gap:
                state = IN_GAP
            elif not bid or not ask:
                state = ONE_SIDED
            else:
                state = CROSSED if bid > ask else LOCKED if bid == ask else WHOLE
            assert (found.row[at], found.bid[at], found.ask[at], found.state[at]) == (i, bid, ask, state)
            at += 1
    assert at == len(found.row)


def test_summary_tells_span_prices_and_spread():
    summary = summarize(
        tape_of(
            *START, (2, codes.TRADE_BUY, END, 10_010, 1_500), (3, codes.ASK, END, 10_011, 1), (11, 0, END, 9_991, 1)
        )
    )
    assert summary["seconds"] == 10.0 and summary["packets"] == 4
    assert summary["rows_by_kind"] == {"bid": 2, "ask": 2, "trade_buy": 1, "reset": 1}
    assert summary["mid"]["first"] == "100.00" and summary["mid"]["last"] == "100.005"
    assert summary["spread"]["price"]["median"] == "0.20"
    assert summary["trades"]["volume"] == "1.500" and summary["trades"]["turnover"] == 150.15


def test_summary_of_a_synthetic_tape_is_sane():
    tape = synthesize(None, hours=2, seed=1)
    summary = summarize(tape)
    assert summary["book"]["whole"] == 1.0
    low, high = float(summary["mid"]["low"]), float(summary["mid"]["high"])
    assert 50_000 < low < high < 70_000 and 0 < summary["mid"]["volatility_day_percent"] < 20
    assert float(summary["trades"]["volume"]) == pytest.approx(
        float(np.sum(tape.data.qty[(tape.data.kind >= 2) & (tape.data.kind <= 4)])) / 1e5
    )


def test_summary_of_an_empty_tape():
    summary = summarize(tape_of())
    assert summary["rows"] == 0 and summary["mid"] is None and summary["trades"] == {"count": 0}

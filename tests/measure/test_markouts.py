"""Mark-outs of fills."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.clock import SECOND
from tidewright.market.codes import BUY, SELL
from tidewright.measure.markouts import HORIZONS_NS, markout_table, markouts_bp
from tidewright.measure.mids import MidSeries
from tidewright.measure.trades import Fills

# 100 until 5 s, then 101 until 30 s, then 99; known until 65 s.
MIDS = MidSeries(np.array([0, 5, 30], np.int64) * SECOND, np.array([100.0, 101.0, 99.0]), 65 * SECOND)


def fills(rows: list[tuple[int, int, float, bool]], fee_rate: float = 0.001) -> Fills:
    ts, side, price, maker = (np.array(column) for column in zip(*rows, strict=True))
    return Fills(
        ts.astype(np.int64),
        side.astype(np.uint8),
        price.astype(np.float64),
        np.full(len(ts), 2.0),
        maker.astype(np.bool_),
        price * 2.0 * fee_rate,
    )


def test_signs_and_horizons() -> None:
    one = fills([(0, BUY, 100.0, True)])
    assert [markouts_bp(one, MIDS, h)[0] for h in HORIZONS_NS] == pytest.approx([0.0, 100.0, -100.0])
    sold = fills([(0, SELL, 100.0, True)])
    assert [markouts_bp(sold, MIDS, h)[0] for h in HORIZONS_NS] == pytest.approx([0.0, -100.0, 100.0])


def test_table_keeps_makers_and_takers_apart_and_counts_what_is_known() -> None:
    table = markout_table(fills([(0, BUY, 100.0, True), (1, SELL, 100.0, False), (60 * SECOND, BUY, 98.0, True)]), MIDS)
    assert [(m.group, m.horizon_ns, m.count, m.fills) for m in table] == [
        ("maker", SECOND, 2, 2),
        ("maker", 10 * SECOND, 1, 2),  # 70 s is not known any more
        ("maker", 60 * SECOND, 1, 2),
        ("taker", SECOND, 1, 1),
        ("taker", 10 * SECOND, 1, 1),
        ("taker", 60 * SECOND, 1, 1),
    ]
    first = table[0]
    late = (99 - 98) / 98 * 1e4
    assert first.before_fee_bp == pytest.approx(late / 2)
    assert first.after_fee_bp == pytest.approx(late / 2 - 10.0)
    assert first.error_bp == pytest.approx(late / 2)  # sd of {0, late} / sqrt(2)
    assert math.isnan(table[1].error_bp)


def test_no_fills_no_table_and_unknown_mids_say_nothing() -> None:
    assert markout_table(Fills.none(), MIDS) == []
    got = markout_table(fills([(100 * SECOND, BUY, 100.0, False)]), MIDS)
    assert [m.count for m in got] == [0, 0, 0] and all(math.isnan(m.before_fee_bp) for m in got)


@given(st.integers(0, 60), st.floats(90, 110), st.booleans())
def test_buying_and_selling_at_one_price_are_opposite(at: int, price: float, maker: bool) -> None:
    both = fills([(at * SECOND, BUY, price, maker), (at * SECOND, SELL, price, maker)])
    got = markouts_bp(both, MIDS, SECOND)
    assert got[0] == pytest.approx(-got[1])

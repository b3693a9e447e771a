"""Closed trades from fills."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.clock import SECOND
from tidewright.market.codes import BUY, SELL
from tidewright.market.errors import UsageError
from tidewright.measure.trades import Fills, closed_trades, fill_activity

Row = tuple[int, int, float, float, float]


def fills(rows: list[Row]) -> Fills:
    ts, side, price, qty, fee = zip(*rows, strict=True) if rows else ([], [], [], [], [])
    return Fills(
        np.array(ts, np.int64),
        np.array(side, np.uint8),
        np.array(price, np.float64),
        np.array(qty, np.float64),
        np.ones(len(ts), np.bool_),
        np.array(fee, np.float64),
    )


def test_a_round_trip_is_one_trade_net_of_both_fees() -> None:
    got = closed_trades(fills([(0, BUY, 100.0, 2.0, 0.2), (5 * SECOND, SELL, 101.0, 2.0, 0.202)]))
    assert got.pnl.tolist() == [pytest.approx(2.0 - 0.402)]
    assert got.duration_ns.tolist() == [5 * SECOND] and got.ts.tolist() == [5 * SECOND]


def test_average_cost_and_mean_entry_time() -> None:
    got = closed_trades(
        fills([(0, BUY, 100.0, 1.0, 0.0), (4 * SECOND, BUY, 104.0, 3.0, 0.0), (10 * SECOND, SELL, 105.0, 2.0, 0.0)])
    )
    assert got.pnl.tolist() == [pytest.approx(2 * (105 - 103))]
    assert got.duration_ns.tolist() == [7 * SECOND]


def test_a_fill_that_turns_the_position_closes_only_what_was_there() -> None:
    rows = [(0, SELL, 100.0, 1.0, 0.0), (SECOND, BUY, 99.0, 3.0, 0.3), (3 * SECOND, SELL, 100.0, 2.0, 0.0)]
    got = closed_trades(fills(rows))
    assert got.pnl.tolist() == [pytest.approx(1.0 - 0.1), pytest.approx(2.0 - 0.2)]
    assert got.duration_ns.tolist() == [SECOND, 2 * SECOND]


def test_fills_that_only_open_close_nothing() -> None:
    assert len(closed_trades(fills([(0, BUY, 1.0, 1.0, 0.0), (1, BUY, 1.0, 1.0, 0.0)])).pnl) == 0
    assert len(closed_trades(Fills.none()).pnl) == 0


rows = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(9_000, 11_000), st.integers(1, 50), st.integers(-5, 20)),
    max_size=80,
)


@given(rows)
def test_closed_profit_and_what_is_still_open_make_up_the_cash(raw: list[tuple[int, int, int, int]]) -> None:
    """Sum of closed PnL + (-cost of the open position) = cash flow of all fills, whatever the order of fills."""
    given_fills = fills([(i * SECOND, s, p / 100, q / 1000, f / 1000) for i, (s, p, q, f) in enumerate(raw)])
    got = closed_trades(given_fills)
    position, cost, closed = Fraction(0), Fraction(0), Fraction(0)
    for side, p, q, f in raw:
        signed, qty = Fraction(q if side == BUY else -q, 1000), Fraction(q, 1000)
        paid = signed * Fraction(p, 100) + Fraction(f, 1000)
        close = min(abs(position), qty) if position * signed < 0 else Fraction(0)
        if close:
            share = cost * close / abs(position)
            closed += -paid * close / qty - share
            cost -= share
        cost += paid * (qty - close) / qty
        position += signed
    cash = -sum(float(x) for x in given_fills.signed_qty * given_fills.price + given_fills.fee)
    assert float(closed - cost) == pytest.approx(cash, abs=1e-6)  # the exact model balances
    assert got.pnl.sum() == pytest.approx(float(closed), abs=1e-6)
    assert (got.duration_ns >= 0).all()


def test_activity_counts() -> None:
    got = fill_activity(fills([(0, BUY, 100.0, 2.0, 0.2), (1, SELL, 101.0, 1.0, -0.1)]))
    assert got == {"n_fills": 2, "n_buys": 1, "n_sells": 1, "volume_quote": 301.0, "fees_value": pytest.approx(0.1)}


def test_unordered_or_ragged_fills_are_refused() -> None:
    with pytest.raises(UsageError, match="time order"):
        fills([(1, BUY, 1.0, 1.0, 0.0), (0, BUY, 1.0, 1.0, 0.0)])
    one = np.ones(1)
    with pytest.raises(UsageError, match="one length"):
        Fills(np.zeros(1, np.int64), np.zeros(2, np.uint8), one, one, np.ones(1, np.bool_), one)

"""The four limits: what they cut, and what they never cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.risk import gate as g
from tidewright.risk.limits import OFF, Limits


def exposure(**changes: float) -> g.Exposure:
    base = g.Exposure(
        position=0, mid=50_000.0, lot=1e-5, equity=100_000.0, day_equity=100_000.0, entry_price=0.0, volatility=1e-4
    )
    return base._replace(**changes)  # type: ignore[arg-type]


def cut(seen: g.Exposure, limits: Limits, bids: list[int], asks: list[int]) -> tuple[int, int, list[str]]:
    b, a, mask = g.gate(seen, limits.values(), np.array(bids or [0]), len(bids), np.array(asks or [0]), len(asks))
    return b, a, g.reasons(mask)


def test_the_position_limit_counts_inventory_and_all_open_orders_of_the_side() -> None:
    """1 % of 100,000 is 1,000 quote, 0.02 base, 2,000 lots at 50,000."""
    assert cut(exposure(), Limits(), [1000, 1000], [1000, 1000]) == (2, 2, [])
    assert cut(exposure(), Limits(), [1000, 1001], [2001]) == (1, 0, ["position limit"])
    assert cut(exposure(position=1500), Limits(), [500, 1], [3500, 1]) == (1, 1, ["position limit"])


def test_beyond_the_daily_loss_nothing_is_quoted() -> None:
    assert cut(exposure(equity=95_000.0), Limits(), [1], [1]) == (1, 1, [])
    assert cut(exposure(equity=94_999.0), Limits(), [1], [1]) == (0, 0, ["daily loss"])


def test_beyond_the_volatility_cutoff_nothing_is_quoted() -> None:
    assert cut(exposure(volatility=0.011), Limits(), [1], [1]) == (0, 0, ["volatility cut-off"])


@pytest.mark.parametrize(
    ("position", "entry", "kept"),
    [(10, 51_000.0, (1, 1)), (10, 51_100.0, (0, 1)), (-10, 49_100.0, (1, 1)), (-10, 49_000.0, (1, 0))],
)
def test_a_stopped_out_position_is_reduced_only(position: int, entry: float, kept: tuple[int, int]) -> None:
    bids, asks, why = cut(exposure(position=position, entry_price=entry), Limits(), [1], [1])
    assert (bids, asks) == kept
    assert why == ([] if kept == (1, 1) else ["stop loss"])


def test_limits_that_are_off_cut_nothing() -> None:
    wild = exposure(position=10**9, equity=1.0, day_equity=1e9, entry_price=1e9, volatility=9.0)
    assert cut(wild, OFF, [10**9], [10**9]) == (1, 1, [])


@given(
    position=st.integers(-(10**6), 10**6),
    bids=st.lists(st.integers(1, 10**5), max_size=6),
    asks=st.lists(st.integers(1, 10**5), max_size=6),
    equity=st.floats(1.0, 1e7),
    share=st.floats(1e-4, 1.0),
)
def test_what_stands_after_the_gate_is_within_the_limit_or_only_reduces(
    position: int, bids: list[int], asks: list[int], equity: float, share: float
) -> None:
    seen = exposure(position=position, equity=equity, day_equity=equity)
    kept_bids, kept_asks, _ = cut(seen, Limits(max_position_share=share), bids, asks)
    allowed = share * equity
    for kept, quantities, sign in ((kept_bids, bids, 1), (kept_asks, asks, -1)):
        reach = position * sign + sum(quantities[:kept])
        assert kept == 0 or reach * seen.lot * seen.mid <= allowed * (1 + 1e-12)
        if kept < len(quantities):
            beyond = position * sign + sum(quantities[: kept + 1])
            assert beyond * seen.lot * seen.mid > allowed * (1 - 1e-12)


@pytest.mark.parametrize("value", [0.0, -0.01, float("nan"), float("inf")])
def test_a_limit_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="max_position_share must be > 0"):
        Limits(max_position_share=value)

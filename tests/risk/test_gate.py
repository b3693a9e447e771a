"""The limits: what they cut, and what they never cut."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.risk import gate as g
from tidewright.risk.limits import OFF, Limits


def exposure(**changes: float) -> g.Exposure:
    base = g.Exposure(
        position=0,
        mid=50_000.0,
        lot=1e-5,
        equity=100_000.0,
        day_equity=100_000.0,
        entry_price=0.0,
        volatility=1e-4,
        peak_equity=100_000.0,
        best_bid=4_999_900,
        best_ask=5_000_100,
        tick=0.01,
        halts=0,
        sent=0,
        least=1,
    )
    return base._replace(**changes)  # type: ignore[arg-type]


MID = 5_000_000  # ticks


def standing(*orders: tuple[int, int]) -> g.Standing:
    table = np.array([*orders, (0, 0)], np.int64)
    return g.Standing(table[:, 0].copy(), table[:, 1].copy(), len(orders))


def run(seen, limits, bids, asks, standing_bids=(), standing_asks=()):
    """The gate over (ticks, lots): bids and asks that stand, names of the limits, new orders."""
    sides = [np.array([*side, (0, 0)], np.int64) for side in (bids, asks)]
    columns = [column.copy() for side in sides for column in (side[:, 0], side[:, 1])]
    b, a, mask, sent = g.gate(
        seen, limits.values(), columns[0], columns[1], len(bids), columns[2], columns[3], len(asks),
        standing(*standing_bids), standing(*standing_asks),
    )  # fmt: skip
    kept = [list(zip(columns[i][:n].tolist(), columns[i + 1][:n].tolist(), strict=True)) for i, n in ((0, b), (2, a))]
    return kept[0], kept[1], g.reasons(mask), sent


def cut(seen: g.Exposure, limits: Limits, bids: list[int], asks: list[int]) -> tuple[int, int, list[str]]:
    kept_bids, kept_asks, why, _ = run(
        seen, limits, [(MID - 100 - i, q) for i, q in enumerate(bids)], [(MID + 100 + i, q) for i, q in enumerate(asks)]
    )
    return len(kept_bids), len(kept_asks), why


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


@pytest.mark.parametrize("position", [9, -9])
def test_a_position_that_no_order_could_leave_is_none(position: int) -> None:
    """No stop loss holds quotes back for it, and nothing waits until it has been left."""
    lost = exposure(position=position, entry_price=90_000.0 if position > 0 else 10_000.0)
    assert len(cut(lost, Limits(flatten=True), [1], [1])[2]) == 1
    assert cut(lost._replace(least=10), Limits(flatten=True), [1], [1]) == (1, 1, [])
    day = lost._replace(equity=90_000.0, entry_price=0.0)
    assert sum(cut(day, Limits(flatten=True), [1], [1])[:2]) == 1
    assert cut(day._replace(least=10), Limits(flatten=True), [1], [1]) == (0, 0, ["daily loss"])


def test_the_least_position_is_what_the_venue_takes_at_the_lower_end_of_the_collar():
    limits = Limits(flatten_collar=0.1).values()
    assert g.least_position(limits, 2_000, 0, 0) == 1 and g.least_position(limits, 2_000, 7, 0) == 7
    assert g.least_position(limits, 2_000, 7, 9_001) == 11  # at 900 ticks
    assert g.least_position(Limits(price_collar=0.5).values(), 2_000, 1, 9_901) == 11
    assert g.least_position(Limits(flatten_collar=0.5, price_collar=0.1).values(), 2_000, 1, 9_000) == 10


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


# -- the later limits --------------------------------------------------------------------------------------------------


def test_beyond_the_drawdown_nothing_is_quoted_and_what_halted_once_still_halts() -> None:
    limits = Limits(daily_loss=None, drawdown=0.1)
    assert cut(exposure(equity=90_001.0), limits, [1], [1]) == (1, 1, [])
    assert cut(exposure(equity=89_999.0), limits, [1], [1]) == (0, 0, ["drawdown"])
    assert cut(exposure(halts=g.DRAWDOWN), limits, [1], [1]) == (0, 0, ["drawdown"])
    assert g.latched(g.DRAWDOWN | g.DAILY_LOSS | g.VOLATILITY_CUTOFF, limits.values()) == g.DRAWDOWN
    strict = Limits(strict=True).values()
    assert g.latched(g.DRAWDOWN | g.DAILY_LOSS | g.VOLATILITY_CUTOFF, strict) == g.DRAWDOWN | g.DAILY_LOSS


def test_an_order_worth_too_much_is_cut_to_whole_lots_under_the_limit() -> None:
    limits = Limits(None, None, None, None, order_notional=100.0)
    bids, _, why, _ = run(exposure(), limits, [(5_000_000, 150), (4_000_000, 300)], [])
    assert bids == [(5_000_000, 150), (4_000_000, 250)] and why == ["order notional"]
    assert run(exposure(), Limits(None, None, None, None, order_notional=0.4), [(5_000_000, 9)], [])[0] == []


def test_an_order_far_from_the_mid_is_dropped_wherever_it_stands_in_the_list() -> None:
    limits = Limits(None, None, None, None, price_collar=0.02)
    bids, asks, why, _ = run(exposure(), limits, [(1, 5), (4_950_000, 5), (4_899_999, 5)], [(5_100_001, 5)])
    assert bids == [(4_950_000, 5)] and asks == [] and why == ["price collar"]


def test_no_more_new_orders_go_out_in_a_minute_than_allowed_but_what_stands_may_stay() -> None:
    limits = Limits(None, None, None, None, orders_per_minute=3)
    quotes = [(MID - 100 - i, 5) for i in range(4)]
    bids, asks, why, sent = run(exposure(sent=1), limits, quotes, [(MID + 100, 5)], standing_bids=[quotes[2]])
    assert bids == [quotes[0], quotes[1], quotes[2]] and asks == [] and sent == 2 and why == ["order rate"]


def test_strict_counts_what_may_still_fill_though_it_is_not_wanted_any_more() -> None:
    """2,000 lots are allowed; 1,500 stand at another price: a fill on the way must not carry the position over."""
    loose, strict = Limits(), Limits(strict=True)
    old, new = [(MID - 500, 1500)], [(MID - 100, 500), (MID - 200, 1000)]
    assert run(exposure(), loose, new, [], old)[0] == new
    assert run(exposure(), strict, new, [], old)[0] == new[:1]
    assert run(exposure(), strict, old, [], old)[0] == old


def test_flatten_leaves_the_whole_position_one_tick_inside_the_opposite_best() -> None:
    limits = Limits(max_position_share=None, flatten=True, drawdown=0.1)
    lost = exposure(position=700, equity=89_000.0, entry_price=50_000.0)
    assert run(lost, limits, [(MID - 100, 5)], [(MID + 100, 5)])[:3] == (
        [],
        [(4_999_901, 700)],
        ["daily loss", "drawdown"],
    )
    short = exposure(position=-700, entry_price=40_000.0)
    assert run(short, limits, [(MID - 100, 5)], [])[:3] == ([(5_000_099, 700)], [], ["stop loss"])
    wild = exposure(position=700, volatility=1.0, entry_price=50_000.0)
    assert run(wild, limits, [(MID - 100, 5)], [])[:2] == ([], []), "a volatility cut-off waits, it does not leave"


def test_factors_only_ever_tighten() -> None:
    tight = Limits(order_notional=100.0).scaled({"max_position_share": 0.5, "order_notional": 0.1, "drawdown": 0.5})
    assert tight.max_position_share == 0.005 and tight.order_notional == pytest.approx(10) and tight.drawdown is None
    with pytest.raises(UsageError, match="at most 1"):
        Limits().scaled({"stop_loss": 1.5})


@pytest.mark.parametrize("name", ["strict", "flatten"])
def test_a_switch_is_true_or_false(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} must be true or false"):
        Limits(**{name: 1})


def test_the_day_starts_where_it_is_said_to() -> None:
    assert Limits(day_offset_hours=9).day_offset_ns == 9 * 3_600_000_000_000
    with pytest.raises(UsageError, match="from -12 to 14"):
        Limits(day_offset_hours=15)

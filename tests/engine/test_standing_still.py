"""Where the mid stands still a lane of grid is not asked again; nobody can tell."""

import numpy as np
import pytest

from tests.engine.example import SECOND, differences, lane_bytes, market
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import ACCEPTED, ASK, BID, PACKET_END, RESET, SNAPSHOT
from tidewright.market.tape import Columns, Tape, columns
from tidewright.market.touch import touches
from tidewright.risk.limits import Limits

GRID = {"levels": [1.0, 2.0, 3.0], "spread_percentage": [0.004, 0.01, 0.03], "max_position": [0.02, 0.05, 1.0]}
CAPITAL = 100_000_000_000
RULES = {
    "plain": {"entry_ns": SECOND // 20, "response_ns": SECOND // 20},
    "answers after the next decision": {"entry_ns": SECOND // 20, "response_ns": 3 * SECOND},
    "orders after the next decision": {"entry_ns": 5 * SECOND // 2, "queue": "prob"},
    "hftbacktest's rules": {"parity": True, "entry_ns": SECOND // 20},
    "limits": {"limits": Limits(0.9, 0.0001, 0.001, 0.01)},
    "strict limits, and a collar": {"limits": Limits(0.4, 0.001, 0.01, 0.01, price_collar=0.0002, strict=True)},
    "a way out, and a rate": {"limits": Limits(0.5, 0.0002, 0.001, 0.01, orders_per_minute=30, flatten=True)},
    "a largest order, and a drawdown": {"limits": Limits(None, None, None, 1e-4, drawdown=0.02, order_notional=500.0)},
}


JOINED = {**GRID, "spread_percentage": [0.00001, 0.00001, 0.004], "levels": [2.0, 3.0, 4.0]}  # several on a tick


@pytest.fixture(scope="module")
def tape() -> Tape:
    return market(hours=0.4, rate=0.7)


def new(tape: Tape, rules: dict[str, object], grid: dict[str, list[float]]) -> Replay:
    config = ReplayConfig(cycle_ns=SECOND, window_ticks=1 << 16, record_fills=1, record_equity=1, **rules)
    return Replay(tape.instrument, config, "grid", grid, 3, base_units=10_000_000, quote_units=CAPITAL)


@pytest.mark.parametrize("grid", [GRID, JOINED], ids=["apart", "several on a tick"])
@pytest.mark.parametrize("name", RULES)
def test_asking_all_lanes_at_every_decision_gives_the_same_bytes(
    tape: Tape, name: str, grid: dict[str, list[float]]
) -> None:
    seen = touches(tape.data)
    seconds = np.searchsorted(tape.data.ts[seen.row], np.arange(tape.start_ns + SECOND, tape.end_ns, SECOND)) - 1
    mids = (seen.bid + seen.ask)[seconds]
    assert 100 < (mids[1:] == mids[:-1]).sum() < len(mids) - 100

    quick, thorough = new(tape, RULES[name], grid), new(tape, RULES[name], grid)
    quick.feed(tape.data)
    ends = np.flatnonzero(tape.data.flags & PACKET_END)[4::5] + 1
    for first, last in zip([0, *ends], [*ends, len(tape.data.ts)], strict=True):
        assert thorough.parameters.shape[0] == 3  # who looks at them may have written: all are asked again
        thorough.feed(tape.data.rows(int(first), int(last)))
    for replay in (quick, thorough):
        replay.finish()
    one, other = quick.reports(), thorough.reports()
    assert len(one) > 20
    for lane in range(3):
        assert differences(lane_bytes(quick, one, lane), lane_bytes(thorough, other, lane)) == []


def standing(seconds: int) -> Columns:
    """A market whose best prices do not move."""
    start, price = 1_700_000_000 * SECOND, 6_000_000
    rows = [(start, 0, RESET, 0, 0, 0), (start, 0, BID, SNAPSHOT, price - 5, 1000)]
    rows += [(start, 0, ASK, SNAPSHOT | PACKET_END, price + 5, 1000)]
    rows += [(start + k * SECOND // 2, 0, BID, PACKET_END, price - 900, k) for k in range(1, 2 * seconds + 1)]
    return columns(rows)


@pytest.mark.parametrize("share", [0.13, 0.2])
def test_quotes_that_meet_on_a_tick_are_asked_for_again_for_strict_limits_count_them_beside_their_order(
    tape: Tape, share: float
) -> None:
    rows, told = standing(20), []
    for touched in (False, True):
        config = ReplayConfig(cycle_ns=SECOND, record_fills=2, limits=Limits(share, None, None, None, strict=True))
        params = {"levels": 2.0, "spread_percentage": 0.00001, "base_quantity": 0.001}
        replay = Replay(tape.instrument, config, "grid", params, quote_units=CAPITAL)
        for first, last in zip([0, *range(3, 43, 2)], [*range(3, 43, 2), 43], strict=True):
            if touched:
                assert replay.parameters.shape[0] == 1
            replay.feed(rows.rows(first, last))
        told.append(replay.reports())
    assert len(told[0]) > 30
    assert told[0].tobytes() == told[1].tobytes()


def test_new_parameters_are_followed_though_the_mid_stands_still(tape: Tape) -> None:
    rows = standing(10)
    config = ReplayConfig(cycle_ns=SECOND, entry_ns=SECOND // 10, record_fills=2)
    replay = Replay(tape.instrument, config, "grid", {"levels": 1.0}, quote_units=CAPITAL)
    replay.feed(rows.rows(0, 13))
    assert (replay.reports()["what"] == ACCEPTED).sum() == 2
    replay.parameters[0, 0] *= 2.0
    replay.feed(rows.rows(13, len(rows.ts)))
    assert (replay.reports()["what"] == ACCEPTED).sum() == 2  # two more

"""A lane does the same whoever else is in the book."""

import numpy as np
import pytest

from tests.engine.example import SECOND, differences, lane_bytes, last_print, market
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import FILL, GTC, LIMIT, POST_ONLY
from tidewright.market.tape import Tape
from tidewright.risk.limits import Limits

CROWD = 1_001
WATCHED = (0, 1, 617, CROWD - 1)
CAPITAL = 1_000_000_000_000
STOCK = 100_000_000


@pytest.fixture(scope="module")
def tape() -> Tape:
    return market(hours=0.3)


def grid_params() -> dict[str, np.ndarray]:
    random = np.random.default_rng(11)
    return {
        "spread_percentage": np.round(random.uniform(0.004, 0.08, CROWD), 3),
        "levels": random.integers(1, 5, CROWD).astype(float),
        "base_quantity": random.choice([0.001, 0.01, 0.3], CROWD),
        "max_position": random.choice([0.002, 0.02, 1.0], CROWD),
    }


def avellaneda_params() -> dict[str, np.ndarray]:
    random = np.random.default_rng(12)
    return {
        "gamma": random.uniform(0.001, 0.05, CROWD),
        "kappa": random.uniform(0.3, 3.0, CROWD),
        "levels": random.integers(1, 5, CROWD).astype(float),
        "base_quantity": random.choice([0.001, 0.01], CROWD),
        "max_position": np.full(CROWD, 0.05),
    }


def run(tape: Tape, config: ReplayConfig, strategy: str, params: dict[str, np.ndarray], check: bool) -> Replay:
    replay = Replay(
        tape.instrument, config, strategy, params, base_units=STOCK, quote_units=CAPITAL, check_balance=check
    )
    replay.feed(tape.data)
    replay.finish()
    return replay


CASES = {
    "grid, risk averse": ("grid", False, {"queue": "risk_averse"}),
    "grid, probabilistic, slow orders": (
        "grid",
        True,
        {"queue": "prob", "entry_ns": 12 * SECOND, "response_ns": SECOND},
    ),
    "grid, front, limits": ("grid", False, {"queue": "front", "limits": Limits(max_position_share=0.2)}),
    "avellaneda, log": ("avellaneda_stoikov", False, {"queue": "prob_log", "entry_ns": SECOND // 20}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_lane_alone_and_among_a_thousand_others_gives_the_same_bytes(tape: Tape, case: str) -> None:
    strategy, check, rules = CASES[case]
    config = ReplayConfig(cycle_ns=10 * SECOND, window_ticks=1 << 16, record_fills=2, record_equity=1, **rules)
    params = grid_params() if strategy == "grid" else avellaneda_params()
    crowd = run(tape, config, strategy, params, check)
    reports = crowd.reports()
    assert len(np.unique(crowd.statistics()["equity_end"])) > 20, "lanes must differ for this to mean anything"
    filled = 0
    for lane in WATCHED:
        alone = run(tape, config, strategy, {name: values[lane : lane + 1] for name, values in params.items()}, check)
        told = alone.reports()
        assert differences(lane_bytes(alone, told, 0), lane_bytes(crowd, reports, lane)) == []
        filled += int((told["what"] == FILL).sum())
    assert filled > 20


def test_lanes_of_equal_parameters_are_equal_and_their_neighbours_order_does_not_matter(tape: Tape) -> None:
    config = ReplayConfig(cycle_ns=10 * SECOND, entry_ns=SECOND // 10, record_fills=2, record_equity=1)
    spreads = np.array([0.01, 0.02, 0.04, 0.01])
    forward = run(tape, config, "grid", {"spread_percentage": spreads}, False)
    backward = run(tape, config, "grid", {"spread_percentage": spreads[::-1]}, False)
    one, other = forward.reports(), backward.reports()
    assert differences(lane_bytes(forward, one, 0), lane_bytes(forward, one, 3)) == []
    for lane in range(4):
        assert differences(lane_bytes(forward, one, lane), lane_bytes(backward, other, 3 - lane)) == []


def drive(tape: Tape, lanes: int, watched: int) -> Replay:
    """Lanes driven from outside; the watched one sends the same orders whatever the others do."""
    config = ReplayConfig(queue="prob", response_ns=SECOND // 50, record_equity=1)
    replay = Replay(tape.instrument, config, lanes=lanes, base_units=STOCK, quote_units=CAPITAL, check_balance=True)
    price = last_print(tape.data, 0)
    orders = []
    for lane in range(lanes):
        random = np.random.default_rng(99 if lane == watched else 1_000 + lane)
        for number in range(30 if lane == watched else 3):
            side, offset = int(random.integers(0, 2)), int(random.integers(-2_000, 3_000))
            when = tape.start_ns + int(random.integers(1, 18 * 60)) * SECOND
            tif = (GTC, POST_ONLY)[number % 2]
            away = price - offset if side == 0 else price + offset
            orders.append((when, lane, side, tif, away, int(random.integers(100, 100_000)), number))
    for when, lane, side, tif, away, qty, tag in sorted(orders):
        replay.submit(lane, side, LIMIT, tif, away, qty, when, tag)
    replay.feed(tape.data)
    replay.finish()
    return replay


def test_an_account_alone_and_among_three_hundred_others_gives_the_same_bytes(tape: Tape) -> None:
    alone, crowd = drive(tape, 1, 0), drive(tape, 301, 150)
    told = alone.reports()
    assert (told["what"] == FILL).sum() > 5
    assert differences(lane_bytes(alone, told, 0), lane_bytes(crowd, crowd.reports(), 150)) == []

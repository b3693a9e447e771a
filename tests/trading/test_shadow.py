"""Shadow accounts earn what their strategy earns, and nothing else."""

import numpy as np
import pytest

from tests.trading.fake_session import CYCLE, START
from tests.trading.fake_venue import INSTRUMENT
from tidewright.market.codes import ASK, BID, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.errors import UsageError
from tidewright.market.tape import columns
from tidewright.risk.limits import OFF
from tidewright.trading.shadow import Shadow, Terms

SIZES = {"base_quantity": 0.01, "max_position": 0.05}
TERMS = Terms(START, CYCLE, 50_000_000, 50_000_000, 0, 10**8, 10**13, OFF)


def rows(seed: int, cycles: int):
    rng, mid = np.random.default_rng(seed), 6_000_000
    for k in range(cycles):
        ts = START + k * CYCLE + 1
        mid += int(rng.integers(-2000, 2000))
        yield columns(
            [
                (ts, ts, RESET, 0, 0, 0),
                (ts, ts, BID, SNAPSHOT, mid - 500, 1000),
                (ts, ts, ASK, SNAPSHOT | PACKET_END, mid + 500, 1000),
            ]
        )
        later = ts + CYCLE // 2
        side, price = (TRADE_BUY, mid + 4000) if rng.random() < 0.5 else (TRADE_SELL, mid - 4000)
        yield columns([(later, later, side, PACKET_END, price, 3000)])


def test_who_quotes_nothing_gains_nothing_whatever_the_price_does():
    shadow = Shadow(INSTRUMENT, TERMS, {"idle": ("grid", {**SIZES, "base_quantity": 0.0}), "grid": ("grid", {**SIZES})})
    total = {"idle": 0.0, "grid": 0.0}
    for part in rows(1, 60):
        shadow.feed(part)
        for name, gain in shadow.gains().items():
            total[name] += gain
    assert total["idle"] == pytest.approx(0.0, abs=1e-6)
    assert abs(total["grid"]) > 0.01


def test_the_same_rows_give_the_same_gains_however_they_are_cut():
    agents = {"grid": ("grid", SIZES), "glft": ("glft", SIZES)}
    one, other = Shadow(INSTRUMENT, TERMS, agents), Shadow(INSTRUMENT, TERMS, agents)
    for part in rows(2, 40):
        one.feed(part)
        for index in range(len(part.ts)):  # a packet in pieces waits for its end
            other.feed(part.rows(index, index + 1))
    assert one.gains() == other.gains()


def test_rows_that_cannot_be_replayed_end_the_results_and_not_the_session():
    shadow = Shadow(INSTRUMENT, TERMS, {"grid": ("grid", SIZES)})
    parts = list(rows(3, 10))
    for part in (*parts, parts[0]):
        shadow.feed(part)
    assert "venue time" in shadow.broken and shadow.gains() == {}
    with pytest.raises(UsageError, match="no shadow account of nobody"):
        shadow.use("nobody", {})

"""Shadow accounts earn what their strategy earns, and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trading.fake_session import CYCLE, START
from tests.trading.fake_venue import INSTRUMENT
from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.windows import Window
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, PACKET_END, RESET, SNAPSHOT, TRADE_BUY, TRADE_SELL
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape, columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.risk.limits import OFF
from tidewright.trading.shadow import Shadow, Terms, open_shadow

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


def touches(seed: int, cycles: int):
    """Best quotes that wander by a tick; their sizes come and go behind and before the lanes' orders."""
    rng, mid, first = np.random.default_rng(seed), 6_000_000, START + 1
    yield columns(
        [
            (first, first, RESET, 0, 0, 0),
            (first, first, BID, SNAPSHOT, mid - 3, 1000),
            (first, first, ASK, SNAPSHOT | PACKET_END, mid + 3, 1000),
        ]
    )
    for k in range(16 * cycles):
        ts = START + k * CYCLE // 16 + 2
        mid += int(rng.choice((-1, 0, 0, 0, 0, 1)))
        bid, ask = (int(size) for size in rng.integers(500, 4000, 2))
        yield columns([(ts, ts, BEST_BID, 0, mid - 3, bid), (ts, ts, BEST_ASK, PACKET_END, mid + 3, ask)])
        side, price = (TRADE_BUY, mid + 3) if rng.random() < 0.5 else (TRADE_SELL, mid - 3)
        yield columns([(ts + 1, ts + 1, side, PACKET_END, price, int(rng.integers(100, 1500)))])


def judged(folder: Path, queue: str, detail: str) -> dict[str, float]:
    """What the optimizer's judge says of a set, which is what the shadow account of the same tape shows."""
    writer = TapeWriter(folder, INSTRUMENT, detail=detail, growing=True)
    for part in touches(4, 40):
        writer.append(part)
    writer.publish()
    writer.close()
    quotes = {"base_quantity": 0.002, "max_position": 0.05, "spread_percentage": 0.00008, "levels": 3}
    terms = replace(TERMS, base_units=0, queue=queue)
    shadow = open_shadow(INSTRUMENT, terms, {"grid": ("grid", quotes)}, writer)
    tape = Tape.open(folder)
    settings = Settings(CYCLE, 0, 50_000_000, 50_000_000, queue=queue, equity=terms.quote_units, check_balance=True)
    window = Window(START, int(tape.data.ts[-1]))
    told = ShadowJudge(tape, len(tape), "grid", settings, START).evaluate(window, quotes, 1).statistics
    account = shadow._lanes["grid"].replay.statistics()
    for name in ("n_fills", "equity_end", "max_drawdown", "sum_return_sq"):
        assert account[name][0] == told[name][0], name
    return {name: float(told[name][0]) for name in ("n_fills", "equity_end")}


def test_shadow_accounts_and_the_optimizer_judge_one_market(tmp_path: Path):
    markets = [("risk_averse", "L2+trades"), ("prob", "L2+trades"), ("prob", "best bid/ask+trades")]
    found = [judged(tmp_path / str(number), *market) for number, market in enumerate(markets)]
    assert found[0] != found[1] and found[1] != found[2]  # what is assumed of queues and of the book matters here

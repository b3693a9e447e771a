"""Correlation alarms of a live session: what is known at each decision, told once, and what it tightens."""

import math

import numpy as np
import pytest

from tests.trading.fake_venue import INSTRUMENT
from tests.trading.hostile import Levels, Memory
from tidewright.agents.executor.executor import AccountNow, MarketNow
from tidewright.market.codes import ASK, BID, GAP, PACKET_END, RESET, SNAPSHOT
from tidewright.market.errors import UsageError
from tidewright.market.tape import columns
from tidewright.market.tape_writer import TapeWriter
from tidewright.risk.limits import Limits
from tidewright.risk.portfolio import PortfolioLimits
from tidewright.trading.correlations import Correlations, OtherMarkets
from tidewright.trading.guard import Guard
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.orders import OrderManager, Quote
from tidewright.trading.settings import RiskSettings

CYCLE = 30_000_000_000
START = 1_700_000_000 * 10**9 // CYCLE * CYCLE


def pairs(count: int, correlation: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, count)) * 1e-3
    return np.stack([x, correlation * x + math.sqrt(1 - correlation**2) * y], axis=1)


def test_a_lost_correlation_is_told_when_it_begins_and_when_it_is_over() -> None:
    told: list[tuple[int, dict]] = []
    watched = Correlations(("BTC", "ETH"), lambda now, data: told.append((now, data)))
    moves = np.concatenate([pairs(300, 0.9, 1), pairs(120, -0.5, 2), pairs(400, 0.9, 3)])
    lost = []
    for step, (a, b) in enumerate(moves):
        watched.add(step, {"BTC": a, "ETH": b})
        lost.append(watched.lost)
    assert max(lost[:300]) == 0 and max(lost[300:420]) == 1 and lost[-1] == 0
    began = [now for now, data in told if data["event"] == "alarm" and "has been lost" in data["cause"]]
    over = [now for now, data in told if data["event"] == "lifted"]
    assert 300 < began[0] < 350 and over
    assert watched.rows()[0]["first"] == "BTC" and watched.rows()[0]["now"] > 0.7


def test_a_step_in_which_one_is_not_known_is_left_out() -> None:
    watched = Correlations(("BTC", "ETH"), lambda now, data: None)
    for step, (a, b) in enumerate(pairs(50, 0.9, 1)):
        watched.add(step, {"BTC": a, "ETH": b} if step % 2 else {"BTC": a})
    assert len(watched._rows) == 25


class Tapes:
    """Another instrument's tape that grows."""

    def __init__(self, folder) -> None:
        self.path = folder / "eth"
        self.writer = TapeWriter(self.path, INSTRUMENT, growing=True)
        self.quote(START, 3_000_00)

    def quote(self, ts: int, mid: int) -> None:
        reset = [(ts, ts, RESET, 0, 0, 0)]
        levels = [(ts, ts, BID, SNAPSHOT, mid - 1, 10), (ts, ts, ASK, SNAPSHOT | PACKET_END, mid + 1, 10)]
        self.writer.append(columns(reset + levels))
        self.writer.publish()


def test_another_market_is_known_as_of_now_and_not_when_it_is_stale_or_not_there(tmp_path) -> None:
    tapes = Tapes(tmp_path)
    markets = OtherMarkets(
        "BTC", {"ETH": str(tapes.path), "SOL": str(tmp_path / "nothing")}, CYCLE, lambda now, data: None
    )
    eth, sol = markets._others.values()
    tapes.quote(START + 5, 3_100_00)
    assert eth.mid2(START, CYCLE) == 2 * 3_000_00, "what came later is not known yet"
    assert eth.mid2(START + 5, CYCLE) == 2 * 3_100_00
    tapes.quote(START + CYCLE, 3_200_00)
    assert eth.mid2(START + CYCLE + 1, CYCLE) == 2 * 3_200_00, "the tape has grown"
    assert eth.mid2(START + 3 * CYCLE, CYCLE) == 0, "too old"
    assert sol.mid2(START, CYCLE) == 0 and sol.wrong
    assert markets.price("ETH") == 3_200.0, "what is held does not vanish with its newest price"
    assert np.isnan(markets.price("SOL")), "there has never been one"
    markets.look(START, 100)
    assert not markets.correlations._rows
    tapes.writer.close()


def test_a_lost_correlation_tightens_the_limits_and_is_told(tmp_path) -> None:
    tapes, told = Tapes(tmp_path), []
    guard = Guard(
        INSTRUMENT,
        Limits(strict=True),
        RiskSettings(others={"ETH": str(tapes.path)}),
        Memory(),
        "a",
        CYCLE,
        lambda now, data: told.append(data),
    )
    mids = np.exp(np.cumsum(np.concatenate([pairs(120, 0.95, 1), pairs(60, -0.8, 2)]), axis=0))
    for step, (own, other) in enumerate(mids, 1):
        now = START + step * CYCLE
        tapes.quote(now, round(3_000_00 * other))
        mid = round(6_000_000 * own)
        market = MarketNow(True, mid - 1, mid + 1, 10, 10)
        guard.begin(now, AccountNow(0, 0, 100_000.0, 0.0), [], 0, Levels())
        guard.watch(market, 1e-4)
        guard.look(now, market)
    assert guard.effective.max_position_share == pytest.approx(0.008)
    assert any(data["rule"] == "correlation" and "has been lost" in data["cause"] for data in told)
    assert any(data["event"] == "tightened" and "1 correlation lost" in data["cause"] for data in told)
    assert guard.now().correlations[0]["alarm"] == "lost"
    tapes.writer.close()


def followed(tapes: Tapes, told: list, moves: np.ndarray) -> tuple[OtherMarkets, list[tuple[int, int]]]:
    """A session's look at the other market at each decision, and what it writes down of its own."""
    markets = OtherMarkets("BTC", {"ETH": str(tapes.path)}, CYCLE, lambda now, data: told.append(data))
    decisions = []
    for step, (own, other) in enumerate(np.exp(np.cumsum(moves, axis=0)), 1):
        now = START + step * CYCLE
        if step % 40 == 20:  # a hole in the recording, for one cycle
            tapes.writer.append(columns([(now, now, GAP, PACKET_END, 0, 0)]))
            tapes.writer.publish()
        elif not 60 < step < 66:  # nothing is recorded: the mid goes stale
            tapes.quote(now, round(3_000_00 * other))
        decisions.append((now, 0 if step == 50 else round(6_000_000 * own) * 2))
        markets.look(*decisions[-1])
    return markets, decisions


def test_a_restart_reads_from_the_tapes_what_had_been_measured_and_nothing_more(tmp_path) -> None:
    tapes, told, again = Tapes(tmp_path), [], []
    before, decisions = followed(tapes, told, np.concatenate([pairs(120, 0.95, 1), pairs(60, -0.8, 2)]))
    assert before.correlations.now and told
    names = ("BTC", "ETH")
    after = OtherMarkets("BTC", {"ETH": str(tapes.path)}, CYCLE, lambda now, data: again.append(data))
    after.recall(decisions)
    assert np.array_equal(after.returns(names), before.returns(names)) and len(after.returns(names)) > 140
    assert after.correlations.now == before.correlations.now and again == [], "what was told is not told again"
    now = decisions[-1][0] + CYCLE
    tapes.quote(now, 2_900_00)
    for markets in (before, after):
        markets.look(now, 12_100_000)
    assert np.array_equal(after.returns(names), before.returns(names))
    assert after.price("ETH") == before.price("ETH") == 2_900.0
    tapes.writer.close()


def test_the_time_that_a_session_stood_still_is_not_a_cycles_return(tmp_path) -> None:
    tapes, told = Tapes(tmp_path), []
    _, decisions = followed(tapes, told, pairs(49, 0.9, 1))
    markets = OtherMarkets("BTC", {"ETH": str(tapes.path)}, CYCLE, lambda now, data: None)
    markets.recall(decisions)
    known, hour = len(markets.returns(("BTC", "ETH"))), decisions[-1][0] + 120 * CYCLE
    for step, mid in enumerate((2_000_00, 2_001_00)):
        tapes.quote(hour + step * CYCLE, mid)
        markets.look(hour + step * CYCLE, 9_000_000 + step)
        assert len(markets.returns(("BTC", "ETH"))) == known + step
    assert abs(markets.returns(("BTC", "ETH"))).max() < 0.01
    tapes.writer.close()


def test_with_holdings_the_value_at_risk_is_known_at_once_after_a_restart_and_unknown_without_a_tape(tmp_path) -> None:
    tapes = Tapes(tmp_path)
    _, decisions = followed(tapes, [], pairs(59, 0.9, 1))
    shown = []
    for path in (tapes.path, tmp_path / "nothing"):
        settings = RiskSettings(PortfolioLimits(value_at_risk=0.5), others={"ETH": str(path)}, holdings={"ETH": 1.0})
        guard = Guard(INSTRUMENT, Limits(), settings, Memory(), "a", CYCLE, lambda *_: None)
        guard.recall(decisions)
        now, mid2 = decisions[-1][0] + CYCLE, decisions[-1][1]
        market = MarketNow(True, mid2 // 2 - 1, mid2 // 2 + 1, 10, 10)
        guard.watch(market, 1e-4)
        guard.look(now, market)
        guard.begin(now, AccountNow(1_000, 1_000, 100_000.0, 60_000.0), [], 0, Levels())
        shown.append(guard.now().value_at_risk)
    assert shown[0] is not None and shown[0] > 0.0
    assert shown[1] is None
    tapes.writer.close()


def test_a_holding_that_never_had_a_price_lets_the_own_position_only_shrink(tmp_path) -> None:
    settings = RiskSettings(
        PortfolioLimits(value_at_risk=0.5), others={"ETH": str(tmp_path / "nothing")}, holdings={"ETH": 1.0}
    )
    guard = Guard(INSTRUMENT, Limits(max_position_share=0.9), settings, Memory(), "a", CYCLE, lambda *_: None)
    account = AccountNow(1_000, 1_000, 100_000.0, 60_000.0)
    guard.watch(MarketNow(True, 5_999_999, 6_000_001, 10, 10), 1e-4)
    guard.look(START, MarketNow(True, 5_999_999, 6_000_001, 10, 10))
    guard.begin(START, account, [], 0, Levels())
    manager = OrderManager("s", Ledger(INSTRUMENT, LedgerState(10**12, 10**16)))
    plan = manager.plan([Quote(0, 5_990_000, 10), Quote(1, 6_010_000, 1_000)])
    admitted = guard.admit(START, plan, account, [], "s", 1)
    assert [order.side for order in admitted.orders] == [1]
    assert admitted.why == ("held back: portfolio limit (the price of ETH is not known)",)


def test_what_is_held_of_another_that_moves_alike_leaves_less_room_before_an_order(tmp_path) -> None:
    tapes = Tapes(tmp_path)
    name = INSTRUMENT.symbol

    def room(held: float, alike: float) -> tuple[float | None, list[str]]:
        settings = RiskSettings(
            PortfolioLimits(correlated=0.4, value_at_risk=0.5),
            others={"ETH": str(tapes.path)},
            holdings={"ETH": held} if held else {},
        )
        guard = Guard(INSTRUMENT, Limits(max_position_share=0.9), settings, Memory(), "a", CYCLE, lambda *_: None)
        guard._others = Moving(name, pairs(80, alike, 5))
        for step in range(1, 81):
            now = START + step * CYCLE
            market = MarketNow(True, 5_999_999, 6_000_001, 10, 10)
            guard.watch(market, 1e-4)
            guard.look(now, market)
        guarded = guard.begin(now, AccountNow(0, 0, 100_000.0, 0.0), [], 0, Levels())
        return guarded.limits.max_position_share, [row["name"] for row in guard.now().limits]

    free, _ = room(0.0, 0.95)
    assert free == pytest.approx(0.9), "one instrument alone is correlated with nothing"
    alone, names = room(10.0, 0.0)
    assert alone == pytest.approx(0.4, abs=0.01) and f"correlated:{name}" in names
    together, _ = room(10.0, 0.95)
    assert together == pytest.approx(0.1, abs=0.01), "10 ETH of 3,000 are 30 % of the equity already"
    with pytest.raises(UsageError, match="no tape"):
        RiskSettings(holdings={"ETH": 1.0})
    tapes.writer.close()


class Moving(OtherMarkets):
    """The other market without a tape: prices that move as given."""

    def __init__(self, own: str, moves: np.ndarray) -> None:
        super().__init__(own, {}, CYCLE, lambda *_: None)
        self.correlations = Correlations((own, "ETH"), lambda *_: None)
        self._moves = iter(moves)

    def look(self, now_ns: int, mid2: int) -> None:
        own, other = next(self._moves)
        self.correlations.add(now_ns, {self._own: own, "ETH": other})

    def price(self, name: str) -> float:
        return 3_000.0

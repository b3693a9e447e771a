"""A restart lifts no limit: prices, volatility and what tightens are known at the first decision after it."""

from dataclasses import replace

import pytest

from tests.trading.fake_session import CYCLE as BEAT
from tests.trading.fake_session import Stage
from tests.trading.hostile import CYCLE, INSTRUMENT, Levels, Memory
from tests.trading.test_rollout_restart import Killed, Scripted, staged
from tidewright.agents.executor.executor import AccountNow, MarketNow
from tidewright.market.codes import GAP, PACKET_END
from tidewright.market.features import RETURNS
from tidewright.market.tape import columns
from tidewright.risk.limits import OFF, Limits
from tidewright.risk.portfolio import PortfolioLimits
from tidewright.store import schema
from tidewright.trading.guard import Guard
from tidewright.trading.opening import Recalled
from tidewright.trading.settings import AgentSettings, RiskSettings, StrategyAgent
from tidewright.trading.several import Desk


def killed_and_resumed(folder, moves, dies=8, more=3, **settings):
    """A session that is killed before its decision ``dies`` and goes on with it: its decisions' rows by number."""

    def mortal(stage, number):
        moves(stage, number)
        if number == dies:
            raise Killed

    first = Stage(folder, 100, mortal, **settings)
    with pytest.raises(Killed):
        first.run()
    first.database.close()
    second = Stage(folder, dies + more, moves, **settings)
    second.venue = second.session._parts.venue = first.venue
    second.cycles._at, second.feed.begins = dies, second.at(dies) - 10
    first.venue.events.clear()
    second.run()
    rows = second.database.rows(schema.decisions, "s")
    return second, {(row["ts"] - second.at(0)) // (second.at(1) - second.at(0)): row for row in rows}


def quiet(stage, number):
    stage.feed.quote(stage.at(number) - 2, 5_999_500, 6_000_500, snapshot=True)


def wild(stage, number):
    mid = 6_000_000 if number % 2 else 6_180_000
    stage.feed.quote(stage.at(number) - 2, mid - 500, mid + 500, snapshot=True)


def test_the_first_decision_after_a_restart_has_the_portfolios_limits(tmp_path):
    risk = RiskSettings(PortfolioLimits(concentration=1e-7), dynamic=None)
    _, rows = killed_and_resumed(tmp_path, quiet, limits=OFF, risk=risk)
    assert {number: row["placed"] for number, row in rows.items()} == dict.fromkeys(range(1, 11), 0)
    assert "portfolio limit (concentration" in rows[8]["why"]


@pytest.mark.parametrize("dies", [30, 45])
def test_what_the_warm_up_has_shown_is_known_after_a_restart_too(dies, tmp_path):
    def moves(stage, number):
        if number % 7:  # a market that is quiet at times
            mid = 6_000_000 + 37_000 * (number % 5) - 11_000 * (number % 3)
            stage.feed.quote(stage.at(number) - 2, mid - 500, mid + 500, snapshot=True)

    settings = {"warmup_ns": 40 * BEAT + BEAT // 3, "limits": OFF}
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    whole = Stage(tmp_path / "whole", dies + 15, moves, **settings)
    whole.run()
    resumed, _ = killed_and_resumed(tmp_path / "killed", moves, dies, 15, **settings)
    expected, found = (list(stage.session._guard._returns) for stage in (whole, resumed))
    assert len(found) == len(expected) == dies + 15
    cut = slice(dies - 1, dies + 1)  # the price at which the feed begins anew
    del expected[cut], found[cut]
    assert found == expected
    assert resumed.session._executor.volatility == pytest.approx(whole.session._executor.volatility, rel=0.05)


def test_limits_over_instruments_are_measured_at_the_prices_of_the_decision(tmp_path):
    made = Stage(tmp_path, 6, wild, limits=OFF, risk=RiskSettings(PortfolioLimits(concentration=0.5), dynamic=None))
    found = []

    def look(now):
        if now.stage == "trading" and now.cycle:
            most = 0.5 * now.equity_units / 1e8 / (1e-5 * now.mid2 / 2 * 0.01)
            found.append(made.session._guard._most_lots - most)

    made.session._parts.observers = (look,)
    made.run()
    assert len(found) == 6 and all(-1.01 <= off <= 0.01 for off in found)


def test_the_volatility_cutoff_halts_on_after_a_restart(tmp_path):
    limits = replace(OFF, volatility_cutoff=0.01)
    second, rows = killed_and_resumed(tmp_path, wild, limits=limits, risk=RiskSettings(dynamic=None))
    assert [rows[number]["why"] for number in (7, 8, 9)] == ["volatility cut-off"] * 3
    assert rows[8]["placed"] == 0 and second.session._executor.volatility > 0.01


def test_agents_and_limits_know_the_market_of_before_a_restart(tmp_path):
    agents = AgentSettings(strategies={"a": StrategyAgent("grid", {}), "b": StrategyAgent("glft", {})})
    second, _ = killed_and_resumed(tmp_path, wild, limits=OFF, agents=agents)
    desk, guard = second.session._executor, second.session._guard
    assert isinstance(desk, Desk) and len(guard._returns) == 11
    assert desk.volatility == guard.volatility > 0.01
    assert {agent.executor.volatility for agent in desk.agents.values()} == {desk.volatility}
    assert desk._features[RETURNS] == 11, "those of before the kill too"


def test_a_recalled_book_that_was_not_whole_has_no_mid(tmp_path):
    def torn(stage, number):
        wild(stage, number)
        if number in (4, 5):
            at = stage.at(number) - 2
            stage.feed.coming = [columns([(at, at, GAP, PACKET_END, 0, 0)])]

    second, rows = killed_and_resumed(tmp_path, torn)
    recalled = second.session._opened.recalled
    assert all(isinstance(row, Recalled) for row in recalled) and len(recalled) == 8
    assert [bool(row.mid2) for row in recalled] == [number in rows or number == 0 for number in range(8)]
    assert not recalled[4].mid2 and not recalled[5].mid2


class Poor(Scripted):
    """An optimizer whose confidence is no better than a coin, and that says so."""

    async def send(self, item) -> None:
        self.proposed = True
        await super().send(item)
        if item.message_type == "optimize_request":
            told = self.answers.get_nowait()
            data = told.message.data.model_copy(update={"reliability": {"brier": 0.3, "n": 50}})
            self.answers.put_nowait(replace(told, message=told.message.model_copy(update={"data": data})))


def test_what_tightens_by_poor_calibration_tightens_on_after_a_restart(tmp_path):
    def die(stage, number):
        quiet(stage, number)
        if number == 16:
            raise Killed

    first = staged(tmp_path, 100, Poor(0.0), die)
    with pytest.raises(Killed):
        first.run()
    factor = first.session._guard._tightening.factors["max_position_share"]
    assert factor == pytest.approx(0.75)
    first.database.close()
    second = staged(tmp_path, 18, Scripted(0.0), quiet)
    second.cycles._at, second.feed.begins = 16, second.at(16) - 10
    second.venue = second.session._parts.venue = first.venue
    first.venue.events.clear()
    second.run()
    assert second.session._advice.calibration == (0.3, 50)
    assert second.session._guard._tightening.factors["max_position_share"] == factor


def test_without_a_price_the_portfolio_allows_nothing():
    portfolio = RiskSettings(PortfolioLimits(concentration=0.5))
    guard = Guard(INSTRUMENT, OFF, portfolio, Memory(), "a", CYCLE, lambda *_: None)
    rich = AccountNow(0, 0, 100_000.0, 0.0)
    guard.begin(CYCLE, rich, [], 0, Levels())
    assert guard._most_lots == 0
    guard.watch(MarketNow(True, 5_999_900, 6_000_100, 1000, 1000), 1e-4)
    guard.begin(2 * CYCLE, rich, [], 0, Levels())
    assert guard._most_lots == 83_333


def test_a_guard_that_recalls_measures_what_it_would_have_measured():
    made = [Guard(INSTRUMENT, Limits(), RiskSettings(), Memory(), "a", CYCLE, lambda *_: None) for _ in range(2)]
    mids = [(k * CYCLE, 12_000_000 + 1000 * k * (-1) ** k) for k in range(40)]
    made[0].recall(mids)
    made[1].recall(mids[:20])
    made[1].recall(mids[20:])
    assert list(made[0]._returns) == list(made[1]._returns) and len(made[0]._returns) == 39
    assert made[0]._mid == mids[-1][1] / 2 * 0.01 and made[0].volatility > 0

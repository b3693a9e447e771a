"""Nothing that agents send passes the limits, limits outlive a kill, and every change is told."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trading.hostile import CYCLE, INSTRUMENT, Attack, Counts, Levels, Memory
from tidewright.agents.executor.executor import AccountNow, MarketNow
from tidewright.market.clock import DAY, SECOND
from tidewright.risk.limits import Limits
from tidewright.risk.portfolio import PortfolioLimits
from tidewright.trading.guard import Guard
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.orders import OrderManager, Quote
from tidewright.trading.settings import RiskSettings

MARKET = MarketNow(True, 5_999_900, 6_000_100, 1000, 1000)
RICH = AccountNow(0, 0, 100_000.0, 0.0)


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_whatever_agents_send_no_order_passes_a_limit(seed: int) -> None:
    Attack(seed).run(30)


@pytest.mark.slow
def test_a_long_attack_passes_no_limit(capsys: pytest.CaptureFixture[str]) -> None:
    total = Counts()
    for seed in range(300):
        found = Attack(seed).run(200)
        for name in vars(total):
            setattr(total, name, getattr(total, name) + getattr(found, name))
    with capsys.disabled():
        sys.stdout.write(f"\n300 attacks of 200 cycles: {vars(total)}\n")
    assert total.sent > 10_000 and total.blocked > 10_000 and total.restarts > 1_000


def guard(limits: Limits, memory: Memory | None = None, **settings_: object) -> tuple[Guard, list[dict]]:
    told: list[dict] = []
    made = Guard(
        INSTRUMENT, limits, RiskSettings(**settings_), memory or Memory(), "a", CYCLE, lambda _, data: told.append(data)
    )  # type: ignore[arg-type]
    made.watch(MARKET, 1e-4)
    return made, told


def admitted(made: Guard, now: int, account: AccountNow, *quotes: Quote) -> int:
    manager = OrderManager("s", Ledger(INSTRUMENT, LedgerState(10**12, 10**16)))
    made.begin(now, account, [], 0, Levels())
    plan = made.admit(now, manager.plan(quotes), account, [], "s", 1)
    made.save(now)
    return len(plan.orders)


def test_a_drawdown_halts_survives_the_kill_and_the_next_day_and_ends_only_by_a_release() -> None:
    limits, memory = Limits(drawdown=0.1, strict=True, daily_loss=None), Memory()
    quote, poor = Quote(0, 5_990_000, 10), RICH._replace(equity=89_000.0)
    first, told = guard(limits, memory)
    assert admitted(first, SECOND, RICH, quote) == 1
    guarded = first.begin(2 * SECOND, poor, [], 0, Levels())
    guarded.state.latch(16, limits)
    assert admitted(first, 3 * SECOND, poor, quote) == 0
    assert [event["rule"] for event in told if event["event"] == "breach"] == ["drawdown"]
    again, _ = guard(limits, memory)
    assert again.state.peak_equity == 100_000.0
    assert admitted(again, DAY + SECOND, RICH, quote) == 0, "recovered, the next day, restarted: still halted"
    again.state.release("drawdown", 100_000.0)
    assert admitted(again, DAY + 2 * SECOND, RICH, quote) == 1


def test_the_days_first_equity_survives_a_restart() -> None:
    memory = Memory()
    first, _ = guard(Limits(daily_loss=0.05, strict=True), memory)
    admitted(first, SECOND, RICH, Quote(0, 5_990_000, 10))
    again, told = guard(Limits(daily_loss=0.05, strict=True), memory)
    assert admitted(again, 2 * SECOND, RICH._replace(equity=94_000.0), Quote(0, 5_990_000, 10)) == 0
    assert told[-1]["rule"] == "daily_loss" and told[-1]["action"] == "halt"
    assert told[-1]["value"] == pytest.approx(0.06) and told[-1]["limit"] == 0.05


def test_what_tightens_and_what_loosens_is_told_once_with_its_cause() -> None:
    made, told = guard(Limits(strict=True))
    made.begin(SECOND, RICH, [], 0, Levels())
    made.begin(2 * SECOND, RICH, [], 75 * SECOND, Levels())
    made.begin(3 * SECOND, RICH, [], 75 * SECOND, Levels())
    assert made.effective.max_position_share == pytest.approx(0.0055)
    made.begin(4 * SECOND, RICH, [], 0, Levels())
    assert [event["event"] for event in told] == ["tightened", "loosened"]
    assert "market data is 75.0 s old" in told[0]["cause"] and made.effective.max_position_share == 0.01


def test_orders_that_are_held_back_are_counted_and_the_rest_keep_their_numbers_in_a_row() -> None:
    made, _ = guard(Limits(price_collar=0.01, strict=True))
    manager = OrderManager("s", Ledger(INSTRUMENT, LedgerState(10**12, 10**16)))
    made.begin(SECOND, RICH, [], 0, Levels())
    plan = manager.plan([Quote(0, 5_900_000, 10), Quote(0, 5_990_000, 10), Quote(1, 6_010_000, 10)])
    kept = made.admit(SECOND, plan, RICH, [], "s", 7)
    assert [order.client_order_id for order in kept.orders] == ["tw-s-7", "tw-s-8"]
    assert kept.why == ("held back: price collar",) and made.now().blocked == {"price collar": 1}


def test_a_var_limit_is_asked_before_the_order() -> None:
    made, _ = guard(Limits(max_position_share=1.0, strict=True), portfolio=PortfolioLimits(value_at_risk=0.01))
    rng = np.random.default_rng(1)
    for _ in range(300):
        half = int(6_000_000 * np.exp(rng.normal(0, 1e-3)))
        made.watch(MarketNow(True, half, half, 1, 1), 1e-3)
    guarded = made.begin(SECOND, RICH, [], 0, Levels())
    share = guarded.limits.max_position_share
    assert share is not None and 0.001 < share < 0.2, "1 % over VaR of a day at 0.1 % a cycle of 5 s"
    assert admitted(made, SECOND, RICH, Quote(0, 5_990_000, 150_000)) == 0
    shown = {row["name"]: row for row in made.now().limits}
    assert shown["value_at_risk"]["limit"] == 0.01 and made.now().value_at_risk == 0.0


def test_what_the_portfolio_cuts_is_told_by_its_name() -> None:
    made, _ = guard(Limits(strict=True), portfolio=PortfolioLimits(concentration=0.001))
    guarded = made.begin(SECOND, RICH, [], 0, Levels())
    assert guarded.limits.max_position_share == pytest.approx(0.001, rel=1e-2)
    told = made.note_cut(("position limit", "held back"))
    assert told[0].startswith("portfolio limit (concentration") and told[1] == "held back"
    assert list(made.now().blocked) == [told[0]]

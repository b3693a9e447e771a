import math
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.test_custom import ENDLESS, FAULTY, line_with, written
from tests.strategies.test_custom import GRID as OWN_GRID
from tidewright.agents.executor import state as executor_state
from tidewright.agents.executor.executor import AccountNow, Executor, Guarded, MarketNow, sized
from tidewright.agents.executor.proposals import Gate, Standing, judge
from tidewright.agents.executor.state import NAMES, StateInputs
from tidewright.coordination.payloads import ParameterUpdate
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument
from tidewright.risk.limit_state import LimitState
from tidewright.risk.limits import OFF, Limits

INSTRUMENT = Instrument("binance", "BTCUSDT", "BTC", "USDT", "0.01", "0.00001")
CYCLE = 30_000_000_000
GRID = {"spread_percentage": 0.2, "levels": 3, "base_quantity": 0.001, "max_position": 0.01}
WHOLE = MarketNow(True, 5_999_900, 6_000_100, 100_000, 300_000)
RICH = AccountNow(0, 0, 100_000.0, 0.0)


def executor(limits: Limits = OFF, **params) -> Executor:
    return Executor(INSTRUMENT, 0, CYCLE, "grid", {**GRID, **params}, limits)


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_a_decision_quotes_the_grid_around_the_mid_nearest_first():
    decision = executor().decide(CYCLE, WHOLE, RICH)
    assert decision is not None
    assert decision.bids == [(5_994_000, 100), (5_988_000, 100), (5_982_000, 100)]
    assert decision.asks == [(6_006_000, 100), (6_012_000, 100), (6_018_000, 100)]
    assert decision.why == ()


def test_nothing_is_decided_while_the_book_is_not_whole():
    assert executor().decide(CYCLE, WHOLE._replace(whole=False), RICH) is None


def test_the_gate_cuts_quotes_beyond_the_position_limit_and_says_so():
    decision = executor(Limits(max_position_share=0.00125)).decide(CYCLE, WHOLE, RICH)
    assert decision is not None
    assert (len(decision.bids), len(decision.asks)) == (2, 2)
    assert decision.why == ("position limit",)


def test_quotes_are_made_smaller_to_fit_what_limits_over_instruments_allow():
    def decided(most, held=0):
        now = Guarded(OFF, LimitState(), most_lots=most)
        decision = executor().decide(CYCLE, WHOLE, AccountNow(held, held, 100_000.0, 60_000.0), now)
        assert decision is not None
        return [lots for _, lots in decision.bids], [lots for _, lots in decision.asks], decision.why

    assert decided(300) == ([100, 100, 100], [100, 100, 100], ())
    assert decided(260) == ([100, 100, 50], [100, 100, 50], ("position limit",))
    assert decided(20) == ([], [], ("position limit",)), "less than a quarter of a quote"
    assert decided(0) == ([], [], ("position limit",))
    assert decided(150, held=100) == ([50], [100, 100, 50], ("position limit",))
    assert decided(50, held=100) == ([], [100, 50], ("position limit",)), "what leads home may"


@given(st.lists(st.integers(1, 1000), max_size=6), st.integers(-500, 5000))
def test_what_is_sized_fits_and_a_quote_is_smaller_only_where_it_would_not(quotes, room):
    qty = np.array([*quotes, 0], np.int64)
    count, cut = sized(qty, len(quotes), room)
    kept = qty[:count].tolist()
    assert sum(kept) <= max(0, room) and all(lots > 0 for lots in kept)
    assert cut == (sum(quotes) > room and bool(quotes))
    assert kept[: count - 1] == quotes[: max(0, count - 1)]
    if cut:
        assert max(0, room) - sum(kept) < max(1, max(quotes) // 4), "no more than a quarter of a quote"


def test_a_daily_loss_stops_quoting_for_the_day_and_the_next_day_begins_anew():
    trader = executor(Limits(daily_loss=0.05))
    trader.decide(CYCLE, WHOLE, RICH)
    poor = RICH._replace(equity=94_000.0)
    stopped = trader.decide(2 * CYCLE, WHOLE, poor)
    assert stopped is not None
    assert (stopped.bids, stopped.asks, stopped.why) == ([], [], ("daily loss",))
    tomorrow = trader.decide(86_400_000_000_000, WHOLE, poor)
    assert tomorrow is not None
    assert tomorrow.bids


def test_new_parameters_take_effect_at_the_next_decision_and_bad_ones_never():
    trader = executor()
    trader.use({**GRID, "levels": 1})
    decision = trader.decide(CYCLE, WHOLE, RICH)
    assert decision is not None
    assert len(decision.bids) == 1
    with pytest.raises(UsageError, match="spread_percentage"):
        trader.use({**GRID, "spread_percentage": -1.0})
    assert trader.params["levels"] == 1


def test_an_unknown_strategy_or_parameter_is_refused():
    with pytest.raises(UsageError, match="unknown strategy"):
        Executor(INSTRUMENT, 0, CYCLE, "girds", {}, OFF)
    with pytest.raises(UsageError, match="no parameter"):
        executor(level=3)


# -- a user's own strategy ---------------------------------------------------------------------------------------------


def test_a_users_own_grid_decides_like_the_built_in(tmp_path):
    own = Executor(INSTRUMENT, 0, CYCLE, written(tmp_path, OWN_GRID), GRID, OFF)
    assert own.decide(CYCLE, WHOLE, RICH) == executor().decide(CYCLE, WHOLE, RICH)
    held = RICH._replace(position_lots=1000)
    assert own.decide(2 * CYCLE, WHOLE, held).bids == []


def test_a_session_goes_on_under_an_edit_with_what_it_began_with(tmp_path):
    own = Executor(INSTRUMENT, 0, CYCLE, written(tmp_path, OWN_GRID), GRID, OFF)
    written(tmp_path, "nothing that could be run = \n")
    own.use({**GRID, "levels": 1})
    assert len(own.decide(CYCLE, WHOLE, RICH).asks) == 1


def test_where_a_users_strategy_fails_nothing_is_quoted_and_the_line_is_told(tmp_path):
    own = Executor(INSTRUMENT, 0, CYCLE, written(tmp_path, FAULTY), {"fault": 7.0}, OFF)
    failed = own.decide(CYCLE, WHOLE, RICH)
    assert (failed.bids, failed.asks) == ([], [])
    assert "ZeroDivisionError" in failed.why[0]
    assert "mine.py, line " in failed.why[0]
    own.use({"fault": 0.0})
    assert own.decide(2 * CYCLE, WHOLE, RICH).why == ()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python is interrupted as ever")
def test_a_loop_without_an_end_does_not_hold_up_a_session(tmp_path):
    own = Executor(INSTRUMENT, 0, CYCLE, written(tmp_path, ENDLESS), {"fault": 1.0}, OFF)
    for cycle in (1, 2):
        failed = own.decide(cycle * CYCLE, WHOLE, RICH)
        assert (failed.bids, failed.asks) == ([], [])
        assert f"mine.py, line {line_with(ENDLESS, '# in itself')} " in failed.why[0]
    own.use({"fault": 0.0})
    assert own.decide(3 * CYCLE, WHOLE, RICH).why == ()


# -- the eight numbers -------------------------------------------------------------------------------------------------

NEUTRAL = StateInputs(100.0, 100.0, 60_000.0, 60_000.0, 0.0, 0.0, 0.0, 0, 0.0, 0.0, 0, 0.0, math.inf)


def named(inputs: StateInputs) -> dict[str, float]:
    return dict(zip(NAMES, executor_state.build(inputs).tolist(), strict=True))


def test_a_flat_beginning_is_all_zeros():
    assert set(named(NEUTRAL).values()) == {0.0}


def test_each_number_has_the_scale_it_is_documented_with():
    found = named(
        NEUTRAL._replace(
            equity=102.5,
            mid=60_000.0 * math.exp(0.025),
            price_change=0.0015,
            volatility=0.001,
            imbalance=-0.25,
            held_ns=3_600_000_000_000,
            result_mean=1.5,
            result_deviation=4.0,
            results=16,
            exposure=-50.0,
            exposure_limit=200.0,
        )
    )
    expected = {
        "portfolio_balance": 0.5,
        "price": 0.5,
        "price_change": 0.5,
        "volatility": 0.1,
        "order_imbalance": -0.25,
        "time_decay": 1 - math.exp(-1),
        "performance_score": 0.5,
        "risk_exposure": -0.25,
    }
    assert found == pytest.approx(expected)


NUMBERS = st.floats(-1e9, 1e9)


@given(
    st.builds(
        StateInputs, *([NUMBERS] * 7), st.integers(0, 10**15), NUMBERS, NUMBERS, st.integers(0, 10**6), NUMBERS, NUMBERS
    )
)
def test_the_state_is_always_finite_and_clipped(inputs):
    state = executor_state.build(inputs)
    assert np.isfinite(state).all()
    assert (np.abs(state) <= 1.0).all()


# -- proposals ---------------------------------------------------------------------------------------------------------


def proposal(confidence: float = 0.9, drawdown: float = 0.01, **changes) -> ParameterUpdate:
    params = {"spread_percentage": 0.3, "levels": 4, "base_quantity": 0.001, "max_position": 0.01}
    data = {
        "optimized_params": {**params, **changes.pop("params", {})},
        "performance_metrics": {"sqn_score": 1.0, "sharpe_ratio": 1.0, "max_drawdown": drawdown},
        "confidence_score": confidence,
        **changes,
    }
    return ParameterUpdate.model_validate(data)


STANDING = Standing("grid", GRID, Limits(), 100_000.0, 60_000.0, 0.6, "epoch-7")


def test_a_confident_proposal_within_the_limits_is_accepted_with_all_parameters():
    verdict = judge(proposal(strategy="grid", in_reply_to="epoch-7"), STANDING)
    assert verdict.accepted
    assert verdict.params == {"spread_percentage": 0.3, "levels": 4, "base_quantity": 0.001, "max_position": 0.01}
    assert any("spread_percentage 0.2 → 0.3" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"confidence": 0.59}, "confidence 0.590 is under the threshold 0.600"),
        ({"in_reply_to": "epoch-6"}, "stale: it answers request epoch-6"),
        ({"strategy": "avellaneda_stoikov"}, "it is for strategy avellaneda_stoikov"),
        ({"params": {"levels": 99}}, "levels must be in"),
        ({"params": {"max_position": 0.02}}, "max_position 0.02 is worth 1200.00, the position limit allows 1000.00"),
        ({"params": {"base_quantity": 0.01}}, "one side of quotes is worth 2400.00"),
        ({"drawdown": 0.06}, "its drawdown 6.00% is beyond the daily loss limit 5.00%"),
    ],
)
def test_a_refusal_says_why(changes, reason):
    verdict = judge(proposal(**changes), STANDING)
    assert not verdict.accepted
    assert any(reason in given for given in verdict.reasons), verdict.reasons
    assert verdict.params == {}


def test_all_reasons_are_given_not_only_the_first():
    verdict = judge(proposal(confidence=0.1, drawdown=0.5), STANDING)
    assert len(verdict.reasons) == 2


def test_without_a_strategy_names_the_trader_does_not_know_are_left_out():
    standing = Standing("avellaneda_stoikov", {"gamma": 0.002}, OFF, 1e5, 6e4, 0.6)
    verdict = judge(proposal(), standing)
    assert verdict.accepted
    assert "spread_percentage" not in verdict.params
    assert verdict.params["gamma"] == 0.002


# -- the gate ----------------------------------------------------------------------------------------------------------

CHECKS = {"deflated_sharpe": 0.9, "overfitting": 0.1, "stability": 0.8, "paired_lower": 0.01, "paired_upper": 0.03}


def test_figures_that_reach_every_threshold_pass():
    assert judge(proposal(checks=CHECKS), STANDING).accepted


@pytest.mark.parametrize(
    ("figure", "value", "reason"),
    [
        ("deflated_sharpe", 0.004, "its deflated Sharpe ratio 0.004 is under min_deflated_sharpe 0.01"),
        ("overfitting", 0.51, "its probability of overfitting 0.51 is over max_overfitting 0.5"),
        ("stability", -0.2, "its share of the gain its neighbours keep -0.2 is under min_stability 0.5"),
        ("paired_lower", -0.01, "lower end of its paired difference -0.01 is under min_paired_lower 0"),
    ],
)
def test_each_threshold_that_is_not_reached_is_named(figure, value, reason):
    standing = replace(STANDING, gate=Gate(min_paired_lower=0.0))
    verdict = judge(proposal(checks={**CHECKS, figure: value}), standing)
    assert not verdict.accepted
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


@pytest.mark.parametrize(("loss", "accepted"), [(0.05, True), (0.2, True), (0.21, False), (None, False)])
def test_the_order_of_candidates_that_all_beat_what_trades_does_not_matter(loss, accepted):
    assert judge(proposal(checks={**CHECKS, "overfitting": 0.8, "loss": loss}), STANDING).accepted is accepted
    strict = replace(STANDING, gate=Gate(overfitting_loss=None))
    assert not judge(proposal(checks={**CHECKS, "overfitting": 0.8, "loss": loss}), strict).accepted


def test_a_figure_that_is_not_stated_is_passed_over_unless_it_is_asked_for():
    assert judge(proposal(), STANDING).accepted
    verdict = judge(proposal(checks={"stability": None}), replace(STANDING, gate=Gate(require=True)))
    assert len(verdict.reasons) == 3
    assert "probability of overfitting is not known, max_overfitting 0.5 asks for it" in verdict.reasons[1]
    off = Gate(None, None, None, None, True)
    assert judge(proposal(), replace(STANDING, gate=off)).accepted


def test_while_a_canary_runs_nothing_else_is_taken():
    verdict = judge(proposal(checks=CHECKS), replace(STANDING, held="p-1 runs as a canary"))
    assert verdict.reasons == ("p-1 runs as a canary",)


def test_thresholds_that_are_no_probabilities_are_refused():
    with pytest.raises(UsageError, match="max_overfitting is a probability"):
        Gate(max_overfitting=1.2)
    with pytest.raises(UsageError, match="min_stability must be a finite number"):
        Gate(min_stability=math.nan)

import numpy as np
import pytest

from tidewright.agents.comparison.cycles import run_of
from tidewright.agents.optimizer.judge import Judgement, Settings, ShadowJudge
from tidewright.agents.optimizer.study import complete
from tidewright.agents.optimizer.windows import Window
from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize

CYCLE = 10 * SECOND
PARAMS = complete("grid", {"spread_percentage": 0.01, "levels": 3, "base_quantity": 0.0004, "max_position": 0.004})


@pytest.fixture(scope="module")
def tape():
    return synthesize(None, hours=1.0, seed=4)


@pytest.fixture(scope="module")
def window(tape):
    return Window(tape.start_ns + 10 * MINUTE, tape.start_ns + 50 * MINUTE)


@pytest.fixture(scope="module", params=[0, 100_000])
def run(request, tape, window):
    """Binance's fees: of what is bought in base, of what is sold in quote."""
    settings = Settings(CYCLE, entry_ns=50_000_000, maker_fee=request.param, taker_fee=request.param)
    return run_of(ShadowJudge(tape, len(tape), "grid", settings, window.start_ns), window, PARAMS, tape.instrument)


def test_cycles_add_up_to_what_the_engine_streamed(run):
    sums = run.statistics
    assert sums["n_closed"] > 30
    assert run.volume.sum() == pytest.approx(sums["volume_quote"], rel=1e-12)
    assert run.closed[:, 0].sum() == sums["n_closed"]
    assert run.closed[:, 1].sum() == pytest.approx(sums["sum_closed"], rel=1e-6, abs=1e-9)
    assert run.closed[:, 2].sum() == pytest.approx(sums["sum_closed_sq"], rel=1e-6)


def test_what_is_held_is_sampled_once_a_cycle_and_never_more_than_the_largest_position(run, tape):
    lot = float(tape.instrument.lot)
    assert len(run.held) == len(run.volume) == len(run.closed) == len(run.increments)
    assert 0.0 < run.held.mean() < run.held.max() <= run.statistics["max_abs_position_lots"] * lot + 1e-12
    assert np.allclose(run.held / lot, np.round(run.held / lot))


def test_nothing_is_traded_in_cycles_without_a_change_of_the_position_and_no_volume(run):
    still = run.volume == 0.0
    assert still.any()
    assert not run.closed[still].any()


def test_who_quotes_nothing_has_cycles_of_zeros(tape, window):
    judge = ShadowJudge(tape, len(tape), "grid", Settings(CYCLE), window.start_ns)
    run = run_of(judge, window, {**PARAMS, "base_quantity": 0.0}, tape.instrument)
    for column in (run.volume, run.closed, run.held):
        assert column.dtype == np.float64
        assert not column.any()


def test_a_judge_that_tells_no_fills_is_refused(tape, window):
    class Silent:
        def evaluate(self, window, params, lanes, record=False):
            return Judgement({}, np.zeros((3, 1)))

    with pytest.raises(UsageError, match="records fills"):
        run_of(Silent(), window, PARAMS, tape.instrument)

"""Tapes on which nobody can earn."""

import numpy as np
import pytest

from tests.engine.example import market
from tidewright.engine.backtest import backtest
from tidewright.market.check import check_tape
from tidewright.market.codes import TRADE_BUY, TRADE_SELL
from tidewright.market.errors import UsageError
from tidewright.market.fair_game import DRIFTLESS, FAIR_GAMES, SHUFFLED, fair_game, steps_of
from tidewright.measure.mids import tape_mids

SECOND = 1_000_000_000


def walk(count=2000, deviation=2e-4, seed=0, drift=0.0):
    random = np.random.default_rng(seed)
    return 60_000.0 * np.cumprod(1.0 + drift + deviation * random.standard_normal(count))


def prints(tape):
    return (tape.data.kind == TRADE_BUY) | (tape.data.kind == TRADE_SELL)


@pytest.mark.parametrize("kind", FAIR_GAMES)
def test_it_is_a_whole_tape_whose_prints_are_at_the_new_mid(kind):
    game = fair_game(market(), walk(), SECOND, kind, seed=1)
    assert check_tape(game).problems == []
    mids = tape_mids(game.data, float(game.instrument.tick))
    at = np.flatnonzero(prints(game))
    paid = game.data.price[at] * float(game.instrument.tick)
    after = mids.at(game.data.ts[at])
    assert np.abs(paid - after).max() < 1e-6
    bought = game.data.kind[at] == TRADE_BUY
    assert np.array_equal(bought[1:], np.diff(after) > 0.0)


def test_a_driftless_game_keeps_the_size_of_every_move_and_a_shuffled_one_only_their_distribution():
    mids = walk(drift=1e-4)
    sizes = np.abs(np.diff(mids) / mids[:-1])

    def sizes_of(kind):
        game = fair_game(market(), mids, SECOND, kind, 2)
        times = game.start_ns + np.arange(len(mids) - 1) * SECOND
        moves = np.diff(np.log(tape_mids(game.data, float(game.instrument.tick)).at(times)))
        assert moves.std() == pytest.approx(2.2e-4, rel=0.15)
        assert abs(moves.mean()) < 3.0 * moves.std() / np.sqrt(len(moves))
        return np.abs(moves)

    assert np.corrcoef(sizes_of(DRIFTLESS), sizes[:-1])[0, 1] > 0.9
    assert abs(np.corrcoef(sizes_of(SHUFFLED), sizes[:-1])[0, 1]) < 0.1


def test_the_same_seed_gives_the_same_game_and_another_one_another():
    first, again, other = (fair_game(market(), walk(), SECOND, SHUFFLED, seed) for seed in (3, 3, 4))
    assert first.data.price.tobytes() == again.data.price.tobytes()
    assert first.data.price.tobytes() != other.data.price.tobytes()


@pytest.mark.parametrize("kind", FAIR_GAMES)
def test_a_maker_loses_there_even_without_fees(kind):
    """Every fill is at the fair price or worse, whatever the distance."""
    spreads = np.linspace(0.02, 0.3, 12)
    profit = np.zeros(len(spreads))
    for seed in range(4):
        game = fair_game(market(), walk(seed=seed), SECOND, kind, seed)
        params = {"spread_percentage": spreads, "levels": 2, "base_quantity": 0.01, "max_position": 0.05}
        found = backtest(game, "grid", params, cycle=10, fees=("0", "0"))
        assert found.statistics["n_fills"].min() > 0
        profit += found.statistics["equity_end"] - found.statistics["equity_start"]
    assert profit.mean() < 0.0


def test_mistakes_are_refused():
    with pytest.raises(UsageError, match="shuffled, driftless"):
        fair_game(market(), walk(), SECOND, "fixed", 0)
    with pytest.raises(UsageError, match="at least two mids"):
        fair_game(market(), np.array([1.0]), SECOND, SHUFFLED, 0)
    assert steps_of(3600 * SECOND) == SECOND
    assert steps_of(100_000 * SECOND) == 5 * SECOND

"""The bars' job is the one we say it is: a plain model of it fills as our engine does."""

import math
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import bars, jobs, ours
from tidewright.market.tape import Tape


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    return bars.write(bars.make(400), tmp_path_factory.mktemp("bars"))


def plain_maker(prices, spread, market, job):
    """A bid and an ask around each close for the next bar; what its extremes reach is filled at the order's price."""
    tick, step, limit = market["tick"], spread / 100 / 2, job["max_position"] - 1e-9
    fills, position, cash = 0, 0.0, 0.0
    for (_, _, _, close, _), (_, high, low, _, _) in pairwise(prices):
        ticks, before = round(close / tick), position
        for side, price, reached in (
            (1, math.floor(ticks * (1 - step)) * tick, low),
            (-1, math.ceil(ticks * (1 + step)) * tick, high),
        ):
            if side * before < limit and side * (price - reached) >= -1e-6:
                fills += 1
                position += side * job["quantity"]
                cash -= job["quantity"] * price * (side + market["maker_fee"])
    return fills, 1_000_000 + cash + position * prices[-1, 3]


def test_our_lanes_fill_as_the_plain_model_does(market):
    job = jobs.bar_jobs("bars", 3)[1].plain() | {"spreads": [0.04, 0.1, 0.3]}
    _, statistics = ours.backtest(job, market, Tape.open(market["tape"]), 1)
    prices = np.load(market["bars"])
    for lane, spread in enumerate(job["spreads"]):
        fills, equity = plain_maker(prices, spread, market, job)
        assert statistics["n_fills"][lane] == fills > 0
        assert statistics["equity_end"][lane] == pytest.approx(equity, abs=1e-4)


def test_bars_are_possible_and_the_same_each_time():
    frame = bars.make(500)
    assert frame.equals(bars.make(500))
    assert not frame.equals(bars.make(500, seed=8))
    assert (frame["low"] <= frame.select("open", "close").min_horizontal()).all()
    assert (frame["high"] >= frame.select("open", "close").max_horizontal()).all()
    assert (frame["close"][:-1] == frame["open"][1:]).all()


def test_a_file_of_freqtrades_is_read_as_it_was_written(market, tmp_path):
    frame = bars.make(20)
    frame.write_ipc(tmp_path / "BTC_USDT-1m.feather")
    assert bars.read(tmp_path / "BTC_USDT-1m.feather").equals(frame)

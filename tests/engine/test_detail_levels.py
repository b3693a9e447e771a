"""One market told in four ways: what the engine makes of each, and what its results say about it."""

from typing import Any

import pytest

import tidewright as tw
from tidewright.engine.backtest import BacktestResult
from tidewright.market.reduce import reduce_tape
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

MINUTE = 60_000_000_000
LEVELS = {
    "L2+trades": "",
    "best quotes+trades": "best-quotes",
    "trades only": "trades",
    "bars": "bars:1m",
}


@pytest.fixture(scope="module")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tape]:
    folder = tmp_path_factory.mktemp("levels")
    deep = synthesize(folder / "deep", hours=0.5, seed=4, rate=4.0)
    found = {"L2+trades": deep}
    for level, name in LEVELS.items():
        if name:
            reduce_tape(deep, name, folder / name.replace(":", "-"))
            found[level] = Tape.open(folder / name.replace(":", "-"))
    return found


def run(tape: Tape, spread: float = 0.01, **options: Any) -> BacktestResult:
    """A grid whose orders rest behind the touch and wait for the price to come."""
    params = {"spread_percentage": spread, "levels": 4, "base_quantity": 0.02, "max_position": 1e6}
    return tw.backtest(tape, "grid", params, cycle="5s", latency="20ms", **options)


def volume(found: BacktestResult) -> float:
    return float(found.statistics["volume_quote"][0])


def test_every_result_names_its_level_and_what_it_means(tapes: dict[str, Tape]) -> None:
    sentences = set()
    for level, tape in tapes.items():
        told = run(tape).assumptions["tape"]
        assert told["detail_level"] == level and told["detail"] == tape.meta["detail"]
        sentences.add(told["detail_fills"])
    assert len(sentences) == len(LEVELS)


def test_decisions_are_taken_and_orders_fill_at_every_level(tapes: dict[str, Tape]) -> None:
    for level, tape in tapes.items():
        assert (run(tape).statistics["n_fills"] > 0).all(), level


def test_unknown_depth_behind_the_touch_costs_fills_and_never_adds_any(tapes: dict[str, Tape]) -> None:
    for spread in (0.0005, 0.001, 0.002):
        deep, shallow = (volume(run(tapes[level], spread)) for level in ("L2+trades", "best quotes+trades"))
        assert 0.9 * deep < shallow < deep


def test_no_decision_inside_a_bar_knows_its_prices(tapes: dict[str, Tape]) -> None:
    bars = tapes["bars"]
    fills = run(bars, record_fills=True).fills()
    assert len(fills) > 0
    ends = (fills["ts"].to_numpy() // MINUTE + 1) * MINUTE
    assert (fills["known_ts"].to_numpy() >= ends).all(), "fills inside a bar become known at its end"

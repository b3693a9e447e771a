"""Sizes that a venue's filters let pass, and the reason why a search could judge nobody."""

import json
import shutil

import numpy as np
import pytest

import tidewright as tw
from tidewright.agents.optimizer.activity import Activity
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Filters, Instrument
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.strategies.registry import strategy
from tidewright.strategies.sizes import Sizes

CHEAP = Instrument(
    "venue", "ABCUSDT", "ABC", "USDT", "0.001", "0.01", filters=Filters(min_qty_lots=1, min_notional=5 * UNIT)
)
DEFAULTS = {"spread_percentage": 0.2, "levels": 4.0, "base_quantity": 0.001, "max_position": 0.01}


def test_what_kept_all_candidates_from_trading_is_told_apart() -> None:
    def counted(orders: int, refused: int, fills: int) -> Activity:
        activity = Activity()
        activity.add({"n_orders": np.full(8, orders), "n_rejects": np.full(8, refused), "n_fills": np.full(8, fills)})
        return activity

    sizes = Sizes(CHEAP, 1.25)
    assert counted(0, 0, 0).fault(sizes, 0.001).startswith("none of 8 sent an order: base_quantity 0.001 ABC is under")
    assert "100% of their 80 orders were refused: base_quantity 2 ABC is worth" in counted(10, 10, 0).fault(sizes, 2.0)
    assert "post-only orders that cross" in counted(10, 9, 1).fault(sizes, 8.0)
    assert counted(10, 10, 0).fault(None, 2.0).startswith("100% of their 80 orders were refused")
    assert counted(10, 4, 2).fault(sizes, 2.0) == ""


@pytest.fixture(scope="module")
def dear(tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """An hour of a market where an order must be worth ten times what a strategy's default is."""
    source = synthesize(tmp_path_factory.mktemp("sizes") / "market", hours=1.0, seed=3, rate=2.0)
    default = next(one.default for one in strategy("grid").parameters if one.name == "base_quantity")
    least = round(10 * default * Sizes.of(source).mid * UNIT)  # type: ignore[union-attr]
    folder = source.path.with_name("dear")
    shutil.copytree(source.path, folder)
    meta = json.loads((folder / "meta.json").read_text())
    meta["instrument"]["filters"]["min_notional"] = least
    (folder / "meta.json").write_text(json.dumps(meta))
    return Tape.open(folder)


def test_with_the_default_sizes_a_search_trades_whatever_the_price(dear: Tape) -> None:
    done = tw.optimize(dear, candidates=32, generations=1, fees=("0", None), epoch="10m")
    assert done.found.inside and all(lane.figures["fills"] >= 10 for lane in done.found.inside)
    assert done.plan.incumbent["base_quantity"] >= Sizes.of(dear).least  # type: ignore[union-attr]
    assert "min_notional" in done.assumptions["sizes"]


def test_a_size_that_the_filters_refuse_is_named_as_the_reason(dear: Tape) -> None:
    given = {"base_quantity": 0.001, "levels": 1}
    ranges = {"spread_percentage": (0.05, 0.5)}
    done = tw.optimize(dear, incumbent=given, space=ranges, candidates=16, generations=1)
    assert done.proposal is None
    assert "of their 2,400 orders were refused" in done.found.reason and "min_notional" in done.found.reason
    assert "would be enough" in done.found.reason
    with pytest.raises(UsageError, match=r"sharpe was NaN.*orders were refused: base_quantity 0.001 .*min_notional"):
        tw.optimize(dear, incumbent=given, space=ranges, objectives=["sharpe"], candidates=128)

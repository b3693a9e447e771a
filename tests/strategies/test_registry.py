"""Names and ranges of strategies and parameters: mistakes get a clear error."""

import numpy as np
import pytest

from tidewright.market.errors import UsageError
from tidewright.strategies import registry


def test_absent_parameters_take_their_defaults_and_arrays_spread_over_lanes() -> None:
    table = registry.rows("grid", {"spread_percentage": [0.1, 0.2, 0.3], "levels": 2})
    assert table.tolist() == [[s, 2.0, 0.001, 0.01] for s in (0.1, 0.2, 0.3)]


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("gird", {}, "did you mean 'grid'"),
        ("grid", {"spread": 1.0}, "no parameter 'spread'"),
        ("grid", {"spread_percentage": -0.1}, "spread_percentage must be in [1e-06, 100], was -0.1"),
        ("grid", {"spread_percentage": float("nan")}, "was nan"),
        ("grid", {"levels": 2.5}, "levels must be a whole number, was 2.5"),
        ("grid", {"levels": [1, 2], "spread_percentage": [0.1, 0.2, 0.3]}, "levels must be one number or 3"),
        ("grid", {"levels": "many"}, "must be a number"),
        ("avellaneda_stoikov", {"gamma": 0.0}, "gamma must be in"),
    ],
)
def test_a_mistake_is_named_with_rule_and_value(name: str, params: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        registry.rows(name, params)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_every_default_and_search_range_is_in_range() -> None:
    for strategy in registry.STRATEGIES.values():
        for parameter in strategy.parameters:
            assert parameter.low <= parameter.default <= parameter.high
            if parameter.search_low < parameter.search_high:
                assert parameter.low <= parameter.search_low <= parameter.search_high <= parameter.high
        assert np.isfinite(registry.rows(strategy.name, {})).all()

"""Names of agents: a strategy each, or the shipped policy."""

from pathlib import Path

import pytest

from tidewright.cli import agents_option, seat_option
from tidewright.market.errors import TidewrightError, UsageError


def test_the_shipped_policy_is_an_agent_by_its_name(tmp_path: Path) -> None:
    assert agents_option.parse("grid, learned") == ("grid", "learned")
    agent = agents_option.named("learned", {"base_quantity": 0.5})
    assert agent.policy == str(seat_option.shipped()) and agent.strategy == seat_option.strategy(agent.policy)
    assert not agent.params, "it trades the sizes it learned with"
    told = agents_option.of_table(tmp_path / "session.toml", {"learned": {}}, {"base_quantity": 0.5}, ["grid"])
    assert told["learned"] == agent and told["grid"].params == {"base_quantity": 0.5} and not told["grid"].policy


def test_a_table_may_say_what_an_agent_called_learned_is(tmp_path: Path) -> None:
    told = agents_option.of_table(tmp_path / "session.toml", {"learned": {"strategy": "grid", "levels": 2}}, {}, [])
    assert told["learned"].strategy == "grid" and not told["learned"].policy


def test_names_that_cannot_trade_together_are_refused() -> None:
    with pytest.raises(UsageError, match="from two on"):
        agents_option.parse("learned")
    with pytest.raises(UsageError, match="named twice"):
        agents_option.parse("grid,learned,learned")
    with pytest.raises(TidewrightError, match="nobody"):
        agents_option.parse("grid,nobody")

"""Who sits, as commands and configuration files say it; and the policy that is shipped."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from tests.agents.test_executor_seat import policy
from tests.agents.test_learning_environment import SETTINGS
from tests.engine.example import market
from tidewright.agents.executor import seat_fit
from tidewright.agents.executor.canary import CanaryRules
from tidewright.agents.executor.seat import STRATEGY, Seat, Sitter
from tidewright.agents.executor.seating import reports
from tidewright.cli import demo, seat_option
from tidewright.market.clock import SECOND
from tidewright.market.errors import ConfigError, UsageError
from tidewright.market.tape_writer import TapeWriter
from tidewright.trading.settings import SessionSettings

CANARY = CanaryRules()


def of(folder: Path, data: dict, **given):
    return seat_option.of_table(folder / "s.toml", data, CANARY, given)


def test_a_policy_is_looked_for_beside_the_file_that_names_it(tmp_path):
    policy(SETTINGS).save(tmp_path / "mine.tw")
    told = of(tmp_path, {"policy": "mine.tw", "challenger": "base"})
    assert told.policy == str((tmp_path / "mine.tw").resolve())
    assert told.challenger == "base"
    with pytest.raises(UsageError, match="there is no policy"):
        of(tmp_path, {"policy": "other.tw"})


def test_the_command_line_goes_before_the_file(tmp_path):
    policy(SETTINGS).save(tmp_path / "one.tw")
    told = of(tmp_path, {"policy": "base"}, policy=str(tmp_path / "one.tw"), override_examination=True)
    assert told.policy.endswith("one.tw")
    assert told.override_examination


def test_tables_are_read_and_checked(tmp_path):
    table = {
        "executor": {"sizing": "kelly", "kelly_fraction": 0.5},
        "challenge": {"error_rate": 0.1, "most_cycles": 99},
    }
    told = of(tmp_path, table)
    assert (told.sizing, told.kelly.fraction) == ("kelly", 0.5)
    assert (told.challenge.error_rate, told.challenge.most_cycles) == (0.1, 99)
    assert told.challenge.canary == CANARY
    for wrong in (
        {"policy": 3},
        {"fine_tune": "yes"},
        {"executor": {"kelly_least": "a"}},
        {"challenge": {"most_cycles": 1.5}},
    ):
        with pytest.raises(ConfigError):
            of(tmp_path, wrong)


def test_without_a_word_nobody_sits(tmp_path):
    assert not of(tmp_path, {}).used


# -- the shipped policy ------------------------------------------------------------------------------------------------


def who_trades(strategy: str = "", chosen: str = "", tape: Path | None = None) -> tuple[str, str, str]:
    """Strategy and policy of the demo, and what it says about them."""
    console = Console(record=True, file=io.StringIO(), soft_wrap=True)
    name, seat = demo._who_trades(strategy, chosen, "", False, "fixed", tape, console)
    return name, seat.policy, console.export_text()


def test_the_demo_seats_the_shipped_policy_unless_a_strategy_is_chosen():
    assert who_trades() == (STRATEGY, str(seat_option.shipped()), "")
    assert who_trades("grid") == ("grid", "", "")
    assert who_trades(chosen="base") == (STRATEGY, "base", "")


def test_the_shipped_policy_is_small_says_how_it_was_made_and_fits_the_demo():
    path = seat_option.shipped()
    assert path.stat().st_size < 100_000
    sits = Sitter.load(path)
    assert sits.policy is not None
    header = sits.policy.header
    assert header["command"].startswith("tidewright evolve --out synthetic.tw --synthetic")
    assert len(header["data"]) >= 8
    assert all(len(one["sha256"]) == 64 for one in header["data"])
    assert seat_fit.mismatches(sits, STRATEGY, SessionSettings().cycle_ns) == []
    assert sits.settings is not None
    assert sits.settings.cycle_ns == 30 * SECOND
    assert seat_fit.doubts(sits, 100_000) == []


def test_the_shipped_policy_has_been_examined():
    sits = Sitter.load(seat_option.shipped())
    assert sits.policy is not None
    (report,) = reports(sits.policy)
    assert {"leak", "fair_game"} <= set(report.named("passed"))
    assert report.named("failed") == []
    assert report.cycles == 8577


def test_a_decision_of_the_shipped_policy_takes_far_less_than_a_millisecond():
    """Counted, not timed: 20,000 multiplications are about 0.02 ms."""
    sits = Sitter.load(seat_option.shipped())
    assert sits.policy is not None
    count = sum(weight.size for network in sits.policy.members for weight in network.weights)
    assert count < 20_000
    seat = Seat(sits)
    row = np.ones(12)
    assert np.isfinite(seat.steer(np.zeros(8), row)).all()


def test_it_does_not_sit_on_a_tape_with_other_fees(tmp_path):
    for maker, who, says in ((100_000, STRATEGY, ""), (0, "grid", "the maker fee is 0 bp")):
        with TapeWriter(tmp_path / str(maker), replace(market().instrument, maker_fee=maker)) as writer:
            writer.append(market().data)
        name, seated, told = who_trades(tape=tmp_path / str(maker))
        assert (name, bool(seated)) == (who, who == STRATEGY)
        assert says in told and bool(told) == bool(says)

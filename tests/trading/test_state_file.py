import os
import subprocess
import sys

import pytest

from tests.trading.fake_venue import INSTRUMENT
from tidewright.market.errors import DataError, NotFoundError, NotRunningError
from tidewright.trading import state_file
from tidewright.trading.now import Now
from tidewright.trading.state_file import NAME, StateFile


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_figures_are_exact_text_without_secrets(tmp_path):
    keeper = StateFile(tmp_path / NAME, {"mode": "paper"})
    keeper.instrument = INSTRUMENT
    keeper(Now(stage="trading", market_ns=10**18, position_lots=-150, equity_units=123_456_789, mid2=12_000_001))
    state = state_file.read(tmp_path / NAME)
    assert (state["position"], state["equity"], state["mid"]) == ("-0.00150", "1.23456789", "60000.005")
    assert (state["pid"], state["mode"]) == (os.getpid(), "paper")
    assert state_file.is_running(state)


def test_it_is_written_at_most_twice_a_second_but_the_end_always(tmp_path):
    wall = [0.0]
    keeper = StateFile(tmp_path / NAME, {}, lambda: wall[0])
    keeper(Now(stage="trading", cycle=1))
    wall[0] = 0.1
    keeper(Now(stage="trading", cycle=2))
    assert state_file.read(tmp_path / NAME)["cycles"] == 1
    keeper(Now(stage="ended", cycle=3))
    assert state_file.read(tmp_path / NAME)["cycles"] == 3


def test_a_session_that_ended_or_died_is_not_running(tmp_path):
    path = tmp_path / NAME
    state_file.write(path, {"pid": ended_process(), "stage": "trading"})
    assert not state_file.is_running(state_file.read(path))
    with pytest.raises(NotRunningError, match="not running"):
        state_file.stop(path, 1.0)
    assert not state_file.is_running({"pid": os.getpid(), "stage": "ended"})


def test_a_missing_and_a_damaged_file_are_told_apart(tmp_path):
    with pytest.raises(NotFoundError, match="no session"):
        state_file.read(tmp_path / NAME)
    (tmp_path / NAME).write_text("{")
    with pytest.raises(DataError, match="damaged"):
        state_file.read(tmp_path / NAME)

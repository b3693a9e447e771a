"""The kernels are compiled once: no strategy, queue model, number of lanes or place of the rows asks for another."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from tests.engine.example import SECOND, last_print, market, packet_ends
from tidewright.engine import kernel
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import GTC, LIMIT
from tidewright.market.tape import Tape
from tidewright.market.tape_writer import TapeWriter
from tidewright.risk.limits import Limits

INSTALLED = ("engine", "strategies", "executor", "risk")  # the floors whose kernels the installation compiles
RUNS = (
    ("grid", {"spread_percentage": 0.02}, {"queue": "risk_averse"}),
    ("grid", {"spread_percentage": [0.01, 0.02, 0.05], "levels": [1, 2, 6]}, {"queue": "prob", "record_fills": 2}),
    ("avellaneda_stoikov", {"gamma": [0.01] * 40}, {"queue": "prob_log", "limits": Limits()}),
    ("avellaneda_stoikov", {}, {"queue": "front", "record_equity": 1, "entry_ns": SECOND, "window_ticks": 4096}),
    (None, {}, {"feed_ns": 5}),
)

USES = """
import numpy as np

from tests.engine.example import market
from tidewright.agents.executor.environment_tape import TapeEnvironment
from tidewright.engine.backtest import backtest

tape = market(hours=2.5, seed=2)
backtest(tape)
training = TapeEnvironment([tape], 2, 1)
training.reset(1)
training.step(np.zeros((2, 3), np.float32), np.zeros((2, 2), np.int64))
"""


def test_compiled_code_is_kept_where_it_cannot_be_stale_though_numba_was_imported_first() -> None:
    assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR != ""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_every_entry_kernel_has_one_signature(tmp_path: Path) -> None:
    tape = market(hours=0.05, seed=2)
    with TapeWriter(tmp_path / "tape", tape.instrument) as writer:
        writer.append(tape.data)
    mapped = Tape.open(tmp_path / "tape").data
    middle = packet_ends(tape.data)[40]
    for strategy, params, rules in RUNS:
        for data in (tape.data, mapped):
            config = ReplayConfig(**{"cycle_ns": 5 * SECOND, "window_ticks": 1 << 15, **rules})
            replay = Replay(tape.instrument, config, strategy, params, quote_units=10**12)
            replay.feed(data.rows(0, middle))
            if strategy is None:
                replay.submit(0, 0, LIMIT, GTC, last_print(data, middle), 100, replay.now_ns + SECOND)
            replay = Replay.restore(tape.instrument, replay.snapshot())
            replay.feed(data.rows(middle, len(data.ts)))
            replay.advance(replay.now_ns + SECOND)
            replay.finish()
    for entry in (kernel.run, kernel.finish):
        assert len(entry.signatures) == 1, f"{entry.__name__}: {entry.signatures}"


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_no_kernel_is_compiled_twice_for_a_number_in_the_source() -> None:
    """Each costs every user a second; and two processes may compile into one cache as each kernel has one signature."""
    indexes = [path for part in INSTALLED for path in Path(numba.config.CACHE_DIR).glob(f"{part}_*/*.nbi")]
    assert indexes
    found = []
    for index in indexes:
        with index.open("rb") as file:
            pickle.load(file)  # numba's version
            _, kept = pickle.loads(file.read())
        found += [f"{index.name}: {key[0]}" for key in kept if "Literal[" in str(key[0])]
    assert found == []


@pytest.mark.slow
@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_after_the_installation_neither_a_backtest_nor_training_compiles_anything(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    for words in (["-m", "tidewright.cli.compile"], ["-c", USES]):
        before = set((tmp_path / "kept").glob("*/*.nbc"))
        done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert before and set((tmp_path / "kept").glob("*/*.nbc")) == before

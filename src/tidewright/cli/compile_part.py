"""``python -m tidewright.cli.compile_part replay rest``: what :mod:`tidewright.cli.compile` has done in processes.

Every kernel has one signature, so that whoever comes second finds what another process has left, or leaves the same.
"""

import gc
import os
import sys
from tempfile import TemporaryDirectory

import numpy as np
from numba import int64

from tidewright.agents.executor import environment_kernel, environment_play
from tidewright.agents.executor.executor import AccountNow, Executor, MarketNow
from tidewright.agents.executor.state import MEMORY, NAMES
from tidewright.engine import kernel
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.synthetic import synthesize, synthetic_instrument
from tidewright.market.touch import touches
from tidewright.measure.fill_facts_book import BookHistory
from tidewright.measure.mids import tape_mids
from tidewright.risk.limits import Limits


def replay() -> None:
    """The replay, with all that it calls."""
    Replay(synthetic_instrument(), ReplayConfig(), lanes=1).advance(1)


def rest() -> None:
    """What does not need the replay; first the strategies, for which the replay waits otherwise."""
    executor = Executor(synthetic_instrument(), 0, 1, "grid", {}, Limits())
    executor.decide(1, MarketNow(True, 999, 1_001, 1, 1), AccountNow(0, 0, 1.0, 0.0))
    with TemporaryDirectory() as folder:
        tape = synthesize(f"{folder}/tape", hours=0.1)
        touches(tape.data)
        tape_mids(tape.data, float(tape.instrument.tick))
        BookHistory(tape.data).at(tape.data.ts[:1].copy())
    kernel.finish.compile((int64,))
    look_and_steer(Replay(synthetic_instrument(), ReplayConfig(ask=True), "shaped", {}, lanes=1))


def look_and_steer(engine: Replay) -> None:
    """What the training ground does with an engine at a decision, whose lanes can be steered."""
    f32, f64 = np.float32, np.float64
    actions = np.zeros((1, 3), f32), np.zeros((1, 2), np.int64)
    environment_kernel.steer(engine.address, *actions, 1)
    memory = np.zeros((1, MEMORY), f64), np.zeros(len(NAMES), f64), np.zeros(environment_kernel.FLOW, f64)
    seen = np.zeros((2, 1, len(NAMES)), f32), np.zeros((1, environment_kernel.TERMS), f32), np.zeros(1, np.bool_)
    environment_kernel.look(engine.address, 1, 0.5, *memory, *seen)
    nobody = np.zeros((0, environment_play.FIELDS), np.int64)
    environment_play.play(0, nobody, 1, 0.5, *actions, *seen[0], *seen[1:], memory[1])


if __name__ == "__main__":
    gc.disable()
    for each in sys.argv[1:]:
        {"replay": replay, "rest": rest}[each]()
    sys.stderr.flush()
    os._exit(0)  # freeing piece by piece what a compiler holds takes seconds, and the system takes it back at once

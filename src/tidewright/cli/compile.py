"""``python -m tidewright.cli.compile``: compile every kernel into numba's cache, so that the first command need not.

Part of the installation (`make`); without it the first command compiles what it needs, once. Where there are two cores,
a second process compiles what is not the replay into the same cache; every kernel has one signature, so that whoever
comes second finds what the first has left there, or leaves the same.
"""

import gc
import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from numba import int64

from tidewright.agents.executor.environment_tape import TapeEnvironment, TapeSettings
from tidewright.agents.executor.executor import AccountNow, Executor, MarketNow
from tidewright.engine import kernel
from tidewright.engine.backtest import backtest
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.engine.sweep import cores
from tidewright.market.synthetic import synthesize, synthetic_instrument
from tidewright.market.touch import touches
from tidewright.measure.fill_facts_book import BookHistory
from tidewright.measure.mids import tape_mids
from tidewright.risk.limits import Limits

# A compiler takes and returns much memory. Kept instead of given back each time, it costs a third less time.
_KEEP_MEMORY: Final = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
}
_SECOND: Final = "second"  # argument of the second process


def main() -> None:
    """Run each kernel once on a minute of synthetic market."""
    began = time.monotonic()
    print("compiling the kernels, once for this version (half a minute) ...", file=sys.stderr, flush=True)
    second = subprocess.Popen([sys.executable, "-m", "tidewright.cli.compile", _SECOND]) if cores() > 1 else None
    Replay(synthetic_instrument(), ReplayConfig(), lanes=1).advance(1)  # the replay itself
    if second is not None:
        second.wait()
    run_others()  # what the second has not done is done here
    with TemporaryDirectory() as folder:
        tape = synthesize(f"{folder}/tape", hours=0.1)
        backtest(tape, "grid", {"levels": 2})
        environment = TapeEnvironment([tape], 1, 1, TapeSettings(decisions=2, warm_up=1))
        environment.reset()
        environment.step(np.zeros((1, 3), np.float32), np.zeros((1, 2), np.int64))
    print(f"compiled in {time.monotonic() - began:.0f} s", file=sys.stderr)


def run_others() -> None:
    """Run what does not need the replay; first the strategies, for which the replay waits otherwise."""
    executor = Executor(synthetic_instrument(), 0, 1, "grid", {}, Limits())
    executor.decide(1, MarketNow(True, 999, 1_001, 1, 1), AccountNow(0, 0, 1.0, 0.0))
    with TemporaryDirectory() as folder:
        tape = synthesize(f"{folder}/tape", hours=0.1)
        touches(tape.data)
        tape_mids(tape.data, float(tape.instrument.tick))
        BookHistory(tape.data).at(tape.data.ts[:1].copy())
    kernel.finish.compile((int64,))


if __name__ == "__main__":
    if os.name == "posix" and "PYTHONMALLOC" not in os.environ:  # read when a process begins
        arguments = [sys.executable, "-m", "tidewright.cli.compile", *sys.argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, **_KEEP_MEMORY})
    gc.disable()
    if _SECOND in sys.argv[1:]:
        run_others()
    else:
        main()

"""``python -m tidewright.cli.compile``: compile every kernel into numba's cache, so that the first command need not.

Part of the installation (`make`); without it the first command compiles what it needs, once. Where there are two cores,
a second process compiles half of it into the same cache; every kernel has one signature, so that whoever comes second
finds what the first has left there, or leaves the same.
"""

import gc
import os
import subprocess
import sys
import time
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from tidewright.agents.executor.environment_tape import TapeEnvironment, TapeSettings
from tidewright.agents.executor.executor import AccountNow, Executor, MarketNow
from tidewright.engine import arrivals, book, kernel, requote, skim
from tidewright.engine.backtest import backtest
from tidewright.engine.reference import compile_kernels
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.engine.sweep import cores
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
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
    print("compiling the kernels, once for this version (about a minute) ...", file=sys.stderr, flush=True)
    second = None
    if cores() > 1:
        second = subprocess.Popen([sys.executable, "-m", "tidewright.cli.compile", _SECOND])
        compile_kernels(arrivals.arrive, requote.act, arrivals.deliver_messages)
        second.wait()  # what it has not done is done here
    with TemporaryDirectory() as folder:
        tape = synthesize(f"{folder}/tape", hours=0.1)
        backtest(tape, "grid", {"levels": 2})
        exchange = new_exchange(tape)
        exchange.feed(tape.data)
        exchange.finish()
        run_others(tape)
        environment = TapeEnvironment([tape], 1, 1, TapeSettings(decisions=2, warm_up=1))
        environment.reset()
        environment.step(np.zeros((1, 3), np.float32), np.zeros((1, 2), np.int64))
    print(f"compiled in {time.monotonic() - began:.0f} s", file=sys.stderr)


def second_half() -> None:
    """What is of the market and of its rows."""
    with TemporaryDirectory() as folder:
        tape = synthesize(f"{folder}/tape", hours=0.1)
        run_others(tape)
        nothing = [np.frombuffer(bytes(8), column.dtype)[:1] for column in tape.data]
        exchange = new_exchange(tape)
        skim.skim(exchange.address, *nothing, 1)  # from behind the last row on
    compile_kernels(book.end_packet, kernel.apply_row, arrivals.deliver_calls)


def new_exchange(tape: Tape) -> Replay:
    """An engine whose lane is driven from outside."""
    return Replay(tape.instrument, ReplayConfig(), lanes=1)


def run_others(tape: Tape) -> None:
    """Run what does not need the engine's replay."""
    touches(tape.data)
    tape_mids(tape.data, float(tape.instrument.tick))
    BookHistory(tape.data).at(tape.data.ts[:1].copy())
    # A session would otherwise stand still at its first decision.
    executor = Executor(tape.instrument, 0, 1, "grid", {}, Limits())
    executor.decide(1, MarketNow(True, 999, 1_001, 1, 1), AccountNow(0, 0, 1.0, 0.0))


if __name__ == "__main__":
    if os.name == "posix" and "PYTHONMALLOC" not in os.environ:  # read when a process begins
        arguments = [sys.executable, "-m", "tidewright.cli.compile", *sys.argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, **_KEEP_MEMORY})
    gc.disable()
    if _SECOND in sys.argv[1:]:
        second_half()
    else:
        main()

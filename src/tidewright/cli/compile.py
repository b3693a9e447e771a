"""``python -m tidewright.cli.compile``: compile every kernel into numba's cache, so that the first command need not.

Part of the installation (`make`); without it the first command compiles what it needs, once.
"""

import sys
import time
from tempfile import TemporaryDirectory

from tidewright.engine.backtest import backtest
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.synthetic import synthesize
from tidewright.market.touch import touches
from tidewright.measure.fill_facts_book import BookHistory
from tidewright.measure.mids import tape_mids


def main() -> None:
    """Run each kernel once on a minute of synthetic market."""
    began = time.monotonic()
    print("compiling the kernels, once for this version (about a minute) ...", file=sys.stderr, flush=True)
    with TemporaryDirectory() as folder:
        tape = synthesize(f"{folder}/tape", hours=0.1)
        backtest(tape, "grid", {"levels": 2})
        exchange = Replay(tape.instrument, ReplayConfig(), lanes=1)
        exchange.feed(tape.data)
        exchange.finish()
        touches(tape.data)
        tape_mids(tape.data, float(tape.instrument.tick))
        BookHistory(tape.data).at(tape.data.ts[:1].copy())
    print(f"compiled in {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

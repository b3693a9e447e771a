"""Does the optimizer beside it make the session's cycle late? Beats kept with and without it, in turns.

A beat every 50 ms: from the moment it is due until the decision is made and its line is written. That holds both what
the cycle costs and how late the system lets it begin. The optimizer is the real process, asked again as soon as it has
answered: far more than a session asks of it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import numpy as np
import orjson

from tidewright.agents.executor.executor import AccountNow, Executor, MarketNow
from tidewright.agents.optimizer.bounds import Bounds
from tidewright.coordination.messages import encode, message
from tidewright.market.clock import SECOND
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.market.touch import WHOLE, touches
from tidewright.risk.limits import Limits

BEAT_S: Final = 0.05
CYCLE: Final = 30 * SECOND
MODES: Final = {
    "alone": None,
    "bounded, as in a session": Bounds(),
    "bounded, a quarter of a core": Bounds(cpu_share=0.25),
    "unbounded, all cores": Bounds(nice=0, memory_mb=0, threads=len(os.sched_getaffinity(0))),
}


class Beside:
    """An optimizer process that is kept busy."""

    def __init__(self, bounds: Bounds, tape: Tape) -> None:
        command = [sys.executable, "-m", "tidewright.agents.optimizer", *bounds.arguments()]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        until = tape.end_ns
        content = {
            "tape": str(tape.path),
            "rows": len(tape),
            "from_ns": tape.start_ns,
            "until_ns": until,
            "strategy": "grid",
            "incumbent": {"spread_percentage": 0.05, "levels": 4, "base_quantity": 0.002, "max_position": 0.02},
            "equity": "100000",
            "epoch_ns": 60 * CYCLE,
            "candidates": 512,
        }
        self._line = encode(message("optimize_request", until, "session", "optimizer", content))
        self._going = True
        self.answers = 0
        self._ask()  # the first answer shows that the engine is loaded and compiled
        self._thread = threading.Thread(target=self._keep_busy, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        channel_in, channel_out = self._child.stdin, self._child.stdout
        assert channel_in is not None and channel_out is not None
        channel_in.write(self._line.rstrip(b"\n") + b"\n")
        channel_in.flush()
        self.answers += bool(channel_out.readline())

    def _keep_busy(self) -> None:
        while self._going:
            self._ask()

    def close(self) -> None:
        """End it."""
        self._going = False
        self._thread.join()
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()


def beats(tape: Tape, seconds: float, journal: IO[bytes]) -> np.ndarray:
    """Milliseconds from each beat's due time until its decision was made and written."""
    found = touches(tape.data)
    rows = found.row[found.state == WHOLE]
    bids, asks = found.bid[found.state == WHOLE], found.ask[found.state == WHOLE]
    executor = Executor(tape.instrument, 0, CYCLE, "grid", {}, Limits())
    account = AccountNow(0, 0, 100_000.0, 0.0)
    executor.decide(CYCLE, MarketNow(True, int(bids[0]), int(asks[0]), 1000, 1000), account)
    count = int(seconds / BEAT_S)
    late = np.empty(count)
    begun = time.perf_counter() + BEAT_S
    for beat in range(count):
        due = begun + beat * BEAT_S
        if (wait := due - time.perf_counter()) > 0:
            time.sleep(wait)
        at = beat * 37 % len(rows)
        market = MarketNow(True, int(bids[at]), int(asks[at]), 1000, 1000)
        decision = executor.decide((beat + 2) * CYCLE, market, account)
        assert decision is not None
        journal.write(orjson.dumps({"ts": decision.now_ns, "bids": decision.bids, "asks": decision.asks}) + b"\n")
        journal.flush()
        late[beat] = (time.perf_counter() - due) * 1e3
    return late


def main(say: Callable[[str], None] = print) -> None:
    """Measure in turns and print the quantiles."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cycle_latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[np.ndarray]] = {name: [] for name in MODES}
    with tempfile.TemporaryDirectory() as folder:
        tape = synthesize(Path(folder) / "tape", hours=4.0, seed=5)
        with (Path(folder) / "journal").open("wb") as journal:
            for _ in range(options.rounds):
                for name, bounds in MODES.items():
                    beside = None if bounds is None else Beside(bounds, tape)
                    found[name].append(beats(tape, options.seconds, journal))
                    if beside is not None:
                        beside.close()
    say(f"{'optimizer':32} {'beats':>6} {'median':>8} {'p99':>8} {'p99.9':>8} {'most':>8}   ms from due to written")
    for name, parts in found.items():
        q = np.quantile(np.concatenate(parts), [0.5, 0.99, 0.999, 1.0])
        say(f"{name:32} {sum(map(len, parts)):6} {q[0]:8.2f} {q[1]:8.2f} {q[2]:8.2f} {q[3]:8.2f}")


if __name__ == "__main__":
    main()

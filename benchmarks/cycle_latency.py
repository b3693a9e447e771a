"""Does the optimizer beside it make the session's cycle late? Beats kept with and without it, in short turns.

A beat every 100 ms, kept by what keeps a live session's: from the moment it is due until the decision is made and its
line is written. That holds both what the cycle costs and how late the system lets it begin. The optimizers are the real
processes, one for each way of bounding it, and wait unless their turn has come; then one is asked again as soon as it
has answered: far more than a session asks of it. Beside each such turn, in turn before and after it, is one of the same
length in which none is asked or held, so that other work on the machine disturbs both alike. Intervals resample these
pairs of turns.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import orjson

from tidewright.agents.executor.executor import AccountNow, Executor, MarketNow
from tidewright.agents.optimizer.bounds import Bounds
from tidewright.coordination.messages import encode, message
from tidewright.coordination.tether import Rein
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.market.touch import WHOLE, touches
from tidewright.risk.limits import Limits
from tidewright.trading.cycles import WallCycles
from tidewright.trading.settings import AdviceSettings
from tidewright.trading.standstill import Standstill

F64 = npt.NDArray[np.float64]

CYCLE: Final = 30 * SECOND
SETTLE_S: Final = 0.5  # of each turn that are left out: the turn before may still be ending
DRAWS: Final = 4000
USUAL: Final = AdviceSettings()


class Mode(NamedTuple):
    """How an optimizer is kept from the cycles."""

    bounds: Bounds
    held: bool = False


MODES: Final = {
    "idle and held, as in a session": Mode(Bounds(idle=True), held=True),
    "idle": Mode(Bounds(idle=True)),
    "nice 10, held": Mode(Bounds(), held=True),
    "nice 10": Mode(Bounds()),
    "a quarter of a core": Mode(Bounds(cpu_share=0.25)),
    "nice 19": Mode(Bounds(nice=19)),
    "unbounded, all cores": Mode(Bounds(nice=0, memory_mb=0, threads=len(os.sched_getaffinity(0)))),
}


class Pace(NamedTuple):
    """When beats are, ns: how far apart, and how long before each the optimizer is held."""

    every_ns: int
    lead_ns: int


class Beside:
    """An optimizer process that is kept busy while it is told to."""

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
        self._going = False
        self.rein = Rein(self._child.pid)
        self.answers = 0
        self._ask()  # the first answer shows that the engine is loaded and compiled

    def _ask(self) -> None:
        channel_in, channel_out = self._child.stdin, self._child.stdout
        assert channel_in is not None and channel_out is not None
        channel_in.write(self._line.rstrip(b"\n") + b"\n")
        channel_in.flush()
        self.answers += bool(channel_out.readline())

    def _keep_busy(self) -> None:
        while self._going:
            self._ask()

    def __enter__(self) -> Self:
        self._going = True
        self._thread = threading.Thread(target=self._keep_busy, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._going = False
        self._thread.join()

    def keep_to(self, core: int) -> None:
        """Bind the process to a core."""
        os.sched_setaffinity(self._child.pid, {core})

    def close(self) -> None:
        """End it."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait()


class Session:
    """What a session does at a beat: one decision, one line."""

    def __init__(self, tape: Tape, journal: IO[bytes]) -> None:
        found = touches(tape.data)
        whole = found.state == WHOLE
        self._bids, self._asks, self._journal = found.bid[whole], found.ask[whole], journal
        self._executor = Executor(tape.instrument, 0, CYCLE, "grid", {}, Limits())
        self._account = AccountNow(0, 0, 100_000.0, 0.0)
        self._beat = 0
        self.decide()

    def decide(self) -> None:
        """The next decision."""
        at = self._beat * 37 % len(self._bids)
        market = MarketNow(True, int(self._bids[at]), int(self._asks[at]), 1000, 1000)
        self._beat += 1
        decision = self._executor.decide(self._beat * CYCLE, market, self._account)
        assert decision is not None
        self._journal.write(orjson.dumps({"ts": decision.now_ns, "bids": decision.bids, "asks": decision.asks}) + b"\n")
        self._journal.flush()

    def beats(self, seconds: float, pace: Pace, neighbour: Rein | None = None) -> F64:
        """Milliseconds from each beat's due time until its decision was made and written."""
        late = np.empty(int(seconds * SECOND) // pace.every_ns)

        async def keep() -> None:
            still = Standstill(pace.lead_ns / SECOND)
            still.neighbour = neighbour
            cycles = WallCycles(still)
            await cycles.register(pace.every_ns, None)
            for number in range(len(late)):
                beat = await cycles.next()
                self.decide()
                late[number] = (cycles.clock.market_ns() - beat.ts) / MILLISECOND
                await cycles.release(beat)
            await cycles.close()

        asyncio.run(keep())
        return late[int(SETTLE_S * SECOND) // pace.every_ns :]


def measure(
    out: Path,
    modes: list[str],
    rounds: int,
    seconds: float,
    pace: Pace,
    say: Callable[[str], None],
    apart: bool = False,
) -> None:
    """Append the turns of some rounds, a line for each pair of turns: without, then with.

    ``apart``: the optimizers keep to the last core and the session to the others.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "journal").open("wb") as journal:
        tape = synthesize(Path(folder) / "tape", hours=4.0, seed=5)
        session = Session(tape, journal)
        beside = {name: Beside(mode.bounds, tape) for name, mode in MODES.items() if name in modes}
        if apart:
            *others, last = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, others)
            for optimizer in beside.values():
                optimizer.keep_to(last)
        for number in range(rounds):
            for name, optimizer in beside.items():
                before = optimizer.answers
                without = session.beats(seconds, pace) if number % 2 == 0 else None
                with optimizer:
                    time.sleep(0.2)
                    busy = session.beats(seconds, pace, optimizer.rein if MODES[name].held else None)
                if without is None:
                    without = session.beats(seconds, pace)
                row = {
                    "mode": name,
                    "load": os.getloadavg()[0],
                    "every_ms": pace.every_ns / MILLISECOND,
                    "lead_ms": pace.lead_ns / MILLISECOND,
                    "answers": optimizer.answers - before,
                    "without": [round(float(value), 3) for value in without],
                    "with": [round(float(value), 3) for value in busy],
                }
                with out.open("ab") as file:
                    file.write(orjson.dumps(row) + b"\n")
            say(f"round {number + 1} of {rounds}")
        for optimizer in beside.values():
            optimizer.close()


def difference(pairs: list[tuple[F64, F64]], level: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Quantile with the optimizer less that without it, and the 95 % interval over resampled pairs of turns."""

    def gap(chosen: list[tuple[F64, F64]]) -> float:
        without, busy = (np.concatenate(column) for column in zip(*chosen, strict=True))
        return float(np.quantile(busy, level) - np.quantile(without, level))

    draws = [gap([pairs[i] for i in rng.integers(0, len(pairs), len(pairs))]) for _ in range(DRAWS)]
    lower, upper = np.quantile(draws, [0.025, 0.975])
    return gap(pairs), float(lower), float(upper)


def table(rows: list[dict[str, Any]]) -> str:
    """Quantiles with and without, and the difference of the 99 % ones."""
    lines = [
        f"{'optimizer':30} {'beats':>6} {'median':>15} {'p99':>15} {'p99.9':>15}   difference of p99, 95 %",
        f"{'':30} {'':6} {'without  with':>15} {'without  with':>15} {'without  with':>15}   ms",
    ]
    for name in MODES:
        pairs = [(np.array(row["without"]), np.array(row["with"])) for row in rows if row["mode"] == name]
        if not pairs:
            continue
        sides = [np.concatenate(column) for column in zip(*pairs, strict=True)]
        cells = [
            f"{np.quantile(sides[0], level):7.2f} {np.quantile(sides[1], level):7.2f}" for level in (0.5, 0.99, 0.999)
        ]
        gap, lower, upper = difference(pairs, 0.99, np.random.default_rng(1))
        lines.append(f"{name:30} {len(sides[0]):6} {' '.join(cells)}   {gap:+.2f} ({lower:+.2f} to {upper:+.2f})")
    return "\n".join(lines)


def main(say: Callable[[str], None] = print) -> None:
    """Measure in turns and print the quantiles of all turns in the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cycle_latency", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each turn")
    parser.add_argument("--every", type=float, default=100.0, help="milliseconds from beat to beat")
    lead = (USUAL.still_before_ns or 0) / MILLISECOND
    parser.add_argument("--lead", type=float, default=lead, help="milliseconds held before each beat")
    parser.add_argument("--rounds", type=int, default=12, help="to add to the file; 0: only the table")
    parser.add_argument("--modes", default="", help=f"of {'; '.join(MODES)}; separated by ;, without: all")
    parser.add_argument(
        "--out", type=Path, default=Path(".bench") / "cycle_latency.jsonl", help="one line a pair of turns"
    )
    parser.add_argument("--core", type=int, help="the one core that session and optimizer share: the worst case")
    parser.add_argument("--apart", action="store_true", help="optimizer on the last core, session on the others")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    options.out.parent.mkdir(exist_ok=True)
    modes = [name.strip() for name in options.modes.split(";")] if options.modes else list(MODES)
    if options.rounds:
        measure(
            options.out,
            modes,
            options.rounds,
            options.seconds,
            Pace(round(options.every * MILLISECOND), round(options.lead * MILLISECOND)),
            lambda text: print(text, file=sys.stderr, flush=True),
            options.apart,
        )
    say(table([orjson.loads(line) for line in options.out.read_bytes().splitlines()]))


if __name__ == "__main__":
    main()

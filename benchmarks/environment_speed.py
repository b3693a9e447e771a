"""Steps a second of the training ground, real order book included; one process of it, as ``benchmarks.run`` asks for.

A step is one decision of one lane, with the 30 s of market that follow it. Actions are random. ``python -m
benchmarks.learning --speed`` measures one ground of your choice; ``make bench`` those below, beside what peers state.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import peers
from benchmarks.peers import WORK, Peer
from benchmarks.table import new_row
from tidewright.agents.executor.environment_tape import TapeEnvironment, TapeSettings
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

QUOTED: Final = Peer("environment", "mbt_gym, JaxMARL-HFT (quoted)", "")
STATED: Final = "quoted, not measured here: 3.43 M steps/s without an order book; 0.351 M with one, on a GPU"
HOURS: Final = 8.0
STEPS: Final = 400  # of every lane in a block that is timed
BLOCKS: Final = 8


@dataclass(frozen=True, slots=True)
class Ground:
    """A training ground: its lanes, the cohorts they are dealt over, the most quotes of a side."""

    lanes: int
    cohorts: int
    levels: int

    @property
    def name(self) -> str:
        """Row of the table."""
        levels = f"{self.levels} level{'s' if self.levels > 1 else ''}"
        return f"steps of the training ground, {self.lanes:,} lanes, {levels} a side, {self.cohorts} cohorts"


# One level as mbt_gym's makers quote, three as policies are trained. Each cohort replays a market of its own, so few of
# them are the fastest; 16 are what `tidewright train` takes unless told otherwise, with 256 lanes.
GROUNDS: Final = (
    Ground(2_048, 2, 1),
    Ground(2_048, 2, 3),
    Ground(2_048, 16, 1),
    Ground(2_048, 16, 3),
    Ground(256, 16, 3),
)


def training_tape() -> Path:
    """The synthetic market lanes step in, made on first use."""
    path = WORK / "learning-tape"
    if not path.exists():
        WORK.mkdir(exist_ok=True)
        synthesize(path, hours=HOURS, seed=1)
    return path


def rates(market: Tape, ground: Ground, steps: int, blocks: int) -> list[tuple[float, float]]:
    """Steps of all lanes a second by the clock and a second of processor, block by block."""
    lanes, levels = ground.lanes, ground.levels
    settings = TapeSettings(decisions=480, capital=1e6, levels=levels)
    environment = TapeEnvironment([market], lanes, ground.cohorts, settings, seed=0)
    random = np.random.default_rng(0)
    continuous = random.uniform(-1, 1, (16, lanes, 3)).astype(np.float32)
    discrete = np.stack((random.integers(0, levels + 1, (16, lanes)), random.integers(0, 5, (16, lanes))), axis=-1)
    found = []
    environment.reset()
    for _ in range(blocks):
        began, cpu = time.perf_counter(), time.process_time()
        for step in range(steps):
            environment.step(continuous[step % 16], discrete[step % 16])
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        found.append((lanes * steps / seconds, lanes * steps / used))
    environment.close()
    return found


def rows(
    tape: Path,
    rounds: int,
    say: Callable[[str], None],
    grounds: Sequence[Ground] = GROUNDS,
    run: Callable[..., dict[str, Any]] = peers.run_ours,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows for the table of benchmarks.run, and what the market is; a process a round, every other one backwards."""
    found = [
        new_row(ground.name, QUOTED.title, "step") | {"ours_cpu": [], "reason": STATED, "lanes": ground.lanes}
        for ground in grounds
    ]
    for number in range(rounds):
        say(f"training ground: round {number + 1} of {rounds} ...")
        order = list(range(len(grounds)))[:: -1 if number % 2 else 1]
        spec = {"tape": str(tape), "grounds": [asdict(grounds[k]) for k in order], "steps": STEPS, "blocks": BLOCKS}
        answer = run([sys.executable, "-m", "benchmarks.environment_speed", "SPEC"], spec)
        for k, blocks in zip(order, answer["rates"], strict=True):
            found[k]["ours"] += [clock for clock, _ in blocks]
            found[k]["ours_cpu"] += [cpu for _, cpu in blocks]
    market = Tape.open(tape)
    decisions = (market.end_ns - market.start_ns) / TapeSettings().cycle_ns
    described = {"hours": HOURS, "rows_a_step": len(market) / decisions, "blocks": BLOCKS}
    return found, described | {"cores": len(os.sched_getaffinity(0))}


def main() -> None:
    """Measure the grounds of a specification, the first block of each untimed; one JSON line."""
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    market = Tape.open(Path(spec["tape"]))
    found = [rates(market, Ground(**ground), spec["steps"], spec["blocks"] + 1)[1:] for ground in spec["grounds"]]
    print(json.dumps({"rates": found}))


if __name__ == "__main__":
    main()

"""Does the optimizer's confidence come true? Epochs on many tapes, written down as they come, then judged."""

import argparse
import sys
import time
from pathlib import Path

import orjson

from benchmarks.confidence_epochs import Course, epochs, to_json
from tidewright.market.clock import SECOND
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

STRATEGIES = ("grid", "glft", "avellaneda_stoikov")
HOURS = 35.0
FAST = 30 * 60 * SECOND * 4  # tapes shorter than this are cut into shorter cycles


def course_of(tape: Tape) -> Course:
    """Cycles that give a recorded tape enough epochs: 1 s on minutes, 10 s on days."""
    short = tape.end_ns - tape.start_ns < FAST
    return Course(SECOND, 240, 60, 1) if short else Course(10 * SECOND, 360, 60, 4)


def record(out: Path, synthetic: int, recorded: list[Path], budget_s: float) -> int:
    """Append epochs of tapes that are not in the file yet, whole tapes, until the budget is used up."""
    begun = time.monotonic()
    done = set()
    if out.is_file():
        done = {orjson.loads(line)["source"] for line in out.read_bytes().splitlines() if b'"end"' in line}
    jobs = [(f"synthetic-{seed}", None, seed) for seed in range(1, synthetic + 1)]
    jobs += [(path.name, path, 1) for path in recorded]
    for index, (name, path, seed) in enumerate(jobs):
        if path is None:
            strategies = [STRATEGIES[seed % 3]]
        else:
            strategies = list(STRATEGIES)
        for strategy in strategies:
            source = name if path is None else f"{name}-{strategy}"
            if source in done:
                continue
            if time.monotonic() - begun > budget_s:
                return 1
            tape = synthesize(None, hours=HOURS, seed=seed) if path is None else Tape.open(path)
            course = Course() if path is None else course_of(tape)
            lines = [orjson.dumps(to_json(e)) for e in epochs(tape, source, strategy, course, seed, index)]
            lines.append(orjson.dumps({"end": True, "source": source}))
            with out.open("ab") as file:
                file.write(b"\n".join(lines) + b"\n")
            print(f"{time.monotonic() - begun:6.0f} s  {source}: {len(lines) - 1} epochs", file=sys.stderr, flush=True)
    return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--synthetic", type=int, default=0)
    parser.add_argument("--recorded", type=Path, nargs="*", default=[])
    parser.add_argument("--budget", type=float, default=600)
    a = parser.parse_args()
    sys.exit(record(a.out, a.synthetic, a.recorded, a.budget))


if __name__ == "__main__":
    main()

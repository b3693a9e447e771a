"""What other thresholds and canaries would have done: ``python -m benchmarks.gate EPOCHS.jsonl``.

Reads what ``benchmarks.confidence record`` wrote: candidate and incumbent of thousands of epochs, and what both earned
in the four epochs after. Nothing is replayed. Confidence is corrected by what came before, as in a session; the
deflated Sharpe ratio is the gate's own, of the in-sample difference with the session's trials. Gains are quote an epoch
against keeping the incumbent, over all epochs that had a candidate: a refused one gains nothing. Intervals resample
tapes.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.confidence import corrected, load, outcome
from tidewright.agents.executor.canary import CanaryRules
from tidewright.agents.executor.proposals import Gate
from tidewright.agents.optimizer.evidence import Pair, paired
from tidewright.measure.overfitting import deflated_sharpe
from tidewright.measure.sequential import HarmTest, block_sums
from tidewright.measure.validation import moments

F64 = npt.NDArray[np.float64]

EPOCH: Final = 60  # cycles
CONFIDENCES: Final = (0.0, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)
DEFLATED: Final = (0.0, 0.0001, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.95)
FRACTIONS: Final = (0.1, 0.25, 0.5, 1.0)
CYCLES: Final = (0, 60, 120)
THRESHOLD: Final = 0.6
DEFLATED_NOW: Final = float(Gate().min_deflated_sharpe or 0.0)
DRAWS: Final = 2000


@dataclass(frozen=True, slots=True)
class Epochs:
    """What the gate knew of each epoch's candidate, and what came.

    Attributes
    ----------
    confidence, deflated
        Corrected confidence; deflated Sharpe ratio, NaN where undefined (the gate passes it over).
    sent
        Whether a proposal went out.
    gain
        Candidate less incumbent over the epoch that followed, quote.
    tape
        Number of the tape.
    rows
        The rows themselves.
    """

    confidence: F64
    deflated: F64
    sent: npt.NDArray[np.bool_]
    gain: F64
    tape: npt.NDArray[np.int64]
    rows: list[dict[str, Any]]


def read(files: list[Path], trials: float) -> Epochs:
    """Epochs of files, in their order; ``trials`` for each that was recorded."""
    rows = load(files)
    raw = np.empty(len(rows))
    deflated = np.empty(len(rows))
    for index, row in enumerate(rows):
        outside, inside = (Pair(np.array(row[name]), np.array(row[f"drift_{name}"])) for name in ("outside", "inside"))
        raw[index] = paired(outside, EPOCH, row["choices"], np.random.default_rng(0), inside, draws=2).confidence
        deflated[index] = _deflated(inside.difference, trials * row["trials"])
    came = np.array([outcome(row, EPOCH) for row in rows])
    _, tape = np.unique([row["source"] for row in rows], return_inverse=True)
    return Epochs(
        corrected(raw, came),
        deflated,
        np.array([row["sent"] for row in rows], np.bool_),
        np.array([float(np.sum(row["after"][:EPOCH])) for row in rows]),
        tape,
        rows,
    )


def _deflated(difference: F64, trials: float) -> float:
    found = moments(difference)
    count = len(difference)
    if found.sharpe == 0.0:
        return float("nan")
    try:
        return deflated_sharpe(found.sharpe, count, trials, 1.0 / count, found.skew, found.kurtosis)
    except (ZeroDivisionError, ValueError):
        return float("nan")


def interval(values: F64, tape: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Mean over epochs and its central 95 % interval, whole tapes resampled."""
    count = int(tape.max()) + 1
    total, size = np.bincount(tape, values, count), np.bincount(tape, minlength=count)
    chosen = np.random.default_rng(3).integers(0, count, (DRAWS, count))
    means = total[chosen].sum(axis=1) / np.maximum(1, size[chosen].sum(axis=1))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def thresholds(found: Epochs, some: npt.NDArray[np.bool_]) -> list[str]:
    """A line a threshold: what it takes, how often that came true, what is gained by it, of some of the epochs."""
    lines = [
        f"{'threshold':26} {'taken':>6} {'came true':>9} {'refused: true':>13} {'gain an epoch':>13} "
        f"{'less that of the one in use, 95 %':>35} {'worst 5 %':>10}"
    ]
    sent, confidence, gain, tape = found.sent[some], found.confidence[some], found.gain[some], found.tape[some]
    known = np.where(np.isnan(found.deflated), 1.0, found.deflated)[some]
    used = sent & (confidence >= THRESHOLD) & (known >= DEFLATED_NOW)
    tests = [(f"confidence >= {v:g}", sent & (confidence >= v) & (known >= DEFLATED_NOW)) for v in CONFIDENCES]
    tests += [(f"deflated Sharpe >= {v:g}", sent & (confidence >= THRESHOLD) & (known >= v)) for v in DEFLATED]
    for name, taken in tests:
        refused = sent & ~taken
        more, low, high = interval(np.where(taken, gain, 0.0) - np.where(used, gain, 0.0), tape)
        lines.append(
            f"{name:26} {int(taken.sum()):6} {_share(gain[taken]):9.3f} {_share(gain[refused]):13.3f} "
            f"{float(np.where(taken, gain, 0.0).mean()):+13.4f} {more:+15.4f} [{low:+.4f}, {high:+.4f}] "
            f"{float(np.quantile(gain[taken], 0.05)) if taken.any() else float('nan'):+10.3f}"
        )
    return lines


def _share(gain: F64) -> float:
    return float((gain > 0).mean()) if len(gain) else float("nan")


def rollout(row: dict[str, Any], fraction: float, cycles: int) -> tuple[float, bool]:
    """Gain over the four epochs after acceptance against keeping the incumbent, and whether it was rolled back.

    A canary quotes a share of the quantity and is taken to earn that share; evidence comes once an epoch, as from the
    optimizer; after a roll-back the incumbent trades again.
    """
    after, kept = np.array(row["after"]), np.array(row["kept"])
    rules = CanaryRules(fraction=fraction, cycles=cycles)
    scale = float(np.std(block_sums(np.array(row["outside"]), rules.block)))
    test, share, gain = HarmTest(rules.error_rate, scale), fraction if cycles else 1.0, 0.0
    for begin in range(0, len(after), EPOCH):
        part = slice(begin, begin + EPOCH)
        new = after[part] + kept[part]
        gain += float((share * new - kept[part]).sum())
        test.observe(block_sums(after[part], rules.block))
        if test.harmful:
            return gain, True
        if begin + EPOCH >= cycles:
            share = 1.0
    return gain, False


def canaries(found: Epochs, some: npt.NDArray[np.bool_]) -> list[str]:
    """A line a canary: gain over the four epochs after each acceptance, and the worst of them."""
    known = np.where(np.isnan(found.deflated), 1.0, found.deflated)
    taken = np.flatnonzero(some & found.sent & (found.confidence >= THRESHOLD) & (known >= DEFLATED_NOW))
    taken = np.array([index for index in taken if "kept" in found.rows[index]], np.int64)
    if not len(taken):
        return ["canaries: these epochs were recorded without the incumbent's own results"]
    lines = [f"{'canary':28} {'taken':>6} {'rolled back':>11} {'gain of 4 epochs, 95 %':>32} {'mean of worst 5 %':>18}"]
    for cycles in CYCLES:
        for fraction in FRACTIONS if cycles else (1.0,):
            played = [rollout(found.rows[index], fraction, cycles) for index in taken]
            gains = np.array([gain for gain, _ in played])
            back = float(np.mean([rolled for _, rolled in played]))
            mean, low, high = interval(gains, found.tape[taken])
            tail = np.sort(gains)[: max(1, len(gains) // 20)].mean()
            name = f"{fraction:g} for {cycles} cycles" if cycles else "none: full at once"
            lines.append(f"{name:28} {len(taken):6} {back:11.3f} {mean:+14.3f} [{low:+.3f}, {high:+.3f}] {tail:+18.3f}")
    return lines


def main(say: Callable[[str], None] = print) -> None:
    """Print both tables, for all tapes and for each half of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--trials", type=float, default=1.0, help="trials for each recorded one: 21 as in a session")
    parser.add_argument("--half", type=int, choices=(0, 1), help="only tapes of even or of odd seed")
    options = parser.parse_args()
    found = read(options.files, options.trials)
    half = np.array([options.half is None or _seed(row["source"]) % 2 == options.half for row in found.rows])
    beaten = np.array([row["kind"] == "fixed" for row in found.rows])
    for name, some in (("all epochs", half), ("without the incumbent that is never replaced", half & ~beaten)):
        if some.any():
            for line in (f"{name}: {int(some.sum())}", *thresholds(found, some), *canaries(found, some), ""):
                say(line)


def _seed(source: str) -> int:
    """Of a synthetic tape; recorded ones go by the length of their name."""
    number = source.rpartition("-")[2]
    return int(number) if number.isdigit() else len(source)


if __name__ == "__main__":
    main()

"""Does the optimizer's confidence come true? Epochs on many tapes, written down as they come, then judged.

    python -m benchmarks.confidence record --out epochs.jsonl --synthetic 60          goes on where it stopped
    python -m benchmarks.confidence record --out recorded.jsonl --recorded tapes/nexo tapes/standx
    python -m benchmarks.confidence record --out session.jsonl --synthetic 24 --first 101 --session
    python -m benchmarks.confidence assess epochs.jsonl --html confidence.html

``assess`` goes through the epochs in their order and knows at each only what had come before it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from benchmarks.confidence_epochs import Course, as_in_a_session, epochs, to_json
from tidewright.agents.optimizer.calibration import CALIBRATED_BOUND, Recalibrator
from tidewright.agents.optimizer.conformal import Conformal
from tidewright.agents.optimizer.evidence import BOUND, Pair, paired
from tidewright.market.clock import HOUR, SECOND
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape
from tidewright.measure.reliability import Band, Reliability, assess, perfect_band, skill_interval

F64 = npt.NDArray[np.float64]

STRATEGIES: Final = ("grid", "glft", "avellaneda_stoikov")
HOURS: Final = 35.0
RATE: Final = 1.5
SHORT: Final = 2 * HOUR  # tapes shorter than this are cut into cycles of one second
BLOCK: Final = 6  # epochs of one tape that are resampled together
TUNED_ON: Final = 54  # synthetic seeds, and NEXOUSDT, that were looked at when constants were chosen
NORMAL_90: Final = 1.6448536269514722
RUN: Final = 200  # epochs in a row whose coverage is told


@dataclass(frozen=True, slots=True)
class Verdict:
    """One way of forecasting, judged."""

    name: str
    found: Reliability
    skill: tuple[float, float]
    over_base: tuple[float, float]
    band: Band


def course_of(tape: Tape) -> Course:
    """Cycles that give a recorded tape enough epochs: 1 s on minutes, 10 s on days."""
    short = tape.end_ns - tape.start_ns < SHORT
    return Course(SECOND, 240, 60, 1) if short else Course(10 * SECOND, 360, 60, 4)


def record(out: Path, seeds: range, recorded: list[Path], budget_s: float, of_synthetic: Course | None = None) -> int:
    """Append the epochs of tapes that are not in the file yet, a whole tape at a time; 1 if the budget ran out."""
    begun = time.monotonic()
    done = set()
    if out.is_file():
        done = {orjson.loads(line)["source"] for line in out.read_bytes().splitlines() if line.startswith(b'{"end"')}
    jobs: list[tuple[str, Path | None, int, str]] = [
        (f"synthetic-{seed}", None, seed, STRATEGIES[seed % 3]) for seed in seeds
    ]
    jobs += [(f"{path.name}-{strategy}", path, 1, strategy) for path in recorded for strategy in STRATEGIES]
    for index, (source, path, seed, strategy) in enumerate(jobs):
        if source in done:
            continue
        if time.monotonic() - begun > budget_s:
            return 1
        tape = synthesize(None, hours=HOURS, seed=seed, rate=RATE) if path is None else Tape.open(path)
        course = (of_synthetic or Course()) if path is None else course_of(tape)
        lines = [orjson.dumps(to_json(epoch)) for epoch in epochs(tape, source, strategy, course, seed, index)]
        lines.append(orjson.dumps({"end": True, "source": source}))
        with out.open("ab") as file:
            file.write(b"\n".join(lines) + b"\n")
        print(f"{time.monotonic() - begun:6.0f} s  {source}: {len(lines) - 1} epochs", file=sys.stderr, flush=True)
    return 0


def load(files: list[Path]) -> list[dict[str, Any]]:
    """Epochs in the order in which they were written."""
    rows = (orjson.loads(line) for file in files for line in file.read_bytes().splitlines())
    return [row for row in rows if "end" not in row]


def outcome(row: dict[str, Any], horizon: int = 60) -> float:
    """1 if the candidate earned more over the epoch that followed, 0 if less, 0.5 a tie."""
    total = float(np.sum(row["after"][:horizon]))
    return 0.5 if total == 0.0 else float(total > 0.0)


def forecasts(rows: list[dict[str, Any]], horizon: int = 60) -> tuple[F64, F64]:
    """The estimator's forecast of each epoch, and the plain bootstrap's of the out-of-sample differences alone."""
    ours, plain = np.empty(len(rows)), np.empty(len(rows))
    for index, row in enumerate(rows):
        outside, inside = (Pair(np.array(row[name]), np.array(row[f"drift_{name}"])) for name in ("outside", "inside"))
        rng = np.random.default_rng(index)
        found = paired(outside, horizon, row["choices"], rng, inside, draws=400)
        blocks = found.cycles / found.block
        ours[index] = found.confidence
        plain[index] = np.clip(0.5 + (found.probability - 0.5) * blocks / (blocks + 10.0), BOUND, 1.0 - BOUND)
    return ours, plain


def corrected(raw: F64, outcomes: F64) -> F64:
    """Forecasts corrected by the outcomes before them, as the optimizer corrects its own."""
    learner, found = Recalibrator(), np.empty(len(raw))
    for index, (forecast, came) in enumerate(zip(raw, outcomes, strict=True)):
        said = learner.calibration().apply(float(forecast))
        found[index] = np.clip(said, CALIBRATED_BOUND, 1.0 - CALIBRATED_BOUND)
        learner.tell(float(forecast), float(came))
    return found


def coverage(rows: list[dict[str, Any]], horizon: int = 60) -> str:
    """How often the next epoch's difference lay in the interval told before, in words."""
    learner, within, below, above, plain = Conformal(), [], 0, 0, 0
    for row in rows:
        outside, inside = (Pair(np.array(row[name]), np.array(row[f"drift_{name}"])) for name in ("outside", "inside"))
        found = paired(outside, horizon, row["choices"], np.random.default_rng(0), inside, draws=2)
        if found.deviation <= 0.0:
            continue
        difference = float(np.sum(row["after"][:horizon]))
        told = learner.range(found.expected, found.deviation)
        below, above = below + (difference < told.lower), above + (difference > told.upper)
        within.append(told.lower <= difference <= told.upper)
        plain += abs(difference - found.expected) <= NORMAL_90 * found.deviation
        learner.tell((difference - found.expected) / found.deviation)
    count = len(within)
    run = min(RUN, count)
    lowest = float(np.convolve(within, np.full(run, 1.0 / run), "valid").min())
    return (
        f"conformal interval of {100 * learner.range(0.0, 1.0).level:.0f} %: {count} epochs, covered "
        f"{np.mean(within):.3f}, below {below / count:.3f}, above {above / count:.3f}, least over {run} in a row "
        f"{lowest:.3f}; a normal one of the same deviation {plain / count:.3f}"
    )


def judge(name: str, said: F64, came: F64, blocks: list[str]) -> Verdict:
    """Scores with their intervals, and what chance alone does to the calibration error."""
    rng = np.random.default_rng(7)
    found = assess(said, came)
    assert found is not None
    return Verdict(
        name,
        found,
        skill_interval(said, came, blocks, rng),
        skill_interval(said, came, blocks, rng, over_base=True),
        perfect_band(said, rng),
    )


def verdicts(rows: list[dict[str, Any]]) -> list[Verdict]:
    """All ways of forecasting, and parts of the best one, on the same epochs."""
    came = np.array([outcome(row) for row in rows])
    blocks = [f"{row['source']}:{row['number'] // BLOCK}" for row in rows]
    raw, plain = forecasts(rows)
    said = corrected(raw, came)
    shuffled = came[np.random.default_rng(1).permutation(len(came))]
    found = [
        judge("plain bootstrap", plain, came, blocks),
        judge("estimator", raw, came, blocks),
        judge("estimator, corrected", said, came, blocks),
        judge("shuffled outcomes", corrected(raw, shuffled), shuffled, blocks),
    ]
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(f"incumbent {row['kind']}", []).append(index)
        if row["kind"] != "fixed":
            groups.setdefault("all but fixed", []).append(index)
        if not row["sent"]:
            groups.setdefault("not sent", []).append(index)
        words = row["source"].split("-")
        groups.setdefault(f"tape {words[0]}", []).append(index)
        if not (words[0] == "nexo" or (words[0] == "synthetic" and int(words[1]) <= TUNED_ON)):
            groups.setdefault("not tuned on", []).append(index)
    for name, members in sorted(groups.items()):
        part = [blocks[index] for index in members]
        if len(set(part)) > 1 and len(members) < len(rows):
            found.append(judge(name, said[members], came[members], part))
    return found


def table(found: list[Verdict]) -> str:
    """One line a way of forecasting."""
    head = (
        f"{'':22} {'n':>5} {'came':>5} {'Brier':>6}  {'skill over 1/2':>22}  {'skill over base rate':>22}  {'ECE':>6} "
    )
    head += "perfect: mean, 95 %"
    lines = [head]
    for v in found:
        r = v.found
        first = f"{r.skill:6.3f} [{v.skill[0]:6.3f},{v.skill[1]:6.3f}]"
        second = f"{r.skill_over_base:6.3f} [{v.over_base[0]:6.3f},{v.over_base[1]:6.3f}]"
        lines.append(
            f"{v.name:22} {r.count:5} {r.base_rate:5.2f} {r.brier:6.4f}  {first}  {second}  {r.calibration_error:6.4f} "
            f"{v.band.mean:6.4f}, {v.band.upper:.4f}"
        )
    return "\n".join(lines)


def page(found: list[Verdict], title: str) -> str:
    """A self-contained page: the reliability diagram with what chance does to each point, and the table."""
    from html import escape

    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="as said", line={"color": "#8a929c", "dash": "dot"})
    for verdict in found[:4]:
        bins = verdict.found.bins
        error = [1.96 * (max(b.outcome * (1 - b.outcome), 0.25 / b.count) / b.count) ** 0.5 for b in bins]
        figure.add_scatter(
            x=[b.forecast for b in bins],
            y=[b.outcome for b in bins],
            error_y={"array": error, "thickness": 1},
            mode="lines+markers",
            name=verdict.name,
            text=[f"n = {b.count}" for b in bins],
        )
    figure.update_layout(
        title=title, xaxis_title="confidence", yaxis_title="share that came true", template="plotly_white", height=560
    )
    body = figure.to_html(include_plotlyjs=True, full_html=False)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<body>{body}<pre>{escape(table(found))}</pre></body></html>"
    )


def main(say: Callable[[str], None] = print) -> None:
    """Record or assess."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.confidence", description=__doc__)
    jobs = parser.add_subparsers(dest="job", required=True)
    write = jobs.add_parser("record", help="play epochs on tapes and append them to a file")
    write.add_argument("--out", type=Path, required=True)
    write.add_argument("--synthetic", type=int, default=0, help="synthetic tapes of 35 h, of seeds in a row")
    write.add_argument("--first", type=int, default=1, help="the first seed")
    write.add_argument("--session", action="store_true", help="windows and searches of a session's defaults")
    write.add_argument("--recorded", type=Path, nargs="*", default=[], help="tape folders")
    write.add_argument("--budget", type=float, default=600.0, help="seconds after which no new tape is begun")
    read = jobs.add_parser("assess", help="score what was recorded")
    read.add_argument("files", type=Path, nargs="+")
    read.add_argument("--html", type=Path, help="write the reliability diagram there")
    options = parser.parse_args()
    if options.job == "record":
        seeds = range(options.first, options.first + options.synthetic)
        course = as_in_a_session() if options.session else None
        sys.exit(record(options.out, seeds, options.recorded, options.budget, course))
    found = verdicts(load(options.files))
    if options.html is not None:
        options.html.write_text(page(found, "Confidence and what came of it"))
    say(table(found))
    say(coverage(load(options.files)))


if __name__ == "__main__":
    main()

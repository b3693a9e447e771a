"""``python -m benchmarks.coordination``: what each coordination pattern loses, across regimes and with faulty agents.

Two games, both on results of shadow lanes in replayed markets, so that every agent's result is known, followed or not:

* **capital**: five strategies are agents; a pattern shares the capital among them each cycle.
* **numbers**: seven advisors propose a spread each cycle; a pattern makes one of it, and the grid lane that is
  nearest to it is what is earned.

Faults: none; silent (from a quarter on); constant (always the same poor choice, sure of itself); random; adversarial
(always what has
just done worst, sure of itself). In the numbers game two of seven are faulty, in the capital game the agent that
leads until a quarter.

The market is several synthetic ones in a row, of different activity, each replayed by itself: a regime change without
a jump in price.
"""

import argparse
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import tidewright as tw
from tidewright.coordination.council import make_patterns
from tidewright.coordination.patterns.opinion import Opinion, Result
from tidewright.market.synthetic import synthesize

SIZE = {"base_quantity": 0.002, "max_position": 0.02}
AGENTS = {
    "grid": ("grid", {"spread_percentage": 0.35, "levels": 3}),
    "avellaneda_stoikov": ("avellaneda_stoikov", {"levels": 3}),
    "glft": ("glft", {"levels": 3}),
    "mean_reversion": ("mean_reversion", {"levels": 3}),
    "momentum": ("momentum", {"levels": 3}),
}
SPREADS = np.geomspace(0.03, 1.0, 16)
FAULTS = ("none", "silent", "constant", "random", "adversarial")
PATTERNS = ("master_slave", "peer_to_peer", "hierarchical", "democratic")
ADVISORS, LIARS, TRAIL = 7, 2, 120


def results(
    hours: float, rates: Sequence[float], fees: Sequence[float], seed: int
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Result a cycle (quote) of every agent and of every spread of the ladder, and where each market ends."""
    agents, ladder, ends = [], [], []
    for index, (rate, fee) in enumerate(zip(rates, fees, strict=True)):
        options = {"cycle": "30s", "record_equity": True, "fees": (fee, fee)}
        tape = synthesize(None, hours=hours, seed=seed + index, rate=rate)
        columns = []
        for strategy, params in AGENTS.values():
            run = tw.backtest(tape, strategy=strategy, params={**SIZE, **params}, **options)
            columns.append(np.diff(run.equity_values[:, 0]))
        agents.append(np.stack(columns, axis=1))
        spreads = {**SIZE, "levels": 3, "spread_percentage": SPREADS}
        run = tw.backtest(tape, strategy="grid", params=spreads, **options)
        ladder.append(np.diff(run.equity_values, axis=0))
        ends.append(sum(len(part) for part in ladder))
    return np.concatenate(agents), np.concatenate(ladder), ends


def losses(gains: np.ndarray) -> np.ndarray:
    """Gains as losses in [0, 1]: relative to the mean of all at the time, so without the move of all."""
    relative = gains - gains.mean(axis=1, keepdims=True)
    scale = 3 * relative.std() or 1.0
    return np.clip(0.5 - relative / (2 * scale), 0.0, 1.0)


def capital(pattern: str, fault: str, gains: np.ndarray, seed: int) -> np.ndarray:
    """Result a cycle when a pattern shares the capital."""
    rng = np.random.default_rng(seed)
    names = list(AGENTS)
    quarter = len(gains) // 4
    bad = int(np.argmax(gains[:quarter].sum(axis=0)))
    names = [names[bad], *names[:bad], *names[bad + 1 :]]  # the leader is the master
    gains = gains[:, [bad, *range(bad), *range(bad + 1, len(AGENTS))]].copy()
    if fault != "none":
        others = gains[quarter:, 1:]
        if fault == "silent":
            gains[quarter:, 0] = 0.0
        elif fault == "constant":
            gains[quarter:, 0] = np.minimum(others.min(axis=1), gains[quarter:, 0])
        elif fault == "random":
            gains[quarter:, 0] = others[np.arange(len(others)), rng.integers(0, others.shape[1], len(others))]
        else:
            gains[quarter:, 0] = others.min(axis=1)
    lost = losses(gains)
    chosen = make_patterns(names, 0.6)[pattern]
    earned = np.zeros(len(gains))
    for t in range(len(gains)):
        broken = fault != "none" and t >= quarter
        said = [
            Opinion(name, {}, 0, 1.0 if broken and index == 0 else 0.55)
            for index, name in enumerate(names)
            if not (broken and fault == "silent" and index == 0)
        ]
        shares = chosen.decide({}, said).shares
        earned[t] = sum(share * gains[t, names.index(name)] for name, share in shares.items())
        told = {}
        for index, name in enumerate(names):
            if broken and fault == "silent" and index == 0:
                continue
            confidence = 1.0 if broken and index == 0 else 0.55
            told[name] = Result(float(lost[t, index]), confidence, bool(lost[t, index] < 0.5))
        chosen.learn(told)
    return earned


def numbers(pattern: str, fault: str, ladder: np.ndarray, seed: int) -> np.ndarray:
    """Result a cycle when a pattern makes one spread of seven proposals."""
    rng = np.random.default_rng(seed)
    names = [f"advisor-{index}" for index in range(ADVISORS)]
    chosen = make_patterns(["executor", *names], 0.6)[pattern]
    quarter, lost = len(ladder) // 4, losses(ladder)
    spread, earned = float(SPREADS[len(SPREADS) // 2]), np.zeros(len(ladder))
    for t in range(len(ladder)):
        trail = ladder[max(0, t - TRAIL) : t].sum(axis=0) if t else np.zeros(len(SPREADS))
        picks: dict[str, tuple[int, float]] = {}
        for index, name in enumerate(names):
            if fault != "none" and index < LIARS and t >= quarter:
                if fault == "silent":
                    continue
                lane = {"constant": 0, "random": int(rng.integers(len(SPREADS))), "adversarial": int(np.argmin(trail))}
                picks[name] = (lane[fault], 1.0)
            else:
                lane_ = int(np.clip(np.argmax(trail) + rng.integers(-2, 3), 0, len(SPREADS) - 1))
                picks[name] = (lane_, float(rng.uniform(0.5, 0.7)))
        said = [Opinion(name, {"spread": float(SPREADS[lane])}, 0, sure) for name, (lane, sure) in picks.items()]
        now = int(np.argmin(np.abs(np.log(SPREADS / spread))))
        outcome = chosen.decide({"spread": spread}, [Opinion("executor", {}, 0, 0.5), *said])
        spread = float(outcome.params["spread"])
        used = int(np.argmin(np.abs(np.log(SPREADS / spread))))
        earned[t] = ladder[t, used]
        told = {
            name: Result(float(lost[t, lane]), sure, bool(ladder[t, lane] > ladder[t, now]))
            for name, (lane, sure) in picks.items()
        }
        told["executor"] = Result(float(lost[t, now]))
        chosen.learn(told)
    return earned


def measures(gains: np.ndarray, ends: Sequence[int]) -> dict[str, float]:
    """What the results are held against: the best in hindsight, the best of each regime, the mean of all."""
    cuts = [0, *ends]
    switching = sum(gains[a:b].sum(axis=0).max() for a, b in itertools.pairwise(cuts))
    total = gains.sum(axis=0)
    return {
        "best of each regime": float(switching),
        "best fixed": float(total.max()),
        "mean of all": float(total.mean()),
    }


def page(path: Path, curves: dict[str, dict[str, np.ndarray]], text: str) -> None:
    """One self-contained page: a figure a game and fault, and the table."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=len(curves), cols=1, subplot_titles=list(curves), vertical_spacing=0.02)
    colours = dict(zip(PATTERNS, ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd"), strict=True))
    for row, lines in enumerate(curves.values(), 1):
        for name, earned in lines.items():
            line = {"color": colours[name]}
            figure.add_trace(
                go.Scatter(y=np.cumsum(earned), name=name, line=line, legendgroup=name, showlegend=row == 1), row, 1
            )
        figure.update_yaxes(title_text="quote", row=row, col=1)
    figure.update_layout(
        height=260 * len(curves), title="Coordination patterns: result by cycle", template="plotly_white"
    )
    plot = figure.to_html(full_html=False, include_plotlyjs=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(
        f"<!doctype html><meta charset='utf-8'><title>Coordination</title><pre>{text}</pre>{plot}", encoding="utf-8"
    )
    temporary.replace(path)


def compare(
    hours: float, rates: Sequence[float], fees: Sequence[float], seed: int, html: Path | None, console: Console
) -> dict[str, object]:
    """Both games, every pattern, every fault."""
    began = time.monotonic()
    agents, ladder, ends = results(hours, rates, fees, seed)
    console.print(f"replayed in {time.monotonic() - began:.0f} s: {len(agents)} cycles, regimes end at {ends}")
    answer: dict[str, object] = {"cycles": len(agents), "ends": ends}
    curves: dict[str, dict[str, np.ndarray]] = {}
    record = Console(record=True, width=110, file=console.file if console.is_terminal else None, stderr=True)
    for game, gains, play in (("capital", agents, capital), ("numbers", ladder, numbers)):
        against = measures(gains, ends)
        table = Table(title=f"{game}: result in quote, {len(gains)} cycles")
        table.add_column("fault")
        for pattern in PATTERNS:
            table.add_column(pattern, justify="right")
        found: dict[str, dict[str, float]] = {}
        for fault in FAULTS:
            lines = {pattern: play(pattern, fault, gains, seed) for pattern in PATTERNS}
            curves[f"{game}, fault: {fault}"] = lines
            found[fault] = {pattern: float(line.sum()) for pattern, line in lines.items()}
            table.add_row(fault, *(f"{found[fault][pattern]:.2f}" for pattern in PATTERNS))
        record.print(table)
        record.print(", ".join(f"{name} {value:.2f}" for name, value in against.items()))
        answer[game] = {"results": found, "measures": against}
    if html is not None:
        page(html, curves, record.export_text())
        answer["page"] = str(html)
    return answer


def main() -> None:
    """Run both games and print the figures, as JSON in the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="market hours of each regime")
    parser.add_argument("--rates", default="1.5,6,1.5,6", help="activity of the regimes, events a second")
    parser.add_argument("--fees", default="0.001,0,0.001,0", help="maker and taker rate of the regimes")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--html", type=Path)
    chosen = parser.parse_args()
    rates = [float(part) for part in chosen.rates.split(",")]
    fees = [float(part) for part in chosen.fees.split(",")]
    print(json.dumps(compare(chosen.hours, rates, fees, chosen.seed, chosen.html, Console(stderr=True))))


if __name__ == "__main__":
    main()

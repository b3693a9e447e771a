"""What ``tidewright data synth --like`` and ``data compare`` do and show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tidewright.market.clock import iso
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape

Progress = Callable[[float], None]

_WIDTH: Final = 118  # what the widest table needs; piped output would be cut to 80


def synthesise(
    out: Path,
    hours: float,
    seed: int,
    rate: float | None,
    like: Path | None,
    regimes: str | None,
    scenario: str | None,
    rounds: int | None,
    progress: Progress,
) -> tuple[Tape, dict[str, Any] | None]:
    """Write the market that was asked for, and compare it with the tape it is like.

    Raises
    ------
    UsageError
        If options exclude each other or are out of range.
    """
    from tidewright.market.scenarios import parse_scenario
    from tidewright.market.synthetic import DEFAULT_RATE, synthesize

    event = None if scenario is None else parse_scenario(scenario)
    if out.exists():
        raise UsageError(f"{out} already exists; choose another name or delete it")
    if like is None:
        if regimes is not None:
            raise UsageError("--regimes needs --like TAPE; the plain market changes its regimes by itself")
        if rounds is not None:
            raise UsageError("--rounds needs --like TAPE: only its rates are corrected by simulations")
        pace = DEFAULT_RATE if rate is None else rate
        if event is None:
            return synthesize(out, hours, seed, pace, progress=progress), None
        from tidewright.market.synthetic_market import write_plain

        return write_plain(out, event, hours, seed, pace, progress), None
    if rate is not None:
        raise UsageError("--rate does not go with --like: the tape says how often things happen")
    from tidewright.market.calibration_fit import ROUNDS
    from tidewright.market.synthetic_market import measure_market, regimes_of, write_like

    tape = Tape.open(like)
    chosen = regimes_of(regimes or "none", tape.data)
    profile = measure_market(tape.data, seed, ROUNDS if rounds is None else rounds, lambda share: progress(0.7 * share))
    made = write_like(
        out,
        profile,
        tape.instrument,
        hours,
        seed,
        regimes=chosen,
        scenario=event,
        notes={"like_tape": like.name},
        progress=lambda share: progress(0.7 + 0.2 * share),
    )
    return made, comparison(tape, made, without_scenario=True)


def comparison(real: Tape, other: Tape, *, without_scenario: bool = False) -> dict[str, Any]:
    """Stylised facts and scores of two tapes; ``scenario`` tells of one that is in the other tape.

    Parameters
    ----------
    without_scenario
        Leave out the stretch of a scenario in the other tape: its crash says nothing about how like the rest is.

    Raises
    ------
    UsageError
        If a tape is empty.
    """
    from tidewright.measure.lob_bench_report import compare

    for tape in (real, other):
        if not len(tape):
            raise UsageError(f"{tape.path} has no rows to compare")
    scenario = other.meta["notes"].get("scenario")
    if scenario is None:
        return compare(real.data, other.data)
    begin = int(scenario["begin_ns"])
    stretch = (begin, begin + int(scenario["duration_ns"]) + 1)  # in its last ns the levels left behind are removed
    found = compare(real.data, other.data, stretch if without_scenario else None)
    told = {"name": scenario["name"], "begins": iso(stretch[0]), "ends": iso(stretch[1])}
    return {**found, "scenario": {**told, "measured": found["left_out"] is None}}


def show_comparison(found: dict[str, Any]) -> None:
    """Print both tapes side by side; what differs by more than chance lets expect bears a mark."""
    console = Console(highlight=False, markup=False)
    console = Console(highlight=False, markup=False, width=max(console.width, _WIDTH))
    facts = Table(title="Stylised facts", title_justify="left", box=None, pad_edge=False)
    for name in ("", "tape", "±", "n", "synthetic", "±", "n", ""):
        facts.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name, f in found["facts"].items():
        cells = [_figure(f[key]) for key in ("real", "real_error")] + [f"{f['real_size']:,}"]
        cells += [_figure(f[key]) for key in ("other", "other_error")] + [f"{f['other_size']:,}"]
        facts.add_row(name.replace("_", " "), *cells, "differs" if f["far"] else "")
    console.print(facts)
    scores = Table(
        title="LOB-Bench distances (0: equal; floor: the tape with itself)",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("", "L1", "floor", "W1", "floor", "mean tape", "mean synthetic", "n tape", "n synthetic", ""):
        scores.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name, s in found["scores"].items():
        keys = ("l1", "floor_l1", "wasserstein", "floor_wasserstein", "real_mean", "other_mean")
        counts = [f"{s[key]:,}" for key in ("real_count", "other_count")]
        scores.add_row(name.replace("_", " "), *(_figure(s[k]) for k in keys), *counts, "differs" if s["far"] else "")
    console.print(scores)
    curves = Table(title="Mid response, ticks, after orders", title_justify="left", box=None, pad_edge=False)
    curves.add_column("", no_wrap=True)
    for lag in found["lags"]:
        curves.add_column(str(lag), justify="right", no_wrap=True)
    for name in ("deviation", "n"):
        curves.add_column(name, justify="right", no_wrap=True)
    for name, r in found["responses"].items():
        words = name.replace("_", " ")
        curves.add_row(f"{words}, tape", *map(_figure, r["real"]), "", f"{r['real_count']:,}")
        curves.add_row(
            f"{words}, synthetic", *map(_figure, r["other"]), _figure(r["deviation"]), f"{r['other_count']:,}"
        )
    console.print(curves)
    if "scenario" in found:
        crash = found["scenario"]
        told = "these figures include" if crash["measured"] else "these figures leave out"
        console.print(f"{told} the scenario {crash['name']}, {crash['begins']} to {crash['ends']}", style="bold")
    s = found["summary"]
    console.print(
        f"mean L1 {_figure(s['mean_l1'])} (floor {_figure(s['mean_floor_l1'])}), "
        f"mean W1 {_figure(s['mean_wasserstein'])} (floor {_figure(s['mean_floor_wasserstein'])}); "
        f"{s['scores_far']} of {s['scores']} scores and {s['facts_far']} of {s['facts']} facts "
        "differ by more than chance lets expect",
        style="bold",
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"

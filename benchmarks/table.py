"""The published table: on the screen and in ``docs/benchmarks.md``."""

from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

BEGIN: Final = "<!-- figures: written by python -m benchmarks.run --write -->"
END: Final = "<!-- end of figures -->"
COLUMNS: Final = ("Job", "Tidewright", "hftbacktest 2.4.4", "Ratio", "Fills: ours / peer")


def _nanoseconds(values: list[float], events: int) -> str:
    low, middle, high = (f(values) / events * 1e9 for f in (min, median, max))
    return f"{middle:.1f} ns an event ({low:.1f}–{high:.1f})"


def _seconds(values: list[float]) -> str:
    return f"{median(values):.3g} s ({min(values):.3g}–{max(values):.3g})"


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one job."""
    ours, peer, lanes, events = row["ours"], row["peer"], row["lanes"], row["events"]
    pairs = zip(row["ours_results"], row["peer_results"], strict=True)
    fills = ", ".join(f"{mine['fills']} / {other['fills']}" for mine, other in pairs)
    ratio = f"{median(peer) * lanes / median(ours):,.3g}×"
    if lanes == 1:
        return row["name"], _nanoseconds(ours, events), _nanoseconds(peer, events), ratio, fills
    alone = f"one lane {_seconds(peer)}; × {lanes:,} = {median(peer) * lanes:,.0f} s (computed)"
    return row["name"], f"{_seconds(ours)}; {_nanoseconds(ours, events)}", alone, ratio, fills


def notes(result: dict[str, Any]) -> list[str]:
    """What the figures rest on."""
    machine, market, versions = result["machine"], result["market"], result["versions"]
    named = [", ".join(f"{name} {text}" for name, text in versions[side].items()) for side in ("ours", "peer")]
    sampled = [len(row["sample"]) for row in result["rows"] if row["lanes"] > 1]
    before, after = machine["load_average"][0], machine["load_average_after"][0]
    shared = market["share_of_shared_times"] * 100
    return [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}; both "
        f"sides bound to one core; load average {before} before, {after} after.",
        f"Versions: ours {named[0]}; peer {named[1]}.",
        f"Market: {market['source']}, {market['events']:,} events in {market['hours']:g} h, {market['trades']:,} "
        f"trades, {market['levels_removed']:,} levels removed, {shared:.0f} % of rows share their time with the row "
        "before.",
        f"{result['rounds']} rounds, each a process of ours and one of the peer in turns; medians, lowest and highest "
        "run in brackets, after one run to compile and to bring the events into memory.",
        f"Many lanes: ours is one replay; the peer runs {max(sampled, default=0)} of the lanes one after the other, "
        "the product with the number of lanes is computed, not measured.",
    ]


def print_table(console: Console, result: dict[str, Any]) -> None:
    """For the screen."""
    table = Table(title="Replay speed", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in result["rows"]:
        table.add_row(*line(row))
    console.print(table)
    for note in notes(result):
        console.print(note)


def markdown(result: dict[str, Any]) -> str:
    """For the page."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(line(row) for row in result["rows"])]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    return table + "\n\n" + "\n".join(f"* {note}" for note in notes(result))


def write_document(path: Path, result: dict[str, Any]) -> None:
    """Replace the figures on the page, keeping what is around them."""
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the lines {BEGIN!r} and {END!r}")
    path.write_text(f"{head}{BEGIN}\n{markdown(result)}\n{END}{tail}", encoding="utf-8")

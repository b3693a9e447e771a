"""The published table: on the screen and in ``docs/benchmarks.md``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

BEGIN: Final = "<!-- figures: written by python -m benchmarks.run --write -->"
END: Final = "<!-- end of figures -->"
TOGETHER: Final = "Measured together, beside "
COLUMNS: Final = ("Job", "Tidewright", "Peer", "Its time", "Ratio", "Fills: ours / peer")


@dataclass(frozen=True, slots=True)
class Run:
    """Notes of one run on the page, and the peers whose rows they are of."""

    peers: tuple[str, ...]
    notes: tuple[str, ...]


def new_row(name: str, peer: str, unit: str) -> dict[str, Any]:
    """A row that nothing was measured for yet."""
    lists: dict[str, Any] = {key: [] for key in ("sample", "ours", "peer", "ours_results", "peer_results")}
    return lists | {
        "name": name, "with": peer, "lanes": 1, "computed": False, "count": 1, "unit": unit, "reason": "",
    }  # fmt: skip


def _spread(values: list[float], unit: str, digits: str = ".3g") -> str:
    return f"{median(values):{digits}} {unit} ({min(values):{digits}}–{max(values):{digits}})"


def _nanoseconds(seconds: list[float], units: int) -> list[float]:
    return [value / units * 1e9 for value in seconds]


def _each(row: dict[str, Any], seconds: list[float], lanes: int) -> str:
    """Time per event (or bar) of one lane, in the unit that reads best; of a training CPU seconds, of steps a rate."""
    if row["unit"] == "training":
        return _spread(seconds, "CPU s")
    if row["unit"] == "step":
        return _spread([rate / 1e6 for rate in seconds], "M steps/s")
    values = _nanoseconds(seconds, row["count"])
    article = "an" if row["unit"] == "event" else "a"
    if lanes > 1:
        return f"{_spread(seconds, 's')}; {median(values) / lanes:,.3g} ns {article} {row['unit']} and lane"
    if median(values) >= 10_000:
        return _spread([value / 1_000 for value in values], f"µs {article} {row['unit']}")
    return _spread(values, f"ns {article} {row['unit']}", ".1f")


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one job."""
    ours, peer, lanes = row["ours"], row["peer"], row["lanes"]
    mine = _each(row, ours, lanes)
    if not peer:
        return row["name"], mine, row["with"], row["reason"], "–", "–"
    fills = ", ".join(
        f"{a['fills']} / {b['fills']}" for a, b in zip(row["ours_results"], row["peer_results"], strict=True)
    )
    whole = median(peer) * (lanes if row["computed"] else 1)
    ratio = f"{whole / median(ours):,.3g}×"
    if row["computed"]:
        theirs = f"one lane {_spread(peer, 's')}; × {lanes:,} = {whole:,.0f} s (computed)"
    else:
        theirs = _each(row, peer, lanes)
    return row["name"], mine, row["with"], theirs, ratio, fills or "–"


def notes(result: dict[str, Any]) -> list[str]:
    """What the figures rest on."""
    machine, markets = result["machine"], result["markets"]
    before, after = machine["load_average"][0], machine["load_average_after"][0]
    found = [
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']:g} GiB, {machine['system']}, "
        f"Python {machine['python']}; both sides bound to one core (2 threads and steps: to all); load average "
        f"{before} before, {after} after."
    ]
    versions = [
        f"{side}: {', '.join(f'{name} {text}' for name, text in named.items())}"
        for side, named in result["versions"].items()
    ]
    found.append(f"Versions: {'; '.join(versions)}.")
    levels, bars = markets.get("levels"), markets.get("bars")
    if levels:
        shared = levels["share_of_shared_times"] * 100
        part = f"; the first part is its first {markets['part']:,} rows" if "part" in markets else ""
        found.append(
            f"Levels: {levels['source']}, {levels['events']:,} events in {levels['hours']:g} h, {levels['trades']:,} "
            f"trades, {levels['levels_removed']:,} levels removed, {shared:.0f} % of rows share their time with the "
            f"row before{part}."
        )
    if bars:
        found.append(
            f"Bars: {bars['source']}, {bars['bars']:,} of one minute; on our tape they are {bars['rows']:,} rows."
        )
    steps = markets.get("steps")
    if steps:
        found.append(
            f"Steps: one decision of one lane, random, and the 30 s of a synthetic market of {steps['hours']:g} h that "
            f"follow it, {steps['rows_a_step']:.0f} rows, with order book, queues, latency and limits; "
            f"{steps['cores']} cores; {result['rounds']} processes, {steps['blocks']} blocks of each. The others' "
            "figures are quoted: JaxMARL-HFT's from its paper (arXiv 2511.02136, table 1: 4,000 markets, one message "
            "a step, an NVIDIA L40S; with 100 messages 0.022 M), mbt_gym's taken once on a machine of two cores "
            "(commit 1e1aa38, 1,000 lanes, one thread). Their work is not the same, hence no ratio."
        )
    for row in result["rows"]:
        if "clock" in row:
            mine, theirs = (median(row["clock"][side]) for side in ("ours", "peer"))
            found.append(
                f"Training: {len(row['ours'])} seeds of each side in turns, CPU seconds; by the clock the medians are "
                f"{mine:.1f} and {theirs:.1f} s ({theirs / mine:.2f}×)."
            )
    if any(row["unit"] in {"event", "bar"} for row in result["rows"]):
        found.append(f"{result['rounds']} rounds with each peer, each a process of ours and one of the peer in turns.")
    found.append("Medians, lowest and highest run in brackets, after compiling.")
    sampled = sorted({len(row["sample"]) for row in result["rows"] if row["computed"]})
    if sampled:
        found.append(
            f"(computed): the peer ran {' or '.join(map(str, sampled))} of the lanes, one after the other; its time "
            "for all of them is the product, not a measurement."
        )
    return found


def print_table(console: Console, result: dict[str, Any]) -> None:
    """For the screen."""
    table = Table(title="Speed beside each peer", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in result["rows"]:
        table.add_row(*line(row))
    console.print(table)
    for note in notes(result):
        console.print(note)


def titles(result: dict[str, Any]) -> list[str]:
    """The peers of a run, in its order."""
    return list(dict.fromkeys(row["with"] for row in result["rows"]))


def published(figures: str) -> tuple[list[tuple[str, ...]], list[Run]]:
    """Rows and notes that are on the page."""
    rows: list[tuple[str, ...]] = []
    runs: list[Run] = []
    for text in figures.splitlines():
        if text.startswith("| "):
            rows.append(tuple(text.strip("| ").split(" | ")))
        elif text.startswith(TOGETHER):
            runs.append(Run(tuple(text.removeprefix(TOGETHER).rstrip(":").split("; ")), ()))
        elif text.startswith("* ") and runs:
            runs[-1] = Run(runs[-1].peers, (*runs[-1].notes, text[2:]))
    return rows[2:], runs


def markdown(result: dict[str, Any], before: str = "", order: Sequence[str] = ()) -> str:
    """For the page: what was measured now, and of what was there before the rows of the other peers in ``order``."""
    fresh = titles(result)
    place = list(dict.fromkeys([*order, *fresh]))
    kept = set(order) - set(fresh)
    rows, runs = published(before)
    rows = [cells for cells in rows if cells[2] in kept] + [line(row) for row in result["rows"]]
    rows.sort(key=lambda cells: place.index(cells[2]))
    runs = [Run(tuple(title for title in run.peers if title in kept), run.notes) for run in runs]
    runs = [run for run in runs if run.peers] + [Run(tuple(fresh), tuple(notes(result)))]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in [COLUMNS, tuple("---" for _ in COLUMNS), *rows])
    paragraphs = [f"{TOGETHER}{'; '.join(run.peers)}:\n\n" + "\n".join(f"* {n}" for n in run.notes) for run in runs]
    return "\n\n".join([table, *paragraphs])


def write_document(path: Path, result: dict[str, Any], order: Sequence[str] = ()) -> None:
    """Replace the figures on the page, keeping what is around them and the rows of peers that were not run this time.

    Parameters
    ----------
    path
        The page.
    result
        Of a run.
    order
        Titles of all peers, as their rows stand in the table; rows of others, of an earlier version say, go.
    """
    text = path.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    figures, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the lines {BEGIN!r} and {END!r}")
    path.write_text(f"{head}{BEGIN}\n{markdown(result, figures, order)}\n{END}{tail}", encoding="utf-8")

"""The published table: on the screen and in ``docs/benchmarks.md``."""

from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

BEGIN: Final = "<!-- figures: written by python -m benchmarks.run --write -->"
END: Final = "<!-- end of figures -->"
COLUMNS: Final = ("Job", "Tidewright", "Peer", "Its time", "Ratio", "Fills: ours / peer")


def _spread(values: list[float], unit: str, digits: str = ".3g") -> str:
    return f"{median(values):{digits}} {unit} ({min(values):{digits}}–{max(values):{digits}})"


def _nanoseconds(seconds: list[float], units: int) -> list[float]:
    return [value / units * 1e9 for value in seconds]


def _each(row: dict[str, Any], seconds: list[float], lanes: int) -> str:
    """Time per event (or bar) of one lane, in the unit that reads best; of a training, CPU seconds."""
    if row["unit"] == "training":
        return _spread(seconds, "CPU s")
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
        f"Python {machine['python']}; both sides bound to one core (2 threads: to all); load average {before} before, "
        f"{after} after."
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
    found.append(
        f"{result['rounds']} rounds with each peer, each a process of ours and one of the peer in turns; medians, "
        "lowest and highest run in brackets, after compiling."
    )
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

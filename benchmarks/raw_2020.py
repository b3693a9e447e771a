"""Binance's stream kept as JSON lists (ETHBTC, 2020) as raw lines: ``python -m benchmarks.raw_2020 FOLDER OUT``.

The folder holds ``*_snapshot.json.gz``, ``*_update.json.gz`` and ``*_trades.json.gz`` of consecutive stretches; the
venue's event time stands for the time of receipt, which was not recorded. ``data import --format binance-raw OUT`` does
the rest.
"""

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

MILLISECOND = 1_000_000


def read(file: Path) -> Any:
    """What a file holds."""
    with gzip.open(file, "rt", encoding="utf-8") as text:
        return json.load(text)


def lines(folder: Path) -> list[tuple[int, str]]:
    """Event time in nanoseconds and message, in order; the snapshots come before the first update they belong to."""
    found: list[tuple[int, int, str]] = []
    for file in sorted(folder.glob("*_update.json.gz")):
        updates = read(file)
        snapshot = read(file.with_name(file.name.replace("_update", "_snapshot")))
        found.append((updates[0]["E"], 0, json.dumps(snapshot)))
        found += [(item["E"], 2, _wrapped(item, "depth")) for item in updates]
    for file in sorted(folder.glob("*_trades.json.gz")):
        found += [(item["E"], 1, _wrapped(item, "aggTrade")) for item in read(file)]
    return [(time * MILLISECOND, text) for time, _, text in sorted(found, key=lambda item: item[:2])]


def _wrapped(item: dict[str, Any], stream: str) -> str:
    return json.dumps({"stream": f"{item['s'].lower()}@{stream}", "data": item})


def main() -> None:
    """Write the lines, gzipped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raw_2020", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with gzip.open(options.out, "wt", encoding="utf-8") as file:
        file.writelines(f"{time} {text}\n" for time, text in lines(options.folder))


if __name__ == "__main__":
    main()

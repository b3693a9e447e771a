"""How much memory a long tape takes: a tape repeated until it has many rows, one lane over it, the peak of the process.

python -m benchmarks.memory TAPE --rows 100000000 --folder /tmp

Writes about 34 bytes a row to a folder of its own and deletes it afterwards. Linux only: reads /proc/self/status.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import tidewright as tw
from tidewright.market.tape_writer import TapeWriter


def repeat(tape: tw.Tape, out: Path, rows: int) -> tw.Tape:
    """A tape again and again, each time later, until it has so many rows."""
    data = tape.data
    span = tape.end_ns - tape.start_ns + 1_000_000_000
    with TapeWriter(out, tape.instrument, detail=tape.meta["detail"], source=f"{tape.path.name}, repeated") as writer:
        while writer.rows < rows:
            later = writer.rows // len(tape) * span
            local = np.where(data.ts_local > 0, data.ts_local + later, 0)
            writer.append(data._replace(ts=data.ts + later, ts_local=local))
    return tw.Tape.open(out)


def resident() -> dict[str, int]:
    """Megabytes of the process now: its own memory, and pages of files, which the system takes back at need."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) // 1024 for name in ("RssAnon", "RssFile")}


def main() -> None:
    """Write, replay, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tape", type=Path)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    base = tw.Tape.open(asked.tape)
    options = {"cycle": "30s", "record_fills": False, "record_equity": False, "threads": 1}
    params = {"spread_percentage": np.linspace(0.05, 0.5, asked.lanes), "levels": 4}
    tw.backtest(base, "grid", params, **options)  # everything is loaded and compiled
    before, most = resident(), resident()

    def tell(_: int, __: int) -> None:
        for name, value in resident().items():
            most[name] = max(most[name], value)

    with TemporaryDirectory(dir=asked.folder) as folder:
        print(f"writing {asked.rows:,} rows to {folder} ...", file=sys.stderr, flush=True)
        tape = repeat(base, Path(folder) / "long", asked.rows)
        begun = time.process_time()
        found = tw.backtest(tape, "grid", params, **options, progress=tell)
        seconds = time.process_time() - begun
    answer = {
        "rows": len(tape),
        "lanes": asked.lanes,
        "cpu_seconds": round(seconds, 1),
        "ns_a_row": round(seconds / len(tape) * 1e9, 1),
        "decisions": int(found.statistics["n_samples"][0]),
        "fills": int(found.statistics["n_fills"][0]),
        "before_mb": before,
        "most_mb": most,
        "state": found.memory,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

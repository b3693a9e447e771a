"""Every published figure beside its peer: ``python -m benchmarks.run`` (``make bench``).

Ours and the peer run in turns, a process each, on one core and on the same events; the table gives medians with the
lowest and highest run. ``--raw FILE.npz`` takes another market in the form of :mod:`benchmarks.make_tape`, ``--nexo
TAPE`` adds a recorded tape, ``--write`` puts the table into ``docs/benchmarks.md``.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from benchmarks import make_tape
from benchmarks.events import records, write_tape
from benchmarks.jobs import Job, recorded_jobs, sample, synthetic_jobs
from benchmarks.table import print_table, write_document
from tidewright.market.tape import Tape

ROOT: Final = Path(__file__).resolve().parent.parent
WORK: Final = ROOT / ".bench"
PEERS: Final = ROOT / ".venv-peers"
PEER: Final = "hftbacktest==2.4.4"

console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 150)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    raw: Path | None
    nexo: Path | None
    rounds: int
    repeats: int
    sample: int
    core: int
    write: bool
    json: bool


def options(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--raw", type=Path, help="a raw.npz to run on instead of generating a market")
    parser.add_argument("--nexo", type=Path, help="a recorded tape to run on besides")
    parser.add_argument("--rounds", type=int, default=5, help="alternations of ours and the peer")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of ours in a process; the peer has one")
    parser.add_argument("--sample", type=int, default=5, help="lanes of a sweep that the peer runs")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core both are bound to")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--json", action="store_true", help="the results as the last line of stdout")
    return Options(**vars(parser.parse_args(arguments)))


def peer_python() -> Path:
    """The interpreter of the peer's own environment, made on first use: it needs another numpy than ours."""
    python = PEERS / "bin" / "python"
    stamp = PEERS / f".{PEER}"
    if not stamp.is_file():
        console.print(f"installing {PEER} into {PEERS.name} (once, about a minute) ...")
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        quiet = ["--quiet", "--disable-pip-version-check"]
        subprocess.run([str(python), "-m", "pip", "install", *quiet, PEER], check=True)
        stamp.touch()
    return python


def market(tape: Tape, key: str) -> dict[str, Any]:
    """Write a tape's events for the peer and describe the market to both processes."""
    snapshot, events = records(tape.data, tape.instrument)
    np.save(WORK / f"{key}.snapshot.npy", snapshot)
    np.save(WORK / f"{key}.events.npy", events)
    tick, lot = float(tape.instrument.tick), float(tape.instrument.lot)
    level_rows = tape.data.kind <= 1
    prices = tape.data.price[level_rows & (tape.data.price > 0)]
    low, high = np.percentile(prices, [0.5, 99.5])
    room = (high - low) * 2.0  # the peer's dense book covers a range given beforehand
    return {
        "tape": str(tape.path),
        "snapshot": str(WORK / f"{key}.snapshot.npy"),
        "events": str(WORK / f"{key}.events.npy"),
        "count": len(tape),
        "tick": tick,
        "lot": lot,
        "maker_fee": tape.instrument.maker_fee / 1e8,
        "taker_fee": tape.instrument.taker_fee / 1e8,
        "roi": [max(tick, float(low - room) * tick), float(high + room) * tick],
    }


def prepare(chosen: Options) -> tuple[dict[str, Any], list[Job], dict[str, Any]]:
    """Markets, jobs, and what the generated market looks like."""
    WORK.mkdir(exist_ok=True)
    raw = make_tape.load(chosen.raw) if chosen.raw else make_tape.make()
    synthetic = write_tape(raw, WORK / "synthetic")
    markets, jobs = {"synthetic": market(synthetic, "synthetic")}, synthetic_jobs()
    if chosen.nexo is not None:
        tape = Tape.open(chosen.nexo)
        markets["recorded"] = market(tape, "recorded")
        jobs += recorded_jobs(tape, "recorded", tape.instrument.symbol)
    return markets, jobs, make_tape.describe(raw)


def _process(command: list[str], spec: dict[str, Any]) -> Any:
    file = WORK / "spec.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(file)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(chosen: Options, markets: dict[str, Any], jobs: list[Job]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Alternate the processes; returns a row a job and the peer's versions."""
    plain = [job.plain() | {"sample": list(sample(job.spreads, chosen.sample))} for job in jobs]
    spec = {"core": chosen.core, "markets": markets, "jobs": plain, "repeats": chosen.repeats}
    python = str(peer_python())
    rows: list[dict[str, Any]] = [
        {"name": job.name, "lanes": len(job.spreads), "events": markets[job.tape]["count"], "ours": [], "peer": []}
        for job in jobs
    ]
    versions: dict[str, str] = {}
    for number in range(chosen.rounds):
        console.print(f"round {number + 1} of {chosen.rounds} ...")
        turns = ("ours", "peer") if number % 2 == 0 else ("peer", "ours")
        for turn in turns:
            if turn == "ours":
                found = _process([sys.executable, "-m", "benchmarks.ours"], spec)
            else:
                answer = _process([python, "benchmarks/peer_hftbacktest.py"], spec | {"repeats": 1})
                found, versions = answer["jobs"], answer["versions"]
            for row, part in zip(rows, found, strict=True):
                row[turn] += part["seconds"] if turn == "ours" else [s for one in part["seconds"] for s in one]
                row[f"{turn}_results"] = part["results"]
    for row, job in zip(rows, plain, strict=True):
        row["sample"] = job["sample"]
    return rows, versions


def machine() -> dict[str, Any]:
    """Where it was measured."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def main() -> None:
    """Measure, print, save."""
    chosen = options()
    before = machine()
    markets, jobs, described = prepare(chosen)
    rows, versions = measure(chosen, markets, jobs)
    ours = {name: version(name) for name in ("tidewright", "numba", "numpy")}
    result = {
        "machine": before | {"load_average_after": [round(value, 2) for value in os.getloadavg()]},
        "versions": {"ours": ours, "peer": versions},
        "market": described | {"source": str(chosen.raw.name) if chosen.raw else "benchmarks.make_tape, seed 7"},
        "rounds": chosen.rounds,
        "rows": rows,
    }
    (WORK / "results.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    print_table(console, result)
    if chosen.write:
        write_document(ROOT / "docs" / "benchmarks.md", result)
    if chosen.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Every published figure beside its peer: ``python -m benchmarks.run`` (``make bench``).

Ours and each peer run in turns, a process each, on one core and on the same data; the table gives medians with the
lowest and highest run. ``--write`` puts the table into ``docs/benchmarks.md``.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from benchmarks import bars, environment_speed, jobs, learner_speed, make_tape, peers
from benchmarks.events import records, write_tape
from benchmarks.jobs import Job
from benchmarks.peers import ROOT, WORK, Peer, Unavailable
from benchmarks.table import new_row, print_table, write_document
from tidewright.market.tape import Tape

THREADS: Final = Peer("threads", "Tidewright, 1 thread", "")
TABLE: Final = (
    peers.HFTBACKTEST,
    THREADS,
    peers.NAUTILUS,
    peers.VECTORBT,
    peers.BACKTESTING,
    environment_speed.QUOTED,
    learner_speed.SB3,
)
"""What our figures stand beside, in the order of the table."""

OURS: Final = [sys.executable, "-m", "benchmarks.ours", "SPEC"]

console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 150)


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    raw: Path | None
    nexo: Path | None
    bars: Path | None
    rows: int
    part: int
    bar_count: int
    peers: str
    rounds: int
    repeats: int
    sample: int
    seeds: int
    share: float
    core: int
    long: bool
    write: bool
    json: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs of one peer, and the repeats of ours in a process."""

    peer: Peer
    jobs: list[Job]
    rounds: int
    repeats: int


def options(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    known = ",".join(peer.key for peer in TABLE)
    parser.add_argument("--raw", type=Path, help="a raw.npz to run on instead of generating a market")
    parser.add_argument("--nexo", type=Path, help="a recorded tape to run on besides, beside hftbacktest")
    parser.add_argument(
        "--bars", type=Path, help="a freqtrade feather file of one-minute bars instead of generated ones"
    )
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the generated market")
    parser.add_argument("--part", type=int, default=300_000, help="rows of it that nautilus_trader replays")
    parser.add_argument("--bar-count", type=int, default=10_000, help="bars to generate")
    parser.add_argument("--peers", default=known, help=f"which to run: {known}")
    parser.add_argument("--rounds", type=int, default=2, help="alternations of ours and each peer")
    parser.add_argument("--repeats", type=int, default=2, help="timed runs of ours in a process; a peer has one")
    parser.add_argument("--sample", type=int, default=5, help="lanes of a sweep that a peer without sweeps runs")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each learner (sb3), some 90 s each pair")
    parser.add_argument("--share", type=float, default=learner_speed.TARGET, help="of the gap, what they learn up to")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)), help="the core both are bound to")
    parser.add_argument("--long", action="store_true", help="also 1,024 and 4,096 lanes each second (minutes)")
    parser.add_argument("--write", action="store_true", help="put the rows into docs/benchmarks.md; others stay")
    parser.add_argument("--json", action="store_true", help="the results as the last line of stdout")
    chosen = Options(**vars(parser.parse_args(arguments)))
    unknown = set(chosen.peers.split(",")) - set(known.split(","))
    if unknown:
        parser.error(f"unknown peers: {', '.join(sorted(unknown))}; there are {known}")
    return chosen


def market(tape: Tape, key: str, with_events: bool = True) -> dict[str, Any]:
    """Describe a market to both processes, and write its events for hftbacktest."""
    tick, lot = tape.instrument.tick_size, tape.instrument.lot_size
    level_rows = tape.data.kind <= 1
    prices = tape.data.price[level_rows & (tape.data.price > 0)]
    low, high = np.percentile(prices, [0.5, 99.5])
    room = (high - low) * 2.0  # hftbacktest's dense book covers a range given beforehand
    if with_events:
        snapshot, events = records(tape.data, tape.instrument)
        np.save(WORK / f"{key}.snapshot.npy", snapshot)
        np.save(WORK / f"{key}.events.npy", events)
    return {
        "tape": str(tape.path),
        "snapshot": str(WORK / f"{key}.snapshot.npy"),
        "events": str(WORK / f"{key}.events.npy"),
        "count": len(tape),
        "unit": "event",
        "start_ns": tape.start_ns,
        "tick": float(tick),
        "lot": float(lot),
        "decimals": [len(step.partition(".")[2]) for step in (tick, lot)],
        "maker_fee": tape.instrument.maker_fee / 1e8,
        "taker_fee": tape.instrument.taker_fee / 1e8,
        "roi": [max(float(tick), float(low - room) * float(tick)), float(high + room) * float(tick)],
    }


def first_part(raw: make_tape.Raw, rows: int) -> make_tape.Raw:
    """The first rows of a market, whole packets."""
    stop = min(rows, len(raw.ts))
    while 0 < stop < len(raw.ts) and raw.ts[stop] == raw.ts[stop - 1]:
        stop -= 1
    return make_tape.Raw(raw.ts[:stop], raw.kind[:stop], raw.side[:stop], raw.px[:stop], raw.qty[:stop], raw.nsnap)


def prepare(chosen: Options) -> tuple[dict[str, Any], list[Group], dict[str, Any]]:
    """Markets, what each peer is given, and what the markets look like."""
    WORK.mkdir(exist_ok=True)
    wanted = set(chosen.peers.split(","))
    markets: dict[str, Any] = {}
    groups: list[Group] = []
    described: dict[str, Any] = {}

    def add(peer: Peer, given: list[Job], repeats: int = chosen.repeats) -> None:
        groups.append(Group(peer, given, chosen.rounds, repeats))

    if wanted & {"hftbacktest", "nautilus", "threads"}:
        raw = make_tape.load(chosen.raw) if chosen.raw else make_tape.make(chosen.rows)
        described["levels"] = make_tape.describe(raw) | {
            "source": chosen.raw.name if chosen.raw else "benchmarks.make_tape, seed 7"
        }
        markets["synthetic"] = market(write_tape(raw, WORK / "synthetic"), "synthetic")
    if "hftbacktest" in wanted:
        add(peers.HFTBACKTEST, jobs.replay_jobs("synthetic", chosen.sample))
        if chosen.nexo is not None:
            tape = Tape.open(chosen.nexo)
            markets["recorded"] = market(tape, "recorded")
            add(peers.HFTBACKTEST, jobs.recorded_jobs(tape, "recorded", chosen.sample))
        if chosen.long:
            add(peers.HFTBACKTEST, jobs.long_jobs("synthetic", min(chosen.sample, 3)), 1)
    if "threads" in wanted:
        add(THREADS, jobs.thread_jobs("synthetic", chosen.long))
    if "nautilus" in wanted:
        part = write_tape(first_part(raw, chosen.part), WORK / "part")
        markets["part"] = market(part, "part", with_events=False)
        described["part"] = len(part)
        add(peers.NAUTILUS, jobs.platform_jobs("part"))
    if wanted & {"vectorbt", "backtesting"}:
        frame = bars.read(chosen.bars) if chosen.bars else bars.make(chosen.bar_count)
        markets["bars"] = bars.write(frame, WORK)
        described["bars"] = {
            "source": chosen.bars.name if chosen.bars else "benchmarks.bars, seed 7",
            "bars": len(frame),
            "rows": markets["bars"]["rows"],
        }
    if "vectorbt" in wanted:
        add(peers.VECTORBT, jobs.bar_jobs("bars", chosen.sample), 1)
    if "backtesting" in wanted:
        add(peers.BACKTESTING, jobs.bar_jobs("bars", chosen.sample), 1)
    return markets, groups, described


def peer_command(peer: Peer) -> list[str]:
    """How a peer is run: with its own interpreter, or ours with one thread."""
    if peer is THREADS:
        return [*OURS, "1"]
    python = peers.python_of(peer, console.print)
    return [str(python), f"benchmarks/peer_{peer.key}.py", "SPEC"]


def measure(chosen: Options, markets: dict[str, Any], group: Group) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Alternate the processes of one peer and ours; returns a row a job and the peer's versions."""
    threaded = group.peer is THREADS
    spec = {
        "cores": sorted(os.sched_getaffinity(0)) if threaded else [chosen.core],
        "markets": {job.market: markets[job.market] for job in group.jobs},
        "jobs": [job.plain() for job in group.jobs],
        "repeats": group.repeats,
    }
    rows: list[dict[str, Any]] = [_row(job, group.peer, markets[job.market]) for job in group.jobs]
    versions: dict[str, str] = {}
    reason = ""
    try:
        command = peer_command(group.peer)
        if threaded and len(os.sched_getaffinity(0)) < 2:
            raise Unavailable("this process may use one core only")
    except Unavailable as why:
        reason = str(why)
    for number in range(group.rounds):
        console.print(f"{group.peer.title}: round {number + 1} of {group.rounds} ...")
        for turn in ("ours", "peer") if number % 2 == 0 else ("peer", "ours"):
            if turn == "peer" and reason:
                continue
            try:
                answer = peers.run_ours(OURS, spec) if turn == "ours" else peers.run(command, spec | {"repeats": 1})
            except Unavailable as why:
                reason = str(why)
                continue
            versions = answer.get("versions", versions)
            _add(rows, turn, answer["jobs"])
    for row in rows:
        row["reason"] = "" if row["peer"] else reason
    return rows, versions


def _row(job: Job, peer: Peer, given: dict[str, Any]) -> dict[str, Any]:
    computed = bool(job.sample) and len(job.sample) < len(job.spreads) and peer not in (peers.VECTORBT, THREADS)
    return new_row(job.name, peer.title, given["unit"]) | {
        "lanes": max(1, len(job.spreads)),
        "sample": list(job.sample),
        "computed": computed,
        "count": given["count"],
    }


def _add(rows: list[dict[str, Any]], turn: str, found: list[dict[str, Any]]) -> None:
    for row, part in zip(rows, found, strict=True):
        seconds = part["seconds"]
        row[turn] += [s for one in seconds for s in (one if isinstance(one, list) else [one])]
        row[f"{turn}_results"] = part["results"]


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
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def main() -> None:
    """Measure, print, save."""
    chosen = options()
    before = machine()
    markets, groups, described = prepare(chosen)
    rows: list[dict[str, Any]] = []
    versions = {"Tidewright": {name: version(name) for name in ("tidewright", "numba", "numpy")}}
    for group in groups:
        found, theirs = measure(chosen, markets, group)
        rows += found
        if theirs:
            versions[group.peer.title] = theirs
    wanted = set(chosen.peers.split(","))
    if environment_speed.QUOTED.key in wanted:
        stepped, described["steps"] = environment_speed.rows(
            environment_speed.training_tape(), chosen.rounds, console.print
        )
        rows += stepped
    if learner_speed.SB3.key in wanted:
        learned, theirs = learner_speed.rows(
            chosen.seeds, WORK / "learner-speed", chosen.share, chosen.core, console.print
        )
        rows += learned
        versions |= {learner_speed.SB3.title: theirs} if theirs else {}
    result = {
        "machine": before | {"load_average_after": [round(value, 2) for value in os.getloadavg()]},
        "versions": versions,
        "markets": described,
        "rounds": chosen.rounds,
        "rows": rows,
    }
    (WORK / "results.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    print_table(console, result)
    if chosen.write:
        write_document(ROOT / "docs" / "benchmarks.md", result, [peer.title for peer in TABLE])
    if chosen.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()

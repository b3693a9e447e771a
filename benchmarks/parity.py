"""The same fills as hftbacktest: ``python -m benchmarks.parity``.

One lane of `grid` runs through our engine with the switch `parity` and through hftbacktest (a process of its own, the
exchange without partial fills) over the same events, with the same queue model, latencies and fees. Compared are the
fills one by one (time, side, price, quantity, maker), fees and final equity. ``--capture TAPE`` adds recorded tapes,
``--raw FILE.npz`` or ``--tape TAPE`` takes another synthetic market; ``docs/parity.md`` explains what differs.
"""

import argparse
import json
import subprocess
import sys
from bisect import bisect_left, insort
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import make_tape
from benchmarks.events import records, write_tape
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.codes import ASK, BEST_ASK, BEST_BID, BID, PACKET_END, RESET, UNIT
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Columns, Tape, columns

ROOT: Final = Path(__file__).resolve().parent.parent
WORK: Final = ROOT / ".bench"
PEER_PYTHON: Final = ROOT / ".venv-peers" / "bin" / "python"
PEER: Final = "hftbacktest==2.4.4"
CAPITAL: Final = 10_000_000
FEES: Final = (20_000, 50_000)  # 1e-8: maker 2 bp, taker 5 bp
Fill = tuple[int, int, int, int, int]  # time, side, price in ticks, quantity in 1e-8, maker

console = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 150)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of both engines."""

    market: str
    spread: float  # of the grid's levels, per cent of the mid
    levels: int
    quantity: float
    max_position: float
    entry_ns: int
    response_ns: int
    cycle_ns: int = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Market:
    """The same events in both forms."""

    name: str
    data: Columns
    instrument: Instrument
    start_ns: int
    peer: dict[str, Any]


def explicit(data: Columns) -> Columns:
    """The rows with best-quote rows written out as the level rows they mean, which is all that the peer reads.

    A best-quote row sets its level and empties the better ones of its side.
    """
    levels: tuple[list[int], list[int]] = ([], [])  # prices held, asks negated: ascending, the best last
    rows: list[tuple[int, int, int, int, int, int]] = []
    sides = {BID: 0, BEST_BID: 0, ASK: 1, BEST_ASK: 1}
    for row in zip(*(column.tolist() for column in data), strict=True):
        ts, ts_local, kind, flags, price, qty = row
        if kind == RESET:
            levels[0].clear()
            levels[1].clear()
        if kind not in sides:
            rows.append(row)
            continue
        side = sides[kind]
        held, key, code = levels[side], price * (1 - 2 * side), (BID, ASK)[side]
        if kind in (BEST_BID, BEST_ASK):
            while held and held[-1] > key:
                rows.append((ts, ts_local, code, flags & ~PACKET_END, abs(held.pop()), 0))
        place = bisect_left(held, key)
        there = place < len(held) and held[place] == key
        if qty > 0 and not there:
            insort(held, key)
        elif qty <= 0 and there:
            held.pop(place)
        rows.append((ts, ts_local, code, flags, price, qty))
    return columns(iter(rows))


def market(name: str, data: Columns, instrument: Instrument, work: Path = WORK) -> Market:
    """Write a market's events for the peer."""
    snapshot, events = records(explicit(data), instrument)
    work.mkdir(exist_ok=True)
    files = {part: str(work / f"parity.{name.replace(' ', '_')}.{part}.npy") for part in ("snapshot", "events")}
    np.save(files["snapshot"], snapshot)
    np.save(files["events"], events)
    tick = float(instrument.tick)
    prices = data.price[(data.kind <= ASK) & (data.price > 0)]
    low, high = np.percentile(prices, [0.5, 99.5])
    room = max((high - low) * 2.0, 10_000.0)
    peer = files | {
        "tick": tick,
        "lot": float(instrument.lot),
        "maker_fee": instrument.maker_fee / UNIT,
        "taker_fee": instrument.taker_fee / UNIT,
        "roi": [max(tick, float(low - room) * tick), float(high + room) * tick],
    }
    return Market(name, data, instrument, int(events["exch_ts"][0]), peer)


def ours(job: Job, where: Market, parity: bool) -> tuple[list[Fill], dict[str, float]]:
    """One run of our engine: its fills and sums."""
    config = ReplayConfig(
        start_ns=where.start_ns,
        cycle_ns=job.cycle_ns,
        entry_ns=job.entry_ns,
        response_ns=job.response_ns,
        record_fills=1,
        parity=parity,
    )
    params = {
        "spread_percentage": job.spread,
        "levels": job.levels,
        "base_quantity": job.quantity,
        "max_position": job.max_position,
    }
    replay = Replay(where.instrument, config, strategy="grid", params=params, lanes=1, quote_units=CAPITAL * UNIT)
    replay.feed(where.data)
    replay.finish()
    lot = where.instrument.lot_units
    fills = [
        (int(one["ts"]), int(one["side"]), int(one["price"]), int(one["qty"]) * lot, int(one["maker"]))
        for one in replay.fills()
    ]
    sums = replay.statistics()
    account = replay.account(0)
    return fills, {
        "orders": int(sums["n_orders"][0]),
        "fee": account.fee_quote / UNIT,
        "position": account.position_lots * float(where.instrument.lot),
        "equity": float(sums["equity_end"][0]) - CAPITAL,
    }


def peer_python() -> Path:
    """The interpreter of the peer's own environment, made on first use: it needs another numpy than ours."""
    if not PEER_PYTHON.is_file():
        console.print(f"installing {PEER} (once, about a minute) ...")
        subprocess.run([sys.executable, "-m", "venv", str(PEER_PYTHON.parent.parent)], check=True)
        quiet = ["--quiet", "--disable-pip-version-check"]
        subprocess.run([str(PEER_PYTHON), "-m", "pip", "install", *quiet, PEER], check=True)
    return PEER_PYTHON


def peers(
    jobs: list[Job], markets: dict[str, Market], work: Path = WORK
) -> tuple[list[tuple[list[Fill], dict[str, float]]], str]:
    """The peer's runs, in a process of its own."""
    files = [str(work / f"parity.fills.{number}.npy") for number in range(len(jobs))]
    spec = {
        "markets": {name: one.peer for name, one in markets.items()},
        "jobs": [asdict(job) | {"fills": file} for job, file in zip(jobs, files, strict=True)],
    }
    path = work / "parity.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    command = [str(peer_python()), str(ROOT / "benchmarks" / "parity_peer.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the peer failed:\n{done.stderr[-3000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    results = []
    for job, file, told in zip(jobs, files, answer["jobs"], strict=True):
        fills: list[Fill] = [tuple(row) for row in np.load(file).tolist()]
        mid = (told["bid"] + told["ask"]) / 2.0 * markets[job.market].peer["tick"]
        equity = told["balance"] + told["position"] * mid - told["fee"]
        results.append(
            (fills, {"orders": told["orders"], "fee": told["fee"], "position": told["position"], "equity": equity})
        )
    return results, answer["version"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How two runs of a job compare."""

    job: Job
    ours: int
    peer: int
    same: int
    only_ours: list[Fill]
    only_peer: list[Fill]
    sums_ours: dict[str, float]
    sums_peer: dict[str, float]

    @property
    def share(self) -> float:
        """Identical fills, of the engine that has more."""
        return self.same / max(self.ours, self.peer, 1)


def compared(
    job: Job, left: tuple[list[Fill], dict[str, float]], right: tuple[list[Fill], dict[str, float]]
) -> Outcome:
    """Match fills one by one."""
    one, other = Counter(left[0]), Counter(right[0])
    return Outcome(
        job,
        len(left[0]),
        len(right[0]),
        (one & other).total(),
        sorted((one - other).elements()),
        sorted((other - one).elements()),
        left[1],
        right[1],
    )


def classes(one: Outcome) -> Counter[str]:
    """What kinds of differences there are.

    ``quantity``: both fill at one instant and price, with other quantities; ``time``: the other engine fills at that
    price within two cycles; ``ours`` and ``peer``: nothing of the kind in the other.
    """
    found: Counter[str] = Counter()
    here, there = {fill[:3] for fill in one.only_ours}, {fill[:3] for fill in one.only_peer}
    for whose, fills, others, keys in (
        ("ours", one.only_ours, one.only_peer, there),
        ("peer", one.only_peer, one.only_ours, here),
    ):
        times: dict[tuple[int, int], list[int]] = {}
        for ts, side, price, _, _ in others:
            times.setdefault((side, price), []).append(ts)
        for ts, side, price, _, _ in fills:
            near = any(abs(other - ts) <= 2 * one.job.cycle_ns for other in times.get((side, price), ()))
            found["quantity" if (ts, side, price) in keys else "time" if near else whose] += 1
    return found


def jobs_of(name: str, price: float) -> list[Job]:
    """Grids of several spacings, latencies and position limits on one market."""
    if name == "synthetic":
        return [
            Job(name, spread, levels, 0.01, most, entry, response)
            for spread, levels, most, entry, response in (
                (0.02, 4, 0.2, 10_000_000, 10_000_000),
                (0.005, 4, 1.0, 25_000_000, 5_000_000),
                (0.001, 2, 0.05, 1_000_000, 1_000_000),
            )
        ]
    quantity = 0.001 if price > 10_000 else 0.02
    return [
        Job(name, spread, levels, quantity, most * quantity, entry * 1_000_000, response * 1_000_000)
        for spread, levels, most, entry, response in (
            (0.0005, 4, 1000, 10, 10),
            (0.001, 4, 1000, 10, 10),
            (0.002, 8, 1000, 30, 20),
            (0.005, 4, 20, 10, 10),
            (0.01, 8, 8, 5, 200),
            (0.02, 4, 1000, 0, 0),
            (0.0001, 16, 1000, 2, 2),
            (0.003, 16, 1000, 50, 50),
        )
    ]


def show(outcomes: list[Outcome], title: str) -> None:
    """Print a table of one rule set."""
    table = Table(title=title)
    for name in ("market", "spread %", "levels", "latency ms", "ours", "peer", "identical", "%", "fees", "equity"):
        table.add_column(name, justify="left" if name == "market" else "right")
    for one in outcomes:
        job = one.job
        table.add_row(
            job.market,
            f"{job.spread:g}",
            str(job.levels),
            f"{job.entry_ns / 1e6:g}+{job.response_ns / 1e6:g}",
            f"{one.ours:,}",
            f"{one.peer:,}",
            f"{one.same:,}",
            f"{100 * one.share:.3f}",
            f"{one.sums_ours['fee'] - one.sums_peer['fee']:+.1e}",
            f"{one.sums_ours['equity'] - one.sums_peer['equity']:+.1e}",
        )
    more, same = sum(max(one.ours, one.peer) for one in outcomes), sum(one.same for one in outcomes)
    table.add_row("all", "", "", "", "", f"{more:,}", f"{same:,}", f"{100 * same / max(more, 1):.3f}", "", "")
    console.print(table)
    kinds = sum((classes(one) for one in outcomes), Counter[str]())
    if kinds:
        console.print("differences: " + ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common()))


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--raw", type=Path, help="a raw.npz instead of the generated market")
    parser.add_argument("--tape", type=Path, help="a tape instead of the generated market")
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the generated market")
    parser.add_argument("--capture", type=Path, action="append", default=[], help="a recorded tape besides")
    parser.add_argument("--show", type=int, default=5, help="fills to show of each difference")
    parser.add_argument("--json", action="store_true", help="the figures as the last line of stdout")
    chosen = parser.parse_args()
    WORK.mkdir(exist_ok=True)
    if chosen.tape is not None:
        tapes = {"synthetic": Tape.open(chosen.tape)}
    else:
        raw = make_tape.load(chosen.raw) if chosen.raw else make_tape.make(chosen.rows)
        tapes = {"synthetic": write_tape(raw, WORK / "parity.tape")}
    markets: dict[str, Market] = {}
    jobs: list[Job] = []
    for folder in chosen.capture:
        tape = Tape.open(folder)
        plain = not np.isin(tape.data.kind, (BEST_BID, BEST_ASK)).any()
        tapes[tape.instrument.symbol + (" depth" if plain else "")] = tape
    for name, tape in tapes.items():
        instrument = replace(
            tape.instrument, kind="linear", maker_fee=FEES[0], taker_fee=FEES[1]
        )  # the peer's fees are in quote
        console.print(f"writing {name} for the peer ...")
        markets[name] = market(name, tape.data, instrument)
        middle = float(np.median(tape.data.price[tape.data.price > 0])) * float(instrument.tick)
        jobs += jobs_of(name, middle)
    console.print(f"running the peer, {len(jobs)} jobs ...")
    theirs, version = peers(jobs, markets)
    answer: dict[str, Any] = {"peer": version}
    for title, parity in (("our own rules", False), ("parity", True)):
        console.print(f"running ours, {title} ...")
        found = [
            compared(job, ours(job, markets[job.market], parity), right)
            for job, right in zip(jobs, theirs, strict=True)
        ]
        show(found, f"{title} against hftbacktest {version}")
        answer[title] = [asdict(one) for one in found]
    for one in found:
        for whose, fills in (("ours", one.only_ours), ("peer", one.only_peer)):
            for fill in fills[: chosen.show]:
                console.print(f"{one.job.market} {one.job.spread:g}: only {whose}: {fill}")
    (WORK / "parity.results.json").write_text(json.dumps(answer), encoding="utf-8")
    if chosen.json:
        print(json.dumps(answer))


if __name__ == "__main__":
    main()

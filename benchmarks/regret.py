"""What following the market cost against the best that never changed: the optimizer's own account of regret.

A market is a synthetic tape of 16 hours that turns wilder and calmer every two to four hours, or a recorded one. The
optimizer is asked every half hour and goes through what a session has it go through: confidence, gate, canary at a
quarter of the size, shadow comparison, roll-back; the account is the one that its answers carry. The first parameters
are the best of 128 over the two hours before the first request. Others would have done otherwise: a table of one
sort of market is about that sort.

    python -m benchmarks.regret --out regret.jsonl --synthetic 12 --recorded tapes/nexo      goes on where it stopped
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from benchmarks.adaptation import drawn, scores
from benchmarks.confidence_epochs import LATENCY_NS, sized
from tidewright.agents.executor.canary import CanaryRules, Rollout, comparison_of
from tidewright.agents.executor.proposals import Gate, gate_reasons
from tidewright.agents.optimizer.advisor import Optimizer, settings
from tidewright.agents.optimizer.fold import BookFold
from tidewright.agents.optimizer.judge import Judge, Settings, ShadowJudge
from tidewright.agents.optimizer.regret import REFERENCES
from tidewright.agents.optimizer.space import of_strategy
from tidewright.agents.optimizer.windows import Window
from tidewright.coordination.messages import OptimizeRequestMessage, ParameterUpdateMessage, encode, message
from tidewright.market.clock import HOUR, MINUTE, SECOND
from tidewright.market.codes import RESET
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Columns, Tape, concatenate
from tidewright.measure.mids import tape_mids
from tidewright.measure.regret import Account, Total, account

CYCLE: Final = 30 * SECOND
EPOCH: Final = 30 * MINUTE
LOOK: Final = 4 * HOUR
BEFORE: Final = 2 * HOUR  # of market before the first request
ANSWER: Final = 10  # decisions after which an answer takes effect, as in a session
THRESHOLD: Final = 0.6
STRETCH: Final = 4  # wild: moves, spread and distances of levels so many times larger
HOURS: Final = 16.0
RATE: Final = 1.0  # packets a second
SEEDS: Final = 3_000  # tapes of their own, seen by no other measurement
CANDIDATES: Final = 64  # a generation, of two
POOL: Final = 128  # the first parameters are the best of so many
REBATE: Final = -50_000  # maker fee of the synthetic markets, 1e-8: without it hardly a set earns
RECORDED_FEE: Final = 0
TAKER_FEE: Final = 100_000
DRAWN: Final = REFERENCES + 2  # fixed sets that are there from the beginning

Params = dict[str, float]


def market(seed: int) -> Tape:
    """A synthetic tape that turns wilder and calmer; odd seeds begin wild."""
    plain = synthesize(None, hours=HOURS, seed=SEEDS + seed, rate=RATE)
    rng, starts = np.random.default_rng([seed, 5]), [plain.start_ns]
    while (then := starts[-1] + round(rng.uniform(2.0, 4.0) * HOUR)) < plain.end_ns:
        starts.append(then)
    data = turned(plain, starts, seed % 2 == 1)
    return Tape(Path(), plain.instrument, {**plain.meta, "rows": len(data.ts)}, data)


def turned(tape: Tape, starts: list[int], wild: bool) -> Columns:
    """The rows with every second stretch made wild; the mid goes on without a jump where one begins."""
    data, fold, book, parts = tape.data, BookFold(), None, []
    middle = new = int(np.median(data.price[data.price > 0]))
    for until in [*starts[1:], None]:
        begin = fold.row
        if until is not None:
            fold.advance(data, until)
        rows = data.rows(begin, len(data.ts) if until is None else fold.row)
        if book is not None:
            parts.append(book.rows(0, 1)._replace(kind=np.array([RESET], np.uint8), flags=np.zeros(1, np.uint8)))
            rows = concatenate([book, rows])
        scale = STRETCH if wild else 1
        parts.append(rows._replace(price=new + scale * (rows.price - middle)))
        then, book, wild = fold.mid2() // 2, fold.snapshot(), not wild
        middle, new = then, new + scale * (then - middle)
    return concatenate(parts)


def played(tape: Tape, first: Params, maker_fee: int, seed: int) -> dict[str, Any]:
    """A session's optimizer over a tape: the account it has kept at the end, and how many proposals were accepted."""
    last: ShadowJudge | None = None

    def judge_of(data: Any, earliest: int) -> Judge:
        nonlocal last
        last = ShadowJudge(tape, data.rows, data.strategy, settings(data), earliest, last)
        return last

    agent, rollout, accepted = Optimizer(judge_of=judge_of), Rollout(CanaryRules(), CYCLE, first), 0
    mids = tape_mids(tape.data, float(tape.instrument.tick))
    trading, traded = first, [(tape.start_ns, first)]
    for number, now in enumerate(_asked(tape)):
        data = {
            "tape": "in memory",
            "rows": int(np.searchsorted(tape.data.ts, now, side="right")),
            "from_ns": max(tape.start_ns, now - LOOK),
            "until_ns": now,
            "strategy": "grid",
            "incumbent": _typed(rollout.params),
            "latency": {"entry_ns": LATENCY_NS, "response_ns": LATENCY_NS},
            "fees": {"maker": maker_fee, "taker": TAKER_FEE},
            "equity": "10000",
            "cycle_ns": CYCLE,
            "epoch_ns": EPOCH,
            "candidates": CANDIDATES,
            "generations": 2,
            "seed": seed,
            "traded": [{"from_ns": since, "params": _typed(params)} for since, params in traded],
        }
        watched = rollout.request()
        if watched is not None:
            data["shadow"] = {**watched, **{name: _typed(watched[name]) for name in ("candidate", "incumbent")}}
        item = message("optimize_request", now, "session", "optimizer", data)
        assert isinstance(item, OptimizeRequestMessage)
        answer = agent.answer(item)
        said, at = orjson.loads(encode(answer))["data"], now + ANSWER * CYCLE
        if said.get("state") == "error":
            raise RuntimeError(f"request {number}: {said['reason']}")
        if (seen := comparison_of(said)) is not None:
            rollout.observe(seen, at)
        if isinstance(answer, ParameterUpdateMessage) and not rollout.held and said["confidence_score"] >= THRESHOLD:
            if not gate_reasons(answer.data.checks, Gate()):
                new = {**rollout.params, **{name: float(value) for name, value in said["optimized_params"].items()}}
                rollout.accept(at, said["proposal_id"], new, now, 0.0)
                accepted += 1
        traded = [(now, trading)]
        trading = rollout.trading(tape.instrument, float(mids.at(np.array([at]))[0]))
        if trading != traded[0][1]:
            traded.append((at, trading))
    return {"accepted": accepted, "book": agent.memory.regret}


def _asked(tape: Tape) -> Iterator[int]:
    yield from range(tape.start_ns + BEFORE, tape.end_ns + 1, EPOCH)


def _typed(params: Params) -> dict[str, float | int]:
    return {**params, "levels": int(params["levels"])}


def summed(book: dict[str, Any]) -> dict[str, Any]:
    """What is told of an account: series of ours, the first, the best fixed and the best of those drawn."""
    epochs = book["epochs"]
    compared = min(len(epoch["reference"]) for epoch in epochs)
    earned = np.array([epoch["reference"][:compared] for epoch in epochs], np.float64)
    best, early = int(earned.sum(axis=0).argmax()), int(earned[:, :DRAWN].sum(axis=0).argmax())
    return {
        **{name: [epoch[name] for epoch in epochs] for name in ("ours", "incumbent", "best")},
        "fixed": earned[:, best].tolist(),
        "drawn": earned[:, early].tolist(),
        "compared": compared + len(book["dropped"]),
        "waiting": len(book["reference"]) - compared,
        "late": best >= DRAWN,
        "params": book["reference"][best],
    }


def one_market(name: str, tape: Tape, maker_fee: int, seed: int) -> dict[str, Any]:
    """A line of the file."""
    begun = time.process_time()
    base = sized("grid", float(tape_mids(tape.data, float(tape.instrument.tick)).mid[0]), {})
    pool = [base, *drawn(of_strategy("grid"), base, POOL - 1, seed)]
    window = Window(tape.start_ns + MINUTE, tape.start_ns + BEFORE)
    judged = Settings(CYCLE, 0, LATENCY_NS, LATENCY_NS, maker_fee=maker_fee, taker_fee=TAKER_FEE)
    judge = ShadowJudge(tape, len(tape), "grid", judged, window.start_ns)
    first = pool[int(np.argmax(scores(tape, window, pool, judge)))]
    found = played(tape, first, maker_fee, seed)
    told = {"market": name, "accepted": found["accepted"], "first": first, **summed(found["book"])}
    return {**told, "cpu_s": round(time.process_time() - begun, 1)}


def accounted(row: dict[str, Any]) -> tuple[Account, Account]:
    """The account of a market, and as it would be had nothing joined those that were drawn."""
    found, drawn_alone = (account(row["ours"], row["incumbent"], row[name], row["best"]) for name in ("fixed", "drawn"))
    return found, drawn_alone


def table(rows: list[dict[str, Any]]) -> str:
    """The published table, a line a market, and the sum over the synthetic ones, epochs in the order of markets."""
    lines = [
        "| market | epochs | accepted | fixed sets compared | best fixed | ours | first, never changed | "
        "**regret, best fixed** (95 %) | of the drawn alone | gain by changing (95 %) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        found, alone = accounted(row)
        late = ", joined later" if row["late"] else ""
        lines.append(
            f"| {row['market']} | {found.epochs} | {row['accepted']} | {row['compared']} | "
            f"{_text(sum(row['fixed']))}{late} | {_text(found.ours)} | {_text(found.incumbent)} | "
            f"{_total(found.static)} | {_text(alone.static.total)} | {_total(found.gain)} |"
        )
    synthetic = [row for row in rows if row["market"].startswith("synthetic")]
    if len(synthetic) > 1:
        names = ("fixed", "ours", "incumbent", "drawn")
        fixed, ours, first, early = (np.array([sum(row[name]) for row in synthetic]) for name in names)
        lines.append(
            f"| mean of {len(synthetic)} synthetic, markets resampled | | "
            f"{np.mean([row['accepted'] for row in synthetic]):.1f} | | {_text(fixed.mean())} | {_text(ours.mean())} | "
            f"{_text(first.mean())} | {_mean(fixed - ours)} | {_text((early - ours).mean())} | {_mean(ours - first)} |"
        )
    return "\n".join(lines)


def _mean(values: np.ndarray) -> str:
    picks = np.random.default_rng(1).integers(0, len(values), (4000, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [0.025, 0.975])
    return f"{_text(values.mean())} ({_text(low)} to {_text(high)})"


def _total(found: Total) -> str:
    if found.lower is None or found.upper is None:
        return _text(found.total)
    return f"{_text(found.total)} ({_text(found.lower)} to {_text(found.upper)})"


def _text(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def main(say: Callable[[str], None] = print) -> None:
    """Play the markets that are not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regret", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("regret.jsonl"), help="one line a market; goes on from it")
    parser.add_argument("--synthetic", type=int, default=12, help="synthetic markets, seeds 1 to this")
    parser.add_argument("--recorded", type=Path, nargs="*", default=[], help="tape folders")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds after which no new market is begun")
    options = parser.parse_args()
    begun = time.monotonic()
    rows = [orjson.loads(line) for line in options.out.read_bytes().splitlines()] if options.out.is_file() else []
    jobs: list[tuple[str, Callable[[], Tape], int, int]] = [
        (f"synthetic {seed}", lambda seed=seed: market(seed), REBATE, seed) for seed in range(1, options.synthetic + 1)
    ]
    jobs += [(path.name, lambda path=path: Tape.open(path), RECORDED_FEE, 1) for path in options.recorded]
    for name, tape, fee, seed in jobs:
        if any(row["market"] == name for row in rows) or time.monotonic() - begun > options.budget:
            continue
        rows.append(one_market(name, tape(), fee, seed))
        with options.out.open("ab") as file:
            file.write(orjson.dumps(rows[-1]) + b"\n")
        print(f"{time.monotonic() - begun:5.0f} s  {name}: {rows[-1]['cpu_s']} s of CPU", file=sys.stderr, flush=True)
    say(table(rows))


if __name__ == "__main__":
    main()

"""``tw.compare``: contenders on windows that none of them has seen, paired on the same events, at several fees."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

import numpy as np

from tidewright.agents.comparison.contenders import Adaptive, Contender, Effort, History
from tidewright.agents.comparison.cycles import run_of
from tidewright.agents.comparison.learned import usual
from tidewright.agents.comparison.rollout import traded
from tidewright.agents.comparison.unseen import unseen
from tidewright.agents.optimizer.judge import Settings, ShadowJudge
from tidewright.agents.optimizer.windows import MIN_IN, MIN_OUT, Window
from tidewright.engine.sweep import Runner
from tidewright.market.clock import iso, parse_duration
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.instrument import text_units
from tidewright.market.tape import Tape
from tidewright.measure.comparison import Paired, Run, paired, pooled
from tidewright.measure.mids import MidSeries, tape_mids
from tidewright.risk.limits import Limits
from tidewright.strategies.sizes import ORDER_SHARE, ORDERS_HELD, Sizes

Rate = str | int | float | Decimal

BP: Final = UNIT // 10_000  # one basis point as a rate of 1e-8
POSITION_SHARE: Final = 0.02  # largest position over the capital, where nobody said
_FEWEST: Final = 2  # windows
_DEAREST: Final = 10_000  # basis points: all of it


@dataclass(frozen=True, slots=True)
class Row:
    """One contender on one tape at one fee.

    Attributes
    ----------
    figures
        See :func:`tidewright.measure.comparison.pooled`.
    paired
        Beside the first contender; ``None`` for the first itself.
    params
        Parameters of each window.
    trials
        Parameter sets tried to find them.
    curve
        Profit after every cycle of the windows, quote; the windows one after the other.
    """

    name: str
    meaning: str
    figures: dict[str, float]
    paired: Paired | None
    params: list[dict[str, float]]
    trials: int
    curve: list[float]


@dataclass(frozen=True, slots=True)
class Heat:
    """All contenders on one tape at one fee.

    Attributes
    ----------
    maker_bp
        The maker fee, basis points.
    """

    tape: str
    symbol: str
    quote: str
    maker_bp: float
    windows: list[Window]
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that ran, and what it was assumed to meet."""

    heats: list[Heat]
    assumptions: dict[str, Any]


def compare(
    tapes: Sequence[Tape],
    contenders: Callable[[], list[Contender]] = usual,
    *,
    window: str | int | float | None = None,
    train: float = 0.5,
    fees_bp: Sequence[float] = (0.0, 1.0, 2.0, 4.0, 8.0),
    cycle: str | int | float = "30s",
    latency: str | int | float = "50ms",
    queue: str = "risk_averse",
    capital: Rate = "10000",
    order_share: float | None = None,
    position_share: float | None = None,
    effort: Effort | None = None,
    progress: Callable[[float], None] | None = None,
) -> Comparison:
    """Judge contenders on the later part of each tape, window by window.

    Parameters
    ----------
    contenders
        Makes them anew for every tape and fee; the first is what the others are compared with.
    window
        Length of a held-out window; ``None``: a twelfth of the held-out part, at least 20 cycles.
    train
        Share of the tape before the first window, > 0 and < 1. A contender that goes on learning also sees what has
        happened since.
    fees_bp
        Maker fees, basis points; the taker pays the same, and makers quote post-only.
    order_share, position_share
        Size of an order and largest position, over the capital, at the mid where the first window begins: the same for
        all, like the other limits. ``None``: 0.0025 and 0.02, or as much as the venues' smallest orders ask for;
        ``assumptions["sizes"]`` says so.
    progress
        Told the share done.

    Raises
    ------
    UsageError
        If a value is out of range, a tape too short, or a given policy learned on what would be judged; the message
        says what would be right.
    """
    tell = progress or (lambda share: None)
    if not tapes:
        raise UsageError("a comparison needs at least one tape")
    if not 0.0 < train < 1.0:
        raise UsageError(f"train must be > 0 and < 1, was {train:g}")
    _check_fees(fees_bp)
    effort = effort or Effort()
    latency_ns, equity = parse_duration(latency), text_units(str(capital), "capital")
    if equity <= 0:
        raise UsageError(f"capital must be > 0, was {capital}")
    order_share, position_share, sized = _shares(tapes, equity / UNIT, order_share, position_share)
    settings = Settings(
        cycle_ns=parse_duration(cycle),
        entry_ns=latency_ns,
        response_ns=latency_ns,
        limits=Limits(max_position_share=position_share),
        queue=queue,
        equity=equity,
    )
    if settings.cycle_ns <= 0:
        raise UsageError(f"cycle must be > 0, was {cycle}")
    window_ns = None if window is None else parse_duration(window)
    judged = [held_out(tape, settings.cycle_ns, train, window_ns) for tape in tapes]
    given = {id(one.given): one.given for one in contenders() if one.given is not None}
    firsts = [windows[0].start_ns for windows in judged]
    known = " ".join(unseen(policy, tapes, firsts) for policy in given.values())
    heats, total, done = [], len(tapes) * len(fees_bp), 0
    for tape, windows in zip(tapes, judged, strict=True):
        mids = tape_mids(tape.data, float(tape.instrument.tick))
        sizes = _sizes(tape, mids, windows[0], settings, order_share, position_share)
        for fee in fees_bp:
            rate = round(fee * BP)
            priced = replace(settings, maker_fee=rate, taker_fee=rate)
            part = _part(tell, done / total, 1.0 / total)
            heats.append(_heat(tape, mids, fee, windows, priced, sizes, contenders(), effort, part))
            done += 1
    return Comparison(
        heats,
        {
            "capital": str(capital),
            "order_share": order_share,
            "position_share": position_share,
            "sizes": sized,
            "cycle_s": settings.cycle_ns / 1e9,
            "latency_ms": latency_ns / 1e6,
            "queue": queue,
            "train": train,
            "candidates": effort.candidates,
            "generations": effort.generations,
            "seed": effort.seed,
            "learning": effort.learning,
            "limits": settings.limits.values()._asdict(),
            "policy": known,
            "windows": "lanes start flat at each window with the capital, without volatility history; "
            "what is held at its end is valued at the mid",
        },
    )


def _check_fees(fees_bp: Sequence[float]) -> None:
    if not fees_bp or not all(abs(fee) < _DEAREST for fee in fees_bp) or len(set(fees_bp)) < len(fees_bp):
        listed = ", ".join(f"{fee:g}" for fee in fees_bp)
        raise UsageError(
            f"fees are basis points between -{_DEAREST} and {_DEAREST}, each once, as in 0,1,2,4,8; were {listed}"
        )


def _part(tell: Callable[[float], None], first: float, width: float) -> Callable[[float], None]:
    return lambda share: tell(first + share * width)


def held_out(tape: Tape, cycle_ns: int, train: float, window_ns: int | None) -> list[Window]:
    """The windows after the training part, equally long, in time order.

    Raises
    ------
    UsageError
        If the tape is too short.
    """
    cycles = (tape.end_ns - tape.start_ns) // cycle_ns
    first = round(cycles * train)
    length = max(MIN_OUT, (cycles - first) // 12) if window_ns is None else window_ns // cycle_ns
    count = (cycles - first) // max(1, length)
    longest, cycle = (cycles - first) // _FEWEST, cycle_ns / 1e9
    if first >= (MIN_IN + MIN_OUT) * 2 and longest >= MIN_OUT and not MIN_OUT <= length <= longest:
        raise UsageError(
            f"a window must be {MIN_OUT * cycle:g} to {longest * cycle:g} s long ({MIN_OUT} to {longest} cycles) on "
            f"{tape.path.name}, was {length * cycle:g} s"
        )
    if length < MIN_OUT or count < _FEWEST or first < (MIN_IN + MIN_OUT) * 2:
        needed = max((MIN_IN + MIN_OUT) * 2 / train, _FEWEST * max(length, MIN_OUT) / (1.0 - train))
        raise UsageError(
            f"a comparison needs {(MIN_IN + MIN_OUT) * 2} cycles to learn from and {_FEWEST} windows of at least "
            f"{MIN_OUT} cycles; {tape.path.name} has {cycles} cycles, windows were {length}. "
            f"About {round(needed)} cycles would be enough with --train {train:g}"
        )
    start = tape.start_ns + first * cycle_ns
    return [Window(start + k * length * cycle_ns, start + (k + 1) * length * cycle_ns) for k in range(count)]


def _shares(
    tapes: Sequence[Tape], capital: float, order_share: float | None, position_share: float | None
) -> tuple[float, float, str]:
    """Order and position over the capital, those not given so that every venue lets an order pass; what was raised.

    Raises
    ------
    UsageError
        If they contradict each other, or the capital is too small for a few of the smallest orders.
    """
    told = []
    if order_share is None:
        order_share = ORDER_SHARE
        for tape in tapes:
            found = Sizes.of(tape)
            least = 0.0 if found is None else found.enough * found.mid / capital
            if found is not None and found.refusal(order_share * capital / found.mid):
                if least * ORDERS_HELD > 1.0:
                    raise UsageError(
                        f"the smallest order of {tape.instrument.symbol} is {100 * least:.3g} % of the capital: a "
                        f"capital of {math.ceil(100.0 * least * ORDERS_HELD * capital) / 100.0:.2f} "
                        f"{tape.instrument.quote} would be enough"
                    )
                order_share = max(order_share, least)
                told = [f"orders are {100 * order_share:.3g} % of the capital: less is refused on {tape.path.name}"]
    if position_share is None:
        position_share = POSITION_SHARE
        if position_share < order_share:
            position_share = min(1.0, ORDERS_HELD * order_share)
            told.append(f"positions are up to {100 * position_share:.3g} %, so that they hold more than one order")
    if not 0.0 < order_share <= position_share:
        raise UsageError(f"0 < order share <= position share must hold, were {order_share:g} and {position_share:g}")
    return order_share, position_share, "; ".join(told)


def _sizes(
    tape: Tape, mids: MidSeries, first: Window, settings: Settings, order_share: float, position_share: float
) -> dict[str, float]:
    known = tape.instrument
    seen = int(np.searchsorted(mids.ts, first.start_ns, side="right"))
    if seen == 0:
        raise UsageError(f"the book of {tape.path.name} is never whole before {iso(first.start_ns)}")
    capital, lot = settings.equity / UNIT, float(known.lot)
    base = capital * order_share / float(mids.mid[seen - 1])
    quantity, found = int(base / lot + 1e-9) * lot, Sizes(known, float(mids.mid[seen - 1]))
    if found.refusal(quantity):
        least = found.enough * found.mid / order_share
        raise UsageError(
            f"an order of {order_share:g} of the capital is less than the smallest of {known.symbol}, {found.least:g} "
            f"{known.base}: a capital of {math.ceil(100.0 * least) / 100.0:.2f} {known.quote} would be enough"
        )
    return {"base_quantity": float(f"{quantity:.12g}"), "max_position": base / order_share * position_share}


def _heat(
    tape: Tape,
    mids: MidSeries,
    fee: float,
    windows: list[Window],
    settings: Settings,
    sizes: dict[str, float],
    contenders: list[Contender],
    effort: Effort,
    tell: Callable[[float], None],
) -> Heat:
    if len({contender.name for contender in contenders}) < len(contenders):
        raise UsageError(f"contenders need names of their own, were {', '.join(c.name for c in contenders)}")
    runs: list[list[Run]] = [[] for _ in contenders]
    chosen: list[list[dict[str, float]]] = [[] for _ in contenders]
    judge: ShadowJudge | None = None  # the newest: its fold of the book is carried on
    for k, window in enumerate(windows):
        rows = int(np.searchsorted(tape.data.ts, window.start_ns, side="right"))
        cycles = window.cycles(settings.cycle_ns)
        history = History(tape, max(1, rows), settings, tape.start_ns, window.start_ns, cycles, sizes, effort)
        mid = float(np.nan_to_num(mids.at(np.array([window.start_ns])))[0])
        for index, contender in enumerate(contenders):
            params = contender.parameters(history)
            terms = (tape, len(tape), contender.strategy, settings, window.start_ns)
            judge = ShadowJudge(*terms, before=judge)
            runs[index].append(_run(judge, terms, window, params, contender, mid))
            chosen[index].append(params)
            tell((k + (index + 1) / len(contenders)) / len(windows))
    capital = settings.equity / UNIT
    rows_out = []
    for index, contender in enumerate(contenders):
        beside = None if index == 0 else paired(runs[index], runs[0], capital, settings.cycle_ns, effort.seed)
        meaning = contender.meaning
        if isinstance(contender, Adaptive):
            back = f", {contender.rolled_back} rolled back" if contender.rolled_back else ""
            meaning += f" ({contender.taken} of {len(windows)} proposals taken{back})"
        curve = np.cumsum(np.concatenate([run.increments for run in runs[index]])).tolist()
        figures = pooled(runs[index], capital, settings.cycle_ns)
        figures["max_position"] = figures["max_abs_position_lots"] * float(tape.instrument.lot)
        rows_out.append(Row(contender.name, meaning, figures, beside, chosen[index], contender.trials, curve))
    return Heat(str(tape.path), tape.instrument.symbol, tape.instrument.quote, fee, windows, rows_out)


def _run(
    judge: ShadowJudge,
    terms: tuple[Tape, int, str, Settings, int],
    window: Window,
    params: dict[str, float],
    contender: Contender,
    mid: float,
) -> Run:
    def under(runner: Runner | None) -> ShadowJudge:
        return ShadowJudge(*terms, before=judge, runner=runner)

    known = terms[0].instrument
    if contender.rollout is None:
        return run_of(under(contender.runner), window, params, known)
    return traded(under, window, contender.rollout, known, mid, terms[3].cycle_ns, contender.runner)

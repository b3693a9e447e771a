"""Checking a tape: what breaks its rules, and what a user should know about the market on it."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market import codes
from tidewright.market.clock import MILLISECOND, SECOND, iso
from tidewright.market.tape import Columns, Tape
from tidewright.market.touch import CROSSED, IN_GAP, LOCKED, STATE_NAMES, Touches, touches

DEFAULT_SILENCE_NS: Final = 30 * SECOND

_LEVEL_KINDS: Final = (codes.BID, codes.ASK, codes.BEST_BID, codes.BEST_ASK)
_TRADE_KINDS: Final = (codes.TRADE_BUY, codes.TRADE_SELL, codes.TRADE_UNKNOWN)


@dataclass(frozen=True, slots=True)
class TapeCheck:
    """What :func:`check_tape` found.

    Parameters
    ----------
    usable
        Whether the engine may read the tape: no ``problems``.
    problems
        What makes it unusable, in words.
    findings
        What is unusual but allowed, in words.
    figures
        The numbers behind both, by group.
    """

    usable: bool
    problems: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def check_tape(tape: Tape, silence_ns: int = DEFAULT_SILENCE_NS) -> TapeCheck:
    """Check a tape against its format's rules and describe the market's irregularities.

    Parameters
    ----------
    silence_ns
        A longer time without a packet is reported as silence, ns.
    """
    data = tape.data
    problems: list[str] = []
    findings: list[str] = []
    figures: dict[str, Any] = {"rows": len(data.ts)}
    if not len(data.ts):
        return TapeCheck(False, ["the tape has no rows"], [], figures)
    structure = _structure(data, problems)
    figures["structure"] = structure
    if problems:
        return TapeCheck(False, problems, findings, figures)
    if structure["packets_with_several_times"]:
        findings.append(f"{structure['packets_with_several_times']} packets hold rows of different venue times")
    book = touches(data)
    figures["sequence"] = _sequence(tape, book, findings)
    figures["book"] = _book(data, book, findings)
    figures["silence"] = _silence(data, silence_ns, findings)
    figures["receipt"] = _receipt(data, findings)
    figures["duplicates"] = _duplicates(data, book, findings)
    figures["trades"] = _trades(data, findings)
    return TapeCheck(True, problems, findings, figures)


def _count(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _at(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.argmax(mask))


def _share(part: float, whole: float) -> float:
    return round(part / whole, 6) if whole else 0.0


def _structure(data: Columns, problems: list[str]) -> dict[str, Any]:
    """Rules that the engine relies on."""
    falls = np.diff(data.ts) < 0
    unknown = data.kind >= len(codes.KIND_NAMES)
    negative = data.qty < 0
    priced = np.isin(data.kind, (*_LEVEL_KINDS, *_TRADE_KINDS, codes.MARK))
    off = priced & (data.price <= 0)
    ends = data.flags & codes.PACKET_END != 0
    if falls.any():
        row = _at(falls) + 1
        problems.append(f"venue time falls {_count(falls)} times, first at row {row} ({iso(int(data.ts[row]))})")
    if unknown.any():
        row = _at(unknown)
        problems.append(f"{_count(unknown)} rows are of an unknown kind, first row {row} (kind {data.kind[row]})")
    if negative.any():
        row = _at(negative)
        problems.append(f"{_count(negative)} rows have a negative quantity, first row {row} ({data.qty[row]} lots)")
    if off.any():
        row = _at(off)
        problems.append(f"{_count(off)} rows have a price of 0 or less, first row {row} ({data.price[row]} ticks)")
    if not ends[-1]:
        problems.append("the last row does not end a packet: the tape was cut off")
    return {
        "packets": _count(ends),
        "ts_falls": _count(falls),
        "unknown_kinds": _count(unknown),
        "negative_quantities": _count(negative),
        "prices_off_the_grid": _count(off),
        "packets_with_several_times": _count((np.diff(data.ts) != 0) & ~ends[:-1]),
    }


def _sequence(tape: Tape, book: Touches, findings: list[str]) -> dict[str, Any]:
    data = tape.data
    gaps, resets = _count(data.kind == codes.GAP), _count(data.kind == codes.RESET)
    seconds = _durations(data, book)
    total, in_gap = float(seconds.sum()), float(seconds[book.state == IN_GAP].sum())
    if gaps:
        findings.append(f"{gaps} sequence gaps; {in_gap:.1f} s ({100 * _share(in_gap, total):.2f} %) lie in gaps")
    if book.state[-1] == IN_GAP:
        findings.append("the tape ends in a gap" if gaps else "no snapshot: the book never begins")
    inferred = _count((data.flags & codes.SNAPSHOT != 0) & (data.flags & codes.INFERRED != 0))
    if inferred:
        findings.append(f"{inferred} snapshot rows are inferred, not recorded")
    notes = tape.meta.get("notes", {})
    missing = notes.get("missing_trade_ids", 0)
    if missing:
        findings.append(f"{missing} trade ids were jumped over in the recording")
    return {"gaps": gaps, "resets": resets, "seconds_in_gaps": round(in_gap, 3), "missing_trade_ids": missing}


def _durations(data: Columns, book: Touches) -> npt.NDArray[np.float64]:
    """Seconds each packet's book lasted, until the next packet; 0 for the last."""
    times = data.ts[book.row]
    return np.append(np.diff(times), 0) / SECOND


def _book(data: Columns, book: Touches, findings: list[str]) -> dict[str, Any]:
    seconds = _durations(data, book)
    total = float(seconds.sum())
    shares = {name: _share(float(seconds[book.state == code].sum()), total) for code, name in enumerate(STATE_NAMES)}
    packets = {name: _count(book.state == code) for code, name in enumerate(STATE_NAMES)}
    for code in (CROSSED, LOCKED):
        name = STATE_NAMES[code]
        if packets[name]:
            findings.append(f"the book is {name} after {packets[name]} packets, {100 * shares[name]:.2f} % of the time")
    if shares["one_sided"] > 0.001:
        findings.append(f"a side of the book is missing {100 * shares['one_sided']:.2f} % of the time")
    return {"time_share": shares, "packets": packets}


def _silence(data: Columns, silence_ns: int, findings: list[str]) -> dict[str, Any]:
    pauses = np.diff(data.ts)
    longest = int(pauses.max()) if len(pauses) else 0
    over = pauses > silence_ns
    if over.any():
        at = iso(int(data.ts[int(np.argmax(pauses))]))
        findings.append(
            f"{_count(over)} silences over {silence_ns / SECOND:g} s, the longest {longest / SECOND:.1f} s from {at}"
        )
    return {
        "threshold_s": silence_ns / SECOND,
        "count": _count(over),
        "seconds": round(float(pauses[over].sum()) / SECOND, 3),
        "longest_s": round(longest / SECOND, 3),
    }


def _receipt(data: Columns, findings: list[str]) -> dict[str, Any]:
    recorded = data.ts_local != 0
    if not recorded.any():
        findings.append("receipt times were not recorded: a feed latency has to be assumed (backtest --feed 30ms)")
        return {"recorded": 0}
    delay = (data.ts_local - data.ts)[recorded]
    early = delay < 0
    if early.any():
        findings.append(
            f"{_count(early)} rows ({100 * early.mean():.2f} %) were received before their venue time, by up to "
            f"{-int(delay.min()) / MILLISECOND:.1f} ms: the receiver's clock ran behind"
        )
    low, middle, high = np.quantile(delay, (0.01, 0.5, 0.99)) / MILLISECOND
    return {
        "recorded": _count(recorded),
        "before_venue": _count(early),
        "delay_ms": {"p1": round(float(low), 3), "median": round(float(middle), 3), "p99": round(float(high), 3)},
        "out_of_order": _count(np.diff(data.ts_local[recorded]) < 0),
    }


def _duplicates(data: Columns, book: Touches, findings: list[str]) -> dict[str, Any]:
    prints = np.flatnonzero(np.isin(data.kind, _TRADE_KINDS))
    again = np.ones(max(0, len(prints) - 1), np.bool_)
    for column in (data.ts, data.ts_local, data.kind, data.price, data.qty):
        again &= np.diff(column[prints].astype(np.int64)) == 0
    if again.any():
        findings.append(f"{_count(again)} prints are equal to the one before in every column")
    levels = _count(np.isin(data.kind, _LEVEL_KINDS))
    if levels and book.unchanged > 0.5 * levels:
        findings.append(f"{100 * book.unchanged / levels:.0f} % of the level rows change nothing")
    return {
        "equal_prints": _count(again),
        "level_rows_without_change": book.unchanged,
        "removals_of_unknown_levels": book.unknown_removals,
    }


def _trades(data: Columns, findings: list[str]) -> dict[str, Any]:
    trades = np.isin(data.kind, _TRADE_KINDS)
    count, unknown = _count(trades), _count(data.kind == codes.TRADE_UNKNOWN)
    inferred = _count(trades & (data.flags & codes.INFERRED != 0))
    if not count:
        findings.append("no trades")
    if unknown:
        findings.append(f"{unknown} of {count} trades ({100 * unknown / count:.1f} %) are of unknown side")
    if inferred:
        findings.append(f"the side of {inferred} trades is inferred")
    empty = _count(trades & (data.qty == 0))
    if empty:
        findings.append(f"{empty} trades have quantity 0")
    return {"count": count, "unknown_side": unknown, "inferred_side": inferred, "empty": empty}

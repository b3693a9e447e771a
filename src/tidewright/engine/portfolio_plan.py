"""What a portfolio is made of: instruments by name, their common span, and values given for all of them or for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import iso
from tidewright.market.codes import PACKET_END
from tidewright.market.errors import UsageError
from tidewright.market.instrument import decimal
from tidewright.market.tape import Tape

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Money:
    """What the portfolio's equity is counted in.

    Attributes
    ----------
    quote
        The asset.
    rates
        What one of each quote asset is worth in it, exact; 1 for itself.
    """

    quote: str
    rates: Mapping[str, Decimal]

    @classmethod
    def of(cls, tapes: Mapping[str, Tape], rates: Mapping[str, Any] | None) -> "Money":
        """The one quote asset without a rate is what all is counted in.

        Raises
        ------
        UsageError
            If the instruments are quoted in several assets and no rates say how these compare.
        """
        quotes = sorted({tape.instrument.quote for tape in tapes.values()})
        given = {asset: decimal(str(rate), f"rate of {asset}") for asset, rate in (rates or {}).items()}
        for asset, rate in given.items():
            if asset not in quotes:
                raise UsageError(f"there is a rate for {asset}, but the instruments are quoted in {', '.join(quotes)}")
            if rate <= 0:
                raise UsageError(f"the rate of {asset} must be > 0, was {rate}")
        free = [asset for asset in quotes if asset not in given]
        if len(free) != 1:
            raise UsageError(
                f"the instruments are quoted in {', '.join(quotes)}: equity is counted in one of them, so say what one "
                f"of each other is worth in it, {len(quotes) - 1} rates, e.g. rates={{{quotes[-1]!r}: '1.0'}}; "
                f"{len(given)} given"
            )
        return cls(free[0], {**given, free[0]: Decimal(1)})

    def rate(self, asset: str) -> float:
        """What one of a quote asset is worth."""
        return float(self.rates[asset])


def by_name(tapes: Sequence[Tape]) -> dict[str, Tape]:
    """Tapes by the name of their instrument: its symbol, or ``venue:symbol`` where several venues have it.

    In one order, whatever order they were given in.

    Raises
    ------
    UsageError
        If there is none, or two are of one instrument of one venue.
    """
    if not tapes:
        raise UsageError("a portfolio needs at least one tape")
    ordered = sorted(tapes, key=lambda tape: (tape.instrument.symbol, tape.instrument.venue))
    symbols = [tape.instrument.symbol for tape in ordered]
    found: dict[str, Tape] = {}
    for tape in ordered:
        known = tape.instrument
        name = known.symbol if symbols.count(known.symbol) == 1 else f"{known.venue}:{known.symbol}"
        if name in found:
            raise UsageError(f"two tapes are of {known.symbol} at {known.venue}: {found[name].path} and {tape.path}")
        found[name] = tape
    return found


def each(value: T | Mapping[str, T], names: Sequence[str], what: str) -> dict[str, T]:
    """A value given for all instruments, or a mapping with one for each.

    Raises
    ------
    UsageError
        If a mapping names others, or not all.
    """
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    unknown = [name for name in value if name not in names]
    missing = [name for name in names if name not in value]
    if unknown or missing:
        wrong = f"has {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}"
        raise UsageError(f"{what} {wrong}; the instruments are {', '.join(names)}")
    return {name: value[name] for name in names}


def params_each(
    params: Mapping[str, Any] | None, names: Sequence[str]
) -> tuple[dict[str, dict[str, npt.ArrayLike]], int]:
    """Strategy parameters of every instrument, and the number of lanes that the longest array of any asks for."""
    found: dict[str, dict[str, npt.ArrayLike]] = {name: {} for name in names}
    lanes = 1
    for key, value in (params or {}).items():
        for name, one in each(value, names, f"parameter {key}").items():
            found[name][key] = one
            lanes = max(lanes, np.size(np.asarray(one)))
    return found, lanes


def common_span(tapes: Mapping[str, Tape], start: int | None, end: int | None) -> tuple[int, int]:
    """From when on decisions count, and the last time: all tapes are there.

    Raises
    ------
    UsageError
        If the tapes have no time in common.
    """
    for tape in tapes.values():
        if len(tape) == 0:
            raise UsageError(f"tape {tape.path} has no rows")
    first = max(tape.start_ns for tape in tapes.values()) if start is None else start
    last = min(_last_packet(tape, end) for tape in tapes.values())
    if last < first:
        spans = "; ".join(f"{name} {iso(tape.start_ns)} to {iso(tape.end_ns)}" for name, tape in tapes.items())
        raise UsageError(f"the tapes must share some time{'' if start is None else ' after the start'}: {spans}")
    return first, last


def _last_packet(tape: Tape, end: int | None) -> int:
    """Time of the last whole packet at or before a time."""
    data = tape.data
    stop = len(tape) if end is None else int(np.searchsorted(data.ts, end, side="right"))
    while stop > 0 and not data.flags[stop - 1] & PACKET_END:
        stop -= 1
    if stop == 0:
        raise UsageError(f"end must be after the tape's start {iso(tape.start_ns)}")
    return int(data.ts[stop - 1])

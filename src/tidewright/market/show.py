"""A summary of a tape: what is on it, from where, and what its market was like."""

from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market import codes
from tidewright.market.clock import MINUTE, SECOND, iso
from tidewright.market.tape import Columns, Tape
from tidewright.market.touch import LOCKED, STATE_NAMES, WHOLE, Touches, touches

_QUANTILES: Final = {"p1": 0.01, "p10": 0.1, "median": 0.5, "p90": 0.9, "p99": 0.99}


def summarize(tape: Tape) -> dict[str, Any]:
    """Figures of a tape as plain values; prices and quantities are decimal texts.

    ``spread`` is weighted by time over the whole, unlocked book; ``volatility_day_percent`` is the standard deviation
    of log returns of the mid a minute, times the root of 1,440 minutes.
    """
    data, instrument = tape.data, tape.instrument
    span = (tape.end_ns - tape.start_ns) / SECOND
    packets = int(np.count_nonzero(data.flags & codes.PACKET_END))
    summary: dict[str, Any] = {
        "path": str(tape.path),
        "instrument": {
            "venue": instrument.venue,
            "symbol": instrument.symbol,
            "kind": instrument.kind,
            "tick_size": instrument.tick_size,
            "lot_size": instrument.lot_size,
        },
        "detail": tape.meta.get("detail", ""),
        "source": tape.meta.get("source", ""),
        "start": iso(tape.start_ns) if len(tape) else None,
        "end": iso(tape.end_ns) if len(tape) else None,
        "seconds": round(span, 3),
        "rows": len(tape),
        "packets": packets,
        "packets_per_second": round(packets / span, 3) if span else 0.0,
        "rows_by_kind": {
            name: count for code, name in enumerate(codes.KIND_NAMES) if (count := int(np.sum(data.kind == code)))
        },
    }
    book = touches(data)
    summary["book"] = _book(tape, book)
    summary["mid"] = _mid(tape, book)
    summary["spread"] = _spread(tape, book)
    summary["trades"] = _trades(tape)
    summary["notes"] = tape.meta.get("notes", {})
    return summary


def _book(tape: Tape, book: Touches) -> dict[str, float]:
    """Share of the time in each state."""
    seconds = _durations(tape.data, book)
    total = float(seconds.sum())
    return {
        name: round(float(seconds[book.state == code].sum()) / total, 6) if total else 0.0
        for code, name in enumerate(STATE_NAMES)
    }


def _durations(data: Columns, book: Touches) -> npt.NDArray[np.float64]:
    times = data.ts[book.row]
    return np.append(np.diff(times), 0) / SECOND if len(times) else np.zeros(0)


def _mid(tape: Tape, book: Touches) -> dict[str, Any] | None:
    good = (book.state == WHOLE) | (book.state == LOCKED)
    if not good.any():
        return None
    twice = (book.bid + book.ask)[good]
    times = tape.data.ts[book.row[good]]
    minutes = np.arange(times[0], times[-1] + 1, MINUTE)
    logs = np.log(twice[np.searchsorted(times, minutes, "right") - 1])
    volatility = float(np.std(np.diff(logs)) * np.sqrt(1_440) * 100) if len(logs) > 2 else None
    return {
        "first": _half_ticks(tape, int(twice[0])),
        "last": _half_ticks(tape, int(twice[-1])),
        "low": _half_ticks(tape, int(twice.min())),
        "high": _half_ticks(tape, int(twice.max())),
        "volatility_day_percent": None if volatility is None else round(volatility, 3),
    }


def _half_ticks(tape: Tape, twice: int) -> str:
    """Decimal text of a price given in half ticks."""
    if twice % 2 == 0:
        return tape.instrument.price_text(twice // 2)
    return format(Decimal(twice) * Decimal(tape.instrument.tick_size) / 2, "f")


def _spread(tape: Tape, book: Touches) -> dict[str, Any] | None:
    """Quantiles over time, as price and in basis points of the mid."""
    seconds = _durations(tape.data, book)
    good = (book.state == WHOLE) & (seconds > 0)
    if not good.any():
        return None
    ticks = (book.ask - book.bid)[good]
    points = 2e4 * ticks / (book.ask + book.bid)[good]
    return {
        "price": {
            name: tape.instrument.price_text(int(value)) for name, value in _quantiles(ticks, seconds[good]).items()
        },
        "basis_points": {name: round(float(v), 3) for name, v in _quantiles(points, seconds[good]).items()},
    }


def _quantiles(values: npt.NDArray[Any], weights: npt.NDArray[np.float64]) -> dict[str, float]:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, np.array(list(_QUANTILES.values())) * reached[-1])
    return dict(zip(_QUANTILES, values[order][at], strict=True))


def _trades(tape: Tape) -> dict[str, Any]:
    data, instrument = tape.data, tape.instrument
    rows = np.flatnonzero((data.kind >= codes.TRADE_BUY) & (data.kind <= codes.TRADE_UNKNOWN))
    if not len(rows):
        return {"count": 0}
    price, qty, kind = data.price[rows], data.qty[rows], data.kind[rows]
    turnover = float(np.sum(price.astype(np.float64) * qty)) * float(instrument.tick * instrument.lot)
    sizes = np.quantile(qty, (0.5, 0.99), method="lower")
    return {
        "count": len(rows),
        "buys": int(np.sum(kind == codes.TRADE_BUY)),
        "sells": int(np.sum(kind == codes.TRADE_SELL)),
        "unknown": int(np.sum(kind == codes.TRADE_UNKNOWN)),
        "first": instrument.price_text(int(price[0])),
        "last": instrument.price_text(int(price[-1])),
        "low": instrument.price_text(int(price.min())),
        "high": instrument.price_text(int(price.max())),
        "volume": instrument.qty_text(int(qty.sum())),
        "turnover": round(turnover, 2),
        "size_median": instrument.qty_text(int(sizes[0])),
        "size_p99": instrument.qty_text(int(sizes[1])),
    }

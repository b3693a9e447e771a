"""What a stress test is done to: the present book of a session, or holdings written in a file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from tidewright.interface.session_report import find_database
from tidewright.market.clock import DAY
from tidewright.market.codes import BUY, TRADE_BUY, TRADE_UNKNOWN
from tidewright.market.errors import DataError, UsageError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Tape
from tidewright.risk.limits import Limits
from tidewright.risk.liquidity import Levels, Liquidity
from tidewright.risk.stress import Position
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.trading.book import Book
from tidewright.trading.ledger import Ledger, LedgerState

_DEPTH: Final = 500
_ROWS: Final = 2_000_000  # newest rows of a tape that a book is built from


@dataclass(frozen=True, slots=True)
class Present:
    """A book to be stressed.

    Attributes
    ----------
    source
        Where it comes from, for people.
    limits
        Of the session; ``None``: not known.
    """

    source: str
    positions: list[Position]
    equity: float
    limits: Limits | None


def of_session(path: Path | None) -> Present:
    """The newest state of a session: inventory since its start, open orders, and its tape's newest book.

    Raises
    ------
    NotFoundError
        If there is no session.
    DataError
        If it has never had an equity.
    """
    file = find_database(path)
    database = Database(file, readonly=True)
    try:
        sessions = database.sessions()
        if not sessions:
            raise DataError(f"{file} holds no session")
        head = sessions[-1]
        name = head["session"]
        equity = database.rows(schema.equity, name)
        fills, orders = database.rows(schema.fills, name), database.open_orders(name)
    finally:
        database.close()
    if not equity:
        raise DataError(f"the session in {file} has not begun to trade: there is no equity yet")
    instrument = Instrument.from_json(orjson.loads(head["instrument"]))
    settings: dict[str, Any] = orjson.loads(head["settings"] or "{}")
    ledger = Ledger(instrument, LedgerState(head["start_base"], head["start_quote"]))
    for fill in fills:
        ledger.book(fill["side"], fill["price_ticks"], fill["qty_lots"], fill["fee_units"], fill["fee_asset"])
    lot, tick = float(instrument.lot), float(instrument.tick)
    newest = equity[-1]
    mids = np.array([row["mid2_ticks"] for row in equity], np.float64)
    market = _market(file.parent / str(settings.get("tape", "tape")), instrument, newest["mid2_ticks"], mids, settings)
    left = {
        side: sum(o["qty_lots"] - o["filled_lots"] for o in orders if o["side"] == side) * lot
        for side in (BUY, 1 - BUY)
    }
    position = Position(
        instrument.base,
        ledger.net_position_lots * lot,
        market,
        float(ledger.entry_price_ticks) * tick,
        left[BUY],
        left[1 - BUY],
    )
    known = {field.name for field in fields(Limits)}
    limits = Limits(**{k: v for k, v in dict(settings.get("limits") or {}).items() if k in known})
    return Present(f"session {name}", [position], newest["equity_units"] / 1e8, limits)


def of_holdings(data: Mapping[str, Any], limits: Limits | None) -> Present:
    """Holdings of a file: ``equity`` and tables ``[[holding]]`` with ``asset, quantity, price, daily_volume,
    daily_volatility`` and, if wanted, ``entry_price``, ``spread`` (fraction of the price), ``taker_fee``.

    Raises
    ------
    UsageError
        If a key is missing, unknown or out of range.
    """
    needed = ("asset", "quantity", "price", "daily_volume", "daily_volatility")
    known = (*needed, "entry_price", "spread", "taker_fee")
    entries, equity = data.get("holding"), data.get("equity")
    if not isinstance(entries, list) or not isinstance(equity, int | float) or isinstance(equity, bool):
        raise UsageError("a file of holdings needs `equity = NUMBER` and [[holding]] tables")
    positions = []
    for number, entry in enumerate(entries, 1):
        missing = [key for key in needed if key not in entry]
        unknown = [key for key in entry if key not in known]
        if missing or unknown:
            wrong = f"missing {', '.join(missing)}" if missing else f"unknown {', '.join(unknown)}"
            raise UsageError(f"holding {number}: {wrong}; keys are {', '.join(known)}")
        for key in known[1:]:
            value = entry.get(key, 0.0)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"holding {number}: {key} must be a number, was {value!r}")
        price, half = float(entry["price"]), float(entry.get("spread", 0.0)) / 2.0
        if not price > 0 or not 0 <= half < 1:
            raise UsageError(f"holding {number}: price must be > 0 and spread from 0 to 2, were {price}, {2 * half}")
        # Without a book the spread is a level that holds a hundredth of the day's volume.
        depth = np.array([0.01 * float(entry["daily_volume"])])
        market = Liquidity(
            float(entry["daily_volume"]),
            float(entry["daily_volatility"]),
            price,
            Levels(np.array([price * (1 - half)]), depth),
            Levels(np.array([price * (1 + half)]), depth),
            float(entry.get("taker_fee", 0.0)),
        )
        positions.append(
            Position(str(entry["asset"]), float(entry["quantity"]), market, float(entry.get("entry_price", 0.0)))
        )
    return Present("holdings of a file", positions, float(equity), limits)


def _market(tape: Path, instrument: Instrument, mid2: int, mids: np.ndarray, settings: Mapping[str, Any]) -> Liquidity:
    lot, tick = float(instrument.lot), float(instrument.tick)
    cycle_ns = int(settings.get("cycle_ns") or 30_000_000_000)
    changes = np.diff(np.log(mids)) if len(mids) > 2 else np.zeros(1)
    deviation = float(changes.std()) * math.sqrt(DAY / cycle_ns)
    bids = asks = None
    volume = 0.0
    if (tape / "meta.json").is_file():
        recorded = Tape.open(tape)
        first = max(0, len(recorded) - _ROWS)
        data = recorded.data.rows(first, len(recorded))
        book = Book()
        book.apply(data)
        levels = book.levels(_DEPTH)
        bids, asks = (_levels(side, tick, lot) for side in levels)
        trades = (data.kind >= TRADE_BUY) & (data.kind <= TRADE_UNKNOWN)
        span = int(data.ts[-1]) - int(data.ts[0]) if len(data.ts) else 0
        volume = float(data.qty[trades].sum()) * lot * DAY / span if span > 0 else 0.0
    return Liquidity(volume, deviation, mid2 * 0.5 * tick, bids, asks, instrument.taker_fee / 1e8)


def _levels(rows: list[tuple[int, int]], tick: float, lot: float) -> Levels | None:
    if not rows:
        return None
    table = np.array(rows, np.float64)
    return Levels(table[:, 0] * tick, table[:, 1] * lot)

"""The first pass over a Binance capture: every value of every message is checked, and what the tape needs is measured.

What is wrong is known here by file and line. The second pass cannot say so any more: updates wait for their snapshot
and are decoded when it comes, many lines later.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tidewright.market.binance_stream import venue_ns
from tidewright.market.errors import DataError
from tidewright.market.fixed_point import MOST_STEPS, FixedPoint, plain_parts
from tidewright.market.importers.contracts import is_coin_margined
from tidewright.market.importers.raw_lines import Line, read_lines
from tidewright.market.importers.report import EARLIEST, LATEST, Progress, part_of
from tidewright.market.importers.steps import LOT_SHARE, MOST_LOT_DECIMALS, MOST_PRICE_DECIMALS
from tidewright.market.instrument import Kind

_REMEMBERED: Final = 1 << 18  # texts of each sort
_HIGHEST: Final = Decimal(10**15)
_HIGHEST_RATE: Final = 1_000
_MOST_ID: Final = 1 << 63
_ZERO: Final = re.compile(r"0+(\.0*)?")


class _Texts(dict[str, int]):
    """Decimals of the prices or quantities of a capture; a text is checked when it is first seen.

    Parameters
    ----------
    what
        What they are, for messages.
    positive
        Whether 0 is refused.
    most_decimals
        More are refused; ``None``: any number.
    step
        The step that a price has to be a multiple of, if it was given.
    """

    def __init__(self, what: str, *, positive: bool, most_decimals: int | None = None, step: str | None = None) -> None:
        super().__init__()
        self.what, self.place = what, ""  # the place of the line that is being read
        self.highest, self.highest_place = Decimal(0), ""
        self._positive, self._most_decimals = positive, most_decimals
        self._steps = None if step is None else FixedPoint(step, what, "tick size")

    def __missing__(self, text: str) -> int:
        _, fraction = plain_parts(text, self.what)
        value, decimals = Decimal(text), len(fraction)
        if self._positive and not value:
            raise DataError(f"{self.what} must be > 0, was {text!r}")
        if self._most_decimals is not None and decimals > self._most_decimals:
            raise DataError(f"{self.what} must have at most {self._most_decimals} decimals, was {text!r}")
        if value >= _HIGHEST:
            raise DataError(f"{self.what} must be under 1e15, was {text!r}")
        if self._steps is not None:
            self._steps[text]
        if value > self.highest:
            self.highest, self.highest_place = value, self.place
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = decimals
        return decimals

    def require_room(self, step: str) -> None:
        """Refuse the highest value if it is too many steps for the tape's whole numbers."""
        if self.highest / Decimal(step) >= MOST_STEPS:
            raise DataError(
                f"{self.highest_place}: {self.what} must be under {MOST_STEPS:,} steps of {step}, was {self.highest:f}"
            )


@dataclass
class Survey:
    """What the first pass found.

    Parameters
    ----------
    symbol
        Whose messages are taken, where it was chosen.
    tick_size
        The tick that prices have to be a multiple of, where it was given.

    Attributes
    ----------
    symbols, kinds
        How many messages there are of each symbol, and of each kind of the ones taken.
    snapshots
        How many REST snapshots there are.
    futures
        Whether messages are those of futures.
    first_ts
        Venue time of the first message that has one, ns.
    receipts, times
        Receipt and venue time of the messages that have both, ns.
    """

    symbol: str | None = None
    tick_size: str | None = None
    symbols: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    snapshots: int = 0
    futures: bool = False
    first_ts: int = 0
    receipts: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._prices = _Texts("price", positive=True, most_decimals=MOST_PRICE_DECIMALS, step=self.tick_size)
        self._marks = _Texts("mark price", positive=True)
        self._quantities = _Texts("quantity", positive=False)
        self._price_decimals = 0
        self._quantity_decimals: Counter[int] = Counter()
        self._without_previous = ""

    def read(self, paths: Sequence[Path], progress: Progress | None) -> None:
        """Read the files.

        Raises
        ------
        DataError
            If a value breaks its rule (names file and line), several symbols were found and none was chosen, or nothing
            can be used.
        """
        for i, path in enumerate(paths):
            for line in read_lines(path, part_of(progress, i, 2 * len(paths))):
                self._prices.place = self._marks.place = self._quantities.place = place = f"{path}, line {line.number}"
                try:
                    self._add(line, place)
                except DataError as error:
                    raise DataError(f"{place}: {error}") from None
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    problem = f"lacks {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
                    raise DataError(f"{place}: not a Binance message ({problem}): {line.payload!r:.300}") from None
        self._require_one(paths)

    def _require_one(self, paths: Sequence[Path]) -> None:
        names = sorted(self.symbols)
        if self.symbol is None and len(names) > 1:
            raise DataError(f"the capture holds several symbols ({', '.join(names)}): choose one")
        if self.symbol is not None and self.symbol not in self.symbols:
            raise DataError(f"the capture holds no message of {self.symbol}, only of {', '.join(names) or 'none'}")
        if len(names) > 1 and self.snapshots:
            raise DataError(f"snapshots name no symbol, so a capture of several ({', '.join(names)}) cannot have any")
        if not self.times:
            raise DataError(f"no depth update or trade in {', '.join(map(str, paths))}")
        self.first_ts = self.times[0]

    # -- messages -----------------------------------------------------------------------------------------------------

    def _add(self, line: Line, place: str) -> None:
        payload = line.payload
        if line.is_snapshot:
            self.snapshots += 1
            _whole(payload, "lastUpdateId")
            if "T" in payload:
                _time(payload, "T")
            self._levels(payload["bids"])
            self._levels(payload["asks"])
            return
        if "s" not in payload:
            self.kinds["other"] += 1
            return
        name, kind = _text(payload, "s"), _text(payload, "e") if "e" in payload else "bookTicker"
        self.symbols[name] += 1
        if self.symbol is not None and name != self.symbol:
            return
        self.kinds[kind] += 1
        self.futures = self.futures or "pu" in payload or "X" in payload or "ps" in payload
        if kind == "depthUpdate":
            self._depth(payload, place)
        elif kind in ("trade", "aggTrade"):
            if payload.get("X", "MARKET") != "MARKET":
                return  # the futures' other prints come with price 0 at times
            self._trade(payload, "t" if kind == "trade" else "a")
        elif kind == "bookTicker":
            self._ticker(payload)
            if not self.futures:
                return
        elif kind == "markPriceUpdate":
            self._mark(payload)
        if "E" in payload:
            self.receipts.append(line.ts_local)
            self.times.append(venue_ns(_time(payload, "E")))

    def _depth(self, payload: Mapping[str, Any], place: str) -> None:
        for name in ("U", "u", "pu"):
            if name in payload or name != "pu":
                _whole(payload, name)
        if "pu" not in payload:
            self._without_previous = self._without_previous or place
        _time(payload, "E")
        if "T" in payload:
            _time(payload, "T")
        self._levels(payload["b"])
        self._levels(payload["a"])

    def _trade(self, payload: Mapping[str, Any], number: str) -> None:
        _whole(payload, number)
        _time(payload, "T")
        if not isinstance(payload["m"], bool):
            raise DataError(f"m must be true or false, was {payload['m']!r}")
        self._levels([(payload["p"], payload["q"])])

    def _ticker(self, payload: Mapping[str, Any]) -> None:
        _whole(payload, "u")
        for name in ("E", "T"):
            if name in payload:
                _time(payload, name)
        sides = [(payload["b"], payload["B"]), (payload["a"], payload["A"])]
        self._levels(side for side in sides if not all(_is_zero(text) for text in side))  # 0 and 0: an empty side

    def _mark(self, payload: Mapping[str, Any]) -> None:
        _time(payload, "E")
        self._marks[payload["p"]]
        if payload.get("r"):
            rate = _text(payload, "r")
            plain_parts(rate.removeprefix("-"), "funding rate")
            if abs(Decimal(rate)) >= _HIGHEST_RATE:
                raise DataError(f"funding rate must be under {_HIGHEST_RATE}, was {rate!r:.80}")
        if payload.get("T"):
            _time(payload, "T")

    def _levels(self, levels: Iterable[Any]) -> None:
        for level in levels:
            if len(level) != 2:
                raise DataError(f"a level must be a price and a quantity, was {level!r:.80}")
            price, quantity = level
            self._price_decimals = max(self._price_decimals, self._prices[price])
            self._quantity_decimals[self._quantities[quantity]] += 1

    # -- conclusions --------------------------------------------------------------------------------------------------

    @property
    def price_decimals(self) -> int:
        """The finest decimal of the prices."""
        return self._price_decimals

    def concluded_kind(self, symbol: str) -> Kind:
        """Kind of the instrument, by its symbol and messages."""
        if is_coin_margined(symbol):
            return "inverse"
        return "linear" if self.futures else "spot"

    def lot_decimals(self) -> int:
        """Decimals that fit nearly all quantities: old orders may be finer than today's lot."""
        need, seen = LOT_SHARE * self._quantity_decimals.total(), 0
        for decimals in sorted(self._quantity_decimals):
            seen += self._quantity_decimals[decimals]
            if seen >= need:
                return min(decimals, MOST_LOT_DECIMALS)
        return 0

    def require(self, kind: Kind, tick_size: str, lot_size: str) -> None:
        """Check what could only be judged once kind and steps were known.

        Raises
        ------
        DataError
            Names file and line.
        """
        if kind != "spot" and self._without_previous:
            raise DataError(f"{self._without_previous}: a futures' depth update must have pu, the id of the one before")
        self._prices.require_room(tick_size)
        self._marks.require_room(tick_size)
        self._quantities.require_room(lot_size)


def _whole(payload: Mapping[str, Any], name: str) -> int:
    value = payload[name]
    if type(value) is not int or not 0 <= value < _MOST_ID:  # True is an int too
        raise DataError(f"{name} must be a whole number >= 0, was {value!r:.80}")
    return value


def _time(payload: Mapping[str, Any], name: str) -> int:
    value = _whole(payload, name)
    if not EARLIEST <= venue_ns(value) < LATEST:
        raise DataError(f"{name} must be a time between 2009 and 2100 in ms, µs or ns, was {value}")
    return value


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload[name]
    if not isinstance(value, str) or not value:
        raise DataError(f"{name} must be a text, was {value!r:.80}")
    return value


def _is_zero(text: Any) -> bool:
    return isinstance(text, str) and _ZERO.fullmatch(text) is not None

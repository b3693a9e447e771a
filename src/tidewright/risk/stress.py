"""What a crisis would cost the present book and portfolio: analytic revaluation and the cost of leaving afterwards.

The moves of past crises are those of news-grade sources (the prices a reader can look up); what happened to depth and
spread on those days was not published for a whole market, so the factors on them are assumptions, stated in each shock.
Whole tapes in the engine are :mod:`tidewright.engine.stress`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.market.clock import DAY, parse_duration
from tidewright.market.errors import UsageError
from tidewright.risk import liquidity
from tidewright.risk.limits import Limits
from tidewright.risk.liquidity import Levels, Liquidity

OTHERS: Final = "others"
_WORST: Final = 2.326348  # normal deviations of the move while nothing can be done: 99 %


@dataclass(frozen=True, slots=True)
class Shock:
    """A scenario for a revaluation.

    Attributes
    ----------
    moves
        Price move by base asset, fraction (-0.5: halved); ``others`` for every one not named.
    depth
        Factor on the quantities of the book, over 0 to 1.
    spread
        Factor on the distance of its levels from the mid, >= 1.
    one_sided
        Whether all open orders on the losing side fill before the move is over.
    outage_ns
        How long nothing can be done once the move is over: the price wanders on against the position.
    stale_mark
        Whether the venue's mark stands still, so that limits on equity see the loss only afterwards.
    source
        Where the moves come from.
    """

    name: str
    about: str
    moves: Mapping[str, float] = field(default_factory=dict)
    depth: float = 1.0
    spread: float = 1.0
    one_sided: bool = False
    outage_ns: int = 0
    stale_mark: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        for asset, move in self.moves.items():
            if isinstance(move, bool) or not isinstance(move, int | float) or not -1 < move < math.inf:
                raise UsageError(f"scenario {self.name}: the move of {asset} must be over -1, was {move!r}")
        if not 0 < self.depth <= 1:
            raise UsageError(f"scenario {self.name}: depth must be over 0 to 1, was {self.depth}")
        if not 1 <= self.spread < math.inf:
            raise UsageError(f"scenario {self.name}: spread must be 1 or more, was {self.spread}")
        if self.outage_ns < 0:
            raise UsageError(f"scenario {self.name}: outage must be 0 or more, was {self.outage_ns} ns")

    def move(self, asset: str) -> float:
        """The move of an asset."""
        return self.moves.get(asset, self.moves.get(OTHERS, 0.0))


CRISES: Final = {
    one.name: one
    for one in (
        Shock(
            "2020-03-12",
            "Covid: -51 % in a day, the largest derivatives venue offline",
            {"BTC": -0.514, "ETH": 88 / 288 - 1, OTHERS: 88 / 288 - 1},
            depth=0.15,
            spread=20,
            one_sided=True,
            outage_ns=25 * 60_000_000_000,
            source="BTC 8,000 to 3,782, ETH 288 to 88; depth, spread and 25 min of outage assumed",
        ),
        Shock(
            "2021-05-19",
            "leveraged longs: 8 to 10 bn liquidated",
            {"BTC": -0.30, "ETH": -0.40, OTHERS: -0.40},
            depth=0.15,
            spread=15,
            one_sided=True,
            source="BTC 43,000 to 30,000, ETH over -40 %; depth and spread assumed",
        ),
        Shock(
            "2022-11",
            "FTX: a week's fall",
            {"BTC": -0.26, "FTT": -0.95, OTHERS: -0.35},
            depth=0.3,
            spread=5,
            source="BTC 21,000 to 15,500, FTT over -95 %; others, depth and spread assumed",
        ),
        Shock(
            "2024-08-05",
            "carry trade: five hours down",
            {"BTC": -0.17, "ETH": -0.22, OTHERS: -0.22},
            depth=0.3,
            spread=5,
            one_sided=True,
            source="BTC 58,350 to 49,513 (-15 to -17 %), ETH -18 to -22 %; depth and spread assumed",
        ),
        Shock(
            "2025-10-10",
            "19 bn liquidated in hours, frozen screens, only bids filled",
            {"BTC": -0.15, "ETH": -0.16, "SOL": -0.31, OTHERS: -0.47},
            depth=0.1,
            spread=20,
            one_sided=True,
            outage_ns=10 * 60_000_000_000,
            stale_mark=True,
            source="BTC 122,000 to under 107,000 (15 % in the day), SOL -31 %, average token -47 %; the rest assumed",
        ),
    )
}

GENERIC: Final = {
    one.name: one
    for one in (
        Shock("price-jump-down", "one step down", {OTHERS: -0.10}, source="assumed"),
        Shock("price-jump-up", "one step up", {OTHERS: 0.10}, source="assumed"),
        Shock("one-sided-flow", "a slow fall that fills every bid", {OTHERS: -0.04}, one_sided=True, source="assumed"),
        Shock("spread-x10", "ten times the spread", spread=10, source="assumed"),
        Shock("spread-x50", "fifty times the spread", spread=50, source="assumed"),
        Shock("depth-90", "a tenth of the depth", depth=0.1, source="assumed"),
        Shock("outage", "an hour in which nothing can be done", outage_ns=60 * 60_000_000_000, source="assumed"),
        Shock("stale-mark", "a fall that the venue's mark does not show", {OTHERS: -0.10}, stale_mark=True,
              source="assumed"),
    )
}  # fmt: skip
SHOCKS: Final = {**CRISES, **GENERIC}


@dataclass(frozen=True, slots=True)
class Position:
    """One instrument of a book.

    Attributes
    ----------
    asset
        The base asset, for the scenario's moves.
    quantity
        Base units with sign.
    entry_price
        Average entry, quote; 0: not known, and then no stop loss is asked.
    open_bids, open_asks
        Base units that open orders would buy and sell.
    market
        Its liquidity before the shock.
    """

    asset: str
    quantity: float
    market: Liquidity
    entry_price: float = 0.0
    open_bids: float = 0.0
    open_asks: float = 0.0


class Outcome(NamedTuple):
    """What a shock does.

    Attributes
    ----------
    revaluation, outage, unwind
        Loss by the move itself, by what follows while nothing can be done, and by leaving afterwards, quote.
    loss, loss_share
        Their sum, quote, and its share of equity.
    flatten_ns
        Time to leave everything, outage included; 2**62: cannot be left.
    fired
        Limits that the loss and the position breach, in the order of :class:`tidewright.risk.limits.Limits`.
    unseen
        Loss that limits on equity see only after the event (stale mark, outage), quote.
    """

    shock: str
    revaluation: float
    outage: float
    unwind: float
    loss: float
    loss_share: float
    flatten_ns: int
    fired: tuple[str, ...]
    unseen: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self._asdict(), "fired": list(self.fired)}


def revalue(shock: Shock, book: Sequence[Position], equity: float, limits: Limits | None = None) -> Outcome:
    """Loss of a book in a shock, the cost of leaving it then, and the limits it breaches.

    Raises
    ------
    UsageError
        If the equity is not > 0.
    """
    if not equity > 0:
        raise UsageError(f"a stress test needs equity > 0, was {equity}")
    moved = outage = unwind = exposure = 0.0
    flatten_ns, stopped = 0, False
    for position in book:
        move, mid = shock.move(position.asset), position.market.mid
        quantity = position.quantity
        hit = position.open_bids if move < 0 else position.open_asks
        if shock.one_sided and move:
            # Orders on the losing side fill on the way, on average halfway to the end of the move.
            signed = hit if move < 0 else -hit
            moved -= signed * mid * move / 2.0
            quantity += signed
        moved -= position.quantity * mid * move
        after = mid * (1.0 + move)
        exposure += abs(quantity) * after
        wander = _WORST * position.market.daily_deviation * math.sqrt(shock.outage_ns / DAY)
        outage += abs(quantity) * after * min(1.0, wander)
        left = liquidity.unwind(quantity, _shocked(position.market, shock, after))
        unwind += left.amount
        flatten_ns = max(flatten_ns, min(liquidity.NEVER, left.time_ns + shock.outage_ns) if quantity else 0)
        if position.entry_price > 0 and quantity:
            change = after / position.entry_price - 1.0
            against = -change if quantity > 0 else change
            stopped |= limits is not None and limits.stop_loss is not None and against > limits.stop_loss
    loss = moved + outage + unwind
    fired = _fired(limits, loss / equity, exposure, equity - moved, stopped)
    unseen = max(0.0, moved if shock.stale_mark else 0.0) + (outage if shock.outage_ns else 0.0)
    return Outcome(shock.name, moved, outage, unwind, loss, loss / equity, flatten_ns, fired, unseen)


def _fired(limits: Limits | None, share: float, exposure: float, equity: float, stopped: bool) -> tuple[str, ...]:
    if limits is None:
        return ()
    most, daily, fall = limits.max_position_share, limits.daily_loss, limits.drawdown
    found = (
        ("max_position_share", most is not None and exposure > most * max(0.0, equity) * (1.0 + 1e-9)),
        ("stop_loss", stopped),
        ("daily_loss", daily is not None and share > daily),
        ("drawdown", fall is not None and share > fall),
    )
    return tuple(name for name, yes in found if yes)


def _shocked(market: Liquidity, shock: Shock, mid: float) -> Liquidity:
    def moved(levels: Levels | None) -> Levels | None:
        if levels is None:
            return None
        away = np.clip((levels.price / market.mid - 1.0) * shock.spread, -0.999, None)
        return Levels(mid * (1.0 + away), levels.quantity * shock.depth)

    # Volume rises in a crisis, but so does everybody's wish to leave: the usual volume stays the measure.
    return replace(market, mid=mid, bids=moved(market.bids), asks=moved(market.asks))


def read_scenarios(data: Mapping[str, Any]) -> list[Shock]:
    """Scenarios of a user's file: tables ``[[scenario]]`` of a TOML.

    Keys: ``name``; ``move`` (a number, or a table by base asset with ``others``); ``depth``; ``spread``; ``one_sided``;
    ``outage`` (a duration); ``stale_mark``; ``about``.

    Raises
    ------
    UsageError
        If a key is unknown or a value out of range.
    """
    unknown = set(data) - {"scenario"}
    if unknown or not isinstance(data.get("scenario"), list):
        raise UsageError(f"a file of scenarios holds [[scenario]] tables, had {', '.join(sorted(data)) or 'nothing'}")
    return [_scenario(number, entry) for number, entry in enumerate(data["scenario"], 1)]


def _scenario(number: int, entry: Any) -> Shock:
    known = {"name", "about", "move", "depth", "spread", "one_sided", "outage", "stale_mark"}
    if not isinstance(entry, dict) or set(entry) - known:
        wrong = ", ".join(sorted(set(entry) - known)) if isinstance(entry, dict) else repr(entry)
        raise UsageError(f"scenario {number}: unknown {wrong}; known: {', '.join(sorted(known))}")
    name = str(entry.get("name", f"scenario-{number}"))
    for key in ("one_sided", "stale_mark"):
        if not isinstance(entry.get(key, False), bool):
            raise UsageError(f"scenario {name}: {key} must be true or false, was {entry[key]!r}")
    for key in ("depth", "spread"):
        value = entry.get(key, 1.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"scenario {name}: {key} must be a number, was {value!r}")
    move = entry.get("move", 0.0)
    return Shock(
        name,
        str(entry.get("about", "")),
        dict(move) if isinstance(move, dict) else {OTHERS: move},
        float(entry.get("depth", 1.0)),
        float(entry.get("spread", 1.0)),
        entry.get("one_sided", False),
        parse_duration(entry["outage"]) if "outage" in entry else 0,
        entry.get("stale_mark", False),
        "a user's scenario",
    )


def describe(shock: Shock) -> dict[str, Any]:
    """Plain values of a shock."""
    return {**asdict(shock), "moves": dict(shock.moves)}

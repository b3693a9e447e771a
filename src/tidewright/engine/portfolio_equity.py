"""The equity of a portfolio from those of its instruments, and the sums that its figures come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.engine.portfolio_plan import Money
from tidewright.engine.statistics import curve_sums
from tidewright.market.instrument import Instrument
from tidewright.market.tape import F64

Stats = dict[str, npt.NDArray[Any]]

_COUNTS: Final = (
    "n_orders",
    "n_cancels",
    "n_fills",
    "n_rejects",
    "n_limited",
    "n_buys",
    "n_sells",
    "n_closed",
    "n_wins",
)
_MONEY: Final = ("volume_quote", "fees_quote", "fees_value", "funding", "sum_closed", "sum_win", "sum_loss")
_OF_ONE: Final = ("max_abs_position_lots", "time_in_position_ns", "position_lots", "fees_base", "fees_other")


@dataclass(frozen=True, slots=True)
class Part:
    """What one instrument adds to a portfolio.

    Attributes
    ----------
    instrument
        What was traded.
    cash
        Quote balance at the start, which the instruments quoted in that asset share: their own equities each count it.
    """

    instrument: Instrument
    cash: float


def together(parts: Sequence[Part], money: Money, values: Sequence[F64]) -> F64:
    """Equity of the portfolio: of every quote asset its cash once, and what each instrument made of it.

    The first instrument of an asset brings its equity, every further one what its equity is beyond the shared cash; so
    that of a single instrument is its own, to the last bit.

    Parameters
    ----------
    values
        Own equity of each part in its quote asset, arrays of one shape.
    """
    totals: dict[str, F64] = {}
    for part, value in zip(parts, values, strict=True):
        asset = part.instrument.quote
        totals[asset] = value if asset not in totals else totals[asset] + (value - part.cash)
    result: F64 | None = None
    for asset, total in totals.items():
        rate = money.rate(asset)
        counted = total if rate == 1.0 else total * rate
        result = counted if result is None else result + counted
    assert result is not None
    return result


def portfolio_statistics(parts: Sequence[Part], money: Money, stats: Sequence[Stats], curve: F64, start: F64) -> Stats:
    """Sums of a portfolio as :mod:`tidewright.engine.statistics` has them of a lane.

    Closed trades are those of the instruments. What cannot be added up (lots and commissions of different bases, time
    in a position) is NaN, unless there is one instrument.

    Parameters
    ----------
    stats
        Sums of each part.
    curve, start
        Equity of the portfolio: at every sample (n, lanes), and before the first.
    """
    rates = [money.rate(part.instrument.quote) for part in parts]
    first = stats[0]
    total: Stats = {"n_samples": first["n_samples"], **curve_sums(start, curve), "span_ns": first["span_ns"]}
    for name in _COUNTS:
        total[name] = _sum([one[name] for one in stats])
    for name in _MONEY:
        total[name] = _sum([_times(one[name], rate) for one, rate in zip(stats, rates, strict=True)])
    total["sum_closed_sq"] = _sum(
        [_times(one["sum_closed_sq"], rate * rate) for one, rate in zip(stats, rates, strict=True)]
    )
    total["sum_duration_ns"] = _sum([one["sum_duration_ns"] for one in stats])
    for name in _OF_ONE:
        total[name] = first[name] if len(stats) == 1 else np.full(len(start), np.nan)
    if len({part.instrument.base for part in parts}) == 1:
        total["fees_base"] = _sum([one["fees_base"] for one in stats])
    return total


def _sum(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    result = arrays[0]
    for array in arrays[1:]:
        result = result + array
    return result


def _times(array: npt.NDArray[Any], rate: float) -> npt.NDArray[Any]:
    return array if rate == 1.0 else array * rate


def own_statistics(stats: Mapping[str, npt.NDArray[Any]], start: F64, curve: F64) -> Stats:
    """An instrument's sums with those over its equity samples from its own curve."""
    return {**stats, **curve_sums(start, curve)}

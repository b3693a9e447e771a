"""How much is quoted where nobody said: sizes that the venue's filters let pass, and why others do not."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from tidewright.market.instrument import Instrument, units_text
from tidewright.market.order_size import least_lots
from tidewright.market.tape import Columns, Tape
from tidewright.measure.mids import tape_mids
from tidewright.strategies.registry import Strategy

AS_GIVEN: Final = "as given, else the strategy's defaults"
BY_CAPITAL: Final = "a share of the capital, as the policy learned with"
ORDER_SHARE: Final = 0.0025  # of the capital, in one quote, where the strategy's own size would be refused
ORDERS_HELD: Final = 8  # max_position over base_quantity there
_ROOM: Final = 1.25  # over the least worth: prices fall, and bids stand under the mid
_FIRST_ROWS: Final = 4096


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the filters of an instrument say of a quantity at a price.

    Attributes
    ----------
    mid
        First mid of the tape, quote per base.
    """

    instrument: Instrument
    mid: float

    @classmethod
    def of(cls, tape: Tape) -> Self | None:
        """At the first whole book of a tape; ``None`` if there is none."""
        rows, tick = _FIRST_ROWS, float(tape.instrument.tick)
        while True:
            mids = tape_mids(_frozen(tape.data.rows(0, min(rows, len(tape)))), tick).mid
            if len(mids):
                return cls(tape.instrument, float(mids[0]))
            if rows >= len(tape):
                return None
            rows *= 8

    @property
    def least(self) -> float:
        """Smallest quantity that the filters let pass, whole lots in base units."""
        known = self.instrument
        return least_lots(known, max(1, int(self.mid / float(known.tick)))) * float(known.lot)

    @property
    def enough(self) -> float:
        """Quantity that is let pass with some room, whole lots in base units."""
        return self._lots(self.least * _ROOM)

    def refusal(self, quantity: float) -> str:
        """Why an order of a quantity is refused, the rule and what would be enough; empty: its size is none."""
        if quantity >= self.least:
            return ""
        known, enough = self.instrument, f"base_quantity of {self.enough:.6g} would be enough"
        size = f"base_quantity {quantity:g} {known.base}"
        lots = known.smallest_order[0]
        if quantity + 1e-12 < lots * float(known.lot):
            return f"{size} is under the least quantity of {lots * float(known.lot):g} {known.base} (min_qty); {enough}"
        notional = float(units_text(known.filters.min_notional))
        return (
            f"{size} is worth {quantity * self.mid:.3g} {known.quote} at {self.mid:g}, an order must be worth at least "
            f"{notional:g} {known.quote} (min_notional); {enough}"
        )

    def defaults(self, strategy: Strategy, given: Collection[str], capital: float) -> tuple[dict[str, float], str]:
        """Those defaults of a strategy that :meth:`tradable` replaces, by what, and why.

        Parameters
        ----------
        given
            Names of parameters that somebody stated.
        """
        known = {one.name: one for one in strategy.parameters}
        usual = {name: one.default for name, one in known.items()}
        if "base_quantity" in given:
            return {}, ""
        params, told = self.tradable(usual, given, capital)
        raised = {name: value for name, value in params.items() if value != usual[name]}
        if not all(known[name].low <= value <= known[name].high for name, value in raised.items()):
            return {}, ""  # a strategy of one's own that cannot quote as much: its orders are refused, and that is told
        return raised, told

    def tradable(
        self, params: Mapping[str, float], given: Collection[str], capital: float
    ) -> tuple[dict[str, float], str]:
        """Parameters of a strategy with sizes that can be traded where nobody gave any.

        Where its default ``base_quantity`` would be refused, a quote is worth ``ORDER_SHARE`` of the capital instead,
        or as much as the filters ask for; a default ``max_position`` that is less than one quote holds
        ``ORDERS_HELD``.

        Parameters
        ----------
        params
            All of the strategy's, defaults included.
        given
            Names of those that are to stay as they are.
        capital
            Quote.

        Returns
        -------
        tuple[dict[str, float], str]
            The parameters; and which of them are not the strategy's defaults and why, empty if none.
        """
        params, told = dict(params), []
        if "base_quantity" not in given and (why := self.refusal(params["base_quantity"])):
            params["base_quantity"] = max(self.enough, self._lots(capital * ORDER_SHARE / self.mid))
            told.append(f"base_quantity {params['base_quantity']:g} (the default was not possible: {why})")
        if "max_position" not in given and params.get("max_position", np.inf) < params["base_quantity"]:
            params["max_position"] = self._lots(ORDERS_HELD * params["base_quantity"])
            told.append(f"max_position {params['max_position']:g} (the default is less than one quote)")
        return params, "; ".join(told)

    def _lots(self, quantity: float) -> float:
        lot = float(self.instrument.lot)
        return float(f"{math.ceil(quantity / lot - 1e-9) * lot:.12g}")


def _frozen(data: Columns) -> Columns:
    """The same rows, not to be written to: as those of a tape in a file, for which the kernel is compiled already."""
    views: list[Any] = [np.asarray(column).view() for column in data]
    for view in views:
        view.flags.writeable = False
    return Columns(*views)

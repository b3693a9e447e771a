"""The values of the risk limits; :mod:`tidewright.risk.gate` applies them."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

from tidewright.market.clock import HOUR
from tidewright.market.errors import UsageError

_SWITCHES: Final = ("strict", "flatten")


class LimitValues(NamedTuple):
    """The limits as a kernel takes them: float64 scalars, infinity switches one off; of switches 1 is on, 0 off."""

    max_position_share: float
    stop_loss: float
    daily_loss: float
    volatility_cutoff: float
    drawdown: float
    order_notional: float
    price_collar: float
    orders_per_minute: float
    strict: float
    flatten: float
    flatten_patience: float
    flatten_slices: float
    flatten_collar: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Risk limits, the specification's defaults. ``None`` switches one off.

    Attributes
    ----------
    max_position_share
        Inventory deviation plus open orders of that side, notional over equity; 0.01 is 1 %. A breach *reduces*: quotes
        are cut from the far end.
    stop_loss
        Unrealised loss over the position's entry value; 0.02 is 2 %. A breach *reduces*: nothing that adds to the
        position is quoted.
    daily_loss
        Loss of equity against the equity at the day's start; 0.05 is 5 %. A breach *halts* quoting; with ``strict`` for
        the rest of the day, else until the equity is back above.
    volatility_cutoff
        EWMA deviation of the mid's log return a cycle; 0.01 is 1 % in one cycle. A breach *halts* while it lasts.
    drawdown
        Loss of equity against its highest so far. A breach *halts* until somebody releases it; a backtest's lane to its
        end.
    order_notional
        Most that one order may be worth, quote. A breach *reduces* the order's quantity.
    price_collar
        Most that an order's price may differ from the mid, fraction of the mid; an order beyond it is *dropped*.
    orders_per_minute
        Most new orders in any 60 seconds of market time; an order beyond it is *dropped*, cancels are always free.
    strict
        Orders that are to be cancelled count against the position until their end is known, so that a fill on the way
        cannot carry the position over the limit; and a daily-loss halt holds until the day ends.
    flatten
        A breach of stop loss, daily loss or drawdown also *flattens*: one order of the whole position, one tick inside
        the opposite best price (post-only: it waits to be taken, it does not cross); where nobody takes it, by taking,
        see :mod:`tidewright.risk.escape`.
    day_offset_hours
        When the day of ``daily_loss`` starts: UTC plus so many hours (9: Tokyo; no daylight saving). -12 to 14.
    flatten_patience
        Decisions that the post-only order of ``flatten`` waits before it is withdrawn, >= 0; from the next decision on
        it takes. ``None``: it waits on.
    flatten_slices
        The position is left in so many immediate-or-cancel orders, one a decision: the first takes 1/n of it, the next
        1/(n - 1) of what is left, and so on; >= 1.
    flatten_collar
        Most that their price may be worse than the mid, fraction in (0, 1): what is not filled within it waits for the
        next decision. Where it is less than half a tick, the nearest price beyond the mid may be taken all the same:
        nobody can stand nearer.
    """

    max_position_share: float | None = 0.01
    stop_loss: float | None = 0.02
    daily_loss: float | None = 0.05
    volatility_cutoff: float | None = 0.01
    drawdown: float | None = None
    order_notional: float | None = None
    price_collar: float | None = None
    orders_per_minute: float | None = None
    strict: bool = False
    flatten: bool = False
    day_offset_hours: float = 0.0
    flatten_patience: int | None = 1
    flatten_slices: int = 2
    flatten_collar: float = 0.01

    def __post_init__(self) -> None:
        _check_way_out(self.flatten_patience, self.flatten_slices, self.flatten_collar)
        for name, value in asdict(self).items():
            if name.startswith("flatten_"):
                continue
            if name in _SWITCHES:
                if not isinstance(value, bool):
                    raise UsageError(f"limit {name} must be true or false, was {value!r}")
            elif name == "day_offset_hours":
                if isinstance(value, bool) or not isinstance(value, int | float) or not -12 <= value <= 14:
                    raise UsageError(f"day_offset_hours must be a number from -12 to 14, was {value!r}")
            elif value is not None and (
                isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf")
            ):
                raise UsageError(f"limit {name} must be > 0 and finite, or none, was {value!r}")

    def values(self) -> LimitValues:
        """The limits as a kernel takes them."""
        told = asdict(self)
        return LimitValues(*(_number(told[name]) for name in LimitValues._fields))

    @property
    def day_offset_ns(self) -> int:
        """What is added to UTC before the day is counted, nanoseconds."""
        return round(self.day_offset_hours * HOUR)

    def scaled(self, factors: "dict[str, float]") -> "Limits":
        """The limits times a factor each, names as here; what is off stays off, switches stay as they are.

        Raises
        ------
        UsageError
            If a factor is not > 0 and at most 1: factors tighten, they never loosen.
        """
        changes: dict[str, Any] = {}
        for name, factor in factors.items():
            if not 0 < factor <= 1:
                raise UsageError(f"the factor of limit {name} must be > 0 and at most 1, was {factor!r}")
            value = getattr(self, name)
            if value is not None and factor != 1.0:
                changes[name] = value * factor
        return replace(self, **changes) if changes else self


def _check_way_out(patience: object, slices: object, collar: object) -> None:
    """Refuse what makes no way out."""
    for name, count, least in (("flatten_patience", patience, 0), ("flatten_slices", slices, 1)):
        if count is None and name == "flatten_patience":
            continue
        if isinstance(count, bool) or not isinstance(count, int | float) or count != count // 1 or not count >= least:
            raise UsageError(f"limit {name} must be a whole number >= {least}, was {count!r}")
    if isinstance(collar, bool) or not isinstance(collar, int | float) or not 0 < collar < 1:
        raise UsageError(f"limit flatten_collar must be in (0, 1), was {collar!r}")


def _number(value: float | bool | None) -> float:
    return float("inf") if value is None else float(value)


OFF = Limits(None, None, None, None)
"""No limit at all: a plain backtest's default."""

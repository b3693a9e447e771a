"""The values of the risk limits; :mod:`tidewright.risk.gate` applies them."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

from tidewright.market.errors import UsageError


class LimitValues(NamedTuple):
    """The limits as a kernel takes them: float64 scalars, infinity switches one off."""

    max_position_share: float
    stop_loss: float
    daily_loss: float
    volatility_cutoff: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Risk limits, the specification's defaults. ``None`` switches one off.

    Attributes
    ----------
    max_position_share
        Inventory deviation plus open orders of that side, notional over equity; 0.01 is 1 %.
    stop_loss
        Unrealised loss over the position's entry value that stops quotes which add to it; 0.02 is 2 %.
    daily_loss
        Loss of equity against the equity at the day's start (UTC of market time) that stops quoting for the day.
    volatility_cutoff
        EWMA deviation of the mid's log return a cycle beyond which nothing is quoted; 0.01 is 1 % in one cycle.
    """

    max_position_share: float | None = 0.01
    stop_loss: float | None = 0.02
    daily_loss: float | None = 0.05
    volatility_cutoff: float | None = 0.01

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"limit {name} must be > 0 and finite, or none, was {value!r}")

    def values(self) -> LimitValues:
        """The limits as a kernel takes them."""
        switched = (float("inf") if value is None else float(value) for value in asdict(self).values())
        return LimitValues(*switched)


OFF = Limits(None, None, None, None)
"""No limit at all: a plain backtest's default."""

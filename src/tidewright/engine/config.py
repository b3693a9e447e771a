"""What a run is made with, checked, and as the numbers a kernel takes."""

from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from math import ceil, floor
from typing import Any, Final

import numpy as np

from tidewright.engine import layout as at
from tidewright.engine.bounds import reference_values
from tidewright.engine.impact import Impact
from tidewright.engine.latency import Latency, LatencyTable, SampledLatency, latency_from_json
from tidewright.market.clock import MINUTE
from tidewright.market.codes import UNIT
from tidewright.market.errors import UsageError
from tidewright.market.instrument import Instrument, decimal
from tidewright.market.tape import F64, I64
from tidewright.risk.limits import Limits

QUEUES: Final = {
    "risk_averse": at.QUEUE_RISK_AVERSE,
    "prob": at.QUEUE_PROB,
    "prob_log": at.QUEUE_PROB_LOG,
    "front": at.QUEUE_FRONT,
}
NO_BOUND: Final = 2**62
MAX_WINDOW: Final = 1 << 20
MIN_WINDOW: Final = 1 << 10
MOST_RECENT: Final = 100_000


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """Rules of one run.

    Attributes
    ----------
    start_ns
        Decisions fall at start + k * cycle, k = 1, 2, ...; ``None``: the first packet's time.
    cycle_ns
        Time between decisions, > 0.
    entry_ns, response_ns
        Latency of what a lane sends, and of the venue's answers, where it is constant.
    latency
        Recorded or sampled latencies instead: :mod:`tidewright.engine.latency`.
    queue
        "risk_averse", "prob" (power family), "prob_log", "front".
    queue_power
        Exponent of the power family, > 0.
    feed_ns
        Feed latency of rows that carry no receipt time.
    window_ticks
        Prices in the window of the ladder, rounded up to a power of two; 0: about the first price, at most 2**20.
    limits
        Risk limits of every lane; ``None``: none.
    record_fills
        Of strategy lanes 1: keep the reports of all fills, 2: all reports. Lanes driven from outside report everything.
    record_equity
        1: keep the equity of every lane at every decision.
    parity
        Match as hftbacktest's exchange without partial fills does instead of by our own rules; ``docs/parity.md``.
    ask
        Stop at every decision, so that the lanes' parameters can be set for it: :meth:`Replay.run_to_decision`.
    touch_only
        The tape's best-bid/ask rows are all there is of the book: levels behind the best are unknown.
    impact
        What takers pay beyond the book: :mod:`tidewright.engine.impact`; ``None``: nothing.
    fee_asset, fee_asset_price
        A third asset that all fees are paid in, and its price in quote, decimal text; empty: in what is received.
    """

    start_ns: int | None = None
    cycle_ns: int = 30_000_000_000
    entry_ns: int = 0
    response_ns: int = 0
    queue: str = "risk_averse"
    queue_power: float = 3.0
    feed_ns: int = 0
    window_ticks: int = 0
    limits: Limits | None = None
    record_fills: int = 0
    record_equity: int = 0
    parity: bool = False
    ask: bool = False
    touch_only: bool = False
    latency: Latency | None = None
    impact: Impact | None = None
    fee_asset: str = ""
    fee_asset_price: str = ""

    def __post_init__(self) -> None:
        if self.queue not in QUEUES:
            raise UsageError(f"unknown queue model {self.queue!r}. There are: {', '.join(QUEUES)}")
        if self.cycle_ns <= 0:
            raise UsageError(f"cycle must be > 0, was {self.cycle_ns} ns")
        for name in ("entry_ns", "response_ns", "feed_ns", "window_ticks"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must be >= 0, was {getattr(self, name)}")
        if self.record_fills not in (0, 1, 2):
            raise UsageError(f"record_fills must be 0, 1 or 2, was {self.record_fills}")
        if self.parity and self.queue not in ("risk_averse", "front"):
            raise UsageError(f"parity is defined for the queue models risk_averse and front, not {self.queue}")
        if self.ask and (self.most_entry_ns > self.cycle_ns or self.record_fills > 1):
            raise UsageError(
                f"a run that asks at every decision needs latencies <= cycle_ns {self.cycle_ns} and record_fills <= 1, "
                f"were {self.most_entry_ns} and {self.record_fills}"
            )
        if self.parity and self.impact is not None:
            raise UsageError("parity knows no market impact: leave one of them out")
        if bool(self.fee_asset) != bool(self.fee_asset_price):
            raise UsageError("an asset that fees are paid in needs its price in quote: give both or neither")
        if self.fee_asset_price and decimal(self.fee_asset_price, "price of the fee asset") <= 0:
            raise UsageError(f"the price of the fee asset must be > 0, was {self.fee_asset_price}")
        if not 0 < self.queue_power < float("inf"):
            raise UsageError(f"queue_power must be > 0 and finite, was {self.queue_power}")

    def to_json(self) -> dict[str, Any]:
        """Plain values; :meth:`from_json` reads them."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _plain(value) for name, value in plain.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "ReplayConfig":
        """Config of the plain values of :meth:`to_json`."""
        limits, impact = data["limits"], data["impact"]
        made = {
            "limits": None if limits is None else Limits(**limits),
            "latency": latency_from_json(data["latency"]),
            "impact": None if impact is None else Impact(**impact),
        }
        return cls(**{**data, **made})

    @property
    def most_entry_ns(self) -> int:
        """The longest that a message of a lane can be under way, ns."""
        return self.entry_ns if self.latency is None else self.latency.most_entry_ns


def _plain(value: Any) -> Any:
    if isinstance(value, Limits):
        return asdict(value)
    return value.to_json() if isinstance(value, SampledLatency | LatencyTable | Impact) else value


def window_of(config: ReplayConfig, price: int) -> int:
    """Width of the window: as configured, or about a price, a power of two."""
    wanted = config.window_ticks or min(max(price, MIN_WINDOW), MAX_WINDOW)
    return 1 << max(4, (wanted - 1).bit_length())


def cancels_under_way(config: ReplayConfig) -> int:
    """How many decisions' messages can be on their way at once, at least 1."""
    return max(1, -(-config.most_entry_ns // config.cycle_ns))


def recent_entries(config: ReplayConfig) -> int:
    """How many decisions of the last minute with new orders a lane has to remember for its order rate.

    Raises
    ------
    UsageError
        If they are more than ``MOST_RECENT``.
    """
    rate = None if config.limits is None else config.limits.orders_per_minute
    if rate is None:
        return 0
    entries = min(-(-MINUTE // config.cycle_ns), ceil(rate))
    if entries > MOST_RECENT:
        raise UsageError(
            f"orders_per_minute {rate:g} with decisions every {config.cycle_ns} ns needs {entries} decisions to be "
            f"remembered, at most {MOST_RECENT} can be: take a longer cycle or a lower rate"
        )
    return entries


def integers(
    instrument: Instrument, config: ReplayConfig, strategy: int, slots: int, check_balance: bool, record: int
) -> I64:
    """The rules as the int64 vector of :mod:`tidewright.engine.layout`.

    Raises
    ------
    UsageError
        If the instrument cannot be matched exactly: inverse contracts, contract sizes, rates beyond 64-bit products.
    """
    if instrument.kind == "inverse" or Fraction(instrument.contract_size) != 1:
        raise UsageError(f"the engine matches spot and linear instruments of contract size 1, not {instrument.symbol}")
    money = instrument.quote_units
    for name, rate in (("maker", instrument.maker_fee), ("taker", instrument.taker_fee)):
        if abs(rate) > UNIT or money.denominator * UNIT * abs(rate) >= 2**63:
            raise UsageError(f"{name} fee must be within +-1e8 (100 %), was {rate}")
    filters = instrument.filters
    values = {
        at.CFG_CYCLE: config.cycle_ns,
        at.CFG_ENTRY: config.entry_ns,
        at.CFG_RESPONSE: config.response_ns,
        at.CFG_FEED: config.feed_ns,
        at.CFG_QUEUE: QUEUES[config.queue],
        at.CFG_STRATEGY: strategy,
        at.CFG_MAKER: instrument.maker_fee,
        at.CFG_TAKER: instrument.taker_fee,
        at.CFG_FEE_IN_BASE: int(instrument.kind == "spot"),
        at.CFG_LOT_UNITS: instrument.lot_units,
        at.CFG_QUOTE_NUM: money.numerator,
        at.CFG_QUOTE_DEN: money.denominator,
        at.CFG_MIN_PRICE: filters.min_price_ticks,
        at.CFG_MAX_PRICE: filters.max_price_ticks or NO_BOUND,
        at.CFG_MIN_QTY: filters.min_qty_lots,
        at.CFG_MAX_QTY: filters.max_qty_lots or NO_BOUND,
        at.CFG_MARKET_MAX_QTY: filters.market_max_qty_lots or NO_BOUND,
        at.CFG_MIN_NOTIONAL: ceil(filters.min_notional / money),
        at.CFG_MAX_NOTIONAL: floor(filters.max_notional / money) if filters.max_notional else NO_BOUND,
        at.CFG_MAX_ORDERS: filters.max_num_orders or NO_BOUND,
        at.CFG_CHECK_BALANCE: int(check_balance),
        at.CFG_LIMITED: int(config.limits is not None),
        at.CFG_RECORD: record,
        at.CFG_CURVE: int(bool(config.record_equity)),
        at.CFG_SLOTS: slots,
        at.CFG_PARITY: int(config.parity),
        at.CFG_ASK: int(config.ask),
        at.CFG_DAY_OFFSET: 0 if config.limits is None else config.limits.day_offset_ns,
        at.CFG_TOUCH_ONLY: int(config.touch_only),
        at.CFG_IMPACT: at.IMPACT_NONE,
        at.CFG_RECENT: recent_entries(config),
        at.CFG_MARKET_MIN_QTY: filters.market_min_qty_lots,
        at.CFG_MARKET_STEP: max(1, filters.market_step_lots),
        at.CFG_MAX_STOPS: filters.max_num_stop_orders or NO_BOUND,
        at.CFG_FUNDING: int(instrument.kind == "linear"),
        at.CFG_FULL_WORTH: int(instrument.kind == "linear" or bool(config.fee_asset)),
        **reference_values(instrument),
    }
    if config.impact is not None:
        values[at.CFG_IMPACT] = at.IMPACT_MEASURED if config.impact.measured else at.IMPACT_GIVEN
    if isinstance(config.latency, LatencyTable):
        values[at.CFG_LATENCY] = at.LATENCY_TABLE
    elif config.latency is not None:
        values[at.CFG_LATENCY] = at.LATENCY_SAMPLED
        values[at.CFG_SEED] = config.latency.seed
    if config.fee_asset:
        values |= _fee_ratio(config.fee_asset_price)
    vector = np.zeros(at.CFG_COUNT, np.int64)
    for index, value in values.items():
        vector[index] = value
    return vector


def _fee_ratio(price: str) -> dict[int, int]:
    """Fees in an asset of a price: units = quote units * NUM / DEN.

    Raises
    ------
    UsageError
        If the ratio is beyond 64-bit products.
    """
    ratio = 1 / Fraction(price)
    if ratio.numerator * ratio.denominator >= 2**63:
        raise UsageError(
            f"the price of the fee asset must have fewer digits (its ratio is beyond 64 bits), was {price}"
        )
    return {
        at.CFG_FEE_OTHER: 1,
        at.CFG_FEE_IN_BASE: 0,
        at.CFG_FEE_NUM: ratio.numerator,
        at.CFG_FEE_DEN: ratio.denominator,
    }


def floats(instrument: Instrument, config: ReplayConfig) -> F64:
    """The rules as the float64 vector of :mod:`tidewright.engine.layout`."""
    vector = np.zeros(at.CFG_F_COUNT, np.float64)
    vector[at.CFG_F_POWER] = config.queue_power
    vector[at.CFG_F_TICK] = float(instrument.tick)
    vector[at.CFG_F_LOT] = float(instrument.lot)
    if config.fee_asset:
        vector[at.CFG_F_FEE_PRICE] = float(Fraction(config.fee_asset_price))
    if isinstance(config.latency, SampledLatency):
        chosen = config.latency
        vector[at.CFG_F_MEDIAN : at.CFG_F_MEDIAN + 2] = chosen.entry_ns, chosen.response_ns
        vector[at.CFG_F_SIGMA] = chosen.sigma
        vector[at.CFG_F_SPIKE] = chosen.spike_ns
        vector[at.CFG_F_SPIKE_ODDS] = chosen.spike_odds
    if config.impact is not None:
        vector[at.CFG_F_IMPACT] = config.impact.factor
        vector[at.CFG_F_IMPACT_SIGMA] = config.impact.volatility or 0.0
        vector[at.CFG_F_IMPACT_VOLUME] = (config.impact.volume or 0.0) / float(instrument.lot)
    if config.limits is not None:
        values = config.limits.values()
        vector[at.CFG_F_LIMITS : at.CFG_F_LIMITS + len(values)] = values
    return vector

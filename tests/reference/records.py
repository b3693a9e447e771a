"""What a run is made with, and what the slow model keeps of orders, messages, fills and equity points."""

from dataclasses import dataclass
from typing import NamedTuple

from tests.reference.impact import Impact
from tests.reference.latency import Latency
from tests.reference.queues import Queue
from tests.reference.quoting import LimitSet
from tidewright.market.codes import NO_STOP

NO_LIMITS = LimitSet()


@dataclass(frozen=True)
class Settings:
    """What a run is made with; the names of ReplayConfig."""

    cycle_ns: int
    start_ns: int | None = None
    entry_ns: int = 0
    response_ns: int = 0
    feed_ns: int = 0
    queue: str = "risk_averse"
    queue_power: float = 3.0
    window_ticks: int = 1024  # wider than what prices of a small tape can leave
    limits: LimitSet = NO_LIMITS
    parity: bool = False
    touch_only: bool = False
    latency: Latency | None = None  # instead of the constant ones
    impact: Impact | None = None
    fee_asset_price: str = ""  # fees are paid in a third asset of this price in quote; empty: in what is received

    def entry(self, ts: int) -> int:
        return self.entry_ns if self.latency is None else self.latency.entry(ts)

    def response(self, ts: int) -> int:
        return self.response_ns if self.latency is None else self.latency.response(ts)

    def most_entry(self) -> int:
        return self.entry_ns if self.latency is None else self.latency.most_entry()


class Report(NamedTuple):
    """One thing that happened to an order."""

    what: int
    number: int
    tag: int
    ts: int
    known_ns: int
    side: int
    price: int
    qty: int
    leaves: int
    maker: int
    fee: int
    fee_asset: int
    reason: int


@dataclass
class Order:
    """An order from sending to death."""

    number: int
    tag: int
    side: int
    kind: int
    tif: int
    price: int
    qty: int
    leaves: int = 0
    queue: Queue | None = None
    arrived: int = -1  # place in the lane's own order of arrival
    state: str = "sent"  # sent, waiting, resting, stopped, set off, dead
    died_known_ns: int | None = None
    cancel_sent: bool = False
    stop: int = 0
    way: int = NO_STOP


@dataclass
class Message:
    """What a lane sent: a new order, a cancel, or an amendment."""

    arrival_ns: int
    order: Order | None  # None: a cancel of a number nobody knows
    is_new: bool
    number: int
    qty: int = 0  # that an amendment wants


@dataclass
class Fill:
    """One fill, as money."""

    known_ns: int
    side: int
    price: int
    qty: int
    fee_base: int
    fee_quote: int  # in the third asset where fees are paid in one


@dataclass
class Sample:
    """What an equity point is made of, at a decision or at the end."""

    ts: int
    position: int
    cash: int
    fee_base: int
    fee_quote: int
    mid2: int | None
    funding: int = 0

"""A market measured from a tape: the parameters of the queue-reactive generator.

What is measured, from the orders and books of :mod:`tidewright.market.calibration_flow`:

* **intensities** ``f_e(X)`` of the nine kinds of orders for one side of the book, by the state ``X`` = (spread, own
  best quantity, opposite best quantity, direction of the mid's last move); bids and asks are mirror images (Huang,
  Lehalle and Rosenbaum 2015, "Simulating and analyzing order book data: the queue-reactive model", eq. 1 and section
  2.3, with the state projected on the touch as in Bodor and Carlier 2024 and Noble, Rosenbaum and Souilmi 2026). The
  estimate is
  ``(N + c) / (T + c / f_e)`` with ``N`` orders in the time ``T`` (in units of the excitation) spent in the state,
  ``f_e`` the kind's mean rate and ``c`` = 2: the mean of a gamma posterior, so that a state hardly seen falls back on
  the mean;
* **excitation**: how orders bring orders, :mod:`tidewright.market.hawkes`;
* **sizes, distances, ranks**: the empirical distributions of each kind, by the state that matters for it;
* **the feed**: its interval, its receipt delays, whether it sends best quotes, the price grid.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market import calibration_flow as flow_of
from tidewright.market import codes
from tidewright.market.calibration_flow import ADD, CUT, DROP, IMPROVE, KIND_NAMES, KINDS, NEW, TAKE, Flow, order_flow
from tidewright.market.clock import SECOND
from tidewright.market.errors import UsageError
from tidewright.market.hawkes import DECAYS, GROUPS, Excitation, fit_excitation
from tidewright.market.tape import F64, I64, Columns

QUEUE_BINS: Final = 5
SPREAD_BINS: Final = 5
STATES: Final = SPREAD_BINS * QUEUE_BINS * QUEUE_BINS * 2
CONTEXTS: Final = 8
OFF_BOOK: Final = 7  # context of the sizes of market orders that leave no trace in the book
QUANTILES: Final = 512  # points kept of a distribution
GROUP_OF: Final = np.array([0, 0, 1, 1, 0, 0, 1, 1, 2], np.int64)  # group of each kind of order
LEAST_ORDERS: Final = 2_000

_PRIOR: Final = 2.0
_MOST_TIMES: Final = (
    25.0  # an intensity over so many times its mean comes from orders whose times the feed does not tell
)
_FIT_ORDERS: Final = 120_000  # orders the excitation is fitted to: the first ones
_SURE: Final = 0.8  # share of market orders on the book, from which their whole size is taken as met by it
_NEAR: Final = 24  # levels whose distances are measured
_FEWEST: Final = 8
_FIT_STEPS: Final = 25


@dataclass(frozen=True, slots=True)
class Feed:
    """How a tape's venue sends what happens.

    Attributes
    ----------
    batch_ns
        Interval of level messages, ns; 0: at once.
    intervals
        float64[QUANTILES], quantiles of the shortest intervals between level messages, ns.
    delays
        float64[QUANTILES], quantiles of receipt - venue time, ns; zeros if receipts were not recorded.
    tickers
        Whether best quotes are sent apart.
    grid
        Greatest common divisor of the level prices, ticks.
    locks
        Whether the book is locked more than 1 % of the packets.
    """

    batch_ns: int
    intervals: F64
    delays: F64
    tickers: bool
    grid: int
    locks: bool


@dataclass(frozen=True, slots=True)
class Bins:
    """Edges of the state: a value is in the bin of the first edge that is not below it."""

    spread: I64
    queue: I64

    def state(self, spread: I64, own: I64, opposite: I64, move: I64) -> I64:
        """Number of the state of a side; ``move`` > 0: the mid last moved away from the side."""
        s = np.searchsorted(self.spread, spread)
        a, b = np.searchsorted(self.queue, own), np.searchsorted(self.queue, opposite)
        return ((s * QUEUE_BINS + a) * QUEUE_BINS + b) * 2 + (move > 0)


@dataclass(frozen=True, slots=True)
class Profile:
    """A measured market.

    Attributes
    ----------
    rates
        float64[KINDS, STATES], ``f_e(X)`` for one side, 1/s.
    scale
        float64[KINDS], corrections of the rates found by simulation.
    sizes
        float64[KINDS, CONTEXTS, QUANTILES], lots; of CUT the share of the level.
    places
        float64[KINDS, CONTEXTS, QUANTILES], share of the spread (IMPROVE), distance in ticks (NEW), rank (ADD, CUT,
        DROP).
    exact
        float64[QUEUE_BINS], share of market orders that take exactly the best level.
    prints
        float64[CONTEXTS, QUANTILES], prints of a market order by its size; ``print_edges`` are the sizes, lots.
    off_book
        Share of market orders that leave no trace in the book.
    levels
        Mean number of levels of a side, at most RANKS.
    gaps, far
        float64[QUANTILES]: ticks between neighbouring levels, quantity of a level.
    tilt
        Strength of the slow pressure, found by simulation; below 0 it is a pull back.
    slow_sd
        Standard deviation of the mid's change over 30 s, ticks.
    reach
        Quantile 99.9 % of the spread, ticks: no farther from a best level that goes is the next one.
    observed
        float64[KINDS], orders of each kind a second on the tape, both sides.
    book
        Bids and asks at the tape's end, as :class:`tidewright.market.calibration_flow.Flow` has them.
    """

    feed: Feed
    bins: Bins
    rates: F64
    scale: F64
    excitation: Excitation
    sizes: F64
    places: F64
    exact: F64
    prints: F64
    print_edges: F64
    off_book: float
    levels: float
    gaps: F64
    far: F64
    tilt: float
    slow_sd: float
    reach: float
    observed: F64
    seconds: float
    orders: int
    book: tuple[I64, I64]

    def summary(self) -> dict[str, Any]:
        """Plain values for notes and answers."""
        return {
            "orders": self.orders,
            "seconds": round(self.seconds, 3),
            "orders_per_second": {
                name: round(float(rate), 6) for name, rate in zip(KIND_NAMES, self.observed, strict=True)
            },
            "rate_corrections": {name: round(float(x), 4) for name, x in zip(KIND_NAMES, self.scale, strict=True)},
            "branching_ratio": round(self.excitation.branching, 4),
            "pressure": round(self.tilt, 4),
            "feed_interval_ms": self.feed.batch_ns / 1e6,
            "states_seen": int(np.count_nonzero(np.any(self.rates > 0, axis=0))),
        }


def measure_feed(data: Columns) -> Feed:
    """How the levels of a tape were sent."""
    if not len(data.ts):
        return Feed(0, np.zeros(QUANTILES), np.zeros(QUANTILES), False, 1, False)
    ends = np.flatnonzero(data.flags & codes.PACKET_END)
    begins = np.r_[0, ends[:-1] + 1]
    snapshot = data.flags[begins] & codes.SNAPSHOT != 0
    levels = (data.kind[begins] <= codes.ASK) & ~snapshot
    gaps = np.diff(data.ts[ends[levels]])
    batch, shortest = 0, np.zeros(1)
    if len(gaps) > 100:
        mode = _mode(gaps[gaps < 2 * SECOND])
        if mode >= 5_000_000 and np.mean(gaps < 0.9 * mode) < 0.02 and np.mean(gaps < 1.5 * mode) > 0.1:
            batch = mode
            shortest = gaps[gaps < 1.5 * mode].astype(np.float64)
    delays = np.zeros(1)
    if data.ts_local.any():
        delays = np.maximum(0, data.ts_local[ends] - data.ts[ends]).astype(np.float64)
    is_level = data.kind <= codes.ASK
    grid = int(np.gcd.reduce(data.price[is_level])) if is_level.any() else 1
    tickers = bool(np.any((data.kind == codes.BEST_BID) | (data.kind == codes.BEST_ASK)))
    return Feed(batch, _quantiles(shortest), _quantiles(delays), tickers, max(1, grid), False)


def _mode(values: I64) -> int:
    """Most frequent value, to the millisecond, ns; 0 of nothing."""
    if not len(values):
        return 0
    found, counts = np.unique(values // 1_000_000, return_counts=True)
    return int(found[np.argmax(counts)]) * 1_000_000


def _quantiles(values: npt.NDArray[Any]) -> F64:
    """QUANTILES values that stand for a sample: its inverse distribution function at midpoints."""
    if not len(values):
        return np.zeros(QUANTILES)
    return np.quantile(values, (np.arange(QUANTILES) + 0.5) / QUANTILES, method="inverted_cdf").astype(np.float64)


def measured_flow(data: Columns) -> tuple[Feed, Flow]:
    """The feed of a tape and its order flow."""
    feed = measure_feed(data)
    found = order_flow(data, feed.batch_ns, locks=True)
    spread = found.books[flow_of.B_ASK] - found.books[flow_of.B_BID]
    locks = bool(len(spread)) and bool(np.mean(spread == 0) > 0.01)
    if not locks:
        found = order_flow(data, feed.batch_ns)
    feed = Feed(feed.batch_ns, feed.intervals, feed.delays, feed.tickers, feed.grid, locks)
    return feed, found


def calibrate(data: Columns) -> Profile:
    """Measure a market.

    Raises
    ------
    UsageError
        If the tape holds fewer than LEAST_ORDERS orders, or no market orders: there is nothing to measure.
    """
    feed, found = measured_flow(data)
    o = found.orders
    takes = int(np.count_nonzero(o[flow_of.KIND] == TAKE))
    if o.shape[1] < LEAST_ORDERS or takes < 20:
        raise UsageError(
            f"calibration needs a tape of at least {LEAST_ORDERS} orders and 20 prints, found {o.shape[1]} and {takes}"
        )
    o = o[:, (o[flow_of.KIND] != TAKE) | (o[flow_of.GROUP] == 0)]  # a market order once
    bins = _bins(o)
    rates, excitation, observed, seconds = _intensities(o, bins)
    sizes, places = _distributions(o, bins)
    exact, prints, edges = _market_orders(found.orders, bins, sizes)
    on_side = np.isin(o[flow_of.KIND], (ADD, CUT, NEW, DROP))
    levels = float(o[flow_of.LEVELS][on_side].mean()) if on_side.any() else 10.0
    book = _in_reach(found.last_book, places)
    gaps = np.concatenate([np.abs(np.diff(side[0][:_NEAR])) for side in book])
    far = np.concatenate([side[1] for side in book])
    off = o[flow_of.RANK][o[flow_of.KIND] == TAKE] < 0
    return Profile(
        feed,
        bins,
        rates,
        np.ones(KINDS),
        excitation,
        sizes,
        places,
        exact,
        prints,
        edges,
        float(off.mean()),
        levels,
        _quantiles(gaps),
        _quantiles(far),
        0.0,
        max(0.5, _change_sd(found, 30 * SECOND)),
        _reach(found, feed.grid),
        observed,
        seconds,
        found.orders.shape[1],
        book,
    )


def _in_reach(last: tuple[I64, I64], places: F64) -> tuple[I64, I64]:
    """The book without levels farther from the best than new ones come: a feed of few levels leaves old ones behind."""
    reach = float(places[NEW, 0, -1])
    sides = []
    for side in last:
        near = np.abs(side[0] - side[0, 0]) <= reach
        near[:_FEWEST] = True
        sides.append(side[:, near])
    return sides[0], sides[1]


def mid_changes(books: I64, step_ns: int) -> F64:
    """Changes of the mid over consecutive steps whose ends lie in no gap, ticks."""
    if not books.shape[1]:
        return np.zeros(0)
    times = np.arange(books[flow_of.B_T, 0], books[flow_of.B_T, -1] + 1, step_ns)
    at = np.searchsorted(books[flow_of.B_T], times, "right") - 1
    mid = 0.5 * (books[flow_of.B_BID, at] + books[flow_of.B_ASK, at])
    after = np.minimum(at + 1, books.shape[1] - 1)
    known = (books[flow_of.B_SEGMENT, at] == books[flow_of.B_SEGMENT, after]) | (books[flow_of.B_T, at] == times)
    return np.diff(mid)[known[1:] & known[:-1]]


def _reach(found: Flow, grid: int) -> float:
    spread = found.books[flow_of.B_ASK] - found.books[flow_of.B_BID]
    far = float(np.quantile(spread, 0.999)) if len(spread) else 0.0
    return grid * np.ceil(max(far, 2.0 * grid) / grid)


def _change_sd(found: Flow, step_ns: int) -> float:
    changes = mid_changes(found.books, step_ns)
    return float(np.sqrt(np.mean(changes**2))) if len(changes) else 0.0


def _bins(o: I64) -> Bins:
    spread = np.unique(np.quantile(o[flow_of.SPREAD], (0.5, 0.8, 0.95, 0.99), method="lower").astype(np.int64))
    queue = np.unique(np.quantile(o[flow_of.OWN], (0.15, 0.4, 0.65, 0.88), method="lower").astype(np.int64))
    return Bins(_pad(spread, SPREAD_BINS), _pad(queue, QUEUE_BINS))


def _pad(edges: I64, bins: int) -> I64:
    """Edges of fewer bins: the last ones are never reached."""
    return np.concatenate([edges, np.full(bins - 1 - len(edges), np.iinfo(np.int64).max)]).astype(np.int64)


def observed_time(o: I64) -> F64:
    """Seconds between each order and the one before, 0 across gaps."""
    dt = np.diff(o[flow_of.T], prepend=o[flow_of.T][:1]) / SECOND
    dt[np.diff(o[flow_of.SEGMENT], prepend=-1) != 0] = 0.0
    return dt


def _states(o: I64, bins: Bins) -> tuple[I64, I64]:
    """State of the bids and of the asks before each order."""
    bid = o[flow_of.SIDE] == 0
    bids = np.where(bid, o[flow_of.OWN], o[flow_of.OPPOSITE])
    asks = np.where(bid, o[flow_of.OPPOSITE], o[flow_of.OWN])
    spread, move = o[flow_of.SPREAD], o[flow_of.MOVE]
    return bins.state(spread, bids, asks, move), bins.state(spread, asks, bids, -move)


def _intensities(o: I64, bins: Bins) -> tuple[F64, Excitation, F64, float]:
    """Alternate the intensities by state, given the excitation, with the excitation given them."""
    dt = observed_time(o)
    seconds = float(dt.sum())
    both = np.stack(_states(o, bins))
    own = np.where(o[flow_of.SIDE] == 0, both[0], both[1])
    kind = o[flow_of.KIND]
    counts = np.zeros((KINDS, STATES))
    np.add.at(counts, (kind, own), 1.0)
    observed = counts.sum(axis=1) / seconds
    times = np.zeros((GROUPS, STATES))
    for side in (0, 1):
        times += np.bincount(both[side], dt, STATES)
    n = min(_FIT_ORDERS, len(dt))
    rates = _posterior(counts, times)
    excitation = None
    for _ in range(2):
        by_group = np.stack([rates[GROUP_OF == g].sum(axis=0) for g in range(GROUPS)], axis=1)
        before = np.ascontiguousarray(np.stack([by_group[both[0, :n]], by_group[both[1, :n]]], axis=1))
        at = (o[flow_of.T, :n] - o[flow_of.T, 0]) / SECOND
        excitation, integral = fit_excitation(
            at, dt[:n], GROUP_OF[kind[:n]], np.ascontiguousarray(o[flow_of.SIDE, :n]), before, DECAYS, _FIT_STEPS
        )
        times = np.zeros((GROUPS, STATES))
        for side in (0, 1):
            for g in range(GROUPS):
                times[g] += np.bincount(both[side, :n], integral[:, side, g], STATES)
        part = np.zeros((KINDS, STATES))
        np.add.at(part, (kind[:n], own[:n]), 1.0)
        rates = _posterior(part, times)
    assert excitation is not None
    return rates, excitation, observed, seconds


def _posterior(counts: F64, times: F64) -> F64:
    """Posterior mean of the intensities; states in no one's path keep the kind's mean."""
    time = times[GROUP_OF]
    mean = counts.sum(axis=1, keepdims=True) / np.maximum(time.sum(axis=1, keepdims=True), 1e-9)
    found = (counts + _PRIOR) / (time + _PRIOR / np.maximum(mean, 1e-12))
    return np.where(mean > 0, np.minimum(found, _MOST_TIMES * mean), 0.0)


def contexts(o: I64, bins: Bins) -> I64:
    """What the size and the place of an order depend on: spread (IMPROVE), own queue (at the best), rank (behind)."""
    queue = np.searchsorted(bins.queue, o[flow_of.OWN])
    spread = np.searchsorted(bins.spread, o[flow_of.SPREAD])
    depth = np.minimum(CONTEXTS - 1, np.log2(np.maximum(1, o[flow_of.RANK])).astype(np.int64))
    kind = o[flow_of.KIND]
    behind = np.isin(kind, (ADD, NEW, CUT, DROP))
    return np.where(kind == IMPROVE, spread, np.where(behind, depth, queue))


def _distributions(o: I64, bins: Bins) -> tuple[F64, F64]:
    kind, context = o[flow_of.KIND], contexts(o, bins)
    value = o[flow_of.SIZE].astype(np.float64)
    cuts = kind == CUT
    value[cuts] /= np.maximum(1, o[flow_of.BEFORE][cuts])
    share = -o[flow_of.DIST] / np.maximum(1, o[flow_of.SPREAD])
    place = np.where(kind == IMPROVE, share, np.where(kind == NEW, o[flow_of.DIST], o[flow_of.RANK]))
    sizes, places = np.zeros((KINDS, CONTEXTS, QUANTILES)), np.zeros((KINDS, CONTEXTS, QUANTILES))
    for e in range(KINDS):
        mine = kind == e
        if e == TAKE:
            mine &= o[flow_of.SIZE] != o[flow_of.BEFORE]
        everything = (_quantiles(value[mine]), _quantiles(place[mine]))
        for c in range(CONTEXTS):
            there = mine & (context == c)
            enough = np.count_nonzero(there) >= 30
            sizes[e, c] = _quantiles(value[there]) if enough else everything[0]
            # ranks are drawn for the whole kind: the rank is what a context of theirs is made of
            places[e, c] = _quantiles(place[there]) if enough and e == IMPROVE else everything[1]
    return sizes, places


def _market_orders(o: I64, bins: Bins, sizes: F64) -> tuple[F64, F64, F64]:
    """Whole market orders: exact takers of the best level, sizes (written into ``sizes``), prints by size."""
    takes = o[:, o[flow_of.KIND] == TAKE]
    order = np.cumsum(takes[flow_of.GROUP] == 0) - 1
    keep = order >= 0
    takes, order = takes[:, keep], order[keep]
    first = np.flatnonzero(takes[flow_of.GROUP] == 0)
    total = np.bincount(order, takes[flow_of.SIZE]).astype(np.float64)
    count = np.bincount(order)
    on_book = takes[flow_of.RANK][first] == 0
    best = takes[flow_of.OWN][first]
    queue = np.searchsorted(bins.queue, best)
    exact = np.zeros(QUEUE_BINS)
    rest = ~on_book | (total != best)
    everything = _quantiles(total[rest])
    sizes[TAKE, OFF_BOOK] = _quantiles(total[~on_book]) if np.any(~on_book) else everything
    if np.mean(on_book) < _SURE:
        # a feed of few messages: what its prints took from the levels shown is all that the book knows of them
        shown = np.where(takes[flow_of.RANK] >= 0, np.minimum(takes[flow_of.SIZE], takes[flow_of.BEFORE]), 0)
        total = np.maximum(1.0, np.bincount(order, shown))
        rest = on_book & (total != best)
        everything = _quantiles(total[rest])
    for q in range(QUEUE_BINS):
        there = queue == q
        seen = there & on_book
        exact[q] = float(np.mean(total[seen] == best[seen])) if seen.any() else 0.0
        sizes[TAKE, q] = _quantiles(total[there & rest]) if np.count_nonzero(there & rest) >= 30 else everything
    edges = np.quantile(total, np.arange(1, CONTEXTS) / CONTEXTS)
    bucket = np.searchsorted(edges, total)
    prints = np.stack(
        [_quantiles(count[bucket == c]) if (bucket == c).any() else np.ones(QUANTILES) for c in range(CONTEXTS)]
    )
    return exact, prints, edges.astype(np.float64)

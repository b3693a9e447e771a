"""How far a synthetic book is from a real one: the scores of LOB-Bench on tapes of level quantities.

LOB-Bench (Nagy et al. 2025, arXiv 2502.09172) compares distributions of one-dimensional quantities of the book and of
its
messages, of one tape and the other, and mean price responses to six kinds of events. Its data names single orders; a
tape holds
levels, so "order" here is a change of a level as :mod:`tidewright.market.calibration_flow` reads it, and the *time to
cancel* is the
time from a level's last growth to the cancellation that follows at the same price.

Distances
---------
``l1``
    ``sum_b |p_b - q_b| / 2`` over bins, 0 (equal) to 1 (no overlap). The bins are the values themselves where the two
    tapes hold at
    most 40 of them, else 40 bins between quantiles of both together. (LOB-Bench's bins follow Freedman and Diaconis;
    quantiles keep
    heavy tails from emptying all but one bin.)
``wasserstein``
    ``integral |F^-1(u) - G^-1(u)| du`` over 1,000 quantiles, divided by the real tape's standard deviation: unit-free.
    Values beyond the real tape's quantiles 0.1 % and 99.9 %, widened by their distance, are cut to that edge.

Both are biased upwards for small samples, so every score carries its sample sizes and the *floor*: the mean distance
of the real tape's odd and even stretches of time, which is what an equally good market would show.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market import calibration_flow as flow_of
from tidewright.market.calibration_flow import ADD, CLEAR, CUT, DROP, IMPROVE, JOIN, NEW, TAKE, TRIM, Flow
from tidewright.market.clock import SECOND

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

BINS: Final = 40
STRETCHES: Final = 20  # of the real tape, for the floor
RESPONSE_LAGS: Final = (1, 2, 5, 10, 20, 50, 100, 200)
_LIMITS: Final = (IMPROVE, JOIN, ADD, NEW)
_CANCELS: Final = (TRIM, CLEAR, CUT, DROP)
_LEVELS: Final = 10


class Sample(NamedTuple):
    """Values of one quantity, the times (ns) they belong to, and the group that a conditional score compares within
    (else 0).
    """

    value: F64
    ts: I64
    group: I64


class Score(NamedTuple):
    """Distances of one quantity between the real tape and the other; ``nan`` where a sample is empty.

    Attributes
    ----------
    l1, wasserstein
        Distances, see the module.
    floor_l1, floor_wasserstein
        The same of the real tape's odd and even stretches.
    real_mean, other_mean
        Means of the quantity.
    real_count, other_count
        Sample sizes.
    """

    l1: float
    wasserstein: float
    floor_l1: float
    floor_wasserstein: float
    real_mean: float
    other_mean: float
    real_count: int
    other_count: int


DEFINITIONS: Final = {
    "spread": "best ask - best bid at packet ends, ticks",
    "imbalance": "(bid - ask) / (bid + ask) quantity at the touch, packet ends",
    "log_inter_arrival": "log10 seconds between successive times at which orders came (equal times are one)",
    "log_time_to_cancel": "log10 seconds from a level's last growth to the next cancellation at its price",
    "ask_volume_touch": "log10 lots at the best ask, packet ends",
    "bid_volume_touch": "log10 lots at the best bid, packet ends",
    "ask_volume": "log10 lots on the first 10 ask levels, packet ends",
    "bid_volume": "log10 lots on the first 10 bid levels, packet ends",
    "limit_ask_depth": "distance of limit sells from the mid, ticks, first 10 levels",
    "limit_bid_depth": "distance of limit buys from the mid, ticks, first 10 levels",
    "cancel_ask_depth": "distance of cancelled sells from the mid, ticks, first 10 levels",
    "cancel_bid_depth": "distance of cancelled buys from the mid, ticks, first 10 levels",
    "limit_ask_level": "level of limit sells, 1 to 10",
    "limit_bid_level": "level of limit buys, 1 to 10",
    "cancel_ask_level": "level of cancelled sells, 1 to 10",
    "cancel_bid_level": "level of cancelled buys, 1 to 10",
    "ask_volume_touch|spread": "log10 lots at the best ask, within fifths of the spread",
    "spread|hour": "spread, ticks, within hours of the day that both tapes hold",
    "spread|volatility": "spread, ticks, within fifths of the mid's realised variance over the minute",
    "trade_size": "log10 lots of a market order (beside LOB-Bench's list)",
}
CONDITIONAL: Final = tuple(name for name in DEFINITIONS if "|" in name)


def samples(found: Flow) -> dict[str, Sample]:
    """All quantities of DEFINITIONS of one tape; fifths of conditions are assigned in :func:`scores`."""
    books, orders = found.books, found.orders
    ts = books[flow_of.B_T]
    spread = (books[flow_of.B_ASK] - books[flow_of.B_BID]).astype(np.float64)
    bid, ask = (books[row].astype(np.float64) for row in (flow_of.B_BID_QTY, flow_of.B_ASK_QTY))
    out = {
        "spread": _plain(spread, ts),
        "imbalance": _plain((bid - ask) / np.maximum(bid + ask, 1.0), ts),
        "ask_volume_touch": _plain(_log(ask), ts),
        "bid_volume_touch": _plain(_log(bid), ts),
        "ask_volume": _plain(_log(books[flow_of.B_ASK_VOLUME]), ts),
        "bid_volume": _plain(_log(books[flow_of.B_BID_VOLUME]), ts),
        "ask_volume_touch|spread": Sample(_log(ask), ts, spread.astype(np.int64)),
        "spread|hour": Sample(spread, ts, ts // (3600 * SECOND) % 24),
        "spread|volatility": Sample(spread, ts, _minute_variance(books)),
        **_order_samples(orders),
    }
    return {name: out[name] for name in DEFINITIONS}


def _plain(value: F64, ts: I64) -> Sample:
    return Sample(value, ts, np.zeros(len(ts), np.int64))


def _log(value: npt.NDArray[Any]) -> F64:
    return np.log10(np.maximum(value.astype(np.float64), 1.0))


def _order_samples(orders: I64) -> dict[str, Sample]:
    ts, kind, side = orders[flow_of.T], orders[flow_of.KIND], orders[flow_of.SIDE]
    times = np.unique(ts)
    gaps = np.diff(times) / SECOND
    gaps = gaps[gaps < 3600]
    out = {
        "log_inter_arrival": _plain(np.log10(np.maximum(gaps, 1e-3)), times[1:][: len(gaps)]),
        "log_time_to_cancel": _time_to_cancel(orders),
    }
    best = (
        np.where(
            side == 0, orders[flow_of.MID2] - orders[flow_of.SPREAD], orders[flow_of.MID2] + orders[flow_of.SPREAD]
        )
        / 2
    )
    price = np.where(side == 0, best - orders[flow_of.DIST], best + orders[flow_of.DIST])
    depth = np.abs(orders[flow_of.MID2] / 2 - price)
    level = orders[flow_of.RANK] + 1
    for what, kinds in (("limit", _LIMITS), ("cancel", _CANCELS)):
        for name, s in (("ask", 1), ("bid", 0)):
            mine = np.isin(kind, kinds) & (side == s) & (level >= 1) & (level <= _LEVELS)
            out[f"{what}_{name}_depth"] = _plain(depth[mine], ts[mine])
            out[f"{what}_{name}_level"] = _plain(level[mine].astype(np.float64), ts[mine])
    takes = orders[:, kind == TAKE]
    number = np.cumsum(takes[flow_of.GROUP] == 0)
    total = np.bincount(number, takes[flow_of.SIZE])[1:] if takes.shape[1] else np.zeros(0)
    out["trade_size"] = _plain(_log(total), takes[flow_of.T][takes[flow_of.GROUP] == 0][: len(total)])
    return out


def _time_to_cancel(orders: I64) -> Sample:
    """Pairs of a growth and the cancellation that is the next order at the same side and price."""
    keep = orders[flow_of.KIND] != TAKE
    o = orders[:, keep]
    bid = o[flow_of.SIDE] == 0
    best = np.where(bid, o[flow_of.MID2] - o[flow_of.SPREAD], o[flow_of.MID2] + o[flow_of.SPREAD]) // 2
    price = np.where(bid, best - o[flow_of.DIST], best + o[flow_of.DIST])
    key = price * 2 + o[flow_of.SIDE]
    order = np.lexsort((np.arange(len(key)), key))
    grows = np.isin(o[flow_of.KIND], _LIMITS)[order]
    pair = grows[:-1] & ~grows[1:] & (key[order][:-1] == key[order][1:])
    at = o[flow_of.T][order]
    pair &= o[flow_of.SEGMENT][order][:-1] == o[flow_of.SEGMENT][order][1:]
    seconds = (at[1:] - at[:-1])[pair] / SECOND
    return _plain(np.log10(np.maximum(seconds, 1e-3)), at[1:][pair])


def _minute_variance(books: I64) -> I64:
    """Sum of squared changes of twice the mid in the minute of each packet."""
    minute = books[flow_of.B_T] // (60 * SECOND)
    if not len(minute):
        return minute
    mid2 = books[flow_of.B_BID] + books[flow_of.B_ASK]
    moves = np.diff(mid2, prepend=mid2[:1]).astype(np.float64) ** 2
    moves[np.diff(books[flow_of.B_SEGMENT], prepend=books[flow_of.B_SEGMENT, :1]) != 0] = 0.0
    return np.bincount(minute - minute[0], moves)[minute - minute[0]].astype(np.int64)


def l1_distance(real: F64, other: F64) -> float:
    """``sum |p - q| / 2`` over bins; nan of an empty sample."""
    if not len(real) or not len(other):
        return float("nan")
    both = np.concatenate([real, other])
    values = np.unique(both)
    if len(values) > BINS:
        values = np.unique(np.quantile(both, np.arange(1, BINS) / BINS))
    p = np.bincount(np.searchsorted(values, real, "right"), minlength=len(values) + 1) / len(real)
    q = np.bincount(np.searchsorted(values, other, "right"), minlength=len(values) + 1) / len(other)
    return float(np.abs(p - q).sum() / 2)


def wasserstein_distance(real: F64, other: F64) -> float:
    """Wasserstein-1 distance over the real sample's standard deviation; nan of an empty sample."""
    if not len(real) or not len(other):
        return float("nan")
    low, high = np.quantile(real, (0.001, 0.999))
    room = high - low
    a, b = (np.clip(x, low - room, high + room) for x in (real, other))
    u = (np.arange(1000) + 0.5) / 1000
    scale = float(np.std(a)) or 1.0
    return float(np.mean(np.abs(np.quantile(a, u) - np.quantile(b, u))) / scale)


def _grouped(real: Sample, other: Sample, name: str) -> tuple[list[tuple[F64, F64]], F64]:
    """Pairs of samples to compare, and their weights: the real tape's shares."""
    if name not in CONDITIONAL:
        return [(real.value, other.value)], np.ones(1)
    a, b = real.group, other.group
    if name != "spread|hour":
        edges = np.unique(np.quantile(a, (0.2, 0.4, 0.6, 0.8))) if len(a) else np.zeros(0)
        a, b = np.searchsorted(edges, a), np.searchsorted(edges, b)
    pairs = [(real.value[a == g], other.value[b == g]) for g in np.intersect1d(a, b)]
    weights = np.array([len(x) for x, _ in pairs], np.float64)
    return pairs, weights


def _distance(real: Sample, other: Sample, name: str) -> tuple[float, float]:
    pairs, weights = _grouped(real, other, name)
    if not len(weights) or weights.sum() == 0:
        return float("nan"), float("nan")
    l1 = np.array([l1_distance(x, y) for x, y in pairs])
    far = np.array([wasserstein_distance(x, y) for x, y in pairs])
    return float(np.average(l1, weights=weights)), float(np.average(far, weights=weights))


def _split(sample: Sample) -> tuple[Sample, Sample]:
    """Odd and even stretches of time."""
    if not len(sample.ts):
        return sample, sample
    begin, end = int(sample.ts[0]), int(sample.ts[-1]) + 1
    odd = ((sample.ts - begin) * STRETCHES // (end - begin)) % 2 == 1
    return Sample(*(x[odd] for x in sample)), Sample(*(x[~odd] for x in sample))


def scores(real: Flow, other: Flow) -> dict[str, Score]:
    """Distance of every quantity; 0 for a tape and itself."""
    mine, theirs = samples(real), samples(other)
    out = {}
    for name in DEFINITIONS:
        a, b = mine[name], theirs[name]
        l1, far = _distance(a, b, name)
        floor_l1, floor_far = _distance(*_split(a), name)
        means = [float(x.value.mean()) if len(x.value) else float("nan") for x in (a, b)]
        out[name] = Score(l1, far, floor_l1, floor_far, means[0], means[1], len(a.value), len(b.value))
    return out


class Response(NamedTuple):
    """Mean signed response of the mid to one kind of event.

    Attributes
    ----------
    real, other
        float64[lags], ticks, after ``RESPONSE_LAGS`` further orders; positive: in the direction the event pushes.
    deviation
        Mean over the lags of |real - other|, ticks.
    real_count, other_count
        Events.
    """

    real: F64
    other: F64
    deviation: float
    real_count: int
    other_count: int


RESPONSES: Final = {
    "market_order": (TAKE,),
    "limit_order": _LIMITS,
    "cancellation": _CANCELS,
}


def responses(real: Flow, other: Flow) -> dict[str, Response]:
    """Responses to market orders, limit orders at or inside the touch and cancellations there, each apart for events
    that moved the mid.

    ``R(l) = mean of sign * (mid after l orders - mid before)`` (LOB-Bench, after Eisler, Bouchaud and Kockelkoren
    2012); the sign is + for what pushes the price up: a buy, a limit buy, a cancelled sell.
    """
    out = {}
    for name, kinds in RESPONSES.items():
        for moved in (False, True):
            a, n = _response(real.orders, kinds, moved)
            b, m = _response(other.orders, kinds, moved)
            deviation = float(np.mean(np.abs(a - b))) if n and m else float("nan")
            out[f"{name}_{'moving' if moved else 'still'}"] = Response(a, b, deviation, n, m)
    return out


def _response(o: I64, kinds: tuple[int, ...], moved: bool) -> tuple[F64, int]:
    kind = o[flow_of.KIND]
    before, after = o[flow_of.MID2] / 2, o[flow_of.MID2_AFTER] / 2
    mine = np.isin(kind, kinds) & (o[flow_of.RANK] <= 0) & ((before != after) == moved)
    pushes_up = (o[flow_of.SIDE] == 1) if kinds[0] in (TAKE, *_CANCELS) else (o[flow_of.SIDE] == 0)
    sign = np.where(pushes_up, 1.0, -1.0)
    at = np.flatnonzero(mine)
    at = at[at + RESPONSE_LAGS[-1] < len(kind)]
    if not len(at):
        return np.full(len(RESPONSE_LAGS), np.nan), 0
    curve = np.array([np.mean(sign[at] * (after[at + lag - 1] - before[at])) for lag in RESPONSE_LAGS])
    return curve, len(at)

"""A lane's statistics the slow way: exact sums over its equity points and its fills, floats only at the end."""

import math
from fractions import Fraction
from itertools import pairwise

from tests.reference.model import Lane
from tests.reference.records import Sample
from tidewright.market.codes import BUY, CANCELLED, FILL, REJECTED, UNIT


def equity_curve(lane: Lane) -> list[tuple[int, Fraction]]:
    """The capital at the start, then every equity point, in quote."""
    start = lane.start_ns()
    assert start is not None
    first = Sample(start, 0, 0, 0, 0, None)  # "before the first mid: the capital"
    return [(sample.ts, lane.equity(sample) / UNIT) for sample in (first, *lane.samples)]


def slow_statistics(lane: Lane) -> dict[str, float]:
    """Names of measure.figures.REQUIRED, those which the reports alone determine."""
    curve = equity_curve(lane)
    returns = [new / old - 1 for (_, old), (_, new) in pairwise(curve) if old > 0]
    peak, drawdown = curve[0][1], Fraction(0)
    for _, equity in curve:
        peak = max(peak, equity)
        if peak > 0:
            drawdown = max(drawdown, (peak - equity) / peak)
    sums = {
        "n_samples": Fraction(len(curve) - 1),
        "sum_return": sum(returns, Fraction(0)),
        "sum_return_sq": sum((r * r for r in returns), Fraction(0)),
        "sum_downside_sq": sum((min(r, Fraction(0)) ** 2 for r in returns), Fraction(0)),
        "equity_start": curve[0][1],
        "equity_end": curve[-1][1],
        "max_drawdown": drawdown,
        "span_ns": Fraction(max(0, curve[-1][0] - curve[0][0])),
        "n_limited": Fraction(lane.limited),
        **activity(lane),
        **closed_trades(lane),
    }
    found = {name: float(value) for name, value in sums.items()}
    if len(returns) < len(curve) - 1:  # who has lost everything has no return
        found |= dict.fromkeys(("sum_return", "sum_return_sq", "sum_downside_sq"), math.nan)
    return found


def activity(lane: Lane) -> dict[str, Fraction]:
    fills = [r for r in lane.reports if r.what == FILL]
    money = lane.instrument.quote_units / UNIT
    position, most = 0, 0
    for fill in fills:
        position += fill.qty if fill.side == BUY else -fill.qty
        most = max(most, abs(position))
    return {
        "n_orders": Fraction(len(lane.orders)),
        "n_fills": Fraction(len(fills)),
        "n_buys": Fraction(sum(r.side == BUY for r in fills)),
        "n_sells": Fraction(sum(r.side != BUY for r in fills)),
        "n_cancels": Fraction(sum(r.what == CANCELLED for r in lane.reports)),
        "n_rejects": Fraction(sum(r.what == REJECTED for r in lane.reports)),
        "volume_quote": sum((r.qty * r.price * money for r in fills), Fraction(0)),
        "fees_base": Fraction(sum(f.fee_base for f in lane.fills), UNIT),
        "fees_other" if lane.settings.fee_asset_price else "fees_quote": Fraction(
            sum(f.fee_quote for f in lane.fills), UNIT
        ),
        "fees_value": sum(
            (
                Fraction(lane.fee_value(f.fee_quote) + f.fee_base * f.price * lane.instrument.tick, UNIT)
                for f in lane.fills
            ),
            Fraction(0),
        ),
        "funding": Fraction(lane.funding(None), UNIT),
        "position_lots": Fraction(position),
        "max_abs_position_lots": Fraction(most),
    }


def closed_trades(lane: Lane) -> dict[str, Fraction]:
    """ "average entry cost, net of commissions, the entry time weighted by quantity" """
    position, cost, entry = 0, Fraction(0), Fraction(0)  # lots, quote paid for them, sum of lots * time
    profits: list[Fraction] = []
    durations: list[Fraction] = []
    in_position, since = 0, 0
    for fill, report in zip(lane.fills, [r for r in lane.reports if r.what == FILL], strict=True):
        price = fill.price * lane.instrument.tick
        value = fill.qty * lane.instrument.lot * price
        fee = Fraction(lane.fee_value(fill.fee_quote), UNIT) + Fraction(fill.fee_base, UNIT) * price
        paid = value + fee if fill.side == BUY else fee - value  # negative: received
        signed = fill.qty if fill.side == BUY else -fill.qty
        closing = min(abs(position), fill.qty) if position * signed < 0 else 0
        if closing:
            share = Fraction(closing, abs(position))
            profits.append(-paid * closing / fill.qty - cost * share)
            durations.append(report.ts - entry / abs(position))
            cost -= cost * share
            entry -= entry * share
        opening = fill.qty - closing
        cost += paid * opening / fill.qty
        entry += opening * report.ts
        if position == 0:
            since = report.ts
        position += signed
        if position == 0:
            in_position += report.ts - since
    if position != 0:
        in_position += lane.samples[-1].ts - since
    wins = [p for p in profits if p > 0]
    losses = [p for p in profits if p < 0]
    return {
        "n_closed": Fraction(len(profits)),
        "sum_closed": sum(profits, Fraction(0)),
        "sum_closed_sq": sum((p * p for p in profits), Fraction(0)),
        "n_even": Fraction(len(profits) - len(wins) - len(losses)),  # floats may take these for anything
        "n_wins": Fraction(len(wins)),
        "sum_win": sum(wins, Fraction(0)),
        "sum_loss": sum(losses, Fraction(0)),
        "sum_duration_ns": sum(durations, Fraction(0)),
        "time_in_position_ns": Fraction(in_position),
    }

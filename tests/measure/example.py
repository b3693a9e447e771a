"""A made-up but consistent session for the tests of the report: a random market, a maker on it, proposals."""

import numpy as np

from tidewright.market.clock import MINUTE, SECOND
from tidewright.market.codes import BUY, SELL
from tidewright.measure.mids import MidSeries
from tidewright.measure.report import Proposal, ReportData, SessionFacts
from tidewright.measure.trades import Fills

START = 1_770_000_000 * SECOND
CYCLE = 30 * SECOND


def example(hours: float = 24.0, seed: int = 1, ended: bool = True) -> ReportData:
    rng = np.random.default_rng(seed)
    span = int(hours * 3600)
    ts = START + np.arange(span, dtype=np.int64) * SECOND
    mid = 60_000 * np.exp(np.cumsum(rng.normal(0, 5e-5, span)))
    count = span // 90
    at = np.sort(rng.choice(span - 1, count, replace=False))
    side = rng.choice(np.array([BUY, SELL], np.uint8), count)
    sign = np.where(side == SELL, -1.0, 1.0)
    price = np.round(mid[at] * (1 - sign * 3e-4), 2)
    qty = np.full(count, 0.002)
    maker = rng.random(count) < 0.97
    fills = Fills(ts[at], side, price, qty, maker, price * qty * 1e-4)
    at_cycle = np.arange(0, span, 30)
    held = np.cumsum(np.bincount(at, sign * qty, span))[at_cycle]
    cash = 20_000 - np.cumsum(np.bincount(at, sign * qty * price + fills.fee, span))[at_cycle]
    equity = cash + held * mid[at_cycle]
    return ReportData(
        SessionFacts(
            "k3v9",
            "paper (Binance spot)",
            "BTCUSDT",
            "BTC",
            "USDT",
            "grid",
            "paper",
            START,
            START if ended else None,
            CYCLE,
        ),
        ts[at_cycle],
        equity,
        held,
        fills,
        orders=len(at_cycle) * 4,
        cancels=len(at_cycle) * 3,
        rejects=3,
        cycles=len(at_cycle) - 2,
        cycles_due=len(at_cycle) - 1,
        proposals=proposals(rng, span),
        assumptions=(
            ("Fees", "maker 0.01 %, taker 0.05 %"),
            ("Latency", "feed 0 ms, entry 50 ms, response 50 ms, constant"),
            ("Queue model", "risk_averse: cancellations ahead are never counted in our favour"),
            ("Market", "synthetic BTCUSDT <seed 1> & depth"),
        ),
        mids=MidSeries(ts, mid, int(ts[-1])),
        untouched=20_000 + 0.01 * (mid[at_cycle] - mid[0]),
        fees_by_asset={"BTC": "0.00001234", "USDT": "0.74512000"},
    )


def proposals(rng: np.random.Generator, span: int) -> tuple[Proposal, ...]:
    out = []
    for k in range(1, int(span * SECOND // (30 * MINUTE))):
        confidence = float(rng.beta(3, 2))
        accepted = confidence > 0.6
        why = "confidence and risk passed" if accepted else f"confidence {confidence:.2f} is under the threshold 0.60"
        params = {"spread_percentage": 0.05 + 0.2 * float(rng.random()), "levels": 4.0, "base_quantity": 0.002}
        outcome = float(rng.random() < confidence) if k % 2 else None
        metrics = {"sqn_score": 1.2, "sharpe_ratio": None, "max_drawdown": 0.01}
        verdict = "accepted" if accepted else "refused"
        out.append(Proposal(START + k * 30 * MINUTE, "optimizer", confidence, verdict, why, params, metrics, outcome))
    return tuple(out)

"""Accounts driven from outside: every unit of money is accounted for by the reports, in exact integers."""

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor, trunc
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine.example import SECOND, last_print, market
from tidewright.engine.replay import Account, Replay, ReplayConfig
from tidewright.market import codes
from tidewright.market.codes import BUY, FEE_BASE, LIMIT, MARKET, SELL
from tidewright.market.instrument import Filters, Instrument
from tidewright.market.tape import Tape

LANES = 2
STOCK, CAPITAL = 200_000_000, 15_000_000_000_000  # 2 BTC and 150,000 USDT a lane


class Step(NamedTuple):
    """Something a lane sends ``wait`` ns after the last: an order, or a cancel or amendment of its order ``number``."""

    wait: int
    lane: int
    does: str
    side: int
    kind: int
    tif: int
    offset: int
    qty: int
    number: int
    way: int = codes.NO_STOP
    stop: int = 0


STEPS = st.lists(
    st.builds(
        Step,
        wait=st.integers(0, 40 * SECOND),
        lane=st.integers(0, LANES - 1),
        does=st.sampled_from(("send", "send", "send", "send", "cancel", "amend")),
        side=st.sampled_from((BUY, SELL)),
        kind=st.sampled_from((LIMIT, LIMIT, LIMIT, MARKET)),
        tif=st.integers(codes.GTC, codes.POST_ONLY),
        offset=st.integers(-4_000, 4_000),
        qty=st.integers(1, 400_000),
        number=st.integers(0, 40),
        way=st.sampled_from((codes.NO_STOP, codes.NO_STOP, codes.RISES, codes.FALLS)),
        stop=st.integers(1, 3_000),
    ),
    min_size=8,
    max_size=40,
)

INSTRUMENTS = {
    "spot": {"maker_fee": 100_000, "taker_fee": 130_001},
    "spot, money finer than 1e-8": {"tick_size": "0.0003", "maker_fee": 12_345, "taker_fee": 99_999},
    "spot, rebate": {"maker_fee": -7_777, "taker_fee": 40_000},
    "linear": {"kind": "linear", "maker_fee": 20_000, "taker_fee": 50_000},
}


def tape() -> Tape:
    return market(hours=0.2, seed=5)


def instrument(name: str) -> Instrument:
    return replace(tape().instrument, filters=Filters(), **INSTRUMENTS[name])


class Run:
    """The steps, sent along the tape; reports of each lane and the accounts at the end."""

    def __init__(self, steps: list[Step], known: Instrument, check_balance: bool) -> None:
        data = tape().data
        config = ReplayConfig(response_ns=SECOND // 100, window_ticks=1 << 16)
        self.replay = replay = Replay(
            known, config, lanes=LANES, base_units=STOCK, quote_units=CAPITAL, check_balance=check_balance
        )
        self.sent: dict[int, Step] = {}
        ends = np.flatnonzero(data.flags & 1) + 1
        numbers: list[list[int]] = [[] for _ in range(LANES)]
        now, row, told = tape().start_ns, 0, []
        self.lowest = [(CAPITAL, STOCK)] * LANES
        for step in steps:
            now += step.wait
            stop = int(ends[int(np.searchsorted(data.ts[ends - 1], now, side="right")) - 1])
            replay.feed(data.rows(row, stop))
            row = stop
            replay.advance(now)
            told.append(replay.reports())
            for lane in range(LANES):
                account = replay.account(lane)
                self.lowest[lane] = (
                    min(self.lowest[lane][0], account.quote_units),
                    min(self.lowest[lane][1], account.base_units),
                )
            mine = numbers[step.lane]
            if step.does != "send":
                number = mine[step.number % len(mine)] if mine else 10**9
                if step.does == "cancel":
                    replay.cancel(step.lane, number, now + 7)
                else:
                    replay.amend(step.lane, number, step.qty, now + 7)
                continue
            last = last_print(data, stop)
            tif = codes.GTC if step.way != codes.NO_STOP and step.tif == codes.POST_ONLY else step.tif
            at = {codes.NO_STOP: 0, codes.RISES: last + step.stop, codes.FALLS: last - step.stop}[step.way]
            order = (step.side, step.kind, tif, last + step.offset, step.qty)
            number = replay.submit(step.lane, *order, now + SECOND // 20, row, at, step.way)
            numbers[step.lane].append(number)
            self.sent[number] = step
        replay.feed(data.rows(row, len(data.ts)))
        replay.finish()
        told.append(replay.reports())
        self.reports = np.concatenate(told)

    def of_lane(self, lane: int) -> list[dict[str, int]]:
        rows = self.reports[self.reports["lane"] == lane]
        return [dict(zip(rows.dtype.names, row.tolist(), strict=True)) for row in rows]


def check_money(account: Account, fills: list[dict[str, int]], known: Instrument) -> None:
    """Balances are the start, plus what was bought and sold, less the commissions."""
    signed = [(fill["qty"] if fill["side"] == BUY else -fill["qty"], fill["price"]) for fill in fills]
    assert account.position_lots == sum(qty for qty, _ in signed)
    assert account.cash == -sum(qty * price for qty, price in signed)
    assert account.fee_base == sum(fill["fee"] for fill in fills if fill["fee_asset"] == FEE_BASE)
    assert account.fee_quote == sum(fill["fee"] for fill in fills if fill["fee_asset"] != FEE_BASE)
    assert account.base_units == STOCK + account.position_lots * known.lot_units - account.fee_base
    assert account.quote_units == floor(CAPITAL + account.cash * known.quote_units - account.fee_quote)


def check_commission(fill: dict[str, int], known: Instrument) -> None:
    """What is received is charged, truncated to 1e-8 a fill."""
    rate = Fraction(known.maker_fee if fill["maker"] else known.taker_fee, codes.UNIT)
    in_base = fill["side"] == BUY and known.kind == "spot"
    amount = fill["qty"] * known.lot_units if in_base else fill["qty"] * fill["price"] * known.quote_units
    assert fill["fee"] == trunc(amount * rate)
    assert fill["fee_asset"] == (codes.FEE_BASE if in_base else codes.FEE_QUOTE)


def open_orders(reports: list[dict[str, int]], sent: dict[int, Step]) -> dict[int, dict[str, int]]:
    """Orders open after the reports, by number; each order's own story must hold together."""
    open_now: dict[int, dict[str, int]] = {}
    ended: set[int] = set()
    for report in reports:
        number = report["number"]
        if report["what"] == codes.CANCEL_REJECTED:
            assert number not in open_now
            continue
        if report["what"] == codes.AMEND_REJECTED:
            assert (number in open_now) == (report["reason"] != codes.UNKNOWN_ORDER)
            continue
        assert number not in ended, "nothing happens to an order that has ended"
        if report["what"] == codes.ACCEPTED:
            assert report["leaves"] == report["qty"] == sent[number].qty
            open_now[number] = {
                "side": report["side"],
                "price": report["price"],
                "qty": report["qty"],
                "leaves": report["leaves"],
                "sleeps": sent[number].way != codes.NO_STOP,
            }
        elif report["what"] == codes.TRIGGERED:
            assert open_now[number]["sleeps"], "a stop wakes once"
            assert report["leaves"] == open_now[number]["leaves"]
            open_now[number]["sleeps"] = False
        elif report["what"] == codes.AMENDED:
            order = open_now[number]
            less = order["qty"] - report["qty"]
            assert less > 0 and report["leaves"] == order["leaves"] - less > 0
            order["qty"], order["leaves"] = report["qty"], report["leaves"]
        elif report["what"] == codes.FILL:
            order = open_now[number]
            assert not order["sleeps"], "what sleeps does not trade"
            order["leaves"] -= report["qty"]
            assert report["qty"] > 0 and report["leaves"] == order["leaves"] >= 0
            if sent[number].kind == LIMIT:
                better = (
                    report["price"] <= order["price"] if order["side"] == BUY else report["price"] >= order["price"]
                )
                assert better, "never at a price worse than the order's"
            if order["leaves"] == 0:
                ended.add(number)
                del open_now[number]
        else:
            if report["what"] != codes.REJECTED:
                assert report["leaves"] == open_now.pop(number)["leaves"]
            ended.add(number)
    return open_now


@pytest.mark.parametrize("name", INSTRUMENTS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=STEPS, check_balance=st.booleans())
def test_reports_account_for_every_unit(name: str, steps: list[Step], check_balance: bool) -> None:
    known = instrument(name)
    run = Run(steps, known, check_balance)
    sums = run.replay.statistics()
    for lane in range(LANES):
        reports = run.of_lane(lane)
        fills = [report for report in reports if report["what"] == codes.FILL]
        account = run.replay.account(lane)
        check_money(account, fills, known)
        for fill in fills:
            check_commission(fill, known)
        resting = open_orders(reports, run.sent).values()
        # A sleeping stop that buys at market has no price, and locks nothing.
        bids = sum(order["leaves"] * order["price"] for order in resting if order["side"] == BUY)
        assert account.quote_locked == ceil(bids * known.quote_units)
        assert account.base_locked == sum(o["leaves"] for o in resting if o["side"] == SELL) * known.lot_units
        assert sums["n_fills"][lane] == len(fills)
        assert sums["n_rejects"][lane] == sum(report["what"] == codes.REJECTED for report in reports)
        assert sums["position_lots"][lane] == account.position_lots
        if check_balance and known.kind == "spot" and known.maker_fee >= 0:
            assert account.quote_units >= account.quote_locked, "what is locked is there"
            assert account.base_units >= account.base_locked
            assert min(run.lowest[lane]) >= 0, "a balance never falls under 0"


def test_a_fixed_story_fills_both_ways_so_that_the_property_means_something() -> None:
    random = np.random.default_rng(4)
    steps = [
        Step(10 * SECOND, n % 2, ("send", "send", "amend", "cancel")[n % 4], int(random.integers(0, 2)),
             int(n % 5 == 4), n // 2 % 4, int(random.integers(-5_000, 5_000)), int(random.integers(1_000, 90_000)),
             -1 - n % 3, n % 7 % 3, int(random.integers(1, 1_000)))
        for n in range(70)
    ]  # fmt: skip
    run = Run(steps, instrument("spot"), check_balance=True)
    happened = set(run.reports["what"].tolist())
    assert happened >= {codes.ACCEPTED, codes.FILL, codes.CANCELLED, codes.REJECTED}
    assert happened >= {codes.TRIGGERED, codes.AMENDED, codes.AMEND_REJECTED}
    fills = run.reports[run.reports["what"] == codes.FILL]
    assert {(int(side), int(maker)) for side, maker in zip(fills["side"], fills["maker"], strict=True)} == {
        (BUY, 0), (BUY, 1), (SELL, 0), (SELL, 1),
    }  # fmt: skip


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_balance_covers_an_order_to_the_last_lot_and_not_one_more(side: int) -> None:
    start, price = tape().start_ns, last_print(tape().data, 0)
    price += -3_000 if side == BUY else 3_000
    cover = CAPITAL // (price * 10) if side == BUY else STOCK // 1_000  # lots
    opening = tape().data.rows(0, int(np.flatnonzero(tape().data.flags & 1)[0]) + 1)
    for qty, what in ((cover, codes.ACCEPTED), (cover + 1, codes.REJECTED)):
        replay = Replay(
            instrument("spot"),
            ReplayConfig(window_ticks=1 << 16),
            quote_units=CAPITAL,
            base_units=STOCK,
            check_balance=True,
        )
        replay.feed(opening)
        replay.submit(0, side, LIMIT, codes.POST_ONLY, price, qty, start, 1)
        replay.advance(start + 1)
        report = replay.reports()[0]
        account = replay.account(0)
        assert report["what"] == what
        if what == codes.REJECTED:
            assert report["reason"] == codes.INSUFFICIENT_BALANCE
            assert (account.quote_locked, account.base_locked) == (0, 0)
        elif side == BUY:
            assert (account.quote_locked, account.base_locked) == (qty * price * 10, 0)
        else:
            assert (account.quote_locked, account.base_locked) == (0, qty * 1_000)
        assert (account.quote_units, account.base_units) == (CAPITAL, STOCK)

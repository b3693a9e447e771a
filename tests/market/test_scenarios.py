from pathlib import Path

import numpy as np
import pytest

from tidewright.market import codes
from tidewright.market.check import check_tape
from tidewright.market.clock import HOUR, MINUTE, SECOND
from tidewright.market.errors import UsageError
from tidewright.market.scenarios import SCENARIOS, Scenario, begin_of, overlay, parse_scenario
from tidewright.market.synthetic import START_NS, Generator, synthesize, synthetic_instrument
from tidewright.market.tape import Tape, concatenate
from tidewright.market.touch import touches

HOURS = 1.0


@pytest.fixture(scope="module")
def plain() -> Tape:
    return synthesize(None, hours=HOURS, seed=3)


def laid(scenario: Scenario, seed: int = 7) -> Tape:
    data = concatenate(overlay(Generator(HOURS, 3), scenario, START_NS, START_NS + int(HOURS * HOUR), seed=seed))
    return Tape(Path(), synthetic_instrument(), {"notes": {}}, data)


class Seen:
    """Touch of a tape at times."""

    def __init__(self, tape: Tape) -> None:
        self.book, self.ts = touches(tape.data), tape.data.ts
        self.times = self.ts[self.book.row]

    def at(self, when):
        i = np.searchsorted(self.times, when, "right") - 1
        return 0.5 * (self.book.bid[i] + self.book.ask[i]), (self.book.ask[i] - self.book.bid[i]).astype(float)


def depth(tape: Tape, until: int) -> int:
    """Lots on both sides."""
    books: tuple[dict[int, int], dict[int, int]] = ({}, {})
    data = tape.data
    rows = int(np.searchsorted(data.ts, until, "right"))
    for kind, price, qty in zip(
        data.kind[:rows].tolist(), data.price[:rows].tolist(), data.qty[:rows].tolist(), strict=True
    ):
        if kind <= codes.ASK:
            if qty:
                books[kind][price] = qty
            else:
                books[kind].pop(price, None)
    return sum(books[0].values()) + sum(books[1].values())


@pytest.fixture(scope="module")
def crash() -> Scenario:
    return parse_scenario("flash-crash:drop=0.1,recover=0.6,spread=8,duration=10m,at=0.5")


@pytest.fixture(scope="module")
def crashed(crash) -> Tape:
    return laid(crash)


def test_price_falls_and_recovers_by_the_stated_amounts(plain, crash, crashed):
    begin = begin_of(crash, START_NS, START_NS + int(HOURS * HOUR))
    home = Seen(plain).at(begin)[0]
    fall, end = begin + int(0.3 * 10 * MINUTE), begin + 10 * MINUTE + SECOND
    for when, share in ((begin - SECOND, 0.0), (fall, 0.1), (end, 0.04)):
        moved = Seen(crashed).at(when)[0] - Seen(plain).at(when)[0]
        assert moved == pytest.approx(-share * home, abs=2e-4 * home)


def test_spread_widens_and_depth_falls_by_the_stated_factors_and_both_return(plain, crash, crashed):
    begin = begin_of(crash, START_NS, START_NS + int(HOURS * HOUR))
    trough = begin + int(np.linspace(0.26, 0.39, 50)[0] * 10 * MINUTE) + np.arange(50) * SECOND
    ratio = Seen(crashed).at(trough)[1] / Seen(plain).at(trough)[1]
    assert np.median(ratio) == pytest.approx(8, rel=0.25)
    assert depth(crashed, int(trough[10])) == pytest.approx(0.1 * depth(plain, int(trough[10])), rel=0.02)
    after = begin + 12 * MINUTE
    assert Seen(crashed).at(after)[1] == Seen(plain).at(after)[1]
    assert depth(crashed, after) == depth(plain, after)


def test_the_fall_is_sold_into_bids_and_hardly_anything_is_bought(crash, crashed):
    begin = begin_of(crash, START_NS, START_NS + int(HOURS * HOUR))
    data = crashed.data
    inside = (data.ts > begin) & (data.ts < begin + int(0.25 * 10 * MINUTE))
    lots = {kind: int(data.qty[inside & (data.kind == kind)].sum()) for kind in (codes.TRADE_BUY, codes.TRADE_SELL)}
    assert lots[codes.TRADE_SELL] > 20 * lots[codes.TRADE_BUY]


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_every_scenario_leaves_a_tape_that_passes_the_check(name):
    found = check_tape(laid(parse_scenario(f"{name}:duration=4m")))
    assert found.usable, found.problems
    packets = found.figures["book"]["packets"]
    assert packets["crossed"] == packets["locked"] == packets["one_sided"] == 0
    assert found.figures["duplicates"]["removals_of_unknown_levels"] == 0


def test_before_a_scenario_nothing_is_changed_and_seeds_reproduce(plain, crash, crashed):
    begin = begin_of(crash, START_NS, START_NS + int(HOURS * HOUR))
    rows = int(np.searchsorted(plain.data.ts, begin))
    for mine, base in zip(crashed.data, plain.data, strict=True):
        assert np.array_equal(mine[:rows], base[:rows])
    again, other = laid(crash), laid(crash, seed=8)
    assert again.data.price.tobytes() == crashed.data.price.tobytes()
    assert other.data.price.tobytes() != crashed.data.price.tobytes()


def test_latency_and_outage_change_receipts_and_nothing_else(plain):
    late, gone = laid(parse_scenario("latency-spike")), laid(parse_scenario("outage:drop=0,depth=1,spread=1"))
    begin, length = START_NS + int(0.5 * HOURS * HOUR), 10 * MINUTE
    inside = (late.data.ts >= begin) & (late.data.ts < begin + length)
    delay = (late.data.ts_local - late.data.ts)[inside]
    assert delay.min() >= 2 * SECOND and np.median(delay) < 2.1 * SECOND
    inside = (gone.data.ts > begin) & (gone.data.ts < begin + length)
    assert (gone.data.ts_local[inside] >= begin + length).all()
    for tape in (late, gone):
        assert (np.diff(tape.data.ts_local) >= 0).all()
        grid = START_NS + np.arange(0, int(HOURS * 3600), 5) * SECOND
        assert all(np.array_equal(a, b) for a, b in zip(Seen(tape).at(grid), Seen(plain).at(grid), strict=True))


def test_marks_stand_still_while_the_price_crashes(plain):
    data = laid(parse_scenario("stale-mark:duration=4m")).data
    marks = data.kind == codes.MARK
    assert marks.sum() >= 200 and len(np.unique(data.price[marks])) == 1


def test_steps_fall_at_once(plain):
    found = laid(parse_scenario("price-jump"))
    mids = Seen(found)
    begin = START_NS + int(0.5 * HOURS * HOUR)
    path = mids.at(begin + np.arange(0, 60) * SECOND)[0]
    assert (np.diff(path) / path[0]).min() < -0.14


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("meteor", "flash-crash"),
        ("flash-crash:drop=2", "drop must be"),
        ("flash-crash:depth=0", "depth must be"),
        ("flash-crash:colour=red", "colour"),
        ("flash-crash:drop", "with a value"),
        ("flash-crash:spread=wide", "must be a number"),
        ("outage:outage=perhaps", "yes or no"),
        ("flash-crash:duration=soon", "duration"),
    ],
)
def test_mistakes_are_named(text, words):
    with pytest.raises(UsageError, match=words):
        parse_scenario(text)

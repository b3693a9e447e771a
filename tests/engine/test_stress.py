"""Whole tapes under limits: the position limit is never passed, loss limits say by how much and why."""

from collections.abc import Iterable

import pytest

from tests.engine.example import SECOND, market
from tidewright.engine.stress import Setup, run
from tidewright.market.errors import UsageError
from tidewright.market.scenarios import SCENARIOS, overlay
from tidewright.market.tape import Columns, columns, concatenate
from tidewright.risk.limits import Limits

GRID = {"spread_percentage": 0.02, "levels": 4, "base_quantity": 0.01, "max_position": 10.0}


def crisis(name: str, hours: float = 0.5) -> Columns:
    tape = market(hours)
    return concatenate(overlay([tape.data], SCENARIOS[name], tape.start_ns, tape.end_ns))


def setup(limits: Limits, **more) -> Setup:
    return Setup("grid", GRID, limits, 5 * SECOND, equity=20_000.0, **more)


@pytest.mark.parametrize("name", ["flash-crash", "one-sided", "outage"])
def test_the_position_limit_is_never_passed(name: str) -> None:
    tape = market(0.5)
    found = run(name, tape.instrument, crisis(name), setup(Limits(max_position_share=0.1, strict=True)))
    assert found.fills > 20 and found.passed == 0
    assert 0.5 < found.position_use <= 1.0


def test_a_loss_limit_that_fires_says_when_by_how_much_it_was_passed_and_why() -> None:
    tape = market(0.5)
    limits = Limits(0.5, None, 0.01, None, drawdown=0.02, strict=True)
    found = run("flash-crash", tape.instrument, crisis("flash-crash"), setup(limits))
    fired = {one.limit: one for one in found.fired}
    daily = fired["daily loss"]
    assert daily.threshold == 0.01 < daily.measured <= daily.worst and daily.slippage > 0
    assert "between two decisions" in daily.cause()
    assert found.loss_share >= daily.measured - 1e-9 and found.to_json()["fired"]


def test_flattening_leaves_the_position_that_halting_alone_would_keep() -> None:
    tape = market(0.5)
    data = crisis("price-jump")
    limits = Limits(0.5, None, 0.002, None, strict=True)
    kept = run("kept", tape.instrument, data, setup(limits))
    left = run("left", tape.instrument, data, setup(Limits(0.5, None, 0.002, None, strict=True, flatten=True)))
    assert any(one.limit == "daily loss" for one in kept.fired)
    assert left.flat_after_ns is not None
    assert kept.flat_after_ns is None or kept.flat_after_ns >= left.flat_after_ns


def test_the_order_rate_is_held_and_without_limits_nothing_fires() -> None:
    tape = market(0.2)
    free = run("free", tape.instrument, tape.data, setup(Limits(None, None, None, None)))
    slow = run("slow", tape.instrument, tape.data, setup(Limits(None, None, None, None, orders_per_minute=4)))
    assert free.fired == () and [one.limit for one in slow.fired] == ["order rate"]
    assert slow.fills < free.fills


def test_an_empty_tape_is_refused() -> None:
    nothing: Iterable[tuple[int, ...]] = []
    with pytest.raises(UsageError, match="needs a tape with rows"):
        run("x", market(0.2).instrument, columns(nothing), setup(Limits()))

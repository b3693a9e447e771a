import asyncio
from dataclasses import replace

import pytest
from rich.console import Console

from tests.trading.fake_venue import INSTRUMENT
from tidewright.interface.live import LineDisplay, LiveDisplay, Speed, render, watch
from tidewright.market.clock import HOUR
from tidewright.trading.now import Now
from tidewright.venues.interface import FillUpdate

START = 1_700_000_000 * 10**9
NOW = Now(
    stage="trading",
    market_ns=START,
    cycle=12,
    cycles_due=240,
    mid2=12_000_100,
    position_lots=-150,
    equity_units=16_000_012_345_678,
    start_equity_units=16_000_000_000_000,
    fills=3,
    newest_fills=[FillUpdate(1, "tw-s-1", 1, 1, 6_000_200, 100, 6_000_000, "USDT", True, START)],
    params={"spread_percentage": 0.05},
    proposals=2,
    accepted=1,
    refused=1,
    advice="refused: confidence 0.5 is under the threshold 0.6",
    why="position limit",
    rollout="p-7: canary at small size, 30 of 60 cycles",
)


def text_of(now: Now) -> str:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))
    with console.file:
        console.print(render(now, INSTRUMENT, "Tidewright demo", ("poor parameters on purpose",), 480.0))
        return console.export_text()


def test_everything_that_matters_is_on_the_screen():
    shown = text_of(NOW)
    for part in (
        "poor parameters on purpose",
        "480x",
        "12 of 240",
        "60,000.5",
        "-0.00150 BTC",
        "160,000.12 USDT",
        "+0.12",
        "sell",
        "60,002",
        "fee 0.06000000 USDT",
        "2 proposals, 1 accepted, 1 refused",
        "under the threshold",
        "canary at small size",
        "position limit",
    ):
        assert part in shown, part


def test_one_of_a_kind_is_not_told_in_the_plural():
    assert "1 proposal, 1 accepted" in text_of(replace(NOW, proposals=1))
    said: list[str] = []
    LineDisplay(said.append)(Now(stage="ended", market_ns=START, fills=1, orders=1, errors=1))
    assert "1 fill, 1 order, 0 accepted, 0 refused, 1 error," in said[-1]


def test_before_anything_is_known_it_shows_without_failing():
    console = Console(width=100, file=open("/dev/null", "w"), force_terminal=True)
    with console.file, LiveDisplay(console, "Tidewright") as display:
        display(Now())
        display(Now(stage="ended"))


def test_speed_is_market_time_over_wall_time():
    wall = iter([0.0, 1.0, 2.0])
    speed = Speed(lambda: next(wall))
    for second in range(3):
        speed.note(second * 60 * 10**9)
    assert speed() == 60.0


def test_lines_come_at_the_first_fill_every_hour_and_at_the_end():
    said: list[str] = []
    display = LineDisplay(said.append)
    for minute in range(0, 121, 10):
        display(Now(stage="trading", market_ns=START // HOUR * HOUR + minute * 60 * 10**9, fills=minute // 60))
    display(Now(stage="ended", market_ns=START))
    assert len(said) == 5
    assert "first fill" in said[1]
    assert "ended" in said[-1]


def test_a_lost_optimizer_and_what_keeps_it_from_ordering_are_said():
    said: list[str] = []
    display = LineDisplay(said.append)
    idle = Now(stage="trading", market_ns=START, why="under the minimum notional")
    display(idle)
    assert said[-1].endswith("; under the minimum notional")
    for minute in range(3):
        late = START + minute * 60 * 10**9
        display(Now(stage="trading", market_ns=late, advice="error: the optimizer has ended with status -9"))
    assert ["status -9" in line for line in said] == [False, True]


def test_a_long_wait_for_the_optimizer_is_said_once_and_every_half_minute():
    said: list[str] = []
    display = LineDisplay(said.append)
    for seconds in (2.0, 2.5, 31.9, 32.1, 40.0, 2.1):  # the last one is another wait
        display.waits(seconds)
    assert [line.rpartition(": ")[2] for line in said] == ["2 s so far", "32 s so far", "2 s so far"]
    assert all("waiting for the optimizer" in line for line in said)


def test_only_waits_of_two_seconds_reach_the_display():
    said: list[str] = []
    waits = iter([0.0, 1.9, 2.0])

    async def until_the_waits_are_over() -> None:
        with pytest.raises(KeyError):
            await watch(waited, LineDisplay(said.append), every_s=0.0)

    def waited() -> float:
        seconds = next(waits, None)
        if seconds is None:
            raise KeyError
        return seconds

    asyncio.run(until_the_waits_are_over())
    assert len(said) == 1 and said[0].endswith("2 s so far")


def test_the_live_display_counts_the_wait_under_the_figures():
    with open("/dev/null", "w") as nowhere:
        console = Console(width=110, record=True, file=nowhere, force_terminal=True)
        with LiveDisplay(console, "Tidewright") as display:
            display(NOW)
            display.waits(3.0)
        shown = console.export_text()
    assert "2 proposals" in shown and "3 s so far" in shown
